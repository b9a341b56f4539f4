"""Symmetric elimination in elementary operations, for small systems: a thousand at once under `vmap`.

Calls of LAPACK are loops over the batch, and stall inside of mapped loops on few processors; these are not.
"""

from typing import Any

import jax
import jax.numpy as jnp


def factor(matrix: Any) -> tuple[Any, Any]:
    """L and d with matrix = L diag(d) L', L unit lower triangular; no pivoting.

    By Sylvester's law d has as many negative entries as the matrix has negative eigenvalues. A zero pivot gives entries
    that are not finite. O(n^3) operations in n steps.

    Args:
        matrix: symmetric, shape (n, n).
    """
    n = len(matrix)
    index = jnp.arange(n)

    def column(j: Any, carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        rest, lower, diagonal = carry
        pivot = rest[j, j]
        entries = jnp.where(index > j, rest[:, j] / pivot, 0.0)
        rest = rest - pivot * entries[:, None] * entries[None]
        return rest, lower.at[:, j].set(jnp.where(index == j, 1.0, entries)), diagonal.at[j].set(pivot)

    empty = jnp.zeros_like(matrix)
    _, lower, diagonal = jax.lax.fori_loop(0, n, column, (matrix, empty, jnp.zeros(n, matrix.dtype)))
    return lower, diagonal


def solve(lower: Any, diagonal: Any, right: Any) -> Any:
    """The solution of L diag(d) L' x = right, shape (n,)."""
    n = len(right)
    index = jnp.arange(n)

    def forward(j: Any, x: Any) -> Any:
        return x - jnp.where(index > j, lower[:, j] * x[j], 0.0)

    def backward(step: Any, x: Any) -> Any:
        j = n - 1 - step
        return x - jnp.where(index < j, lower[j] * x[j], 0.0)

    x = jax.lax.fori_loop(0, n, forward, right) / diagonal
    return jax.lax.fori_loop(0, n, backward, x)
