"""NaN on the negative half, infinite at zero; NaN everywhere."""

import jax.numpy as jnp

import descend


def logarithmic(x):
    return jnp.sum(x - jnp.log(x))


def nowhere(x):
    return jnp.sum(x) * jnp.nan


problem = descend.Problem(logarithmic, over=descend.Real(2, start=2.0))
hopeless = descend.Problem(nowhere, over=descend.Real(2))
