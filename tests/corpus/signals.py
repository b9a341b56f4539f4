"""Signals, images, statistics: kinks inside library functions, interpolation, spectra."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from tests.corpus.label import case

rng = np.random.default_rng(15)
IMAGE = jnp.asarray(rng.normal(size=(8, 8)))
LINE = jnp.asarray(rng.normal(size=12))
OBSERVED = jnp.asarray(np.where(rng.uniform(size=10) < 0.3, np.nan, rng.normal(size=10)))
B2, B3, B6, B9, B10, B15, B16 = (rng.normal(size=n) for n in (2, 3, 6, 9, 10, 15, 16))


@case(np.array([2.3, 4.6]))
def hand_interpolated(x):
    p = jnp.clip(x, 0.0, 10.0)  #: kinked
    i = jnp.floor(p).astype(int)  #: kinked
    t = p - i
    return jnp.sum(LINE[i] * (1 - t) + LINE[i + 1] * t) + 0.01 * jnp.sum(x**2)


@case(np.array([2.3, 4.6]))
def nearest_sample(x):
    i = jnp.clip(jnp.round(x).astype(int), 0, 11)  #: flat
    return jnp.sum(LINE[i])


@case(np.array([2.3, 4.6]))
def library_interpolated(x):
    return map_coordinates(IMAGE, [x[:1], x[1:]], order=1, mode="nearest")[0] + 0.01 * jnp.sum(x**2)  #: kinked


@case(B9, "smooth")
def smoothed_variation(x):
    d = jnp.diff(x.reshape(3, 3), axis=0)[:, :2] ** 2 + jnp.diff(x.reshape(3, 3), axis=1)[:2] ** 2
    return jnp.sum(jnp.sqrt(d + 1e-2)) + jnp.sum((x - 0.5) ** 2)


@case(B9)
def median_filter(x):
    windows = jnp.stack([x[i : i + 3] for i in range(7)])
    return jnp.sum((jnp.median(windows, axis=1) - 0.2) ** 2) + 0.1 * jnp.sum(x**2)  #: kinked


@case(B9)
def edge_count(x):
    return jnp.count_nonzero(jnp.abs(jnp.diff(x)) > 0.8).astype(float)  #: flat


@case(B16)
def spectrum_size(x):
    """The mean and the alternating part are real: their sizes have kinks."""
    return jnp.sum(jnp.abs(jnp.fft.rfft(x))) + jnp.sum(x**2)  #: kinked


@case(B16, "smooth")
def power_spectrum(x):
    return jnp.sum(jnp.abs(jnp.fft.rfft(x)) ** 2 * jnp.arange(9.0)) + jnp.sum(x**4)


@case(B16)
def loudness(x):
    envelope = jnp.max(jnp.abs(x.reshape(4, 4)), axis=1)  #: kinked
    return jnp.sum(jnp.log1p(envelope**2))


@case(B10)
def spread(x):
    return jnp.ptp(x) + jnp.sum((x - 0.3) ** 2)  #: kinked


@case(B10, "smooth")
def correlation(x):
    return jnp.corrcoef(x[:5], x[5:])[0, 1] + 0.1 * jnp.sum(x**2)


@case(B10)
def missing_values(x):
    """The mean leaves the gaps out; the derivative of the square does not (zero times NaN)."""
    return jnp.nanmean((OBSERVED - x) ** 2) + 0.1 * jnp.sum(x**2)  #: non-finite


@case(B10, "smooth")
def masked_values(x):
    filled = jnp.where(jnp.isnan(OBSERVED), 0.0, OBSERVED)
    return jnp.sum(jnp.where(jnp.isnan(OBSERVED), 0.0, (filled - x) ** 2)) + 0.1 * jnp.sum(x**2)


@case(B3)
def taxicab(x):
    return jnp.linalg.norm(x - 0.2, ord=1) + jnp.sum(x**2)  #: kinked


@case(B3)
def root_of_square(x):
    return jnp.sum(jnp.sqrt((x - 0.1) ** 2)) + jnp.sum(x**2)  #: kinked


@case(np.array([0.4, 0.8]))
def one_dimensional_norms(x):
    residual = (x - 0.2)[:, None]
    return jnp.sum(jnp.linalg.norm(residual, axis=1)) + jnp.sum(x**2)  #: kinked


@case(B3)
def largest_of_diagonal(x):
    return jnp.linalg.eigvalsh(jnp.diag(x))[-1] + jnp.sum(x**2)  #: kinked


@case(B15, "smooth")
def nuclear_norm(x):
    return jnp.sum(jnp.linalg.svd(x.reshape(5, 3), compute_uv=False)) + 0.1 * jnp.sum(x**2)


@case(B9, "smooth")
def matrix_functions(x):
    m = x.reshape(3, 3)
    return jnp.sum(jax.scipy.linalg.expm(0.3 * m) ** 2) + jnp.linalg.slogdet(m @ m.T + jnp.eye(3))[1]


@case(B6, "smooth")
def special_functions(x):
    tail = jax.scipy.stats.norm.logcdf(x)
    return -jnp.sum(tail) + jnp.sum(jnp.sinc(x)) + jnp.sum(jax.scipy.special.gammaln(1.5 + x**2)) + jnp.sum(x**2)


@case(B6)
def piecewise(x):
    parts = jnp.piecewise(x, [x < -0.5, x > 0.5], [lambda v: -v, lambda v: v**2, lambda v: 0.5 + 0 * v])  #: jumps
    return jnp.sum(parts) + jnp.sum(x**2)


@case(B6)
def histogram_match(x):
    counts, _ = jnp.histogram(x, bins=4, range=(-2.0, 2.0))  #: flat
    return jnp.sum((counts - 1.5) ** 2)


@case(B6, "smooth")
def rearranged(x):
    y = jnp.take(jnp.roll(x, 2), jnp.array([5, 0, 3]))
    return jnp.trapezoid(y**2) + jnp.polyval(jnp.array([1.0, 0.5, 2.0]), x[0]) + jnp.sum(x**2)


@case(B2)
def log_size(x):
    return jnp.sum(jnp.log1p(jnp.abs(x))) + jnp.sum(x**2)  #: kinked


@case(B6)
def winsorized(x):
    low, high = jnp.quantile(x, 0.2), jnp.quantile(x, 0.8)  #: kinked
    return jnp.mean((jnp.clip(x, low, high) - 0.2) ** 2) + 0.1 * jnp.sum(x**2)  #: kinked


@case(B6)
def rank_correlation(x):
    ranks = jnp.argsort(jnp.argsort(x))  #: flat
    return -jnp.corrcoef(ranks * 1.0, jnp.arange(6.0))[0, 1]


@case(B6)
def bits(x):
    code = jnp.sum(jnp.where(x > 0.1, 1, 0) * 2 ** jnp.arange(6))  #: flat
    return jnp.cos(code * 0.1)


@case(B10)
def trimmed_mean(x):
    kept = jax.lax.dynamic_slice(jnp.sort(x), (2,), (6,))  #: kinked
    return jnp.mean(kept) ** 2 + 0.1 * jnp.sum(x**2)
