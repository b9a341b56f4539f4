"""Lower bounds on the loss that the structure of a problem gives: what turns a local optimum into the global one."""

from typing import NamedTuple

import numpy as np

from descend.problem import Problem
from descend.program.structure import Degree
from descend.solvers.algebra import convex_program, degrees
from descend.solvers.flat import Flat
from descend.solvers.least_squares import residuals

FAR = 10.0  # scales from x within which a bound holds where the domain has none


class Bound(NamedTuple):
    """A lower bound on the loss of every feasible point.

    Attributes:
        value: the bound.
        reason: what it rests on, in a few words.
    """

    value: float
    reason: str


def of_constancy(problem: Problem, loss: float) -> Bound | None:
    """The loss itself, where it is read to be constant, as in a system of equations; None elsewhere."""
    known = degrees(problem)
    constant = known is not None and known.loss == Degree.CONSTANT
    return Bound(loss, "the loss is constant") if constant else None


def of_squares(problem: Problem) -> Bound | None:
    """The constant part of a loss that is written as a sum of squares plus a constant; None where it is not."""

    found = residuals(problem)
    return None if found is None else Bound(found.constant, "the loss is a sum of squares")


def of_convexity(flat: Flat, point: np.ndarray, loss: float, rest: np.ndarray, lost: float) -> Bound | None:
    """The bound that multipliers prove for a convex program that is linear or quadratic; None for other problems,
    and for domains that are no box.

    For a convex loss f and constraints c, f(y) >= f(x) + f'(x)(y - x), where f'(x) = rest - multipliers c'(x), and a
    multiplier times c'(x)(y - x) is at most the multiplier times the distance of c(x) from its bound.

    Args:
        flat: the problem.
        point: x, flat.
        loss: f(x).
        rest: what is left of the Lagrangian's gradient, in scaled variables, shape (n,).
        lost: the sum of |multiplier times distance| over constraints and bounds.

    Returns:
        The bound on points of the domain that are within `FAR` scales of x in the directions that have no bounds.
    """
    problem, scale = flat.problem, flat.scale
    hull = problem.domain.polyhedron
    if hull is None or problem.domain.box is None or convex_program(problem) is None:
        return None
    with np.errstate(invalid="ignore"):
        reach = np.maximum(hull.upper - point, point - hull.lower) / scale
    reach = np.where(np.isfinite(reach), reach, FAR * np.maximum(1.0, abs(point) / scale))
    return Bound(loss - lost - float(abs(rest) @ reach), "the problem is convex")
