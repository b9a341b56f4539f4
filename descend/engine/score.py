"""What the answer and the baselines are worth: values on fresh draws, the judge, the metrics."""

import time
from typing import Any, NamedTuple

import jax
import numpy as np

from descend.engine.draws import draw
from descend.engine.incumbent import DRAWS as COMPARED
from descend.engine.run import Run
from descend.solution import Row, Solution

DRAWS = 128  # of a random objective, for the value that is reported
ON_HOST, COMPILED = 8, 32  # of them at a time, between which the time is looked at


class Measured(NamedTuple):
    """A point on fresh draws.

    Attributes:
        row: as it is reported.
        samples: draws that gave a value.
        failed: draws that did not.
        slack: two standard errors of the random constraints that are violated, scaled.
    """

    row: Row
    samples: int
    failed: int
    slack: float


def score(run: Run, solution: Solution, until: float) -> float:
    """Fill in the value and the rows of a solution that has an x.

    Args:
        run: that ended.
        solution: to be filled in.
        until: `time.monotonic()` after which no evaluation is begun.

    Returns:
        The violation up to which the answer counts as feasible: random constraints are known up to an error only.
    """
    problem, best, evaluator = run.plan.problem, run.finds.best, run.evaluator
    error = np.nan if evaluator.noisy else 0.0
    # What is known without any further evaluation; under noise from the last comparison, whose error is not known.
    answer = Measured(
        Row("answer", problem.sign * best.loss, error, best.violation), COMPARED if evaluator.noisy else 1, 0, 0.0
    )
    late = []
    if evaluator.noisy:
        fresh = _measure(run, "answer", best.x, until)
        answer = fresh or answer
        late += ["the answer"] * (fresh is None)
    rows = [answer.row]
    for name, x in problem.baselines.items():
        found = _measure(run, name, x, until)
        if found is None:
            late.append(name)
        else:
            rows.append(found.row)
    for row, x in zip(rows, [best.x, *(problem.baselines[row.name] for row in rows[1:])], strict=True):
        row.judge = None if problem.judge is None else _attempt(problem.judge, x)
        row.metrics = {label: _attempt(metric, x) for label, metric in problem.metrics.items()}
    solution.rows, solution.samples = rows, answer.samples
    solution.value, solution.value_se, solution.violation = answer.row.value, answer.row.value_se, answer.row.violation
    if answer.failed:
        solution.message += f"; {answer.failed} of {answer.failed + answer.samples} draws failed at the answer"
    if late:
        solution.message += f"; no time was left to evaluate {', '.join(late)} on fresh draws"
    return max(evaluator.tolerance, answer.slack)


def _measure(run: Run, name: str, x: Any, until: float) -> Measured | None:
    """A point on as many of the same fresh draws as there is time for; None if there is time for none."""
    evaluator, problem = run.evaluator, run.plan.problem
    keys = jax.random.split(draw(run.key, "final"), DRAWS if evaluator.noisy else 1)
    size = ON_HOST if problem.black_box else COMPILED
    points = jax.tree.map(lambda leaf: np.asarray(leaf)[None], x)
    losses, means, slacks, weights = np.zeros(0), [], [], []
    for some in (keys[i : i + size] for i in range(0, len(keys), size)):
        if time.monotonic() + run.pace.evaluations(len(some)) > until:
            break
        scores = evaluator.many(points, some)
        losses = np.append(losses, scores.losses[0])
        means.append(scores.violation[0])
        slacks.append(scores.slack[0])
        weights.append(len(some))
    if not weights:
        return None
    known = losses[np.isfinite(losses)]
    value, error = (float(np.mean(known)), 0.0) if len(known) else (np.nan, np.nan)
    if len(known) > 1:
        error = float(np.std(known, ddof=1) / np.sqrt(len(known)))
    violation, slack = float(np.average(means, weights=weights)), float(np.mean(slacks) / np.sqrt(len(slacks)))
    violation, slack = (violation, slack) if np.isfinite(violation) else (np.inf, 0.0)
    row = Row(name, problem.sign * value, error, violation)
    return Measured(row, len(known), len(losses) - len(known), slack)


def _attempt(function: Any, x: Any) -> float:
    """A judge's or metric's number; NaN where it raises."""
    try:
        return float(function(x))
    except Exception:  # a score that cannot be had is no reason to lose the answer
        return np.nan
