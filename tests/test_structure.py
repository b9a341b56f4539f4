"""What is read of a function's structure against its derivatives by JAX at random points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend.program import coloring, squares, structure

rng = np.random.default_rng(0)
A = jnp.asarray(rng.normal(size=(6, 5)))
BAND = jnp.asarray(np.triu(np.tril(rng.normal(size=(5, 5)), 1), -1))
X = jnp.asarray(rng.uniform(0.2, 0.9, 5))


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def recurrence(x):
    return jax.lax.scan(lambda c, v: (0.5 * c + v, c**2), 0.0, x)[1]


def long_recurrence(x):
    def step(c, i):
        return jnp.sin(c) + x[i % 3], c

    return jax.lax.scan(step, 0.0, jnp.arange(3000))[1][::500]


def spiral(x):
    return jax.lax.while_loop(lambda s: s[0] < 1.0, lambda s: (s[0] + 0.3 * x[1], s[1] * 1.1 + x[2]), (x[0], x[3]))[1]


FUNCTIONS = [
    rosenbrock,
    recurrence,
    long_recurrence,
    spiral,
    lambda x: A @ x,
    lambda x: BAND @ x,
    lambda x: (BAND @ x) ** 2,
    lambda x: jnp.outer(x, x),
    lambda x: jnp.einsum("i,ij,j->", x, BAND, x),
    lambda x: jnp.stack([x[0] * x[1], x[2], 3.0 + 0 * x[0], jnp.sin(x[3]) * x[4]]),
    lambda x: x[jnp.array([0, 2])] * x[jnp.array([1, 1])],
    lambda x: x.at[jnp.array([0, 2])].add(x[1:3] ** 2),
    lambda x: x.at[1].set(x[0]),
    lambda x: jax.lax.dynamic_update_slice(x, x[3:] ** 3, (1,)),
    lambda x: jnp.pad(x, (1, 2))[1:4] / (1 + x[:3]),
    lambda x: jax.lax.pad(x, 0.0, [(-1, 3, 2)]) * x[0],
    lambda x: jnp.cumsum(x),
    lambda x: jnp.cumsum(x[::-1] ** 2),
    lambda x: jax.lax.cumsum(x, reverse=True),
    lambda x: jnp.cumprod(x),
    lambda x: jnp.sort(x)[:2],
    lambda x: jnp.where(jnp.arange(5) > 2, x, x**2),
    lambda x: jnp.where(x > 0.5, x[::-1], x**2),
    lambda x: jnp.max(x.reshape(5, 1) + jnp.arange(3.0)[None], axis=1),
    lambda x: jnp.linalg.solve(jnp.eye(5) * 3 + BAND, x),
    lambda x: jnp.linalg.inv(jnp.eye(5) * 3 + jnp.diag(x)).sum(0),
    lambda x: jax.nn.softmax(x),
    lambda x: jax.nn.relu(x - 0.5),
    lambda x: jnp.convolve(x, jnp.array([1.0, 2.0])),
    lambda x: jnp.fft.rfft(x).real,
    lambda x: jnp.concatenate([x[:2] * x[2:4], jnp.zeros(2), x]),
    lambda x: jax.lax.cond(x[0] > 0, lambda v: v[1] * v[2], lambda v: v[3], x),
    lambda x: jax.checkpoint(lambda y: jnp.tanh(y) * y[0])(x),
    lambda x: jnp.mean(x) + jnp.var(x) + jnp.linalg.norm(x),
    lambda x: jnp.vdot(x, x) - x @ (BAND @ x),
    lambda x: x.astype(jnp.float32).astype(float) * 2.0,
    lambda x: jnp.zeros((0,)) * x[0],
    lambda x: jax.vmap(lambda v: v * x[0])(x),
    lambda x: jnp.split(x, [2, 3])[2] ** 2,
    lambda x: jnp.tril(jnp.outer(x, jnp.ones(5))) @ jnp.ones(5),
    lambda x: jax.lax.fori_loop(0, 3, lambda i, y: y + x[i] * y[i], x),
    lambda x: jnp.interp(x, jnp.linspace(0.0, 1.0, 4), jnp.arange(4.0)),
]


@pytest.mark.parametrize("f", FUNCTIONS, ids=range(len(FUNCTIONS)))
def test_what_is_said_to_be_zero_is_zero(f):
    read = structure.read(f, X)
    flat = lambda x: jnp.ravel(f(x))  # noqa: E731
    first = jax.jacfwd(flat)
    second = jax.jacfwd(first)
    third_too = read.degree.size and 0 < np.min(read.degree) <= 2
    derivatives = jax.jit(lambda x: (first(x), second(x), jax.jacfwd(second)(x) if third_too else None))
    for x in (X, X[::-1] + 0.3):
        jacobian, hessian, third = jax.tree.map(np.asarray, derivatives(x))
        assert not np.any(jacobian[~read.jacobian.toarray()])
        assert not np.any(hessian[:, ~read.hessian.toarray()])
        assert not np.any(jacobian[read.degree == 0])
        assert not np.any(hessian[read.degree <= 1])
        assert third is None or not np.any(third[read.degree <= 2])
        label = np.zeros(5, int)
        for number, group in enumerate(read.groups):
            label[group] = number
        assert not np.any(hessian.sum(0)[label[:, None] != label])
    assert sorted(np.concatenate(read.groups)) == list(range(5))


def test_patterns_are_as_sparse_as_they_are():
    read = structure.read(rosenbrock, X)
    band = abs(np.subtract.outer(np.arange(5), np.arange(5))) <= 1
    # The last variable is only squared, which counts.
    np.testing.assert_array_equal(read.hessian.toarray(), band)
    assert read.degree.tolist() == [3] and len(read.groups) == 1
    read = structure.read(lambda x: BAND @ x, X)
    np.testing.assert_array_equal(read.jacobian.toarray(), np.asarray(BAND) != 0)
    assert read.linear and read.hessian.nnz == 0
    read = structure.read(recurrence, X)
    np.testing.assert_array_equal(read.jacobian.toarray(), np.tril(np.ones((5, 5)), -1) > 0)
    assert read.degree.tolist() == [0, 2, 2, 2, 2]


def test_groups_are_those_of_the_sum():
    read = structure.read(lambda x: jnp.sum(x**2) + x[0] * x[2] + jnp.sin(x[3] + x[4]), X)
    assert [group.tolist() for group in read.groups] == [[0, 2], [1], [3, 4]]
    read = structure.read(lambda x: 3 * x[0] + x[1] ** 2 - x[4], X)
    assert len(read.groups) == 5 and read.quadratic and not read.linear


@pytest.mark.parametrize(
    ("f", "degree"),
    [
        (lambda x: jnp.sum(A @ x), 1),
        (lambda x: jnp.mean((A @ x - 1.0) ** 2) + jnp.max(jnp.ones(3)), 2),
        (lambda x: jnp.linalg.norm(x) ** 2, 3),  # a root was taken: not seen through here
        (lambda x: jnp.abs(x).sum(), 3),
        (lambda x: jax.lax.stop_gradient(x).sum(), 3),
        (lambda x: jnp.round(x).sum(), 3),
        (lambda x: x[0].astype(int) * 1.0, 3),
        (lambda x: jnp.sum(jnp.ones(3)), 0),
        (lambda x: jax.pure_callback(lambda v: v, jax.ShapeDtypeStruct((), float), x[0]), 3),
        (lambda x: jnp.dot(x, x) * x[0], 3),
        (lambda x: jax.lax.map(lambda v: 2 * v, x).sum(), 1),
        (lambda x: jnp.where(jnp.isnan(x), 0.0, x).sum(), 3),
    ],
)
def test_degrees(f, degree):
    assert structure.read(f, X).degree.tolist() == [degree]


def test_further_arguments_are_constant_and_trees_are_read():
    def f(p, data):
        return {"fit": data @ p["w"] + p["b"], "size": p["b"] ** 2}

    read = structure.read(f, {"w": np.zeros(3), "b": 0.0}, np.array([[1.0, 0.0, 2.0]]))
    np.testing.assert_array_equal(read.jacobian.toarray(), [[1, 1, 0, 1], [1, 0, 0, 0]])
    assert read.degree.tolist() == [1, 2]
    assert "1 linear, 1 quadratic" in repr(read)


def test_no_inputs_and_no_outputs():
    assert structure.read(lambda x: jnp.sum(x), np.zeros(0)).degree.tolist() == [0]
    assert structure.read(lambda x: x[:0], X).jacobian.shape == (0, 5)
    assert structure.read(lambda x: jnp.sum(x), np.zeros(0)).groups == []
    assert structure.read(lambda x: x, 1.0).linear


def test_many_variables_stay_sparse():
    read = structure.read(rosenbrock, np.zeros(20_000))
    assert read.hessian.nnz == 3 * 20_000 - 2


@pytest.mark.parametrize(
    "f",
    [
        lambda x: jnp.sum((A @ x - 1.0) ** 2),
        lambda x: 0.5 * jnp.mean((jnp.sin(A @ x) - 2) ** 2) + 0.1 * jnp.sum(x**2) + 7.0,
        lambda x: jnp.linalg.norm(x - 3.0) ** 2,
        lambda x: jnp.vdot(x, x) / 4,
        lambda x: jnp.sum(jnp.arange(5.0) * jnp.square(x)) - 2.0,
        rosenbrock,
        lambda x: x[0] ** 2 + (x[1] - x[2]) ** 2,
    ],
)
def test_sums_of_squares(f):
    found = squares.read(f, X)
    for x in (X, 2 * X[::-1] - 1):
        np.testing.assert_allclose(jnp.sum(found.residual(x) ** 2) + found.constant, f(x), rtol=1e-12)
    # One residual a square: Gauss-Newton of it is not that of the trivial residual sqrt(f).
    assert found.residual(X).ndim == 1 and found.residual(X).size >= 2
    jax.jacrev(jax.jit(found.residual))(X)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: jnp.sum(x),
        lambda x: -jnp.sum(x**2),
        lambda x: jnp.sum(x**2) - x[0] ** 2,
        lambda x: jnp.sum(x**2) + x[0],
        lambda x: jnp.sum(jnp.abs(x)),
        lambda x: jnp.sum(x**2) * x[0],
        lambda x: x**2,
        lambda x: jnp.ones(()),
    ],
)
def test_what_is_no_sum_of_squares(f):
    assert squares.read(f, X) is None


@pytest.mark.parametrize("f", FUNCTIONS[:12], ids=range(12))
def test_colored_jacobians(f):
    flat = lambda x: jnp.ravel(f(x))  # noqa: E731
    pattern = structure.read(f, X).jacobian
    color = coloring.columns(pattern)
    seeds = np.eye(color.max() + 1)[color]
    products = jax.vmap(lambda v: jax.jvp(flat, (X,), (v,))[1], out_axes=1)(jnp.asarray(seeds).T)
    np.testing.assert_allclose(coloring.spread(pattern, color, products).toarray(), jax.jacfwd(flat)(X), atol=1e-14)


def test_a_band_takes_few_colors():
    band = abs(np.subtract.outer(np.arange(300), np.arange(300))) <= 1
    assert coloring.columns(band).max() + 1 == 3
    assert coloring.columns(np.zeros((3, 4), bool)).tolist() == [0, 0, 0, 0]
