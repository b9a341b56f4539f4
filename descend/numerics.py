"""What every room needs from arrays: which library, which key, which tolerance.

Sets and constraints are written once and serve two kinds of caller: traced JAX code, and black boxes that must see
float64 NumPy arrays whatever JAX's precision is. `namespace` picks the library from the argument, so that NumPy
goes in and NumPy comes out.
"""

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def namespace(*arrays: Any) -> ModuleType:
    """`jax.numpy` if any argument is a JAX array or tracer, else `numpy`."""
    return jnp if any(isinstance(a, jax.Array) for a in arrays) else np


def as_key(key: Any) -> jax.Array:
    """A typed JAX key from an int (which `jit` may have made an array), a typed key or a raw `uint32` key array.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
        return jax.random.key(int(key))
    if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    if isinstance(key, jax.Array) and key.ndim == 0 and jnp.issubdtype(key.dtype, jnp.integer):
        return jax.random.key(key)
    if isinstance(key, (jax.Array, np.ndarray)) and key.dtype == jnp.uint32 and key.shape[-1:] == (2,):
        return jax.random.wrap_key_data(jnp.asarray(key))
    raise TypeError(f"key must be an int or a JAX key, got {type(key).__name__}")


def seed(key: Any) -> np.ndarray:
    """The key as `uint32` numbers that `numpy.random.default_rng` accepts: how a black box receives its key."""
    if isinstance(key, np.ndarray) and key.dtype == np.uint32:
        return key
    return np.asarray(jax.random.key_data(key), np.uint32)


def tolerance(dtype: Any) -> float:
    """How far from a set or bound, relative to its scale, still counts as inside: 1e-6 in float64, 1e-4 in float32."""
    return 1e-6 if np.finfo(dtype).bits >= 64 else 1e-4
