"""Relax, round, polish: gradient descent on the convex hull of a discrete domain, and local search where it rounds to."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from descend.problem import Problem
from descend.solvers.descent import adam_for
from descend.solvers.segments import strong
from descend.solvers.solver import Needs, Progress, Solver


class RelaxRoundState(NamedTuple):
    """A point of the hull, in units of the domain's scale, and the best member so far, as a vector."""

    z: jax.Array
    optimizer: Any
    key: jax.Array
    penalty: jax.Array
    member: jax.Array
    loss: jax.Array
    violation: jax.Array
    stalls: jax.Array


@dataclass(frozen=True, repr=False)
class RelaxRound(Solver):
    """In each segment: `steps` of Adam on the relaxed problem, `roundings` of the point reached, a search over neighbors.

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
        one, infinite = jnp.ones((), dtype), jnp.asarray(jnp.inf, dtype)
        state = RelaxRoundState(
            z,
            adam_for(problem.domain.relax(), self.learning_rate).init(z),
            key,
            one,
            member,
            infinite,
            infinite,
            jnp.zeros((), jnp.int32),
        )
        return strong(state)

    def step(self, problem: Problem, state: RelaxRoundState) -> tuple[RelaxRoundState, Progress]:
        segment = problem.compiled(("relax-round", self), lambda: jax.jit(lambda *a: self._segment(problem, *a)))
        state, x, relaxed = segment(state, problem.inputs)
        units = 3 * self.steps + self.roundings + 1 + self.searches * self.moves
        reason = "no better member nearby" * (int(state.stalls) > self.patience)
        return state, Progress(
            x, float(state.loss), units, bool(reason), reason, True, {"relaxed loss": float(relaxed)}
        )

    def _segment(self, problem: Problem, state: RelaxRoundState, inputs: Any) -> tuple[RelaxRoundState, Any, jax.Array]:
        domain, hull, bound = problem.domain, problem.domain.relax(), problem.bind(inputs)
        scale = jnp.asarray(hull.scale, state.z.dtype)
        adam = adam_for(hull, self.learning_rate)
        key, noise_key, jump_key, search_key = jax.random.split(state.key, 4)

        def merit(z: jax.Array) -> jax.Array:
            evaluation = bound.evaluate(hull.unravel(z * scale))
            excess = [
                jnp.sum(c.residual(v) ** 2) for c, v in zip(problem.subject_to, evaluation.constraints, strict=True)
            ]
            return evaluation.loss + state.penalty * sum(excess)

        def descend(carry: tuple, _: None) -> tuple:
            z, optimizer = carry
            loss, gradient = jax.value_and_grad(merit)(z)
            gradient = jnp.where(jnp.isfinite(gradient), gradient, 0.0)
            updates, optimizer = adam.update(gradient, optimizer, z)
            z = hull.ravel(hull.project(hull.unravel((z + updates) * scale))) / scale
            return (z, optimizer), loss

        def score(vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
            evaluate = lambda v: bound.evaluate(domain.unravel(v))  # noqa: E731
            evaluations = jax.lax.map(evaluate, vectors, batch_size=16)
            violation = (
                jax.vmap(problem.violation)(evaluations.constraints) if problem.subject_to else jnp.zeros(len(vectors))
            )
            loss = jnp.where(jnp.isnan(evaluations.loss), jnp.inf, evaluations.loss)
            return loss, violation.astype(loss.dtype)

        def choose(best: tuple, vectors: jax.Array) -> tuple:
            """The better of the best so far and the best of the vectors: by violation first, then by loss."""
            loss, violation = score(vectors)
            slack = jnp.maximum(violation - 1e-6, 0.0)
            winner = jnp.lexsort((loss, slack))[0]
            new = (vectors[winner], loss[winner], violation[winner])
            old_slack = jnp.maximum(best[2] - 1e-6, 0.0)
            better = (slack[winner] < old_slack) | ((slack[winner] == old_slack) & (new[1] < best[1]))
            return jax.tree.map(lambda a, b: jnp.where(better, a, b), new, best)

        (z, optimizer), losses = jax.lax.scan(descend, (state.z, state.optimizer), None, self.steps)
        size = 0.5 * jnp.arange(self.roundings)[:, None] / self.roundings
        noisy = (z[None] + size * jax.random.normal(noise_key, (self.roundings, z.size), z.dtype)) * scale[None]
        rounded = jax.vmap(lambda v: domain.ravel(domain.round(domain.unravel(v))))(noisy)
        before = (state.member, state.loss, state.violation)
        best = choose(before, jnp.concatenate([rounded, state.member[None]]))

        def search(index: jax.Array, best: tuple) -> tuple:
            near = domain.neighbors(domain.unravel(best[0]), jax.random.fold_in(search_key, index), self.moves)
            return choose(best, jax.vmap(domain.ravel)(near))

        best = jax.lax.fori_loop(0, self.searches, search, best)
        stalled = (best[1] == before[1]) & (best[2] == before[2])
        share = jnp.where(stalled, jax.random.uniform(noise_key, (), z.dtype), 0.0)
        target = domain.ravel(domain.sample(jump_key)).astype(z.dtype) / scale
        state = RelaxRoundState(
            z=z + share * (target - z),
            optimizer=optimizer,
            key=key,
            penalty=jnp.where(best[2] > 1e-6, 2 * state.penalty, state.penalty),
            member=best[0],
            loss=best[1],
            violation=best[2],
            stalls=jnp.where(stalled, state.stalls + 1, 0),
        )
        return state, domain.unravel(best[0]), losses[-1]
