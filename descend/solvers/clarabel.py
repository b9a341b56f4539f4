"""Clarabel, the native conic interior-point method: for convex quadratic problems."""

import importlib
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
import scipy.linalg
from scipy import sparse

from descend.problem import Problem
from descend.solvers.algebra import Coefficients, convex_program
from descend.solvers.flat import Flat
from descend.solvers.solver import Needs, Progress, Solver

SOLVED = ("Solved", "AlmostSolved")
SETTLED = ("Solved", "PrimalInfeasible", "DualInfeasible")  # after which another solver finds nothing else


class ClarabelState(NamedTuple):
    """The point."""

    x: np.ndarray


@dataclass(frozen=True, repr=False)
class Clarabel(Solver):
    """Convex quadratic losses under linear and convex quadratic constraints (`clarabel`).

    One segment. The coefficients are derivatives at zero; that the problem is quadratic is known from reading it, that
    it is convex from eigenvalues. Quadratic constraints become second-order cones. Infeasible and unbounded problems
    end with its certificate of that, which the engine looks into by itself.

    Args:
        tolerance: of feasibility and of the duality gap.

    Source: Goulart & Chen (2024).
    """

    tolerance: float = 1e-10
    NEEDS: ClassVar[Needs] = Needs(
        gradient=True, true_gradient=True, continuous=True, deterministic=True, convex_quadratic=True
    )

    def init(self, problem: Problem, start: Any, key: jax.Array) -> ClarabelState:
        return ClarabelState(np.asarray(problem.domain.ravel(start), np.float64))

    def step(self, problem: Problem, state: ClarabelState) -> tuple[ClarabelState, Progress]:
        clarabel = importlib.import_module("clarabel")
        read, hull = convex_program(problem), problem.domain.polyhedron
        if read is None or hull is None:
            raise ValueError("Clarabel needs a convex quadratic problem over sets that linear conditions state")
        flat = Flat(problem)
        n, scale, found = flat.size, flat.scale, read[1].scaled(flat.scale)
        hull = hull.scaled(scale)
        curve = (
            sparse.csc_array((n, n))
            if found.curve is None
            else sparse.csc_array(sparse.triu(sparse.coo_array(found.curve)))
        )
        blocks, values, cones = conic(flat, found, hull)
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.max_threads = 1
        for name in ("tol_gap_abs", "tol_gap_rel", "tol_feas"):
            setattr(settings, name, self.tolerance)
        matrix = sparse.csc_matrix(sparse.vstack(blocks))
        native = clarabel.DefaultSolver(sparse.csc_matrix(curve), found.slope, matrix, values, cones, settings)
        answer = native.solve()
        x = np.asarray(answer.x, np.float64)
        status = str(answer.status)
        good = np.isfinite(x).all() and status in SOLVED
        x = np.clip(x, hull.lower, hull.upper) * scale if good else state.x
        loss = float(flat.gradient(x)[0])
        units = flat.evaluations
        point = problem.domain.project(problem.domain.unravel(x))
        reason = f"Clarabel: {status}"
        return ClarabelState(x), Progress(point, loss, units, True, reason, status not in SETTLED, {})


def conic(flat: Flat, found: Coefficients, hull: Any) -> tuple[list[Any], np.ndarray, list[Any]]:
    """Rows, values and cones of values - rows x in a product of cones."""
    clarabel = importlib.import_module("clarabel")
    n, eye = flat.size, sparse.csr_array(sparse.eye_array(flat.size))
    linear = np.array([i not in found.bowls for i in range(flat.constraints)], bool)
    low, high = flat.lower - found.offsets, flat.upper - found.offsets
    equal = linear & (low == high)
    above, below = linear & ~equal & np.isfinite(high), linear & ~equal & np.isfinite(low)
    fixed = hull.lower == hull.upper
    top, bottom = np.isfinite(hull.upper) & ~fixed, np.isfinite(hull.lower) & ~fixed
    zero = [(found.rows[equal], low[equal]), (hull.rows, hull.values), (eye[fixed], hull.lower[fixed])]
    signed = [
        (found.rows[above], high[above]), (-found.rows[below], -low[below]),
        (eye[top], hull.upper[top]), (-eye[bottom], -hull.lower[bottom]),
    ]  # fmt: skip
    blocks, values, cones = [sparse.csr_array((0, n))], [np.zeros(0)], []
    for group, cone in ((zero, clarabel.ZeroConeT), (signed, clarabel.NonnegativeConeT)):
        size = sum(len(b) for _, b in group)
        if size:
            blocks += [a for a, _ in group]
            values += [b for _, b in group]
            cones.append(cone(size))
    for index, bowl in found.bowls.items():
        sign, bound = (1.0, high[index]) if np.isfinite(high[index]) else (-1.0, -low[index])
        # x'Bx/2 <= t with t = bound - a'x is |(sqrt 2 F x, t - 1)| <= t + 1 for B = F'F.
        sizes, vectors = scipy.linalg.eigh(sign * bowl)
        keep = sizes > 1e-14 * max(sizes[-1], 1e-300)
        factor = np.sqrt(2 * sizes[keep])[:, None] * vectors[:, keep].T
        row = sign * found.rows[[index]].toarray()
        blocks.append(sparse.csr_array(np.concatenate([row, -factor, row])))
        values.append(np.concatenate([[bound + 1.0], np.zeros(len(factor)), [bound - 1.0]]))
        cones.append(clarabel.SecondOrderConeT(len(factor) + 2))
    return blocks, np.concatenate(values), cones
