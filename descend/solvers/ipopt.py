"""IPOPT, the native interior-point method, with exact derivatives: for smooth constrained problems."""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
from scipy import sparse

from descend.problem import Problem
from descend.solvers.scaled import Scaled
from descend.solvers.solver import Needs, Progress, Solver

RELAXED = 1e-12  # of bounds: the answer is put back between them, which costs the equalities as much
INFINITE = 2e19  # what IPOPT takes for no bound


def installed() -> bool:
    """Whether IPOPT can be imported."""
    return importlib.util.find_spec("cyipopt") is not None


class IpoptState(NamedTuple):
    """The iterate in units of the domain's scale, and the multipliers of constraints, lower and upper bounds."""

    z: np.ndarray
    constraints: np.ndarray
    below: np.ndarray
    above: np.ndarray
    steps: np.ndarray


@dataclass(frozen=True, repr=False)
class Ipopt(Solver):
    """A primal-dual interior-point method with a filter line search (`cyipopt`, the extra `descend[ipopt]`).

    The Jacobian and the exact Hessian of the Lagrangian come from JAX, sparse where there are many variables and few
    entries. A segment is `iterations` of the native
    code, the next one a warm start. It is done when IPOPT says so, which is believed by nobody: the engine certifies.

    Args:
        iterations: in one segment.
        tolerance: of the scaled optimality error; 0 chooses 1e-9 in float64, 1e-5 in float32.

    Raises:
        ImportError: in a segment, if cyipopt is not installed.

    Source: Waechter & Biegler (2006).
    """

    iterations: int = 1000
    tolerance: float = 0.0
    NEEDS: ClassVar[Needs] = Needs(gradient=True, true_gradient=True, continuous=True, deterministic=True, box=True)

    def init(self, problem: Problem, start: Any, key: jax.Array) -> IpoptState:
        scaled = Scaled(problem)
        z = np.asarray(problem.domain.ravel(start), np.float64) / scaled.scale
        zeros = np.zeros_like(z)
        return IpoptState(z, np.zeros(scaled.flat.constraints), zeros, zeros, np.zeros((), np.int64))

    def step(self, problem: Problem, state: IpoptState) -> tuple[IpoptState, Progress]:
        try:
            cyipopt = importlib.import_module("cyipopt")
        except ImportError:
            raise ImportError("Ipopt needs cyipopt: pip install 'descend[ipopt]'") from None
        scaled = Scaled(problem, large=True)
        calls = Callbacks(scaled)
        native = cyipopt.Problem(
            n=len(state.z),
            m=scaled.flat.constraints,
            problem_obj=calls,
            lb=np.maximum(scaled.lower, -INFINITE),
            ub=np.minimum(scaled.upper, INFINITE),
            cl=np.maximum(scaled.floor, -INFINITE),
            cu=np.minimum(scaled.ceiling, INFINITE),
        )
        wide = np.finfo(scaled.flat.dtype).bits >= 64
        options: dict[str, Any] = {
            "print_level": 0, "sb": "yes", "max_iter": self.iterations,
            "tol": self.tolerance or (1e-9 if wide else 1e-5), "acceptable_iter": 0,
            "bound_relax_factor": RELAXED,
        }  # fmt: skip
        if state.steps:
            options |= {"warm_start_init_point": "yes", "mu_init": 1e-6}
        for name, value in options.items():
            native.add_option(name, value)
        begin = state.z if state.steps else scaled.begin(state.z)
        z, info = native.solve(begin, lagrange=state.constraints, zl=state.below, zu=state.above)
        if calls.error is not None:
            raise calls.error
        z = np.clip(z, scaled.lower, scaled.upper)
        loss = scaled.first(z)[0] if np.isfinite(z).all() else np.nan
        if not np.isfinite(loss):
            z = state.z if scaled.best is None else scaled.best
            loss = scaled.first(z)[0]
        status = int(info["status"])
        running = status == -1 and int(state.steps) < 10 * self.iterations
        state = IpoptState(
            z, info["mult_g"], info["mult_x_L"], info["mult_x_U"], state.steps + max(calls.count, 1)
        )  # fmt: skip
        message = info["status_msg"]
        reason = "" if running else (message.decode() if isinstance(message, bytes) else str(message)).split(".")[0]
        stalled = status not in (0, 1)
        units = scaled.flat.evaluations
        return state, Progress(scaled.tree(z), float(loss), units, bool(reason), reason, stalled, {})


class Callbacks:
    """What IPOPT calls. An exception must not cross the native code: it is kept, and the iterations are ended."""

    def __init__(self, scaled: Scaled):
        self.scaled = scaled
        self.error: BaseException | None = None
        self.count = 0
        n, m = len(scaled.scale), scaled.flat.constraints
        # Sparse matrices have the entries of these patterns, in their order.
        known, self.lower = scaled.sparse, slice(None)
        if known is None or known.curved is None:
            self.triangle = np.tril_indices(n)
            self.whole = tuple(index.ravel() for index in np.indices((m, n)))
        else:
            row, column = known.curved
            self.whole, self.lower = known.rows, row >= column
            self.triangle = row[self.lower], column[self.lower]

    def _first(self, z: np.ndarray, part: int) -> Any:
        if self.error is None:
            try:
                return self.scaled.first(z)[part]
            except BaseException as error:
                self.error = error
        n, m = len(z), self.scaled.flat.constraints
        return (np.nan, np.full(m, np.nan), np.full(n, np.nan), np.full(len(self.whole[0]), np.nan))[part]

    def objective(self, z: np.ndarray) -> float:
        return float(self._first(z, 0))

    def gradient(self, z: np.ndarray) -> np.ndarray:
        return self._first(z, 2)

    def constraints(self, z: np.ndarray) -> np.ndarray:
        return self._first(z, 1)

    def jacobian(self, z: np.ndarray) -> np.ndarray:
        rows = self._first(z, 3)
        return rows.data if sparse.issparse(rows) else rows.ravel()

    def jacobianstructure(self) -> Any:
        return self.whole

    def hessianstructure(self) -> Any:
        return self.triangle

    def hessian(self, z: np.ndarray, multipliers: np.ndarray, factor: float) -> np.ndarray:
        if self.error is None:
            try:
                found = self.scaled.hessian(z, np.asarray(multipliers, np.float64), float(factor))
                return found.data[self.lower] if sparse.issparse(found) else found[self.triangle]
            except BaseException as error:
                self.error = error
        return np.full(len(self.triangle[0]), np.nan)

    def intermediate(self, *_: Any) -> bool:
        self.count += 1
        return self.error is None
