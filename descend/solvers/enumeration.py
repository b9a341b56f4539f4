"""Evaluate every member of a small domain: the answer is proved optimal."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from descend import numerics
from descend.problem import Problem
from descend.solvers.solver import AskTell, Needs, Values


class EnumerationState(NamedTuple):
    """In which order the members are asked for, by a seed, and how many were."""

    seed: np.ndarray
    asked: np.ndarray


@dataclass(frozen=True, repr=False)
class Enumeration(AskTell):
    """Ask for the members in random order, `batch` at a time: ended early, it was a random search."""

    batch: int = 256
    NEEDS: ClassVar[Needs] = Needs(deterministic=True, finite=True)

    def init(self, problem: Problem, start: Any, key: jax.Array) -> EnumerationState:
        return EnumerationState(numerics.seed(key), np.zeros((), np.int64))

    def ask(self, problem: Problem, state: EnumerationState) -> Any:
        members = problem.compiled("members", lambda: _stack(list(problem.domain.members())))
        order = np.random.default_rng(state.seed).permutation(problem.domain.cardinality or 0)
        block = order[int(state.asked) : int(state.asked) + self.batch]
        return jax.tree.map(lambda all_of_them: all_of_them[block], members)

    def tell(self, problem: Problem, state: EnumerationState, points: Any, values: Values) -> EnumerationState:
        return state._replace(asked=state.asked + len(values.loss))

    def done(self, problem: Problem, state: EnumerationState) -> str:
        return "every member was evaluated" if int(state.asked) >= (problem.domain.cardinality or 0) else ""


def _stack(members: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *members)
