"""Several objectives at once: steps that lower all of them."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.optimizers import combine
from descend.problem import Problem
from descend.solvers.segments import grown, steps_per_segment, strong
from descend.solvers.solver import Needs, Progress, Solver

TRIALS = 40  # of one line search
SUFFICIENT = 1e-4  # share of the predicted decrease of each objective that a step must bring
ROUNDS = 4  # in which coordinates that a bound stops are taken out of a direction
DROP = 1e-10  # a pair whose curvature is less than this, relative to the step, is not remembered
RIDGE = 1e-15  # on the Gramian, so that gradients count as opposed to the last digit


class JacobianDescentState(NamedTuple):
    """The iterate in units of the domain's scale, and the memory of the method."""

    z: jax.Array
    losses: jax.Array  # (m,); infinite before the first evaluation
    jacobian: jax.Array  # (m, n)
    moves: jax.Array  # (memory, n)
    turns: jax.Array  # (memory, n): changes of the combined gradient in them
    curvatures: jax.Array  # (memory,): 0 for an empty place
    failures: jax.Array
    units: jax.Array
    steps: jax.Array  # since the last restart
    total: jax.Array


@dataclass(frozen=True, repr=False)
class JacobianDescent(Solver):
    """UPGrad in the metric of a limited-memory BFGS matrix, with a line search in all objectives, within bounds.

    A step is taken if it lowers every objective by a share of what its gradient predicts, so that the answer is nowhere
    worse than the start. The curvature that is remembered is that of the combination of objectives whose gradients
    balance. It is done when that combination's gradient vanishes: max|g| <= `tolerance` max(1, |losses|), or when the
    line search fails three times in a row, once after forgetting the memory.

    Args:
        memory: how many pairs of steps and gradients are kept.
        tolerance: on the combined gradient; 0 chooses 1e-8 in float64, 1e-4 in float32; products of gradients
            resolve no less.

    Source: Quinton and Rey, "Jacobian descent for multi-objective optimization", arXiv:2406.16232, for the direction;
        Fliege and Svaiter, "Steepest descent methods for multicriteria optimization" (2000), for the line search.
    """

    memory: int = 10
    tolerance: float = 0.0
    NEEDS: ClassVar[Needs] = Needs(
        gradient=True, true_gradient=True, continuous=True, deterministic=True, box=True, unconstrained=True
    )

    def init(self, problem: Problem, start: Any, key: jax.Array) -> JacobianDescentState:
        z = jnp.asarray(problem.domain.ravel(start) / problem.domain.scale, jnp.result_type(float))
        count = max(1, len(problem.objectives))
        zero, empty = jnp.zeros((), jnp.int32), jnp.zeros((self.memory, z.size), z.dtype)
        losses, jacobian = jnp.full(count, jnp.inf, z.dtype), jnp.zeros((count, z.size), z.dtype)
        none = jnp.zeros(self.memory, z.dtype)
        return strong(JacobianDescentState(z, losses, jacobian, empty, empty, none, zero, zero, zero, zero))

    def restart(self, problem: Problem, state: JacobianDescentState) -> JacobianDescentState:
        """The state after the parameters of the problem's merit changed: the memory is about other functions."""
        zero = jnp.zeros_like(state.steps)
        return state._replace(
            losses=jnp.full_like(state.losses, jnp.inf), curvatures=0 * state.curvatures, failures=zero, steps=zero
        )

    def step(self, problem: Problem, state: JacobianDescentState) -> tuple[JacobianDescentState, Progress]:
        segment = problem.compiled(("jacobian descent", self), lambda: self._build(problem))
        before = int(state.units)
        state, x, loss, size = segment(state, problem.inputs)
        reason, vanished = (
            "",
            bool(size <= self._tolerance(state.z.dtype) * max(1.0, float(jnp.max(abs(state.losses))))),
        )
        if vanished:
            reason = "a combination of the gradients vanished"
        elif int(state.failures) >= 3:
            reason = "no step lowers every objective"
        elif not np.isfinite(float(loss)):
            reason = "loss is not finite"
        spent = int(state.units) - before
        signals = {"combined gradient": float(size)}
        return state, Progress(x, float(loss), spent, bool(reason), reason, not vanished, signals)

    def _tolerance(self, dtype: Any) -> float:
        return self.tolerance or (1e-8 if jnp.finfo(dtype).bits >= 64 else 1e-4)

    def _build(self, problem: Problem) -> Any:
        domain = problem.domain
        scale = jnp.asarray(domain.scale)
        assert domain.box is not None  # NEEDS.box
        lower, upper = (jnp.asarray(bound / domain.scale) for bound in domain.box)
        count = max(1, len(problem.objectives))

        def losses_at(z: jax.Array, inputs: Any) -> jax.Array:
            evaluation = problem.bind(inputs).evaluate(domain.unravel(z * scale.astype(z.dtype)))
            return jnp.stack([loss.astype(z.dtype) for loss in evaluation.objectives or (evaluation.loss,)])

        def measure(z: jax.Array, inputs: Any) -> tuple[jax.Array, jax.Array]:
            losses, pull = jax.vjp(lambda z: losses_at(z, inputs), z)
            return losses, jax.vmap(lambda row: pull(row)[0])(jnp.eye(count, dtype=z.dtype))

        def inverse(state: JacobianDescentState, rows: jax.Array) -> jax.Array:
            """The remembered inverse curvature times each row (the two-loop recursion)."""
            known = state.curvatures > 0
            weights = jnp.where(known, 1 / jnp.where(known, state.curvatures, 1.0), 0.0)

            def back(i: Any, carry: tuple) -> tuple:
                rest, shares = carry
                share = weights[i] * (rest @ state.moves[i])
                return rest - share[:, None] * state.turns[i][None], shares.at[i].set(share)

            def forth(i: Any, d: jax.Array) -> jax.Array:
                i = self.memory - 1 - i
                share = weights[i] * (d @ state.turns[i])
                return d + (shares[i] - share)[:, None] * state.moves[i][None]

            rest, shares = jax.lax.fori_loop(0, self.memory, back, (rows, jnp.zeros((self.memory, count), rows.dtype)))
            latest = state.turns[0] @ state.turns[0]
            size = jnp.where(known[0], state.curvatures[0] / jnp.where(known[0], latest, 1.0), 1.0)
            return jax.lax.fori_loop(0, self.memory, forth, size * rest)

        def held(z: jax.Array, d: jax.Array) -> jax.Array:
            """Which coordinates a bound keeps from moving against d."""
            return ((z <= lower.astype(z.dtype)) & (d > 0)) | ((z >= upper.astype(z.dtype)) & (d < 0))

        def direction(state: JacobianDescentState) -> tuple[jax.Array, jax.Array]:
            """A direction to go against, and how much each gradient counts in it."""

            def again(_: Any, carry: tuple) -> tuple:
                free, _, _ = carry
                rows = state.jacobian * free[None]
                curved = inverse(state, rows) * free[None]
                gramian = rows @ curved.T
                shares = combine((gramian + gramian.T) / 2, ridge=RIDGE)
                d = shares @ curved
                return jnp.where(held(state.z, d), 0.0, free), d, shares

            free = jnp.ones_like(state.z)
            free, d, shares = jax.lax.fori_loop(0, ROUNDS, again, (free, free, jnp.ones(count, free.dtype)))
            return d * free, shares

        def balance(z: jax.Array, jacobian: jax.Array) -> tuple[jax.Array, jax.Array]:
            """Weights of sum one that balance the gradients, and the largest entry of what is left."""

            def again(_: Any, carry: tuple) -> tuple:
                free, _ = carry
                rows = jacobian * free[None]
                shares = combine(rows @ rows.T, ridge=RIDGE)
                shares = shares / jnp.sum(shares)
                return jnp.where(held(z, shares @ jacobian), 0.0, 1.0), shares

            _, shares = jax.lax.fori_loop(0, ROUNDS, again, (jnp.ones_like(z), jnp.ones(count, z.dtype)))
            combined = shares @ jacobian
            return shares, jnp.max(jnp.abs(jnp.where(held(z, combined), 0.0, combined)), initial=0.0)

        def search(state: JacobianDescentState, d: jax.Array, first: jax.Array, inputs: Any) -> tuple:
            def going(carry: tuple) -> jax.Array:
                return (carry[0] < TRIALS) & ~carry[2]

            def attempt(carry: tuple) -> tuple:
                tried, t, _, _ = carry
                z = jnp.clip(state.z - t * d, lower.astype(d.dtype), upper.astype(d.dtype))
                losses = losses_at(z, inputs)
                predicted = jnp.maximum(state.jacobian @ (state.z - z), 0.0)
                rounding = 4 * jnp.finfo(z.dtype).eps * jnp.abs(state.losses)
                lower_all = jnp.all(losses <= state.losses - SUFFICIENT * predicted + rounding)
                return tried + 1, t / 2, lower_all & jnp.any(losses < state.losses), z

            begin = (jnp.zeros((), jnp.int32), first, jnp.zeros((), bool), state.z)
            tried, _, found, z = jax.lax.while_loop(going, attempt, begin)
            return tried, found, jnp.where(found, z, state.z)

        def advance(state: JacobianDescentState, inputs: Any) -> JacobianDescentState:
            d, _ = direction(state)
            size = jnp.max(jnp.abs(d), initial=0.0)
            first = jnp.where(
                state.curvatures[0] > 0, 1.0, jnp.minimum(1.0, 1 / jnp.maximum(size, jnp.finfo(d.dtype).tiny))
            )
            tried, found, z = search(state, d, first, inputs)
            losses, jacobian = measure(z, inputs)
            shares, _ = balance(z, jacobian)
            moved, turned = z - state.z, shares @ (jacobian - state.jacobian)
            curvature = moved @ turned
            kept = found & (curvature > DROP * (moved @ moved)) & jnp.isfinite(curvature)
            push = lambda rows, row: jnp.where(kept, jnp.concatenate([row[None], rows[:-1]]), rows)  # noqa: E731
            failures = jnp.where(found, 0, state.failures + 1).astype(jnp.int32)
            return JacobianDescentState(
                z=z,
                losses=losses,
                jacobian=jacobian,
                moves=push(state.moves, moved),
                turns=push(state.turns, turned),
                curvatures=jnp.where(failures == 1, 0.0, push(state.curvatures, curvature)),
                failures=failures,
                units=(state.units + tried + 1 + 2 * count).astype(jnp.int32),
                steps=state.steps + 1,
                total=state.total + 1,
            )

        full = steps_per_segment(problem, 4 + 2 * count)

        def going(carry: tuple) -> jax.Array:
            done, steps, state = carry
            _, size = balance(state.z, state.jacobian)
            settled = size <= self._tolerance(size.dtype) * jnp.maximum(1.0, jnp.max(jnp.abs(state.losses)))
            return (done < steps) & jnp.all(jnp.isfinite(state.losses)) & ~settled & (state.failures < 3)

        def segment(state: JacobianDescentState, inputs: Any) -> tuple[Any, ...]:
            losses, jacobian = measure(state.z, inputs)
            state = state._replace(losses=losses, jacobian=jacobian, units=state.units + 1 + 2 * count)
            body = lambda carry: (carry[0] + 1, carry[1], advance(carry[2], inputs))  # noqa: E731
            *_, state = jax.lax.while_loop(going, body, (0, grown(state.total, full), state))
            x = domain.unravel(state.z * scale.astype(state.z.dtype))
            _, size = balance(state.z, state.jacobian)
            return strong(state), x, problem.bind(inputs).evaluate(x).loss, size

        return jax.jit(segment)
