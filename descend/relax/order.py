"""Sorting and what follows from it: ranks, order statistics, quantiles, permutation weights.

One idea gives all of them: the soft count of the values below y is the sum over i of cdf((y - x_i) / temperature).
The rank of x_i is the count at x_i; the k-th smallest value is where the count is k - 1/2. Both are the hard notions
for the values blurred by the family's density. Hence softness is a width in the units of x and does not depend on n:
repeating every value changes neither the quantiles nor the ranks over n.

With the box family, the default, the count is piecewise linear, and all n answers take n log n operations and O(n)
memory. Other families are smooth, take n^2 operations (times 64 for `sort`) and O(n) memory, in chunks.

Infinities keep their places, and NaN anywhere makes all of the row NaN. Gradients: of a rank, the densities; of the
k-th value, the densities of the values around it, normalized to 1, so that ties share.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from descend.relax.families import Box, Family, box, logistic
from descend.relax.operation import Law, floats, operation, rows
from descend.relax.selection import choose
from descend.relax.windows import box_order, box_ranks

_CHUNK = 32  # rows of length n held at a time


def _values(key: jax.Array) -> tuple[Any, ...]:
    return (jax.random.normal(key, (5,)),)


def _reach(n: int, family: Family) -> float:
    """How far, in temperatures, an order statistic of n values can move."""
    return family.quantile(1 - 0.5 / n) if n else 0.0


def _with_nan(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`function` of a row, or NaN everywhere if there is one in it."""

    def guarded(x: Any) -> Any:
        if not x.shape[0]:
            return function(x)
        bad = jnp.any(jnp.isnan(x))
        return jax.tree.map(lambda y: jnp.where(bad, jnp.nan, y), function(jnp.where(bad, 0, x)))

    return guarded


def _chunked(function: Callable[[Any], Any], xs: Any) -> Any:
    """`function` of each leading entry; the backward pass computes again, because stored rows would be n x n."""
    return jax.lax.map(jax.checkpoint(function), xs, batch_size=_CHUNK)


def _count(y: Any, x: Any, temperature: Any, family: Family) -> Any:
    """The soft number of entries of x, shape (n,), below the scalar y."""
    return jnp.sum(family.cdf((y - x) / temperature))


def _crossing(level: Any, middle: Any, x: Any, temperature: Any, family: Family) -> Any:
    """Where the count is `level`, near the hard order statistic `middle`: bisection, then two steps of Newton.

    The bisection is not differentiated; each Newton step doubles the order up to which derivatives are right.
    """
    finite = jnp.isfinite(middle)
    fixed, reach = jax.lax.stop_gradient(x), temperature * _reach(x.shape[0], family)
    start = jax.lax.stop_gradient(jnp.where(finite, middle, 0))

    def halve(_: int, ends: tuple[Any, Any]) -> tuple[Any, Any]:
        y = (ends[0] + ends[1]) / 2
        low = _count(y, fixed, temperature, family) < level
        return jnp.where(low, y, ends[0]), jnp.where(low, ends[1], y)

    low, high = jax.lax.fori_loop(0, 64, halve, jax.lax.stop_gradient((start - reach, start + reach)))
    y = jax.lax.stop_gradient((low + high) / 2)
    for _ in range(2):
        slope = jnp.sum(family.pdf((y - x) / temperature)) / temperature
        steep = finite & (slope > 0)
        step = (_count(y, x, temperature, family) - level) / jnp.where(steep, slope, 1)
        y = y - jnp.where(steep, step, 0)
    return jnp.where(finite, y, middle)


@partial(jax.jit, static_argnames="family")
def _crossings(s: Any, places: Any, temperature: Any, family: Family) -> Any:
    return _chunked(lambda k: _crossing(k.astype(s.dtype) + 0.5, s[k], s, temperature, family), places)


