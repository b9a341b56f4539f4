"""What has no rule of its own: equations that pass numbers on, and those that pass their derivative."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.program import compat, tables
from descend.relax.rewriting.rules import Setting
from descend.relax.rewriting.values import (
    SUPPORT,
    Grain,
    Soft,
    Spread,
    bits,
    common,
    floating,
    grain,
    is_soft,
    least_grain,
    shape,
    soft,
)  # fmt: skip

ARRANGING = frozenset(
    "broadcast_in_dim reshape squeeze transpose copy copy_p rev slice expand_dims split stack unstack concatenate pad"
    " reduce_precision optimization_barrier device_put sharding_constraint".split()
)
"""Moves entries about, and may repeat or leave them out."""

ENTRYWISE = frozenset(
    "add sub mul neg abs sign max min div rem pow integer_pow square exp log sqrt eq ne lt le gt ge and or xor not"
    " select_n clamp convert_element_type shift_left shift_right_logical shift_right_arithmetic floor ceil round"
    " population_count sin cos tanh logistic log1p expm1 exp2 eq_to le_to lt_to".split()
)
"""Works on each entry by itself, with scalars or arrays of one shape."""

KEEPS_WHOLE = frozenset("add sub mul neg integer_pow square reduce_sum reduce_prod cumsum cumprod dot_general".split())
"""Whole numbers give whole numbers."""

KEEPS_BITS = frozenset("mul reduce_prod cumprod square".split())

PASSING = tables.READ | ARRANGING
"""Read as they are: what is soft in them goes on being differentiated by JAX's own rule."""


def push(eqn: Any, ins: Sequence[Any]) -> Any:
    """An equation on spreads that share their weights, entry by entry on their values; None where that does not hold.

    It is exact: what is known to come together stays together.
    """
    spreads = [v for v in ins if isinstance(v, Spread)]
    name = eqn.primitive.name
    if (
        not spreads
        or any(isinstance(v, Soft) for v in ins)
        or any(s.weights is not spreads[0].weights for s in spreads)
    ):
        return None
    dtype = eqn.outvars[0].aval.dtype
    if name in ARRANGING and len(ins) == 1 and len(eqn.outvars) == 1:
        along = jax.vmap(lambda v: compat.bind(eqn, [v])[0], in_axes=-1, out_axes=-1)
        return Spread(along(spreads[0].values), along(spreads[0].weights), dtype, places=spreads[0].places)
    if name not in ENTRYWISE or any(shape(v) not in ((), shape(spreads[0])) for v in ins):
        return None
    wide = spreads[0].values.shape

    def widened(value: Any) -> Any:
        if isinstance(value, Spread):
            return value.values
        return jnp.broadcast_to(jnp.asarray(value)[..., None] if shape(value) else value, wide)

    return Spread(compat.bind(eqn, [widened(v) for v in ins])[0], spreads[0].weights, dtype)


def together(eqn: Any, ins: Sequence[Any]) -> Any:
    """Integer arithmetic on independent names, such as a number put together of bits, as long as they have few values.

    None for counts, which are carried as their means.
    """
    name = eqn.primitive.name
    if name == "dot_general":
        return _from_bits(eqn, *ins)
    if name not in ("add", "sub", "mul") or not jnp.issubdtype(eqn.outvars[0].aval.dtype, jnp.integer):
        return None
    if name == "mul" and any(not is_soft(v) and grain(v) is Grain.WHOLE for v in ins):
        ins = [bits(v) if _is_bit(v) else v for v in ins]
        return push(eqn, ins)
    if any(isinstance(v, Spread) for v in ins):
        ins = [bits(v) if _is_bit(v) else v for v in ins]
    if not all(isinstance(v, Spread) for v in ins) or shape(ins[0]) != shape(ins[1]):
        return None
    a, b = ins
    n, m = a.weights.shape[-1], b.weights.shape[-1]
    if n * m > SUPPORT:
        return None
    values = compat.bind(eqn, list(jnp.broadcast_arrays(a.values[..., :, None], b.values[..., None, :])))[0]
    weights = a.weights[..., :, None] * b.weights[..., None, :]
    flat = (*shape(a), n * m)
    return Spread(values.reshape(flat), weights.reshape(flat), values.dtype)


