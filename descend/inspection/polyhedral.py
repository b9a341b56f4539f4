"""Sets that linear conditions describe, stated as a box and equalities: then multipliers show what holds a point."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from descend import calls
from descend.constraints import equal
from descend.domains import Real
from descend.problem import Problem
from descend.solution import Certificate
from descend.solvers.through import through

ENTRIES = 10**6  # of the equalities, beyond which the set stays as it is


def boxed(problem: Problem) -> tuple[Problem, str] | None:
    """The problem over a box, with the equalities of its domain as a constraint, and the name of that.

    None where the domain is a box already, is no polyhedron, or is too large.
    """
    domain = problem.domain
    hull = None if domain.box is not None or domain.discrete else domain.polyhedron
    special = problem.adversary or problem.objectives or problem.merit is not None
    if hull is None or special or len(hull.values) * domain.size > ENTRIES:
        return None

    def build() -> tuple[Problem, str]:
        rows, name = hull.rows.toarray(), calls.unused("domain", [c.name for c in problem.subject_to])

        scale = np.broadcast_to(domain.scale, (domain.size,))
        over = Real((domain.size,), hull.lower, hull.upper, scale=scale)
        inside = equal(lambda x: jnp.asarray(rows, x.dtype) @ x, hull.values, name=name)
        return through(problem, over, domain.unravel, [inside]), name

    restated, name = problem.compiled("boxed", build)
    return (restated if problem.given is None else restated.at(problem.given)), name


def certified(check: Callable[..., Certificate], problem: Problem, x: Any, **settings: Any) -> Certificate | None:
    """What `check` says of x in a box, in terms of the problem; None where there is no such statement."""
    stated = boxed(problem)
    if stated is None:
        return None
    found = check(stated[0], np.asarray(problem.domain.ravel(x), np.float64), **settings)
    multipliers = {name: each for name, each in found.multipliers.items() if name != stated[1]}
    return dataclasses.replace(found, multipliers=multipliers, bound_multipliers=None)
