"""Scales of variables that nobody stated: measured at the start, and again where a run got no certificate."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from descend.inspection import scales
from descend.problem import Problem
from descend.solvers.flat import Flat

if TYPE_CHECKING:
    from descend.engine.run import Run

LARGE = 0.1  # of the loss at the start: what must change of it for a move to count
APART = 1e6  # ratio of the scales of two variables, from which measured ones are used at the start
AGAIN = 2  # times that an attempt may begin again in other scales


def at_start(problem: Problem) -> Problem:
    """The problem in scales measured at its start, where those of two variables are many orders of magnitude apart."""
    restless = problem.black_box or problem.random or problem.batch_size is not None
    if restless or problem.adversary or problem.domain.discrete:
        return problem
    measure = lambda: _measured(problem, problem.domain.start(), LARGE)  # noqa: E731
    fixed = problem.given is None
    scale = problem.compiled(("scale at the start", jnp.result_type(float)), measure) if fixed else measure()
    return problem if scale is None or scale.max() < APART * scale.min() else problem.rescaled(scale)


def begin_again(run: Run) -> bool:
    """Whether the scales at the best point of an attempt that ends without a certificate are others than those in use:
    then the plan begins again, in these, from there.
    """
    position, here = run.position, run.finds.here
    if run.certify is None or here.x is None or position.rescaled >= AGAIN:
        return False
    scale = _measured(run.plan.problem, here.x)
    if scale is None:
        return False
    position.rescaled, position.stage, position.agreed = position.rescaled + 1, 0, 0
    position.scale = scale.tolist()
    use(run)
    run.log("the scales of variables, measured at the best point, are others: began again from there")
    return True


def use(run: Run) -> None:
    """Go on in the scales that the position names, if it does."""
    scale = None if run.position.scale is None else np.array(run.position.scale)
    if scale is not None and not np.array_equal(scale, run.plan.problem.domain.scale):
        run.plan = dataclasses.replace(run.plan, problem=run.plan.problem.rescaled(scale))


def _measured(problem: Problem, x: Any, share: float = scales.ROUNDING) -> np.ndarray | None:
    if not problem.domain.unstated.any():
        return None
    try:
        flat = Flat(problem)
        return scales.measured(flat, flat.vector(x), share)
    except Exception:  # whatever user code raises, nothing is measured
        return None
