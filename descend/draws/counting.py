"""Counts by inversion: the smallest k whose cumulative probability exceeds a uniform number."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

_REACH = 12.0  # standard deviations below the mean, where nothing is left: e^-72 for a normal tail


def inverted(
    u: Any, mean: Any, variance: Any, log_prob: Callable[[Any], Any], ratio: Callable[[Any], Any], most: Any
) -> Any:
    """The count that belongs to each uniform number.

    Args:
        u: uniform numbers.
        mean: of the counts, an array like u.
        variance: of the counts, an array like u.
        log_prob: of a count.
        ratio: `ratio(k)` is P(k + 1) / P(k).
        most: the largest count.

    Time: about 20 standard deviations steps, each of the size of u.
    """
    first = jnp.maximum(jnp.floor(mean - _REACH * jnp.sqrt(variance) - _REACH), 0)
    last = jnp.minimum(jnp.ceil(mean + _REACH * jnp.sqrt(variance) + 4 * _REACH), most)

    def going(state: Any) -> Any:
        k, _, total = state
        return jnp.any((total <= u) & (k < last))

    def step(state: Any) -> Any:
        k, level, total = state
        more = (total <= u) & (k < last)
        level = jnp.where(more, level + jnp.log(ratio(k)), level)
        return jnp.where(more, k + 1, k), level, jnp.where(more, total + jnp.exp(level), total)

    level = log_prob(first)
    return jax.lax.while_loop(going, step, (first, level, jnp.exp(level)))[0]
