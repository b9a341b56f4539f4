"""Falls without end along -(1, 2)."""

import jax.numpy as jnp

import descend


def slope(x):
    return x[0] + 2.0 * x[1] + 0.0 * jnp.sum(x)


problem = descend.Problem(slope, over=descend.Real(2))
