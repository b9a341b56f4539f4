"""Functions that are not defined everywhere.

A mixture evaluates both of its sides, so that `where(x > 0, sqrt(x), 0)` takes the root of a negative number and drops
it. The weight of a dropped side is zero, but zero times a derivative that is NaN is NaN. So outside of their domain
these functions keep their value, NaN or infinity, and have the derivative zero.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from descend.program import compat
from descend.relax.rewriting.rules import Setting, rule
from descend.relax.rewriting.values import Grain, Soft, floating, number, soft


def _guarded(inside: Callable[[Any], Any], safe: float, setting: Setting, eqn: Any, x: Any) -> Soft:
    """`safe` is any number inside the domain."""
    x = soft(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        return Soft(compat.bind(eqn, [x.value])[0], x.dtype, Grain.REAL)
    good = inside(x.value)
    value = compat.bind(eqn, [jnp.where(good, x.value, safe)])[0]
    outside = compat.bind(eqn, [jax.lax.stop_gradient(x.value)])[0]
    return Soft(jnp.where(good, value, outside), x.dtype, Grain.REAL)


rule("sqrt", "rsqrt", "log")(partial(_guarded, lambda x: x > 0, 1.0))
rule("log1p")(partial(_guarded, lambda x: x > -1, 0.0))
rule("asin", "acos", "atanh")(partial(_guarded, lambda x: jnp.abs(x) < 1, 0.0))
rule("acosh")(partial(_guarded, lambda x: x > 1, 2.0))


@rule("pow")
def _power(setting: Setting, eqn: Any, x: Any, y: Any) -> Soft:
    """Of a base that is not positive, where the derivative may not exist, only what an integer exponent gives."""
    base, dtype = number(x), eqn.outvars[0].aval.dtype
    exponent = number(y)
    if not jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(
        jnp.result_type(eqn.invars[1].aval.dtype), jnp.integer
    ):
        kinds = jnp.result_type(*(v for v in (base, exponent) if jnp.issubdtype(jnp.result_type(v), jnp.inexact)))
        return Soft(jax.lax.pow(floating(base, kinds), exponent), dtype, Grain.REAL)
    good = base > 0
    value = jax.lax.pow(jnp.where(good, base, 1.0).astype(base.dtype), exponent)
    outside = jax.lax.pow(*map(jax.lax.stop_gradient, (base, exponent)))
    return Soft(jnp.where(good, value, outside), dtype, Grain.REAL)
