"""Rounding and what follows from it, softened entry by entry.

Each step has a worst-case gap of half its height at any temperature, because an argument may stand at the step; given
the arguments, `.gap` is the bound at their distance from it. `temperature` is in the units of x. Integers become
floats, NaN stays NaN, infinities stay.
"""

from typing import Any

import jax
import jax.numpy as jnp

from descend.relax.families import Family, logistic
from descend.relax.operation import Law, floats, operation

_UNARY = (Law.PERMUTATION_EQUIVARIANT,)


def _one(key: jax.Array) -> tuple[Any, ...]:
    return (2 * jax.random.normal(key, (5,)),)


def staircase(x: Any, temperature: Any, family: Family) -> Any:
    """The soft floor: each unit step is the family's between two midpoints, scaled to meet its neighbors' slopes there.

    Args:
        x: floats.
        temperature: a float, or one for each entry of x.
        family: of the steps.
    """
    nearest = jax.lax.stop_gradient(jnp.round(x))
    off = jnp.where(jnp.isfinite(x), x - nearest, 0)  # an infinite number is its own nearest
    return nearest - 0.5 + family.odd(off / temperature) * (0.5 / family.odd(0.5 / temperature))


def _floor_gap(x: Any = 0.0, *, temperature: Any, family: Family = logistic) -> Any:
    (x,) = floats(x)
    off = jnp.abs(x - jnp.round(x))
    return 0.5 - family.odd(off / temperature) / (2 * family.odd(jnp.asarray(0.5 / temperature, x.dtype)))


@operation(hard=lambda x: jnp.floor(floats(x)[0]), gap=_floor_gap, sample=_one, laws=(Law.MONOTONE, *_UNARY))
def floor(x: Any, *, temperature: Any, family: Family = logistic) -> Any:
    """A staircase with soft steps at the integers, k - 1/2 at k; for high temperatures x - 1/2.

    Continuously differentiable. Gap: at worst 1/2, at a step.
    """
    (x,) = floats(x)
    return staircase(x, jnp.asarray(temperature, x.dtype), family)


@operation(
    hard=lambda x: jnp.ceil(floats(x)[0]),
    gap=_floor_gap,
    sample=_one,
    laws=(Law.MONOTONE, *_UNARY),
)
def ceil(x: Any, *, temperature: Any, family: Family = logistic) -> Any:
    """-floor(-x): k + 1/2 at k; for high temperatures x + 1/2. Gap: at worst 1/2, at a step."""
    (x,) = floats(x)
    return -staircase(-x, jnp.asarray(temperature, x.dtype), family)


def _trunc_gap(x: Any = 1.0, *, temperature: Any, family: Family = logistic) -> Any:
    """The doubt about the sign is worth one step, that about the step what it is for the floor."""
    (x,) = floats(x)
    return _floor_gap(x, temperature=temperature, family=family) + family.cdf(-jnp.abs(x) / temperature)


@operation(
    hard=lambda x: jnp.trunc(floats(x)[0]),
    gap=_trunc_gap,
    sample=_one,
    laws=(Law.MONOTONE, *_UNARY),
)
def trunc(x: Any, *, temperature: Any, family: Family = logistic) -> Any:
    """Toward zero, as conversion to an integer does: the floor where x is positive, else the ceiling, by a soft sign.

    0 at 0, without a step there; odd. Gap: that of `floor`, plus cdf(-|x|) for the doubt about the sign.
    """
    (x,) = floats(x)
    temperature = jnp.asarray(temperature, x.dtype)
    up, down = -staircase(-x, temperature, family), staircase(x, temperature, family)
    finite = jnp.isfinite(x)
    above = family.cdf(jnp.where(finite, x, 0) / temperature)
    inner = above * jnp.where(finite, down, 0) + (1 - above) * jnp.where(finite, up, 0)
    return jnp.where(finite, inner, x)


@operation(
    hard=lambda x: jnp.round(floats(x)[0]),
    gap=lambda x=0.5, **settings: _floor_gap(floats(x)[0] + 0.5, **settings),
    sample=_one,
    laws=(Law.MONOTONE, *_UNARY),
)
def round(x: Any, *, temperature: Any, family: Family = logistic) -> Any:
    """A staircase with soft steps at the half-integers; for high temperatures x. Gap: at worst 1/2, at a step."""
    (x,) = floats(x)
    return staircase(x + 0.5, jnp.asarray(temperature, x.dtype), family)


def _modulo_gap(x: Any = 0.0, y: Any = 1.0, *, temperature: Any, family: Family = logistic) -> Any:
    x, y = floats(x, y)
    size = jnp.abs(y)
    return size * _floor_gap(x / y, temperature=temperature / size, family=family)


@operation(
    hard=lambda x, y: jnp.mod(*floats(x, y)),
    gap=_modulo_gap,
    sample=lambda key: (*_one(key), jnp.asarray(1.5)),
    laws=_UNARY,
)
def modulo(x: Any, y: Any, *, temperature: Any, family: Family = logistic) -> Any:
    """x - y floor(x / y), the sign that of y, with a soft floor. Gap: at worst |y| / 2, where x is a multiple of y."""
    x, y = floats(x, y)
    return x - y * staircase(x / y, jnp.asarray(temperature, x.dtype) / jnp.abs(y), family)
