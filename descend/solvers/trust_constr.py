"""The trust-region method of scipy for smooth constrained problems, with exact sparse derivatives."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
import scipy.optimize

from descend.problem import Problem
from descend.solvers.scaled import Scaled
from descend.solvers.solver import FEASIBLE, Needs, Progress, Solver

FAR = 1e10  # a constraint value that is not finite


class TrustConstrState(NamedTuple):
    """The iterate in units of the domain's scale."""

    z: np.ndarray
    steps: np.ndarray


@dataclass(frozen=True, repr=False)
class TrustConstr(Solver):
    """Sequential quadratic programs in a trust region, inequalities by a barrier
    (`scipy.optimize.minimize(method="trust-constr")`).

    One segment. Jacobian and Hessian of the Lagrangian are exact, sparse where there are many variables and few
    entries; an iteration then costs a few colored products and a sparse factorization. Equalities that depend on each
    other end it.

    Args:
        iterations: at most.
        tolerance: of the Lagrangian's gradient, or of the barrier if there are inequalities; 0 chooses 1e-9 in float64,
            1e-5 in float32.

    Source: Byrd, Gilbert & Nocedal (2000); Lalee, Nocedal & Plantenga (1998) for equalities alone.
    """

    iterations: int = 500
    tolerance: float = 0.0
    NEEDS: ClassVar[Needs] = Needs(gradient=True, true_gradient=True, continuous=True, deterministic=True, box=True)

    def init(self, problem: Problem, start: Any, key: jax.Array) -> TrustConstrState:
        z = np.asarray(problem.domain.ravel(start), np.float64) / problem.domain.scale
        return TrustConstrState(z, np.zeros((), np.int64))

    def step(self, problem: Problem, state: TrustConstrState) -> tuple[TrustConstrState, Progress]:
        scaled = Scaled(problem, large=True)
        none = np.zeros(scaled.flat.constraints)
        wide = np.finfo(scaled.flat.dtype).bits >= 64
        tolerance = self.tolerance or (1e-9 if wide else 1e-5)
        bounded = np.isfinite(scaled.lower).any() or np.isfinite(scaled.upper).any()
        # With inequalities the gradient vanishes for any barrier; then only short steps with a low one are an end.
        barrier = bounded or bool(np.any(scaled.floor < scaled.ceiling))
        options = {"gtol": 0.0 if barrier else tolerance, "xtol": 1e-12, "barrier_tol": tolerance}

        def loss(z: np.ndarray) -> float:
            value = scaled.first(z)[0]
            return value if np.isfinite(value) else np.inf

        conditions = scipy.optimize.NonlinearConstraint(
            lambda z: np.nan_to_num(scaled.first(z)[1], nan=FAR, posinf=FAR, neginf=-FAR),
            scaled.floor,
            scaled.ceiling,
            jac=lambda z: scaled.first(z)[3],  # type: ignore[arg-type]
            hess=lambda z, v: scaled.hessian(z, v, 0.0),
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if scaled.sparse is not None:  # scipy would go on in dense matrices
                    warnings.filterwarnings("error", "Singular Jacobian matrix")
                found = scipy.optimize.minimize(
                    loss,
                    scaled.begin(state.z),
                    jac=lambda z: scaled.first(z)[2],
                    hess=lambda z: scaled.hessian(z, none, 1.0),
                    method="trust-constr",
                    constraints=[conditions] if len(none) else [],
                    bounds=scipy.optimize.Bounds(scaled.lower, scaled.upper) if bounded else None,  # type: ignore[arg-type]
                    options={"maxiter": self.iterations, **options},
                )
            z, steps, reason = found.x, int(found.nit), str(found.message).lower().rstrip(".")
            good = found.status in (1, 2) and found.constr_violation <= FEASIBLE
        except (UserWarning, ValueError, np.linalg.LinAlgError) as error:
            if isinstance(error, ValueError) and "finite" not in str(error) and "NaN" not in str(error):
                raise
            z, steps, good = state.z if scaled.best is None else scaled.best, 1, False
            reason = "dependent constraints" if isinstance(error, UserWarning) else "a derivative is not finite"
        z = np.clip(z, scaled.lower, scaled.upper)
        value = scaled.first(z)[0] if np.isfinite(z).all() else np.nan
        if not np.isfinite(value):
            z = state.z if scaled.best is None else scaled.best
            value = scaled.first(z)[0]
        units = scaled.flat.evaluations
        progress = Progress(scaled.tree(z), float(value), units, True, reason, not good, {})
        return TrustConstrState(z, state.steps + steps), progress
