"""Steps against dense linear algebra and known minimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from descend.optimizers import gauss_newton

KEYS = jax.random.split(jax.random.key(0), 6)
ROWS = {"x": jax.random.normal(KEYS[0], (7, 5)), "y": jnp.arange(7) % 3}


def scores(params, row):
    return jnp.tanh(row["x"] @ params["in"]) @ params["out"]


def cross_entropy(scores, row):
    return optax.softmax_cross_entropy_with_integer_labels(scores, row["y"])


def square(scores, row):
    return jnp.sum((scores - row["x"][:3]) ** 2) / 2


@pytest.mark.parametrize("loss", [cross_entropy, square])
@pytest.mark.parametrize("width", [2, 9])  # fewer parameters than outputs, and more
def test_a_step_is_that_of_the_dense_system(loss, width):
    params = {"in": jax.random.normal(KEYS[1], (5, width)), "out": jax.random.normal(KEYS[2], (width, 3))}
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    values = lambda z: jax.vmap(scores, (None, 0))(unravel(z), ROWS)  # noqa: E731
    total = lambda v: jnp.mean(jax.vmap(loss)(v, ROWS))  # noqa: E731
    jacobian = np.asarray(jax.jacfwd(values)(flat)).reshape(21, -1)
    curvature = np.asarray(jax.hessian(total)(values(flat))).reshape(21, 21)
    slope = np.asarray(jax.grad(lambda z: total(values(z)))(flat))
    dense = jacobian.T @ curvature @ jacobian + 1e-3 * np.eye(flat.size)
    method = gauss_newton(scores, loss, 1e-3, adapt=False)
    step, state = jax.jit(method.update)(None, method.init(params), params, batch=ROWS)
    np.testing.assert_allclose(jax.flatten_util.ravel_pytree(step)[0], -np.linalg.solve(dense, slope), rtol=1e-8)
    assert state.damping == 1e-3


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_valley_of_rosenbrock(dtype):
    residuals = lambda z, row: jnp.stack([10 * (z[1] - z[0] ** 2), row - z[0]])  # noqa: E731
    method = gauss_newton(residuals, lambda r, row: r @ r)

    def step(carry, _):
        z, state = carry
        move, state = method.update(None, state, z, batch=jnp.ones(1, dtype))
        return (z + move, state), residuals(z, 1.0) @ residuals(z, 1.0)

    start = jnp.array([-1.2, 1.0], dtype)
    (z, _), losses = jax.lax.scan(step, (start, method.init(start)), length=60)
    assert z.dtype == dtype and np.all(np.diff(losses) <= 0)
    np.testing.assert_allclose(z, 1.0, rtol=1e-3 if dtype == jnp.float32 else 1e-9)


def test_a_step_that_raises_the_loss_is_not_taken():
    method = gauss_newton(lambda z, row: jnp.arctan(z), lambda r, row: r @ r, damping=1e-6)
    start = jnp.array([3.0])
    step, state = method.update(None, method.init(start), start, batch=jnp.zeros(1))
    assert step == 0 and state.damping > 1e-6
    with pytest.raises(ValueError, match="batch"):
        method.update(None, state, start)
