"""Evaluates members of the domain on the true objective, counts, and survives what goes wrong."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from descend import numerics
from descend.engine.limits import OutOfTimeError
from descend.engine.user_code import user_traceback
from descend.engine.workers import Host, Outcome, Workers
from descend.problem import Evaluation, Problem
from descend.solvers import Values
from descend.solvers.segments import rows_per_call

ROWS = 32  # evaluations in one compiled call, at most
FEW = 4  # evaluations that are made one by one, so that the larger program need not be compiled
NUMBERS = 1 << 22  # of which the points of one call may consist


class Scores(NamedTuple):
    """Values of m points on k draws; NaN marks a failed draw. A point fails when more than half of its draws do.

    Attributes:
        losses: shape (m, k).
        violation: of the constraints' means over the draws, shape (m,); NaN for a failed point.
        careful: the violation when every mean is moved by its standard error: away from the allowed interval, or for an
            equality towards it, shape (m,). The same as `violation` for constraints that are not random.
        slack: two standard errors of the means that are violated, in units of their scales, shape (m,).
        tolerance: up to which a point is feasible.
    """

    losses: np.ndarray
    violation: np.ndarray
    careful: np.ndarray
    slack: np.ndarray
    tolerance: float

    @property
    def mean(self) -> Values:
        """Means over the draws."""
        failed = np.isnan(self.violation)
        counts = np.maximum(np.sum(~np.isnan(self.losses), axis=1), 1)
        loss = np.where(failed, np.nan, np.nansum(self.losses, axis=1) / counts)
        return Values(loss, self.careful, self.tolerance)


class Evaluator:
    """Evaluations of one problem.

    Args:
        problem: what to evaluate.
        noisy: whether values change from draw to draw, or from call to call (default: whether the problem says so).
        tolerance: up to which a violation counts as none.
        workers: evaluate a black box elsewhere.

    Attributes:
        units: evaluations so far.
        failures: how many of them raised or were not finite.
        error: the traceback of the first one that raised, in the user's own lines.
        fallen: the first point at which the objective was infinitely good, or None.
        check: called between evaluations; may raise `OutOfTimeError`.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        noisy: bool | None = None,
        tolerance: float = 1e-6,
        workers: Workers | None = None,
    ):
        self.problem, self.workers, self.tolerance = problem, workers, tolerance
        self.noisy = problem.random if noisy is None else noisy
        self.units = 0
        self.failures = 0
        self.error = ""
        self.fallen: Any = None
        self.check: Callable[[], None] = lambda: None
        self._first: jax.Array | None = None
        self._unpacked: tuple[Any, np.ndarray, str] = (None, np.zeros(0), "")  # keys, their numbers, their kind
        self._together = True  # whether several evaluations can be compiled into one call

    def many(self, points: Any, keys: jax.Array) -> Scores:
        """The scores of points stacked on a leading axis, each on the same draws.

        `keys` has shape (k,). A problem without noise uses the first alone.

        Raises:
            OutOfTimeError: from `check`, with the best of the points that were evaluated.
        """
        keys = keys if self.noisy or len(keys) == 1 else keys[:1]
        count, draws = len(jax.tree.leaves(points)[0]), len(keys)
        losses = np.full((count, draws), np.nan)
        rest = np.full((3, count), np.nan)  # violation, careful, slack
        begun: dict[int, dict[int, Evaluation | None]] = {}
        errors: dict[int, str] = {}
        scores = Scores(losses, rest[0], rest[1], rest[2], self.tolerance)
        try:
            for row, outcome in (self._on_host if self.problem.black_box else self._compiled)(points, keys):
                self.units += 1
                point, index = divmod(row, draws)
                loss = np.nan if outcome.evaluation is None else float(outcome.evaluation.loss)
                if outcome.error:
                    errors[row] = outcome.error
                if loss == -np.inf and self.fallen is None:
                    self.fallen = jax.tree.map(lambda a, i=point: np.array(a[i]), points)
                losses[point, index] = loss if np.isfinite(loss) else np.nan
                self.failures += not np.isfinite(loss)
                begun.setdefault(point, {})[index] = outcome.evaluation if np.isfinite(loss) else None
                if len(begun[point]) == draws:
                    seen = begun.pop(point)
                    rest[:, point] = self._violation([seen[i] for i in range(draws)])
        except OutOfTimeError as stop:
            if not self.noisy and np.isfinite(scores.violation).any():
                winner = int(np.argmin(scores.mean.rank))
                stop.best = jax.tree.map(lambda a: np.array(a[winner]), points)
            raise
        finally:
            if errors and not self.error:
                self.error = errors[min(errors)]
        return scores

    def one(self, x: Any, key: jax.Array) -> tuple[float, float]:
        """Loss and violation of one member on one draw."""
        self._first = key[None] if self.noisy or self._first is None else self._first  # without noise any key will do
        scores = self.many(jax.tree.map(lambda a: np.asarray(a)[None], x), self._first)
        return float(scores.losses[0, 0]), float(scores.violation[0])

    def _violation(self, seen: list[Evaluation | None]) -> tuple[float, float, float]:
        """Violation, careful violation and slack of a point from its draws; NaN if it failed."""
        known = [evaluation for evaluation in seen if evaluation is not None]
        if 2 * len(known) < len(seen) or not known:
            return np.nan, np.nan, np.nan
        columns = [np.stack(values) for values in zip(*[e.constraints for e in known], strict=True)]
        means = [column.mean(axis=0) for column in columns]
        violation = careful = float(self.problem.violation(tuple(means)))
        slack = 0.0
        if len(known) > 1:
            for constraint, column, mean in zip(self.problem.subject_to, columns, means, strict=True):
                error = column.std(axis=0, ddof=1) / np.sqrt(len(known))
                here = abs(constraint.residual(mean))
                around = [abs(constraint.residual(mean + error)), abs(constraint.residual(mean - error))]
                fixed = np.broadcast_to(constraint.lower == constraint.upper, here.shape)
                moved = np.where(fixed, np.maximum(here - error / constraint.scale, 0.0), np.maximum(*around))
                careful = max(careful if not fixed.any() else 0.0, float(np.max(moved, initial=0.0)))
                slack = max(slack, float(np.max(np.where(here > 0, 2 * error / constraint.scale, 0.0), initial=0.0)))
        return violation, careful, slack

    def _on_host(self, points: Any, keys: jax.Array) -> Iterator[tuple[int, Outcome]]:
        """Calls the black box; outcomes may come in any order."""
        count = len(jax.tree.leaves(points)[0])
        members = [jax.tree.map(lambda a, i=i: np.array(a[i], np.float64), points) for i in range(count)]
        seeds = [numerics.seed(key) for key in keys]
        tasks = [(member, seed) for member in members for seed in seeds]
        if self.workers is not None:
            yield from self.workers.map(tasks, self.check)
            return
        host = Host(self.problem)
        for row, task in enumerate(tasks):
            self.check()
            yield row, host.attempt(task)

    def _compiled(self, points: Any, keys: jax.Array) -> Iterator[tuple[int, Outcome]]:
        """Runs compiled programs, each on a block of rows: every point on every draw."""
        if self._unpacked[0] is not keys:  # without noise they stay the same
            self._unpacked = keys, np.asarray(jax.random.key_data(keys)), str(jax.random.key_impl(keys))
        _, data, kind = self._unpacked
        count = len(jax.tree.leaves(points)[0])
        rows = count * len(keys)
        width = min(ROWS, max(1, NUMBERS // max(1, self.problem.domain.size)))
        width = 1 if rows <= FEW else rows_per_call(self.problem, width)
        start = 0
        while start < rows:
            self.check()
            width = width if self._together else 1
            chosen = np.minimum(np.arange(start, start + width), rows - 1)
            point, index = np.divmod(chosen, len(keys))
            block = jax.tree.map(lambda a, point=point: np.asarray(a)[point], points)
            program = self._program(width, kind)
            try:
                found = jax.tree.map(np.asarray, program(block, data[index], self.problem.inputs))
            except Exception as error:  # whatever user code raises on the host, or cannot do side by side
                if width > 1:
                    self._together = False
                    continue
                yield start, Outcome(None, user_traceback(error))
                start += 1
                continue
            for row in range(start, min(start + width, rows)):
                values = jax.tree.map(lambda a, i=row - start: np.asarray(a[i], np.float64), found)
                yield row, Outcome(values)
            start += width

    def _program(self, width: int, kind: str) -> Callable[..., Any]:
        def one(row: tuple[Any, Any], inputs: Any) -> Evaluation:
            x, data = row
            return self.problem.bind(inputs).evaluate(x, key=jax.random.wrap_key_data(data, impl=kind))

        def block(points: Any, data: Any, inputs: Any) -> Evaluation:
            if width == 1:
                first = jax.tree.map(lambda a: a[0], (points, data))
                return jax.tree.map(lambda a: a[None], one(first, inputs))
            return jax.lax.map(lambda row: one(row, inputs), (points, data), batch_size=8)

        return self.problem.compiled(("evaluate", width, kind), lambda: jax.jit(block))
