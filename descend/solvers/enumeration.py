"""Evaluate every member of a small domain: the answer is proved optimal."""

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from descend.problem import Problem
from descend.solvers.solver import AskTell, Needs, Values


class EnumerationState(NamedTuple):
    """How many members were asked for."""

    asked: np.ndarray


@dataclass(frozen=True, repr=False)
class Enumeration(AskTell):
    """Ask for the members in order, `batch` at a time."""

    batch: int = 256
    NEEDS: ClassVar[Needs] = Needs(deterministic=True, finite=True)

    def init(self, problem: Problem, start: Any, key: jax.Array) -> EnumerationState:
        return EnumerationState(np.zeros((), np.int64))

    def ask(self, problem: Problem, state: EnumerationState) -> Any:
        asked = int(state.asked)
        block = list(itertools.islice(problem.domain.members(), asked, asked + self.batch))
        return jax.tree.map(lambda *members: np.stack(members), *block)

    def tell(self, problem: Problem, state: EnumerationState, points: Any, values: Values) -> EnumerationState:
        return EnumerationState(state.asked + len(values.loss))

    def done(self, problem: Problem, state: EnumerationState) -> str:
        return "every member was evaluated" if int(state.asked) >= problem.domain.cardinality else ""
