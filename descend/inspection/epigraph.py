"""The optimality of kinked points: certified in epigraph form."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from descend.problem import Problem
from descend.solution import Certificate
from descend.solvers.algebra import convex_program
from descend.solvers.epigraph_form import EpigraphForm

SCALES = (1.0, 1e-3)  # of the square root of the tolerance: how near a kink must be to count


def better(check: Callable[..., Certificate], problem: Problem, x: Any, found: Certificate) -> Certificate:
    """A certificate of x for the problem in epigraph form, if that says more than the one that was found.

    First of the form with every kink lifted, which is a relaxation: what is proved of it is proved of the problem. Then
    only those near x are, the others being the pieces that they are at x: a kink that is far from x need not help.

    Args:
        check: `certify`.
        problem: any problem.
        x: a member of its domain.
        found: what the conditions at x give without the form.
    """
    form = EpigraphForm.of(problem)
    if form is None or not found.violation <= found.tolerance:
        return found
    known = found.evidence != "none"
    if known and convex_program(form.problem) is None:  # nothing more can be said
        return found
    spent = found.evaluations
    for reach in (None, *(() if known else (scale * np.sqrt(found.tolerance) for scale in SCALES))):
        near = form if reach is None else form.near(x, reach)
        if reach is not None and near.everywhere:
            continue
        other = check(near.problem, near.lift(x), tolerance=found.tolerance)
        spent += other.evaluations
        if other.evidence != "none":
            return _said_of(near, other, spent)
    return dataclasses.replace(found, evaluations=spent)


def _said_of(form: EpigraphForm, found: Certificate, spent: int) -> Certificate:
    """The form's certificate as one of the problem."""
    kept = {name: each for name, each in found.multipliers.items() if name != form.gaps}
    whole = (form.problem.domain.size,)

    def own(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None or values.shape != whole else values[form.columns]

    note = f"{found.note}; {form.kinks} of {form.count} kinks are variables above or below their pieces"
    local = not form.everywhere
    return dataclasses.replace(
        found,
        multipliers=kept,
        bound_multipliers=own(found.bound_multipliers),
        scales=own(found.scales),
        evidence="local" if local else found.evidence,
        gap=None if local else found.gap,
        note=note,
        evaluations=spent,
        kinks=form.kinks,
    )
