"""Comparisons, logic, rounding, limits and conversions of soft values."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp

from descend.program import compat
from descend.relax import elementwise, rounding
from descend.relax.families import logistic
from descend.relax.rewriting.rules import Setting, rule
from descend.relax.rewriting.values import (
    Grain,
    Soft,
    Spread,
    common,
    floating,
    grain,
    is_soft,
    least_grain,
    shape,
    soft,
)


def _pair(*values: Any) -> list[Any]:
    dtype = common(*values)
    return [floating(v, dtype) for v in values]


def _truth(value: Any) -> Soft:
    return Soft(value, jnp.dtype(bool), Grain.BIT)


def _coarsest(*values: Any) -> Grain:
    return Grain(min(grain(v) for v in values))


def _compare(hard: Callable[..., Any], setting: Setting, x: Any, y: Any) -> Any:
    """How true a comparison is. A side that is 0 or 1 is looked at for each, by weight: there no temperature enters."""
    for p, put in ((x, lambda bit: (bit, y)), (y, lambda bit: (x, bit))):
        if is_soft(p) and grain(p) is Grain.BIT:
            dtype = jnp.result_type(soft(p).value)
            no, yes = (_compare(hard, setting, *put(jnp.full(shape(p), bit))) for bit in (0, 1))
            no, yes = jnp.asarray(no, dtype), jnp.asarray(yes, dtype)
            return no + soft(p).value * (yes - no)
    return _SOFTLY[hard](setting, x, y) if is_soft(x) or is_soft(y) else hard(x, y)


def _above(setting: Setting, margin: float, x: Any, y: Any) -> Any:
    """How true x > y is; whole numbers are apart by the margin where the comparison turns."""
    offset = margin if _coarsest(x, y) >= Grain.WHOLE else 0.0
    x, y = _pair(x, y)
    return elementwise.greater(x - offset if offset else x, y, **setting.how)


def _equality(setting: Setting, x: Any, y: Any) -> Any:
    """The mass of the step's density in the unit cell: equal to, below and above add up to 1."""
    x, y = _pair(x, y)
    step = partial(elementwise.heaviside, **setting.how)
    return step(x - y + 0.5) - step(x - y - 0.5)


_SOFTLY: dict[Any, Callable[..., Any]] = {
    jnp.greater: lambda setting, x, y: _above(setting, 0.5, x, y),
    jnp.greater_equal: lambda setting, x, y: _above(setting, -0.5, x, y),
    jnp.less: lambda setting, x, y: _above(setting, 0.5, y, x),
    jnp.less_equal: lambda setting, x, y: _above(setting, -0.5, y, x),
    jnp.equal: _equality,
    jnp.not_equal: lambda setting, x, y: 1 - _equality(setting, x, y),
}


def _order(hard: Callable[..., Any], setting: Setting, eqn: Any, x: Any, y: Any) -> Any:
    return _truth(_compare(hard, setting, x, y))


rule("gt")(partial(_order, jnp.greater))
rule("ge")(partial(_order, jnp.greater_equal))
rule("lt", "lt_to")(partial(_order, jnp.less))
rule("le", "le_to")(partial(_order, jnp.less_equal))


def _equal(hard: Callable[..., Any], setting: Setting, eqn: Any, x: Any, y: Any) -> Any:
    """Real numbers are equal on a set without measure: there the question is a guard, and stays hard."""
    if isinstance(x, Spread) and isinstance(y, Spread):
        same = (x.values[..., :, None] == y.values[..., None, :]) * x.weights[..., :, None] * y.weights[..., None, :]
        agree = jnp.sum(same, (-2, -1))
        return _truth(agree if hard is jnp.equal else 1 - agree)
    if _coarsest(x, y) is Grain.REAL:
        return hard(*_pair(x, y)) if x is not y else hard(soft(x).value, soft(x).value)
    return _truth(_compare(hard, setting, x, y))


rule("eq", "eq_to")(partial(_equal, jnp.equal))
rule("ne")(partial(_equal, jnp.not_equal))


def _logic(combine: Callable[..., Any], name: str, setting: Setting, eqn: Any, *values: Any) -> Any:
    if any(least_grain(v.aval.dtype) is not Grain.BIT for v in eqn.invars):
        setting.refuse(f"has no rule for `{name}` of the bits of an integer that depends on the input")
    return _truth(combine(*_pair(*values)))


rule("and")(partial(_logic, lambda p, q: p * q, "and"))
rule("or")(partial(_logic, lambda p, q: p + q * (1 - p), "or"))
rule("xor")(partial(_logic, lambda p, q: p * (1 - q) + q * (1 - p), "xor"))
rule("not")(partial(_logic, lambda p: 1 - p, "not"))


def _whole(value: Any, dtype: Any) -> Soft:
    return Soft(value, dtype, Grain.WHOLE)


@rule("floor")
def _floor(setting: Setting, eqn: Any, x: Any) -> Any:
    return x if grain(x) else _whole(rounding.floor(soft(x).value, **setting.how), soft(x).dtype)


@rule("ceil")
def _ceil(setting: Setting, eqn: Any, x: Any) -> Any:
    return x if grain(x) else _whole(rounding.ceil(soft(x).value, **setting.how), soft(x).dtype)


@rule("round")
def _round(setting: Setting, eqn: Any, x: Any) -> Any:
    return x if grain(x) else _whole(rounding.round(soft(x).value, **setting.how), soft(x).dtype)


