"""Quasi-Newton steps along tangents: for smooth problems on spheres, frames, covariances, matrices of low rank."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.domains.manifold import Geometry
from descend.problem import Problem
from descend.solvers.segments import grown, steps_per_segment, strong
from descend.solvers.solver import Needs, Progress, Solver

TRIALS = 30  # of one line search
SUFFICIENT, FLATTER = 1e-4, 0.9  # the constants of the weak Wolfe conditions
ROUNDING = 16  # times the machine's precision times the loss: what two losses may differ by without meaning it
DROP = 1e-10  # a pair whose curvature is less than this, relative to the step, is not remembered


class RiemannianState(NamedTuple):
    """The iterate and the memory, all of it flat."""

    x: jax.Array
    loss: jax.Array
    gradient: jax.Array  # the Riemannian one
    moves: jax.Array  # (memory, n): the last steps, transported to x
    turns: jax.Array  # (memory, n): by how much the gradient changed in them
    curvatures: jax.Array  # (memory,): the inner products of both; 0 for an empty place
    failures: jax.Array  # iterations in a row that did not lower the loss
    evaluations: jax.Array  # of value and gradient together
    steps: jax.Array  # since the last restart
    total: jax.Array


@dataclass(frozen=True, repr=False)
class RiemannianQuasiNewton(Solver):
    """Limited-memory BFGS on a product of manifolds and of real numbers without bounds.

    Steps, inner products and the transport of what is remembered are those of the domain. It is done when the
    Riemannian gradient is shorter than `tolerance` max(1, |loss|), or when the line search fails three times in a row,
    once after forgetting the memory.

    Args:
        memory: how many pairs of steps and gradients are kept.
        tolerance: on the gradient; 0 chooses 1e-9 in float64, 1e-5 in float32.

    Source: Huang, Gallivan and Absil, "A Broyden class of quasi-Newton methods for Riemannian optimization" (2015);
        line search: Lewis and Overton, "Nonsmooth optimization via quasi-Newton methods" (2013); where losses differ
        by no more than rounding, by slopes: Hager and Zhang, "A new conjugate gradient method with guaranteed descent
        and an efficient line search" (2005), their approximate Wolfe conditions.
    """

    memory: int = 10
    tolerance: float = 0.0
    NEEDS: ClassVar[Needs] = Needs(
        gradient=True, true_gradient=True, continuous=True, deterministic=True, walkable=True, unconstrained=True
    )

    def init(self, problem: Problem, start: Any, key: jax.Array) -> RiemannianState:
        x = jnp.asarray(problem.domain.ravel(start), jnp.result_type(float))
        zero, empty = jnp.zeros((), jnp.int32), jnp.zeros((self.memory, x.size), x.dtype)
        infinite = jnp.asarray(jnp.inf, x.dtype)
        return strong(
            RiemannianState(x, infinite, 0 * x, empty, empty, jnp.zeros(self.memory, x.dtype), zero, zero, zero, zero)
        )

    def restart(self, problem: Problem, state: RiemannianState) -> RiemannianState:
        """The state after the parameters of the problem's merit changed: the memory is about another function."""
        zero = jnp.zeros_like(state.steps)
        return state._replace(
            loss=jnp.full_like(state.loss, jnp.inf), curvatures=0 * state.curvatures, failures=zero, steps=zero
        )

    def step(self, problem: Problem, state: RiemannianState) -> tuple[RiemannianState, Progress]:
        segment = problem.compiled(("riemannian", self), lambda: self._build(problem))
        before = int(state.evaluations)
        state, norm = segment(state, problem.inputs)
        loss = float(state.loss)
        vanished = float(norm) <= self._tolerance(state.x.dtype) * max(1.0, abs(loss))
        reason = ""
        if vanished:
            reason = "gradient vanished"
        elif int(state.failures) >= 3:
            reason = "line search found no lower point"
        elif not np.isfinite(loss):
            reason = "loss is not finite"
        units = 3 * (int(state.evaluations) - before)
        x = problem.domain.unravel(state.x)
        return state, Progress(x, loss, units, bool(reason), reason, not vanished, {"gradient norm": float(norm)})

    def _tolerance(self, dtype: Any) -> float:
        return self.tolerance or (1e-9 if jnp.finfo(dtype).bits >= 64 else 1e-5)

    def _build(self, problem: Problem) -> Any:
        domain = problem.domain
        geometry = Geometry(domain.parts)

        def length(x: jax.Array, v: jax.Array) -> jax.Array:
            return jnp.sqrt(jnp.maximum(geometry.inner(x, v, v), 0.0))

        def measure(x: jax.Array, inputs: Any) -> tuple[jax.Array, jax.Array]:
            """The loss and its Riemannian gradient."""
            bound = problem.bind(inputs)
            loss, plain = jax.value_and_grad(lambda x: bound.evaluate(domain.unravel(x)).loss)(x)
            return loss.astype(x.dtype), geometry.gradient(x, plain)

        def direction(state: RiemannianState) -> jax.Array:
            """Minus the inverse of the remembered curvature times the gradient (the two-loop recursion)."""
            x, count = state.x, self.memory
            known = state.curvatures > 0
            weights = jnp.where(known, 1 / jnp.where(known, state.curvatures, 1.0), 0.0)

            def back(i: Any, carry: tuple) -> tuple:
                rest, shares = carry
                share = weights[i] * geometry.inner(x, state.moves[i], rest)
                return rest - share * state.turns[i], shares.at[i].set(share)

            def forth(i: Any, d: jax.Array) -> jax.Array:
                i = count - 1 - i
                share = weights[i] * geometry.inner(x, state.turns[i], d)
                return d + (shares[i] - share) * state.moves[i]

            rest, shares = jax.lax.fori_loop(0, count, back, (state.gradient, jnp.zeros(count, x.dtype)))
            latest = geometry.inner(x, state.turns[0], state.turns[0])
            size = jnp.where(known[0], state.curvatures[0] / jnp.where(known[0], latest, 1.0), 1.0)
            return -jax.lax.fori_loop(0, count, forth, size * rest)

        def search(state: RiemannianState, d: jax.Array, slope: jax.Array, first: jax.Array, inputs: Any) -> tuple:
            """A step that satisfies the weak Wolfe conditions, by bisection; else the lowest one tried.

            Near the answer a step changes the loss by less than rounding. There the slope along the step tells
            whether it goes down far enough.
            """
            noise = ROUNDING * jnp.finfo(d.dtype).eps * jnp.abs(state.loss)

            def going(carry: tuple) -> jax.Array:
                return (carry[0] < TRIALS) & ~carry[4]

            def attempt(carry: tuple) -> tuple:
                count, t, low, high, _, best = carry
                x = geometry.retract(state.x, t * d)
                loss, gradient = measure(x, inputs)
                finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient))
                ahead = geometry.inner(x, gradient, geometry.transport(state.x, x, d))
                level = (loss <= state.loss + noise) & (ahead <= (2 * SUFFICIENT - 1) * slope)
                lower = finite & (level | (loss <= state.loss + SUFFICIENT * t * slope))
                steep = lower & (ahead < FLATTER * slope)
                better = finite & ((loss < best[1]) | (lower & ~steep))
                best = jax.tree.map(lambda new, old: jnp.where(better, new, old), (x, loss, gradient, t), best)
                low, high = jnp.where(steep, t, low), jnp.where(lower, high, t)
                t = jnp.where(jnp.isinf(high), 2 * t, (low + high) / 2)
                return count + 1, t, low, high, lower & ~steep, best

            zero, infinite = jnp.zeros((), d.dtype), jnp.asarray(jnp.inf, d.dtype)
            begin = (jnp.zeros((), jnp.int32), first, zero, infinite, jnp.zeros((), bool))
            here = (state.x, state.loss, state.gradient, zero)
            count, _, _, _, _, best = jax.lax.while_loop(going, attempt, (*begin, here))
            return count, best

        def advance(state: RiemannianState, inputs: Any) -> RiemannianState:
            d = direction(state)
            slope, norm = geometry.inner(state.x, state.gradient, d), length(state.x, state.gradient)
            usable = jnp.isfinite(slope) & (slope < -1e-10 * norm * length(state.x, d))
            fresh = ~usable | (state.curvatures[0] == 0)
            d, slope = jnp.where(usable, d, -state.gradient), jnp.where(usable, slope, -(norm**2))
            # Without a memory the first step is one unit long: the gradient's length says nothing about the distance.
            first = jnp.where(fresh, 1 / jnp.maximum(norm, jnp.finfo(norm.dtype).tiny), 1.0)
            count, (x, loss, gradient, t) = search(state, d, slope, jnp.minimum(first, 1e6), inputs)
            moved = geometry.transport(state.x, x, t * d)
            turn = gradient - geometry.transport(state.x, x, state.gradient)
            curvature = geometry.inner(x, moved, turn)
            kept = (curvature > DROP * geometry.inner(x, moved, moved)) & (t > 0)
            carried = [jax.vmap(lambda v: geometry.transport(state.x, x, v))(m) for m in (state.moves, state.turns)]
            # A decrease within rounding is taken, but it is progress only if the gradient tells so.
            noise = ROUNDING * jnp.finfo(x.dtype).eps * jnp.abs(state.loss)
            progress = (loss < state.loss - noise) | (length(x, gradient) < norm / 2)
            failures = jnp.where(progress, 0, state.failures + 1).astype(jnp.int32)
            push = lambda rows, row: jnp.where(kept, jnp.concatenate([row[None], rows[:-1]]), rows)  # noqa: E731
            curvatures = push(jnp.where(usable, state.curvatures, 0.0), curvature)
            return RiemannianState(
                x=x,
                loss=loss,
                gradient=gradient,
                moves=push(carried[0], moved),
                turns=push(carried[1], turn),
                # After a first failure the memory is dropped, so that the next direction is the plain gradient's.
                curvatures=jnp.where(failures == 1, 0.0, curvatures),
                failures=failures,
                evaluations=(state.evaluations + count).astype(jnp.int32),
                steps=state.steps + 1,
                total=state.total + 1,
            )

        full = steps_per_segment(problem, 6)

        def going(carry: tuple) -> jax.Array:
            count, steps, state = carry
            settled = length(state.x, state.gradient) <= self._tolerance(state.x.dtype) * jnp.maximum(
                1.0, jnp.abs(state.loss)
            )
            return (count < steps) & jnp.isfinite(state.loss) & ~settled & (state.failures < 3)

        def segment(state: RiemannianState, inputs: Any) -> tuple[RiemannianState, jax.Array]:
            loss, gradient = measure(state.x, inputs)
            state = state._replace(loss=loss, gradient=gradient, evaluations=state.evaluations + 1)
            body = lambda carry: (carry[0] + 1, carry[1], advance(carry[2], inputs))  # noqa: E731
            *_, state = jax.lax.while_loop(going, body, (0, grown(state.total, full), state))
            return strong(state), length(state.x, state.gradient)

        return jax.jit(segment)
