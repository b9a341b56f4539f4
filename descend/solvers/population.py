"""Evolution over the neighbors of a domain: values only, for discrete and mixed variables."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from descend import numerics
from descend.problem import Problem
from descend.solvers.solver import AskTell, Needs, Values

CAUTION = 2.0  # deviations of the noise that a member pays for having been measured once


class PopulationState(NamedTuple):
    """The parents, as vectors, best first, and what is known of them."""

    parents: np.ndarray  # (size, n)
    loss: np.ndarray  # means over `seen` evaluations
    violation: np.ndarray
    seen: np.ndarray
    seed: np.ndarray
    generation: np.ndarray
    improved: np.ndarray  # the generation of the last improvement
    restarts: np.ndarray


@dataclass(frozen=True, repr=False)
class Population(AskTell):
    """Tournament selection, crossover rounded to the domain, and random walks over `Domain.neighbors`.

    The best `size` of parents and children survive, duplicates removed. Under noise the parents are evaluated again in
    every generation, on the same draw as the children, which tells how lucky that draw was, and keep their running
    means. When nothing has improved for `patience` generations, the best parent stays and the others are drawn anew;
    after `restarts` of that it is done.

    Args:
        size: parents.
        children: in one generation.
        patience: generations without improvement before a restart.
        restarts: before it is done.

    Source: the (mu + lambda) evolution strategy, Beyer & Schwefel (2002), with the domain's own moves as mutation.
    """

    size: int = 16
    children: int = 32
    patience: int = 40
    restarts: int = 3
    NEEDS: ClassVar[Needs] = Needs()

    def init(self, problem: Problem, start: Any, key: jax.Array) -> PopulationState:
        vectors = np.tile(np.asarray(problem.domain.ravel(start), np.float64), (self.size, 1))
        seed = np.asarray(numerics.seed(key)[-1], np.int64)
        none, empty = np.zeros((), np.int64), np.full(self.size, np.inf)
        return PopulationState(vectors, empty, empty, np.zeros(self.size), seed, none, none, none)

    def ask(self, problem: Problem, state: PopulationState) -> Any:
        random = np.random.default_rng([int(state.seed), int(state.generation)])
        if not state.seen.any():
            vectors = self._spread(problem, state.parents[0], random)
            vectors[0] = state.parents[0]
        else:
            vectors = self._vary(problem, state.parents, random)
            if problem.random:
                vectors = np.concatenate([vectors, state.parents])
        members = [problem.domain.round(problem.domain.unravel(vector)) for vector in vectors]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *members)

    def tell(self, problem: Problem, state: PopulationState, points: Any, values: Values) -> PopulationState:
        count = len(values.loss)
        vectors = np.stack([problem.domain.ravel(jax.tree.map(lambda a, i=i: a[i], points)) for i in range(count)])
        parents, loss, violation, seen = state.parents, state.loss, state.violation, state.seen
        noise = 0.0
        if not seen.any():
            parents, loss, violation, seen = parents[:0], loss[:0], violation[:0], seen[:0]
        elif problem.random:
            again = slice(count - len(parents), None)
            shift, noise = _luck(loss, values.loss[again], seen)
            values = values._replace(loss=values.loss + shift)
            loss = _mean(loss, values.loss[again], seen)
            violation = _mean(violation, values.violation[again], seen)
            seen = seen + 1
            vectors = vectors[: again.start]
            values = values._replace(loss=values.loss[: again.start], violation=values.violation[: again.start])
        everyone = np.concatenate([parents, vectors])
        told = values._replace(
            loss=np.concatenate([loss, values.loss]), violation=np.concatenate([violation, values.violation])
        )
        times = np.concatenate([seen, np.ones(len(vectors))])
        # A lucky child must not displace a parent that has been measured often: it pays for its ignorance.
        charged = told._replace(loss=told.loss + CAUTION * noise / np.sqrt(np.maximum(times, 1)))
        order = np.argsort(charged.rank, kind="stable")
        _, first = np.unique(everyone[order], axis=0, return_index=True)
        order = order[np.sort(first)][: self.size]
        order = np.concatenate([order, np.repeat(order[:1], self.size - len(order))])
        best_before = (state.violation[0], state.loss[0])
        best_now = (told.violation[order[0]], told.loss[order[0]])
        state = state._replace(
            parents=everyone[order],
            loss=told.loss[order],
            violation=told.violation[order],
            seen=times[order],
            generation=state.generation + 1,
            improved=state.generation + 1 if best_now < best_before else state.improved,
        )
        return self._restart(problem, state) if state.generation - state.improved > self.patience else state

    def done(self, problem: Problem, state: PopulationState) -> str:
        return "no better neighbor after every restart" if int(state.restarts) > self.restarts else ""

    def favorite(self, problem: Problem, state: PopulationState) -> Any:
        return problem.domain.round(problem.domain.unravel(state.parents[0]))

    def signals(self, problem: Problem, state: PopulationState) -> dict[str, float]:
        return {"distinct parents": float(len(np.unique(state.parents, axis=0)))}

    def _restart(self, problem: Problem, state: PopulationState) -> PopulationState:
        """The best parent, and others drawn anew that no value is known of yet."""
        random = np.random.default_rng([int(state.seed), int(state.generation), 1])
        vectors = self._spread(problem, state.parents[0], random)
        parents = np.concatenate([state.parents[:1], vectors[1 : self.size]])
        unknown = np.full(self.size - 1, np.inf)
        return state._replace(
            parents=parents,
            loss=np.concatenate([state.loss[:1], unknown]),
            violation=np.concatenate([state.violation[:1], unknown]),
            seen=np.concatenate([state.seen[:1], np.zeros(self.size - 1)]),
            improved=state.generation,
            restarts=state.restarts + 1,
        )

    def _spread(self, problem: Problem, vector: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Half the children walk away from the vector, by up to eight moves; half are samples of the domain."""
        domain, count = problem.domain, max(self.children, self.size)
        near = self._walk(problem, np.tile(vector, (count // 2, 1)), random.integers(1, 9, count // 2), random)
        sample = problem.compiled("samples", lambda: jax.jit(jax.vmap(lambda key: domain.ravel(domain.sample(key)))))
        far = np.asarray(sample(jax.random.split(_key(random), count - count // 2)), np.float64)
        return np.concatenate([near, far])

    def _vary(self, problem: Problem, parents: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Children of parents that won a tournament of two; parents are sorted, so the smaller index wins."""
        domain, count = problem.domain, self.children
        first, second = random.integers(0, len(parents), (2, count, 2)).min(axis=2)
        children = parents[first].copy()
        for index in np.flatnonzero(random.random(count) < 0.3):
            mixed = np.where(random.random(domain.size) < 0.5, children[index], parents[second[index]])
            children[index] = domain.ravel(domain.round(domain.unravel(mixed)))
        return self._walk(problem, children, np.minimum(random.geometric(0.6, count), 8), random)

    def _walk(
        self, problem: Problem, vectors: np.ndarray, lengths: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """Each vector after its number of random moves."""
        domain = problem.domain

        def move(vector: jax.Array, key: jax.Array) -> jax.Array:
            return domain.ravel(jax.tree.map(lambda a: a[0], domain.neighbors(domain.unravel(vector), key, 1)))

        # One move is compiled, not the walk: random draws in a compiled loop take seconds to compile.
        moves = problem.compiled("moves", lambda: jax.jit(jax.vmap(move)))
        for step in range(int(lengths.max())):
            moved = np.asarray(moves(vectors, jax.random.split(_key(random), len(vectors))), np.float64)
            vectors = np.where((step < lengths)[:, None], moved, vectors)
        return vectors


def _key(random: np.random.Generator) -> jax.Array:
    # A generator that XLA compiles in a third of the time; moves need no more than different numbers.
    return jax.random.key(int(random.integers(2**31)), impl="unsafe_rbg")


def _luck(old: np.ndarray, new: np.ndarray, seen: np.ndarray) -> tuple[float, float]:
    """What to add to values of the new draw to compare them with old means, and the deviation of what noise is left.

    The parent that was measured most often is the reference: it keeps its mean, and all are compared with it on one
    draw.
    """
    known = np.isfinite(old) & np.isfinite(new)
    reference = int(np.argmax(np.where(known, seen, 0)))
    if not known[reference] or seen[reference] == 0:
        return 0.0, 0.0
    shift = float(old[reference] - new[reference])
    others = known & (seen > 0) & (np.arange(len(old)) != reference)
    left = (new + shift - old)[others] ** 2 / (1 + 1 / seen[others])
    return shift, float(np.sqrt(left.mean())) if left.size else 0.0


def _mean(old: np.ndarray, new: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The mean of `seen` old values and a new one."""
    return (np.where(seen > 0, old, 0.0) * seen + new) / (seen + 1)
