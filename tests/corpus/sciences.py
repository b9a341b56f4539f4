"""Instruments, orbits, reactions, genes, grids."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.helpers import lots, rk4
from tests.corpus.label import case, over

rng = np.random.default_rng(41)
TRACE = jnp.asarray(np.abs(rng.normal(size=30)) + np.linspace(0.0, 1.0, 30))
DOSE_TIMES = jnp.asarray([2.0, 5.0, 9.0])
STRAIN = jnp.asarray(np.concatenate([np.linspace(0, 1, 8), np.linspace(1, -0.5, 10)]))
BASES = jnp.asarray(rng.integers(0, 4, 30))
FIELD = jnp.asarray(rng.normal(size=(6, 6)))
DEPTHS = jnp.asarray([0.0, 0.5, 1.2, 2.0, 3.5])
SPEEDS = jnp.asarray([1.5, 2.0, 2.8, 3.1, 4.0])
S2, S3, S4, S5, S8 = (rng.normal(size=n) for n in (2, 3, 4, 5, 8))


@case(np.array([0.9, 0.3]))
def peaks_above_threshold(x):
    """Photon counting: pulses over a discriminator level."""
    pulses = x[0] * TRACE - x[1]
    seen = (pulses[1:-1] > pulses[:-2]) & (pulses[1:-1] > pulses[2:]) & (pulses[1:-1] > 0.7)  #: flat
    return (jnp.sum(seen) - 6.0) ** 2


@case(np.array([1.1, 0.8]))
def saturated_detector(x):
    counts = x[0] * TRACE + 0.1 * x[1]
    reading = jnp.where(counts > 1.5, 1.5, counts)  #: kinked
    return jnp.mean((reading - 0.9) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 1.2]))
def plastic_bar(x):
    """Strain forth and back: elastic until it yields, which is remembered."""

    def load(plastic, strain):
        trial = 2.0 * (strain - plastic)
        excess = jnp.maximum(jnp.abs(trial) - x[0] ** 2, 0.0)  #: kinked
        plastic = plastic + jnp.sign(trial) * excess / 2.0
        return plastic, 2.0 * (strain - plastic)

    _, stress = jax.lax.scan(load, jnp.asarray(0.0), STRAIN * x[1])
    return jnp.mean((stress - 0.3) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.7, 0.4]), "smooth")
def two_compartments(x):
    def slope(s):
        rates = jnp.exp(x - 1.0)
        return jnp.stack([-rates[0] * s[0], rates[0] * s[0] - rates[1] * s[1]])

    def step(s, i):
        s = jnp.where(i % 20 == 0, s + jnp.array([1.0, 0.0]), s)
        return rk4(slope, s, 0.1), s[1]

    _, level = jax.lax.scan(step, jnp.zeros(2), jnp.arange(60))
    return jnp.mean((level - 0.5) ** 2) + 0.01 * jnp.sum(x**2)


@case(np.array([0.7, 0.4]))
def rescue_dose(x):
    """A second dose whenever the level is low at the hour of the visit."""

    def visit(level, _):
        level = 0.6 * level + x[1] ** 2 * 0.1
        level = jax.lax.cond(level < x[0], lambda v: v + 0.8, lambda v: v, level)  #: jumps
        return level, level

    _, levels = jax.lax.scan(visit, jnp.asarray(1.0), None, length=10)
    return jnp.mean((levels - 0.9) ** 2)


@case(np.array([0.3, 0.2, -0.1]), "smooth")
def codon_usage(x):
    energy = jnp.concatenate([x, jnp.zeros(1)])
    counts = jnp.bincount(BASES, length=4)
    return -jnp.sum(counts * jax.nn.log_softmax(energy)) / 30 + 0.05 * jnp.sum(x**2)


@case(np.array([1.3, 0.6]))
def layered_earth(x):
    """The speed of sound by layers, not interpolated."""
    depth = jnp.exp(x[0] * jnp.linspace(0.1, 0.9, 7)) - 1
    layer = jnp.clip(jnp.searchsorted(DEPTHS, depth) - 1, 0, 4)  #: flat
    return jnp.sum(0.1 / SPEEDS[layer]) + (x[1] - 0.5) ** 2 + 0.1 * x[0] ** 2


@case(np.array([1.3, 0.6]))
def graded_earth(x):
    depth = jnp.exp(x[0] * jnp.linspace(0.1, 0.9, 7)) - 1
    return jnp.sum(0.1 / jnp.interp(depth, DEPTHS, SPEEDS)) + (x[1] - 0.5) ** 2 + 0.1 * x[0] ** 2  #: kinked


@case(np.array([0.2, 0.1]), "smooth")
def keplerian(x):
    e = 0.5 * jax.nn.sigmoid(x[0])
    mean = jnp.linspace(0.0, 6.0, 9) + x[1]
    anomaly = jax.lax.fori_loop(0, 10, lambda _, a: a - (a - e * jnp.sin(a) - mean) / (1 - e * jnp.cos(a)), mean)
    return jnp.mean((jnp.cos(anomaly) - e) ** 2) + 0.1 * jnp.sum(x**2)


@case(S8, "smooth")
def upwind(x):
    """The flux is taken from where the wind comes from; at the turn there is none, and what is left is squared."""
    u = x[:6]
    right, left = jnp.roll(u, -1) - u, u - jnp.roll(u, 1)
    flux = jnp.where(u > 0, u * left, u * right)
    return jnp.sum((u - 0.1 * flux) ** 2) + 0.1 * jnp.sum(x**2)


@case(S8)
def limited_slopes(x):
    a, b = x[1:-1] - x[:-2], x[2:] - x[1:-1]
    slope = jnp.where(a * b > 0, jnp.where(jnp.abs(a) < jnp.abs(b), a, b), 0.0)  #: kinked
    return jnp.sum((x[1:-1] + 0.5 * slope - 0.3) ** 2) + 0.1 * jnp.sum(x**2)


@case(S4)
def lattice_sites(x):
    at = jnp.round(3 * x[:2]).astype(int)  #: flat
    value = FIELD[at[0] % 6, at[1] % 6]
    return value + jnp.sum((x - 0.2) ** 2)


@case(np.array([0.8, 0.4]), helpers=(lots,))
def weighed_out(x):
    """Powder in scoops, water as it flows."""
    scoops = lots(jnp.exp(x[0]), 0.25)
    water = jnp.exp(x[1])
    return (scoops / water - 1.5) ** 2 + 0.1 * x[1] ** 2


@case(np.array([0.4, 0.7]), "smooth")
def arrhenius(x):
    temperature = 300.0 + 50.0 * jnp.tanh(x[0])
    rate = jnp.exp(-2000.0 / jnp.maximum(temperature, 1.0)) * 1e3
    return (1 - jnp.exp(-rate * jax.nn.softplus(x[1])) - 0.4) ** 2 + 0.1 * jnp.sum(x**2)


@case(S5)
def weakest_link(x):
    strength = jnp.exp(0.3 * x)
    return -jnp.min(strength / jnp.arange(1.0, 6.0)) + 0.1 * jnp.sum(x**2)  #: kinked


@case(np.array([2.2, 0.5]), "smooth")
def chebyshev_fit(x):
    t = jnp.linspace(-1.0, 1.0, 9)
    basis = jnp.stack([jnp.ones(9), t, 2 * t**2 - 1])
    c = jnp.stack([x[0], x[1], x[0] * x[1]])
    return jnp.mean((c @ basis - jnp.abs(t)) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.35, 0.5]))
def avalanche(x):
    """A slope that slides back to rest whenever it is too steep."""

    def grain(angle, _):
        angle = angle + 0.02 + 0.01 * x[1] ** 2
        angle = jnp.where(angle > x[0], 0.5 * x[0], angle)  #: jumps
        return angle, angle

    _, angles = jax.lax.scan(grain, jnp.asarray(0.1), None, length=40)
    return jnp.mean((angles - 0.2) ** 2)


@case(over(descend.Real(2, start=np.array([0.6, 0.3]))))
def decays(x, *, key):
    """Atoms that decay before the detector is switched off."""
    times = -jnp.log(jax.random.uniform(key, (20,), minval=1e-6)) / jnp.exp(x[0])  #: stochastic
    seen = times < 1.0  #: flat
    return (jnp.mean(seen) - 0.5) ** 2 + 0.0 * x[1]


@case(over(descend.Real(2, start=np.array([0.6, 0.3]))), "smooth")
def mean_lifetime(x, *, key):
    times = jax.random.exponential(key, (20,)) / jnp.exp(x[0])  #: stochastic
    return (jnp.mean(times) - 0.5) ** 2 + x[1] ** 2 + 0.1 * x[0] ** 2


@case(S3)
def spin_glass(x):
    spins = jnp.where(jnp.stack([x[0] + x[1], x[1] - x[2], x[2] - 0.3 * x[0], x[0]]) > 0, 1.0, -1.0)  #: flat
    return jnp.sum(FIELD[:4, :4] * spins[:, None] * spins[None])
