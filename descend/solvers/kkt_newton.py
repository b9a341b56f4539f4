"""Newton's method on the optimality conditions: from where another solver stopped to the last digit."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
import scipy.linalg
import scipy.optimize

from descend.problem import Problem
from descend.solvers.scaled import Scaled
from descend.solvers.solver import Needs, Progress, Solver

NEAR = 1e-3  # distance, in units of the domain's scale, up to which a bound or constraint may be active
CLOSE = 0.1  # error of the conditions, relative to the gradient, up to which the last digits are expected
SHORTER = (1.0, 0.5, 0.2, 0.05)  # shares of a Newton step that are tried


class KKTState(NamedTuple):
    """The iterate in units of the domain's scale."""

    z: np.ndarray


class Guess(NamedTuple):
    """What is taken to be active at a point, and how far the point is from satisfying the conditions of that."""

    rows: np.ndarray  # normals of the active constraints, shape (k, n)
    targets: np.ndarray  # what their values lack, shape (k,)
    active: np.ndarray  # indices of the active constraints, shape (k,)
    forces: np.ndarray  # their multipliers, shape (k,)
    held: np.ndarray  # which variables stay on a bound, shape (n,)
    gradient: np.ndarray
    error: float


@dataclass(frozen=True, repr=False)
class KKTNewton(Solver):
    """Solve the Karush-Kuhn-Tucker conditions of the constraints that seem active, by Newton's method.

    Interior points stop a barrier's width away from a constraint, quasi-Newton methods where rounding hides a decrease
    of the loss. The conditions themselves are known far more precisely, and converge quadratically. What is active is
    guessed in each step from multipliers of the right sign, by bounded least squares; a step is taken if it reduces the
    largest violation of the conditions. Any stationary point attracts it, so that it is only for points near a minimum.

    One segment. An iteration costs a gradient, the whole Jacobian and Hessian and O((n + m)^3) operations.

    Args:
        iterations: at most.

    Source: Nocedal & Wright, Numerical Optimization, section 18.1.
    """

    iterations: int = 20
    NEEDS: ClassVar[Needs] = Needs(gradient=True, true_gradient=True, continuous=True, deterministic=True, box=True)

    def init(self, problem: Problem, start: Any, key: jax.Array) -> KKTState:
        return KKTState(np.asarray(problem.domain.ravel(start), np.float64) / problem.domain.scale)

    def step(self, problem: Problem, state: KKTState) -> tuple[KKTState, Progress]:
        scaled = Scaled(problem)
        z = scaled.begin(state.z)
        guess, reason = guessed(scaled, z), ""
        near = guess.error <= CLOSE
        for _ in range(self.iterations):
            if not guess.error > 0:
                break
            move = newton(scaled, z, guess)
            for share in SHORTER:
                new = np.clip(z + share * move, scaled.lower, scaled.upper)
                found = guessed(scaled, new)
                if found.error < 0.9 * guess.error:
                    break
            else:
                reason = "no step comes nearer to the optimality conditions"
                break
            z, guess = new, found
        precise = 1e-9 if np.finfo(scaled.flat.dtype).bits >= 64 else 1e-5
        settled = guess.error <= precise
        reason = "the optimality conditions hold" if settled else reason or f"{self.iterations} iterations"
        stalled = near and not settled  # it promises nothing from afar, where those before it have had their say
        signals = {"optimality error": guess.error}
        units = scaled.flat.evaluations
        return KKTState(z), Progress(scaled.tree(z), scaled.first(z)[0], units, True, reason, stalled, signals)


