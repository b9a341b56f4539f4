"""The augmented Lagrangian: constraints for any solver that has none."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.problem import Evaluation, Problem
from descend.solvers.quasi_newton import QuasiNewton
from descend.solvers.solver import Needs, Progress, Solver

DRAWS = 32  # over which random constraints are averaged when the multipliers are updated
EXHAUSTED = "too many multiplier updates"


class Multipliers(NamedTuple):
    """The parameters of the merit function: the penalty, and each constraint's multipliers in units of its scale."""

    values: tuple[Any, ...]
    penalty: Any


class AugmentedState(NamedTuple):
    """The inner solver's state and the outer iteration's."""

    inner: Any
    key: jax.Array
    multipliers: Multipliers
    violation: np.ndarray  # at the last update of the multipliers
    updates: np.ndarray
    settled: np.ndarray  # updates in a row at which violation, multipliers and loss stood still
    loss: np.ndarray  # at the last update


@dataclass(frozen=True, repr=False)
class AugmentedLagrangian(Solver):
    """Minimize loss + sum of (penalty/2) dist(c + multiplier/penalty, [lower, upper])^2, then update the multipliers.

    The multipliers are updated when the inner solver is done, at the latest after `patience` steps; the penalty grows
    tenfold, or twofold before it is done, when the violation has not fallen to a quarter. It is done when the violation
    is within tolerance and multipliers and loss stand still, or after `most` updates.

    Args:
        inner: a solver for problems without constraints.
        penalty: the first one.
        patience: steps of the inner solver between updates.
        most: updates.

    Source: Hestenes (1969), Powell (1969); the two-sided form after Rockafellar (1974).
    """

    inner: Any
    penalty: float = 10.0
    patience: int = 1000
    most: int = 60

    @classmethod
    def example(cls) -> "AugmentedLagrangian":
        return cls(QuasiNewton())

    @property
    def NEEDS(self) -> Needs:  # noqa: N802 (a class variable of the other solvers)
        return self.inner.NEEDS._replace(unconstrained=False)

    def init(self, problem: Problem, start: Any, key: jax.Array) -> AugmentedState:
        dtype = jnp.result_type(float)
        shapes = jax.eval_shape(lambda x: problem.via(None).evaluate(x).constraints, problem.domain.start())
        zeros = tuple(
            np.zeros(np.broadcast_shapes(c.lower.shape, c.upper.shape, c.scale.shape, shape.shape), dtype)
            for c, shape in zip(problem.subject_to, shapes, strict=True)
        )
        multipliers = Multipliers(zeros, np.asarray(self.penalty, dtype))
        ours, theirs = jax.random.split(key)
        inner = self.inner.init(self._merit(problem, multipliers), start, theirs)
        count = np.zeros((), np.int64)
        infinite = np.asarray(np.inf)
        return AugmentedState(inner, ours, multipliers, infinite, count, count, infinite)

    def step(self, problem: Problem, state: AugmentedState) -> tuple[AugmentedState, Progress]:
        merit = self._merit(problem, state.multipliers)
        inner, progress = self.inner.step(merit, state.inner)
        state = state._replace(inner=inner)
        reason = ""
        units = progress.units
        if progress.done or int(inner.steps) >= self.patience:
            state, reason = self._update(problem, merit, state, progress)
            units += DRAWS if problem.random else 1
        signals = {**progress.signals, "penalty": float(state.multipliers.penalty)}
        stalled = reason == EXHAUSTED
        return state, Progress(progress.x, progress.loss, units, bool(reason), reason, stalled, signals)

    def _update(
        self, problem: Problem, merit: Problem, state: AugmentedState, progress: Progress
    ) -> tuple[AugmentedState, str]:
        """The next multipliers, and why to stop if there is a reason."""
        program = problem.compiled("multipliers", lambda: jax.jit(lambda *a: _next(problem, *a)))
        draws = jax.random.split(jax.random.fold_in(state.key, int(state.updates)), DRAWS if problem.random else 1)
        values, violation = program(progress.x, state.multipliers, draws, problem.inputs)
        values, violation = tuple(np.asarray(v) for v in values), float(violation)
        size = 1 + max((np.max(np.abs(v), initial=0.0) for v in values), default=0.0)
        moves = (np.max(np.abs(a - b), initial=0.0) for a, b in zip(values, state.multipliers.values, strict=True))
        change = max(moves, default=0.0) / size
        stuck = not violation <= 0.25 * float(state.violation)
        tolerance = 1e-9 if jnp.result_type(float) == jnp.float64 else 1e-5
        feasible = violation <= tolerance
        penalty = state.multipliers.penalty
        # What an unfinished inner solver leaves of the violation may be its own noise, which no penalty cures.
        enough = tolerance if progress.done else numerics.tolerance(penalty.dtype)
        if stuck and not violation <= enough and float(penalty) < (1e9 if tolerance < 1e-8 else 1e5):
            penalty = penalty * np.asarray(10.0 if progress.done else 2.0, penalty.dtype)
        multipliers = Multipliers(values, penalty) if np.isfinite(violation) else state.multipliers
        rests = progress.done or abs(progress.loss - float(state.loss)) <= tolerance * (1 + abs(progress.loss))
        settled = state.settled + 1 if rests and feasible and change <= np.sqrt(tolerance) else 0 * state.settled
        moved = change > 0 or penalty != state.multipliers.penalty
        inner = self.inner.restart(merit.updated(multipliers), state.inner) if moved else state.inner
        state = AugmentedState(
            inner,
            state.key,
            multipliers,
            violation=np.asarray(violation),
            updates=state.updates + 1,
            settled=np.asarray(settled),
            loss=np.asarray(progress.loss),
        )
        if settled >= 2:
            return state, "feasible, and the multipliers stand still"
        return state, EXHAUSTED if state.updates >= self.most else ""

    def _merit(self, problem: Problem, multipliers: Multipliers) -> Problem:
        merit = problem.compiled(
            ("merit", self), lambda: problem.restated(lambda e, m: _merit(problem, e, m), multipliers)
        )
        return merit.bind(problem.inputs._replace(parameters=multipliers))


def _distances(problem: Problem, evaluation: Evaluation, multipliers: Multipliers) -> list[Any]:
    """For each constraint, how far its value plus multiplier / penalty is from the bounds, in units of its scale."""
    distances = []
    for constraint, value, multiplier in zip(
        problem.subject_to, evaluation.constraints, multipliers.values, strict=True
    ):
        shift = jnp.asarray(constraint.scale, value.dtype) * multiplier / multipliers.penalty
        distances.append(constraint.residual(value + shift))
    return distances


def _merit(problem: Problem, evaluation: Evaluation, multipliers: Multipliers) -> Evaluation:
    penalty = multipliers.penalty
    excess = sum(jnp.sum(distance**2) for distance in _distances(problem, evaluation, multipliers))
    return Evaluation(
        evaluation.loss + penalty / 2 * excess, (), tuple(each + penalty / 2 * excess for each in evaluation.objectives)
    )


def _next(problem: Problem, x: Any, multipliers: Multipliers, keys: jax.Array, inputs: Any) -> tuple[Any, Any]:
    """The next multipliers, and the violation of the mean over the draws, at x."""
    bound = problem.bind(inputs)
    evaluation = jax.tree.map(lambda v: v.mean(0), jax.lax.map(lambda key: bound.evaluate(x, key=key), keys))
    new = tuple(multipliers.penalty * distance for distance in _distances(problem, evaluation, multipliers))
    return new, problem.violation(evaluation.constraints)
