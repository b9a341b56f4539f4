"""Gauss-Newton steps in a trust region, for losses that are written as sums of squares."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from descend.problem import Problem
from descend.program import squares
from descend.solvers.flat import DENSE, ENTRIES, Flat
from descend.solvers.segments import nanoseconds, pause
from descend.solvers.solver import Needs, Progress, Solver
from descend.solvers.sparsity import LONG


class Residuals(NamedTuple):
    """loss(v) = |residual(v)|^2 + constant.

    Attributes:
        constant: the part that does not depend on v.
        count: how many residuals there are.
        program: from a vector to the residuals and their Jacobian, compiled on first use.
    """

    constant: float
    count: int
    program: Callable[[Any], tuple[Any, Any]]

    def manageable(self, size: int) -> bool:
        """Whether the Jacobian is small enough to be computed as a whole matrix."""
        return size <= DENSE and size * self.count <= ENTRIES


def residuals(problem: Problem) -> Residuals | None:
    """The residuals of a loss that is written as a sum of squares; None where it is not, or takes long to read."""
    return problem.compiled("squares", lambda: _read(problem)) if problem.fixed else _read(problem)


def _read(problem: Problem) -> Residuals | None:
    x = jnp.zeros(problem.domain.size, jnp.result_type(float))
    try:
        if not nanoseconds(problem) <= LONG:
            return None
        program = Flat(problem).program()
        found = squares.read(lambda v: program(v)[0][0], x)
        if found is None:
            return None
        count = jax.eval_shape(found.residual, x).shape[0]
    except Exception:  # what cannot be read is not known
        return None

    def both(v: jax.Array) -> tuple[jax.Array, jax.Array]:
        try:
            return found.residual(v), (jax.jacfwd if v.size <= count else jax.jacrev)(found.residual)(v)
        except TypeError:  # a function with a reverse rule only
            return found.residual(v), jax.jacrev(found.residual)(v)

    return Residuals(found.constant, count, jax.jit(both))


class LeastSquaresState(NamedTuple):
    """The iterate in units of the domain's scale."""

    z: np.ndarray
    steps: np.ndarray


@dataclass(frozen=True, repr=False)
class LeastSquares(Solver):
    """Gauss-Newton steps in a trust region, within bounds (`scipy.optimize.least_squares`).

    The loss must be written as a sum of squares, plus a constant. Second derivatives of the residuals are left out: it
    converges as fast as Newton's method where residuals are small, and, unlike it, from where curvature is negative.
    Variables are scaled by the columns of the Jacobian, so that their units do not matter.

    One segment. An iteration costs the residuals, their Jacobian and O(m n^2) operations.

    Args:
        iterations: at most; 0 chooses 100 + 20 n.

    Source: Levenberg (1944), Marquardt (1963); Branch, Coleman and Li (1999) for the bounds.
    """

    iterations: int = 0
    NEEDS: ClassVar[Needs] = Needs(
        gradient=True, true_gradient=True, continuous=True, deterministic=True, box=True, unconstrained=True,
        squares=True,
    )  # fmt: skip

    def init(self, problem: Problem, start: Any, key: jax.Array) -> LeastSquaresState:
        z = np.asarray(problem.domain.ravel(start), np.float64) / problem.domain.scale
        return LeastSquaresState(z, np.zeros((), np.int64))

    def step(self, problem: Problem, state: LeastSquaresState) -> tuple[LeastSquaresState, Progress]:
        read, domain = residuals(problem), problem.domain
        if read is None or domain.box is None or not read.manageable(domain.size):
            raise ValueError("LeastSquares needs a loss that is written as a sum of squares, of moderate size")
        scale = domain.scale
        calls = _Calls(read, scale, lambda z: domain.unravel(z * scale))
        lower, upper = (bound / scale for bound in domain.box)
        z, free = np.clip(state.z, lower, upper), lower < upper
        wide = jnp.result_type(float) == jnp.float64
        tolerance = 1e-15 if wide else 1e-7
        reason, stalled, steps = "there is no variable that is not fixed", False, 0
        if free.any():

            def whole(u: np.ndarray) -> np.ndarray:
                full = z.copy()
                full[free] = u
                return full

            with np.errstate(
                over="ignore", invalid="ignore"
            ):  # steps to where the loss is too large for a number are not taken
                found = scipy.optimize.least_squares(
                    lambda u: calls.at(whole(u))[0],
                    z[free],
                    jac=lambda u: calls.at(whole(u))[1][:, free],  # type: ignore[arg-type]
                    bounds=(lower[free], upper[free]),
                    x_scale="jac",
                    xtol=tolerance,
                    ftol=tolerance,
                    gtol=tolerance,
                    max_nfev=self.iterations or 100 + 20 * len(z),
                )
            z, steps = np.clip(whole(found.x), lower, upper), found.nfev
            reason, stalled = str(found.message).lower().strip("`.").replace("`", ""), found.status == 0
        z = calls.best if calls.best.size and not squared(calls.at(z)[0]) <= calls.least else z
        loss = squared(calls.at(z)[0]) + read.constant
        units = calls.count * (1 + 3 * min(read.count, len(z)))
        progress = Progress(domain.unravel(z * scale), loss, units, True, reason, stalled, {})
        return LeastSquaresState(z, state.steps + steps), progress


def squared(values: np.ndarray) -> float:
    """The sum of squares, infinite where it is too large for a number."""
    with np.errstate(over="ignore"):
        return float(values @ values)


class _Calls:
    """What the native code calls; the last point is remembered, and the best one."""

    def __init__(self, read: Residuals, scale: np.ndarray, tree: Callable[[np.ndarray], Any]):
        self.read, self.scale, self.tree = read, scale, tree
        self.least, self.best = np.inf, np.zeros(0)
        self.count = 0
        self._last: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]] | None = None

    def at(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals, shape (m,), and their Jacobian in scaled variables, shape (m, n)."""
        if self._last is not None and np.array_equal(z, self._last[0]):
            return self._last[1]
        pause(lambda: self.tree(z if not self.best.size else self.best))
        value, rows = self.read.program(jnp.asarray(z * self.scale, jnp.result_type(float)))
        found = np.asarray(value, np.float64), np.nan_to_num(np.asarray(rows, np.float64)) * self.scale
        self.count += 1
        self._last = z.copy(), found
        loss = squared(found[0])
        if loss < self.least:
            self.least, self.best = loss, z.copy()
        return found
