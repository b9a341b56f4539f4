"""A constrained problem in units of its scales, as native solvers want it: with the best point seen on the way."""

from typing import Any

import numpy as np

from descend.problem import Problem
from descend.solvers.flat import Flat
from descend.solvers.segments import pause
from descend.solvers.solver import FEASIBLE


class Scaled:
    """Loss and constraint values at z = x / scale, the values in units of the constraints' scales.

    Args:
        problem: traceable, over a box.

    Attributes:
        flat: the problem in its own units.
        lower, upper: bounds on z, shape (n,).
        floor, ceiling: bounds on the constraint values, shape (m,).
        best: the best z that was evaluated: least violation, then least loss.
    """

    def __init__(self, problem: Problem):
        self.flat = Flat(problem)
        self.scale = self.flat.scale
        self.lower, self.upper = (np.asarray(bound, np.float64) / self.scale for bound in problem.domain.box or ())
        self.floor, self.ceiling = self.flat.lower / self.flat.unit, self.flat.upper / self.flat.unit
        self.best: np.ndarray | None = None
        self._rank = (np.inf, np.inf)
        self._last: tuple[np.ndarray, tuple[float, np.ndarray, np.ndarray, np.ndarray]] | None = None

    def begin(self, z: np.ndarray) -> np.ndarray:
        """z within its bounds, or a point nearby where z has no finite derivatives (a square root at zero)."""
        generator = np.random.default_rng(0)
        z = np.clip(z, self.lower, self.upper)
        for reach in (0.0, 1e-3, 1e-2, 1e-2, 0.1, 0.1, 0.3, 0.3):
            near = np.clip(z + reach * generator.normal(size=z.size), self.lower, self.upper)
            found = self.first(near)
            if all(np.isfinite(part).all() for part in found):
                return near
        return z

    def tree(self, z: np.ndarray) -> Any:
        """The point, shaped like `over`."""
        return self.flat.tree(np.clip(z, self.lower, self.upper) * self.scale)

    def first(self, z: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """Loss, constraint values, gradient and Jacobian; the last point is remembered. Lets the engine in."""
        if self._last is not None and np.array_equal(z, self._last[0]):
            return self._last[1]
        pause(lambda: self.tree(z if self.best is None else self.best))
        loss, values, gradient, rows = self.flat.first(z * self.scale)
        violation = float(self.flat.violation(values))
        rank = (violation, loss) if violation > FEASIBLE else (0.0, loss)
        if np.isfinite(loss) and rank < self._rank:
            self._rank, self.best = rank, np.array(z)
        unit = self.flat.unit
        scaled = loss, values / unit, gradient * self.scale, rows * self.scale / unit[:, None]
        self._last = np.array(z), scaled
        return scaled

    def hessian(self, z: np.ndarray, multipliers: np.ndarray, factor: float = 1.0) -> np.ndarray:
        """Hessian of factor * loss + multipliers . values."""
        found = self.flat.hessian(z * self.scale, multipliers / self.flat.unit, factor)
        return found * self.scale * self.scale[:, None]
