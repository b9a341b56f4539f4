"""Choosing among values: branches by value, argmax, sorting, the largest."""

from typing import Any

import jax
import jax.numpy as jnp

from descend.program import compat
from descend.relax import logic, selection
from descend.relax import order as ordering
from descend.relax.rewriting.indexing import wrapped
from descend.relax.rewriting.rules import Setting, rule
from descend.relax.rewriting.values import (
    SUPPORT,
    Grain,
    Soft,
    Spread,
    blend,
    certain,
    common,
    floating,
    grain,
    is_soft,
    least_grain,
    number,
    shape,
    soft,
)  # fmt: skip

_FOLDED = 8  # more cases than this are stacked, which takes fewer operations and longer


def chances(setting: Setting, which: Any, n: int) -> Any:
    """The weights of the cases 0, ..., n - 1 of a soft number, shape (n, *shape). Beyond the ends the ends count."""
    if isinstance(which, Spread) and which.places and which.weights.shape[-1] == n:
        return jnp.moveaxis(which.weights, -1, 0)
    if isinstance(which, Spread):
        case = jnp.clip(which.values.astype(int), 0, n - 1)
        return jnp.stack([jnp.sum(jnp.where(case == k, which.weights, 0), -1) for k in range(n)])
    if which.grain is Grain.BIT:
        rest = [jnp.zeros_like(which.value)] * (n - 2)
        return jnp.stack([1 - which.value, which.value, *rest][:n])
    family = setting.family or selection.logistic
    cells = jax.vmap(lambda i: selection.cells(i, n, setting.temperature, family), out_axes=1)(which.value.reshape(-1))
    return cells.reshape(n, *which.value.shape)


def mixture(setting: Setting, weights: Any, cases: list[Any], dtype: Any) -> Any:
    """One of several values of one shape by weights of shape (n, *shape)."""
    names = jnp.issubdtype(dtype, jnp.integer) and all(isinstance(c, Spread) or not is_soft(c) for c in cases)
    if names and not all(grain(c) is Grain.BIT for c in cases):
        spreads = [c if isinstance(c, Spread) else certain(c, 1, weights.dtype) for c in cases]
        if sum(s.weights.shape[-1] for s in spreads) <= SUPPORT:
            values = jnp.concatenate([s.values for s in spreads], -1)
            scaled = [w[..., None] * s.weights for w, s in zip(weights, spreads, strict=True)]
            return Spread(values, jnp.concatenate(scaled, -1), dtype)
    kind = Grain(min(grain(c) for c in cases))
    kind = kind if kind is not Grain.WHOLE or not jnp.issubdtype(dtype, jnp.floating) else Grain.REAL
    kinds = jnp.result_type(weights, common(*cases) if any(map(is_soft, cases)) or kind is Grain.REAL else weights)
    values = [floating(c, kinds) for c in cases]
    if jnp.iscomplexobj(values[0]) or len(values) > _FOLDED:
        return Soft(blend(weights, jnp.stack(values)), dtype, kind)
    value, so_far = values[0], weights[0]
    faint = jnp.finfo(weights.dtype).tiny ** 0.5  # below it shares do not matter, and their slopes overflow
    for weight, case in zip(weights[1:], values[1:], strict=True):  # each against all before it
        so_far = so_far + weight
        share = weight if len(values) == 2 else weight / jnp.where(so_far > faint, so_far, 1)
        value = logic.where(share.astype(kinds), case, value)
    return Soft(value, dtype, kind)


@rule("select_n")
def _select(setting: Setting, eqn: Any, which: Any, *cases: Any) -> Any:
    dtype = eqn.outvars[0].aval.dtype
    if not is_soft(which):
        kind = Grain(min(grain(c) for c in cases))
        kinds = common(*cases)
        return Soft(jax.lax.select_n(which, *(floating(c, kinds) for c in cases)), dtype, kind)
    guarded = _guarded(setting, eqn)
    if guarded is not None:
        return cases[guarded]
    ends = wraps(setting, eqn)
    if ends is not None:
        return wrapped(setting, cases[0], ends)
    weights = chances(setting, which, len(cases))
    wide = shape(cases[0])
    weights = jnp.broadcast_to(weights.reshape(len(cases), *(shape(which) or (1,) * len(wide))), (len(cases), *wide))
    return mixture(setting, weights, list(cases), dtype)


def _guarded(setting: Setting, eqn: Any) -> int | None:
    """Which case is chosen against itself without a derivative, as in a mapped `cond`: a guard of that derivative.

    A mixture takes the case as it is, and guards by itself.
    """
    cases = eqn.invars[1:]
    for k, case in enumerate(cases):
        others = [setting.definitions.get(c) for c in cases if c is not case and not compat.is_literal(c)]
        stops = [o for o in others if o is not None and o.primitive.name == "stop_gradient" and o.invars[0] is case]
        if len(stops) == len(cases) - 1:
            return k
    return None