def guessed(scaled: Scaled, z: np.ndarray) -> Guess:
    """What is active at z, by multipliers of the right sign; an infinite error where derivatives are not finite."""
    loss, values, gradient, rows = scaled.first(z)
    none = Guess(rows[:0], np.zeros(0), np.zeros(0, int), np.zeros(0), np.zeros(len(z), bool), gradient, np.inf)
    if not (np.isfinite(loss) and all(np.isfinite(part).all() for part in (values, gradient, rows))):
        return none
    equality = scaled.floor == scaled.ceiling
    target = np.clip(values, scaled.floor, scaled.ceiling)
    side = np.where(abs(values - scaled.floor) < abs(values - scaled.ceiling), -1.0, 1.0)  # of the nearer limit
    limit = np.where(side < 0, scaled.floor, scaled.ceiling)
    lengths = np.maximum(np.linalg.norm(rows, axis=1), 1e-300)
    outside = values != target
    near = np.flatnonzero(equality | outside | (abs(values - limit) <= NEAR * lengths))
    low, high = z - scaled.lower <= NEAR, scaled.upper - z <= NEAR
    size = max(1.0, float(np.max(abs(gradient), initial=0.0)))

    # Columns: forces of the near constraints (two for an equality), then of the near bounds, all of them not negative.
    normals = (side / lengths)[near, None] * rows[near]
    unit = np.eye(len(z))
    columns = np.concatenate([normals, -normals[equality[near]], -unit[low], unit[high]])
    gaps = np.concatenate([
        np.where(outside[near], 0.0, abs(values - limit)[near] / lengths[near]), np.zeros(equality[near].sum()),
        (z - scaled.lower)[low], (scaled.upper - z)[high],
    ])  # fmt: skip
    if not len(columns):  # which the native code does not survive
        return none._replace(error=float(np.max(abs(gradient), initial=0.0)) / size)
    try:
        system = np.concatenate([columns, np.diag(gaps)], axis=1).T
        forces, _ = scipy.optimize.nnls(system, np.concatenate([-gradient, np.zeros(len(gaps))]))
    except RuntimeError:  # it does not converge
        return none
    k = len(near)
    mine = forces[:k].copy()
    mine[equality[near]] -= forces[k : k + equality[near].sum()]
    balance = gradient + forces @ columns
    bounds = forces[len(forces) - low.sum() - high.sum() :]
    held = np.zeros(len(z), bool)
    held[np.flatnonzero(low)[bounds[: low.sum()] > 0]] = True
    held[np.flatnonzero(high)[bounds[low.sum() :] > 0]] = True
    used = equality[near] | outside[near] | (mine != 0)
    error = max(
        float(np.max(abs(balance), initial=0.0)) / size,
        float(np.max(abs(values - target), initial=0.0)),
        float(np.max(abs(forces) * gaps, initial=0.0)) / size,
    )
    active = near[used]
    return Guess(rows[active], (limit - values)[active], active, (mine * side[near] / lengths[near])[used], held,
                 gradient, error)  # fmt: skip


def newton(scaled: Scaled, z: np.ndarray, guess: Guess) -> np.ndarray:
    """The step to where the linearized conditions hold; of several, a short one."""
    weights = np.zeros(len(scaled.floor))
    weights[guess.active] = guess.forces
    hessian = scaled.hessian(z, weights)
    nearer = z - scaled.lower < scaled.upper - z
    move = np.where(guess.held, np.where(nearer, scaled.lower, scaled.upper) - z, 0.0)
    free, k = ~guess.held, len(guess.active)
    matrix = np.block([[hessian[np.ix_(free, free)], guess.rows[:, free].T], [guess.rows[:, free], np.zeros((k, k))]])
    wanted = np.concatenate([
        -guess.gradient[free] - (hessian @ move)[free] - guess.rows[:, free].T @ guess.forces,
        guess.targets - guess.rows @ move,
    ])  # fmt: skip
    if not np.isfinite(matrix).all() or not len(wanted):
        return move
    # Two rounds of equilibration, because variables and constraints may differ by many orders of magnitude.
    scale = np.ones(len(wanted))
    for _ in range(2):
        largest = np.max(abs(matrix) * scale * scale[:, None], axis=1)
        scale /= np.sqrt(np.where(largest > 0, largest, 1.0))
    solved = scipy.linalg.lstsq(matrix * scale * scale[:, None], wanted * scale, 1e-14, lapack_driver="gelsy")
    found = np.asarray(solved[0]) * scale  # type: ignore[index]
    move[free] = found[: free.sum()]
    return move
