"""Training under constraints: stochastic steps in the variables and in the multipliers at once."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from descend.problem import Problem
from descend.solvers.descent import adam_for, minibatch, units
from descend.solvers.repair import repair, repairable
from descend.solvers.segments import grown, steps_per_segment, strong
from descend.solvers.solver import Needs, Progress, Solver


class PrimalDualState(NamedTuple):
    """The iterate in units of the domain's scale, and the multipliers; one entry a finite side of a constraint."""

    z: jax.Array
    snapshot: jax.Array  # where the excess over all data was last computed
    anchor: jax.Array  # that excess
    optimizer: Any
    multipliers: jax.Array
    seen: jax.Array  # the running mean of the excess over the bounds, in units of the scales
    key: jax.Array
    steps: jax.Array


@dataclass(frozen=True, repr=False)
class PrimalDual(Solver):
    """Adam on the Lagrangian of a minibatch, while the multipliers follow the excess of the constraints.

    A multiplier is max(0, integral + `damping` times the running mean of the excess): the integral grows by `dual_rate`
    times the excess of each step and is never negative; the second term damps the swings between feasible and not that
    the integral alone gives. Lengths of steps fall to zero over `steps` of them (half a cosine), so that the last
    iterate settles: no weight has to be searched for.

    What the multipliers see of a minibatch is corrected by the difference that the same rows make between the iterate
    and a snapshot, whose excess over all rows is computed once an epoch: multipliers then do not follow the noise.

    The very last iterate is led back, on all rows, to the nearest point that satisfies the constraints: what the noise
    of the minibatches leaves is less than a step, and it costs a few gradients of each constraint.

    The derivative of a constraint may be that of a surrogate, as `descend.relax` and `routes.straight_through` give it:
    the multipliers see its value.

    Args:
        learning_rate: of Adam, in units of the domain's scale.
        dual_rate: of the multipliers, loss over one unit of violation and step.
        damping: see above; loss over one unit of violation.
        memory: steps over which the excess is averaged.
        steps: until it is done.
        restored: whether the last iterate is led back to the constraints, where these are few and not random.

    Source: Cotter et al., "Optimization with non-differentiable constraints" (2019), for surrogates;
        Sohrabi et al., "On PI controllers for updating Lagrange multipliers" (2024); Elenter, Chamon and Ribeiro,
        "Near-optimal solutions of constrained learning problems" (2024).
    """

    learning_rate: float = 0.02
    dual_rate: float = 0.2
    damping: float = 20.0
    memory: int = 5
    steps: int = 6000
    restored: bool = True
    NEEDS: ClassVar[Needs] = Needs(gradient=True, continuous=True)

    def init(self, problem: Problem, start: Any, key: jax.Array) -> PrimalDualState:
        z = jnp.asarray(problem.domain.ravel(start) / problem.domain.scale, jnp.result_type(float))
        values = jax.eval_shape(lambda x: problem.via(None).evaluate(x).constraints, problem.domain.start())
        count = sum(int(mask.sum()) for mask in _sides(problem, values))
        zeros = jnp.zeros(count, z.dtype)
        optimizer = self._optimizer(problem).init(z)
        return strong(PrimalDualState(z, z, zeros, optimizer, zeros, zeros, key, jnp.zeros((), jnp.int32)))

    def step(self, problem: Problem, state: PrimalDualState) -> tuple[PrimalDualState, Progress]:
        segment = problem.compiled(("primal dual", self), lambda: self._build(problem))
        before = int(state.steps)
        state, x, loss = segment(state, problem.inputs)
        done = int(state.steps) >= self.steps
        signals = {
            "largest multiplier": float(jnp.max(state.multipliers, initial=0.0)),
            "largest excess": float(jnp.max(state.seen, initial=-np.inf)) if state.seen.size else 0.0,
        }
        reason, spent = "the steps have shrunk to zero" * done, (int(state.steps) - before) * units(problem)
        if done and self.restored and repairable(problem):
            x, cost = repair(problem, x)
            state = state._replace(z=jnp.asarray(problem.domain.ravel(x) / problem.domain.scale, state.z.dtype))
            spent += cost
        return state, Progress(x, float(loss), spent, done, reason, True, signals)

    def _optimizer(self, problem: Problem) -> optax.GradientTransformation:
        return adam_for(problem.domain.relax(), self.learning_rate)

    def _build(self, problem: Problem) -> Any:
        hull, scale = problem.domain.relax(), jnp.asarray(problem.domain.scale)
        optimizer = self._optimizer(problem)
        full = steps_per_segment(problem, units(problem))
        batched = problem.batch_size is not None and problem.batch_size < problem.rows
        epoch = max(1, problem.rows // problem.batch_size) if batched and problem.batch_size else 1

        def point(z: jax.Array) -> Any:
            return hull.unravel(z * scale.astype(z.dtype))

        def advance(state: PrimalDualState, inputs: Any) -> tuple[PrimalDualState, jax.Array]:
            bound = problem.bind(inputs)
            key, draw, rows = jax.random.split(state.key, 3)
            batch = minibatch(bound, rows)
            rest = (1 + jnp.cos(jnp.pi * jnp.minimum(state.steps / self.steps, 1.0).astype(state.z.dtype))) / 2
            weights = jnp.maximum(state.multipliers + self.damping * state.seen, 0.0)

            def lagrangian(z: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
                evaluation = bound.evaluate(point(z), key=draw, batch=batch)
                over, loss = excess(problem, evaluation.constraints, z.dtype), evaluation.loss.astype(z.dtype)
                return loss + jnp.vdot(weights, over), (loss, over)

            (_, (loss, over)), gradient = jax.value_and_grad(lagrangian, has_aux=True)(state.z)
            if batched:
                at = excess(
                    problem, bound.evaluate(point(state.snapshot), key=draw, batch=batch).constraints, over.dtype
                )
                over = over - at + state.anchor
            finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(over)) & jnp.all(jnp.isfinite(gradient))
            updates, moments = optimizer.update(jnp.where(finite, gradient, 0.0), state.optimizer, state.z)
            unit = scale.astype(state.z.dtype)
            moved = hull.ravel(hull.project(point(state.z + rest * jnp.asarray(updates)))) / unit
            keep = lambda new, old: jnp.where(finite, new, old)  # noqa: E731
            # The first steps are averaged over as many as there were.
            share = jnp.maximum(1 / self.memory, 1 / (state.steps + 1)).astype(state.z.dtype)
            state = PrimalDualState(
                z=keep(moved, state.z),
                snapshot=state.snapshot,
                anchor=state.anchor,
                optimizer=jax.tree.map(keep, moments, state.optimizer),
                multipliers=keep(
                    jnp.maximum(state.multipliers + rest * self.dual_rate * over, 0.0),
                    state.multipliers,
                ),
                seen=keep(state.seen + share * (over - state.seen), state.seen),
                key=key,
                steps=state.steps + 1,
            )
            return state, loss

        def segment(state: PrimalDualState, inputs: Any) -> tuple[PrimalDualState, Any, jax.Array]:
            def look(state: PrimalDualState) -> PrimalDualState:
                values = problem.bind(inputs).evaluate(point(state.z), key=state.key).constraints
                return state._replace(snapshot=state.z, anchor=excess(problem, values, state.z.dtype))

            def body(_: Any, carry: tuple) -> tuple:
                state, total = carry
                if batched:
                    state = jax.lax.cond(state.steps % epoch == 0, look, lambda state: state, state)
                state, loss = advance(state, inputs)
                return state, total + loss

            steps = jnp.minimum(grown(state.steps, full), jnp.maximum(self.steps - state.steps, 1))
            state, total = jax.lax.fori_loop(0, steps, body, (state, jnp.zeros((), state.z.dtype)))
            return strong(state), hull.project(point(state.z)), total / steps

        return jax.jit(segment)


def excess(problem: Problem, values: tuple[Any, ...], dtype: Any) -> jax.Array:
    """How far each constraint value is beyond each of its finite bounds, in units of its scale: negative inside."""
    pieces = [jnp.zeros(0, dtype)]
    for constraint, value, mask in zip(problem.subject_to, values, _sides(problem, values), strict=True):
        shape = mask.shape[1:]
        low, high, unit = (np.broadcast_to(a, shape) for a in (constraint.lower, constraint.upper, constraint.scale))
        value = jnp.broadcast_to(value, shape)
        both = jnp.stack([(value - np.where(mask[0], high, 0.0)) / unit, (np.where(mask[1], low, 0.0) - value) / unit])
        pieces.append(both[mask].astype(dtype))
    return jnp.concatenate(pieces)


def _sides(problem: Problem, values: tuple[Any, ...]) -> list[np.ndarray]:
    """For each constraint which upper and which lower bounds are finite, of shape (2, *shape of the value)."""
    masks = []
    for constraint, value in zip(problem.subject_to, values, strict=True):
        shape = np.broadcast_shapes(constraint.lower.shape, constraint.upper.shape, constraint.scale.shape, value.shape)
        finite = [np.broadcast_to(np.isfinite(bound), shape) for bound in (constraint.upper, constraint.lower)]
        masks.append(np.stack(finite))
    return masks