def wraps(setting: Setting, eqn: Any) -> int | None:
    """The n of `where(i < 0, i + n, i)`: how indexing lets negative places count from the end. None for others.

    Softened it would mix the two ends of the table.
    """
    made = [setting.definitions.get(v) for v in eqn.invars if not compat.is_literal(v)]
    if len(made) != 3 or made[0] is None or made[2] is None:
        return None
    test, moved = made[0], made[2]
    if not (
        test.primitive.name == "lt"
        and moved.primitive.name == "add"
        and test.invars[0] is eqn.invars[1]
        and moved.invars[0] is eqn.invars[1]
        and compat.is_literal(test.invars[1])
        and test.invars[1].val == 0
        and compat.is_literal(moved.invars[1])
        and jnp.issubdtype(eqn.outvars[0].aval.dtype, jnp.integer)
    ):
        return None
    return int(moved.invars[1].val)


def _untied(x: Soft, axis: int) -> Any:
    """Whole numbers often tie, and the hard choice is then the first: later ones are put behind by less than a unit."""
    if x.grain is Grain.REAL:
        return x.value
    n = x.value.shape[axis]
    back = jnp.arange(n, dtype=x.value.dtype) / (2 * n)
    return x.value - jnp.expand_dims(back, [d for d in range(x.value.ndim) if d != axis % x.value.ndim])


def _named(weights: Any, axis: int, dtype: Any) -> Spread:
    """Weights of the places along an axis as a spread over these places."""
    weights = jnp.moveaxis(weights, axis, -1)
    values = jnp.broadcast_to(jnp.arange(weights.shape[-1], dtype=dtype), weights.shape)
    return Spread(values, weights, dtype, places=True)


@rule("argmax", "argmin")
def _argmax(setting: Setting, eqn: Any, x: Any) -> Any:
    (axis,), dtype = eqn.params["axes"], eqn.params["index_dtype"]
    x = soft(x)
    if eqn.primitive.name == "argmin":
        x = Soft(1 - x.value if x.grain is Grain.BIT else -x.value, x.dtype, x.grain)
    if x.grain is Grain.BIT:
        return _named(_first(jnp.moveaxis(x.value, axis, 0)), 0, dtype)
    return _named(selection.argmax(_untied(x, axis), axis=axis, **setting.how), axis, dtype)


def _first(p: Any) -> Any:
    """The weights of the first axis being the first that holds, or, where none does, the first of all."""
    n = p.shape[0]
    if n > _FOLDED:
        spared = jnp.cumprod(1 - p, 0)
        weights = p * jnp.concatenate([jnp.ones_like(p[:1]), spared[:-1]])
        return weights.at[0].add(spared[-1])
    spared, weights = jnp.ones_like(p[0]), []
    for k in range(n):
        weights.append(p[k] * spared)
        spared = spared * (1 - p[k])
    return jnp.stack([weights[0] + spared, *weights[1:]])


@rule("reduce_max", "reduce_min")
def _reduce_max(setting: Setting, eqn: Any, x: Any) -> Any:
    axes, x, largest = eqn.params["axes"], soft(x), eqn.primitive.name == "reduce_max"
    if not axes:
        return x
    if x.grain is Grain.BIT:
        value = 1 - jnp.prod(1 - x.value, axes) if largest else jnp.prod(x.value, axes)
        return Soft(value, x.dtype, x.grain)
    last = range(-len(axes), 0)
    flat = jnp.moveaxis(x.value, axes, tuple(last))
    flat = flat.reshape(*flat.shape[: -len(axes)], -1)
    return Soft((selection.max if largest else selection.min)(flat, **setting.how), x.dtype, x.grain)


@rule("reduce_and", "reduce_or", "reduce_xor")
def _reduce_logic(setting: Setting, eqn: Any, x: Any) -> Any:
    x, axes, name = soft(x), eqn.params["axes"], eqn.primitive.name
    if x.dtype != jnp.bool_:
        setting.refuse(f"has no rule for `{name}` of the bits of an integer that depends on the input")
    if name == "reduce_and":
        value = jnp.prod(x.value, axes)
    elif name == "reduce_or":
        value = 1 - jnp.prod(1 - x.value, axes)
    else:
        value = (1 - jnp.prod(1 - 2 * x.value, axes)) / 2
    return Soft(value, x.dtype, Grain.BIT)


