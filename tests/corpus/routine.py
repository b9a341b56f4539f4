"""Norms, early exits, helpers from elsewhere, and code that leaves JAX."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.corpus.label import case
from tests.corpus.tools import bucket, clamp, first_order_lag, rms

rng = np.random.default_rng(106)
TABLE = jnp.asarray(rng.normal(size=(12, 3)))
SEEN = jnp.asarray(rng.normal(size=12))
HELD_OUT = jnp.asarray(rng.normal(size=(6, 3)))
LOAD = jnp.asarray(rng.uniform(0.2, 1.8, 24))
S2, S3, S4 = (rng.normal(size=n) for n in (2, 3, 4))


@case(S3)
def minimax_fit(w):
    worst = jnp.linalg.norm(TABLE @ w - SEEN, jnp.inf)  #: kinked
    return worst + 0.05 * jnp.sum(w**2)


@case(S3)
def least_deviations(w):
    return jnp.linalg.norm(TABLE @ w - SEEN, ord=1) / 12 + 0.05 * jnp.sum(w**2)  #: kinked


@case(S3, "smooth")
def residual_norm(w):
    """Twelve equations, three unknowns: the residual never vanishes."""
    return jnp.linalg.norm(TABLE @ w - SEEN) + 0.05 * jnp.sum(w**2)


@case(np.array([0.3, 0.6]), helpers=(bucket,))
def billed_by_the_quarter(x):
    used = LOAD * jnp.exp(0.3 * x[0])
    return jnp.mean(bucket(used, 0.25)) + 0.2 * (x[0] - 1) ** 2 + 0.1 * x[1] ** 2


@case(np.array([0.9, 0.4]), helpers=(clamp,))
def curtailed(x):
    """Never below nothing, which it cannot be anyway; cut at the capacity."""
    power = clamp(LOAD * x[0] ** 2, 0.0, 1.0)
    return -jnp.mean(power) + 0.3 * jnp.sum(x**2)


@case(np.array([0.5, 0.4]), "smooth")
def smoothed_load(x):
    share = jax.nn.sigmoid(x[0])
    follow = first_order_lag(LOAD, share)
    return rms(follow - 1.0 - 0.1 * x[1]) + 0.2 * rms(jnp.diff(follow)) + 0.05 * jnp.sum(x**2)


@case(np.array([-0.5, 0.3]))
def trained_until_worse(x):
    """Gradient steps until the held-out error rises."""
    rate = 0.1 * jnp.exp(x[0])

    def held_out(w):
        return jnp.mean((HELD_OUT @ w - 0.3) ** 2)

    def improving(state):
        w, before, i = state
        return (held_out(w) < before) & (i < 30)

    def step(state):
        w, _, i = state
        return w - rate * TABLE.T @ (TABLE @ w - SEEN) / 12, held_out(w), i + 1

    w, _, _ = jax.lax.while_loop(improving, step, (jnp.ones(3) * x[1], jnp.inf, 0))  #: jumps
    return held_out(w) + 0.1 * jnp.sum(x**2)


@case(S2)
def drawn_with_numpy(x):  #: black-box
    grid = np.linspace(-1, 1, 20)
    return float(np.trapezoid(np.exp(-((grid - x[0]) ** 2)) * np.cos(x[1] * grid), grid)) + float(x[0] ** 2)
