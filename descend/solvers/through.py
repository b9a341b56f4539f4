"""A problem over other variables."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

from descend.constraints import Constraint
from descend.problem import Problem


def through(
    problem: Problem,
    over: Any,
    change: Callable[[Any], Any],
    added: Sequence[Constraint] = (),
    sense: str | None = None,
) -> Problem:
    """The problem whose functions see `change(v)` of the variables v.

    Args:
        problem: one without a merit; its judge, metrics, baselines and adversary are left out.
        over: the domains of v.
        change: traceable, from a point of these to one of the problem's.
        added: constraints on v, after the problem's own.
        sense: "min" or "max", if it is not the problem's.
    """

    def restated(function: Callable[..., Any]) -> Callable[..., Any]:
        return functools.wraps(function)(lambda v, **named: function(change(v), **named))

    stated = [dataclasses.replace(c, function=restated(c.function)) for c in problem.subject_to]
    return Problem(
        restated(problem.objective),
        over,
        [*stated, *added],
        sense=sense or problem.sense,
        given=problem.given,
        data=problem.data,
        batch_size=problem.batch_size,
    )
