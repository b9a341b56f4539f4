"""Large sparse systems of an optimum's conditions: [[H, A'], [A, -D]], by SuperLU."""

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

RIDGE = 1e-14  # in the corner, so that dependent rows have a solution; refinement takes its effect away
ROUNDS = 8  # of refinement


class SaddleSystem:
    """A factorization of K = [[H, A'], [A, -D]].

    Args:
        top: H, symmetric, sparse, shape (n, n).
        rows: A, sparse, shape (k, n), of about unit length; they may be dependent.
        corner: the diagonal of D, not negative, shape (k,); None for zero.

    Raises:
        RuntimeError: if K is singular beyond what dependent rows explain.

    Source: Saunders, "Solution of sparse rectangular systems using LSQR and CRAIG" (1995), and Vanderbei, "Symmetric
        quasidefinite matrices" (1995).
    """

    def __init__(self, top: Any, rows: Any, corner: np.ndarray | None = None):
        self.size = top.shape[0]  # type: ignore[index]
        corner = np.zeros(rows.shape[0]) if corner is None else corner  # type: ignore[index]
        self.matrix = _stacked(top, rows, corner)
        self._factor = splu(_stacked(top, rows, np.maximum(corner, RIDGE)))

    def solve(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both parts of the solution, refined until the residual no longer halves."""
        right = np.concatenate([first, second])
        found, left = np.zeros_like(right), right
        size = np.linalg.norm(left)
        for _ in range(ROUNDS):
            following = found + self._factor.solve(left)
            rest = right - self.matrix @ following
            shrunk = np.linalg.norm(rest)
            if not shrunk < size:
                break
            found, left, done, size = following, rest, shrunk > size / 2, shrunk
            if done or size == 0:
                break
        return found[: self.size], found[self.size :]


def least_norm(rows: Any) -> "SaddleSystem":
    """The system whose `solve(v, 0)` projects v on the null space of rows, and whose `solve(0, b)` is the least x with
    rows x = b.
    """
    return SaddleSystem(sparse.eye_array(rows.shape[1]), rows)  # type: ignore[index]


def negative(top: Any, rows: Any, ridge: float = 1e-6, error: float = 1e-8) -> int | None:
    """How many negative eigenvalues [[H, A'], [A, -ridge]] has; None where rounding leaves it open.

    That are at least as many as A has rows; exactly as many show H to be positive definite on the null space of A.
    By Sylvester's law from the pivots of an elimination along the diagonal, whose backward error is then measured.

    Args:
        top: H, symmetric, shape (n, n), with entries of about one.
        rows: A, of unit length, shape (k, n).
        ridge: the corner.
        error: up to which the backward error is no matter, each entry.
    """
    matrix = _stacked(top, rows, np.full(rows.shape[0], ridge))  # type: ignore[index]
    try:
        found = splu(
            matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True, "Equil": False}
        )
    except RuntimeError:
        return None
    if not np.array_equal(found.perm_r, found.perm_c):
        return None
    order = np.argsort(found.perm_c)
    if not abs(found.L @ found.U - matrix[order][:, order]).max() <= error:
        return None
    return int(np.sum(found.U.diagonal() < 0))


def _stacked(top: Any, rows: Any, corner: np.ndarray) -> sparse.csc_array:
    return sparse.csc_array(sparse.bmat([[top, rows.T], [rows, -sparse.diags_array(corner)]], format="csc"))  # type: ignore[attr-defined]
