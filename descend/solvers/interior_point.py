"""A primal-dual interior-point method, compiled: for smooth constrained problems, one or a thousand at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.problem import Problem
from descend.solvers.barrier import Barrier, Iterate
from descend.solvers.segments import strong
from descend.solvers.solver import Needs, Progress, Solver


class Reached(NamedTuple):
    """What a compiled run reached: a point shaped like `over`, its loss and violation, and whether it converged."""

    x: Any
    loss: Any
    violation: Any
    converged: Any
    steps: Any


@dataclass(frozen=True, repr=False)
class InteriorPoint(Solver):
    """Newton steps on the barrier problem, with exact derivatives and dense linear algebra, in one compiled loop.

    The Hessian is shifted until it is positive definite where the linearized equalities leave room; a step is accepted
    that lowers an l1 merit function or the optimality error. `program(problem)` is the whole run as a pure function of
    start and `given`, for `jax.vmap` and accelerators. A step costs a Hessian, a Jacobian and O((n + equalities)^3).

    Args:
        iterations: in one segment.
        most: iterations in all.
        tolerance: of the optimality error; 0 chooses 1e-9 in float64, 1e-5 in float32.

    Source: Waechter & Biegler (2006), without its filter and restoration; Nocedal & Wright, chapter 19.
    """

    iterations: int = 50
    most: int = 500
    tolerance: float = 0.0
    NEEDS: ClassVar[Needs] = Needs(gradient=True, true_gradient=True, continuous=True, deterministic=True, box=True)

    def init(self, problem: Problem, start: Any, key: jax.Array) -> Iterate:
        z = np.asarray(problem.domain.ravel(start), np.float64) / problem.domain.scale
        begin = problem.compiled("interior begin", lambda: jax.jit(lambda z, i: Barrier(problem.bind(i)).begin(z)))
        return strong(begin(jnp.asarray(z, jnp.result_type(float)), problem.inputs))

    def step(self, problem: Problem, state: Iterate) -> tuple[Iterate, Progress]:
        def build() -> Any:
            def segment(state: Iterate, inputs: Any) -> tuple[Iterate, Any, Any]:
                barrier = Barrier(problem.bind(inputs))
                state = strong(self._loop(barrier, state, self.iterations))
                return state, *barrier.seen(state.x)

            return jax.jit(segment)

        segment = problem.compiled(("interior point", self), build)
        before = int(state.steps)
        state, loss, _ = segment(state, problem.inputs)
        x = problem.domain.unravel(np.asarray(state.x, np.float64) * problem.domain.scale)
        x = problem.domain.project(x)
        taken, size = int(state.steps) - before, problem.domain.size
        error, reason = float(state.error), ""
        if error <= self._tolerance(state.x.dtype):
            reason = "optimality conditions hold"
        elif not np.isfinite(error):
            reason = "a value or derivative is not finite"
        elif int(state.failures) >= 3:
            reason = "no step is acceptable"
        elif int(state.steps) >= self.most:
            reason = f"{self.most} iterations"
        stalled = not error <= self._tolerance(state.x.dtype)
        units = max(1, taken) * (6 * size + 3 * (1 + len(state.s) + len(state.equal)))
        return state, Progress(x, float(loss), units, bool(reason), reason, stalled, {"optimality error": error})

    def program(self, problem: Problem) -> Callable[..., Reached]:
        """The whole run as a pure function (start, given=None) -> `Reached`.

        `start` is shaped like `over`; `given` replaces the problem's. It may be jitted, and mapped over either argument
        with `jax.vmap`: all runs then take as many steps as the longest.
        """

        def run(start: Any, given: Any = None) -> Reached:
            inputs = problem.inputs if given is None else problem.inputs._replace(given=given)
            barrier = Barrier(problem.bind(inputs))
            z = jnp.asarray(problem.domain.ravel(jax.tree.map(jnp.asarray, start)) / barrier.scale)
            state = self._loop(barrier, barrier.begin(z), self.most)
            loss, violation = barrier.seen(state.x)
            x = problem.domain.unravel(state.x * barrier.scale)
            return Reached(x, loss, violation, state.error <= self._tolerance(z.dtype), state.steps)

        return run

    def _tolerance(self, dtype: Any) -> float:
        return self.tolerance or (1e-9 if jnp.finfo(dtype).bits >= 64 else 1e-5)

    def _loop(self, barrier: Barrier, state: Iterate, steps: int) -> Iterate:
        tolerance = self._tolerance(state.x.dtype)

        def going(carry: tuple) -> Any:
            count, state = carry
            more = (state.error > tolerance) & jnp.isfinite(state.error) & (state.failures < 3)
            return (count < steps) & more & (state.steps < self.most)

        return jax.lax.while_loop(going, lambda c: (c[0] + 1, barrier.advance(c[1], tolerance)), (0, state))[1]
