"""Discontinuous, with a derivative elsewhere."""

import jax
import jax.numpy as jnp

from tests.corpus.data import P3, P10, Q4, Q6
from tests.corpus.label import case


@case(P3)
def modulo(x):
    return jnp.sum(jnp.mod(x, 0.7))  #: jumps


@case(P3)
def sawtooth(x):
    return jnp.sum(x - jnp.floor(x)) + 0.1 * jnp.sum(x**2)  #: jumps


@case(P3)
def open_branch(x):
    y = jnp.where(x > 0.1, x**2, x**2 + 1)  #: jumps
    return jnp.sum(y)


@case(P3)
def cond_jump(x):
    return jax.lax.cond(x[0] > 0, lambda v: jnp.sum(v**2), lambda v: jnp.sum(v**2) + 1, x)  #: jumps


@case(P10)
def paired_sort(x):
    cost = x[:5]
    value = x[5:] ** 2
    chosen = value[jnp.argsort(cost)]  #: jumps
    return jnp.sum(chosen * jnp.arange(5.0)) + jnp.sum(cost**2)


@case(P3)
def bouncing(x):
    def step(state):
        level, count = state
        return level * 0.5, count + 1

    level, _ = jax.lax.while_loop(lambda s: s[0] > 1.0, step, (jnp.sum(x**2) + 1.5, 0))  #: jumps
    return level + jnp.sum(x**2)


@case(P3)
def tariff(x):
    use = jnp.sum(x**2)
    rate = use > 1.0  #: jumps
    return use + use * rate


@case(Q4)
def fixed_charge(x):
    use = jnp.sum(x**2)
    return jnp.where(use > 1.5, use + 2.0, 0.5 * use)  #: jumps


@case(Q4)
def wrapped_angle(x):
    angle = (jnp.sum(x) + jnp.pi) % (2 * jnp.pi) - jnp.pi  #: jumps
    return angle + jnp.sum(x**2)


@case(Q6)
def nearest_price(x):
    which = jnp.argmin(jnp.abs(x[0] - jnp.array([-1.0, 0.0, 1.0])))
    return (x[1:4] ** 2 + jnp.arange(3.0))[which] + jnp.sum(x**2)  #: jumps


@case(Q4, thorough=("unbounded",))
def switched(x):
    mode = jnp.clip((2 * x[0] + 1).astype(int), 0, 2)
    costs = [lambda v: jnp.sum(v**2), lambda v: 2 + jnp.sum(v), lambda v: 5.0 - v[1]]
    return jax.lax.switch(mode, costs, x)  #: jumps
