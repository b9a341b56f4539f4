"""Frames: matrices with orthonormal columns."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.domains import counts
from descend.domains.domain import as_floats, slack
from descend.domains.manifold import singular, symmetric, transposed
from descend.domains.unit_columns import UnitColumns


class Stiefel(UnitColumns):
    """n x p matrices with orthonormal columns; for p = n the orthogonal matrices, of either determinant.

    It starts at the first p columns of the reflection that swaps the ramp (1, 2, ..., n) for its opposite: a frame that
    symmetric objectives do not single out, as they do the axes.

    Args:
        n: length of a column.
        p: number of columns, from 1 to n.

    Raises:
        TypeError: if n or p is not a whole number.
        ValueError: if p < 1 or p > n.

    Source: Absil, Mahony and Sepulchre, Optimization Algorithms on Matrix Manifolds (2008), for tangents and steps.
    """

    def __init__(self, n: int, p: int):
        self.n, self.p = counts.whole("Stiefel", n=n, p=p)
        if not 1 <= self.p <= self.n:
            raise ValueError(f"Stiefel needs p between 1 and n={n}, got {p}")
        self.shape = (self.n, self.p)
        self.dimension = self.n * self.p - self.p * (self.p + 1) // 2

    def __repr__(self) -> str:
        return f"Stiefel({self.n}, {self.p})"

    def start(self) -> np.ndarray:
        ramp = np.arange(1.0, self.n + 1)
        return (np.eye(self.n) - 2 * np.outer(ramp, ramp) / (ramp @ ramp))[:, : self.p]

    def sample(self, key: jax.Array) -> jax.Array:
        """Uniform."""
        q, r = jnp.linalg.qr(jax.random.normal(key, self.shape))
        return q * jnp.where(jnp.diagonal(r) < 0, -1.0, 1.0)[None]

    def contains(self, x: Any, tolerance: float | None = None) -> Any:
        tolerance, x = slack(x, tolerance), as_floats(x)
        if x.shape != self.shape:
            return False
        xp = numerics.namespace(x)
        near = xp.clip(x, -2.0, 2.0)
        apart = abs(near.T @ near - xp.eye(self.p, dtype=x.dtype))
        return xp.all(xp.isfinite(x)) & (xp.max(apart) <= tolerance)

    def project(self, x: Any) -> Any:
        """The nearest member, u v of the singular value decomposition u s v: the orthogonal polar factor.

        Where singular values vanish several are nearest, and one of them is given. Its derivative is that of JAX's
        decomposition, which is not defined where singular values are equal. Time n p^2. NaN gives NaN.
        """
        u, _, v = singular(as_floats(x))
        return u @ v

    def tangent(self, x: Any, v: Any) -> Any:
        return v - x @ symmetric(transposed(x) @ v)

    def retract(self, x: Any, v: Any) -> Any:
        """The Q factor of x + v with a positive diagonal in R, by a Cholesky factorization: smooth, time n p^2."""
        xp = numerics.namespace(x, v)
        y = x + v
        lower = xp.linalg.cholesky(symmetric(transposed(y) @ y))
        return transposed(xp.linalg.solve(lower, transposed(y)))


EXAMPLES = (Stiefel(5, 2), Stiefel(3, 3), Stiefel(1, 1), Stiefel(4, 1))
