"""Operations that only move numbers, and constants, in NumPy: nothing is compiled for them.

A move is the same whatever the numbers are: carried out on their indices, it tells where each one comes from.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from descend.program import compat


def _broadcast(eqn: Any, a: np.ndarray) -> np.ndarray:
    shape = [1] * len(eqn.params["shape"])
    for size, dimension in zip(a.shape, eqn.params["broadcast_dimensions"], strict=True):
        shape[dimension] = size
    return np.broadcast_to(a.reshape(shape), eqn.params["shape"])


def _slice(eqn: Any, a: np.ndarray) -> np.ndarray:
    p = eqn.params
    steps = p["strides"] or (1,) * a.ndim
    return a[tuple(slice(*each) for each in zip(p["start_indices"], p["limit_indices"], steps, strict=True))]


def _starts(starts: Sequence[np.ndarray], sizes: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """A window that starts at these places, shifted until it lies inside."""
    first = [min(max(int(s), 0), whole - size) for s, size, whole in zip(starts, sizes, shape, strict=True)]
    return tuple(slice(s, s + size) for s, size in zip(first, sizes, strict=True))


def _dynamic_slice(eqn: Any, a: np.ndarray, *starts: np.ndarray) -> np.ndarray:
    return a[_starts(starts, eqn.params["slice_sizes"], a.shape)]


def _dynamic_update_slice(eqn: Any, a: np.ndarray, update: np.ndarray, *starts: np.ndarray) -> np.ndarray:
    out = np.array(a)
    out[_starts(starts, update.shape, a.shape)] = update
    return out


def _pad(eqn: Any, a: np.ndarray, filler: np.ndarray) -> np.ndarray:
    for axis, (low, high, inside) in enumerate(eqn.params["padding_config"]):
        length = a.shape[axis] + inside * max(0, a.shape[axis] - 1)
        wide = np.full((*a.shape[:axis], length, *a.shape[axis + 1 :]), filler, a.dtype)
        every = (slice(None),) * axis
        wide[(*every, slice(None, None, inside + 1))] = a
        wide = wide[(*every, slice(max(0, -low), length - max(0, -high)))]
        edges = [(0, 0)] * a.ndim
        edges[axis] = max(0, low), max(0, high)
        a = np.pad(wide, edges, constant_values=filler)
    return a


def _select(eqn: Any, index: np.ndarray, *cases: np.ndarray) -> np.ndarray:
    index = np.asarray(index, int)
    return np.choose(index, cases) if len(cases) < 32 else np.take_along_axis(np.stack(cases), index[None], 0)[0]


def _split(eqn: Any, a: np.ndarray) -> list[np.ndarray]:
    return np.split(a, np.cumsum(eqn.params["sizes"])[:-1], eqn.params["axis"])


def _same(eqn: Any, a: np.ndarray, *_: Any) -> np.ndarray:
    return a


def _bound(eqn: Any, *ins: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # what fills up a gather may have no counterpart among whole numbers
        return np.asarray(compat.bind(eqn, [np.asarray(a, np.int32) for a in ins])[0])


MOVES: dict[str, Callable[..., Any]] = {
    "broadcast_in_dim": _broadcast,
    "reshape": lambda eqn, a: a.reshape(eqn.params["new_sizes"]),
    "transpose": lambda eqn, a: a.transpose(eqn.params["permutation"]),
    "squeeze": lambda eqn, a: a.squeeze(tuple(eqn.params["dimensions"])),
    "rev": lambda eqn, a: np.flip(a, eqn.params["dimensions"]),
    "slice": _slice,
    "stack": lambda eqn, *parts: np.stack(parts, eqn.params["axis"]),
    "unstack": lambda eqn, a: [np.take(a, i, eqn.params["axis"]) for i in range(a.shape[eqn.params["axis"]])],
    "concatenate": lambda eqn, *parts: np.concatenate(parts, eqn.params["dimension"]),
    "pad": _pad,
    "split": _split,
    "select_n": _select,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "gather": _bound,
    "copy": _same,
    "copy_p": _same,
    "device_put": lambda eqn, *ins: list(ins),
    "optimization_barrier": lambda eqn, *ins: list(ins),
    "name": _same,
    "sharding_constraint": _same,
    "reduce_precision": _same,
}
"""What each does to arrays: `move(equation, *arrays)` -> an array, or a list of them."""

CONTROLS: dict[str, Callable[[int], range]] = {
    "select_n": lambda count: range(1),
    "dynamic_slice": lambda count: range(1, count),
    "dynamic_update_slice": lambda count: range(2, count),
    "gather": lambda count: range(1, 2),
}
"""The operands that say where numbers go instead of being moved."""

ARITHMETIC: dict[str, Callable[..., np.ndarray]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "neg": np.negative, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal, "max": np.maximum, "min": np.minimum,
    "abs": np.absolute, "not": lambda a: ~a, "and": np.bitwise_and, "or": np.bitwise_or, "square": np.square,
}  # fmt: skip


def fold(eqn: Any, values: Sequence[Any]) -> list[Any]:
    """What an equation computes from constants: in NumPy where that is the same, else by JAX."""
    name = eqn.primitive.name
    if all(getattr(np.asarray(v) if np.isscalar(v) else v, "dtype", np.dtype("O")) != np.dtype("O") for v in values):
        kinds = {str(getattr(v, "dtype", "")) for v in values if not np.isscalar(v)}
        plain = all(not kind.startswith("key<") for kind in kinds)
        if plain and name in MOVES and name != "gather":
            out = MOVES[name](eqn, *map(np.asarray, values))
            return list(out) if isinstance(out, list) else [out]
        if plain and name in ARITHMETIC:
            dtype = eqn.outvars[0].aval.dtype
            with np.errstate(all="ignore"):
                return [np.asarray(ARITHMETIC[name](*map(np.asarray, values))).astype(dtype)]
        if plain and name == "convert_element_type":
            return [np.asarray(values[0]).astype(eqn.params["new_dtype"])]
        if name == "iota":
            shape, axis = eqn.params["shape"], eqn.params["dimension"]
            line = np.arange(shape[axis], dtype=eqn.params["dtype"])
            return [np.broadcast_to(line.reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape)]
    return compat.bind(eqn, values)


def count(shape: Sequence[int]) -> int:
    """The number of numbers in an array of that shape."""
    return math.prod(shape)
