"""Problems that are linear or quadratic, found by reading the program, and their coefficients."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from scipy import sparse

from descend.problem import Problem
from descend.program import coloring
from descend.program.structure import Degree
from descend.solvers.flat import BLOCK, Flat
from descend.solvers.saddle_system import negative
from descend.solvers.sparsity import Sparse, stretched
from descend.solvers.sparsity import known as known_structure

ROUNDING = 1e-11  # of the largest eigenvalue: less negative curvature than that is none


class Degrees(NamedTuple):
    """What reading the program says: degrees are upper bounds, and what is said to be zero is zero.

    Attributes:
        loss: a `Degree`.
        constraints: of each constraint value, shape (m,).
        jacobian: where the constraints' Jacobian may be nonzero, sparse boolean, shape (m, n).
    """

    loss: int
    constraints: np.ndarray
    jacobian: sparse.csr_array

    @property
    def linear(self) -> bool:
        """Whether loss and constraints are linear."""
        return self.loss <= Degree.LINEAR and bool(np.all(self.constraints <= Degree.LINEAR))

    @property
    def quadratic(self) -> bool:
        """Whether loss and constraints are quadratic or less."""
        return self.loss <= Degree.QUADRATIC and bool(np.all(self.constraints <= Degree.QUADRATIC))


def degrees(problem: Problem) -> Degrees | None:
    """The degrees of a problem without noise; None where its program cannot be read, or is too long to be."""
    found = known_structure(problem)
    if found is None:
        return None
    read = lambda: Degrees(int(found.degree[0]), found.degree[1:], sparse.csr_array(found.jacobian[1:]))  # noqa: E731
    return problem.compiled("degrees", read) if problem.fixed else read()


class Coefficients(NamedTuple):
    """loss = constant + slope'x + x'curve x/2, and constraint values = offsets + rows x (+ x'bowls[i] x/2).

    Attributes:
        slope: shape (n,).
        curve: shape (n, n), sparse for a large problem, or None for a linear loss.
        rows: sparse, shape (m, n).
        offsets: shape (m,).
        bowls: of the quadratic constraint values, by index.
    """

    constant: float
    slope: np.ndarray
    curve: Any
    rows: sparse.csr_array
    offsets: np.ndarray
    bowls: dict[int, np.ndarray]

    def scaled(self, scale: np.ndarray) -> "Coefficients":
        """The same of z = x / scale."""
        return Coefficients(
            self.constant,
            self.slope * scale,
            None if self.curve is None else stretched(self.curve, scale, scale),
            sparse.csr_array(stretched(self.rows, np.ones(len(self.offsets)), scale)),
            self.offsets,
            {index: stretched(bowl, scale, scale) for index, bowl in self.bowls.items()},
        )


def coefficients(flat: Flat, known: Degrees) -> Coefficients:
    """The coefficients of a quadratic problem, by derivatives at zero."""
    zero, none = np.zeros(flat.size), np.zeros(flat.constraints)
    loss, values, slope = flat.gradient(zero)
    bowls = {
        int(i): flat.hessian(zero, np.eye(flat.constraints)[i], 0.0)
        for i in np.flatnonzero(known.constraints == Degree.QUADRATIC)
    }
    curved = known.loss == Degree.QUADRATIC
    curve = (Sparse.of(flat) or flat).hessian(zero, none) if curved else None
    return Coefficients(loss, slope, curve, jacobian(flat, zero, known.jacobian), values, bowls)


def jacobian(flat: Flat, point: np.ndarray, pattern: sparse.csr_array) -> sparse.csr_array:
    """The constraints' Jacobian at a point, sparse: by colors of columns or row by row, whichever is less work."""
    m = flat.constraints
    if flat.dense or m == 0:
        return sparse.csr_array(flat.first(point)[3]) if m else sparse.csr_array((0, flat.size))
    color = coloring.columns(pattern)
    colors = int(color.max(initial=-1)) + 1
    if colors < m:
        seeds = sparse.csr_array((np.ones(flat.size), (color, np.arange(flat.size))), shape=(colors, flat.size))
        products = flat.slopes(point, seeds.toarray())
        return coloring.spread(pattern, color, products.T)
    blocks = [sparse.csr_array(flat.rows(point, np.arange(i, min(i + BLOCK, m)))) for i in range(0, m, BLOCK)]
    return sparse.csr_array(sparse.vstack(blocks))


def convex(matrix: Any) -> bool:
    """Whether a symmetric matrix, dense or sparse, has no negative eigenvalue, to rounding."""
    if sparse.issparse(matrix):
        size = float(abs(matrix).max())
        shifted = matrix / max(size, 1e-300) + ROUNDING * sparse.eye_array(matrix.shape[0])
        return np.isfinite(size) and negative(shifted, sparse.csr_array((0, matrix.shape[0])), error=ROUNDING / 10) == 0
    if not matrix.any():
        return True
    if not np.isfinite(matrix).all():
        return False
    values = scipy.linalg.eigvalsh(matrix)
    return bool(values[0] >= -ROUNDING * np.max(abs(values)))


def convex_program(problem: Problem) -> tuple[Degrees, Coefficients] | None:
    """The coefficients of a convex program that is linear or quadratic; None where the problem is not known to be one.

    The loss is convex, constraint values with an upper bound are convex, those with a lower one concave, those with
    both linear.
    """
    known = degrees(problem)
    if known is None or not known.quadratic:
        return None
    flat = Flat(problem)
    if not flat.dense and not known.linear:
        large = Sparse.of(flat)
        if large is None or large.curved is None or np.any(known.constraints > Degree.LINEAR):
            return None

    def build() -> tuple[bool, Coefficients]:
        found = coefficients(flat, known)
        even = found.scaled(flat.scale)  # an eigenvalue is small beside others in the variables' units only
        good = even.curve is None or convex(even.curve)
        for index, bowl in even.bowls.items():
            good = good and (not np.isfinite(flat.lower[index]) or convex(-bowl))
            good = good and (not np.isfinite(flat.upper[index]) or convex(bowl))
        return good, found

    remembered = ("coefficients", jnp.result_type(float))
    good, found = problem.compiled(remembered, build) if problem.fixed else build()
    return (known, found) if good else None


def integral(problem: Problem) -> np.ndarray:
    """Which coordinates are whole numbers, shape (n,)."""
    return np.concatenate([np.full(part.size, part.discrete) for part in problem.domain.parts])
