"""What can be said of a problem as it is stated, with one evaluation at its start."""

from typing import Any

import numpy as np

from descend import numerics
from descend.constraints import Constraint
from descend.findings import Finding
from descend.inspection.subject import Subject
from descend.problem import Problem
from descend.program.source import Place, function_place


def where(found: Place | None, problem: Problem) -> dict[str, Any]:
    """A finding's place: the line, or the objective by name."""
    if found is not None:
        return {"file": found[0], "line": found[1]}
    return {"objective": getattr(problem.objective, "__name__", type(problem.objective).__name__)}


def black_box(problem: Problem) -> list[Finding]:
    """The functions that cannot be traced."""
    if not problem.black_box:
        return []
    evidence = {"how": "static", "reason": problem.untraceable}
    place = where(function_place(problem.objective), problem)
    return [Finding("black-box", place, evidence, "descend.routes.black_box()")]


def discrete(problem: Problem) -> list[Finding]:
    """The variables that live in discrete domains."""
    return [
        Finding("discrete", {"variable": name or "x"}, {"how": "static", "domain": repr(part), "size": part.size})
        for name, part in zip(problem.domain.names, problem.domain.parts, strict=True)
        if part.discrete
    ]


def constrained(subject: Subject, start: Any) -> list[Finding]:
    """The bounds and constraints that are active or violated at the start."""
    problem = subject.problem
    members = problem.domain.split(problem.domain.start() if start is None else start)
    found = []
    for name, part, member in zip(problem.domain.names, problem.domain.parts, members, strict=True):
        if part.box is None or part.discrete:
            continue
        x, (lower, upper) = np.asarray(part.ravel(member), np.float64), part.box
        slack = numerics.tolerance(np.float64) * np.maximum(1.0, abs(x))
        active = int(np.sum((x <= lower + slack) | (x >= upper - slack)))
        if active:
            found.append(Finding("constrained", {"variable": name or "x"}, {"how": "probed", "active": active}))
    if not problem.subject_to:
        return found
    values = _constraint_values(subject)
    if values is None:
        return found
    for constraint, value in zip(problem.subject_to, values, strict=True):
        active, violation = _activity(constraint, value)
        if active or violation > 0:
            evidence = {"how": "probed", "active": active, "violation": violation}
            found.append(Finding("constrained", {"constraint": constraint.name}, evidence))
    return found


def _constraint_values(subject: Subject) -> list[np.ndarray] | None:
    if subject.problem.black_box:
        subject.evaluations += 1
        found = subject.attempt(lambda: subject.problem.evaluate(subject.domain.unravel(subject.x), key=subject.key))
        return None if found is None else [np.asarray(c, np.float64) for c in found.constraints]
    row = subject.attempt(lambda: subject.values(subject.x[None])[0])
    if row is None:
        return None
    edges = np.cumsum([1, *(int(np.prod(shape, dtype=int)) for shape in subject.shapes)])
    return [row[a:b].reshape(shape) for a, b, shape in zip(edges[:-1], edges[1:], subject.shapes, strict=True)]


def _activity(constraint: Constraint, value: np.ndarray) -> tuple[int, float]:
    """How many rows are at or beyond a bound, and the largest violation beyond the tolerance."""
    tolerance = numerics.tolerance(np.float64)
    slack = tolerance * constraint.scale
    active = int(np.sum((value <= constraint.lower + slack) | (value >= constraint.upper - slack)))
    violation = float(constraint.violation(value))
    return active, violation if violation > tolerance else 0.0
