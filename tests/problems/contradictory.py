"""No point is feasible; the least violation is in the middle."""

import jax.numpy as jnp

import descend


def objective(x):
    return jnp.sum(x**2)


def low(x):
    return x[0]


def high(x):
    return x[0]


problem = descend.Problem(
    objective, over=descend.Real(2), subject_to=[descend.at_most(low, -1.0), descend.at_least(high, 1.0)]
)


def empty():
    return descend.Problem(objective, over=descend.Real(2, 1.0, -1.0))
