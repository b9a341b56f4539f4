"""Smooth, however it looks."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.corpus.data import P3, P10, P100, Q2, Q4, Q6, Q100, W, Y
from tests.corpus.label import case


@case(np.array([-1.2, 1.0]), "smooth")
def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


@case(P10, "smooth")
def softplus(x):
    return jnp.sum(jax.nn.softplus(3 * x)) + jnp.sum(x**2)


@case(P10, "smooth")
def signed_square(x):
    return jnp.sum(x * jnp.abs(x) + x**4)


@case(P10, "smooth")
def huber(x):
    size = jnp.abs(x)
    return jnp.sum(jnp.where(size < 0.5, 0.5 * x**2, 0.5 * (size - 0.25)))


@case(P3, "smooth")
def equal_sides(x):
    return jnp.sum(jnp.where(x > 0, x**2, x * x))


@case(P3, "smooth")
def meeting_to_second_order(x):
    return jnp.sum(jnp.where(x > 0, x**3, -(x**3)) + x**2)


@case(P3, "smooth")
def steep(x):
    return jnp.sum(jnp.tanh(1000 * x) + 0.01 * x**2)


@case(P3 + 1, "smooth")
def norm(x):
    return jnp.linalg.norm(x) + jnp.sum(jnp.exp(-(x**2)))


@case(P10, "smooth")
def cross_entropy(x):
    logits = x.reshape(5, 2)
    return -jnp.mean(jax.nn.log_softmax(logits)[:, 0]) + 0.1 * jnp.sum(x**2)


@case(P100, "smooth")
def coupled(x):
    return jnp.sum(x**2) + jnp.sum(jnp.sin(x[1:] * x[:-1]))


@case(P3, "smooth")
def unused_rounding(x):
    count = jnp.sum(jnp.round(x))
    del count
    return jnp.sum(jnp.cos(x) + x**2)


@case(P3, "smooth")
def squared_size(x):
    return jnp.sum(jnp.abs(x) ** 2 + jnp.exp(x))


@case(P3, "smooth")
def guard(x):
    y = jnp.where(jnp.isnan(x), 0.0, x)
    return jnp.sum(y**2 + jnp.cos(y))


@case(P3, "smooth")
def far_clip(x):
    return jnp.sum(jnp.clip(jax.nn.sigmoid(x), 1e-12, 1.0) + x**2)


@case(P3, "smooth")
def indexed(x):
    total = 0.0
    for i in range(3):
        total = total + x[i] ** 2 * x[i - 1] + x[i] ** 4
    return total


@case(P3, "smooth")
def iterated(x):
    return jnp.sum(jax.lax.fori_loop(0, 10, lambda i, y: jnp.sin(y) + x, x) + x**2)


@case(P3 + 3, "smooth")
def determinant(x):
    m = jnp.outer(x, x) + jnp.diag(jnp.exp(x) + 1)
    return jnp.linalg.slogdet(m)[1] + jnp.sum(x**2)


@case(P3, "smooth")
def quadratic_hinge(x):
    return jnp.sum(jax.nn.relu(1 - x) ** 2) + jnp.sum((x + 1) ** 2)


@case(P3, "smooth")
def safe_division(x):
    r = x[0] / jnp.where(x[1] ** 2 + 1 == 0, 1.0, x[1] ** 2 + 1)
    return r**2 + jnp.sum(x**2)


@case(Q6, "smooth")
def logistic_regression(w):
    margin = jnp.where(Y > 0, 1.0, -1.0) * (W @ w)
    return jnp.mean(jnp.logaddexp(0.0, -margin)) + 0.05 * jnp.sum(w**2)


@case(Q4, "smooth")
def attention(x):
    scores = jnp.outer(x, x)
    weights = jax.nn.softmax(scores, axis=-1)
    return jnp.sum((weights @ x) ** 2) + jnp.sum(x**2)


@case(Q4, "smooth")
def gelu_net(x):
    return jnp.mean((jax.nn.gelu(W[:, :4] @ x) - Y) ** 2) + 0.1 * jnp.sum(jax.nn.silu(x))


@case(Q4, "smooth")
def pseudo_huber(x):
    return jnp.sum(jnp.sqrt(1 + x**2) - 1)


@case({"a": Q2, "b": np.float64(0.3)}, "smooth")
def tree_argument(p):
    return jnp.sum((p["a"] - p["b"]) ** 2) + p["b"] ** 4 + jnp.sum(p["a"] ** 2)


@case(Q6, "smooth")
def cubic_spline(x):
    return jnp.sum(jnp.maximum(x, 0.0) ** 3) + jnp.sum(x**2)


@case(Q4, "smooth")
def integrate(x):
    def step(state, _):
        position, speed = state
        speed = speed - 0.05 * jnp.sin(position)
        return (position + 0.05 * speed, speed), position

    (end, _), path = jax.lax.scan(step, (x[:2], x[2:]), None, length=50)
    return jnp.sum(end**2) + jnp.mean(path**2)


@case(Q4 * 0.2, "smooth")
def linear_solve(x):
    m = jnp.eye(4) * 5 + jnp.outer(x, x)
    return jnp.sum(jnp.linalg.solve(m, jnp.ones(4)) ** 2) + jnp.sum(x**2)


@case(Q6, "smooth")
def double_where(x):
    safe = jnp.where(x > 0, x, 1.0)
    y = jnp.where(x > 0, x**2 * jnp.log1p(safe) * 0 + x**2, x**2)
    return jnp.sum(y)


@case(Q100, "smooth")
def long_smooth(x):
    return jnp.sum(jnp.log1p(jnp.exp(-x))) + jnp.sum(jnp.cosh(0.1 * x))


@case(Q6, "smooth")
def logsumexp(x):
    return jax.nn.logsumexp(3 * x) + jnp.sum(x**2)
