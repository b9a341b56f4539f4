"""Library functions that hide a corner, or only seem to."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.corpus.label import case

rng = np.random.default_rng(201)
INPUTS = jnp.asarray(rng.normal(size=(20, 3)))
WANTED = jnp.asarray(np.tanh(rng.normal(size=20)))
KNOTS = jnp.asarray([-1.0, -0.2, 0.5, 1.4])
HEIGHTS = jnp.asarray([0.3, 1.0, 0.1, 0.8])
SIGNAL = jnp.asarray(rng.normal(size=30))
H2, H3, H4, H6 = (rng.normal(size=n) for n in (2, 3, 4, 6))


def fit(activation, w):
    return jnp.mean((activation(INPUTS @ w) - WANTED) ** 2) + 0.05 * jnp.sum(w**2)  #: kinked


@case(H3, "smooth")
def elu_unit(w):
    """exp(x) - 1 and x have the same slope at zero."""
    return fit(jax.nn.elu, w)


@case(H3, helpers=(fit,))
def selu_unit(w):
    """Scaled, they have not."""
    return fit(jax.nn.selu, w)


@case(H3)
def leaky_unit(w):
    out = jax.nn.leaky_relu(INPUTS @ w, 0.1)  #: kinked
    return jnp.mean((out - WANTED) ** 2) + 0.05 * jnp.sum(w**2)


@case(H3, "smooth")
def softsign_unit(w):
    return fit(jax.nn.soft_sign, w)


@case(H3, "smooth")
def gelu_unit(w):
    return fit(jax.nn.gelu, w)


@case(2.0 * H3)
def hard_sigmoid_unit(w):
    out = jax.nn.hard_sigmoid(4.0 * INPUTS @ w)  #: kinked
    return jnp.mean((out - WANTED) ** 2) + 0.05 * jnp.sum(w**2)


@case(0.5 * H4)
def on_a_curve(x):
    y = jnp.interp(x, KNOTS, HEIGHTS)  #: kinked
    return jnp.sum((y - 0.6) ** 2) + 0.1 * jnp.sum(x**2)


@case(0.5 * H4)
def heaviside_mix(x):
    on = jnp.heaviside(x - 0.2, 0.5)  #: flat
    return jnp.sum(on * jnp.array([1.0, -2.0, 0.5, 1.5])) + 0.1 * jnp.sum(x**2)


@case(H4)
def truncated_toward_zero(x):
    return jnp.sum((jnp.trunc(3.0 * x) - 1.0) ** 2) / 9.0  #: flat


@case(H4)
def remainder_of_c(x):
    rest = jnp.fmod(2.0 * x, 0.7)  #: jumps
    return jnp.sum(rest * jnp.array([1.0, 0.5, -0.5, 2.0])) + 0.2 * jnp.sum(x**2)


@case(0.6 * H4)
def in_pieces(x):
    low, high, middle = (lambda v: -1.0 - 0.1 * v), (lambda v: 1.0 + v), (lambda v: 2.0 * v)
    y = jnp.piecewise(x, [x < -0.5, x > 0.5], [low, high, middle])  #: jumps
    return jnp.sum((y - 0.3) ** 2)


@case(H6)
def spread_of_values(x):
    return jnp.ptp(x) + 0.2 * jnp.sum((x - 0.1) ** 2)  #: kinked


@case(H6)
def share_in_bins(x):
    counts, _ = jnp.histogram(x, bins=5, range=(-2.0, 2.0))  #: flat
    return jnp.sum((counts / 6.0 - 0.2) ** 2) + 0.01 * jnp.sum(x**2)


@case(0.7 * H2, "smooth")
def log_of_sums(x):
    a = jnp.logaddexp(3.0 * x[0], -2.0 * x[1])
    return a + jax.nn.softplus(x[1] - x[0]) + 0.2 * jnp.sum(x**2)


@case(H6, "smooth")
def running_softmax(x):
    """The largest is subtracted for safety, and drops out."""
    top = jnp.max(x)
    e = jnp.exp(x - top)
    p = e / jnp.sum(e)
    return jnp.sum(p * jnp.arange(6.0)) + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.3]))
def envelope_follower(x):
    """Rises fast, falls slowly."""
    rise, fall = jax.nn.sigmoid(x[0] + 1.0), jax.nn.sigmoid(x[1] - 2.0)

    def follow(level, s):
        size = jnp.abs(s) * (1.0 + 0.1 * x[0])
        level = level + jnp.where(size > level, rise, fall) * (size - level)  #: kinked
        return level, level

    _, levels = jax.lax.scan(follow, jnp.asarray(0.2), SIGNAL)
    return jnp.mean((levels - 0.8) ** 2) + 0.1 * jnp.sum(x**2)
