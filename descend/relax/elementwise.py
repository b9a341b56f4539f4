"""Steps, comparisons and limits, softened entry by entry.

Operations that jump have a worst-case gap of half the jump at any temperature, because an argument may stand at the
jump. Given the arguments, `.gap` is the bound at their distance from the jump. All broadcast as their hard twins do,
integers become floats, NaN stays NaN, and infinities give the hard value. `temperature` is in the units of x.
"""

from typing import Any

import jax
import jax.numpy as jnp

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
    same = jnp.isinf(x) & (x == y)
    return jnp.where(same, 0, x - jnp.where(same, 0, y))


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
    finite = jnp.isfinite(x)
    safe = jnp.where(finite, x, 0)
    return jnp.where(finite, safe * family.odd(safe / jnp.asarray(temperature, x.dtype)), jnp.abs(x))


def _maximum_gap(x: Any = 0.0, y: Any = 0.0, *, temperature: Any, family: Family = logistic) -> Any:
    apart = jnp.abs(_difference(*floats(x, y))) / temperature
    leak = family.ramp(-apart) if family.light else apart * family.cdf(-apart)
    return jnp.where(jnp.isfinite(apart), temperature * leak, 0)


def _maximum(x: Any, y: Any, temperature: Any, family: Family) -> Any:
    x, y = floats(x, y)
    temperature = jnp.asarray(temperature, x.dtype)
    apart = x - y
    finite = jnp.isfinite(apart)
    z = jnp.where(finite, apart, 0) / temperature
    above = temperature * family.ramp(z) if family.light else jnp.where(finite, apart, 0) * family.cdf(z)
    return jnp.where(finite, jnp.where(finite, y, 0) + above, jnp.maximum(x, y))


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
        temperature, side = jnp.asarray(temperature, x.dtype), (-1 if lower is None else 1)
        finite = jnp.isfinite(x)
        safe = jnp.where(finite, x, 0)
        soft = bound + side * temperature * family.ramp(side * (safe - bound) / temperature)
        return jnp.where(finite, soft, jnp.clip(x, lower, upper))
    x, lower, upper = floats(x, lower, upper)
    temperature = jnp.asarray(temperature, x.dtype)
    finite = jnp.isfinite(x)
    safe = jnp.where(finite, x, 0)
    # Both ramps are small below the middle; above it, the mirrored expression keeps the precision.
    above = safe > (lower + upper) / 2
    low = jnp.where(above, lower + upper - safe, safe)
    soft = lower + temperature * (family.ramp((low - lower) / temperature) - family.ramp((low - upper) / temperature))
    return jnp.where(finite, jnp.where(above, lower + upper - soft, soft), jnp.clip(x, lower, upper))


def _check_bounds(lower: Any, upper: Any, family: Family) -> None:
    if (lower is None) != (upper is None) and not family.light:
        raise ValueError(f"clip at one bound needs a family with light tails, got {family}: give both bounds")
