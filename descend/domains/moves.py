"""Random ingredients of the elementary moves that domains call neighbors.

Draws are made by JAX from a key and then handed to the member's own library: a draw may be a float32, the member that
it moves stays float64.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from descend import numerics

FEW = 0.25  # share of moves that are larger than the smallest possible one


def like(x: Any, *draws: jax.Array) -> list[Any]:
    """The draws as arrays of x's library; floats in x's dtype."""
    xp = numerics.namespace(x)
    floats = [jnp.issubdtype(draw.dtype, jnp.floating) for draw in draws]
    return [xp.asarray(draw, x.dtype if is_float else None) for draw, is_float in zip(draws, floats, strict=True)]


def stacked(x: Any, count: int) -> Any:
    """x repeated `count` times on a new leading axis."""
    return numerics.namespace(x).broadcast_to(x[None], (count, *x.shape))


def step_size(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Log-uniform from a thousandth to one: small moves polish, large ones leave a valley."""
    return 10 ** jax.random.uniform(key, shape, minval=-3.0, maxval=0.0)


# Jitted as wholes: drawn piece by piece outside of a program, the first move of a search would take seconds.
@partial(jax.jit, static_argnames=("count", "shape"))
def gaussian(key: jax.Array, count: int, shape: tuple[int, ...]) -> jax.Array:
    """`count` standard Gaussians of a shape, each one times a `step_size` of its own."""
    size_key, normal_key = jax.random.split(key)
    return step_size(size_key, (count,) + (1,) * len(shape)) * jax.random.normal(normal_key, (count, *shape))


@partial(jax.jit, static_argnames="count")
def coordinates(key: jax.Array, count: int, free: Any) -> jax.Array:
    """Which coordinates each of `count` moves changes.

    One of the free ones, uniformly; in a share `FEW` of the moves each other free one too with probability 2 / (number
    of free ones).

    Args:
        key: the draw.
        count: number of moves.
        free: booleans of shape (n,): the coordinates that can change.

    Returns:
        Booleans of shape (count, n), at least one True a row unless nothing is free.
    """
    if not free.size:
        return jnp.zeros((count, 0), bool)
    one_key, few_key, more_key = jax.random.split(key, 3)
    free = free[None]
    first = jnp.argmax(jnp.where(free, jax.random.uniform(one_key, (count, free.size)), -1.0), axis=1, keepdims=True)
    few = jax.random.bernoulli(few_key, FEW, (count, 1))
    more = jax.random.bernoulli(more_key, jnp.minimum(1.0, 2 / jnp.maximum(jnp.sum(free), 1)), (count, free.size))
    return ((jnp.arange(free.size)[None] == first) | (few & more)) & free
