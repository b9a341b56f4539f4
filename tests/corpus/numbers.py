"""Numbers that are not finite."""

import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.data import P3, Q4
from tests.corpus.label import case, over


@case(over(descend.Real(3, lower=0.1, upper=5.0)), "smooth")
def nan_outside(x):
    return jnp.sum(x - jnp.log(x))


@case(np.array([0.4, 0.3, 0.5]))
def log_barrier(x):
    return jnp.sum(x) - 0.1 * jnp.sum(jnp.log(x))  #: non-finite


@case(np.zeros(3))
def norm_at_zero(x):
    return jnp.linalg.norm(x) + jnp.sum((x - 1) ** 2)  #: non-finite #: kinked


@case(P3)
def hidden_nan(x):
    root = jnp.sqrt(x)  #: non-finite
    y = jnp.where(x > 0, root, 0.0)  #: kinked
    return jnp.sum((y - 1) ** 2 + x**2)


@case(Q4)
def entropy(x):
    p = x / jnp.sum(x)
    return jnp.sum(p * jnp.log(p))  #: non-finite


@case(over(descend.Simplex(4)), "smooth")
def interior_entropy(p):
    return jnp.sum((p + 0.01) * jnp.log(p + 0.01))


@case(np.zeros(3))
def root(x):
    y = x**2
    return jnp.sum(jnp.sqrt(y))  #: non-finite #: kinked
