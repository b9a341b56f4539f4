"""A bowl with a bound on one side: the optimum is x = (1, 2), the value 1, the multiplier of the bound 2."""

import jax.numpy as jnp

import descend


def bowl(x):
    return jnp.sum((x - jnp.array([2.0, 2.0])) ** 2)


def first(x):
    return x[0]


problem = descend.Problem(bowl, over=descend.Real(2), subject_to=[descend.at_most(first, 1.0)])


def stated():
    return problem


def of_size(n):
    return descend.Problem(bowl, over=descend.Real(n))


number = 3
