"""Whether an objective has no minimum: it falls without end to infinity, or towards a point where it is infinite."""

from typing import Any

import jax
import numpy as np

from descend.engine.evaluate import Evaluator
from descend.inspection import ray
from descend.inspection.feasibility import endless
from descend.inspection.recession import recession
from descend.problem import Problem

GONE = 100.0  # scales from the start, beyond which the way of a black box is followed
FAR, LOW = 1e4, -1e6  # scales from the origin, and losses, beyond which a problem may have no minimum


def traceable(problem: Problem) -> bool:
    """Whether derivatives of the problem itself can be looked at."""
    return not (problem.black_box or problem.random or problem.domain.discrete or problem.adversary)


def distance(problem: Problem, x: Any, loss: float) -> float:
    """How suspicious a point is: at 1 or above it is so far away, or so good, that there may be no minimum."""
    reach = np.max(np.abs(problem.domain.ravel(x) / problem.domain.scale), initial=0.0)
    return float(max(reach / FAR, loss / LOW))


def to_infinity(problem: Problem, x: Any) -> Any:
    """A ray from x along which the loss of a traceable problem falls without end, or None."""
    try:
        return ray(problem, x)
    except Exception:  # whatever user code raises far away, there is no ray
        return None


def to_point(evaluator: Evaluator, x: Any, key: jax.Array) -> Any:
    """The way from x to the point where the objective was infinitely good, if it falls without end along it; or None.

    Where it does not, the objective is undefined at a single point rather than unbounded.
    """
    problem = evaluator.problem
    if evaluator.fallen is None or evaluator.noisy or not problem.domain.convex or problem.domain.discrete:
        return None
    domain = problem.domain
    end, start = (np.asarray(domain.ravel(point), np.float64) for point in (evaluator.fallen, x))
    path = [domain.round(domain.unravel(end + step * (start - end))) for step in 10.0 ** -np.arange(13.0)]
    scores = evaluator.many(jax.tree.map(lambda *leaves: np.stack(leaves), *path), key[None])
    if np.any(scores.violation > evaluator.tolerance) or not endless(scores.losses[:, 0]):
        return None
    return domain.unravel(end - start)


def by_values(evaluator: Evaluator, x: Any, start: Any, key: jax.Array) -> Any:
    """A ray from x along which values fall without end, without derivatives; or None.

    Tried are a direction in which a linear problem has no end, and, for a black box that led far away, the way that led
    there. Thirteen values each.
    """
    problem = evaluator.problem
    if evaluator.noisy or problem.adversary or x is None:
        return None
    domain, scale = problem.domain, np.broadcast_to(problem.domain.scale, (problem.domain.size,))
    ways = []
    if domain.discrete and not problem.black_box:
        ways.append(recession(problem))
    elif problem.black_box and domain.convex and not domain.discrete:
        way = np.asarray(domain.ravel(x), np.float64) - np.asarray(domain.ravel(start), np.float64)
        length = np.max(abs(way / scale), initial=0.0)
        ways.append(way / length if length >= GONE else None)
    for way in ways:
        if way is None:
            continue
        begin = np.asarray(domain.ravel(x), np.float64)
        path = [domain.unravel(begin + step * way) for step in (0.0, *10.0 ** np.arange(13.0))]
        if not all(bool(domain.contains(point)) for point in path):
            continue
        scores = evaluator.many(jax.tree.map(lambda *leaves: np.stack(leaves), *path), key[None])
        if np.all(scores.violation <= evaluator.tolerance) and endless(scores.losses[:, 0]):
            return domain.unravel(way)
    return None
