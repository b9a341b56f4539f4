"""Constants that the corpus is written with: data, and points to look at."""

import jax.numpy as jnp
import numpy as np

rng = np.random.default_rng(0)
A = jnp.asarray(rng.normal(size=(40, 10)))
LABELS = jnp.asarray(rng.integers(0, 3, 50))
X = jnp.asarray(rng.normal(size=(50, 4)))
TABLE = jnp.asarray(rng.normal(size=9))
AFFINE = jnp.asarray(rng.normal(size=(6, 3)))
P3, P10, P100 = rng.normal(size=3), rng.normal(size=10), rng.normal(size=100)
W0 = 0.1 * rng.normal(size=(4, 3))
P24 = 0.3 * rng.normal(size=24)

rng = np.random.default_rng(7)
W = jnp.asarray(rng.normal(size=(30, 6)))
Y = jnp.asarray(rng.normal(size=30))
CITIES = jnp.asarray(rng.uniform(size=(7, 2)))
PRICES = jnp.asarray(rng.uniform(1, 3, size=12))
Q2, Q4, Q6, Q12, Q100 = (rng.normal(size=n) for n in (2, 4, 6, 12, 100))
