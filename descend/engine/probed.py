"""A black box as the inspection sees it: evaluated by the workers, and not for longer than it may take."""

import time
from typing import Any

from descend import numerics
from descend.engine.workers import Workers
from descend.problem import Evaluation, Problem


class RefusedError(RuntimeError):
    """An evaluation that is not made, or that failed elsewhere."""


class Probed(Problem):
    """A problem with another way to evaluate it."""

    until: float
    workers: Workers | None

    def evaluate(self, x: Any, *, key: Any = None, batch: Any = None) -> Evaluation:
        """As `Problem.evaluate`.

        Raises:
            RefusedError: when time is up, or with what a worker says went wrong.
        """
        if time.monotonic() > self.until:
            raise RefusedError("the time for probing is over")
        if self.workers is None:
            return super().evaluate(x, key=key, batch=batch)
        ((_, outcome),) = self.workers.map([(x, numerics.seed(numerics.as_key(0 if key is None else key)))])
        if outcome.evaluation is None:
            raise RefusedError(outcome.error)
        return outcome.evaluation


def probed(problem: Problem, seconds: float | None, workers: Workers | None) -> Problem:
    """The problem itself unless it is a black box."""
    if not problem.black_box:
        return problem
    twin = object.__new__(Probed)
    until = float("inf") if seconds is None else time.monotonic() + seconds
    twin.__dict__.update(problem.__dict__, until=until, workers=workers)
    return twin