def _is_bit(value: Any) -> bool:
    return isinstance(value, Soft) and value.grain is Grain.BIT and least_grain(value.dtype) is Grain.WHOLE


def _from_bits(eqn: Any, x: Any, y: Any) -> Any:
    """Bits times the values of their places: a spread over all that they can make."""
    contracting, batch = eqn.params["dimension_numbers"]
    if not _is_bit(x) or is_soft(y) or batch != ((), ()) or np.ndim(y) != 1 or contracting[0] != (x.value.ndim - 1,):
        return None
    count = y.shape[0]
    if 2**count > SUPPORT:
        return None
    patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1  # all the words of so many bits
    values = jnp.asarray(patterns, y.dtype) @ y
    p = x.value[..., None, :]
    weights = jnp.prod(jnp.where(patterns.reshape((1,) * (p.ndim - 2) + patterns.shape), p, 1 - p), -1)
    dtype = eqn.outvars[0].aval.dtype
    return Spread(jnp.broadcast_to(values.astype(dtype), weights.shape), weights, dtype)


def passed(setting: Setting, eqn: Any, ins: Sequence[Any]) -> list[Any]:
    """The equation on floats: counts become means, and the derivative is that of the equation."""
    name = eqn.primitive.name
    integral = any(is_soft(v) and least_grain(soft(v).dtype) is not Grain.REAL for v in ins)
    if name not in PASSING or (integral and name.startswith(("shift", "population", "bitcast", "clz", "random"))):
        what = "a number that stands for an integer" if integral else "a number that depends on the input"
        setting.refuse(f"has no rule for `{name}` of {what}; keep it out of argnums, or smooth the whole by values")
    kinds = common(*ins)
    mixed = [
        floating(v, kinds) if is_soft(v) or (integral and least_grain(jnp.result_type(v)) is not Grain.REAL) else v
        for v in ins
    ]
    if integral:
        mixed = [floating(v, kinds) if jnp.issubdtype(jnp.result_type(v), jnp.inexact) else v for v in mixed]
    outs = _bind(eqn, mixed, integral, kinds)
    return [_described(name, v.aval.dtype, out, ins) for v, out in zip(eqn.outvars, outs, strict=True)]


def _bind(eqn: Any, values: Sequence[Any], integral: bool, kinds: Any) -> list[Any]:
    """With the types that the parameters name replaced where integers have become floats."""
    if not integral:
        return compat.bind(eqn, values)
    changes = {k: kinds for k in ("preferred_element_type", "new_dtype") if eqn.params.get(k) is not None}
    params = eqn.primitive.get_bind_params({**eqn.params, **changes})
    out = eqn.primitive.bind(*values, **params)
    return list(out) if eqn.primitive.multiple_results else [out]


def _described(name: str, dtype: Any, out: Any, ins: Sequence[Any]) -> Any:
    if not jnp.issubdtype(jnp.result_type(out), jnp.inexact):
        return out  # integers of a factorization, such as its pivots, stay hard
    coarsest = Grain(min(grain(v) for v in ins))
    if name in ARRANGING:
        kind = coarsest
    elif name in KEEPS_BITS and coarsest is Grain.BIT:
        kind = Grain.BIT
    else:
        kind = Grain.WHOLE if name in KEEPS_WHOLE and coarsest >= Grain.WHOLE else Grain.REAL
    kind = Grain(max(kind, Grain.WHOLE if least_grain(dtype) is Grain.WHOLE else Grain.REAL))
    return Soft(out, dtype, Grain.BIT if least_grain(dtype) is Grain.BIT else kind)


def as_real(var: Any, out: Any) -> Any:
    """A result of a function that is not looked into: its integers stay hard."""
    inexact = jnp.issubdtype(jnp.result_type(out), jnp.inexact)
    return Soft(out, var.aval.dtype, Grain.REAL) if inexact else out
