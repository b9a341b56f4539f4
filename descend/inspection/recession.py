"""Directions in which a linear problem, some of it in whole numbers, has no end."""

import numpy as np
import scipy.optimize
from scipy import sparse

from descend.problem import Problem
from descend.solvers.algebra import coefficients, degrees, integral
from descend.solvers.flat import Flat

LONGEST = 10.0  # entries of a direction


def recession(problem: Problem) -> np.ndarray | None:
    """A direction of falling loss that no bound and no constraint of a linear problem limits, flat; None where there
    is none, or the problem is not read to be linear.

    Its entries are whole where the variables are, so that whole multiples of it lead from any member to members: one
    feasible point then shows that the loss has no bound.
    """
    hull, known = problem.domain.relax().polyhedron, degrees(problem)
    if hull is None or known is None or not known.linear:
        return None
    flat = Flat(problem)
    found = coefficients(flat, known)
    free = lambda bound: np.where(np.isfinite(bound), 0.0, LONGEST)  # noqa: E731
    rows = sparse.csr_array(sparse.vstack([found.rows, hull.rows]))
    low = np.concatenate([np.where(np.isfinite(flat.lower), 0.0, -np.inf), np.zeros(len(hull.values))])
    high = np.concatenate([np.where(np.isfinite(flat.upper), 0.0, np.inf), np.zeros(len(hull.values))])
    limits = [scipy.optimize.LinearConstraint(rows, low, high)] if len(low) else []  # type: ignore[arg-type]
    answer = scipy.optimize.milp(
        found.slope,
        constraints=limits,
        bounds=scipy.optimize.Bounds(-free(hull.lower), free(hull.upper)),  # type: ignore[arg-type]
        integrality=integral(problem).astype(int),
    )
    if answer.x is None or not answer.fun < -1e-9 * max(1.0, float(np.max(abs(found.slope), initial=0.0))):
        return None
    return np.where(integral(problem), np.round(answer.x), answer.x)
