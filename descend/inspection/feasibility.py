"""Where no point can be feasible, and where the loss has no end: evidence for `infeasible` and `unbounded`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.optimize
from scipy import sparse

from descend.inspection import conflict
from descend.problem import Problem
from descend.solvers.flat import Flat
from descend.solvers.saddle_system import SaddleSystem
from descend.solvers.sparsity import Sparse, stretched, unit_rows

STARTS = 4  # besides the point given, near the domain's start, and as many far from it
WIDE = 10.0  # scales
MOST = 12  # conflicting constraints that are tried one by one
STATIONARY = 1e-5  # of a gradient whose terms are of unit length


class LeastViolation(NamedTuple):
    """A point that violates the constraints least, as far as a local search can tell.

    Attributes:
        x: shaped like `over`, NumPy float64, inside the domain.
        conflicts: names of constraints that no point near x satisfies together; empty if x is feasible or the search
            did not end. None of them can be left out, unless there were too many to try.
        entries: of the values of each of them, flat, where the constraints are linear: none can be left out.
        stationary: whether the violation at x is positive and a minimum to first order: the residuals are multipliers
            whose forces balance, which for linear (convex) constraints proves that no point is feasible (Farkas).
    """

    x: Any
    conflicts: list[str]
    stationary: bool
    entries: Mapping[str, list[int]] = MappingProxyType({})


def least_violation(problem: Problem, x: Any, key: Any) -> LeastViolation:
    """Minimizes the squared scaled residuals of the constraints over the domain, from x and a few other points.

    By a quadratic program where the constraints are linear; by trust-region least squares where the domain is a box,
    else by projected gradient steps. When all minima found are infeasible, constraints are left out one by one as long
    as the rest still conflict.

    Args:
        problem: traceable, with a continuous domain.
        x: a member of the domain.
        key: a JAX key, for the other starts.

    Raises:
        ValueError: if the problem is a black box or has discrete variables.
        Exception: whatever the derivative of a constraint raises.
    """
    if problem.black_box or problem.domain.discrete:
        raise ValueError("the least violation needs a traceable problem over continuous variables")
    flat = Flat(problem)
    samples = [problem.domain.sample(k) for k in jax.random.split(key, STARTS - 1)]
    starts = [flat.vector(start) for start in (x, problem.domain.start(), *samples)]
    if flat.dense:  # where there are no bounds, samples are of one scale
        away = WIDE * np.random.default_rng(0).normal(size=(STARTS, flat.size)) * flat.scale
        starts += [flat.round(flat.project(starts[1] + step)) for step in away]
    everything = np.ones(flat.constraints, bool)
    best, violated, stationary = _search(flat, starts, everything)
    if not violated or not stationary:
        return LeastViolation(flat.tree(best), [], False)
    owner = np.repeat(np.arange(len(flat.shapes)), [int(np.prod(shape, dtype=int)) for shape in flat.shapes])
    found = _named(flat, best)
    if found:
        return LeastViolation(flat.tree(best), list(found), True, found)
    residual = abs(flat.residual(flat.values(best[None])[1][0]))
    kept = [int(i) for i in np.unique(owner[residual > 1e-6 * residual.max()])]
    if 1 < len(kept) <= MOST:
        for candidate in list(kept):
            others = [i for i in kept if i != candidate]
            _, violated, stationary = _search(flat, [best, *starts], np.isin(owner, others))
            if violated and stationary:
                kept = others
    return LeastViolation(flat.tree(best), [problem.subject_to[i].name for i in kept], True)


def _named(flat: Flat, best: np.ndarray) -> dict[str, list[int]]:
    """An irreducible set of conflicting linear constraints, by name and entry, that is proved to be one; or nothing."""
    rows = conflict.irreducible(flat)
    if rows is None:
        return {}
    _, violated, stationary = _search(flat, [best], np.isin(np.arange(flat.constraints), rows))
    if not (violated and stationary):
        return {}
    return conflict.named(flat, rows)


def _search(flat: Flat, starts: list[np.ndarray], chosen: np.ndarray) -> tuple[np.ndarray, bool, bool]:
    """The least violating point for the chosen constraint values; does it violate them; is it stationary."""
    tolerance = 1e-6 if np.finfo(flat.dtype).bits >= 64 else 1e-4
    rows = np.flatnonzero(chosen)

    def residual(point: np.ndarray) -> np.ndarray:
        found = flat.residual(flat.values(point[None])[1][0])[rows]
        return np.where(np.isfinite(found), found, 1e10)

    large = Sparse.of(flat) if flat.problem.domain.box is not None else None

    def jacobian(point: np.ndarray) -> Any:
        if large is not None:
            matrix = stretched(large.jacobian(point)[rows], (residual(point) != 0) / flat.unit[rows], flat.scale)
            matrix.data = np.nan_to_num(matrix.data)
            return matrix
        violated = np.flatnonzero(residual(point))
        matrix = np.zeros((len(rows), flat.size))
        matrix[violated] = np.nan_to_num(flat.rows(point, rows[violated])) * flat.scale
        return matrix / flat.unit[rows][:, None]

    descend = _projected_gradient if flat.problem.domain.box is None else _trust_region
    if large is not None:
        descend = _damped
    known = conflict.least(flat, rows)
    if known is not None:
        starts, descend = [known], lambda flat, start, residual, jacobian: start
    best, least = starts[0], np.inf
    for start in starts:
        with np.errstate(all="ignore"):  # residuals of 1e10 stand for what is not finite
            point = flat.round(flat.project(descend(flat, flat.project(start), residual, jacobian)))
        size = float(np.linalg.norm(residual(point)))
        if size < least:
            best, least = point, size
        if np.max(abs(residual(best)), initial=0.0) <= tolerance:
            return best, False, False
    left = residual(best)
    forces = stretched(jacobian(best), left / np.linalg.norm(left), np.ones(flat.size))
    gradient, size = forces.sum(axis=0), max(1e-300, float(abs(forces).max()))
    step = (best - flat.project(best - flat.scale * gradient / max(1.0, size))) / flat.scale
    level = STATIONARY if np.finfo(flat.dtype).bits >= 64 else 1e-2
    if size <= tolerance:
        return best, True, _lowest_around(flat, best, residual)
    return best, True, bool(np.max(abs(step), initial=0.0) <= level * min(1.0, size))


def _lowest_around(flat: Flat, point: np.ndarray, residual: Any) -> bool:
    """Whether the violation rises in all sampled directions: without slope, a plateau must not pass for a minimum."""
    generator = np.random.default_rng(0)
    moves = [h * generator.uniform(-1, 1, flat.size) * flat.scale for h in (1e-2, 1.0) for _ in range(8)]
    here = np.linalg.norm(residual(point))
    return all(np.linalg.norm(residual(flat.project(point + move))) > here * (1 + 1e-9) for move in moves)


def _trust_region(flat: Flat, start: np.ndarray, residual: Any, jacobian: Any) -> np.ndarray:
    lower, upper = flat.problem.domain.box  # type: ignore[misc]
    free = lower < upper
    if not free.any():
        return start

    def whole(u: np.ndarray) -> np.ndarray:
        point = start.copy()
        point[free] = np.clip(u * flat.scale[free], lower[free], upper[free])
        return point

    found = scipy.optimize.least_squares(
        lambda u: residual(whole(u)),
        start[free] / flat.scale[free],
        jac=lambda u: jacobian(whole(u))[:, free],  # type: ignore[arg-type]
        bounds=(lower[free] / flat.scale[free], upper[free] / flat.scale[free]),
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-12,
        max_nfev=300,
    )
    return whole(found.x)


def _damped(flat: Flat, start: np.ndarray, residual: Any, jacobian: Any) -> np.ndarray:
    """Levenberg-Marquardt steps in sparse matrices, cut at the bounds, where variables that press outwards stay."""
    lower, upper = flat.problem.domain.box  # type: ignore[misc]
    point, damping = start, 1e-3
    left = residual(point)
    matrix = jacobian(point)
    for _ in range(100):
        slope = left @ matrix
        held = ((point <= lower) & (slope > 0)) | ((point >= upper) & (slope < 0))
        step = point - flat.project(point - flat.scale * slope)
        if np.max(abs(step / flat.scale), initial=0.0) <= 1e-12 or damping > 1e12:
            break
        free = stretched(matrix, np.ones(len(left)), np.where(held, 0.0, 1.0))
        system = SaddleSystem(damping * sparse.eye_array(flat.size), free, np.ones(len(left)))
        move = system.solve(np.zeros(flat.size), -left)[0]
        new = flat.project(point + flat.scale * np.where(held, 0.0, move))
        following = residual(new)
        if following @ following < left @ left:
            shrunk = following @ following < 0.75 * (left @ left)
            point, left, damping = new, following, max(damping / (10 if shrunk else 3), 1e-12)
            matrix = jacobian(point)
        else:
            damping *= 10
    return point


def _projected_gradient(flat: Flat, start: np.ndarray, residual: Any, jacobian: Any) -> np.ndarray:
    """Spectral projected gradient: Barzilai-Borwein steps, halved until the best of the last values is improved on."""
    point, values, length = start, [], 1.0
    left = residual(point)
    slope = jacobian(point).T @ left
    for _ in range(500):
        values = [*values[-9:], left @ left / 2]
        while True:
            new = flat.project(point - length * flat.scale * slope)
            step = (new - point) / flat.scale
            following = residual(new)
            if following @ following / 2 <= max(values) + 1e-4 * (slope @ step) or length < 1e-18:
                break
            length /= 2
        change = jacobian(new).T @ following - slope
        point, left, slope = new, following, slope + change
        if np.max(abs(step), initial=0.0) <= 1e-14:
            break
        curved = step @ change
        length = float(np.clip(step @ step / curved, 1e-10, 1e10)) if curved > 0 else 1.0
    return point


def ray(problem: Problem, x: Any, direction: Any = None) -> Any:
    """A direction along which the loss falls without end from x, or None if none is found.

    Tried are the direction given and steepest descents that no bound and no linearized constraint limits (linear
    programs). A direction counts when, at steps growing tenfold to 1e12 (1e6 in float32) from the scale of x, every
    point is feasible and the loss falls by amounts that do not fade: a tail that converges to a limit is no ray.

    Args:
        problem: traceable, with a continuous domain.
        x: a feasible member.
        direction: shaped like x.

    Returns:
        A tree shaped like x, of unit largest entry in units of the variables' scales.
    """
    if problem.black_box or problem.domain.discrete:
        return None
    flat = Flat(problem)
    point = flat.vector(x)
    candidates = [] if direction is None else [np.asarray(problem.domain.ravel(direction), np.float64)]
    for base in (point, None, None):
        if base is None:
            if not candidates:
                break
            base = flat.project(point + 1e3 * candidates[-1])
        found = _descent(flat, base)
        if found is not None:
            candidates.append(found)
    for candidate in candidates:
        size = np.max(abs(candidate / flat.scale), initial=0.0)
        if np.isfinite(size) and size > 0 and _falls(flat, point, candidate / size):
            return flat.tree(candidate / size)
    return None


def _descent(flat: Flat, point: np.ndarray) -> np.ndarray | None:
    """The steepest descent within one scale that may go on forever as far as first derivatives tell."""
    try:
        _, _, gradient = flat.gradient(point)
    except Exception:  # whatever user code raises, there is no derivative to follow
        return None
    slope = gradient * flat.scale
    if not np.isfinite(slope).all() or not slope.any():
        return None
    limits = []
    for part in flat.problem.domain.parts:
        box = part.box
        low, high = (np.zeros(part.size, bool),) * 2 if box is None else (np.isinf(box[0]), np.isinf(box[1]))
        limits.append(np.stack([np.where(low, -1.0, 0.0), np.where(high, 1.0, 0.0)], axis=1))
    above, below = np.isfinite(flat.upper), np.isfinite(flat.lower)
    large = Sparse.of(flat)
    rows: Any = flat.rows(point, np.arange(flat.constraints)) if large is None else large.jacobian(point)
    if not np.isfinite(rows if large is None else rows.data).all():
        return None
    rows, _ = unit_rows(stretched(rows, np.ones(flat.constraints), flat.scale))
    rows = sparse.csr_array(rows)
    one_sided = sparse.vstack([rows[above & ~below], -rows[below & ~above]])
    both = rows[above & below]
    # A small price on every move keeps coordinates still that the slope says nothing about.
    slope, price = slope / np.max(abs(slope)), 1e-6
    low, high = np.concatenate(limits).T
    found = scipy.optimize.linprog(
        np.concatenate([slope + price, price - slope]),  # the move up and the move down of each coordinate
        A_ub=sparse.hstack([one_sided, -one_sided]),
        b_ub=np.zeros(one_sided.shape[0]),  # type: ignore[index]
        A_eq=sparse.hstack([both, -both]),
        b_eq=np.zeros(both.shape[0]),
        bounds=np.stack([np.zeros(2 * len(slope)), np.concatenate([high, -low])], axis=1),
    )
    if found.x is None or not found.fun < -1e-9:
        return None
    up, down = np.split(found.x, 2)
    return (up - down) * flat.scale


def _falls(flat: Flat, point: np.ndarray, direction: np.ndarray) -> bool:
    wide = np.finfo(flat.dtype).bits >= 64
    steps = 10.0 ** np.arange(13 if wide else 7)
    path = np.array([flat.round(point + step * direction) for step in steps])
    loss, constraints = flat.values(np.concatenate([point[None], path]))
    rounding = 1e3 * float(np.finfo(flat.dtype).eps) * steps
    if np.any(flat.violation(constraints)[1:] > (1e-6 if wide else 1e-4) + rounding):
        return False
    if not all(bool(flat.problem.domain.contains(flat.tree(y))) for y in path):
        return False
    return endless(loss)


def endless(loss: np.ndarray) -> bool:
    """Whether values at the ends of steps that grow tenfold fall without a limit.

    Every step must lower the loss, and over the second half the falls must not shrink: those of a power of the step
    grow, those of its logarithm stay, those of a convergent tail fade. Minus infinity is the end of a fall.
    """
    if np.isnan(loss).any() or loss[0] == -np.inf or np.any(loss == np.inf):
        return False
    finite = loss[np.isfinite(loss)]
    if not np.all(loss[len(finite) :] == -np.inf):
        return False
    falls = -np.diff(finite)
    late = falls[len(falls) // 2 :]
    return len(late) >= 2 and bool(np.all(falls > 0) and np.all(late[1:] >= 0.95 * late[:-1]))
