"""Random ingredients of the elementary moves that domains call neighbors.

Draws are made by JAX from a key and then handed to the member's own library: a draw may be a float32, the member that
it moves stays float64.
"""

import math
from functools import partial
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


def uniforms(key: jax.Array, *shapes: tuple[int, ...]) -> list[jax.Array]:
    """Uniform numbers in [0, 1) of several shapes, from a single draw: a program compiles each draw anew, slowly."""
    sizes = [math.prod(shape) for shape in shapes]
    pieces = jnp.split(jax.random.uniform(key, (sum(sizes),)), np.cumsum(sizes)[:-1].tolist())
    return [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]


def step_size(u: jax.Array) -> jax.Array:
    """Log-uniform from a thousandth to one: small moves polish, large ones leave a valley."""
    return 10 ** (3 * u - 3)


def below(u: jax.Array, n: int) -> jax.Array:
    """Uniform whole numbers from 0 to n - 1, as int32."""
    return jnp.minimum(jnp.floor(u * n), n - 1).astype(jnp.int32)


# Jitted as wholes: drawn piece by piece outside of a program, the first move of a search would take seconds.
@partial(jax.jit, static_argnames=("count", "shape"))
def gaussian(key: jax.Array, count: int, shape: tuple[int, ...]) -> jax.Array:
    """`count` standard Gaussians of a shape, each one times a `step_size` of its own."""
    size_key, normal_key = jax.random.split(key)
    size = step_size(jax.random.uniform(size_key, (count,) + (1,) * len(shape)))
    return size * jax.random.normal(normal_key, (count, *shape))


def coordinates(u: jax.Array, few: jax.Array, free: jax.Array) -> jax.Array:
    """Which coordinates each move changes.

    One of the free ones, uniformly; in a share `FEW` of the moves each other free one too with probability 2 / (number
    of free ones).

    Args:
        u: uniform numbers of shape (2, count, n).
        few: uniform numbers of shape (count, 1).
        free: booleans of shape (n,): the coordinates that can change.

    Returns:
        Booleans of shape (count, n), at least one True a row unless nothing is free.
    """
    if not free.size:
        return jnp.zeros(u.shape[1:], bool)
    free = free[None]
    one = jnp.argmax(jnp.where(free, u[0], -1.0), axis=1, keepdims=True)
    more = (few < FEW) & (u[1] < 2 / jnp.maximum(jnp.sum(free), 1))
    return ((jnp.arange(free.size)[None] == one) | more) & free
