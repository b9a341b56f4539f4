"""Keys for the different purposes of a run, none of which is drawn from twice."""

import zlib

import jax
import numpy as np


def draw(key: jax.Array, purpose: str, *indices: int) -> jax.Array:
    """The key for a purpose, and the indices-th use of it."""
    *words, last = indices or (0,)
    return _folded(key, np.uint32(zlib.crc32(repr((purpose, *words)).encode())), np.uint32(last))


@jax.jit
def _folded(key: jax.Array, first: np.uint32, second: np.uint32) -> jax.Array:
    return jax.random.fold_in(jax.random.fold_in(key, first), second)
