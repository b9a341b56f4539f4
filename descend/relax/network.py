"""Sorting networks with soft swaps: a fixed sequence of comparisons of two places, each of them a blend.

A swap of a and b keeps a share cdf((b - a) / temperature) of what stands where and exchanges the rest: the values
become soft minima and maxima, and the product of the swaps a doubly stochastic matrix. In contrast to `sort`, errors
add up over the layers, so that softness grows with n.

Whether a soft minimum rises with both values depends on the family: cdf(z) + z pdf(z) must stay in [0, 1], for which
the tails of the step must be as heavy as those of 1/z. `reciprocal`, `cauchy` and `optimal` are monotone. `logistic`
and `gaussian` are not: their swap derivative leaves the interval by about 0.1, and the wrong sign comes with it.
All soft values lie within the range of x, and their sum is that of x.

Source: Petersen, Borgelt, Kuehne and Deussen, "Monotonic Differentiable Sorting Networks", ICLR 2022
(arXiv:2203.09630); the networks are those of Knuth, "The Art of Computer Programming" 3, section 5.3.4.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.relax.families import Family, worst_leak
from descend.relax.heavy import optimal
from descend.relax.operation import Law, floats, operation, rows


class Layers(NamedTuple):
    """A sorting network on n wires: int arrays of shape (layers, n).

    Attributes:
        partner: the wire that each is compared with, itself where it is idle.
        side: 1 where the smaller value goes, -1 where the larger, 0 for an idle wire.
    """

    partner: np.ndarray
    side: np.ndarray


Network = Callable[[int], Layers]


@functools.cache
def odd_even(n: int) -> Layers:
    """Odd-even transposition: neighbors only, n layers."""
    return _layers(n, [[(i, i + 1) for i in range(layer % 2, n - 1, 2)] for layer in range(n if n > 1 else 0)])


@functools.cache
def merge(n: int) -> Layers:
    """Batcher's odd-even merging, about (log2 n)^2 / 2 layers, for any n."""
    layers, width = [], 1
    while width < n:
        step = width
        while step:
            first = step % width
            pairs = (
                (i, i + step)
                for start in range(first, n - step, 2 * step)
                for i in range(start, min(start + step, n - step))
            )
            layers.append([(i, j) for i, j in pairs if i // (2 * width) == j // (2 * width)])
            step //= 2
        width *= 2
    return _layers(n, layers)


def _layers(n: int, layers: list[list[tuple[int, int]]]) -> Layers:
    partner = np.tile(np.arange(n), (len(layers), 1))
    side = np.zeros((len(layers), n), int)
    for number, pairs in enumerate(layers):
        for low, high in pairs:
            partner[number, [low, high]] = high, low
            side[number, [low, high]] = 1, -1
    return Layers(partner, side)


def _swapped(x: Any, layer: Layers, temperature: Any, family: Family) -> tuple[Any, Any, Any]:
    """A layer: the new values, and the weights of what stood on the wire and on its partner."""
    other = x[layer.partner]
    finite = jnp.isfinite(x) & jnp.isfinite(other)
    a, b = jnp.where(finite, x, 0), jnp.where(finite, other, 0)
    z = layer.side * (b - a) / temperature
    idle = layer.side == 0
    keep, take = jnp.where(idle, 1, family.cdf(z)), jnp.where(idle, 0, family.cdf(-z))
    stays = jnp.where(layer.side > 0, x <= other, x >= other)
    keep, take = jnp.where(finite, keep, stays), jnp.where(finite, take, ~stays)
    return jnp.where(finite, keep * a + take * b, jnp.where(stays, x, other)), keep, take


def _run(x: Any, temperature: Any, family: Family, network: Network, matrix: bool) -> tuple[Any, Any]:
    """The values at the end and, if asked for, the weights of the entries in them."""
    n = x.shape[0]
    temperature = jnp.asarray(temperature, x.dtype)
    layers = jax.tree.map(jnp.asarray, network(n))

    def step(carry: tuple[Any, Any], layer: Layers) -> tuple[tuple[Any, Any], None]:
        values, weights = carry
        values, keep, take = _swapped(values, layer, temperature, family)
        if matrix:
            weights = keep[:, None] * weights + take[:, None] * weights[layer.partner]
        return (values, weights), None

    start = (x, jnp.eye(n, dtype=x.dtype) if matrix else jnp.zeros(0, x.dtype))
    (values, weights), _ = jax.lax.scan(step, start, layers)
    bad = jnp.any(jnp.isnan(x))
    return jnp.where(bad, jnp.nan, values), jnp.where(bad, jnp.nan, weights)


def _sample(key: jax.Array) -> tuple[Any, ...]:
    return (jax.random.normal(key, (5,)),)


def _sort_gap(
    x: Any, *, temperature: Any, family: Family = optimal, network: Network = odd_even, axis: int = -1
) -> Any:
    return len(network(jnp.shape(x)[axis]).side) * worst_leak(family) * temperature


def _no_nan(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: jnp.where(jnp.any(jnp.isnan(x)), jnp.nan, function(x))


@operation(
    hard=lambda x, *, axis=-1: rows(_no_nan(jnp.sort), floats(x)[0], axis),
    gap=_sort_gap,
    sample=_sample,
    laws=(Law.MONOTONE, Law.SHIFT_EQUIVARIANT),
)
def network_sort(
    x: Any, *, temperature: Any, family: Family = optimal, network: Network = odd_even, axis: int = -1
) -> Any:
    """The values in rising order, each a blend of all, by a network of soft swaps. Same shape as x.

    Monotone for the families that are (see the module), as is the default. Time O(n) a layer, memory O(n) a layer if
    differentiated. Gap (only the size of x matters): `worst_leak` temperatures a layer, since what a swap adds is never
    enlarged by those after it.
    """
    (x,) = floats(x)
    return rows(lambda row: _run(row, temperature, family, network, matrix=False)[0], x, axis)


def _hard_weights(x: Any) -> Any:
    return jax.nn.one_hot(jnp.argsort(x), x.shape[0], dtype=x.dtype)


@operation(
    hard=lambda x, *, axis=-1: rows(_no_nan(_hard_weights), floats(x)[0], axis),
    gap=lambda *_, temperature, family=optimal, network=odd_even, axis=-1: 1.0,
    sample=_sample,
    laws=(Law.SHIFT_INVARIANT, Law.ROW_STOCHASTIC, Law.DOUBLY_STOCHASTIC),
)
def network_argsort(
    x: Any, *, temperature: Any, family: Family = optimal, network: Network = odd_even, axis: int = -1
) -> Any:
    """Which entry stands where in rising order: doubly stochastic matrices, places along the axis and entries last.

    Row k has the weights of the entries in the k-th smallest value: for one axis, the product with x is `network_sort`.
    `.hard` is the permutation matrix. Time O(n^2) a layer. Gap: at worst 1 (at ties).
    """
    (x,) = floats(x)
    return rows(lambda row: _run(row, temperature, family, network, matrix=True)[1], x, axis)
