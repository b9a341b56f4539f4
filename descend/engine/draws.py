"""Keys for the different purposes of a run, none of which is drawn from twice."""

import zlib

import jax


def draw(key: jax.Array, purpose: str, *indices: int) -> jax.Array:
    """The key for a purpose, and the indices-th use of it."""
    *words, last = indices or (0,)
    key = jax.random.fold_in(key, zlib.crc32(repr((purpose, *words)).encode()))
    return jax.random.fold_in(key, last)