@partial(jax.jit, static_argnames="family")
def _counts(x: Any, temperature: Any, family: Family) -> Any:
    """The ranks by n^2 comparisons. Equal infinities share theirs."""

    def one(y: Any) -> Any:
        same = jnp.isinf(x) & (x == y)
        apart = jnp.where(same, 0, y - jnp.where(same, 0, x))
        return 0.5 + jnp.sum(family.cdf(apart / temperature))

    return _chunked(one, x)


def _statistics(s: Any, places: Any, temperature: Any, family: Family) -> Any:
    """The soft order statistics of the sorted s at the places 0, ..., n - 1."""
    temperature = jnp.asarray(temperature, s.dtype)
    if not s.shape[0]:
        return s
    if isinstance(family, Box):
        return box_order(s, family.support * temperature)[places]
    return _crossings(s, jnp.asarray(places), temperature, family)


def _order_gap(x: Any, *_: Any, temperature: Any, family: Family = box, axis: int = -1) -> Any:
    return temperature * _reach(jnp.shape(x)[axis], family)


@operation(
    hard=lambda x, *, axis=-1: rows(_with_nan(jnp.sort), floats(x)[0], axis),
    gap=_order_gap,
    sample=_values,
    laws=(Law.MONOTONE, Law.SHIFT_EQUIVARIANT, Law.PERMUTATION_INVARIANT),
)
def sort(x: Any, *, temperature: Any, family: Family = box, axis: int = -1) -> Any:
    """The values in rising order, each a mean of those around it; exact where they are far apart. Same shape as x.

    Gap (only the size of x matters): quantile(1 - 1/(2n)) temperatures, never above the support (2 for box, at any n);
    log(2n - 1) temperatures for logistic.
    """
    (x,) = floats(x)
    return rows(
        _with_nan(lambda row: _statistics(jnp.sort(row), jnp.arange(row.shape[0]), temperature, family)), x, axis
    )


def _hard_ranks(x: Any) -> Any:
    s = jnp.sort(x)
    below, until = jnp.searchsorted(s, x, side="left"), jnp.searchsorted(s, x, side="right")
    return (below + until + 1).astype(x.dtype) / 2


def _rank_gap(x: Any, *, temperature: Any, family: Family = box, axis: int = -1) -> Any:
    """Each other value adds its doubt, at most 1/2; without a bounded support all others are taken at 1/2."""
    (x,) = floats(x)

    def row(x: Any) -> Any:
        s = jnp.sort(x)
        reach = jnp.asarray(family.support * temperature, x.dtype)
        return (jnp.searchsorted(s, x + reach, side="right") - jnp.searchsorted(s, x - reach, side="left") - 1) / 2

    return rows(row, x, axis)


@operation(
    hard=lambda x, *, axis=-1: rows(_with_nan(_hard_ranks), floats(x)[0], axis),
    gap=_rank_gap,
    sample=_values,
    laws=(Law.SHIFT_INVARIANT, Law.PERMUTATION_EQUIVARIANT),
)
def rank(x: Any, *, temperature: Any, family: Family = box, axis: int = -1) -> Any:
    """The rank of each value, 1 for the smallest: 1/2 plus the soft count at it. Same shape as x; the sum is exact.

    Ties have the mean of their ranks, as in `.hard`. Gap: half the number of other values within the support of the
    step, at worst (n - 1) / 2.
    """
    (x,) = floats(x)
    temperature = jnp.asarray(temperature, x.dtype)

    def row(x: Any) -> Any:
        if not x.shape[0]:
            return x
        if isinstance(family, Box):
            order = jnp.argsort(x)
            return box_ranks(x[order], family.support * temperature)[jnp.argsort(order)]
        return _counts(x, temperature, family)

    return rows(_with_nan(row), x, axis)


def _positions(n: int, positions: Any) -> Any:
    return np.arange(n) if positions is None else np.asarray(positions)


def _hard_argsort(x: Any, positions: Any = None, *, axis: int = -1) -> Any:
    def row(x: Any) -> Any:
        return jax.nn.one_hot(jnp.argsort(x)[_positions(x.shape[0], positions)], x.shape[0], dtype=x.dtype)

    return rows(_with_nan(row), floats(x)[0], axis)


