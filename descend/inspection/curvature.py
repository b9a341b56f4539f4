"""The smallest curvature of a Lagrangian on a subspace, relative to its largest."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from scipy import sparse

from descend.solvers.saddle_system import SaddleSystem, least_norm, negative
from descend.solvers.sparsity import stretched, unit_rows

RIDGES = (1e-6, 1e-9, 1e-12)
DENSE = 500  # above this many coordinates the Hessian is only used as an operator


def dense(hessian: np.ndarray, normals: np.ndarray, floor: float) -> float:
    """Smallest over largest |eigenvalue| of a symmetric matrix on the null space of the normals.

    The coordinates are first equilibrated (a congruence, which keeps the signs of eigenvalues), so that a small
    negative curvature does not hide behind a large one elsewhere.

    Args:
        hessian: shape (n, n).
        normals: shape (k, n).
        floor: curvature that counts as none.

    Returns:
        The ratio, in [-1, 1]; 1 where the null space holds only zero.
    """
    hessian = (hessian + hessian.T) / 2
    stretch = np.ones(len(hessian))
    for _ in range(5):
        largest = np.max(abs(hessian * stretch), axis=1, initial=0.0) * stretch
        stretch /= np.sqrt(np.maximum(largest, floor * stretch**2))
    inside = scipy.linalg.null_space(_unit(normals * stretch), rcond=1e-10) if len(normals) else np.eye(len(hessian))
    if inside.shape[1] == 0:
        return 1.0
    eigenvalues = np.linalg.eigvalsh(inside.T @ (stretch[:, None] * hessian * stretch) @ inside)
    return float(eigenvalues[0] / max(1.0, np.max(abs(eigenvalues))))


def large(hessian: sparse.csr_array, normals: sparse.csr_array, floor: float, tolerance: float) -> float | None:
    """The same for sparse matrices, with the equilibration; None where an elimination is too inaccurate.

    The inertia of the matrix of Newton's method decides whether a curvature is below -tolerance: no direction is
    missed. The smallest curvature itself, which is only told, is then found by inverse iteration.

    Args:
        hessian: shape (n, n).
        normals: shape (k, n); they may be dependent.
        floor: curvature that counts as none.
        tolerance: the same, relative to the largest.
    """
    n = hessian.shape[0]  # type: ignore
    stretch = np.ones(n)
    for _ in range(5):
        entries = stretched(hessian, stretch, stretch)
        stretch /= np.sqrt(np.maximum(abs(entries).max(axis=1).toarray(), floor * stretch**2))
    rows, _ = unit_rows(stretched(normals, np.ones(normals.shape[0]), stretch))  # type: ignore
    shifted = stretched(hessian, stretch, stretch) + tolerance * sparse.eye_array(n)
    # A ridge loosens the constraints: the less of it the better, but for rounding.
    positive = any(negative(shifted, rows, ridge, tolerance / 10) == rows.shape[0] for ridge in RIDGES)
    system, none = SaddleSystem(shifted, rows), np.zeros(rows.shape[0])
    inverse = scipy.sparse.linalg.LinearOperator((n, n), lambda v: system.solve(np.ravel(v), none)[0], dtype=np.float64)  # type: ignore[call-arg]
    try:
        start = system.solve(np.random.default_rng(0).normal(size=n), none)[0]
        found, vectors = scipy.sparse.linalg.eigsh(
            inverse,
            1,
            which="LA" if positive else "SA",
            v0=start,
            tol=1e-2,  # type: ignore[arg-type]
            maxiter=100,  # type: ignore
        )
    except scipy.sparse.linalg.ArpackNoConvergence:
        return 0.0 if positive else None
    if positive:
        return float(1 / found[0] - tolerance) if found[0] > 0 else 1.0
    # The inverse is inaccurate where it is large: what counts is the curvature of the direction that it points to.
    direction = system.solve(vectors[:, 0], none)[0]
    direction = least_norm(rows).solve(direction, none)[0]
    curved = float(direction @ (shifted @ direction) / max(direction @ direction, 1e-300)) - tolerance
    return max(-1.0, curved) if curved < -2 * tolerance else None


def lanczos(product: Callable[[np.ndarray], np.ndarray], normals: Any, floor: float, tolerance: float) -> float | None:
    """The same for an operator, without the equilibration; None when Lanczos does not converge.

    The smallest eigenvalue is found as the largest of sigma - H, whose size gives the tolerance a meaning when the
    smallest one is zero.

    Args:
        product: v -> H v, shape (n,).
        normals: shape (k, n), dense or sparse.
        floor: curvature that counts as none.
        tolerance: the same, relative to the largest.
    """
    n = normals.shape[1]
    if sparse.issparse(normals):
        system, none = least_norm(normals), np.zeros(normals.shape[0])
        inside = lambda v: system.solve(v, none)[0]  # noqa: E731
    else:
        basis = scipy.linalg.orth(_unit(normals).T, rcond=1e-10) if len(normals) else np.zeros((n, 0))
        if basis.shape[1] >= n:
            return 1.0
        inside = lambda v: v - basis @ (basis.T @ v)  # noqa: E731

    def extreme(operator: Callable[[np.ndarray], np.ndarray], which: str, precision: float) -> float:
        matrix = scipy.sparse.linalg.LinearOperator((n, n), matvec=operator, dtype=np.float64)  # type: ignore[call-arg]
        start = inside(np.random.default_rng(0).normal(size=n))
        found = scipy.sparse.linalg.eigsh(
            matrix,
            1,
            which=which,
            v0=start,
            tol=precision,  # type: ignore[arg-type]
            maxiter=100,
            return_eigenvectors=False,
        )
        return float(found[0])

    try:
        largest = abs(extreme(lambda v: inside(product(inside(np.ravel(v)))), "LM", 1e-2))
        if largest <= floor:
            return 0.0
        shift = 1.1 * largest
        top = extreme(
            lambda v: shift * inside(np.ravel(v)) - inside(product(inside(np.ravel(v)))), "LA", tolerance / 10
        )
    except scipy.sparse.linalg.ArpackNoConvergence:
        return None
    return (shift - top) / max(largest, floor)


def _unit(normals: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.where(length > 0, length, 1.0)
