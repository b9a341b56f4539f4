"""What a run found: the best point of the present attempt and of all attempts."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from descend.engine.evaluate import Evaluator
from descend.engine.incumbent import Incumbent
from descend.solution import Certificate
from descend.solvers.repair import NEAR, repair, repairable

HARDLY = 100  # times the tolerance: a violation that a solver takes for none in scales of its own
USELESS = 3  # repairs in a row without effect after which no more are tried
Draw = Callable[[str, int], jax.Array]


class Finds:
    """The incumbents, offered every point that a solver reports.

    Attributes:
        best: over all attempts.
        here: of this attempt.
        candidate: the last point that violates the constraints so little that it may be repaired, or None.
        useless: repairs in a row that did not lead to a feasible point.
        units: evaluations that repairs cost.
    """

    def __init__(self, evaluator: Evaluator):
        self.evaluator = evaluator
        self.best = Incumbent(evaluator.tolerance)
        self.here = Incumbent(evaluator.tolerance)
        self.candidate: Any = None
        self.useless = 0
        self.units = 0
        self._repairable = repairable(evaluator.problem)

    def begin(self) -> None:
        """Begin another attempt."""
        self.here = Incumbent(self.evaluator.tolerance)

    def hold(self, found: Certificate) -> None:
        """The point of this attempt is certified: only one that is better by more than a violation within the tolerance
        can gain replaces it, which is the tolerance times the multipliers.
        """
        same = self.best.same(self.here.x)
        self.here.margin = self.here.tolerance * max(1.0, abs(self.here.loss), gain(found))
        if same:
            self.best.margin = self.here.margin

    def offer(
        self, x: Any, draw: Draw, known: tuple[float, float] | None = None, repairing: bool = True
    ) -> tuple[bool, bool]:
        """Offer a member: whether the best point of this attempt changed, and whether that of all did.

        Args:
            x: a member of the domain.
            draw: gives keys for a purpose and an index.
            known: loss and violation of x, if they were just evaluated.
            repairing: whether a point that violates the constraints a little is replaced by a feasible one nearby.
        """
        if not self.evaluator.noisy and self.here.same(x):
            self.here.offered = self.here.loss
            return False, False
        key = draw("offer", self.here.challenges)
        if not self.evaluator.noisy:
            known = self.evaluator.one(x, key) if known is None else known
            if self._repairable and self.evaluator.tolerance < known[1] <= NEAR:
                self.candidate = x
                if repairing and self.useless < USELESS:
                    x, known = self._repaired(x, known, key)
        was_best = self.best.same(self.here.x)
        if not self.here.offer(self.evaluator, x, key, known):
            if was_best:  # its estimates were refreshed
                self.best = dataclasses.replace(self.here)
            return False, False
        if self.best.x is not None and not was_best:
            found = (self.here.loss, self.here.violation)
            if not self.best.offer(self.evaluator, self.here.x, draw("best", self.here.challenges), found):
                return True, False
        self.best = dataclasses.replace(self.here)
        return True, True

    def prefer(self, x: Any, draw: Draw, gain: float) -> bool:
        """Take x, which is certified, in place of a point of the same loss that is not. Whether it was taken.

        `gain` is what a violation of one unit gains at that point.
        """
        loss, violation = self.evaluator.one(x, draw("prefer", 0))
        if self.evaluator.problem.judge is not None or not self.here.near(loss, gain):
            return False
        was_best = self.best.same(self.here.x)
        self.here.x, self.here.loss, self.here.violation = x, loss, violation
        if was_best:
            self.best = dataclasses.replace(self.here)
        return True

    def mend(self, x: Any, draw: Draw) -> bool:
        """When a solver is done at x: if that violates the constraints hardly more than is allowed, offer the nearest
        point that does not. Whether the best point of all changed.
        """
        if self.evaluator.noisy or not Incumbent(0.0, self.candidate).same(x):
            return False
        key = draw("mend", self.here.challenges)
        known = self.evaluator.one(x, key)
        if not known[1] <= HARDLY * self.evaluator.tolerance:
            return False
        new, found = self._repaired(x, known, key)
        return self.offer(new, draw, found, repairing=False)[1]

    def settle(self, draw: Draw) -> bool:
        """At the end: repair the last point that a solver had no time to mend. Whether the best point changed."""
        if self.candidate is None or self.evaluator.noisy:
            return False
        x, known = self._repaired(self.candidate, (np.nan, np.nan), draw("settle", 0))
        return bool(np.isfinite(known[0])) and self.best.offer(self.evaluator, x, draw("settle", 1), known)

    def _repaired(self, x: Any, known: tuple[float, float], key: jax.Array) -> tuple[Any, tuple[float, float]]:
        new, units = repair(self.evaluator.problem, x)
        self.units += units
        found = self.evaluator.one(new, key)
        if found[1] <= self.evaluator.tolerance and np.isfinite(found[0]):
            self.useless = 0
            return new, found
        self.useless += 1
        return x, known


def gain(found: Certificate) -> float:
    """What violating each constraint by one unit of its scale gains, to first order."""
    return sum(float(np.sum(np.abs(force))) for force in found.multipliers.values())
