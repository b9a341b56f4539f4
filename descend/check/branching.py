"""Is a linear problem in whole numbers solved? Branch and bound, with bounds that weak duality proves in NumPy."""

import heapq

import numpy as np
import scipy.optimize
from scipy import sparse

from descend.check.values import Values

NODES = 2000  # beyond which nothing is said
MOST = 2000  # variables
LINEAR = 1e-9  # relative deviation from linearity that is rounding

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


def unbeaten(values: Values, x: np.ndarray, gap: float) -> tuple[str, bool]:
    """Whether no member is better than x by more than the gap: what was found, in words, and whether it is so.

    Coefficients are differences of the problem's own values, which random points must confirm. Every node's bound is
    recomputed from its multipliers: for any of them, cost'y >= multipliers'(bounds) + the least of (cost - rows'
    multipliers)'y over the box.

    Args:
        values: of the problem.
        x: a member, flat.
        gap: what may be left.
    """
    return _without(values, x, gap)


def empty(values: Values) -> tuple[str, bool]:
    """Whether no member satisfies the constraints: what was found, in words, and whether it is so. As `unbeaten`."""
    return _without(values, None, 0.0)


def _without(values: Values, x: np.ndarray | None, gap: float) -> tuple[str, bool]:
    """Whether no member is better than x, or, without an x, feasible."""
    domain = values.problem.domain
    hull = domain.relax().polyhedron
    if hull is None or domain.size > MOST or not (np.isfinite(hull.lower).all() and np.isfinite(hull.upper).all()):
        return "not rechecked: not a bounded set of linear conditions", False
    base = values(hull.lower)
    steps = np.array([values(hull.lower + unit) for unit in np.eye(domain.size)]) - base
    generator = np.random.default_rng(0)
    for y in generator.uniform(hull.lower, hull.upper, (5, domain.size)):
        predicted = base + (y - hull.lower) @ steps
        if not np.all(abs(values(y) - predicted) <= LINEAR * (1 + abs(predicted) + np.max(abs(base)))):
            return "not rechecked: not linear", False
    cost, offsets = steps[:, 0], base - hull.lower @ steps
    rows = np.concatenate([steps[:, 1:].T, hull.rows.toarray()])
    low = np.concatenate([values.lower - offsets[1:], hull.values])
    high = np.concatenate([values.upper - offsets[1:], hull.values])
    whole = np.concatenate([np.full(part.size, part.discrete) for part in domain.parts])
    target = np.inf if x is None else float(cost @ x) - max(gap, 1e-6 * max(1.0, abs(float(cost @ x))))
    what = "feasible" if x is None else "better"
    waiting: list[tuple[float, int, np.ndarray, np.ndarray]] = [(-np.inf, 0, hull.lower, hull.upper)]
    for count in range(NODES):
        if not waiting:
            return f"no member is {what}: {count} nodes", True
        _, _, lower, upper = heapq.heappop(waiting)
        bound, y = _relaxed(cost, (rows, low, high), lower, upper)
        if bound >= target:
            continue
        if y is None:
            return "not rechecked: a bound could not be proved", False
        apart = np.where(whole, abs(y - np.round(y)), 0.0)
        branch = int(np.argmax(apart))
        if apart[branch] <= 1e-7:
            by = "" if x is None else f" by {float(cost @ x) - bound:.2g}"
            return f"a member may be {what}{by}", False
        for side in (0, 1):
            below, above = lower.copy(), upper.copy()
            if side:
                below[branch] = np.ceil(y[branch])
            else:
                above[branch] = np.floor(y[branch])
            heapq.heappush(waiting, (bound, 2 * count + side + 1, below, above))
    return f"not rechecked: more than {NODES} nodes", False


def _relaxed(
    cost: np.ndarray, conditions: Rows, lower: np.ndarray, upper: np.ndarray
) -> tuple[float, np.ndarray | None]:
    """A proved lower bound on the relaxed problem, infinite where it has no point, and its solution."""
    rows, low, high = conditions
    above, below = np.isfinite(high), np.isfinite(low)
    matrix = sparse.csr_array(np.concatenate([rows[above], -rows[below]]))
    right = np.concatenate([high[above], -low[below]])
    box = np.stack([lower, upper], axis=1)
    found = scipy.optimize.linprog(cost, matrix if len(right) else None, right if len(right) else None, bounds=box)
    if found.status == 2:
        # No point: the least sum of violations is positive, which its multipliers prove.
        slack = sparse.csr_array(sparse.hstack([matrix, -sparse.eye_array(len(right))]))
        wide = np.concatenate([box, np.tile([0.0, np.inf], (len(right), 1))])
        price = np.concatenate([np.zeros(len(cost)), np.ones(len(right))])
        least = scipy.optimize.linprog(price, slack, right, bounds=wide)
        if least.x is None:
            return -np.inf, None
        dual = np.clip(-least.ineqlin.marginals, 0.0, 1.0)
        reduced = matrix.T @ dual
        proved = -right @ dual + np.sum(np.minimum(reduced * lower, reduced * upper))
        return (np.inf if proved > 1e-9 else -np.inf), None
    if found.x is None:
        return -np.inf, None
    dual = np.maximum(-found.ineqlin.marginals, 0.0) if len(right) else np.zeros(0)
    reduced = cost + (matrix.T @ dual if len(right) else 0.0)
    bound = -right @ dual + np.sum(np.minimum(reduced * lower, reduced * upper))
    return float(bound), np.asarray(found.x)
