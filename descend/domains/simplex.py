"""Probabilities."""

from typing import Any

import jax
import jax.numpy as jnp

from descend.domains.domain import say_shape
from descend.domains.subset import Hypersimplex


class Simplex(Hypersimplex):
    """Nonnegative entries that sum to one along the last axis: `Hypersimplex` with k = 1.

    It starts at 1 / n everywhere.

    Args:
        n: length of the last axis.
        shape: leading axes: that many independent points; a member has shape (*shape, n).

    Raises:
        TypeError: if n is not a whole number.
        ValueError: if n < 1.
    """

    def __init__(self, n: int, shape: Any = ()):
        super().__init__(n, 1, shape)

    def __repr__(self) -> str:
        return f"Simplex({self.n}{f', shape={say_shape(self.points)}' if self.points else ''})"

    def sample(self, key: jax.Array) -> jax.Array:
        """Uniform (the flat Dirichlet distribution)."""
        weights = jax.random.exponential(key, self.shape)
        return weights / jnp.sum(weights, axis=-1, keepdims=True)


EXAMPLES = (Simplex(5), Simplex(3, shape=(2, 2)), Simplex(1), Simplex(2), Simplex(2, shape=0))
