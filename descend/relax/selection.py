"""Choosing among n values: argmax, max and their mirror images, the k largest, the entry of a table at an index.

Weights replace the choice: a value that lies d below the one wanted weighs cdf(-d) / cdf(d) against 1, in units of the
temperature. For the logistic family that is the softmax; for two values it is the family's comparison; a family of
compact support gives exact zeros. Nothing here sorts: memory is O(n) a result, and never n x n.

Source: Prillo and Eisenschlos, "SoftSort: A Continuous Relaxation for the argsort Operator", ICML 2020, whose kernel
is the logistic case.
"""

import math
import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from descend.relax.families import Family, logistic, odds, worst_pull
from descend.relax.operation import Law, floats, operation, rows


def _values(key: jax.Array) -> tuple[Any, ...]:
    return (jax.random.normal(key, (5,)),)


def choose(wanted: Any, x: Any, temperature: Any, family: Family) -> Any:
    """Weights of the entries of x, shape (n,), that add up to 1 around the value `wanted`, a scalar."""
    same = x == wanted  # infinities too
    distance = jnp.where(same, 0, jnp.abs(wanted - jnp.where(same, 0, x)))
    weights = odds(family, distance / jnp.asarray(temperature, x.dtype))
    return weights / jnp.sum(weights)


def mix(weights: Any, x: Any) -> Any:
    """The mean of x, shape (n,), by weights; infinite entries only count where they are the heaviest. NaN stays."""
    infinite = jnp.isinf(x)
    heaviest = jnp.where(jnp.max(weights) == weights, x, 0)
    mean = jnp.sum(weights * jnp.where(infinite, 0, x))
    return mean + jnp.sum(jnp.where(jnp.isinf(heaviest), heaviest, 0))


def _nonempty(x: Any, axis: int, name: str) -> None:
    if x.ndim and x.shape[axis] == 0:
        raise ValueError(f"{name} of no values: axis {axis} of shape {x.shape} is empty")


def _hard_argmax(x: Any, *, axis: int = -1) -> Any:
    (x,) = floats(x)
    _nonempty(x, axis, "argmax")

    def first(row: Any) -> Any:
        """By two plain reductions, which compilers vectorize, unlike the pair that `argmax` reduces."""
        places = jnp.arange(row.shape[0], dtype=jnp.int32)
        best = (row == jnp.max(row)) | jnp.isnan(row)
        return (places == jnp.min(jnp.where(best, places, row.shape[0]))).astype(row.dtype)

    return rows(first, x, axis)


@operation(
    hard=_hard_argmax,
    gap=lambda *_, temperature, family=logistic: 1.0,
    sample=_values,
    laws=(Law.SHIFT_INVARIANT, Law.PERMUTATION_EQUIVARIANT, Law.ROW_STOCHASTIC),
)
def argmax(x: Any, *, temperature: Any, family: Family = logistic, axis: int = -1) -> Any:
    """The largest value as weights over its axis, same shape as x; `.hard` is one-hot, the first at a tie.

    Ties share. Gap: at worst 1 (many near-ties).

    Raises:
        ValueError: for no values.
    """
    (x,) = floats(x)
    _nonempty(x, axis, "argmax")
    return rows(lambda row: choose(jnp.max(row), row, temperature, family), x, axis)


def _max_gap(x: Any, *, temperature: Any, family: Family = logistic, axis: int = -1) -> Any:
    return temperature * worst_pull(family, jnp.shape(x)[axis] - 1)


def _hard_max(x: Any, *, axis: int = -1) -> Any:
    (x,) = floats(x)
    _nonempty(x, axis, "max")
    return jnp.max(x, axis)


@operation(
    hard=_hard_max,
    gap=_max_gap,
    sample=_values,
    laws=(Law.SHIFT_EQUIVARIANT, Law.PERMUTATION_INVARIANT),
)
def max(x: Any, *, temperature: Any, family: Family = logistic, axis: int = -1) -> Any:
    """The mean by the weights of `argmax`: never above the maximum, equal to it for equal values.

    Not monotone: a value far below the maximum draws it down less than one near it. Gap (only the size of x matters):
    `worst_pull` of n - 1 others; log n temperatures at most for logistic, the square root of n for Cauchy.
    """
    (x,) = floats(x)
    _nonempty(x, axis, "max")
    return rows(lambda row: mix(choose(jnp.max(row), row, temperature, family), row), x, axis)


@operation(
    hard=lambda x, *, axis=-1: _hard_argmax(-floats(x)[0], axis=axis),
    gap=lambda *_, temperature, family=logistic: 1.0,
    sample=_values,
    laws=(Law.SHIFT_INVARIANT, Law.PERMUTATION_EQUIVARIANT, Law.ROW_STOCHASTIC),
)
def argmin(x: Any, *, temperature: Any, family: Family = logistic, axis: int = -1) -> Any:
    """The smallest value as weights: `argmax` of -x."""
    return argmax(-floats(x)[0], temperature=temperature, family=family, axis=axis)


@operation(
    hard=lambda x, *, axis=-1: -_hard_max(-floats(x)[0], axis=axis),
    gap=_max_gap,
    sample=_values,
    laws=(Law.SHIFT_EQUIVARIANT, Law.PERMUTATION_INVARIANT),
)
def min(x: Any, *, temperature: Any, family: Family = logistic, axis: int = -1) -> Any:
    """The mean by the weights of `argmin`: -max(-x), never below the minimum. Gap as there."""
    return -max(-floats(x)[0], temperature=temperature, family=family, axis=axis)


