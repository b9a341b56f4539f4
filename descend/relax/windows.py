"""Sums over windows of a sorted array: how sorting and ranking by the box family take n log n instead of n^2."""

import math
from typing import Any

import jax
import jax.numpy as jnp


@jax.custom_jvp
def window_sum(values: Any, start: Any, stop: Any) -> Any:
    """The sum of values[start[i] : stop[i]] for each i, 0 for empty windows; values of shape (n,), indices (k,).

    Differences of prefix sums. The prefixes carry their rounding errors along, because a short window far into the
    array would lose its digits otherwise. Linear in `values`, and differentiated as such.
    """
    high, low = _prefixes(values)
    return (high[stop] - high[start]) + (low[stop] - low[start])


@window_sum.defjvp
def _window_sum_jvp(primals: Any, tangents: Any) -> Any:
    values, start, stop = primals
    tangent = tangents[0]
    prefix = jnp.concatenate([jnp.zeros(1, tangent.dtype), jnp.cumsum(tangent)])
    return window_sum(values, start, stop), prefix[stop] - prefix[start]


def _prefixes(values: Any) -> tuple[Any, Any]:
    """The n + 1 prefix sums as floats and their rounding errors.

    Rows of about the square root of n entries are summed side by side, then the rows: few steps, short to compile.
    """
    n = values.shape[0]
    width = math.isqrt(n) + 1
    grid = jnp.pad(values, (0, width * width - n)).reshape(width, width)

    def step(total: Any, column: Any) -> Any:
        return _add(total, (column[0], column[1])), total

    zeros = jnp.zeros(width, values.dtype)
    sums, inside = jax.lax.scan(step, (zeros, zeros), (grid.T, jnp.zeros_like(grid)))
    _, before = jax.lax.scan(step, (zeros[0], zeros[0]), sums)
    high, low = _add((inside[0].T, inside[1].T), (before[0][:, None], before[1][:, None]))
    return high.reshape(-1)[: n + 1], low.reshape(-1)[: n + 1]


def _add(a: tuple[Any, Any], b: tuple[Any, Any]) -> tuple[Any, Any]:
    """The sum of two numbers kept as a float and its rounding error (Knuth's two-sum)."""
    total = a[0] + b[0]
    part = total - a[0]
    return total, ((a[0] - (total - part)) + (b[0] - part)) + (a[1] + b[1])


@jax.jit
def box_ranks(s: Any, half: Any) -> Any:
    """1/2 + sum_j clip(1/2 + (s_i - s_j) / (2 half), 0, 1) for each i of a sorted array.

    Infinities are allowed; equal ones share their ranks.
    """
    finite = jnp.isfinite(s)
    value = jnp.where(finite, s, 0)
    start = jnp.searchsorted(s, jnp.where(finite, value - half, s), side="left")
    stop = jnp.searchsorted(s, jnp.where(finite, value + half, s), side="right")
    count = (stop - start).astype(s.dtype)
    lean = jnp.where(finite, (count * value - window_sum(value, start, stop)) / (2 * half), 0)
    return 0.5 + start.astype(s.dtype) + count / 2 + lean


@jax.jit
def box_order(s: Any, half: Any) -> Any:
    """The points where sum_i clip(1/2 + (y - s_i) / (2 half), 0, 1) is 1/2, 3/2, ..., n - 1/2, for a sorted array.

    The sum is piecewise linear with corners at s_i - half and s_i + half. Between two corners it involves the s_i
    of one window, whose mean gives the point. Infinite s_k are their own points.
    """
    n = s.shape[0]
    finite = jnp.isfinite(s)
    value = jnp.where(finite, s, 0)
    start, stop = jax.lax.stop_gradient(_corners(s, value, half))
    count = (stop - start).astype(s.dtype)
    level = jnp.arange(n, dtype=s.dtype) + 0.5
    full = count > 0  # rounding may miss the window of an entry: then it stands alone
    safe = jnp.where(full, count, 1)
    # The level less `start` is small and exact, where the two alone may be large.
    inside = (level - start.astype(s.dtype)) / safe - 0.5
    y = window_sum(value, start, stop) / safe + 2 * half * inside
    return jnp.where(finite & full, y, s)


def _corners(s: Any, value: Any, half: Any) -> tuple[Any, Any]:
    """For each level the window of the entries between whose corners it lies."""
    n = s.shape[0]
    corner, opens = jax.lax.sort(
        (jnp.concatenate([s - half, s + half]), jnp.repeat(jnp.array([1, 0]), n)), num_keys=1, is_stable=True
    )
    stop = jnp.cumsum(opens)
    start = jnp.cumsum(1 - opens)
    # Where half is below the rounding of s, an entry may close before it opens in the sorted order.
    start = jnp.minimum(start, stop)
    at = jnp.where(jnp.isfinite(corner), corner, 0)
    count = (stop - start).astype(s.dtype)
    height = start + count / 2 + (count * at - window_sum(value, start, stop)) / (2 * half)
    height = jnp.where(jnp.isfinite(corner), height, jnp.where(corner > 0, n, -1).astype(s.dtype))
    level = jnp.arange(n, dtype=s.dtype) + 0.5
    place = jnp.searchsorted(jax.lax.cummax(height), level, side="left") - 1
    place = jnp.clip(place, 0, 2 * n - 1)
    return start[place], stop[place]
