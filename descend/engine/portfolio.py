"""Which solvers a problem without noise gets, in which order."""

import dataclasses
from typing import Any

import numpy as np

from descend import solvers
from descend.domains.manifold import is_walkable
from descend.engine.stage import Stage
from descend.problem import Problem
from descend.solvers import Solver, ipopt
from descend.solvers.algebra import convex_program, degrees
from descend.solvers.epigraph_form import EpigraphForm
from descend.solvers.flat import Flat
from descend.solvers.least_squares import residuals
from descend.solvers.sparsity import Sparse

BRIEF = 300  # iterations of a quasi-Newton method, and a tenth of that for each variable, until Newton's takes over
BRANCHED = 1000  # kinks up to which their pieces are branched on
ROUGH = 1e-8  # change of the loss at which a method ends that looks for another optimum: others get the digits
FEW = 20  # variables up to which another path costs a few thousand evaluations


def smooth(problem: Problem) -> list[Stage]:
    """The portfolio for smooth problems without noise: gradients first, second derivatives where no certificate
    is had.

    Where there are few variables, methods with different paths come next, from the same start, because a local optimum
    need not be the best one.
    """
    if is_linear(problem):
        return [Stage(solvers.Highs(), None, "a linear problem"), *_after(problem)]
    if problem.domain.polyhedron is not None and convex_program(problem) is not None:
        return [Stage(solvers.Clarabel(), None, "a convex quadratic problem"), *_after(problem)]
    first, *rest = _general(problem)
    # Kinks that are not where one begins may still be where one ends.
    lifted = [dataclasses.replace(each, fallback=False) for each in kinked(problem) if not each.alternative]
    return [first, *lifted, *rest]


def kinked(problem: Problem) -> list[Stage]:
    """The portfolio for problems without noise whose kinks can be read; none for others.

    A piecewise linear problem over bounded variables is solved outright: where the relaxation is not the problem, by
    branch and bound over the pieces.
    """
    form = EpigraphForm.of(problem)
    if form is None:
        return []
    if not is_linear(form.problem):
        found = [] if problem.domain.discrete else smooth(form.problem)
        return [dataclasses.replace(each, solver=solvers.Epigraph(each.solver)) for each in found]
    box = problem.domain.box
    first = [Stage(solvers.Epigraph(solvers.Highs()), None, "a piecewise linear problem")]
    if form.count > BRANCHED or box is None or not np.isfinite(box).all():
        return first
    branched = solvers.Epigraph(solvers.Highs(), exact=True)
    reason = "a piecewise linear problem: which pieces, by branch and bound"
    return [*first, Stage(branched, None, reason, alternative=True)]


def _after(problem: Problem) -> list[Stage]:
    """What follows where a solver for convex problems stalls: a local answer is the best one, so none is sought."""
    general = _general(problem)
    digits = [stage for stage in general if isinstance(stage.solver, solvers.KKTNewton)]
    rest = [stage for stage in general if stage not in digits]
    return [
        *digits[:1],
        *(dataclasses.replace(stage, fallback=True, alternative=False, reason="if that stalls") for stage in rest),
    ]