class Top(NamedTuple):
    """The k largest.

    Attributes:
        values: largest first; k along the axis.
        weights: how much of each entry is in each value: (k, n) in place of the axis; `.hard` has 0 and 1.
    """

    values: Any
    weights: Any


def _check_k(x: Any, k: int, axis: int) -> None:
    try:
        operator.index(k)
    except TypeError:
        raise TypeError(f"k must be a whole number that is known before tracing, got {k!r}") from None
    if x.ndim and not 0 <= k <= x.shape[axis]:
        raise ValueError(f"k must be between 0 and the {x.shape[axis]} values, got {k}")


def _hard_top_k(x: Any, k: int, *, axis: int = -1) -> Top:
    (x,) = floats(x)
    _check_k(x, k, axis)

    def row(x: Any) -> Top:
        values, places = jax.lax.top_k(x, k)
        return Top(values, jax.nn.one_hot(places, x.shape[0], dtype=x.dtype))

    return rows(row, x, axis)


def _top_gap(x: Any, k: int, *, temperature: Any, family: Family = logistic, axis: int = -1) -> Top:
    return Top(temperature * worst_pull(family, jnp.shape(x)[axis] - 1), 1.0)


@operation(
    hard=_hard_top_k,
    gap=_top_gap,
    sample=lambda key: (*_values(key), 3),
    laws=(Law.SHIFT_EQUIVARIANT, Law.PERMUTATION_INVARIANT),
)
def top_k(x: Any, k: int, *, temperature: Any, family: Family = logistic, axis: int = -1) -> Top:
    """The k largest and their weights, in O(k n) without sorting. k is static.

    Each row of weights lies around one of the k largest values, so that rows are stochastic; columns are not. The
    values are continuous with kinks at ties. Gap: that of `max` for the values, 1 for the weights.

    Raises:
        TypeError: for a k that is not a whole number, or is traced.
        ValueError: for k below 0 or above n.
    """
    (x,) = floats(x)
    _check_k(x, k, axis)

    def row(x: Any) -> Top:
        weights = jax.vmap(lambda wanted: choose(wanted, x, temperature, family))(jax.lax.top_k(x, k)[0])
        return Top(jax.vmap(lambda w: mix(w, x))(weights), weights)

    return rows(row, x, axis)


def _hard_take(table: Any, index: Any) -> Any:
    (table,), (index,) = floats(table), floats(index)
    _nonempty(table, 0, "take")
    places = jnp.clip(jnp.ceil(index - 0.5), 0, table.shape[0] - 1)
    taken = table[jnp.where(jnp.isnan(index), 0, places).astype(int)]
    nan = jnp.isnan(index).reshape(index.shape + (1,) * (table.ndim - 1))
    return jnp.where(jnp.broadcast_to(nan, taken.shape), jnp.nan, taken)


def cells(index: Any, n: int, temperature: Any, family: Family) -> Any:
    """The mass of the soft step's density, centered at `index`, in the n unit cells around 0, ..., n - 1."""
    edges = jnp.arange(1, n, dtype=index.dtype) - 0.5
    below = family.cdf((index - edges) / jnp.asarray(temperature, index.dtype))
    ends = jnp.ones(1, index.dtype)
    return jnp.concatenate([ends, below]) - jnp.concatenate([below, 0 * ends])


def _take_gap(table: Any, index: Any = None, *, temperature: Any, family: Family = logistic) -> Any:
    (table,) = floats(table)
    span = jnp.max(table) - jnp.min(table)
    if index is None:
        return span
    off = jnp.abs(floats(index)[0] - jnp.round(floats(index)[0]))
    missing = family.cdf(-(0.5 - off) / temperature) + family.cdf(-(0.5 + off) / temperature)
    return (missing * span).reshape(missing.shape + (1,) * (table.ndim - 1))


@operation(
    hard=_hard_take,
    gap=_take_gap,
    sample=lambda key: (jax.random.normal(key, (6,)), jnp.linspace(0.1, 4.8, 5)),
    laws=(Law.SHIFT_EQUIVARIANT, Law.MONOTONE),
)
def take(table: Any, index: Any, *, temperature: Any, family: Family = logistic) -> Any:
    """The entries table[round(index)], shape (index shape, table.shape[1:]), mixed over neighbors near half-integers.

    The index is a real number, differentiated as such; outside the table it counts as the end, a half rounds down.
    `temperature` is in units of the index. Weights are n a looked-up entry. Gap: the range of the table times the
    weight that misses the entry; at worst, and without `index`, the range of the table.

    Raises:
        ValueError: for an empty table.
    """
    (table,), (index,) = floats(table), floats(index)
    _nonempty(table, 0, "take")
    n = table.shape[0]
    columns = table.reshape(n, math.prod(table.shape[1:])).T

    def one(index: Any) -> Any:
        weights = cells(index, n, temperature, family).astype(table.dtype)
        return jax.vmap(lambda column: mix(weights, column))(columns)

    taken = jax.vmap(one)(index.reshape(-1)) if index.size else jnp.zeros((0, columns.shape[0]), table.dtype)
    return taken.reshape(index.shape + table.shape[1:])
