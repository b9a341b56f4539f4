"""HiGHS, the native simplex, interior-point and branch-and-bound codes: for linear problems, whole numbers or not."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
from scipy import sparse

from descend.problem import Problem
from descend.solvers.algebra import coefficients, degrees, integral
from descend.solvers.flat import Flat
from descend.solvers.segments import pause
from descend.solvers.solver import Needs, Progress, Solver

SETTLED = (
    "optimal",
    "infeasible",
    "unbounded",
    "primal infeasible or unbounded",
)  # after which another solver finds nothing else
INFEASIBLE = "HiGHS: infeasible"  # its reason where no member is left
LISTENED = ("MipInterrupt", "SimplexInterrupt", "IpmInterrupt", "MipImprovingSolution")


class HighsState(NamedTuple):
    """The point, and the lower bound on the loss that branch and bound gave (-infinity before)."""

    x: np.ndarray
    bound: np.ndarray


@dataclass(frozen=True, repr=False)
class Highs(Solver):
    """Linear programs, and mixed-integer ones by branch and bound (`highspy`).

    One segment. The coefficients are derivatives at zero; that the problem is linear is known from reading it. Domains
    may be boxes, whole or real, and sets whose hull linear conditions state: choices, subsets, permutations, simplexes.

    Args:
        gap: relative gap between value and bound at which branch and bound ends.
        nodes: of branch and bound, at most; 0 for no limit.

    Source: Huangfu & Hall (2018).
    """

    gap: float = 1e-9
    nodes: int = 0
    NEEDS: ClassVar[Needs] = Needs(gradient=True, true_gradient=True, deterministic=True, linear=True)

    def init(self, problem: Problem, start: Any, key: jax.Array) -> HighsState:
        return HighsState(np.asarray(problem.domain.ravel(start), np.float64), np.asarray(-np.inf))

    def step(self, problem: Problem, state: HighsState) -> tuple[HighsState, Progress]:
        import highspy

        flat, known = Flat(problem), degrees(problem)
        hull = problem.domain.relax().polyhedron
        if known is None or not known.linear or hull is None:
            raise ValueError("Highs needs a linear problem over sets that linear conditions state")
        whole = integral(problem)
        scale = np.where(whole, 1.0, flat.scale)
        found, hull = coefficients(flat, known).scaled(scale), hull.scaled(scale)
        rows = sparse.csr_array(sparse.vstack([found.rows, hull.rows]))
        low = np.concatenate([flat.lower - found.offsets, hull.values])
        high = np.concatenate([flat.upper - found.offsets, hull.values])
        program = linear_program((hull.lower, hull.upper), rows, (low, high))
        program.col_cost_, program.offset_ = found.slope, found.constant
        if whole.any():
            kinds = highspy.HighsVarType
            program.integrality_ = [kinds.kInteger if each else kinds.kContinuous for each in whole]
        native = silent()
        listener = Listener(problem, state.x / scale, scale)
        for name, value in {"mip_rel_gap": self.gap, "mip_abs_gap": 1e-9, "threads": 1, "random_seed": 0}.items():
            native.setOptionValue(name, value)
        if self.nodes:
            native.setOptionValue("mip_max_nodes", self.nodes)
        native.setCallback(listener, None)
        for each in LISTENED:
            native.startCallback(getattr(highspy.cb.HighsCallbackType, f"kCallback{each}"))
        native.passModel(program)
        native.run()
        if listener.error is not None:
            raise listener.error
        status, info = native.modelStatusToString(native.getModelStatus()).lower(), native.getInfo()
        z = np.asarray(native.getSolution().col_value, np.float64)
        z = listener.best if len(z) != flat.size or not np.isfinite(z).all() else np.clip(z, hull.lower, hull.upper)
        x = np.where(whole, np.round(z), z * scale)
        bound = float(info.mip_dual_bound) if whole.any() and status == "optimal" else -np.inf
        settled = status in SETTLED
        loss = float(found.constant + found.slope @ (x / scale))
        reason = f"HiGHS: {status}"
        signals = {"lower bound": bound} if np.isfinite(bound) else {}
        units = flat.evaluations
        progress = Progress(problem.domain.unravel(x), loss, units, True, reason, not settled, signals)
        return HighsState(x, np.asarray(bound)), progress


def linear_program(
    box: tuple[np.ndarray, np.ndarray], rows: sparse.csr_array, bounds: tuple[np.ndarray, np.ndarray]
) -> Any:
    """The points z in a box with rows @ z within bounds, as HiGHS takes them, without a cost."""
    import highspy

    program = highspy.HighsLp()
    program.num_row_, program.num_col_ = len(bounds[0]), len(box[0])
    program.col_cost_ = np.zeros(len(box[0]))
    program.col_lower_, program.col_upper_ = box
    program.row_lower_, program.row_upper_ = bounds
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_ = np.asarray(rows.indptr, np.int32)
    program.a_matrix_.index_ = np.asarray(rows.indices, np.int32)
    program.a_matrix_.value_ = np.asarray(rows.data, np.float64)
    return program


def silent() -> Any:
    """HiGHS without a word on standard output, not even the banner with which it enables its callbacks."""
    import highspy

    class Silent(highspy.Highs):
        def __init__(self) -> None:
            super(highspy.Highs, self).__init__()
            self.setOptionValue("output_flag", False)

    return Silent()


class Listener:
    """What HiGHS calls: keeps the best point and lets the engine in. No exception may cross the native code."""

    def __init__(self, problem: Problem, z: np.ndarray, scale: np.ndarray):
        import highspy

        self.problem, self.best, self.scale = problem, z, scale
        self.improving = int(highspy.cb.HighsCallbackType.kCallbackMipImprovingSolution)
        self.error: BaseException | None = None

    def __call__(self, kind: Any, message: str, told: Any, answer: Any, data: Any) -> None:
        if int(kind) == self.improving:
            self.best = np.array(told.mip_solution, np.float64)
            return
        try:
            pause(lambda: self.problem.domain.unravel(self.best * self.scale))
        except BaseException as error:
            self.error = error
        if self.error is not None and answer is not None:
            answer.user_interrupt = 1
