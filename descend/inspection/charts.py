"""A problem on a curved set, restated in flat coordinates around a point of it."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from descend.domains import Manifold, Real
from descend.problem import Problem
from descend.solvers.through import through

LARGEST = 3000  # numbers in a member, beyond which its chart is too large


def chartable(problem: Problem) -> bool:
    """Whether `charted` can restate it: what is not convex are manifolds of moderate size."""
    return all(part.convex or (isinstance(part, Manifold) and part.size <= LARGEST) for part in problem.domain.parts)


def charted(problem: Problem, x: Any) -> tuple[Problem, Any]:
    """The problem in coordinates around x, and x in these coordinates: zero.

    Every manifold that is not convex is replaced by real numbers without bounds, one a direction of its tangent space.
    x is a local optimum of the problem if zero is one of this: values are the same, and every member near x has
    coordinates near zero.

    Args:
        problem: traceable, with `chartable` variables.
        x: a member of its domain, a tree of NumPy arrays.
    """
    domain = problem.domain
    moves: list[Callable[[Any], Any] | None] = []
    parts, origin = [], []
    for part, member in zip(domain.parts, domain.split(x), strict=True):
        if part.convex:
            parts.append(part)
            origin.append(member)
            moves.append(None)
            continue
        assert isinstance(part, Manifold)
        basis, move = part.chart(np.asarray(member, np.float64))
        parts.append(Real(len(basis), scale=float(np.mean(part.scale))))
        origin.append(np.zeros(len(basis)))
        moves.append(functools.partial(_walk, basis, move))

    def point(v: Any) -> Any:
        pieces = zip(moves, domain.split(v), strict=True)
        return domain.join([piece if move is None else move(piece) for move, piece in pieces])

    flat = through(problem, domain.join(parts), point)
    return flat, domain.join(origin)


def _walk(basis: np.ndarray, move: Callable[[Any], Any], v: Any) -> Any:
    return move(np.asarray(basis, v.dtype).T @ v)
