"""Covariances: symmetric positive definite matrices."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.domains import counts, moves
from descend.domains.domain import as_floats, slack
from descend.domains.manifold import Manifold, symmetric, transposed


class PositiveDefinite(Manifold):
    """Symmetric n x n matrices with eigenvalues of at least `lower`. It starts at the identity, or `lower` times it.

    A closed convex set, and inside of it a manifold with the affine-invariant metric <u, v> = tr(x^-1 u x^-1 v), in
    which steps are relative and inversion changes no distance.

    Args:
        n: number of rows.
        lower: the least eigenvalue, positive. The answer's smallest eigenvalue tells whether it holds it back.

    Raises:
        TypeError: if n is not a whole number.
        ValueError: if n < 1, or `lower` is not positive and finite.

    Source: Bhatia, Positive Definite Matrices (2007), chapter 6; steps: Jeuris, Vandebril and Vandereycken, "A survey
        and comparison of contemporary algorithms for computing the matrix geometric mean" (2012).
    """

    convex = True

    def __init__(self, n: int, lower: float = 1e-8):
        self.n = counts.positive("PositiveDefinite", n)
        self.lower = float(lower)
        if not 0 < self.lower < np.inf:
            raise ValueError(f"lower must be positive and finite, got {lower}")
        self.shape = (self.n, self.n)
        self.dimension = self.n * (self.n + 1) // 2

    def __repr__(self) -> str:
        return f"PositiveDefinite({self.n}{f', lower={self.lower:g}' if self.lower != 1e-8 else ''})"

    def start(self) -> np.ndarray:
        return max(1.0, self.lower) * np.eye(self.n)

    def sample(self, key: jax.Array) -> jax.Array:
        """Random axes, and eigenvalues (or what they exceed `lower` by) whose logarithms are standard Gaussians."""
        axes_key, sizes_key = jax.random.split(key)
        q, _ = jnp.linalg.qr(jax.random.normal(axes_key, self.shape))
        sizes = max(1.0, self.lower) * jnp.exp(jax.random.normal(sizes_key, (self.n,)))
        return symmetric((q * (self.lower + sizes)[None]) @ q.T)

    def contains(self, x: Any, tolerance: float | None = None) -> Any:
        """Whether x is symmetric with eigenvalues of at least `lower`, to a tolerance relative to max(1, |x|)."""
        tolerance, x = slack(x, tolerance), as_floats(x)
        if x.shape != self.shape:
            return False
        xp = numerics.namespace(x)
        finite = xp.all(xp.isfinite(x))
        x = xp.where(finite, x, 0.0)
        reach = tolerance * xp.maximum(1.0, xp.max(abs(x)))
        least = xp.min(xp.linalg.eigvalsh(symmetric(x)))
        return finite & (xp.max(abs(x - x.T)) <= reach) & (least >= self.lower - reach)

    def project(self, x: Any) -> Any:
        """The Euclidean projection: the symmetric part with its eigenvalues clipped. Time n^3. NaN gives NaN.

        Differentiable in both modes, also where eigenvalues are equal; generalized where one of them is `lower`.
        """
        x = symmetric(as_floats(x))
        return _clip(x, self.lower) if isinstance(x, jax.Array) else _clipped(x, self.lower)[0]

    def tangent(self, x: Any, v: Any) -> Any:
        return symmetric(v)

    def gradient(self, x: Any, g: Any) -> Any:
        return x @ symmetric(g) @ x

    def inner(self, x: Any, u: Any, v: Any) -> Any:
        xp = numerics.namespace(x, u, v)
        return xp.sum(xp.linalg.solve(x, u) * transposed(xp.linalg.solve(x, v)))

    def retract(self, x: Any, v: Any) -> Any:
        """x + v + v x^-1 v / 2: the geodesic to second order. Positive definite for any symmetric v."""
        return symmetric(x + v + v @ numerics.namespace(x, v).linalg.solve(x, v) / 2)

    def transport(self, x: Any, y: Any, v: Any) -> Any:
        """e v e' with e the square root of y x^-1: along the geodesic from x to y, and an isometry.

        Source: Sra and Hosseini, "Conic geometric optimization on the manifold of positive definite matrices" (2015).
        """
        xp = numerics.namespace(x, y, v)
        root, inverse = _roots(x)
        middle, _ = _roots(inverse @ y @ inverse)
        e = root @ middle @ inverse
        return symmetric(e @ v @ xp.swapaxes(e, -1, -2))

    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """Gaussian steps relative to x, log-uniform in size from a thousandth to one; `lower` throws them back."""
        x = as_floats(x)
        xp = numerics.namespace(x)
        (step,) = moves.like(x, moves.gaussian(key, count, self.shape))
        root = xp.linalg.cholesky(symmetric(x) + 1e-3 * self.lower * xp.eye(self.n, dtype=x.dtype))[None]
        step = root @ symmetric(step) @ transposed(root)
        moved = self.retract(moves.stacked(x, count), step)
        least = xp.min(xp.linalg.eigvalsh(moved), axis=-1)[:, None, None]
        # Twice what is missing, so that a step against the wall comes back from it.
        return moved + 2 * xp.maximum(self.lower - least, 0.0) * xp.eye(self.n, dtype=x.dtype)[None]


def _roots(x: Any) -> tuple[Any, Any]:
    """The square root of a positive definite matrix, and its inverse."""
    xp = numerics.namespace(x)
    values, vectors = xp.linalg.eigh(symmetric(x))
    values = xp.sqrt(xp.maximum(values, np.finfo(x.dtype).tiny))
    back = transposed(vectors)
    return (vectors * values[..., None, :]) @ back, (vectors / values[..., None, :]) @ back


def _clipped(x: Any, lower: float) -> tuple[Any, Any, Any]:
    """A symmetric matrix with its eigenvalues clipped, the eigenvalues, and the eigenvectors."""
    xp = numerics.namespace(x)
    finite = xp.all(xp.isfinite(x))
    values, vectors = xp.linalg.eigh(xp.where(finite, x, 0.0))
    clipped = symmetric((vectors * xp.maximum(values, lower)[None]) @ vectors.T)
    return xp.where(finite, clipped, xp.nan), values, vectors


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _clip(x: jax.Array, lower: float) -> jax.Array:
    return _clipped(x, lower)[0]


@_clip.defjvp
def _clip_jvp(lower: float, primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    """The derivative of a function of eigenvalues, by its divided differences (Daleckii and Krein)."""
    (x,), (dx,) = primals, tangents
    y, values, vectors = _clipped(x, lower)
    clipped = jnp.maximum(values, lower)
    gap = values[:, None] - values[None]
    free = (values > lower).astype(x.dtype)
    mixed = (clipped[:, None] - clipped[None]) / jnp.where(gap == 0, 1.0, gap)
    slopes = jnp.where(free[:, None] == free[None], free[:, None] * free[None], mixed)
    return y, vectors @ (slopes * (vectors.T @ symmetric(dx) @ vectors)) @ vectors.T


EXAMPLES = (PositiveDefinite(3), PositiveDefinite(1), PositiveDefinite(2, lower=0.5))
