"""Reading and writing at places that depend on softened inputs: sums over the possible places, by weight."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.relax import selection
from descend.relax.rewriting.rules import Setting, rule
from descend.relax.rewriting.values import (
    SUPPORT,
    Grain,
    Soft,
    Spread,
    blend,
    common,
    floating,
    grain,
    is_soft,
    least_grain,
    number,
    shape,
    soft,
)  # fmt: skip

_AT_ONCE = 1 << 22  # numbers held for all places together; beyond, places are gone through one by one


@dataclass(frozen=True)
class Columns:
    """An array of indices whose last axis has parts of different kinds, as looking up in several axes makes it."""

    parts: tuple[Any, ...]


@rule("concatenate")
def _concatenate(setting: Setting, eqn: Any, *parts: Any) -> Any:
    dtype, axis = eqn.outvars[0].aval.dtype, eqn.params["dimension"]
    last = axis == len(eqn.outvars[0].aval.shape) - 1
    if last and jnp.issubdtype(dtype, jnp.integer) and all(shape(p)[-1] == 1 for p in parts):
        return Columns(parts)
    kinds = common(*parts)
    value = jnp.concatenate([floating(p, kinds) for p in parts], axis)
    return Soft(value, dtype, Grain(min(grain(p) for p in parts)))


def column_values(columns: Columns) -> Any:
    """As one soft array, where it is not used as indices."""
    kinds = common(*columns.parts)
    value = jnp.concatenate([floating(p, kinds) for p in columns.parts], -1)
    return Soft(value, jnp.dtype(int), Grain.WHOLE)


def places(setting: Setting, index: Any, n: int) -> Spread:
    """A soft index into n places as a spread over them. Outside, the ends count."""
    return index if isinstance(index, Spread) else _over(index, *_near(setting, index, 0, n))


def wrapped(setting: Setting, index: Any, n: int) -> Spread:
    """The same where negative indices count from the end."""
    if isinstance(index, Spread):
        return Spread(jnp.where(index.values < 0, index.values + n, index.values), index.weights, index.dtype)
    values, weights = _near(setting, index, -n, n)
    if len(values) == 2 * n:
        values, weights = values[n:], weights[:, :n] + weights[:, n:]
    return _over(index, values, weights)


def _near(setting: Setting, index: Soft, start: int, stop: int) -> tuple[Any, Any]:
    """Places, and the weights (size, places) of the entries of an index among them."""
    flat = index.value.reshape(-1)
    if index.grain is Grain.BIT:
        return np.arange(2), jnp.stack([1 - flat, flat], -1)
    family = setting.family or selection.logistic
    cells = jax.vmap(lambda i: selection.cells(i - start, stop - start, setting.temperature, family))
    return np.arange(start, stop), cells(flat)


def _over(index: Soft, values: Any, weights: Any) -> Spread:
    weights = weights.reshape(*index.value.shape, len(values))
    dtype = index.dtype if least_grain(index.dtype) is Grain.WHOLE else jnp.dtype(int)
    return Spread(jnp.broadcast_to(jnp.asarray(values, dtype), weights.shape), weights, dtype)


def _combined(parts: Sequence[Any]) -> tuple[list[Any], Any, int]:
    """Independent indices, of one shape, together: values (n, *shape) of each, weights (n, *shape), and n."""
    sizes = [p.weights.shape[-1] for p in parts if isinstance(p, Spread)]
    picks = np.array(list(itertools.product(*map(range, sizes))))
    values, weights, at = [], None, 0
    for part in parts:
        if not isinstance(part, Spread):
            values.append(jnp.broadcast_to(part, (len(picks), *np.shape(part))))
            continue
        pick = picks[:, at]
        at += 1
        values.append(jnp.moveaxis(part.values[..., pick], -1, 0))
        weight = jnp.moveaxis(part.weights[..., pick], -1, 0)
        weights = weight if weights is None else weights * weight
    return values, weights, len(picks)


def _expected(read: Callable[..., Any], values: Any, weights: Any, spread_out: Callable[[Any], Any], n: int) -> Any:
    """The mean of `read(values[k])` by `spread_out(weights[k])`, which has the shape of what is read."""
    one = jax.eval_shape(read, jax.tree.map(lambda v: v[0], values))
    if n * one.size <= _AT_ONCE:
        return blend(jax.vmap(spread_out)(weights), jax.vmap(read)(values))

    @jax.checkpoint
    def add(total: Any, each: Any) -> Any:
        value, weight = each
        read_here = read(value)
        good = jnp.isfinite(read_here)
        kept = jnp.where(good, spread_out(weight), 0)
        return (total[0] + kept * jnp.where(good, read_here, 0), total[1] + kept), None

    zero = jnp.zeros(one.shape, jnp.result_type(one.dtype, weights))
    (total, mass), _ = jax.lax.scan(add, (zero, jnp.zeros(one.shape, weights.dtype)), (values, weights))
    return jnp.where(mass > 0, total / jnp.where(mass > 0, mass, 1), jnp.nan)


def _parts(indices: Any) -> list[Any]:
    """The columns of an array of indices, without the last axis."""
    parts = indices.parts if isinstance(indices, Columns) else (indices,)
    result = []
    for part in parts:
        for k in range(shape(part)[-1]):
            if isinstance(part, Spread):
                result.append(Spread(part.values[..., k, :], part.weights[..., k, :], part.dtype))
            else:
                result.append(jax.tree.map(lambda a, k=k: a[..., k], part))
    return result


def _located(setting: Setting, parts: Sequence[Any], sizes: Sequence[int]) -> list[Any]:
    return [places(setting, p, n) if is_soft(p) else p for p, n in zip(parts, sizes, strict=True)]


def _result(operand: Any, value: Any) -> Soft:
    dtype = soft(operand).dtype if is_soft(operand) else jnp.result_type(operand)
    return Soft(value, dtype, least_grain(dtype))


def _table(operand: Any, weights: Any) -> Any:
    """What is read from, as floats of the type of the weights unless it has its own."""
    return floating(operand, common(operand, Soft(weights, weights.dtype, Grain.REAL)))


@rule("gather")
def _gather(setting: Setting, eqn: Any, operand: Any, indices: Any) -> Any:
    numbers = eqn.params["dimension_numbers"]
    settings = {k: eqn.params[k] for k in ("slice_sizes", "indices_are_sorted", "unique_indices", "mode", "fill_value")}
    if not (is_soft(indices) or isinstance(indices, Columns)):
        gathered = jax.lax.gather(number(operand), indices, numbers, **settings)
        return Soft(gathered, soft(operand).dtype, grain(operand))
    dimensions = np.shape(number(operand))
    slices = eqn.params["slice_sizes"]
    sizes = [dimensions[d] - slices[d] + 1 for d in numbers.start_index_map]
    parts = _located(setting, _parts(indices), sizes)
    values, weights, n = _combined(parts)
    out = eqn.outvars[0].aval
    batch = [d for d in range(len(out.shape)) if d not in numbers.offset_dims]
    table = number(operand)
    names = not is_soft(operand) and least_grain(jnp.result_type(operand)) is Grain.WHOLE and n <= SUPPORT

    def read(columns: Any) -> Any:
        return jax.lax.gather(table, jnp.stack(columns, -1), numbers, **settings)

    def spread_out(weight: Any) -> Any:
        return jax.lax.broadcast_in_dim(weight, out.shape, batch)

    if names:
        weights = jnp.moveaxis(jax.vmap(spread_out)(weights), 0, -1)
        return Spread(jnp.moveaxis(jax.vmap(read)(values), 0, -1), weights, out.dtype)
    table = _table(operand, weights)
    return _result(operand, _expected(read, values, weights, spread_out, n))


@rule("dynamic_slice")
def _dynamic_slice(setting: Setting, eqn: Any, operand: Any, *starts: Any) -> Any:
    slices = eqn.params["slice_sizes"]
    if not any(map(is_soft, starts)):
        return Soft(jax.lax.dynamic_slice(number(operand), starts, slices), soft(operand).dtype, grain(operand))
    sizes = [d - s + 1 for d, s in zip(np.shape(number(operand)), slices, strict=True)]
    values, weights, n = _combined(_located(setting, starts, sizes))
    table = number(operand)
    read = lambda at: jax.lax.dynamic_slice(table, at, slices)  # noqa: E731
    spread_out = lambda weight: jnp.broadcast_to(weight, slices)  # noqa: E731
    dtype = eqn.outvars[0].aval.dtype
    if not is_soft(operand) and least_grain(dtype) is Grain.WHOLE and n <= SUPPORT:
        weights = jnp.moveaxis(jax.vmap(spread_out)(weights), 0, -1)
        return Spread(jnp.moveaxis(jax.vmap(read)(values), 0, -1), weights, dtype)
    table = _table(operand, weights)
    return _result(operand, _expected(read, values, weights, spread_out, n))


@rule("dynamic_update_slice")
def _dynamic_update_slice(setting: Setting, eqn: Any, operand: Any, update: Any, *starts: Any) -> Any:
    kinds = common(*(v for v in (operand, update, *starts) if is_soft(v) or grain(v) is Grain.REAL))
    table, new = floating(operand, kinds), floating(update, kinds)
    out = eqn.outvars[0].aval
    kind = Grain(min(grain(operand), grain(update)))
    if not any(map(is_soft, starts)):
        return Soft(jax.lax.dynamic_update_slice(table, new, starts), out.dtype, kind)
    sizes = [d - s + 1 for d, s in zip(table.shape, new.shape, strict=True)]
    values, weights, n = _combined(_located(setting, starts, sizes))
    write = lambda at: jax.lax.dynamic_update_slice(table, new, at)  # noqa: E731
    spread_out = lambda weight: jnp.broadcast_to(weight, out.shape)  # noqa: E731
    return Soft(_expected(write, values, weights, spread_out, n), out.dtype, kind)


_WRITERS = {
    "scatter": jax.lax.scatter,
    "scatter-add": jax.lax.scatter_add,
    "scatter-sub": jax.lax.scatter_sub,
    "scatter-mul": jax.lax.scatter_mul,
    "scatter-min": jax.lax.scatter_min,
    "scatter-max": jax.lax.scatter_max,
}


@rule(*_WRITERS)
def _scatter(setting: Setting, eqn: Any, operand: Any, indices: Any, updates: Any) -> Any:
    name, numbers, out = eqn.primitive.name, eqn.params["dimension_numbers"], eqn.outvars[0].aval
    kinds = common(*(v for v in (operand, updates, indices) if is_soft(v) or grain_of_plain(v) is Grain.REAL))
    table, new = floating(operand, kinds), floating(updates, kinds)
    kind = Grain.REAL if least_grain(out.dtype) is Grain.REAL else Grain.WHOLE
    mode = eqn.params["mode"]

    def write(table: Any, indices: Any, updates: Any) -> Any:
        return _WRITERS[name](table, indices, updates, numbers, mode=mode)

    if not (is_soft(indices) or isinstance(indices, Columns)):
        return Soft(write(table, indices, new), out.dtype, kind)
    window = {d: new.shape[d] for d in numbers.update_window_dims}
    lost = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    kept = [d for d in range(table.ndim) if d not in lost]
    extents = dict(zip(kept, window.values(), strict=True))
    sizes = [table.shape[d] - extents.get(d, 1) + 1 for d in numbers.scatter_dims_to_operand_dims]
    values, weights, n = _combined(_located(setting, _parts(indices), sizes))
    batch = [d for d in range(new.ndim) if d not in window]
    if name in ("scatter-add", "scatter-sub"):  # linear: each place receives its share
        spread_out = lambda weight: jax.lax.broadcast_in_dim(weight, new.shape, batch)  # noqa: E731

        def add(total: Any, each: Any) -> Any:
            columns, weight = each
            return write(total, jnp.stack(columns, -1), new * spread_out(weight)), None

        return Soft(jax.lax.scan(add, table, (values, weights))[0], out.dtype, kind)
    if numbers.operand_batching_dims:
        setting.refuse(f"has no rule for a batched `{name}` at places that depend on the input")

    def one_by_one(table: Any, each: Any) -> Any:
        columns, weight, update = each  # of one update: (n,) places, (n,) weights

        def there(at: Any) -> Any:
            index = jnp.stack(at, -1).reshape((1,) * len(batch) + (-1,))
            return write(table, index, jnp.expand_dims(update, batch))

        return _expected(there, columns, weight, lambda w: jnp.broadcast_to(w, table.shape), n), None

    flat = lambda a: jnp.moveaxis(a.reshape(n, -1), 0, 1)  # noqa: E731
    first = jnp.moveaxis(new, batch, range(len(batch)))
    queue = (jax.tree.map(flat, values), flat(weights), first.reshape(-1, *first.shape[len(batch) :]))
    return Soft(jax.lax.scan(one_by_one, table, queue)[0], out.dtype, kind)


def grain_of_plain(value: Any) -> Grain:
    """The grain, by type alone, of operands and indices."""
    return Grain.WHOLE if isinstance(value, Columns) else least_grain(jnp.result_type(number(value)))
