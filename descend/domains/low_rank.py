"""Matrices of low rank."""

import math
from typing import Any

import jax
import numpy as np

from descend import numerics
from descend.domains import counts, moves
from descend.domains.domain import as_floats, slack
from descend.domains.manifold import Chart, Manifold, fixed, singular


class LowRank(Manifold):
    """m x n matrices of rank at most `rank`: closed, not convex, and smooth where the rank is exactly that.

    Steps are taken on the matrix itself, with truncated singular value decompositions. `factors` and `product` give the
    factored form, a product of `depth` matrices, to whoever wants it: it is the usual parametrization, spoils the
    conditioning, and prefers matrices of lower rank the deeper it is.

    It starts at a matrix whose `rank` singular values are one. A step takes the time of a decomposition, m n min(m, n).

    Args:
        m, n: number of rows and columns.
        rank: the largest rank, from 1 to min(m, n).
        depth: number of factors of the factored form, at least 2; it changes nothing else.

    Raises:
        TypeError: if an argument is not a whole number.
        ValueError: if the rank or the depth is out of range.

    Source: Vandereycken, "Low-rank matrix completion by Riemannian optimization" (2013); Absil and Oseledets, "Low-rank
        retractions: a survey and new results" (2015).
    """

    def __init__(self, m: int, n: int, rank: int, depth: int = 2):
        self.m, self.n, self.rank, self.depth = counts.whole("LowRank", m=m, n=n, rank=rank, depth=depth)
        if not 1 <= self.rank <= min(self.m, self.n):
            raise ValueError(f"LowRank needs a rank between 1 and min(m, n)={min(self.m, self.n)}, got {rank}")
        if self.depth < 2:
            raise ValueError(f"LowRank needs a depth of at least 2, got {depth}")
        self.shape = (self.m, self.n)
        self.dimension = (self.m + self.n - self.rank) * self.rank

    def __repr__(self) -> str:
        return f"LowRank({self.m}, {self.n}, {self.rank}{f', depth={self.depth}' if self.depth != 2 else ''})"

    def start(self) -> np.ndarray:
        return _frame(self.m)[:, : self.rank] @ _frame(self.n)[:, : self.rank].T

    def sample(self, key: jax.Array) -> jax.Array:
        """A product of two Gaussian matrices, with entries of variance one."""
        left, right = jax.random.split(key)
        a, b = jax.random.normal(left, (self.m, self.rank)), jax.random.normal(right, (self.rank, self.n))
        return a @ b / math.sqrt(self.rank)

    def contains(self, x: Any, tolerance: float | None = None) -> Any:
        """Whether all but `rank` singular values vanish, relative to max(1, the largest)."""
        tolerance, x = slack(x, tolerance), as_floats(x)
        if x.shape != self.shape:
            return False
        xp = numerics.namespace(x)
        finite = xp.all(xp.isfinite(x))
        s = xp.linalg.svd(xp.where(finite, x, 0.0), compute_uv=False)
        return finite & xp.all(s[self.rank :] <= tolerance * xp.maximum(1.0, s[0]))

    def project(self, x: Any) -> Any:
        """The nearest member, the truncated singular value decomposition (Eckart, Young). NaN gives NaN.

        Its derivative is that of JAX's decomposition, which is not defined where singular values are equal.
        """
        x = as_floats(x)
        if self.rank == min(self.shape):
            return x
        u, s, v = singular(x)
        return (u[..., : self.rank] * s[..., None, : self.rank]) @ v[..., : self.rank, :]

    def tangent(self, x: Any, v: Any) -> Any:
        """v without the part that leaves both the column and the row space. Where the rank is less than `rank`, these
        are filled up with arbitrary directions: one of several smooth pieces of the set is walked along."""
        left, right = self._spaces(x)
        rest = v - left @ (left.swapaxes(-1, -2) @ v)
        return v - rest + (rest @ right.swapaxes(-1, -2)) @ right

    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """Gaussian steps along the tangent space, log-uniform in size from a thousandth of the entries' size to all."""
        x = as_floats(x)
        xp = numerics.namespace(x)
        (step,) = moves.like(x, moves.gaussian(key, count, self.shape))
        size = xp.maximum(xp.sqrt(xp.mean(x * x)), 1 / math.sqrt(self.size))
        x = moves.stacked(x, count)
        return self.retract(x, self.tangent(x, size * step))

    def chart(self, x: np.ndarray) -> Chart:
        """The orthographic step along the tangent space; all matrices, where x has a smaller rank and is a corner."""
        s = np.linalg.svd(x, compute_uv=False)
        if s[self.rank - 1] <= 1e-8 * max(s[0], 1e-300):
            return Chart(np.eye(self.size), lambda v: numerics.namespace(v).asarray(x, v.dtype) + v.reshape(self.shape))
        left, right = self._spaces(x)

        def move(v: Any) -> Any:
            xp = numerics.namespace(v)
            a, b, y = xp.asarray(left, v.dtype), xp.asarray(right.T, v.dtype), v.reshape(self.shape)
            y = y + xp.asarray(x, v.dtype)
            return y @ b @ xp.linalg.solve(a.T @ y @ b, a.T @ y)

        return Chart(super().chart(x).basis, move)

    def factors(self, x: Any) -> list[Any]:
        """Balanced matrices whose product is the member x: (m, rank), then square ones, then (rank, n)."""
        u, s, v = singular(as_floats(x))
        root = s[: self.rank] ** (1 / self.depth)
        middle = [numerics.namespace(x).diag(root)] * (self.depth - 2)
        return [u[:, : self.rank] * root[None], *middle, root[:, None] * v[: self.rank]]

    def product(self, factors: Any) -> Any:
        """The member that factors stand for."""
        x = factors[0]
        for factor in factors[1:]:
            x = x @ factor
        return x

    def _spaces(self, x: Any) -> tuple[Any, Any]:
        u, _, v = singular(fixed(x))
        return u[..., : self.rank], v[..., : self.rank, :]


def _frame(n: int) -> np.ndarray:
    ramp = np.arange(1.0, n + 1)
    return np.eye(n) - 2 * np.outer(ramp, ramp) / (ramp @ ramp)


EXAMPLES = (LowRank(4, 3, 1), LowRank(3, 3, 2, depth=3), LowRank(2, 3, 2), LowRank(1, 1, 1))
