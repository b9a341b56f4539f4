"""L-BFGS-B, the native one of scipy: for smooth problems in a box."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from descend.problem import Problem
from descend.solvers.flat import Flat
from descend.solvers.segments import pause
from descend.solvers.solver import Needs, Progress, Solver


class BoundedState(NamedTuple):
    """The iterate in units of the domain's scale, and its loss."""

    z: np.ndarray
    loss: np.ndarray
    steps: np.ndarray  # since the last restart


@dataclass(frozen=True, repr=False)
class BoundedQuasiNewton(Solver):
    """Limited-memory BFGS with bounds (`scipy.optimize.minimize(method="L-BFGS-B")`).

    A segment is `iterations` of the native code; the next one starts where it ended, with an empty memory.

    Args:
        memory: how many pairs of steps and gradients are kept.
        iterations: in one segment.
        most: iterations in all; 0 for no limit.
        tolerance: on the largest entry of the projected scaled gradient, relative to max(1, |loss|); 0 chooses 1e-9 in
            float64, 1e-5 in float32.

    Source: Byrd, Lu, Nocedal & Zhu (1995).
    """

    memory: int = 20
    iterations: int = 300
    most: int = 0
    tolerance: float = 0.0
    NEEDS: ClassVar[Needs] = Needs(
        gradient=True, true_gradient=True, continuous=True, deterministic=True, box=True, unconstrained=True
    )

    def init(self, problem: Problem, start: Any, key: jax.Array) -> BoundedState:
        z = np.asarray(problem.domain.ravel(start), np.float64) / problem.domain.scale
        return BoundedState(z, np.asarray(np.inf), np.zeros((), np.int64))

    def restart(self, problem: Problem, state: BoundedState) -> BoundedState:
        """The state after the parameters of the problem's merit changed."""
        return state._replace(loss=np.asarray(np.inf), steps=0 * state.steps)

    def step(self, problem: Problem, state: BoundedState) -> tuple[BoundedState, Progress]:
        domain, scale = problem.domain, problem.domain.scale
        evaluate = self._evaluate(problem)
        lowest, best = np.inf, state.z

        def value_and_gradient(z: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal lowest, best
            pause(lambda: domain.unravel(best * scale))
            loss, gradient = evaluate(z)
            if float(loss) < lowest:
                lowest, best = float(loss), z.copy()
            return float(loss), np.asarray(gradient, np.float64)

        lower, upper = (bound / scale for bound in domain.box or ())
        tolerance = self.tolerance or (1e-9 if jnp.result_type(float) == jnp.float64 else 1e-5)
        known = float(state.loss)
        result = scipy.optimize.minimize(
            value_and_gradient,
            np.clip(state.z, lower, upper),
            jac=True,
            method="L-BFGS-B",
            bounds=scipy.optimize.Bounds(lower, upper),  # type: ignore[arg-type]
            options={
                "maxcor": self.memory,
                "maxiter": self.iterations,
                "ftol": 0.0,
                "gtol": tolerance * max(1.0, abs(known) if np.isfinite(known) else 1.0),
            },
        )
        z = np.clip(result.x, lower, upper)
        stopped = result.nit < self.iterations
        norm = np.max(np.abs(z - np.clip(z - result.jac, lower, upper)), initial=0.0)
        state = BoundedState(z, np.asarray(float(result.fun)), state.steps + result.nit)
        spent = bool(self.most) and int(state.steps) >= self.most
        x = domain.unravel(z * scale)
        message = str(result.message).lower()
        stalled = not norm <= 10 * tolerance * max(1.0, abs(float(result.fun)))
        signals = {"gradient norm": float(norm)}
        reason = message if stopped or spent else ""
        return state, Progress(x, float(result.fun), 3 * result.nfev, bool(reason), reason, stalled, signals)

    def _evaluate(self, problem: Problem) -> Callable[[np.ndarray], tuple[Any, Any]]:
        """Loss and scaled gradient: where there are no constraints, by the program that other solvers use too."""
        if not problem.subject_to:
            flat = Flat(problem)

            def shared(z: np.ndarray) -> tuple[float, np.ndarray]:
                loss, _, gradient = flat.gradient(z * flat.scale)
                return loss, gradient * flat.scale

            return shared
        program, inputs = problem.compiled("value and gradient", lambda: self._build(problem)), problem.inputs
        return lambda z: program(z, inputs)

    def _build(self, problem: Problem) -> Any:
        domain, scale = problem.domain, jnp.asarray(problem.domain.scale)

        def loss_at(z: jax.Array, inputs: Any) -> jax.Array:
            return problem.bind(inputs).evaluate(domain.unravel(z * scale.astype(z.dtype))).loss

        return jax.jit(jax.value_and_grad(loss_at))