@operation(
    hard=_hard_argsort,
    gap=lambda *_, temperature, family=logistic, axis=-1: 1.0,
    sample=_values,
    laws=(Law.SHIFT_INVARIANT, Law.PERMUTATION_EQUIVARIANT, Law.ROW_STOCHASTIC),
)
def argsort(x: Any, positions: Any = None, *, temperature: Any, family: Family = logistic, axis: int = -1) -> Any:
    """Rows of weights: which entry stands at each of `positions` (all by default) in rising order.

    SoftSort's rows, as in `selection`: (positions, n) in place of the axis, so that n x n is only held when asked for.
    `.hard` is one-hot. Rows add up to 1, columns need not. Gap: at worst 1 (at ties).
    """
    (x,) = floats(x)

    def row(x: Any) -> Any:
        wanted = jnp.sort(x)[_positions(x.shape[0], positions)]
        return jax.vmap(lambda value: choose(value, x, temperature, family))(wanted)

    return rows(_with_nan(row), x, axis)


def _between(n: int, q: Any, dtype: Any) -> tuple[Any, Any]:
    """The two places around the quantile q, shape (2,), and the weight of the upper one."""
    if not n:
        raise ValueError("quantile of no values: the axis is empty")
    if not isinstance(q, Tracer) and not 0 <= float(q) <= 1:
        raise ValueError(f"a quantile is asked for at q between 0 and 1, got {q}")
    place = jnp.clip(jnp.asarray(q, dtype), 0, 1) * (n - 1)
    low = jnp.floor(place).astype(int)
    return jnp.stack([low, jnp.minimum(low + 1, n - 1)]), place - low


def _interpolate(pair: Any, weight: Any) -> Any:
    """Infinities only count where they have weight."""
    low, high = pair[0], pair[1]
    finite = jnp.isfinite(high) & jnp.isfinite(low)
    inner = jnp.where(finite, low, 0) * (1 - weight) + jnp.where(finite, high, 0) * weight
    outer = jnp.where(weight > 0, jnp.where(jnp.isinf(low) & (low < 0), low, high), low)
    return jnp.where(finite, inner, outer)


def _hard_quantile(x: Any, q: Any, *, axis: int = -1) -> Any:
    def row(x: Any) -> Any:
        places, weight = _between(x.shape[0], q, x.dtype)
        return _interpolate(jnp.sort(x)[places], weight)

    return rows(_with_nan(row), floats(x)[0], axis)


_INVARIANT = (Law.MONOTONE, Law.SHIFT_EQUIVARIANT, Law.PERMUTATION_INVARIANT)


@operation(
    hard=_hard_quantile,
    gap=_order_gap,
    sample=lambda key: (*_values(key), 0.3),
    laws=_INVARIANT,
)
def quantile(x: Any, q: Any, *, temperature: Any, family: Family = box, axis: int = -1) -> Any:
    """The q-quantile by linear interpolation of two soft order statistics; q a scalar in [0, 1]. Gap: that of `sort`.

    Raises:
        ValueError: for no values, or q outside [0, 1] (not checked if traced).
    """
    (x,) = floats(x)

    def row(x: Any) -> Any:
        places, weight = _between(x.shape[0], q, x.dtype)
        return _interpolate(_statistics(jnp.sort(x), places, temperature, family), weight)

    return rows(_with_nan(row), x, axis)


@operation(
    hard=lambda x, *, axis=-1: _hard_quantile(x, 0.5, axis=axis),
    gap=_order_gap,
    sample=_values,
    laws=_INVARIANT,
)
def median(x: Any, *, temperature: Any, family: Family = box, axis: int = -1) -> Any:
    """The quantile at 1/2. Gap: that of `sort`. Raises ValueError for no values."""
    return quantile(x, 0.5, temperature=temperature, family=family, axis=axis)
