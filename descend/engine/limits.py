"""When a run must end: the budget, and the one way in which time ends work that has begun."""

import time
from typing import Any, NamedTuple

from descend.solution import Budget


class OutOfTimeError(Exception):
    """The time limit was reached within a segment, which is given up.

    Attributes:
        best: the best point of the segment, shaped like `over`, or None.
    """

    def __init__(self, best: Any = None):
        super().__init__("out of time")
        self.best = best


class Ending(NamedTuple):
    """Why a run ended, in words; whether a limit or the user ended it."""

    message: str
    exhausted: bool = False
    interrupted: bool = False


class Limits:
    """A budget that is being spent.

    Args:
        budget: the limits.
        began: `time.monotonic()` when the solve began.
    """

    def __init__(self, budget: Budget, began: float):
        self.budget, self.began = budget, began

    def late(self, ahead: float = 0.0) -> bool:
        """Whether the time is up, `ahead` seconds from now."""
        seconds = self.budget.seconds
        return seconds is not None and time.monotonic() + ahead - self.began >= seconds

    def ending(self, count: int) -> Ending | None:
        """The ending if a limit is reached after `count` evaluations."""
        evaluations = self.budget.evaluations
        if evaluations is not None and count >= evaluations:
            return Ending(f"the budget of {evaluations} evaluations is spent", exhausted=True)
        return self.out_of_time() if self.late() else None

    def out_of_time(self) -> Ending:
        """The ending when the time is up."""
        return Ending(f"the budget of {self.budget.seconds:g} s is spent", exhausted=True)

    def fraction(self, count: int) -> float:
        """How much of the budget is spent, in [0, 1]."""
        spent = [0.0]
        if self.budget.seconds:
            spent.append((time.monotonic() - self.began) / self.budget.seconds)
        if self.budget.evaluations:
            spent.append(count / self.budget.evaluations)
        return float(min(1.0, max(spent)))
