"""Linear constraints that contradict each other: the least violation, and an irreducible set of them."""

import dataclasses
import importlib
from typing import Any

import jax
import numpy as np
from scipy import sparse

from descend.problem import Problem
from descend.program.structure import Degree
from descend.solvers.algebra import degrees, jacobian
from descend.solvers.flat import Flat
from descend.solvers.highs import INFEASIBLE, Highs, linear_program, silent

MOST = 12  # constraints that are left out one by one
NODES = 1000  # of branch and bound, for each


def stated(flat: Flat) -> tuple[sparse.csr_array, np.ndarray] | None:
    """The rows of linear constraints, in scaled variables, and their values at zero; None where some are not read to be
    linear, or the domain is no box.
    """
    known = degrees(flat.problem)
    if known is None or flat.problem.domain.relax().box is None or np.any(known.constraints > Degree.LINEAR):
        return None
    zero = np.zeros(flat.size)
    rows = jacobian(flat, zero, known.jacobian) @ sparse.diags_array(flat.scale)
    return sparse.csr_array(rows), flat.values(zero[None])[1][0]


def least(flat: Flat, chosen: np.ndarray) -> np.ndarray | None:
    """The point that violates the chosen constraint values least, in the sense of squares; None where they are not
    linear, or Clarabel does not find it.

    Args:
        flat: the problem.
        chosen: indices of constraint values.
    """
    clarabel = importlib.import_module("clarabel")
    read = stated(flat)
    if read is None or not len(chosen):
        return None
    unit, count, n = flat.unit[chosen], len(chosen), flat.size
    rows = sparse.csr_array(sparse.diags_array(1 / unit) @ read[0][chosen])
    low, high = (flat.lower[chosen] - read[1][chosen]) / unit, (flat.upper[chosen] - read[1][chosen]) / unit
    # Of (z, s), with rows z + s inside the bounds: half of |s|^2.
    both = sparse.csr_array(sparse.hstack([rows, sparse.eye_array(count)]))
    boxed = sparse.csr_array(sparse.hstack([sparse.eye_array(n), sparse.csr_array((n, count))]))
    floor, ceiling = (bound / flat.scale for bound in flat.problem.domain.relax().box or ())
    blocks: list[Any] = []
    values, cones = [], []
    equal, fixed = low == high, floor == ceiling
    groups = (
        (clarabel.ZeroConeT, [(both[equal], low[equal]), (boxed[fixed], floor[fixed])]),
        (
            clarabel.NonnegativeConeT,
            [
                (each * sign, bound * sign)
                for each, bound, sign, free in (
                    (both, high, 1.0, equal), (both, low, -1.0, equal), (boxed, ceiling, 1.0, fixed),
                    (boxed, floor, -1.0, fixed),
                )
                for each, bound in [(each[np.isfinite(bound) & ~free], bound[np.isfinite(bound) & ~free])]
            ],
        ),
    )  # fmt: skip
    for cone, group in groups:
        size = sum(len(bound) for _, bound in group)
        if size:
            blocks += [each for each, _ in group]
            values += [bound for _, bound in group]
            cones.append(cone(size))
    settings = clarabel.DefaultSettings()
    settings.verbose, settings.max_threads = False, 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    curve = sparse.diags(np.concatenate([np.zeros(n), np.ones(count)]), format="csc")
    matrix = sparse.csc_matrix(sparse.vstack(blocks))
    native = clarabel.DefaultSolver(curve, np.zeros(n + count), matrix, np.concatenate(values), cones, settings)
    answer = native.solve()
    z = np.asarray(answer.x, np.float64)[:n]
    good = str(answer.status) in ("Solved", "AlmostSolved") and np.isfinite(z).all()
    return flat.project(z * flat.scale) if good else None


def irreducible(flat: Flat) -> np.ndarray | None:
    """Indices of constraint values that bounds and each other contradict, none of which can be left out; None where
    they are not linear, or HiGHS finds none.

    It is the word of a solver: a least violation of these alone proves it.

    Args:
        flat: the problem.
    """
    import highspy

    read = stated(flat)
    if read is None:
        return None
    rows, offsets = read
    box = flat.problem.domain.relax().box
    assert box is not None
    bounds = flat.lower - offsets, flat.upper - offsets
    program = linear_program((box[0] / flat.scale, box[1] / flat.scale), rows, bounds)
    native, kinds = silent(), highspy.IisStrategy
    native.setOptionValue("threads", 1)
    native.setOptionValue("iis_strategy", int(kinds.kIisStrategyFromLp) | int(kinds.kIisStrategyIrreducible))
    native.passModel(program)
    native.run()
    if native.getModelStatus() != highspy.HighsModelStatus.kInfeasible:
        return None
    status, found = native.getIis()
    chosen = np.asarray(found.row_index_, int)
    return np.sort(chosen) if status == highspy.HighsStatus.kOk and len(chosen) else None


def named(flat: Flat, chosen: np.ndarray) -> dict[str, list[int]]:
    """The constraints that own the chosen constraint values, with these values' places in them, flat."""
    sizes = [int(np.prod(shape, dtype=int)) for shape in flat.shapes]
    owner, first = np.repeat(np.arange(len(sizes)), sizes), np.cumsum([0, *sizes])
    return {
        flat.stated[int(i)].name: (chosen[owner[chosen] == i] - first[i]).tolist() for i in np.unique(owner[chosen])
    }


def of_whole_numbers(problem: Problem) -> list[str]:
    """Names of constraints that no member of a linear problem in whole numbers satisfies together. None can be left out
    as far as branch and bound shows within `NODES`, unless there are too many to try.
    """
    kept, start = list(problem.subject_to), problem.domain.start()
    for candidate in list(kept) if len(kept) <= MOST else []:
        others = [each for each in kept if each is not candidate]
        fewer, solver = dataclasses.replace(problem, subject_to=others), Highs(nodes=NODES)
        if others and solver.step(fewer, solver.init(fewer, start, jax.random.key(0)))[1].reason == INFEASIBLE:
            kept = others
    return [each.name for each in kept]