@rule("sign")
def _sign(setting: Setting, eqn: Any, x: Any) -> Any:
    if jnp.issubdtype(soft(x).dtype, jnp.complexfloating):
        return Soft(jnp.sign(soft(x).value), soft(x).dtype, Grain.REAL)
    if grain(x) is Grain.BIT:
        return x
    if grain(x) is Grain.WHOLE:
        step = partial(elementwise.heaviside, **setting.how)
        return _whole(step(soft(x).value - 0.5) + step(soft(x).value + 0.5) - 1, soft(x).dtype)
    return _whole(elementwise.sign(soft(x).value, **setting.how), soft(x).dtype)


def _not_negative(setting: Setting, variable: Any) -> bool:
    """Whether it is made, in this program, by what gives no negative numbers: its absolute value is no kink."""
    eqn = None if compat.is_literal(variable) else setting.definitions.get(variable)
    if eqn is None:
        return False
    name = eqn.primitive.name
    if name in ("exp", "exp2", "square", "abs", "logistic", "sqrt", "cosh"):
        return True
    if name == "integer_pow":
        return eqn.params["y"] % 2 == 0
    through = (
        "reduce_sum",
        "reduce_max",
        "add",
        "mul",
        "div",
        "max",
        "broadcast_in_dim",
        "reshape",
        "squeeze",
        "slice",
    )
    return name in through and all(_not_negative(setting, v) for v in eqn.invars)


@rule("abs")
def _abs(setting: Setting, eqn: Any, x: Any) -> Any:
    x = soft(x)
    if x.grain is Grain.BIT or _not_negative(setting, eqn.invars[0]):
        return x
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        return Soft(jnp.abs(x.value), eqn.outvars[0].aval.dtype, Grain.REAL)
    return Soft(elementwise.absolute(x.value, **setting.how), x.dtype, x.grain)


@rule("max", "min")
def _max(setting: Setting, eqn: Any, x: Any, y: Any) -> Any:
    larger, kind = eqn.primitive.name == "max", _coarsest(x, y)
    a, b = _pair(x, y)
    if kind is Grain.BIT:
        value = a + b * (1 - a) if larger else a * b
    else:
        value = (elementwise.maximum if larger else elementwise.minimum)(a, b, **setting.how)
    return Soft(value, eqn.outvars[0].aval.dtype, kind)


@rule("clamp")
def _clamp(setting: Setting, eqn: Any, lower: Any, x: Any, upper: Any) -> Any:
    low, middle, high = _pair(lower, x, upper)
    # Bounds that are not finite are none: the operation takes finite ones.
    if not (is_soft(lower) or is_soft(upper)):
        low, high = jnp.nan_to_num(low), jnp.nan_to_num(high)
    value = elementwise.clip(middle, low, high, **setting.how)
    return Soft(value, eqn.outvars[0].aval.dtype, _coarsest(lower, x, upper))


@rule("rem")
def _rem(setting: Setting, eqn: Any, x: Any, y: Any) -> Any:
    """x - y trunc(x / y); whole numbers are kept half a unit away from the steps."""
    kind = _coarsest(x, y)
    a, b = _pair(x, y)
    return Soft(a - b * quotient(setting, rounding.trunc, kind, a, b), eqn.outvars[0].aval.dtype, kind)


def quotient(setting: Setting, rounded: Callable[..., Any], kind: Grain, a: Any, b: Any) -> Any:
    """a / b, rounded down or toward zero. The temperature is in units of a."""
    scale = jnp.abs(b)
    if kind >= Grain.WHOLE:
        a = a + 0.5 if rounded is rounding.floor else a + jnp.sign(a) * 0.5
    family = logistic if setting.family is None else setting.family
    return _staircase(rounded, a / b, setting.temperature / scale, family)


def _staircase(rounded: Callable[..., Any], ratio: Any, temperature: Any, family: Any) -> Any:
    """A soft rounding with a temperature for each entry."""
    down = rounding.staircase(ratio, temperature, family)
    if rounded is rounding.floor:
        return down
    above = family.cdf(ratio / temperature)
    return above * down - (1 - above) * rounding.staircase(-ratio, temperature, family)


@rule("div")
def _div(setting: Setting, eqn: Any, x: Any, y: Any) -> Any:
    a, b = _pair(x, y)
    dtype = eqn.outvars[0].aval.dtype
    if jnp.issubdtype(dtype, jnp.integer):
        return Soft(quotient(setting, rounding.trunc, Grain.WHOLE, a, b), dtype, Grain.WHOLE)
    return Soft(a / b, dtype, Grain.REAL)


@rule("convert_element_type")
def _convert(setting: Setting, eqn: Any, x: Any) -> Any:
    dtype = eqn.params["new_dtype"]
    if isinstance(x, Spread):
        return Spread(x.values.astype(dtype), x.weights, dtype, x.sorts, x.axis, x.places)
    target = least_grain(dtype)
    if target is Grain.BIT and x.grain is not Grain.BIT:
        if x.grain is Grain.REAL:
            return x.value != 0
        return _truth(1 - _equality(setting, x, jnp.zeros((), int)))
    if target is Grain.WHOLE and x.grain is Grain.REAL:
        return _whole(rounding.trunc(x.value, **setting.how), dtype)
    value = x.value.astype(dtype) if target is Grain.REAL else x.value
    return Soft(value, dtype, x.grain)
