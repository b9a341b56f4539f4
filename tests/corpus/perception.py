"""Images, statistics, matching and metrics."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.label import case, over

rng = np.random.default_rng(34)
PICTURE = jnp.asarray(rng.uniform(size=(10, 10)))
TRUE_MASK = jnp.asarray(PICTURE > 0.6)
LATENTS = jnp.asarray(rng.normal(size=(25, 3)))
MARKS = jnp.asarray(rng.integers(0, 2, 25))
LEVELS = jnp.asarray(np.sort(rng.uniform(size=6)))
CENTERS = jnp.asarray(rng.normal(size=(4, 3)))
Z3, Z4, Z6, Z8, Z9 = (rng.normal(size=n) for n in (3, 4, 6, 8, 9))


@case(np.array([0.55, 1.0]))
def foreground_mean(x):
    mask = x[0] < PICTURE  #: flat
    mean = jnp.sum(PICTURE * mask) / jnp.maximum(jnp.sum(mask), 1)
    return (mean - 0.8) ** 2 + (x[1] - 0.5) ** 2


@case(np.array([4.0, -2.2]))
def overlap(x):
    p = jax.nn.sigmoid(x[0] * PICTURE + x[1])
    said = p >= 0.5  #: flat
    both = jnp.sum(said & TRUE_MASK)
    either = jnp.sum(said | TRUE_MASK)
    return 1.0 - both / either


@case(np.array([4.0, -2.2]), "smooth")
def soft_overlap(x):
    p = jax.nn.sigmoid(x[0] * PICTURE + x[1])
    both = jnp.sum(p * TRUE_MASK)
    either = jnp.sum(p + TRUE_MASK - p * TRUE_MASK)
    return 1.0 - both / either + 0.001 * jnp.sum(x**2)


@case(Z3)
def neighbors_vote(w):
    d = jnp.sum(w[None, None] ** 2 * (LATENTS[:, None] - LATENTS[None]) ** 2, axis=-1) + 1e3 * jnp.eye(25)
    _, nearest = jax.lax.top_k(-d, 3)  #: flat
    vote = jnp.mean(MARKS[nearest], axis=1) > 0.5
    return jnp.mean(vote != MARKS)


@case(Z3)
def mean_of_nearest(x):
    d = jnp.sum((LATENTS - x[None]) ** 2, axis=1)
    near = -jax.lax.top_k(-d, 4)[0]  #: kinked
    return jnp.mean(jnp.log1p(near)) + 0.05 * jnp.sum(x**2)


@case(Z6)
def hard_triplets(x):
    z = x.reshape(2, 3)
    d = jnp.sum((CENTERS[:, None] - z[None]) ** 2, axis=-1)
    worst = jnp.max(d[:2], axis=0) - jnp.min(d[2:], axis=0)  #: kinked
    return jnp.sum(jnp.maximum(worst + 0.2, 0.0)) + 0.1 * jnp.sum(x**2)  #: kinked


@case(Z8, "smooth")
def standardized(x):
    h = x.reshape(4, 2)
    h = (h - jnp.mean(h, axis=0)[None]) * jax.lax.rsqrt(jnp.var(h, axis=0) + 1e-3)[None]
    return jnp.mean(jnp.tanh(h @ jnp.array([1.0, -0.5])) ** 2) + 0.1 * jnp.sum(x**2)


@case(Z9)
def absolute_deviation(x):
    center = jnp.median(x)  #: kinked
    spread = jnp.median(jnp.abs(x - center))  #: kinked
    return (spread - 1.0) ** 2 + 0.1 * jnp.sum(x**2)


@case(Z6)
def contrast_stretched(x):
    low, high = jnp.percentile(x, 10), jnp.percentile(x, 90)  #: kinked
    scaled = (x - low) / (high - low + 0.1)
    return jnp.sum((scaled - 0.4) ** 2) + 0.1 * jnp.sum(x**2)


@case(Z4, "smooth")
def entropy(x):
    p = jnp.clip(jax.nn.softmax(x), 1e-9, 1.0)
    return jnp.sum(p * jnp.log(p)) + 0.1 * jnp.sum(x**2)


@case(Z9, "smooth")
def picked_labels(x):
    logits = LATENTS @ x.reshape(3, 3)
    logp = jax.nn.log_softmax(logits)
    label = MARKS + (LATENTS[:, 0] > 0)
    return -jnp.mean(jnp.take_along_axis(logp, label[:, None], axis=1)) + 0.01 * jnp.sum(x**2)


@case(np.array([1.3, 0.4]))
def mode_of_operation(x):
    cases = [lambda v: v**2, lambda v: v + 1.0, lambda v: 2.0 - v]
    return jax.lax.switch(jnp.clip(x[0].astype(int), 0, 2), cases, x[1]) + x[1] ** 2  #: jumps


@case(Z4)
def worst_residual(x):
    return jnp.linalg.norm(LATENTS[:, :3] @ x[:3] - x[3], jnp.inf) + 0.1 * jnp.sum(x**2)  #: kinked


@case(Z3, "smooth")
def tracked_ellipse(x):
    """Distances that never vanish, by the library's norm."""
    r = jnp.linalg.norm(LATENTS - 10.0 - jnp.tanh(x)[None], axis=1)
    return jnp.mean((r - 17.0) ** 2) + jnp.sum(x**2)


@case(np.array([0.5, 0.2]))
def nearest_level(x):
    """Quantized to the nearest of given levels."""
    y = jax.nn.sigmoid(x[0] * PICTURE[0] + x[1])
    code = jnp.argmin(jnp.abs(y[:, None] - LEVELS[None]), axis=1)  #: flat
    return jnp.mean((LEVELS[code] - PICTURE[0]) ** 2)


@case(np.array([0.5, 0.2]))
def distance_to_levels(x):
    y = jax.nn.sigmoid(x[0] * PICTURE[0] + x[1])
    d = jnp.abs(y[:, None] - LEVELS[None])  #: kinked
    return jnp.mean(jnp.min(d, axis=1)) + 0.01 * jnp.sum(x**2)  #: kinked


@case(over(descend.Real(3, start=0.5 * Z3)))
def particle_filter(x, *, key):
    """One step of resampling: which particles survive changes abruptly."""
    particles = x[0] + jnp.linspace(-1.0, 1.0, 12) * jnp.exp(x[1])
    weights = jax.nn.softmax(-((particles - x[2]) ** 2))
    u = (jnp.arange(12) + jax.random.uniform(key)) / 12  #: stochastic
    kept = particles[jnp.searchsorted(jnp.cumsum(weights)[:-1], u)]  #: jumps
    return (jnp.mean(kept) - 0.3) ** 2 + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(4, start=Z4)), "smooth")
def cropped(x, *, key):
    corner = jax.random.randint(key, (2,), 0, 7)  #: stochastic
    patch = jax.lax.dynamic_slice(PICTURE, corner, (4, 4))
    return jnp.mean((patch @ x - 0.3) ** 2) + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(4, start=Z4)))
def noisy_rank(x, *, key):
    noise = 0.3 * jax.random.normal(key, (4,))  #: stochastic
    place = jnp.argsort(jnp.argsort(x + noise))  #: flat
    return jnp.sum(place * jnp.array([0.5, 0.1, -0.4, 0.2]))


@case(Z6)
def total_variation_denoising(x):
    return 0.5 * jnp.sum((x - PICTURE[0, :6]) ** 2) + 0.3 * jnp.sum(jnp.abs(jnp.diff(x)))  #: kinked
