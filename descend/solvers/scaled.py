"""A constrained problem in units of its scales, as native solvers want it: with the best point seen on the way."""

from typing import Any

import numpy as np
from scipy import sparse

from descend.problem import Problem
from descend.solvers.flat import Flat
from descend.solvers.segments import pause
from descend.solvers.solver import FEASIBLE
from descend.solvers.sparsity import Sparse, stretched


class Scaled:
    """Loss and constraint values at z = x / scale, the values in units of the constraints' scales.

    Args:
        problem: traceable, over a box.
        large: whether Jacobian and Hessian are to be sparse where that pays.

    Attributes:
        flat: the problem in its own units.
        sparse: its sparse derivatives, or None: then they are dense.
        lower, upper: bounds on z, shape (n,).
        floor, ceiling: bounds on the constraint values, shape (m,).
        best: the best z that was evaluated: least violation, then least loss.
    """

    def __init__(self, problem: Problem, large: bool = False):
        self.flat = Flat(problem)
        found = Sparse.of(self.flat) if large else None
        self.sparse = None if found is None or found.curved is None else found
        self.scale = self.flat.scale
        self.lower, self.upper = (np.asarray(bound, np.float64) / self.scale for bound in problem.domain.box or ())
        self.floor, self.ceiling = self.flat.lower / self.flat.unit, self.flat.upper / self.flat.unit
        self.best: np.ndarray | None = None
        self._rank = (np.inf, np.inf)
        self._last: tuple[np.ndarray, tuple[float, np.ndarray, np.ndarray, Any]] | None = None

    def begin(self, z: np.ndarray) -> np.ndarray:
        """z within its bounds, or a point nearby where z has no finite derivatives (a square root at zero)."""
        generator = np.random.default_rng(0)
        z = np.clip(z, self.lower, self.upper)
        for reach in (0.0, 1e-3, 1e-2, 1e-2, 0.1, 0.1, 0.3, 0.3):
            near = np.clip(z + reach * generator.normal(size=z.size), self.lower, self.upper)
            found: tuple[Any, ...] = self.first(near)
            if all(np.isfinite(part.data if sparse.issparse(part) else part).all() for part in found):
                return near
        return z

    def tree(self, z: np.ndarray) -> Any:
        """The point, shaped like `over`."""
        return self.flat.tree(np.clip(z, self.lower, self.upper) * self.scale)

    def first(self, z: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, Any]:
        """Loss, constraint values, gradient and Jacobian; the last point is remembered. Lets the engine in."""
        if self._last is not None and (z == self._last[0]).all():
            return self._last[1]
        pause(lambda: self.tree(z if self.best is None else self.best))
        loss, values, gradient, rows = self._first(z * self.scale)
        violation = float(self.flat.violation(values))
        rank = (violation, loss) if violation > FEASIBLE else (0.0, loss)
        if np.isfinite(loss) and rank < self._rank:
            self._rank, self.best = rank, np.array(z)
        unit = self.flat.unit
        scaled = loss, values / unit, gradient * self.scale, stretched(rows, 1 / unit, self.scale)
        self._last = np.array(z), scaled
        return scaled

    def _first(self, point: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, Any]:
        if self.sparse is None:
            return self.flat.first(point)
        return *self.flat.gradient(point), self.sparse.jacobian(point)

    def hessian(self, z: np.ndarray, multipliers: np.ndarray, factor: float = 1.0) -> Any:
        """Hessian of factor * loss + multipliers . values."""
        source = self.flat if self.sparse is None else self.sparse
        return stretched(source.hessian(z * self.scale, multipliers / self.flat.unit, factor), self.scale, self.scale)
