"""SLSQP, the native sequential quadratic method of scipy: for smooth constrained problems with few variables."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
import scipy.optimize

from descend.problem import Problem
from descend.solvers.scaled import Scaled
from descend.solvers.solver import Needs, Progress, Solver


class SLSQPState(NamedTuple):
    """The iterate in units of the domain's scale."""

    z: np.ndarray
    steps: np.ndarray


@dataclass(frozen=True, repr=False)
class SLSQP(Solver):
    """Sequential least-squares quadratic programs with a BFGS matrix (`scipy.optimize.minimize(method="SLSQP")`).

    One segment. An iteration costs a value, a gradient, the whole Jacobian and O((n + m)^3) operations.

    Args:
        iterations: at most; 0 chooses 100 + 2 n.
        tolerance: a change of the loss below which it ends.

    Source: Kraft (1988).
    """

    iterations: int = 0
    tolerance: float = 1e-13
    NEEDS: ClassVar[Needs] = Needs(gradient=True, true_gradient=True, continuous=True, deterministic=True, box=True)

    def init(self, problem: Problem, start: Any, key: jax.Array) -> SLSQPState:
        z = np.asarray(problem.domain.ravel(start), np.float64) / problem.domain.scale
        return SLSQPState(z, np.zeros((), np.int64))

    def step(self, problem: Problem, state: SLSQPState) -> tuple[SLSQPState, Progress]:
        scaled = Scaled(problem)
        floor, ceiling = scaled.floor, scaled.ceiling
        equal = np.flatnonzero(floor == ceiling)
        least = np.flatnonzero(np.isfinite(floor) & (floor < ceiling))
        most = np.flatnonzero(np.isfinite(ceiling) & (floor < ceiling))

        def below(z: np.ndarray) -> np.ndarray:
            values = scaled.first(z)[1]
            return np.concatenate([(values - floor)[least], (ceiling - values)[most]])

        def below_rows(z: np.ndarray) -> np.ndarray:
            rows = scaled.first(z)[3]
            return np.concatenate([rows[least], -rows[most]])

        conditions = []
        if len(equal):
            conditions.append({
                "type": "eq",
                "fun": lambda z: (scaled.first(z)[1] - floor)[equal],
                "jac": lambda z: scaled.first(z)[3][equal],
            })  # fmt: skip
        if len(least) + len(most):
            conditions.append({"type": "ineq", "fun": below, "jac": below_rows})
        found = scipy.optimize.minimize(
            lambda z: (scaled.first(z)[0], scaled.first(z)[2]),
            scaled.begin(state.z),
            jac=True,
            method="SLSQP",
            bounds=scipy.optimize.Bounds(scaled.lower, scaled.upper),  # type: ignore[arg-type]
            constraints=conditions,
            options={"maxiter": self.iterations or 100 + 2 * len(state.z), "ftol": self.tolerance},
        )
        z = np.clip(found.x, scaled.lower, scaled.upper)
        loss = scaled.first(z)[0] if np.isfinite(z).all() else np.nan
        if not np.isfinite(loss) and scaled.best is not None:
            z, loss = scaled.best, scaled.first(scaled.best)[0]
        z = np.where(np.isfinite(z), z, state.z)
        reason = str(found.message).lower()
        units = scaled.flat.evaluations
        # Its own word is not worth much: with this tolerance it ends by failing to improve. The certificate decides.
        progress = Progress(scaled.tree(z), float(loss), units, True, reason, True, {})
        return SLSQPState(z, state.steps + found.nit), progress
