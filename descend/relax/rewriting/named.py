"""Functions of `jax.numpy` that are one notion: their pieces, softened one by one, would lose it."""

from typing import Any

import jax.numpy as jnp

from descend.program import compat
from descend.relax import elementwise, rounding
from descend.relax.rewriting.comparing import quotient
from descend.relax.rewriting.rules import NAMED, Setting, rule
from descend.relax.rewriting.values import Grain, Soft, Spread, common, floating, grain, is_soft, number, shape

OPEN = frozenset({"relu"})
"""Functions of JAX with a derivative rule of their own that are looked into. The others are smooth as they are."""


def _pair(*values: Any) -> list[Any]:
    dtype = common(*values)
    return [floating(v, dtype) for v in values]


def _alone(*values: Any) -> bool:
    """Whether a spread has only hard company: then the pieces are exact."""
    return any(isinstance(v, Spread) for v in values) and not any(isinstance(v, Soft) for v in values)


@rule("remainder", table=NAMED)
def _remainder(setting: Setting, eqn: Any, x: Any, y: Any) -> Any:
    """x - y floor(x / y)."""
    if _alone(x, y):
        return None
    kind = Grain(min(grain(x), grain(y)))
    a, b = _pair(x, y)
    return Soft(a - b * quotient(setting, rounding.floor, kind, a, b), eqn.outvars[0].aval.dtype, kind)


@rule("floor_divide", table=NAMED)
def _floor_divide(setting: Setting, eqn: Any, x: Any, y: Any) -> Any:
    if _alone(x, y):
        return None
    kind = Grain(min(grain(x), grain(y)))
    value = quotient(setting, rounding.floor, kind, *_pair(x, y))
    return Soft(value, eqn.outvars[0].aval.dtype, Grain.WHOLE)


@rule("heaviside", table=NAMED)
def _heaviside(setting: Setting, eqn: Any, x: Any, y: Any) -> Any:
    """The value at the jump itself has no measure."""
    if grain(x) >= Grain.WHOLE:
        return None
    (x,) = _pair(x)
    return Soft(elementwise.heaviside(x, **setting.how), eqn.outvars[0].aval.dtype, Grain.REAL)


@rule("clip", table=NAMED)
def _clip(setting: Setting, eqn: Any, x: Any, *bounds: Any) -> Any:
    """Both bounds at once: one after the other, a soft minimum could leave the lower bound again."""
    if len(bounds) != 2 or _alone(x, *bounds) or any(is_soft(b) or shape(b) != () for b in bounds):
        return None
    if grain(x) is Grain.BIT:
        return None
    middle, low, high = _pair(x, *bounds)
    low, high = jnp.nan_to_num(low), jnp.nan_to_num(high)
    kind = Grain(min(grain(x), grain(bounds[0]), grain(bounds[1])))
    return Soft(elementwise.clip(middle, low, high, **setting.how), eqn.outvars[0].aval.dtype, min(kind, Grain.WHOLE))


@rule("searchsorted", table=NAMED)
def _searchsorted(setting: Setting, eqn: Any, table: Any, x: Any) -> Any:
    """How many entries of the table are below: a sum of steps, where the hard program searches by halves."""
    table, x = _pair(table, x)
    below = elementwise.greater(x.reshape(-1, 1), table[None, :], **setting.how)
    return Soft(jnp.sum(below, -1).reshape(x.shape), eqn.outvars[0].aval.dtype, Grain.WHOLE)


@rule("_interp", table=NAMED)
def _interp(setting: Setting, eqn: Any, *values: Any) -> Any:
    """Continuous and piecewise linear: it passes its derivative, and stays as it is."""
    program = eqn.params["jaxpr"]
    (out,) = compat.evaluate(compat.opened(program), list(map(number, values)))
    return Soft(out, eqn.outvars[0].aval.dtype, Grain.REAL)
