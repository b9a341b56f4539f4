"""Directions: vectors of length one."""

from typing import Any

import jax
import numpy as np

from descend import numerics
from descend.domains import counts
from descend.domains.domain import as_floats, slack
from descend.domains.manifold import fixed
from descend.domains.unit_columns import UnitColumns


class Sphere(UnitColumns):
    """Vectors of n numbers with Euclidean length one.

    It starts at a ramp, (1, 2, ..., n) over its length: a point that symmetric objectives do not single out, as they do
    the axes and the mean.

    Args:
        n: how many numbers.

    Raises:
        TypeError: if n is not a whole number.
        ValueError: if n < 1.
    """

    def __init__(self, n: int):
        self.n = counts.positive("Sphere", n)
        self.shape = (self.n,)
        self.dimension = self.n - 1

    def __repr__(self) -> str:
        return f"Sphere({self.n})"

    def start(self) -> np.ndarray:
        return self.project(np.arange(1.0, self.n + 1))

    def sample(self, key: jax.Array) -> jax.Array:
        """Uniform."""
        return self.project(jax.random.normal(key, self.shape))

    def contains(self, x: Any, tolerance: float | None = None) -> Any:
        tolerance, x = slack(x, tolerance), as_floats(x)
        if x.shape != self.shape:
            return False
        xp = numerics.namespace(x)
        return xp.all(xp.isfinite(x)) & (abs(xp.linalg.norm(xp.clip(x, -2.0, 2.0)) - 1) <= tolerance)

    def project(self, x: Any) -> Any:
        """x over its length, for leading axes too; the start in place of zero. NaN stays NaN."""
        x = as_floats(x)
        xp = numerics.namespace(x)
        x = xp.clip(x, -float(np.finfo(x.dtype).max), float(np.finfo(x.dtype).max))
        largest = fixed(xp.max(abs(x), axis=-1, keepdims=True))
        ramp = xp.broadcast_to(xp.arange(1, self.n + 1, dtype=x.dtype), x.shape)
        x = xp.where(largest == 0, ramp, x / xp.where(largest == 0, 1.0, largest))
        return x / xp.sqrt(xp.sum(x * x, axis=-1, keepdims=True))

    def tangent(self, x: Any, v: Any) -> Any:
        return v - x * numerics.namespace(x, v).sum(x * v, axis=-1, keepdims=True)


EXAMPLES = (Sphere(5), Sphere(1), Sphere(2))