def _general(problem: Problem) -> list[Stage]:
    """The same for a problem without structure."""
    newton, descent = quasi_newton(problem), constrained(problem, solvers.Descent())
    if problem.domain.box is None or not Flat(problem).dense:
        fallback = [Stage(descent, None, "if that stalls", fallback=True)] if descent != newton else []
        if problem.domain.box is not None and not problem.subject_to:
            products = Stage(solvers.TrustRegion(), None, "if that stalls: products with the Hessian", fallback=True)
            fallback.insert(0, products)
        large = _large(problem)
        if large:  # where Newton's method gets nowhere, plain descent does not either
            return [*large, Stage(newton, None, "if that stalls", fallback=True)]
        return [Stage(newton, None, "smooth"), *fallback]
    last = Stage(solvers.KKTNewton(), None, "the last digits, if the best point is not certified")
    again = "from the start again: another path may lead to a better optimum"
    interior = [Stage(solvers.Ipopt(), None, "smooth, with exact second derivatives")] if ipopt.installed() else []
    if problem.subject_to:
        lagrangian = solvers.AugmentedLagrangian(solvers.TrustRegion())
        path = Stage(newton, None, again, alternative=True)
        if not interior:
            return [
                Stage(solvers.SLSQP(), None, "smooth"),
                last,
                path,
                Stage(solvers.SLSQP(), None, "from the best point, if that is not certified"),
                Stage(solvers.TrustConstr(), None, "second derivatives (descend[ipopt] is faster)", fallback=True),
                Stage(
                    solvers.InteriorPoint(), None, "if that stalls: dependent constraints do it no harm", fallback=True
                ),
                Stage(lagrangian, None, "if that stalls", fallback=True),
            ]
        return [
            *interior,
            Stage(solvers.SLSQP(tolerance=ROUGH), None, again, alternative=True),
            last,
            path,
            *[dataclasses.replace(stage, reason="from the best point, if that is not certified") for stage in interior],
            Stage(solvers.InteriorPoint(), None, "if that stalls: dependent constraints do it no harm", fallback=True),
            Stage(lagrangian, None, "if that stalls", fallback=True),
        ]
    closer = Stage(solvers.TrustRegion(), None, "second derivatives from the best point, if that is not certified")
    first = Stage(
        quasi_newton(problem, BRIEF + BRIEF // 10 * problem.domain.size), None, "smooth: gradients cost least"
    )
    squares = residuals(problem)
    if squares is not None and squares.manageable(problem.domain.size):
        fitted = Stage(solvers.LeastSquares(), None, "a sum of squares: Gauss-Newton steps on its residuals")
        # A step costs a Jacobian, which with many variables is more than many gradients.
        few = problem.domain.size <= FEW
        begin = [fitted, dataclasses.replace(first, reason="if that stalls", fallback=True)] if few else [first, fitted]
    else:
        begin = [first]
    others: list[Any] = []
    if problem.domain.size <= FEW:
        gradients = solvers.BoundedQuasiNewton()  # the cheapest, and the least like Newton's method
        others += [gradients] if not isinstance(begin[0].solver, solvers.BoundedQuasiNewton) else []
        others += [solvers.TrustRegion(), solvers.SLSQP(tolerance=ROUGH), *(stage.solver for stage in interior)]
    return [
        *begin,
        closer,
        *(Stage(solver, None, again, alternative=True) for solver in others),
        closer,
        last,
    ]


def _large(problem: Problem) -> list[Stage]:
    """What comes first under constraints where second derivatives are sparse: nothing else gets far with so many."""
    known = Sparse.of(Flat(problem)) if problem.domain.box is not None and problem.subject_to else None
    if known is None or known.curved is None:
        return []
    first, *rest = [*([solvers.Ipopt()] if ipopt.installed() else []), solvers.TrustConstr()]
    begin = Stage(first, None, "smooth, with sparse second derivatives")
    return [begin, *(Stage(solver, None, "if that stalls", fallback=True) for solver in rest)]


def quasi_newton(problem: Problem, most: int = 0) -> Solver:
    """The quasi-Newton method that fits the domain, with an augmented Lagrangian around it if there are constraints.

    In a box it is given up after `most` iterations, if that is not zero.
    """
    box = problem.domain.box
    if box is None:
        if all(is_walkable(part) for part in problem.domain.parts):
            return constrained(problem, solvers.RiemannianQuasiNewton())
        return constrained(problem, solvers.ProximalGradient() if problem.domain.convex else solvers.Descent())
    bounded = np.isfinite(box[0]).any() or np.isfinite(box[1]).any()
    return constrained(problem, solvers.BoundedQuasiNewton(most=most) if bounded else solvers.QuasiNewton(most=most))


def constrained(problem: Problem, solver: Any) -> Any:
    """The solver, inside an augmented Lagrangian if the problem has constraints that it would ignore."""
    if not (problem.subject_to and solver.NEEDS.unconstrained):
        return solver
    return solvers.AugmentedLagrangian(solver)


def is_linear(problem: Problem) -> bool:
    """Whether the problem is a linear program, some variables perhaps being whole numbers."""
    if problem.domain.relax().polyhedron is None:
        return False
    known = degrees(problem)
    return known is not None and known.linear
