"""Derivatives from random directions: the mean of c_k (u_k . t) over k, in memory that does not grow with k."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.routes.point import Point

_AT_ONCE = 2**20  # numbers in flight in one vectorized chunk: 8 MiB in float64
_MATRIX = 2**18  # up to this many numbers the estimate is kept as a matrix, outputs by inputs


class Vectors(NamedTuple):
    """The moving arguments and the floating outputs of a point, each as one vector.

    Attributes:
        inputs: shapes of the moving leaves.
        outputs: the leaves of f's value.
        dtype: of the vectors: the widest of the leaves', float32 at least.
    """

    inputs: Sequence[jax.ShapeDtypeStruct]
    outputs: Sequence[Any]
    dtype: Any

    @classmethod
    def of(cls, point: Point) -> "Vectors":
        floating = [o.dtype for o in point.value if jnp.issubdtype(o.dtype, jnp.inexact)]
        dtype = jnp.result_type(jnp.float32, *(leaf.dtype for leaf in point.shapes), *floating)
        return cls(point.shapes, point.value, dtype)

    @property
    def size(self) -> int:
        """The number of moving inputs."""
        return sum(int(np.prod(leaf.shape, dtype=int)) for leaf in self.inputs)

    @property
    def real(self) -> Any:
        """The dtype of directions (outputs may be complex)."""
        return jnp.finfo(self.dtype).dtype

    def split(self, vector: Any) -> tuple[Any, ...]:
        """A vector of inputs as leaves."""
        return tuple(part.reshape(leaf.shape).astype(leaf.dtype) for part, leaf in self._cut(vector, self.inputs))

    def join(self, leaves: Sequence[Any]) -> Any:
        """Leaves of inputs, or the floating ones of outputs, as a vector."""
        parts = [jnp.ravel(leaf).astype(self.dtype) for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]
        return jnp.concatenate(parts) if parts else jnp.zeros(0, self.dtype)

    def result(self, vector: Any) -> tuple[Any, ...]:
        """A vector of outputs as leaves, with zeros for those that are not floating."""
        floating = [o for o in self.outputs if jnp.issubdtype(o.dtype, jnp.inexact)]
        parts = iter([part.reshape(leaf.shape) for part, leaf in self._cut(vector, floating)])
        return tuple(next(parts) if jnp.issubdtype(o.dtype, jnp.inexact) else jnp.zeros(o.shape) for o in self.outputs)

    @staticmethod
    def _cut(vector: Any, leaves: Sequence[Any]) -> list[tuple[Any, Any]]:
        ends = np.cumsum([np.prod(leaf.shape, dtype=int) for leaf in leaves], dtype=int)
        return [
            (vector[end - int(np.prod(leaf.shape, dtype=int)) : end], leaf)
            for end, leaf in zip(ends, leaves, strict=True)
        ]


def contract(
    point: Point,
    sample: Callable[[Any], tuple[Any, Any]],
    along: Any,
    count: int,
    chunk: int | None = None,
) -> Any:
    """The mean over k < count of c_k (u_k . along), where `sample(k)` gives the vectors (c_k, u_k).

    Entries of a c_k that are not finite are left out of the mean; where none is left, the mean is NaN. For few outputs
    the matrix of the mean c_k u_k^T is built once, and every direction and the transpose read it. For many outputs the
    products are summed for one direction instead, and the transpose evaluates the samples again, so that nothing of the
    size of `count` is kept.

    Args:
        point: where.
        sample: called under `vmap` with an index. It may give several samples together, with one more axis in front.
        along: the direction, a vector like u_k.
        count: how many calls of `sample`.
        chunk: how many samples at once. Default: the largest divisor of `count` that keeps about 2^20 numbers in
            flight.
    """
    c, u = jax.eval_shape(sample, jax.ShapeDtypeStruct((), jnp.int32))
    together = c.shape[0] if c.ndim == 2 else 1
    c, u = (jax.ShapeDtypeStruct(each.shape[-1:], each.dtype) for each in (c, u))
    matrix = c.size <= 1 or c.size * u.size <= _MATRIX
    chunk = chunk or max(1, _AT_ONCE // max(1, c.size + u.size, *(p.width for p in point.programs)))
    most = max(1, chunk // together)
    chunk = max(d for d in range(1, min(most, count) + 1) if count % d == 0)

    def part(indices: Any) -> tuple[Any, Any]:
        c, u = (each.reshape(-1, each.shape[-1]) for each in jax.vmap(sample)(indices))
        good = jnp.isfinite(c)
        c = jnp.where(good, c, 0)
        return (c.T @ u if matrix else c.T @ (u @ along)), good.sum(0)

    indices = jnp.arange(count).reshape(-1, chunk)
    if len(indices) == 1:
        total, finite = part(indices[0])
    else:
        zeros = (jnp.zeros((*c.shape, u.size) if matrix else c.shape, c.dtype), jnp.zeros(c.shape, int))
        body = jax.checkpoint(part, prevent_cse=False)
        step = lambda sums, rows: (jax.tree.map(jnp.add, sums, body(rows)), None)  # noqa: E731
        total, finite = jax.lax.scan(step, zeros, indices)[0]
    return (total @ along if matrix else total) / finite


def columns(point: Point, column: Callable[[Any], Any], along: Any, count: int, chunk: int | None = None) -> Any:
    """The sum over k < count of along_k column(k): a matrix times a vector, where columns are costly.

    For few outputs all columns are kept, and every direction and the transpose read them; for many they are summed for
    one direction, and the transpose evaluates them again.

    Args:
        point: where.
        column: called under `vmap` with an index; gives a vector.
        along: the vector.
        count: how many columns.
        chunk: how many at once. Default: what keeps about 2^20 numbers in flight.
    """
    c = jax.eval_shape(column, jax.ShapeDtypeStruct((), jnp.int32))
    if c.size <= 1 or c.size * count <= _MATRIX:
        return along.astype(c.dtype) @ vectorized(point, column, count, chunk)
    size = at_once(point, c.size + count, count, chunk)
    whole = count // size * size

    def part(rows: Any) -> Any:
        return along[rows].astype(c.dtype) @ jax.vmap(column)(rows)

    body = jax.checkpoint(part, prevent_cse=False)
    step = lambda total, rows: (total + body(rows), None)  # noqa: E731
    total = jax.lax.scan(step, jnp.zeros(c.shape, c.dtype), jnp.arange(whole).reshape(-1, size))[0]
    return total + body(jnp.arange(whole, count)) if whole < count else total


def summed(point: Point, part: Callable[[Any], Any], count: int, chunk: int | None = None, width: int = 1) -> Any:
    """The sum over k < count of trees, in memory that does not grow with `count`, in both modes.

    Args:
        point: where.
        part: gives the sum over the indices that it receives, an array. It takes the derivative along the tangents
            outside of its `vmap`: a `cond` that is batched inside of a derivative cannot be transposed in a scan.
        count: how many samples.
        chunk: how many at once. Default: what keeps about 2^20 numbers in flight.
        width: how many numbers one sample has beside those of the programs.
    """
    size = at_once(point, width, count, chunk)
    if size >= count:
        return part(jnp.arange(count, dtype=jnp.int32))
    whole = count // size * size
    body = jax.checkpoint(part, prevent_cse=False)
    step = lambda sums, rows: (jax.tree.map(jnp.add, sums, body(rows)), None)  # noqa: E731
    made = jax.eval_shape(part, jax.ShapeDtypeStruct((size,), jnp.int32))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), made)
    total = jax.lax.scan(step, zeros, jnp.arange(whole, dtype=jnp.int32).reshape(-1, size))[0]
    rest = jnp.arange(whole, count, dtype=jnp.int32)
    return jax.tree.map(jnp.add, total, body(rest)) if len(rest) else total


def vectorized(point: Point, column: Callable[[Any], Any], count: int, chunk: int | None = None) -> Any:
    """All columns as rows, `chunk` of them evaluated at once."""
    c = jax.eval_shape(column, jax.ShapeDtypeStruct((), jnp.int32))
    size = at_once(point, c.size + count, count, chunk)
    if size >= count:
        return jax.vmap(column)(jnp.arange(count))
    return jax.lax.map(column, jnp.arange(count), batch_size=size)


def at_once(point: Point, size: int, count: int, chunk: int | None) -> int:
    """How many of `count` samples are made at once, if each has `size` numbers beside those of the programs."""
    return min(count, chunk or max(1, _AT_ONCE // max(1, size, *(p.width for p in point.programs))))


def rademacher(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Directions with independent entries of -1 and 1."""
    return jax.random.rademacher(key, shape, dtype)
