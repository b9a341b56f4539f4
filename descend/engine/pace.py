"""How long things take in a run, so that what does not fit into the time is not begun. It decides nothing else."""

from descend.problem import Problem

VALUES = 100  # evaluations that a certificate takes, besides those for each variable
EACH = 6
COMPILING = 5  # segments before the least time for an evaluation is taken to be one
CURVED = 300  # variables beyond which curvature is not computed variable by variable


class Pace:
    """What the clock showed.

    Attributes:
        unit: the least seconds for one evaluation; infinite before anything was measured.
    """

    def __init__(self) -> None:
        self.unit = float("inf")
        self._slowest = (0, 0.0)
        self._segments = 0

    def add(self, units: int, seconds: float) -> None:
        """Take note of a segment."""
        if units > 0:
            self._segments += 1
            self.unit = min(self.unit, seconds / units)
            self._slowest = max(self._slowest, (units, seconds), key=lambda pair: pair[1])

    def evaluations(self, count: int) -> float:
        """The seconds that evaluations may take; 0 while all that was measured may have been compilation."""
        return count * self.unit if self._segments >= COMPILING else 0.0

    def certificate(self, problem: Problem) -> float:
        """The seconds that a certificate may take, where the slowest segment tells how long compiling takes."""
        units, seconds = self._slowest
        compiling = max(0.0, seconds - self.evaluations(units)) / 2
        return compiling + self.evaluations(VALUES + EACH * min(problem.domain.size, CURVED))
