"""Steps, comparisons and limits, softened entry by entry.

Operations that jump have a worst-case gap of half the jump at any temperature, because an argument may stand at the
jump. Given the arguments, `.gap` is the bound at their distance from the jump. All broadcast as their hard twins do,
integers become floats, NaN stays NaN, and infinities give the hard value. `temperature` is in the units of x.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero

from descend.relax.families import Family, logistic, worst_leak
from descend.relax.operation import Law, floats, operation

_UNARY = (Law.PERMUTATION_EQUIVARIANT,)


def _one(key: jax.Array) -> tuple[Any, ...]:
    return (2 * jax.random.normal(key, (5,)),)


def _two(key: jax.Array) -> tuple[Any, ...]:
    return tuple(jax.random.normal(key, (2, 5)))


def _step_gap(x: Any = 0.0, *, temperature: Any, family: Family = logistic) -> Any:
    (x,) = floats(x)
    return family.cdf(-jnp.abs(x) / temperature)


def _compare_gap(x: Any = 0.0, y: Any = 0.0, *, temperature: Any, family: Family = logistic) -> Any:
    """At a tie, where soft is 1/2 and hard decides, 1/2."""
    return family.cdf(-jnp.abs(_difference(*floats(x, y))) / temperature)


def _difference(x: Any, y: Any) -> Any:
    """x - y, and 0 for equal infinities, with finite derivatives."""
    if _known_finite(x) or _known_finite(y):
        return x - y
    same = jnp.isinf(x) & (x == y)
    return jnp.where(same, 0, x - jnp.where(same, 0, y))


def _known_finite(x: Any) -> bool:
    """Whether it is a constant without infinities: what it is compared with needs no care."""
    return not isinstance(x, Tracer) and x.size <= 1000 and bool(np.all(np.isfinite(np.asarray(x))))


@operation(
    hard=lambda x: jnp.heaviside(floats(x)[0], 0.5),
    gap=_step_gap,
    sample=_one,
    laws=(Law.MONOTONE, *_UNARY),
)
def heaviside(x: Any, *, temperature: Any, family: Family = logistic) -> Any:
    """The step from 0 to 1 at 0, 1/2 there: cdf(x / temperature). Gap: cdf(-|x| / temperature), at worst 1/2."""
    (x,) = floats(x)
    return family.cdf(x / jnp.asarray(temperature, x.dtype))


@operation(
    hard=lambda x, y: (jnp.asarray(x) > y).astype(jnp.result_type(*floats(x, y))),
    gap=_compare_gap,
    sample=_two,
    laws=(Law.MONOTONE,),
)
def greater(x: Any, y: Any, *, temperature: Any, family: Family = logistic) -> Any:
    """How true x > y is, a truth value in [0, 1], 1/2 at a tie. `.hard` is 0 or 1. Gap as for `heaviside` of x - y."""
    x, y = floats(x, y)
    return family.cdf(_difference(x, y) / jnp.asarray(temperature, x.dtype))


@operation(
    hard=lambda x, y: (jnp.asarray(x) < y).astype(jnp.result_type(*floats(x, y))),
    gap=_compare_gap,
    sample=_two,
)
def less(x: Any, y: Any, *, temperature: Any, family: Family = logistic) -> Any:
    """How true x < y is: see `greater`."""
    x, y = floats(x, y)
    return family.cdf(_difference(y, x) / jnp.asarray(temperature, x.dtype))


@operation(
    hard=lambda x, y: (jnp.asarray(x) == y).astype(jnp.result_type(*floats(x, y))),
    gap=lambda x=0.0, y=1e-300, *, temperature, family=logistic: jnp.where(
        jnp.asarray(x) == y, 0, 4 * family.pdf(_difference(*floats(x, y)) / temperature)
    ),
    sample=_two,
)
def equal(x: Any, y: Any, *, temperature: Any, family: Family = logistic) -> Any:
    """How nearly x equals y, in [0, 1]: the density of the step over its peak, 4 pdf((x - y) / temperature).

    1 where they are equal, at any temperature. Gap: the same where they are not, at worst 1.
    """
    x, y = floats(x, y)
    return 4 * family.pdf(_difference(x, y) / jnp.asarray(temperature, x.dtype))


@operation(
    hard=lambda x: jnp.sign(floats(x)[0]),
    gap=lambda x=0.0, **settings: 2 * _step_gap(x, **settings),
    sample=_one,
    laws=(Law.MONOTONE, *_UNARY),
)
def sign(x: Any, *, temperature: Any, family: Family = logistic) -> Any:
    """-1 to 1 across 0: 2 cdf(x / temperature) - 1. Gap: 2 cdf(-|x| / temperature), at worst 1."""
    (x,) = floats(x)
    return family.odd(x / jnp.asarray(temperature, x.dtype))


@operation(
    hard=lambda x: jnp.abs(floats(x)[0]),
    gap=lambda x=0.0, *, temperature, family=logistic: 2 * worst_leak(family) * temperature,
    sample=_one,
    laws=_UNARY,
)
def absolute(x: Any, *, temperature: Any, family: Family = logistic) -> Any:
    """x sign(x): even, 0 at 0, never above |x|. Gap: 2 max_z z (1 - cdf(z)) temperatures (0.56 for logistic)."""
    (x,) = floats(x)
    return _absolute(x, jnp.asarray(temperature, x.dtype), family)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _absolute(x: Any, temperature: Any, family: Family) -> Any:
    return x * family.odd(x / temperature)


@partial(_absolute.defjvp, symbolic_zeros=True)
def _absolute_jvp(family: Family, primals: Any, tangents: Any) -> Any:
    """Infinite numbers have the slope of the hard one, not the product of infinity and a tail."""
    x, temperature = primals
    z = jnp.clip(x / temperature, -1e18, 1e18)
    slopes = (lambda: family.odd(z) + 2 * z * family.pdf(z), lambda: -2 * z * (z * family.pdf(z)))
    return _absolute(*primals, family), _sum(x, slopes, tangents)


def _maximum_gap(x: Any = 0.0, y: Any = 0.0, *, temperature: Any, family: Family = logistic) -> Any:
    apart = jnp.abs(_difference(*floats(x, y))) / temperature
    leak = family.ramp(-apart) if family.light else apart * family.cdf(-apart)
    return jnp.where(jnp.isfinite(apart), temperature * leak, 0)


def _maximum(x: Any, y: Any, temperature: Any, family: Family) -> Any:
    x, y = floats(x, y)
    temperature = jnp.asarray(temperature, x.dtype)
    if family.light:
        return _larger(x, y, temperature, family, _known_finite(x) or _known_finite(y))
    apart = x - y
    finite = jnp.isfinite(apart)
    above = jnp.where(finite, apart, 0) * family.cdf(jnp.where(finite, apart, 0) / temperature)
    return jnp.where(finite, jnp.where(finite, y, 0) + above, jnp.maximum(x, y))


def _below(away: Any, temperature: Any) -> Any:
    """-|z|: how far from a corner."""
    return jnp.abs(away) * (-1 / temperature)


def _by_temperature(away: Any, temperature: Any, family: Family) -> Any:
    """The derivative of temperature tail(-|z|) by the temperature."""
    z = jnp.maximum(_below(away, temperature), -1e18)
    return family.tail(z) - z * family.cdf(z)


@partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _larger(x: Any, y: Any, temperature: Any, family: Family, finite: bool) -> Any:
    """`finite`: whether two equal infinities cannot meet. Every operation on whole arrays counts here."""
    away = x - y if finite else jnp.where(x == y, 0, x - y)
    return jnp.maximum(x, y) + temperature * family.tail(_below(away, temperature))


@partial(_larger.defjvp, symbolic_zeros=True)
def _larger_jvp(family: Family, finite: bool, primals: Any, tangents: Any) -> Any:
    x, y, temperature = primals
    away = x - y if finite else _difference(x, y)
    above = family.cdf(away * (1 / temperature))
    slopes = (lambda: above, lambda: 1 - above, lambda: _by_temperature(away, temperature, family))
    return _larger(*primals, family, finite), _sum(away, slopes, tangents)


def _sum(like: Any, slopes: tuple[Callable[[], Any], ...], tangents: Any) -> Any:
    """The tangent of a result, from the slopes by those operands that move."""
    moving = [slope() * dx for slope, dx in zip(slopes, tangents, strict=True) if not isinstance(dx, SymbolicZero)]
    return sum(moving, jnp.zeros_like(like))


@operation(
    hard=lambda x, y: jnp.maximum(*floats(x, y)),
    gap=_maximum_gap,
    sample=_two,
    laws=(Law.MONOTONE,),
)
def maximum(x: Any, y: Any, *, temperature: Any, family: Family = logistic) -> Any:
    """The larger of two: y + ramp(x - y), with a rounded corner; never below the hard one, convex.

    Gap: ramp(-|x - y|) in temperatures, at worst ramp(0) (log 2 for logistic). A family whose ramp has no limit
    (Cauchy) gives the mean by the weights of the comparison instead: never above the hard one, not monotone.
    """
    return _maximum(x, y, temperature, family)


@operation(
    hard=lambda x, y: jnp.minimum(*floats(x, y)),
    gap=_maximum_gap,
    sample=_two,
    laws=(Law.MONOTONE,),
)
def minimum(x: Any, y: Any, *, temperature: Any, family: Family = logistic) -> Any:
    """The smaller of two: -maximum(-x, -y). Gap as there."""
    x, y = floats(x, y)
    return -_maximum(-x, -y, temperature, family)


def _clip_gap(
    x: Any = 0.0, lower: Any = None, upper: Any = None, *, temperature: Any, family: Family = logistic
) -> Any:
    _check_bounds(lower, upper, family)
    if lower is None and upper is None:
        return jnp.zeros(())
    if lower is None or upper is None:
        return temperature * family.ramp(jnp.zeros(()))
    width = (jnp.asarray(upper, float) - jnp.asarray(lower, float)) / temperature
    return temperature * (family.ramp(jnp.zeros_like(width)) - family.ramp(-width))


@operation(
    hard=lambda x, lower=None, upper=None: jnp.clip(floats(x)[0], lower, upper),
    gap=_clip_gap,
    sample=lambda key: (*_one(key), jnp.asarray(-1.0), jnp.asarray(1.3)),
    laws=(Law.MONOTONE, *_UNARY),
)
def clip(x: Any, lower: Any = None, upper: Any = None, *, temperature: Any, family: Family = logistic) -> Any:
    """x held between bounds, with rounded corners: the integral of the soft steps at both bounds.

    Monotone, inside the bounds, slope at most 1. Bounds are finite; None for none. Gap: attained at a bound, at most
    ramp(0) temperatures (log 2 for logistic); for the Cauchy family it grows with the logarithm of upper - lower.

    Raises:
        ValueError: for one bound and a family whose ramp has no limit (Cauchy).
    """
    _check_bounds(lower, upper, family)
    if lower is None and upper is None:
        return floats(x)[0]
    if lower is None or upper is None:
        x, bound = floats(x, upper if lower is None else lower)
        side = -1 if lower is None else 1
        return side * _larger(side * x, side * bound, jnp.asarray(temperature, x.dtype), family, True)
    x, lower, upper = floats(x, lower, upper)
    return _held(x, lower, upper, jnp.asarray(temperature, x.dtype), family)


@partial(jax.custom_jvp, nondiff_argnums=(4,))
def _held(x: Any, lower: Any, upper: Any, temperature: Any, family: Family) -> Any:
    """The hard clip, and what the two rounded corners add: no two large numbers are subtracted."""
    corners = family.tail(_below(x - lower, temperature)) - family.tail(_below(x - upper, temperature))
    return jnp.clip(x, lower, upper) + temperature * corners


@partial(_held.defjvp, symbolic_zeros=True)
def _held_jvp(family: Family, primals: Any, tangents: Any) -> Any:
    x, lower, upper, temperature = primals
    above, below = (x - lower) / temperature, (x - upper) / temperature

    def inside() -> Any:
        """Of two steps that are both nearly 1 the mirrored ones are subtracted, which keeps the precision."""
        side = jnp.where(x > (lower + upper) / 2, -1, 1).astype(x.dtype)
        return side * (family.cdf(side * above) - family.cdf(side * below))

    def warmer() -> Any:
        return _by_temperature(x - lower, temperature, family) - _by_temperature(x - upper, temperature, family)

    slopes = (inside, lambda: family.cdf(-above), lambda: family.cdf(below), warmer)
    return _held(*primals, family), _sum(x + lower + upper, slopes, tangents)


def _check_bounds(lower: Any, upper: Any, family: Family) -> None:
    if (lower is None) != (upper is None) and not family.light:
        raise ValueError(f"clip at one bound needs a family with light tails, got {family}: give both bounds")
