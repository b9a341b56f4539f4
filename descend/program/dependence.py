"""Which inputs each number of an array depends on: a set for each, stored once however many numbers share it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

Rows = Any
"""A `scipy.sparse.csr_array` whose rows are sets; scipy does not annotate its shape."""

LARGEST = 20_000_000
"""The number of (number, input) pairs that are followed one by one; beyond, a whole array shares one set."""


class Sets(NamedTuple):
    """The inputs that each number of an array depends on.

    Attributes:
        rows: distinct sets, boolean, shape (sets, inputs).
        which: for each number the index of its set, shaped like the array.
    """

    rows: Rows
    which: np.ndarray

    @property
    def nothing(self) -> bool:
        return self.rows.nnz == 0

    def pattern(self) -> Rows:
        """Boolean, shape (numbers, inputs)."""
        return (
            self.rows[self.which.ravel()] if self.which.size else sparse.csr_array((0, self.rows.shape[1]), dtype=bool)
        )

    def reshaped(self, which: np.ndarray) -> "Sets":
        """The same sets for other numbers."""
        return self._replace(which=which)

    def whole(self, shape: tuple[int, ...]) -> "Sets":
        """An array whose numbers all depend on what any of these do."""
        columns = np.unique(self.rows.indices)
        row = (np.ones(len(columns), bool), columns, [0, len(columns)])
        return Sets(sparse.csr_array(row, shape=(1, self.rows.shape[1])), np.zeros(shape, np.int64))


def empty(shape: tuple[int, ...], inputs: int) -> Sets:
    """Numbers that depend on nothing."""
    return Sets(sparse.csr_array((1, inputs), dtype=bool), np.zeros(shape, np.int64))


def singletons(shape: tuple[int, ...], first: int, inputs: int) -> Sets:
    """Inputs `first`, `first + 1`, ... themselves."""
    size = int(np.prod(shape, dtype=int))
    data = (np.ones(size, bool), (np.arange(size), first + np.arange(size)))
    return Sets(sparse.csr_array(data, shape=(size, inputs)), np.arange(size).reshape(shape))


def distinct(rows: Rows) -> tuple[Rows, np.ndarray]:
    """The distinct sets among rows, and for each row the index of its own; told apart by random 64-bit sums."""
    marks = np.random.default_rng(0).integers(1, 2**63, rows.shape[1], dtype=np.uint64)
    sums = np.concatenate([[np.uint64(0)], np.cumsum(marks[rows.indices], dtype=np.uint64)])
    mark = sums[rows.indptr[1:]] - sums[rows.indptr[:-1]]
    _, first, index = np.unique(mark, return_index=True, return_inverse=True)
    return rows[first], index.ravel()


def union(a: Sets, b: Sets) -> Sets:
    """Number by number; scalars are broadcast."""
    if b.nothing or (a.rows is b.rows and np.array_equal(a.which, b.which)):
        return a.reshaped(np.broadcast_to(a.which, np.broadcast_shapes(a.which.shape, b.which.shape)))
    if a.nothing:
        return union(b, a)
    one, two = np.broadcast_arrays(a.which, b.which)
    pairs, index = np.unique(one.ravel() * b.rows.shape[0] + two.ravel(), return_inverse=True)
    if not len(pairs):
        return a.reshaped(one)
    left, right = np.divmod(pairs, b.rows.shape[0])
    rows, which = distinct(a.rows[left] + b.rows[right])
    return Sets(rows, which[index.ravel()].reshape(one.shape))


def unions(parts: Sequence[Sets]) -> Sets:
    """Of several arrays, number by number."""
    total = parts[0]
    for part in parts[1:]:
        total = union(total, part)
    return total


def stacked(parts: Sequence[Sets]) -> tuple[Rows, np.ndarray]:
    """The sets of all numbers of several arrays in a row, ravelled: (rows, which)."""
    offsets = np.cumsum([0, *(part.rows.shape[0] for part in parts)])
    which = np.concatenate([part.which.ravel() + offset for part, offset in zip(parts, offsets, strict=False)])
    return sparse.csr_array(sparse.vstack([part.rows for part in parts], format="csr")), which


def gathered(sets: Sets, into: np.ndarray, shape: tuple[int, ...], source: np.ndarray | None = None) -> Sets:
    """The union over groups: number `source[i]` goes into number `into[i]` of an array of `shape`.

    Args:
        sets: of the numbers that are gathered.
        into: indices into the ravelled result.
        shape: of the result.
        source: indices into the ravelled `sets.which`; default: each number once, in order.
    """
    size, count = int(np.prod(shape, dtype=int)), sets.rows.shape[0]
    which = sets.which.ravel() if source is None else sets.which.ravel()[source]
    pairs = np.unique(into.astype(np.int64) * count + which)
    chosen = (np.ones(len(pairs), bool), np.divmod(pairs, count))
    choice = sparse.csr_array(chosen, shape=(size, count))
    groups, index = distinct(choice)
    rows, which = distinct(sparse.csr_array(groups @ sets.rows))
    return Sets(rows, which[index].reshape(shape))


def pairs(a: Sets, b: Sets) -> tuple[Rows, Rows]:
    """The distinct pairs of sets that meet number by number, as two arrays of rows."""
    one, two = np.broadcast_arrays(a.which, b.which)
    found = np.unique(one.ravel() * b.rows.shape[0] + two.ravel())
    left, right = np.divmod(found, max(1, b.rows.shape[0]))
    return a.rows[left], b.rows[right]
