"""Differentiation by interpretation, in every category, against JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend.program import categories
from descend.program.categories import continuations, derivative, dual, functions, matrices, sparsity

X = jnp.array([0.4, -1.3, 0.7])


def looped(x):
    def step(carry, row):
        carry = jnp.tanh(carry * row + x)
        return carry, jnp.sum(carry) * row

    carry, rows = jax.lax.scan(step, x, jnp.arange(3.0), reverse=True)
    return carry + rows[0] * rows[2]


FUNCTIONS = {
    "shared": lambda x: jnp.sum((x * x) * (x * x) + jnp.sin(x * x)),
    "network": lambda x: jnp.sin(jnp.arange(12.0).reshape(4, 3) @ jax.nn.softmax(x)),
    "scan": looped,
    "branch": lambda x: jax.lax.cond(x[0] > 0, lambda x: x * x, lambda x: -x, x),
    "reused": lambda x: jnp.stack([x[0], x[0], 2.0]),
    "constant": lambda x: jnp.ones(2),
    "linear algebra": lambda x: jnp.linalg.cholesky(jnp.diag(x * x) + x[:, None] * x[None] + jnp.eye(3))[2],
    "log sum exp": jax.nn.logsumexp,
}


def jacobian(category, f, x):
    outs, arrow = derivative(f, category, x)
    (y,) = outs
    if category is functions:
        return jax.vmap(lambda t: arrow([t])[0], out_axes=-1)(jnp.eye(x.size))
    if category is dual:
        basis = jnp.eye(y.size).reshape(y.size, *y.shape)
        return jax.vmap(lambda c: arrow([c])[0])(basis).reshape(*y.shape, x.size)
    matrix = arrow if category in (matrices, sparsity) else arrow(jnp.eye(y.size))
    return matrix.reshape(*y.shape, x.size)


QUICK = {"shared", "scan", "branch", "reused", "constant"}
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.laws) for name in FUNCTIONS]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_category_gives_the_jacobian(name):
    f = FUNCTIONS[name]
    exact = (functions, dual, matrices, continuations(matrices))

    def every(x):
        return jax.jacobian(f)(x), jacobian(sparsity, f, x), [jacobian(category, f, x) for category in exact]

    expected, pattern, found = (every if name == "branch" else jax.jit(every))(X)  # a branch must be known
    for each in found:
        np.testing.assert_allclose(each, expected, atol=1e-12)
    assert not np.any((np.asarray(expected) != 0) & ~np.asarray(pattern))


def test_sparsity_of_a_stencil():
    pattern = jacobian(sparsity, lambda x: x[1:] * x[:-1], jnp.arange(1.0, 6))
    np.testing.assert_array_equal(pattern, np.eye(4, 5, dtype=bool) | np.eye(4, 5, 1, dtype=bool))


@pytest.mark.slow
def test_it_is_a_functor():
    """The arrow of a composition is the composition of the arrows, and that of the identity the identity."""
    f, g = FUNCTIONS["network"], lambda y: jnp.cumsum(y) * y[0]
    (y,), first = derivative(f, matrices, X)
    np.testing.assert_allclose(derivative(lambda x: g(f(x)), matrices, X)[1], derivative(g, matrices, y)[1] @ first)
    np.testing.assert_array_equal(derivative(lambda x: x, matrices, X)[1], np.eye(3))
    h = jnp.ones((1, 4))
    second = derivative(g, continuations(matrices), y)[1]
    whole = derivative(lambda x: g(f(x)), continuations(matrices), X)[1]
    np.testing.assert_allclose(whole(h), derivative(f, continuations(matrices), X)[1](second(h)))


def test_what_has_no_arrow_says_so():
    with pytest.raises(NotImplementedError, match="while loop has no arrow"):
        derivative(lambda x: jax.lax.while_loop(lambda v: v[0] < 9, lambda v: v + 1, x), categories.functions, X)
