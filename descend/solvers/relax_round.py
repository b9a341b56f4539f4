"""Relax, round, polish: descent on the convex hull of a discrete domain, and local search where it rounds to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.problem import Problem
from descend.solvers.descent import adam_for
from descend.solvers.segments import pause, rows_per_call, strong
from descend.solvers.solver import Needs, Progress, Solver


class Scored(NamedTuple):
    """A member, as a vector, and what is known of it."""

    member: jax.Array
    loss: jax.Array
    violation: jax.Array


class RelaxRoundState(NamedTuple):
    """A point of the hull, in units of the domain's scale, and the best member so far."""

    z: jax.Array
    optimizer: Any
    key: jax.Array
    penalty: jax.Array
    best: Scored
    stalls: jax.Array


class Programs(NamedTuple):
    """The compiled pieces of a segment, between which the engine is let in, and how much one call does."""

    descend: Callable[..., Any]
    roundings: Callable[..., Any]
    neighbors: Callable[..., Any]
    choose: Callable[..., Any]
    end: Callable[..., Any]
    steps: int
    rows: int


@dataclass(frozen=True, repr=False)
class RelaxRound(Solver):
    """In each segment: `steps` of Adam on the relaxed problem, `roundings` of the point reached, search over neighbors.

    Constraints enter the relaxed problem as a quadratic penalty, doubled while the best member violates them; members
    are compared by feasibility first. The relaxed point is the rounding of itself plus noise of falling size. A segment
    without a better member counts as a stall; after each the relaxed point jumps part of the way to a random member.

    Args:
        learning_rate: of Adam, in units of the scale.
        steps, roundings: in a segment; with the best member so far the roundings fill a batch of 16.
        searches: rounds of local search in a segment, each over `moves` random neighbors.
        patience: stalls in a row before it is done.
    """

    learning_rate: float = 0.05
    steps: int = 20
    roundings: int = 15
    searches: int = 8
    moves: int = 32
    patience: int = 60
    NEEDS: ClassVar[Needs] = Needs(gradient=True, deterministic=True)

    def init(self, problem: Problem, start: Any, key: jax.Array) -> RelaxRoundState:
        dtype = jnp.result_type(float)
        member = jnp.asarray(problem.domain.ravel(start), dtype)
        z = member / jnp.asarray(problem.domain.relax().scale, dtype)
        infinite = jnp.asarray(jnp.inf, dtype)
        state = RelaxRoundState(
            z=z,
            optimizer=adam_for(problem.domain.relax(), self.learning_rate).init(z),
            key=key,
            penalty=jnp.ones((), dtype),
            best=Scored(member, infinite, infinite),
            stalls=jnp.zeros((), jnp.int32),
        )
        return strong(state)

    def step(self, problem: Problem, state: RelaxRoundState) -> tuple[RelaxRoundState, Progress]:
        programs = problem.compiled(("relax-round", self), lambda: self._build(problem))
        inputs, best = problem.inputs, state.best

        def rest() -> None:
            pause(lambda: problem.domain.unravel(np.asarray(best.member, np.float64)))

        z, optimizer, loss = state.z, state.optimizer, jnp.zeros(())
        for done in range(0, self.steps, programs.steps):
            rest()
            count = min(programs.steps, self.steps - done)
            z, optimizer, loss = programs.descend(z, optimizer, state.penalty, count, inputs)
        groups = [lambda: programs.roundings(z, best, state.key)]
        groups += [lambda i=i: programs.neighbors(best, state.key, i) for i in range(self.searches)]
        for group in groups:
            members = group()
            for row in range(0, len(members), programs.rows):
                rest()
                best = programs.choose(best, members[row : row + programs.rows], inputs)
        state = programs.end(state, z, optimizer, best)
        units = 3 * self.steps + self.roundings + 1 + self.searches * self.moves
        reason = "no better member nearby" * (int(state.stalls) > self.patience)
        signals = {"relaxed loss": float(loss)}
        x = problem.domain.unravel(best.member)
        return state, Progress(x, float(best.loss), units, bool(reason), reason, True, signals)

    def _build(self, problem: Problem) -> Programs:
        domain, hull = problem.domain, problem.domain.relax()
        adam = adam_for(hull, self.learning_rate)
        scale = jnp.asarray(hull.scale, jnp.result_type(float))
        rows = rows_per_call(problem, self.moves)
        tolerance = numerics.tolerance(scale.dtype)

        def descend(z: jax.Array, optimizer: Any, penalty: Any, count: Any, inputs: Any) -> tuple:
            bound = problem.bind(inputs)

            def merit(z: jax.Array) -> jax.Array:
                evaluation = bound.evaluate(hull.unravel(z * scale))
                pairs = zip(problem.subject_to, evaluation.constraints, strict=True)
                return evaluation.loss + penalty * sum(jnp.sum(c.residual(v) ** 2) for c, v in pairs)

            def advance(_: Any, carry: tuple) -> tuple:
                z, optimizer, _ = carry
                loss, gradient = jax.value_and_grad(merit)(z)
                gradient = jnp.where(jnp.isfinite(gradient), gradient, 0.0)
                updates, optimizer = adam.update(gradient, optimizer, z)
                z = hull.ravel(hull.project(hull.unravel((z + updates) * scale))) / scale
                return z, optimizer, loss.astype(z.dtype)

            return jax.lax.fori_loop(0, count, advance, (z, optimizer, jnp.zeros((), z.dtype)))

        def filled(members: jax.Array) -> jax.Array:
            """The members, the last one repeated until they fill whole calls."""
            missing = -len(members) % rows
            return jnp.concatenate([members, jnp.repeat(members[-1:], missing, axis=0)])

        def roundings(z: jax.Array, best: Scored, key: jax.Array) -> jax.Array:
            size = 0.5 * jnp.arange(self.roundings)[:, None] / self.roundings
            noise = jax.random.normal(jax.random.fold_in(key, 0), (self.roundings, z.size), z.dtype)
            noisy = (z[None] + size.astype(z.dtype) * noise) * scale[None]
            rounded = jax.vmap(lambda v: domain.ravel(domain.round(domain.unravel(v))))(noisy)
            return filled(jnp.concatenate([best.member[None], rounded]))

        def neighbors(best: Scored, key: jax.Array, index: Any) -> jax.Array:
            near = domain.neighbors(domain.unravel(best.member), jax.random.fold_in(key, 1 + index), self.moves)
            return filled(jax.vmap(domain.ravel)(near))

        def choose(best: Scored, members: jax.Array, inputs: Any) -> Scored:
            """The better of the best so far and the best of the members: by violation first, then by loss."""
            bound = problem.bind(inputs)
            evaluations = jax.lax.map(lambda v: bound.evaluate(domain.unravel(v)), members, batch_size=16)
            violation = jnp.zeros(len(members), scale.dtype)
            if problem.subject_to:
                violation = jax.vmap(problem.violation)(evaluations.constraints).astype(scale.dtype)
            loss = jnp.where(jnp.isnan(evaluations.loss), jnp.inf, evaluations.loss).astype(scale.dtype)
            slack, least = (jnp.maximum(v - tolerance, 0.0) for v in (violation, best.violation))
            winner = jnp.lexsort((loss, slack))[0]
            better = (slack[winner] < least) | ((slack[winner] == least) & (loss[winner] < best.loss))
            new = Scored(members[winner], loss[winner], violation[winner])
            return jax.tree.map(lambda a, b: jnp.where(better, a, b), new, best)

        def end(state: RelaxRoundState, z: jax.Array, optimizer: Any, best: Scored) -> RelaxRoundState:
            key, jump, target = jax.random.split(jax.random.fold_in(state.key, 2**31), 3)
            stalled = (best.loss == state.best.loss) & (best.violation == state.best.violation)
            share = jnp.where(stalled, jax.random.uniform(jump, (), z.dtype), 0.0)
            away = domain.ravel(domain.sample(target)).astype(z.dtype) / scale
            return RelaxRoundState(
                z=z + share * (away - z),
                optimizer=optimizer,
                key=key,
                penalty=jnp.where(best.violation > tolerance, 2 * state.penalty, state.penalty),
                best=best,
                stalls=jnp.where(stalled, state.stalls + 1, 0).astype(state.stalls.dtype),
            )

        programs = (jax.jit(program) for program in (descend, roundings, neighbors, choose, end))
        return Programs(*programs, steps=max(1, rows // 3), rows=rows)
