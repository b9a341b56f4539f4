"""Continuous with kinks."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.data import AFFINE, P3, P10, PRICES, Q4, Q6, Q12, A, W, Y
from tests.corpus.label import case, over


@case(P10)
def lasso(x):
    fit = jnp.sum((A @ x) ** 2)
    return fit + jnp.sum(jnp.abs(x))  #: kinked


@case(P10)
def relu_net(x):
    hidden = jax.nn.relu(A @ x - 0.1)  #: kinked
    return jnp.sum((hidden - 1) ** 2)


@case(P3)
def largest_affine(x):
    return jnp.max(AFFINE @ x) + 5 * jnp.sum(x**2)  #: kinked


@case(P3)
def clipped(x):
    y = jnp.clip(x, -0.5, 0.5)  #: kinked
    return jnp.sum((y - 0.2) ** 2) + jnp.sum(x**4)


@case(P10)
def upper_quantile(x):
    q = jnp.quantile(x, 0.8)  #: kinked
    return q + jnp.sum(x**2)


@case(P10)
def middle(x):
    return jnp.median(x) ** 2 + jnp.sum(x**2)  #: kinked


@case(P10)
def trimmed(x):
    order = jnp.sort(x)  #: kinked
    return jnp.sum(order[2:-2] ** 2) + jnp.sum(x**2) * 0.1


@case(P3)
def meeting_branch(x):
    y = jnp.where(x > 0.1, x, 3 * x - 0.2)  #: kinked
    return jnp.sum(y**2 + x**2)


@case(P3)
def conditional(x):
    z = jax.lax.cond(x[0] > 0, lambda v: v[0] * 2, lambda v: v[0] * 5, x)  #: kinked
    return z + jnp.sum(x**2)


@case(P3)
def masked(x):
    positive = (x > 0) * x  #: kinked
    return jnp.sum(positive) + jnp.sum(x**2)


@case(P10)
def scanned(x):
    def step(level, inflow):
        level = jnp.maximum(level + inflow, 0.0)  #: kinked
        return level, level**2

    _, cost = jax.lax.scan(step, 0.5, x)
    return jnp.sum(cost) + jnp.sum(x**2)


@case(P3)
def distance_to_grid(x):
    return jnp.sum(jnp.abs(x - jnp.round(x))) + jnp.sum(x**2)  #: kinked


@case(Q6)
def hinge(w):
    losses = jnp.maximum(0.0, 1 - Y * (W @ w))  #: kinked
    return jnp.mean(losses) + 0.1 * jnp.sum(w**2)


@case(Q6)
def pinball(w):
    r = Y - W @ w
    return jnp.mean(jnp.maximum(0.3 * r, -0.7 * r)) + 0.01 * jnp.sum(w**2)  #: kinked


@case(Q12)
def total_variation(x):
    rough = jnp.abs(jnp.diff(x)).sum()  #: kinked
    return rough + jnp.sum((x - 1) ** 2)


@case(Q4)
def chebyshev(x):
    return jnp.linalg.norm(x, ord=jnp.inf) + jnp.sum((x - 0.3) ** 2)  #: kinked


@case(Q12)
def max_pool(x):
    pooled = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (3,), (3,), "VALID")  #: kinked
    return jnp.sum((pooled - 0.4) ** 2) + jnp.sum(x**2)


@case(Q12)
def best_three(x):
    best, _ = jax.lax.top_k(x, 3)  #: kinked
    return -jnp.sum(best) + jnp.sum(x**2)


@case(Q12)
def nested_helper(x):
    def soft_threshold(v, level):
        return jnp.sign(v) * jax.nn.relu(jnp.abs(v) - level)  #: kinked

    return jnp.sum((soft_threshold(x, 0.3) - 0.5) ** 2)


@case(Q4)
def leaky(x):
    return jnp.sum(jax.nn.leaky_relu(x) ** 2 + jax.nn.elu(x, alpha=2.0))  #: kinked


@case(np.array([0.3, -0.4]))
def interpolated(x):
    y = jnp.interp(x, jnp.linspace(-2.0, 2.0, 6), jnp.array([1.0, 0.0, 2.0, 1.0, 3.0, 0.0]))  #: kinked
    return jnp.sum(y**2)


@case(over({"buy": descend.Real(12, 0.0, 3.0), "level": descend.Real(lower=0.0, upper=5.0)}))
def storage(v):
    def day(level, inputs):
        amount, price = inputs
        overflow = jnp.maximum(level + amount - 5.0, 0.0)  #: kinked
        return level + amount - overflow - 0.5, price * amount + 10 * overflow

    _, costs = jax.lax.scan(day, v["level"], (v["buy"], PRICES))
    return jnp.sum(costs) + v["level"] ** 2