@rule("sort")
def _sort(setting: Setting, eqn: Any, *operands: Any) -> Any:
    axis, keys = eqn.params["dimension"], eqn.params["num_keys"]
    key, payloads = operands[0], operands[1:]
    if not any(map(is_soft, operands[:keys])):
        settings = {name: eqn.params[name] for name in ("dimension", "is_stable", "num_keys")}
        moved = jax.lax.sort([number(o) for o in operands], **settings)
        return [_like(o, m) for o, m in zip(operands, moved, strict=True)]
    if keys > 1:
        setting.refuse("cannot sort by several keys that depend on the input; sort by one number made of them")
    if isinstance(key, Spread) and key.axis == axis and all(_counts_up(setting, v, axis) for v in eqn.invars[1:]):
        places = jax.lax.broadcasted_iota(key.dtype, shape(key), axis)
        ranks = ordering.rank(key.sorts, axis=axis, **setting.how) - 1  # the order of an order
        return [places, *(Soft(ranks, v.aval.dtype, Grain.WHOLE) for v in eqn.invars[1:])]
    if isinstance(key, Spread) and key.axis == axis:
        weights = jnp.swapaxes(jnp.moveaxis(key.weights, axis, -2), -1, -2)
        weights = weights / jnp.sum(weights, -1, keepdims=True)
        places = jnp.arange(weights.shape[-1], dtype=key.dtype)
        hard = jnp.moveaxis(jnp.broadcast_to(places, weights.shape[:-1]), -1, axis)
        return [hard, *(_permuted(weights, p, axis) for p in payloads)]
    key = soft(key)
    result = [Soft(ordering.sort(key.value, axis=axis, **setting.how), key.dtype, key.grain)]
    if payloads:
        rising = Soft(-key.value, key.dtype, key.grain)  # behind is below: the first of equal keys stays first
        rows = jnp.moveaxis(-_untied(rising, axis), axis, -1)
        weights = ordering.argsort(rows, **setting.how)
        result += [_permuted(weights, p, axis, -_untied(rising, axis)) for p in payloads]
    return result


def _counts_up(setting: Setting, variable: Any, axis: int) -> bool:
    """Whether it is 0, 1, 2, ... along an axis, as what an argsort sorts along with its keys."""
    eqn = None if compat.is_literal(variable) else setting.definitions.get(variable)
    return eqn is not None and eqn.primitive.name == "iota" and eqn.params["dimension"] == axis


def _like(value: Any, moved: Any) -> Any:
    return Soft(moved, soft(value).dtype, grain(value)) if is_soft(value) else moved


def _permuted(weights: Any, payload: Any, axis: int, sorts: Any = None) -> Any:
    """A payload of a sort along an axis by weights (..., n, n): of integers it stays known which comes with what."""
    if not is_soft(payload) and jnp.issubdtype(jnp.result_type(payload), jnp.integer):
        values = jnp.moveaxis(payload, axis, -1)[..., None, :]
        move = lambda a: jnp.moveaxis(a, -2, axis)  # noqa: E731
        dtype = jnp.result_type(payload)
        along = None if sorts is None else axis
        return Spread(move(jnp.broadcast_to(values, weights.shape)), move(weights), dtype, sorts, along)
    values = jnp.moveaxis(floating(payload, common(payload, Soft(weights, weights.dtype, Grain.REAL))), axis, -1)
    each = jnp.broadcast_to(values[..., None, :], weights.shape)
    mixed = blend(jnp.moveaxis(weights, -1, 0), jnp.moveaxis(each, -1, 0))
    dtype = payload.dtype
    return Soft(jnp.moveaxis(mixed, -1, axis), dtype, least_grain(dtype))


@rule("top_k")
def _top_k(setting: Setting, eqn: Any, x: Any) -> Any:
    axis, k, x = eqn.params.get("axis", -1), eqn.params["k"], soft(x)
    rows = jnp.moveaxis(_untied(x, axis), axis, -1)
    values, weights = selection.top_k(rows, k, **setting.how)
    if x.grain >= Grain.WHOLE:  # not the numbers that were moved apart
        values = jnp.sum(weights * jnp.moveaxis(x.value, axis, -1)[..., None, :], -1)
    dtype = eqn.outvars[1].aval.dtype
    places = jnp.broadcast_to(jnp.arange(rows.shape[-1], dtype=dtype), weights.shape)
    axis = axis % x.value.ndim
    move = lambda a: jnp.moveaxis(a, -2, axis)  # noqa: E731
    return [Soft(jnp.moveaxis(values, -1, axis), x.dtype, x.grain), Spread(move(places), move(weights), dtype)]
