"""Sign-correct multipliers by bounded least squares: which forces of constraints and bounds balance a gradient."""

from typing import Any

import numpy as np
import scipy.linalg
import scipy.optimize
from scipy import sparse

from descend.solvers.saddle_system import SaddleSystem

LARGEST = 5 * 10**6  # entries of the bounds' rows in the joint problem
ROUNDS = 30  # a working set that has not settled by then cycles: the joint problem decides, unless it is too large


def balance(
    gradient: np.ndarray,
    normals: Any,
    equality: np.ndarray,
    gaps: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    """Forces that minimize |unbalanced(gradient + forces @ normals)|^2 + |forces * gaps|^2.

    The problem is convex and piecewise quadratic, since a bound carries any force of its sign. Only coordinates that no
    bound carries enter a least-squares problem, and the set of those is repeated until it settles: then the
    stationarity conditions of the whole problem hold.

    Args:
        gradient: of the loss, shape (n,).
        normals: outward normals of the near-active constraints, shape (k, n), of about unit length, dense or sparse.
        equality: which of them take a force of either sign, shape (k,); the others take none below zero.
        gaps: distance of x from each constraint, shape (k,): a force at a distance violates complementarity.
        low: which coordinates are at a lower bound, shape (n,).
        high: which are at an upper one.

    Returns:
        The forces, shape (k,).
    """
    count, large = normals.shape[0], sparse.issparse(normals)
    least_squares: Any = _sparse_least_squares if large else _least_squares
    if count == 0:
        return np.zeros(0)
    if large:
        normals = sparse.csc_array(normals)
    held = low | high
    working = ~held
    best, best_size = np.zeros(count), np.inf
    for _ in range(ROUNDS):
        forces = least_squares(gradient[working], normals[:, working], equality, gaps)
        rest = unbalanced(gradient + forces @ normals, low, high)
        size = rest @ rest + np.sum((forces * gaps) ** 2)
        if size < best_size:
            best, best_size = forces, size
        following = ~held | (rest != 0)
        if np.array_equal(following, working):
            return forces
        working = following
    if not large and held.sum() * len(gradient) > LARGEST:
        return best
    unit: Any = sparse.eye_array(len(gradient), format="csr") if large else np.eye(len(gradient))
    together: list[Any] = [normals, -unit[low], unit[high]]
    joined: Any = sparse.vstack(together, format="csc") if large else np.concatenate(together)
    joint = least_squares(
        gradient,
        joined,
        np.concatenate([equality, np.zeros(low.sum() + high.sum(), bool)]),
        np.concatenate([gaps, np.zeros(low.sum() + high.sum())]),
    )[:count]
    rest = unbalanced(gradient + joint @ normals, low, high)
    return joint if rest @ rest + np.sum((joint * gaps) ** 2) < best_size else best


def unbalanced(gradient: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The part of a gradient that bounds cannot carry: a lower one carries what is positive, an upper one the rest."""
    carried = (low & (gradient > 0)) | (high & (gradient < 0))
    return np.where(carried, 0.0, gradient)


def _least_squares(gradient: np.ndarray, normals: np.ndarray, equality: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Equalities are eliminated by a rank-revealing QR, so that dependent ones do no harm; the rest is nnls."""
    forces = np.zeros(len(normals))
    if gradient.size == 0:
        return forces
    free, signed = normals[equality].T, normals[~equality].T
    basis = _range(free)

    def remove(v: np.ndarray) -> np.ndarray:
        return v - basis @ (basis.T @ v)

    if signed.shape[1]:
        apart = gaps[~equality]
        system = np.concatenate([remove(signed), np.diag(apart)[apart > 0]])
        target = np.concatenate([-remove(gradient), np.zeros(int(np.sum(apart > 0)))])
        forces[~equality] = _nonnegative(system, target)
    if free.shape[1]:
        forces[equality] = np.linalg.lstsq(free, -(gradient + signed @ forces[~equality]), rcond=1e-12)[0]
    return forces


def _sparse_least_squares(gradient: np.ndarray, normals: Any, equality: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """The same for sparse normals: the sets of zero and of positive forces are exchanged where signs are wrong, all at
    once at first, then one by one, which ends (block principal pivoting; Portugal, Judice and Vicente 1994).
    """
    count = normals.shape[0]
    positive, best, best_size = np.ones(count, bool), np.zeros(count), np.inf
    if gradient.size == 0:
        return best
    normals = sparse.csr_array(normals)
    identity: Any = sparse.eye_array(gradient.size)
    for turn in range(3 * ROUNDS):
        forces = np.zeros(count)
        system = SaddleSystem(identity, normals[positive], gaps[positive] ** 2)
        forces[positive] = -system.solve(gradient, np.zeros(int(positive.sum())))[1]
        feasible = np.where(equality, forces, np.maximum(forces, 0.0))
        rest = gradient + feasible @ normals
        size = rest @ rest + np.sum((feasible * gaps) ** 2)
        if size < best_size:
            best, best_size = feasible, size
        pressure = normals @ (gradient + forces @ normals) + gaps**2 * forces
        rounding = 1e-12 * max(1e-300, float(np.max(abs(forces), initial=0.0)), float(np.max(abs(gradient))))
        wrong = ~equality & np.where(positive, forces < -rounding, pressure < -rounding)
        if not wrong.any():
            break
        if turn >= ROUNDS:
            wrong &= np.arange(count) == np.flatnonzero(wrong)[-1]
        positive ^= wrong
    return best


def _nonnegative(system: np.ndarray, target: np.ndarray) -> np.ndarray:
    try:
        return scipy.optimize.nnls(system, target, maxiter=20 * system.shape[1])[0]
    except RuntimeError:  # its iterations ran out
        return scipy.optimize.lsq_linear(system, target, bounds=(0, np.inf), method="bvls", tol=1e-14).x


def _range(columns: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the span of the columns."""
    if columns.shape[1] == 0:
        return np.zeros((len(columns), 0))
    q, r, _ = scipy.linalg.qr(columns, mode="economic", pivoting=True)  # type: ignore[misc]
    size = abs(np.diagonal(r))
    return np.asarray(q)[:, size > 1e-12 * max(size.max(initial=0.0), 1e-300)]
