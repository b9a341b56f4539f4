"""`compare_handling`: the ways of handling constraints, side by side on one problem."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from descend.inspection.dense import Dense, condition
from descend.inspection.ways import WAYS, Goal, Row
from descend.problem import Problem


@dataclass(frozen=True)
class Handling:
    """The table.

    Attributes:
        before: the condition number of the loss alone, at the answer of a native solver.
        rows: one or more for each way.
        reference: the loss there, which the ways had to come near to.
        tolerance: how near.
    """

    before: float
    rows: list[Row]
    reference: float
    tolerance: float

    def __getitem__(self, way: str) -> list[Row]:
        """The rows of a way."""
        return [row for row in self.rows if row.way == way]

    def __str__(self) -> str:
        header = ("way", "iterations", "loss", "violation", "condition after", "")
        body = [
            (
                f"{row.way}{', ' + row.setting if row.setting else ''}",
                "-" if row.iterations is None else f"{row.iterations:,}",
                f"{row.value:.8g}",
                f"{row.violation:.2g}",
                f"{row.condition:.3g}",
                row.note,
            )
            for row in self.rows
        ]
        widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
        lines = [f"condition before: {self.before:.3g}; - : not within {self.tolerance:g} of the best"]
        for cells in (header, *body):
            first, *others, last = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
            first = cells[0].ljust(widths[0])
            lines.append("  ".join([first, *others, last.strip()]).rstrip())
        return "\n".join(lines)


def compare_handling(problem: Problem, *, tolerance: float = 1e-8, steps: int = 200_000) -> Handling:
    """Projection, reparametrization, barrier, penalty, augmented Lagrangian, interior point and a hard layer compared.

    All begin at the domain's start. First-order ways (projection, reparametrization, hard layer) take plain gradient
    steps of the best of four lengths; the others Newton steps. This is what the textbook form of each way does with
    the problem, and why `solve` does not reparametrize: the condition number after says what a solver has to face.

    Args:
        problem: traceable and deterministic, over at most 400 real numbers with bounds.
        tolerance: how near to the best loss, relative to max(1, |loss|), and how feasible a way must come.
        steps: after which a way is given up.

    Raises:
        ValueError: if the problem is of another kind.

    The computation is in float64, whatever JAX's setting.
    """
    with jax.enable_x64(True):
        dense = Dense(problem)
        best, where = _reference(dense, tolerance)
        rows = [row for way in WAYS for row in way(dense, Goal(best, tolerance, steps))]
        return Handling(condition(dense.hessian(where)), rows, best, tolerance)


def _solved(dense: Dense) -> Any:
    from scipy.optimize import Bounds, NonlinearConstraint, minimize

    value = lambda u: float(dense.values(u)[0])  # noqa: E731
    slope = lambda u: dense.slopes(u)[0]  # noqa: E731
    bounds = Bounds(dense.lower, dense.upper)  # type: ignore[arg-type]
    if dense.bounded_only:
        options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 0.0, "gtol": 1e-13}
        return minimize(value, dense.start, jac=slope, bounds=bounds, method="L-BFGS-B", options=options)
    over = NonlinearConstraint(
        lambda u: dense.values(u)[1],
        -np.inf,
        0.0,
        jac=lambda u: dense.slopes(u)[1],  # pyright: ignore[reportArgumentType]
    )
    equal = NonlinearConstraint(
        lambda u: dense.values(u)[2],
        0.0,
        0.0,
        jac=lambda u: dense.slopes(u)[2],  # pyright: ignore[reportArgumentType]
    )
    conditions = [over, *([equal] if dense.equalities else [])]
    options = {"maxiter": 1000, "ftol": 1e-15}
    return minimize(
        value, dense.start, jac=slope, bounds=bounds, constraints=conditions, method="SLSQP", options=options
    )


def _reference(dense: Dense, tolerance: float) -> tuple[float, np.ndarray]:
    """The loss of a native solver's answer, and the answer.

    Raises:
        ValueError: if it is not feasible.
    """
    u = np.asarray(_solved(dense).x, np.float64)
    if dense.violation(u) > 100 * tolerance:
        raise ValueError("no feasible point was found to compare with")
    return float(dense.values(u)[0]), u
