"""One step of a plan."""

import dataclasses
from typing import Any

from descend.solvers import AskTell, Solver


@dataclasses.dataclass(frozen=True)
class Stage:
    """One solver on one route.

    Attributes:
        solver: a `Solver` or an `AskTell`.
        route: what differentiates the problem for it; None for plain automatic differentiation or none at all.
        reason: why it is there, in a few words.
        fallback: run only if the stage before it stalled.
        alternative: begins where the attempt began, and is run even when there is a certified answer: a local optimum
            need not be the best one, and another method may find another. Not run once enough of them agree.
    """

    solver: Solver | AskTell
    route: Any
    reason: str
    fallback: bool = False
    alternative: bool = False

    def __str__(self) -> str:
        via = f" via {self.route}" if self.route is not None else ""
        return f"{self.solver}{via}: {self.reason}"
