"""Accelerated projected and proximal gradient steps, compiled: for smooth problems on convex sets that are no box."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.problem import Problem
from descend.solvers.segments import grown, steps_per_segment, strong
from descend.solvers.solver import Needs, Progress, Solver

GROW, SHRINK = 2.0, 0.9  # of the curvature: until a step descends enough, and from one step to the next
TRIALS = 60  # of one step: the curvature may grow by 2^60


class ProximalState(NamedTuple):
    """The iterate and the point it is extrapolated to, in units of the domain's scale."""

    z: jax.Array
    ahead: jax.Array
    momentum: jax.Array
    curvature: jax.Array  # the reciprocal of the step
    loss: jax.Array  # at z
    gap: jax.Array  # curvature times the largest entry of the last step: zero at a stationary point
    failures: jax.Array  # steps in a row that did not lower the loss
    evaluations: jax.Array  # of values; a gradient counts for two more
    steps: jax.Array


@dataclass(frozen=True, repr=False)
class ProximalGradient(Solver):
    """Minimize f(x) + g(x), f smooth, by gradient steps of f and proximal steps of g, with momentum.

    Without `nonsmooth` and `prox`, g is zero inside of the domain and infinite outside, and the proximal step is the
    projection. The step is found by backtracking and grows again; the momentum is dropped when the loss rises. On a
    convex problem the loss after k steps is within O(1/k^2) of the best one, and linear convergence is kept where there
    is strong convexity. It is done when the gradient mapping, the step times the curvature, has no entry larger than
    `tolerance` max(1, |loss|).

    Args:
        nonsmooth: g, a function of the point. The loss (the objective, or minus it where that is maximized) includes
            it, and it is taken out again for the gradient.
        prox: for x and a step t > 0 the minimizer of g(y) + |y - x|^2 / (2 t) over members y of the domain. Required
            with `nonsmooth`.
        tolerance: 0 chooses 1e-9 in float64, 1e-5 in float32.

    Source: Beck & Teboulle (2009); restarts: O'Donoghue & Candes (2015), the function scheme.
    """

    nonsmooth: Callable[[Any], Any] | None = None
    prox: Callable[[Any, Any], Any] | None = None
    tolerance: float = 0.0
    NEEDS: ClassVar[Needs] = Needs(
        gradient=True, true_gradient=True, continuous=True, deterministic=True, convex=True, unconstrained=True
    )

    def __post_init__(self) -> None:
        if self.nonsmooth is not None and self.prox is None:
            raise TypeError("ProximalGradient needs prox=, the proximal step of what is not smooth")

    def init(self, problem: Problem, start: Any, key: jax.Array) -> ProximalState:
        z = jnp.asarray(problem.domain.ravel(start) / self._scale(problem))
        one, zero = jnp.ones((), z.dtype), jnp.zeros((), jnp.int32)
        return strong(ProximalState(z, z, one, one, jnp.inf * one, jnp.inf * one, zero, zero, zero))

    def restart(self, problem: Problem, state: ProximalState) -> ProximalState:
        """The state after the parameters of the problem's merit changed."""
        infinite = jnp.full_like(state.loss, jnp.inf)
        return state._replace(
            ahead=state.z,
            momentum=jnp.ones_like(state.momentum),
            loss=infinite,
            gap=infinite,
            failures=jnp.zeros_like(state.failures),
            steps=jnp.zeros_like(state.steps),
        )

    def step(self, problem: Problem, state: ProximalState) -> tuple[ProximalState, Progress]:
        segment = problem.compiled(("proximal gradient", self), lambda: self._build(problem))
        before = int(state.evaluations)
        state, x = segment(state, problem.inputs)
        loss, gap = float(state.loss), float(state.gap)
        vanished = gap <= self._tolerance(state.z.dtype) * max(1.0, abs(loss))
        reason = ""
        if vanished:
            reason = "the gradient mapping vanished"
        elif int(state.failures) >= 3:
            reason = "no step lowers the loss"
        elif not np.isfinite(loss):
            reason = "loss is not finite"
        signals = {"gradient norm": gap, "curvature": float(state.curvature)}
        spent = int(state.evaluations) - before
        return state, Progress(x, loss, spent, bool(reason), reason, not vanished, signals)

    def _tolerance(self, dtype: Any) -> float:
        return self.tolerance or (1e-9 if jnp.finfo(dtype).bits >= 64 else 1e-5)

    def _scale(self, problem: Problem) -> np.ndarray:
        """A proximal step of the user's is in the user's units; a projection acts on each variable alone."""
        return np.ones(problem.domain.size) if self.prox is not None else np.asarray(problem.domain.scale)

    def _build(self, problem: Problem) -> Any:
        hull, scale = problem.domain.relax(), jnp.asarray(self._scale(problem))
        full = steps_per_segment(problem, 5)

        def point(z: jax.Array) -> Any:
            return hull.unravel(z * scale.astype(z.dtype))

        def nearest(z: jax.Array, step: jax.Array) -> jax.Array:
            moved = hull.project(point(z)) if self.prox is None else self.prox(point(z), step)
            return (hull.ravel(moved) / scale.astype(z.dtype)).astype(z.dtype)

        def advance(state: ProximalState, inputs: Any) -> ProximalState:
            bound = problem.bind(inputs)

            def both(z: jax.Array) -> tuple[jax.Array, jax.Array]:
                """The smooth part, and the whole."""
                x = point(z)
                loss = bound.evaluate(x).loss.astype(z.dtype)
                return (loss if self.nonsmooth is None else loss - self.nonsmooth(x)), loss

            (here, _), slope = jax.value_and_grad(both, has_aux=True)(state.ahead)
            eps = jnp.finfo(here.dtype).eps

            def attempt(curvature: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
                new = nearest(state.ahead - slope / curvature, 1 / curvature)
                move = new - state.ahead
                smooth, loss = both(new)
                model = here + slope @ move + curvature / 2 * move @ move
                enough = smooth <= model + 10 * eps * jnp.abs(here)
                return new, loss, enough | ~jnp.isfinite(here)

            def again(carry: tuple) -> tuple:
                curvature, count, *_ = carry
                curvature = curvature * GROW
                return curvature, count + 1, *attempt(curvature)

            none = (state.z, state.loss, jnp.zeros((), bool))
            curvature, count, new, loss, _ = jax.lax.while_loop(
                lambda carry: ~carry[4] & (carry[1] < TRIALS), again, (state.curvature * SHRINK / GROW, 0, *none)
            )
            gap = curvature * jnp.max(jnp.abs(new - state.ahead), initial=0.0)
            fell = loss <= state.loss
            plain = jnp.all(state.ahead == state.z)
            momentum = (1 + jnp.sqrt(1 + 4 * state.momentum**2)) / 2
            ahead = new + (state.momentum - 1) / momentum * (new - state.z)
            progress = loss < state.loss - 4 * eps * jnp.abs(loss)
            return ProximalState(
                z=jnp.where(fell, new, state.z),
                ahead=jnp.where(fell, ahead, state.z),
                momentum=jnp.where(fell, momentum, 1.0),
                curvature=curvature,
                loss=jnp.where(fell, loss, state.loss),
                gap=gap,
                failures=jnp.where(progress, 0, state.failures + (plain | fell)).astype(jnp.int32),
                evaluations=(state.evaluations + 3 + count).astype(jnp.int32),
                steps=state.steps + 1,
            )

        def going(carry: tuple) -> jax.Array:
            count, steps, state = carry
            settled = state.gap <= self._tolerance(state.gap.dtype) * jnp.maximum(1.0, jnp.abs(state.loss))
            over = settled | (state.failures >= 3) | ~jnp.isfinite(state.loss)
            return (count == 0) | ((count < steps) & ~over)

        def segment(state: ProximalState, inputs: Any) -> tuple[ProximalState, Any]:
            state = state._replace(failures=jnp.where(state.failures >= 3, 0, state.failures))
            body = lambda carry: (carry[0] + 1, carry[1], advance(carry[2], inputs))  # noqa: E731
            *_, state = jax.lax.while_loop(going, body, (0, grown(state.steps, full), state))
            return strong(state), point(state.z)

        return jax.jit(segment)
