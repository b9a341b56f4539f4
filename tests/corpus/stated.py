"""Domains and constraints."""

import jax.numpy as jnp

import descend
from tests.corpus.data import PRICES, Q4
from tests.corpus.label import case, over


@case(over(descend.Real(3, lower=0.0)), "smooth", "constrained")
def at_the_bound(x):
    return jnp.sum((x - 1) ** 2)


@case(over(descend.Real(3), descend.at_most(lambda x: jnp.sum(x), -1.0)), "smooth", "constrained")
def violated(x):
    return jnp.sum((x - 1) ** 2)


@case(over(descend.Real(3), descend.at_most(lambda x: jnp.sum(x), 7.0)), "smooth")
def inactive(x):
    return jnp.sum((x - 1) ** 2)


@case(over(descend.Binary(6), descend.at_most(lambda x: jnp.sum(x), 20.0)), "discrete", "smooth")
def knapsack(x):
    return -jnp.sum(PRICES[:6] * x) + 0.1 * jnp.sum(x) ** 2


def rounded_weight(x):
    return jnp.sum(jnp.round(x))  #: flat


@case(over(descend.Real(4, start=Q4), descend.at_most(rounded_weight, 50.0)), "smooth", helpers=(rounded_weight,))
def flat_constraint(x):
    return jnp.sum((x - 1) ** 2)
