"""CMA-ES through pycma: values only, for continuous variables up to some hundreds."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from descend import numerics
from descend.problem import Problem
from descend.solvers.solver import AskTell, Needs, Values

FOLLOWS = 1 / 3  # of a generation that must be within the level before it is lowered
LOWER = 0.8  # by which it is lowered


class CMAState(NamedTuple):
    """What the strategy was told since its last restart, from which it is rebuilt.

    pycma's own state is no tree of arrays.
    """

    origin: np.ndarray  # where the restart began, in units of the scale
    seed: np.ndarray
    restarts: np.ndarray
    told: np.ndarray  # fitness, a row for each generation
    level: np.ndarray  # the violation up to which points are ranked by their loss
    finished: np.ndarray


@dataclass(frozen=True, repr=False)
class CMA(AskTell):
    """Covariance matrix adaptation evolution strategy, restarted with doubled populations (IPOP).

    Works in units of the domain's scale, on the convex hull: points are projected and rounded, and charged for the
    distance. Points are ranked by loss up to a level of violation, by violation above it; the level starts at the
    median of the first generation and falls to the tolerance while the generations follow, so that equalities are
    approached with the loss in sight.

    Args:
        sigma: the first step, in units of the scale.
        population: points in a generation; 0 chooses 4 + 3 log n.
        restarts: how often to start again after convergence.

    Source: Hansen & Ostermeier (2001); restarts: Auger & Hansen (2005); the level: Takahama & Sakai (2006).
    """

    sigma: float = 0.3
    population: int = 0
    restarts: int = 2
    _live: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    NEEDS: ClassVar[Needs] = Needs(continuous=True)

    def init(self, problem: Problem, start: Any, key: jax.Array) -> CMAState:
        origin = np.asarray(problem.domain.ravel(start), np.float64) / problem.domain.scale
        size = self.population or 4 + int(3 * np.log(max(origin.size, 1)))
        none = np.zeros((), np.int64)
        seed = np.asarray(numerics.seed(key)[-1], np.int64)
        return CMAState(origin, seed, none, np.zeros((0, size)), np.asarray(np.inf), none)

    def ask(self, problem: Problem, state: CMAState) -> Any:
        _, asked = self._strategy(state)
        return self._members(problem, asked)

    def tell(self, problem: Problem, state: CMAState, points: Any, values: Values) -> CMAState:
        strategy, asked = self._strategy(state)
        vectors = [problem.domain.ravel(jax.tree.map(lambda a, i=i: a[i], points)) for i in range(len(asked))]
        moved = np.sum((np.stack(vectors) / problem.domain.scale - asked) ** 2, axis=1)
        level = _level(float(state.level), values)
        fitness = _fitness(values, moved, level)
        strategy.tell(list(asked), list(fitness))
        told = state._replace(told=np.concatenate([state.told, fitness[None]]), level=np.asarray(level))
        stop = bool(strategy.stop())
        self._live.update(told=told.told, strategy=strategy, asked=np.stack(strategy.ask()))
        if not stop:
            return told
        if int(state.restarts) >= self.restarts:
            return told._replace(finished=state.finished + 1)
        start = problem.domain.sample(jax.random.fold_in(jax.random.key(int(state.seed)), int(state.restarts)))
        origin = np.asarray(problem.domain.ravel(start), np.float64) / problem.domain.scale
        again = told._replace(origin=origin, restarts=state.restarts + 1, told=np.zeros((0, 2 * len(asked))))
        return again._replace(level=np.asarray(np.inf))

    def done(self, problem: Problem, state: CMAState) -> str:
        return "converged after every restart" if int(state.finished) else ""

    def favorite(self, problem: Problem, state: CMAState) -> Any:
        """The mean of the distribution, which averages over what chance preferred."""
        strategy, _ = self._strategy(state)
        return problem.domain.round(problem.domain.unravel(strategy.mean * problem.domain.scale))

    def signals(self, problem: Problem, state: CMAState) -> dict[str, float]:
        strategy = self._live.get("strategy")
        return {} if strategy is None else {"step": float(strategy.sigma)}

    def _strategy(self, state: CMAState) -> tuple[Any, np.ndarray]:
        """The strategy in that state and the points it asks for: the live pair, or one told again what it was told."""
        if self._live.get("told") is not state.told:
            strategy = self._start(state)
            for fitness in state.told:
                strategy.tell(strategy.ask(), list(fitness))
            self._live.update(told=state.told, strategy=strategy, asked=np.stack(strategy.ask()))
        return self._live["strategy"], self._live["asked"]

    def _start(self, state: CMAState) -> Any:
        import cma  # half a second that only this solver's users should wait for

        rng = np.random.default_rng([int(state.seed), int(state.restarts)])
        options = {
            "popsize": state.told.shape[1],
            "randn": lambda *shape: rng.standard_normal(shape),
            "seed": np.nan,  # leaves numpy's global generator alone
            "verbose": -9,
        }
        return cma.CMAEvolutionStrategy(state.origin, self.sigma, options)

    def _members(self, problem: Problem, asked: np.ndarray) -> Any:
        domain = problem.domain
        members = [domain.round(domain.unravel(vector * domain.scale)) for vector in asked]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *members)


def _level(before: float, values: Values) -> float:
    """The next level: at first the median violation, then lower, while enough points are within it."""
    violation = values.violation[~values.failed]
    if not violation.size or not np.isfinite(violation).any():
        return before
    if np.isinf(before):
        return max(float(np.median(violation)), values.tolerance)
    follows = np.mean(violation <= before) >= FOLLOWS
    return max(LOWER * before, values.tolerance) if follows else before


def _fitness(values: Values, moved: np.ndarray, level: float) -> np.ndarray:
    """What the strategy minimizes: the loss up to the level; above all of these, violations; above all, failures.

    `moved` is the squared distance that projection moved a point; it is charged relative to the spread of the losses.
    """
    within = ~values.failed & (values.violation <= level)
    worst = np.max(values.loss, where=within, initial=-np.inf)
    offset = worst if np.isfinite(worst) else 0.0
    fitness = np.where(within, values.loss, offset + values.violation)
    known = fitness[~values.failed]
    spread = np.ptp(known) if known.size else 1.0
    top = np.max(known, initial=offset) + spread + 1.0
    return np.where(values.failed, top, fitness + (spread or 1.0) * moved)
