"""L-BFGS with a zoom line search, compiled: for smooth problems without bounds."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from descend.problem import Problem
from descend.solvers.segments import grown, steps_per_segment, strong
from descend.solvers.solver import Needs, Progress, Solver


class QuasiNewtonState(NamedTuple):
    """The iterate in units of the domain's scale, and the memory of the method."""

    z: jax.Array
    optimizer: Any
    loss: jax.Array
    gradient: jax.Array
    failures: jax.Array  # iterations in a row that did not lower the loss
    evaluations: jax.Array  # of value and gradient together
    steps: jax.Array  # since the last restart
    total: jax.Array


@dataclass(frozen=True, repr=False)
class QuasiNewton(Solver):
    """Limited-memory BFGS (`optax.lbfgs`).

    It is done when the scaled gradient g at z satisfies max|g| max(1, max|z|) <= `tolerance` max(1, |loss|), so that an
    unbounded problem, whose loss and iterate grow together, does not look solved; or when the line search fails three
    times in a row, once after forgetting the memory.

    Args:
        memory: how many pairs of steps and gradients are kept.
        most: iterations since the last restart; 0 for no limit.
        tolerance: on the gradient; 0 chooses 1e-9 in float64, 1e-5 in float32.

    Source: Liu & Nocedal (1989); line search: Nocedal & Wright, Numerical Optimization, algorithms 3.5 and 3.6.
    """

    memory: int = 20
    most: int = 0
    tolerance: float = 0.0
    NEEDS: ClassVar[Needs] = Needs(
        gradient=True, true_gradient=True, continuous=True, deterministic=True, free=True, unconstrained=True
    )

    def init(self, problem: Problem, start: Any, key: jax.Array) -> QuasiNewtonState:
        z = jnp.asarray(problem.domain.ravel(start) / problem.domain.scale)
        zero = jnp.zeros((), jnp.int32)
        return strong(
            QuasiNewtonState(
                z, self._optimizer.init(z), jnp.asarray(jnp.inf, z.dtype), jnp.zeros_like(z), zero, zero, zero, zero
            )
        )

    def restart(self, problem: Problem, state: QuasiNewtonState) -> QuasiNewtonState:
        """The state after the parameters of the problem's merit changed: the memory is about another function."""
        zero = jnp.zeros_like(state.steps)
        fresh = self._optimizer.init(state.z)
        return state._replace(optimizer=fresh, loss=jnp.full_like(state.loss, jnp.inf), failures=zero, steps=zero)

    def step(self, problem: Problem, state: QuasiNewtonState) -> tuple[QuasiNewtonState, Progress]:
        segment = problem.compiled(("quasi-newton", self), lambda: self._build(problem))
        before = int(state.evaluations)
        state, x = segment(state, problem.inputs)
        loss, norm = float(state.loss), float(jnp.max(jnp.abs(state.gradient), initial=0.0))
        reach = float(jnp.max(jnp.abs(state.z), initial=1.0))
        vanished = norm * reach <= self._tolerance(state.z.dtype) * max(1.0, abs(loss))
        reason = ""
        if vanished:
            reason = "gradient vanished"
        elif int(state.failures) >= 3:
            reason = "line search found no lower point"
        elif not np.isfinite(loss):
            reason = "loss is not finite"
        elif self.most and int(state.steps) >= self.most:
            reason = f"{int(state.steps)} iterations"
        spent = 3 * (int(state.evaluations) - before)
        return state, Progress(x, loss, spent, bool(reason), reason, not vanished, {"gradient norm": norm})

    def _tolerance(self, dtype: Any) -> float:
        return self.tolerance or (1e-9 if jnp.finfo(dtype).bits >= 64 else 1e-5)

    @property
    def _optimizer(self) -> optax.GradientTransformationExtraArgs:
        return optax.lbfgs(memory_size=self.memory)

    def _build(self, problem: Problem) -> Any:
        domain = problem.domain
        scale = jnp.asarray(domain.scale)

        def advance(state: QuasiNewtonState, inputs: Any) -> QuasiNewtonState:
            bound = problem.bind(inputs)
            # Jitted, because the line search would trace it four times.
            loss_at = jax.jit(lambda z: bound.evaluate(domain.unravel(z * scale.astype(z.dtype))).loss)
            found = optax.value_and_grad_from_state(loss_at)(state.z, state=state.optimizer)
            loss, gradient = found[0], jnp.asarray(found[1])
            taken: Any = self._optimizer.update(
                gradient, state.optimizer, state.z, value=loss, grad=gradient, value_fn=loss_at
            )
            updates, optimizer = taken
            z = state.z + updates
            search: Any = optax.tree.get(optimizer, "info")
            new_loss, new_gradient = (jnp.asarray(optax.tree.get(optimizer, name)) for name in ("value", "grad"))
            lower = new_loss < loss
            # A decrease within rounding is taken, but it is no progress.
            progress = new_loss < loss - 4 * jnp.finfo(state.z.dtype).eps * jnp.abs(loss)
            failures = jnp.where(progress, 0, state.failures + 1)
            # After a first failure the memory is dropped, so that the next direction is the plain gradient's.
            fresh = self._optimizer.init(state.z)
            optimizer = jax.tree.map(lambda new, old: jnp.where(failures == 1, new, old), fresh, optimizer)
            return QuasiNewtonState(
                z=jnp.where(lower, z, state.z),
                optimizer=optimizer,
                loss=jnp.where(lower, new_loss, loss),
                gradient=jnp.where(lower, new_gradient, gradient),
                failures=failures,
                evaluations=(state.evaluations + search.num_linesearch_steps + jnp.isinf(state.loss)).astype(jnp.int32),
                steps=state.steps + 1,
                total=state.total + 1,
            )

        full = steps_per_segment(problem, 4)

        def going(carry: tuple) -> jax.Array:
            count, steps, state = carry
            norm = jnp.max(jnp.abs(state.gradient), initial=0.0)
            reach = jnp.max(jnp.abs(state.z), initial=1.0)
            settled = norm * reach <= self._tolerance(norm.dtype) * jnp.maximum(1.0, jnp.abs(state.loss))
            broken = jnp.isnan(state.loss) | (state.loss == -jnp.inf)
            first = jnp.isinf(state.loss) & (state.loss > 0) & (count == 0)
            return (count < steps) & (first | ~(settled | broken | jnp.isinf(state.loss) | (state.failures >= 3)))

        def segment(state: QuasiNewtonState, inputs: Any) -> tuple[QuasiNewtonState, Any]:
            entered = state._replace(loss=jnp.where(state.failures >= 3, jnp.inf, state.loss))
            body = lambda carry: (carry[0] + 1, carry[1], advance(carry[2], inputs))  # noqa: E731
            *_, state = jax.lax.while_loop(going, body, (0, grown(state.total, full), entered))
            return strong(state), domain.unravel(state.z * scale.astype(state.z.dtype))

        return jax.jit(segment)
