"""Random ingredients of the elementary moves that domains call neighbors.

Draws are made by JAX from a key and then handed to the member's own library: a draw may be a float32, the member that
it moves stays float64.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

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


def coordinates(key: jax.Array, count: int, free: np.ndarray) -> jax.Array:
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
    places = np.flatnonzero(free)
    if not places.size:
        return jnp.zeros((count, free.size), bool)
    one_key, few_key, more_key = jax.random.split(key, 3)
    one = jnp.asarray(places)[jax.random.randint(one_key, (count, 1), 0, places.size)]
    few = jax.random.bernoulli(few_key, FEW, (count, 1))
    more = jax.random.bernoulli(more_key, min(1.0, 2 / places.size), (count, free.size)) & jnp.asarray(free)[None]
    return (jnp.arange(free.size)[None] == one) | (few & more)
