"""Evaluates members of the domain on the true objective, counts, and survives what goes wrong."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.engine.workers import Host, Workers
from descend.problem import Problem
from descend.solvers import Values


class Scores(NamedTuple):
    """Values of m points on k draws; NaN marks a failure.

    Attributes:
        losses: shape (m, k).
        violation: of the constraints' means over the draws, shape (m,).
    """

    losses: np.ndarray
    violation: np.ndarray

    @property
    def mean(self) -> Values:
        """Means over the draws."""
        return Values(self.losses.mean(axis=1), self.violation)


class Evaluator:
    """Evaluations of one problem.

    Attributes:
        units: evaluations so far.
        failures: how many of them raised or were not finite.
        error: the traceback of the first one that raised, in the user's own lines.
    """

    def __init__(self, problem: Problem, workers: Workers | None = None):
        self.problem = problem
        self.workers = workers
        self.units = 0
        self.failures = 0
        self.error = ""

    def many(self, points: Any, keys: jax.Array) -> Scores:
        """The scores of points stacked on a leading axis, each on the same draws.

        `keys` has shape (k,). A deterministic problem uses the first alone.
        """
        keys = keys if self.problem.random else keys[:1]
        count = len(jax.tree.leaves(points)[0])
        self.units += count * len(keys)
        losses, violation = (self._on_host if self.problem.black_box else self._compiled)(points, count, keys)
        bad = np.isnan(losses).any(axis=1) | (losses == np.inf).any(axis=1) | np.isnan(violation)
        self.failures += int(bad.sum())
        losses = np.where(bad[:, None], np.nan, losses)
        return Scores(losses, np.where(bad, np.nan, violation))

    def _compiled(self, points: Any, count: int, keys: jax.Array) -> tuple[np.ndarray, np.ndarray]:
        def build() -> Callable[..., Any]:
            def one(x: Any, keys: jax.Array, inputs: Any) -> tuple[Any, Any]:
                problem = self.problem.bind(inputs)
                evaluations = jax.vmap(lambda key: problem.evaluate(x, key=key))(keys)
                constraints = jax.tree.map(lambda value: value.mean(0), evaluations.constraints)
                return evaluations.loss, jnp.asarray(problem.violation(constraints), evaluations.loss.dtype)

            def all_points(points: Any, keys: jax.Array, inputs: Any) -> tuple[Any, Any]:
                # Batches bound the memory that a heavy objective takes.
                return jax.lax.map(lambda x: one(x, keys, inputs), points, batch_size=16)

            return jax.jit(all_points)

        program = self.problem.compiled("evaluate many", build)
        losses, violation = program(points, keys, self.problem.inputs)
        return np.asarray(losses, np.float64), np.asarray(violation, np.float64)

    def _on_host(self, points: Any, count: int, keys: jax.Array) -> tuple[np.ndarray, np.ndarray]:
        members = [jax.tree.map(lambda a, i=i: np.asarray(a[i], np.float64), points) for i in range(count)]
        seeds = [numerics.seed(key) for key in keys]
        tasks = [(member, seed) for member in members for seed in seeds]
        host = Host(self.problem)
        outcomes = map(host.attempt, tasks) if self.workers is None else self.workers.map(tasks)
        losses, violation = np.full((count, len(seeds)), np.nan), np.full(count, np.nan)
        found = []
        for outcome in outcomes:
            if outcome.error and not self.error:
                self.error = outcome.error
            found.append(outcome.evaluation)
        for i in range(count):
            evaluations = found[i * len(seeds) : (i + 1) * len(seeds)]
            if all(evaluation is not None for evaluation in evaluations):
                losses[i] = [float(evaluation.loss) for evaluation in evaluations]
                means = [np.mean(values, axis=0) for values in zip(*[e.constraints for e in evaluations], strict=True)]
                violation[i] = self.problem.violation(tuple(means))
        return losses, violation
