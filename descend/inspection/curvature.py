"""The smallest curvature of a Lagrangian on a subspace, relative to its largest."""

from collections.abc import Callable

import numpy as np
import scipy.linalg
import scipy.sparse.linalg

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


def lanczos(
    product: Callable[[np.ndarray], np.ndarray], normals: np.ndarray, floor: float, tolerance: float
) -> float | None:
    """The same for an operator, without the equilibration; None when Lanczos does not converge.

    The smallest eigenvalue is found as the largest of sigma - H, whose size gives the tolerance a meaning when the
    smallest one is zero.

    Args:
        product: v -> H v, shape (n,).
        normals: shape (k, n).
        floor: curvature that counts as none.
        tolerance: the same, relative to the largest.
    """
    n = normals.shape[1]
    basis = np.zeros((n, 0))
    if len(normals):
        basis = scipy.linalg.orth(_unit(normals).T, rcond=1e-10)
    if basis.shape[1] >= n:
        return 1.0

    def inside(v: np.ndarray) -> np.ndarray:
        return v - basis @ (basis.T @ v)

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
