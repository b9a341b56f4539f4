"""The shape of the objective, and what no route helps."""

import jax.numpy as jnp

from tests.corpus.data import P3, P10, P24, A
from tests.corpus.label import case


@case(P3, "smooth", thorough=("ill-conditioned",))
def narrow_valley(x):
    return x[0] ** 2 + 1e-4 * x[1] ** 2 + 1e-8 * (x[2] + 1) ** 2


@case(P10, "smooth", thorough=("underdetermined",))
def few_equations(x):
    return jnp.sum((A[:4] @ x - 1.0) ** 2)


@case(P3, "smooth", thorough=("underdetermined",))
def unused_variable(x):
    return (x[0] - 1) ** 2 + jnp.cos(x[1])


@case(P3, "smooth", thorough=("unbounded",))
def falling(x):
    return x[0] ** 2 + x[1] ** 2 - x[2]


@case(P3, "smooth")
def bounded_below(x):
    return jnp.exp(-x[0]) + x[1] ** 2 + jnp.exp(x[2] * 0.3)


@case(P24, thorough=("uninformative",))
def parity(x):
    bits = jnp.floor(10 * x)  #: flat
    return jnp.sum(bits) % 2 * 1.0


@case(P10, "uninformative")
def needle(x):
    return -jnp.where(jnp.sum((x - 5.0) ** 2) < 1e-4, 1.0, 0.0)
