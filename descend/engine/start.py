"""Where a run begins: a point of the caller's, checked and explained."""

import difflib
from typing import Any

from descend.problem import Problem
from descend.solution import Solution


def as_start(problem: Problem, start: Any) -> Any:
    """The point that a caller gave, or the answer of an earlier solution, as a member of the domain.

    Raises:
        ValueError: if it is not one, naming what is wrong and what was expected.
    """
    if isinstance(start, Solution):
        if start.x is None:
            raise ValueError("start: the solution has no point")
        start = start.x
    _check_names(problem.over, start, "")
    return problem.point(start)


def _check_names(over: Any, start: Any, path: str) -> None:
    """Refuse a dict with other names than the problem's variables have."""
    if not isinstance(over, dict):
        return
    where = f"start{f', variable {path}' if path else ''}"
    if not isinstance(start, dict):
        raise ValueError(f"{where}: expected a dict with {', '.join(map(str, over))}, got {type(start).__name__}")
    for name in start:
        if name not in over:
            close = difflib.get_close_matches(str(name), [str(n) for n in over], n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; expected {', '.join(map(str, over))}"
            raise ValueError(f"{where}: there is no variable {name!r}{hint}")
    for name, part in over.items():
        if name not in start:
            raise ValueError(f"{where}: variable {name!r} is missing")
        _check_names(part, start[name], f"{path}.{name}" if path else str(name))
