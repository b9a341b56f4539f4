"""CMA-ES through pycma: values only, for continuous variables up to some hundreds."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from descend import numerics
from descend.problem import Problem
from descend.solvers.solver import FEASIBLE, AskTell, Needs, Values


class CMAState(NamedTuple):
    """What the strategy was told since its last restart, from which it is rebuilt: pycma's own state is no tree of arrays."""

    origin: np.ndarray  # where the restart began, in units of the scale
    seed: np.ndarray
    restarts: np.ndarray
    told: np.ndarray  # fitness, a row for each generation
    finished: np.ndarray


@dataclass(frozen=True, repr=False)
class CMA(AskTell):
    """Covariance matrix adaptation evolution strategy, restarted with doubled populations (IPOP).

    Works in units of the domain's scale, on the convex hull: points are projected and rounded, and ranked by feasibility
    first, with the distance to the hull breaking ties.

    Args:
        sigma: the first step, in units of the scale.
        population: points in a generation; 0 chooses 4 + 3 log n.
        restarts: how often to start again after convergence.

    Source: Hansen & Ostermeier (2001); restarts: Auger & Hansen (2005).
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
        return CMAState(origin, np.asarray(numerics.seed(key)[-1], np.int64), none, np.zeros((0, size)), none)

    def ask(self, problem: Problem, state: CMAState) -> Any:
        _, asked = self._strategy(state)
        return self._members(problem, asked)

    def tell(self, problem: Problem, state: CMAState, points: Any, values: Values) -> CMAState:
        strategy, asked = self._strategy(state)
        vectors = [problem.domain.ravel(jax.tree.map(lambda a, i=i: a[i], points)) for i in range(len(asked))]
        moved = np.sum((np.stack(vectors) / problem.domain.scale - asked) ** 2, axis=1)
        fitness = _fitness(values, moved)
        strategy.tell(list(asked), list(fitness))
        told = state._replace(told=np.concatenate([state.told, fitness[None]]))
        self._live.update(told=told.told, strategy=strategy, asked=np.stack(strategy.ask()))
        if not strategy.stop():
            return told
        if int(state.restarts) >= self.restarts:
            return told._replace(finished=state.finished + 1)
        start = problem.domain.sample(jax.random.key(int(state.seed) + int(state.restarts) + 1))
        origin = np.asarray(problem.domain.ravel(start), np.float64) / problem.domain.scale
        return told._replace(origin=origin, restarts=state.restarts + 1, told=np.zeros((0, 2 * len(asked))))

    def done(self, problem: Problem, state: CMAState) -> str:
        return "converged after every restart" if int(state.finished) else ""

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


def _fitness(values: Values, moved: np.ndarray) -> np.ndarray:
    """What the strategy minimizes: the loss of feasible points; above all of these, violations; above all, failures.

    `moved` is the squared distance that projection moved a point; it is charged relative to the spread of the losses.
    """
    failed = np.isnan(values.loss) | np.isnan(values.violation)
    feasible = ~failed & (values.violation <= FEASIBLE)
    worst = np.max(values.loss, where=feasible, initial=-np.inf)
    offset = worst if np.isfinite(worst) else 0.0
    fitness = np.where(feasible, values.loss, offset + values.violation)
    known = fitness[~failed]
    spread = np.ptp(known) if known.size else 1.0
    top = np.max(known, initial=offset) + spread + 1.0
    return np.where(failed, top, fitness + (spread or 1.0) * moved)
