"""How often chance constraints hold at the answer, on fresh draws."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import beta

from descend import calls
from descend.problem import Problem

FRESH, ON_HOST = 20_000, 1000  # draws, of traceable functions and of black boxes
BLOCK = 1000
LEVEL = 0.95  # of the interval


class Held(NamedTuple):
    """How often a constraint held, with Clopper and Pearson's interval.

    Attributes:
        name: of the constraint.
        asked: its probability.
        found: the share of draws in which it held.
        low, high: ends of the interval.
    """

    name: str
    asked: float
    found: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"{self.name} holds with probability {self.found:.4f} "
            f"({self.low:.4f} to {self.high:.4f} at {LEVEL:.0%}; {self.asked:g} asked for)"
        )


def held(problem: Problem, x: Any, key: jax.Array) -> list[Held]:
    """Each chance constraint on fresh draws; a draw that fails counts as one in which it does not hold."""
    found = []
    for index, constraint in enumerate(problem.subject_to):
        chance = constraint.chance
        if chance is None:
            continue
        count = ON_HOST if problem.black_box else FRESH
        keys = jax.random.split(jax.random.fold_in(key, index), count)
        offered = {"batch": problem.data, "given": problem.given}
        named = {name: offered[name] for name in calls.keywords(chance.function) if name in offered}
        if problem.black_box:
            residuals = chance.residuals(jax.tree.map(lambda a: np.asarray(a, np.float64), x), keys, **named)
        else:
            point = jax.tree.map(lambda a: jnp.asarray(a, jnp.result_type(float)), x)
            program = jax.jit(lambda x, keys, chance=chance, named=named: chance.residuals(x, keys, **named))
            residuals = np.concatenate(
                [np.asarray(program(point, keys[i : i + BLOCK])) for i in range(0, count, BLOCK)]
            )
        good = int(np.sum(residuals <= 0))
        low = float(beta.ppf((1 - LEVEL) / 2, good, count - good + 1)) if good else 0.0
        high = float(beta.ppf((1 + LEVEL) / 2, good + 1, count - good)) if good < count else 1.0
        found.append(Held(constraint.name, chance.probability, good / count, low, high))
    return found
