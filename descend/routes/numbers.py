"""The uniform numbers that several runs of a program draw by: made once, outside of the runs."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

AT_ONCE = 2**20
"""Up to this many numbers are made together: each place of a program that makes some is compiled by itself, slowly."""

_INTERVALS = 2**15  # beyond, products of two of them would not fit 32 bits


def independent(key: jax.Array, runs: int, count: int, dtype: Any) -> jax.Array:
    """The numbers of all runs, a row each, independent of each other."""
    return _fraction(_bits(key, (runs, count), dtype), dtype)


def gaussians(key: jax.Array, runs: int, count: int, dtype: Any) -> Callable[[Any], jax.Array]:
    """Gaussian vectors of all runs, as a function of the number of a run: made at once where they are few."""
    if runs * count > AT_ONCE:
        return lambda run: jax.random.normal(jax.random.fold_in(key, run), (count,), dtype)
    table = jax.random.normal(key, (runs * count,), dtype).reshape(runs, count)
    return lambda run: table[run]


def stratified(key: jax.Array, sizes: list[tuple[int, int]], dtype: Any) -> list[Callable[[Any], Any]]:
    """The numbers of all runs, those of one run independent, each spread evenly over the runs.

    In each entry the runs fall into different ones of as many equal intervals, in an order of its own: a Latin
    hypercube. A mean over runs stays unbiased, and loses the part of its variance that entries make by themselves; what
    they make together is at most runs / (runs - 1) times that of independent runs. Nothing that compares runs with each
    other may use these: they are not independent.

    The order is k -> a k + b modulo a prime, and the place within the interval v + k w modulo 1, for random a, b, v and
    w. Any two runs are then distributed as they are with random permutations and fresh places, and the variance of a
    mean depends on no more than pairs. So four random numbers an entry do for all runs, in whatever chunks they are
    made. A block of one entry needs no order, and has as many intervals as runs. Beyond 2^15 runs there is one.

    Args:
        key: for all of them.
        sizes: pairs (runs, count): one block of `count` entries for that many runs each.
        dtype: of the numbers.

    Returns:
        For each block a function of the number of a run to a vector.

    Source:
        McKay, Beckman and Conover, "A comparison of three methods for selecting values of input variables" (1979);
        variance: Owen, "Monte Carlo variance of scrambled net quadrature" (1997).
    """
    bits = _bits(key, (4, sum(count for _, count in sizes)), dtype)
    words = bits.dtype

    def block(runs: int, start: int, count: int) -> Callable[[Any], Any]:
        intervals = 1 if runs > _INTERVALS else runs if count == 1 or runs == 1 else _prime(runs)
        a, b, v, w = bits[:, start : start + count]
        most = jnp.full_like(a, intervals)
        a = jnp.ones_like(a) if count == 1 else 1 + jax.lax.rem(a, jnp.maximum(most, 2) - 1)

        def numbers(run: Any) -> Any:
            k = jnp.asarray(run).astype(words)
            if intervals == 1:
                return _fraction(v + k * w, dtype)
            order = jax.lax.rem(jax.lax.rem(b, most) + a * k, most)
            return _inside((order.astype(dtype) + _fraction(v + k * w, dtype)) / intervals, dtype)

        return numbers

    starts = [sum(count for _, count in sizes[:i]) for i in range(len(sizes))]
    return [block(runs, start, count) for (runs, count), start in zip(sizes, starts, strict=True)]


def _bits(key: jax.Array, shape: tuple[int, int], dtype: Any) -> jax.Array:
    """Unsigned integers of as many bits as the floats, 32 at least.

    They are made flat and in whole vectors of the processor's, which is compiled in half the time.
    """
    words = jnp.uint64 if jnp.finfo(dtype).bits == 64 else jnp.uint32
    size = shape[0] * shape[1]
    return jax.random.bits(key, (-(-size // 64) * 64,), words)[:size].reshape(shape)


def _fraction(bits: Any, dtype: Any) -> Any:
    """Random bits as numbers that are neither 0 nor 1."""
    info = jnp.finfo(dtype)
    shift = jnp.iinfo(bits.dtype).bits - info.nmant - 1
    return _inside((bits >> jnp.asarray(shift, bits.dtype)).astype(dtype) * 2.0 ** -(info.nmant + 1), dtype)


def _inside(u: Any, dtype: Any) -> Any:
    info = jnp.finfo(dtype)
    return jnp.clip(u, info.tiny, 1 - info.epsneg)


def _prime(least: int) -> int:
    """The first prime from `least` on."""
    return next(p for p in range(max(least, 2), 2 * least + 2) if all(p % d for d in range(2, int(p**0.5) + 1)))
