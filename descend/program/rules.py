"""How each operation passes on dependence and degree: one small rule a kind of operation."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from descend.program import tables
from descend.program.array import NONLINEAR, Array
from descend.program.dependence import LARGEST, Sets, gathered, stacked, union, unions
from descend.program.moves import CONTROLS, MOVES, count

if TYPE_CHECKING:
    from descend.program.parts import Reader

Rule = Callable[["Reader", Any, list[Array]], list[Array] | None]
"""(reader, equation, operands) -> results, or None where it is not known what happens."""


# --- moving -----------------------------------------------------------------------------------------------------------


def placed(reader: "Reader", arrays: Sequence[Array], index: np.ndarray) -> Array:
    """The numbers at `index` of several arrays, ravelled and joined; negative: constants."""
    rows, which = stacked([*(a.sets for a in arrays), reader.unknown(()).sets])
    degree = np.concatenate([*(a.degree.ravel() for a in arrays), np.zeros(1, np.int8)])
    index = np.where(index < 0, len(which) - 1, index)
    return Array(Sets(rows, which[index]), degree[index])


def move(reader: "Reader", eqn: Any, ins: list[Array]) -> list[Array] | None:
    name = eqn.primitive.name
    controls = CONTROLS[name](len(ins)) if name in CONTROLS else ()
    moved = [a for i, a in enumerate(ins) if i not in controls]
    if any(not ins[i].constant for i in controls):
        if name != "select_n":
            return None
        return [reader.chosen(ins[0], [_spread(a, eqn.outvars[0].aval.shape) for a in ins[1:]])]
    if any(not ins[i].known for i in controls):  # somewhere, but it does not depend on the inputs where
        if name == "select_n":
            return [reader.joined([_spread(a, eqn.outvars[0].aval.shape) for a in ins[1:]])]
        return [_anywhere(moved, tuple(v.aval.shape)) for v in eqn.outvars]
    offsets = np.cumsum([0, *(count(a.shape) for a in moved)])
    indices = iter([np.arange(count(a.shape)).reshape(a.shape) + o for a, o in zip(moved, offsets, strict=False)])
    out = MOVES[name](eqn, *(np.asarray(a.value) if i in controls else next(indices) for i, a in enumerate(ins)))
    return [placed(reader, moved, index) for index in (out if isinstance(out, list) else [out])]


def _spread(array: Array, shape: tuple[int, ...]) -> Array:
    sets = array.sets.reshaped(np.broadcast_to(array.sets.which, shape))
    return Array(sets, np.broadcast_to(array.degree, shape))


def _anywhere(arrays: Sequence[Array], shape: tuple[int, ...]) -> Array:
    """Numbers of which each may be any of these."""
    whole = unions([a.sets.whole(()) for a in arrays])
    degree = max(int(a.degree.max(initial=0)) for a in arrays)
    return Array(whole.reshaped(np.zeros(shape, np.int64)), np.full(shape, degree, np.int8))


def scatter(reader: "Reader", eqn: Any, ins: list[Array]) -> list[Array] | None:
    operand, index, updates = ins
    if not index.constant:
        return None
    if not index.known:
        landed = _anywhere([updates], operand.shape)
    else:
        landed = gathered_at(updates, targets(eqn, index.value), operand.shape)
    return [reader.joined([operand, landed])]


def targets(eqn: Any, index: Any) -> np.ndarray:
    """For each update of a scatter the index of the number that it is added to, or -1: its transpose, on indices."""
    import jax
    import jax.numpy as jnp

    shape, updates = eqn.invars[0].aval.shape, eqn.invars[2].aval.shape
    params = {name: eqn.params[name] for name in ("dimension_numbers", "indices_are_sorted", "unique_indices", "mode")}
    add = lambda u: jax.lax.scatter_add(jnp.zeros(shape, u.dtype), jnp.asarray(index), u, **params)  # noqa: E731
    _, back = jax.vjp(add, jnp.zeros(updates, jnp.float32))
    (found,) = back(jnp.arange(1.0, count(shape) + 1, dtype=jnp.float32).reshape(shape))
    return np.asarray(found).astype(np.int64) - 1


def gathered_at(array: Array, into: np.ndarray, shape: tuple[int, ...]) -> Array:
    """The union and the largest degree over what goes to each place of a result; -1 goes nowhere."""
    keep = np.flatnonzero(into.ravel() >= 0)
    return _grouped(array, into.ravel()[keep], shape, keep)


def _grouped(array: Array, into: np.ndarray, shape: tuple[int, ...], source: np.ndarray | None = None) -> Array:
    degree = np.zeros(count(shape), np.int8)
    np.maximum.at(degree, into, array.degree.ravel() if source is None else array.degree.ravel()[source])
    return Array(gathered(array.sets, into, shape, source), degree.reshape(shape))


# --- number by number -------------------------------------------------------------------------------------------------


def linear(reader: "Reader", eqn: Any, ins: list[Array]) -> list[Array] | None:
    """A sum, or a multiple by one, number by number."""
    return [reader.joined([_spread(a, eqn.outvars[0].aval.shape) for a in ins])]


def convert(reader: "Reader", eqn: Any, ins: list[Array]) -> list[Array] | None:
    """Between floating types as it is; to integers it rounds."""
    kind = np.dtype(eqn.params["new_dtype"]).kind if "float" not in str(eqn.params["new_dtype"]) else "f"
    return [ins[0] if kind in "fc" else reader.bent(ins[0])]


def multiply(reader: "Reader", eqn: Any, ins: list[Array]) -> list[Array] | None:
    a, b = ins
    if not (a.constant or b.constant):
        reader.meet(a.sets, b.sets)
    return [Array(union(a.sets, b.sets), np.minimum(a.degree + b.degree, NONLINEAR).astype(np.int8))]


def divide(reader: "Reader", eqn: Any, ins: list[Array]) -> list[Array] | None:
    a, b = ins
    if b.constant:
        return [_spread(a, eqn.outvars[0].aval.shape)]
    sets = union(a.sets, b.sets)
    reader.meet(sets, b.sets)
    return [Array(sets, np.full(sets.which.shape, NONLINEAR, np.int8))]


def power(reader: "Reader", eqn: Any, ins: list[Array]) -> list[Array] | None:
    (a,) = ins
    exponent = eqn.params.get("y", 2)
    if exponent == 0:
        return [reader.unknown(a.shape)]
    if exponent != 1:
        reader.meet(a.sets, a.sets)
    degree = a.degree * exponent if 0 < exponent <= NONLINEAR else np.where(a.degree > 0, NONLINEAR, 0)
    return [Array(a.sets, np.minimum(degree, NONLINEAR).astype(np.int8))]


def bend(reader: "Reader", eqn: Any, ins: list[Array]) -> list[Array] | None:
    """Any function of the operands, number by number."""
    whole = reader.bent(reader.joined([_spread(a, eqn.outvars[0].aval.shape) for a in ins]))
    return [whole] * len(eqn.outvars)


# --- along axes -------------------------------------------------------------------------------------------------------


def _into(shape: Sequence[int], axes: Sequence[int]) -> tuple[np.ndarray, tuple[int, ...]]:
    """For each number of an array, which number of the reduced array it goes into; and the reduced shape."""
    kept = tuple(1 if i in axes else size for i, size in enumerate(shape))
    into = np.broadcast_to(np.arange(count(kept)).reshape(kept), shape).ravel()
    return into, tuple(size for i, size in enumerate(shape) if i not in axes)


def total(reader: "Reader", eqn: Any, ins: list[Array]) -> list[Array] | None:
    into, shape = _into(ins[0].shape, eqn.params["axes"])
    return [_grouped(ins[0], into, shape)]


def reduction(reader: "Reader", eqn: Any, ins: list[Array]) -> list[Array] | None:
    into, shape = _into(ins[0].shape, eqn.params["axes"])
    return [reader.bent(_grouped(ins[0], into, shape))] * len(eqn.outvars)


def _along(array: Array, axis: int) -> Array:
    """Each number with all others along an axis."""
    into, shape = _into(array.shape, (axis,))
    whole = _grouped(array, into, shape)
    expand = lambda a: np.broadcast_to(np.expand_dims(a, axis), array.shape)  # noqa: E731
    return Array(whole.sets.reshaped(expand(whole.sets.which)), expand(whole.degree))


def cumulative(reader: "Reader", eqn: Any, ins: list[Array]) -> list[Array] | None:
    (a,), axis = ins, eqn.params["axis"]
    length = a.shape[axis]
    if length * count(a.shape) > LARGEST:
        out = _along(a, axis)
    else:
        before = np.tril(np.ones((length, length), bool))
        before = before[::-1, ::-1] if eqn.params["reverse"] else before
        index = np.moveaxis(np.arange(count(a.shape)).reshape(a.shape), axis, -1).reshape(-1, length)
        row, i, j = np.nonzero(np.broadcast_to(before, (len(index), length, length)))
        out = _grouped(a, index[row, i], a.shape, index[row, j])
    return [out if eqn.primitive.name == "cumsum" else reader.bent(out)]


def arranged(reader: "Reader", eqn: Any, ins: list[Array]) -> list[Array] | None:
    """Sorted along an axis: each result may be any of the numbers there."""
    axis = eqn.params["dimension"]
    whole = reader.bent(reader.joined([_along(a, axis) for a in ins]))
    return [whole] * len(eqn.outvars)


# --- products ---------------------------------------------------------------------------------------------------------


def product(reader: "Reader", eqn: Any, ins: list[Array]) -> list[Array] | None:
    """A product of matrices, in batches; the zeros of a known one leave dependences out."""
    (left, right), (lb, rb) = eqn.params["dimension_numbers"]
    index = lambda a: np.arange(count(a.shape)).reshape(a.shape)  # noqa: E731
    a, b = ins
    ia = _batched(index(a), lb, left, last=True)
    ib = _batched(index(b), rb, right, last=False)
    size, m, k = ia.shape
    n = ib.shape[2]
    out = np.arange(size * m * n).reshape(size, m, n)
    shape = tuple(eqn.outvars[0].aval.shape)
    if a.constant or b.constant:
        fixed, x = (a, b) if a.constant else (b, a)
        where, source = (ia, ib) if a.constant else (ib, ia)
        live = np.ones(where.shape, bool)
        if fixed.known and 0 < size * m * n * k <= LARGEST:
            live = np.asarray(fixed.value).ravel()[where] != 0
        if not live.all() and size * m * n * k <= LARGEST:
            full = (size, m, k, n)
            mask = live[..., None] if a.constant else live[:, None]
            mask = np.broadcast_to(mask, full)
            source = np.broadcast_to(source[:, None] if a.constant else source[..., None], full)
            return [_grouped(x, np.broadcast_to(out[:, :, None], full)[mask], shape, source[mask])]
        return [_spread_over(_contracted(x, source, 1 if a.constant else 2), shape, (size, m, n), a.constant)]
    one = _spread_over(_contracted(a, ia, 2), shape, (size, m, n), False)
    two = _spread_over(_contracted(b, ib, 1), shape, (size, m, n), True)
    # Number k of a row meets number k of each column.
    reader.meet(_contracted(a, ia, 1).sets, _contracted(b, ib, 2).sets)
    degree = np.minimum(one.degree + two.degree, NONLINEAR).astype(np.int8)
    return [Array(union(one.sets, two.sets), degree)]


def _batched(index: np.ndarray, batch: Sequence[int], axes: Sequence[int], last: bool) -> np.ndarray:
    """As (batch, rows, contracted) or, if not `last`, (batch, contracted, columns)."""
    rest = [i for i in range(index.ndim) if i not in (*batch, *axes)]
    order = [*batch, *rest, *axes] if last else [*batch, *axes, *rest]
    size = lambda dims: count([index.shape[i] for i in dims])  # noqa: E731
    middle = (size(rest), size(axes)) if last else (size(axes), size(rest))
    return index.transpose(order).reshape(size(batch), *middle)


def _contracted(array: Array, index: np.ndarray, axis: int) -> Array:
    """The union over one axis of numbers in the order of `index`."""
    into, shape = _into(index.shape, (axis,))
    return _grouped(array, into, shape, index.ravel())


def _spread_over(array: Array, shape: tuple[int, ...], full: tuple[int, int, int], rows: bool) -> Array:
    """(batch, n) over the rows, or (batch, m) over the columns, of (batch, m, n)."""
    axis = 1 if rows else 2
    expand = lambda a: np.broadcast_to(np.expand_dims(a, axis), full).reshape(shape)  # noqa: E731
    return Array(array.sets.reshaped(expand(array.sets.which)), expand(array.degree))


def mixing(*places: int) -> Rule:
    """An operation that is linear in the operands at these places, if all others are constant; any number with any."""

    def rule(reader: "Reader", eqn: Any, ins: list[Array]) -> list[Array] | None:
        moving = [i for i, a in enumerate(ins) if not a.constant]
        if len(moving) > 1 or moving[0] not in places:
            return None
        return [_anywhere([ins[moving[0]]], tuple(v.aval.shape)) for v in eqn.outvars]

    return rule


def linear_solve(reader: "Reader", eqn: Any, ins: list[Array]) -> list[Array] | None:
    """A x = b is linear in b where A is constant."""
    sides = len(eqn.outvars)
    if any(not a.constant for a in ins[:-sides]):
        return None
    return [_anywhere(ins[-sides:], tuple(v.aval.shape)) for v in eqn.outvars]


# --- loops ------------------------------------------------------------------------------------------------------------


def row(reader: "Reader", array: Array, index: int) -> Array:
    """A row of an array."""
    value = (lambda: np.asarray(array.value)[index]) if array.known else None
    return Array(array.sets.reshaped(array.sets.which[index]), array.degree[index], value)


def any_row(reader: "Reader", array: Array) -> Array:
    """What holds of every row of an array."""
    into, shape = _into(array.shape, (0,))
    return _grouped(array, into, shape) if len(array.degree) else reader.unknown(shape)


def stack(reader: "Reader", rows: Sequence[Array]) -> Array:
    """Rows as one array."""
    offsets = np.cumsum([0, *(count(r.shape) for r in rows)])
    index = np.stack([np.arange(count(r.shape)).reshape(r.shape) + o for r, o in zip(rows, offsets, strict=False)])
    out = placed(reader, rows, index)
    known = all(r.known for r in rows)
    return Array(out.sets, out.degree, (lambda: np.stack([np.asarray(r.value) for r in rows])) if known else None)


def repeated(reader: "Reader", array: Array, length: int) -> Array:
    """An array of equal rows."""
    return _spread(array, (length, *array.shape))


RULES: dict[str, Rule] = {
    **dict.fromkeys(MOVES, move),
    **dict.fromkeys(("scatter", "scatter-add", "scatter-sub"), scatter),
    **dict.fromkeys("add sub add_any neg real imag conj complex".split(), linear),
    "convert_element_type": convert,
    "mul": multiply,
    "div": divide,
    "integer_pow": power,
    "square": power,
    "reduce_sum": total,
    **dict.fromkeys(
        "reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor argmax argmin".split(), reduction
    ),
    **dict.fromkeys("cumsum cumprod cummax cummin cumlogsumexp".split(), cumulative),
    "sort": arranged,
    "dot_general": product,
    "conv_general_dilated": mixing(0, 1),
    "fft": mixing(0),
    "reduce_window_sum": mixing(0),
    "triangular_solve": mixing(1),
    "custom_linear_solve": linear_solve,
    **dict.fromkeys(tables.ELEMENTWISE, bend),
}
