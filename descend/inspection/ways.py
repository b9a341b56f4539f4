"""The ways of handling constraints that `compare_handling` compares: one function each, in textbook form."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.inspection.dense import Dense, condition

RATES = (1.0, 0.3, 0.1, 0.03)  # step lengths that first-order ways may choose from, over the curvature at the start
WEIGHTS = (1e-2, 1e-4, 1e-6)  # of a barrier; a penalty has their inverses
INSIDE = 0.1  # how far from a bound the start of a barrier lies, in scales


@dataclass(frozen=True)
class Row:
    """What one way did.

    Attributes:
        way: its name.
        setting: a number it was run with, in words; "" for none.
        iterations: until the value was within tolerance of the reference at a feasible point; None if never.
        value: of the loss where it ended.
        violation: there.
        condition: of the Hessian of what it minimizes, where it ended.
        note: what to know.
    """

    way: str
    setting: str = ""
    iterations: int | None = None
    value: float = np.nan
    violation: float = np.nan
    condition: float = np.nan
    note: str = ""


@dataclass(frozen=True)
class Goal:
    """When a way has arrived: loss within `tolerance` max(1, |loss|) of `loss`, violation within `tolerance`."""

    loss: float
    tolerance: float
    steps: int

    def reached(self, dense: Dense, u: np.ndarray) -> bool:
        near = dense.values(u)[0] <= self.loss + self.tolerance * max(1.0, abs(self.loss))
        return bool(near) and dense.violation(u) <= self.tolerance


def projection(dense: Dense, goal: Goal) -> Iterator[Row]:
    """Gradient steps, clipped to the bounds."""
    if not dense.bounded_only:
        yield Row("projection", note="does not apply: there are constraints besides bounds")
        return
    clip = lambda u: jnp.clip(u, dense.lower, dense.upper)  # noqa: E731
    count, u = _first_order(dense, goal, dense.loss, lambda z: z, dense.start, clip)
    free = (u > dense.lower) & (u < dense.upper)
    after = condition(dense.hessian(u)[np.ix_(free, free)])
    yield _row(dense, "projection", count, u, after, "condition of the free variables")


def reparametrization(dense: Dense, goal: Goal) -> Iterator[Row]:
    """x = lower + v^2, upper - v^2 or lower + (upper - lower) sigmoid(v); gradient steps on v."""
    if not dense.bounded_only:
        yield Row("reparametrization", note="does not apply: there are constraints besides bounds")
        return
    low, high = np.isfinite(dense.lower), np.isfinite(dense.upper)
    lower, upper = np.where(low, dense.lower, 0.0), np.where(high, dense.upper, 0.0)

    def into(v: Any) -> Any:
        between = lower + (upper - lower) * jax.nn.sigmoid(v)
        return jnp.where(low & high, between, jnp.where(low, lower + v**2, jnp.where(high, upper - v**2, v)))

    span = np.where(low & high, np.maximum(upper - lower, 1e-300), 1.0)
    share = np.clip((dense.start - lower) / span, 0.01, 0.99)
    away = np.where(low, dense.start - lower, upper - dense.start)
    begin = np.where(
        low & high, np.log(share / (1 - share)), np.where(low | high, np.sqrt(np.maximum(away, INSIDE)), dense.start)
    )
    whole = lambda v: dense.loss(into(v))  # noqa: E731
    count, v = _first_order(dense, goal, whole, into, begin, lambda v: v)
    after = condition(dense.curvature(whole)(v)[2])
    yield _row(dense, "reparametrization", count, np.asarray(into(v), np.float64), after, "squares or sigmoids")


def hard_layer(dense: Dense, goal: Goal) -> Iterator[Row]:
    """Gradient steps through a layer that clips: what is clipped has no derivative."""
    if not dense.bounded_only:
        yield Row("hard layer", note="does not apply: there are constraints besides bounds")
        return
    clip = lambda v: jnp.clip(v, dense.lower, dense.upper)  # noqa: E731
    whole = lambda v: dense.loss(clip(v))  # noqa: E731
    count, v = _first_order(dense, goal, whole, clip, dense.start, lambda v: v)
    u = np.clip(v, dense.lower, dense.upper)
    free = (v > dense.lower) & (v < dense.upper)
    after = condition(dense.hessian(u)[np.ix_(free, free)])
    yield _row(dense, "hard layer", count, u, after, "what is clipped stays clipped")


def barrier(dense: Dense, goal: Goal) -> Iterator[Row]:
    """Newton steps on loss - mu sum(log(-c)), for a sequence of mu."""
    u = _inside(dense)
    if dense.equalities or np.max(dense.values(u)[1], initial=-1.0) >= 0:
        yield Row("barrier", note="does not apply: no point strictly inside is known")
        return

    def whole(mu: float) -> Callable[[Any], Any]:
        return lambda u: dense.loss(u) - mu * jnp.sum(jnp.log(-dense.conditions(u)[0]))

    total = 0
    for mu in (1.0, 1e-1, *WEIGHTS):
        u, steps, after = _newton(dense, whole(mu), u, goal.steps)
        total += steps
        if mu in WEIGHTS:
            arrived = total if goal.reached(dense, u) else None
            yield _row(dense, "barrier", arrived, u, after, "grows as 1 / mu", f"mu = {mu:g}")


def penalty(dense: Dense, goal: Goal) -> Iterator[Row]:
    """Newton steps on loss + rho / 2 (sum(max(c, 0)^2) + sum(e^2)), for a sequence of rho."""

    def whole(rho: float) -> Callable[[Any], Any]:
        def merit(u: Any) -> Any:
            over, equal = dense.conditions(u)
            return dense.loss(u) + rho / 2 * (jnp.sum(jnp.maximum(over, 0.0) ** 2) + jnp.sum(equal**2))

        return merit

    u, total = dense.start, 0
    for weight in WEIGHTS:
        u, steps, after = _newton(dense, whole(1 / weight), u, goal.steps)
        total += steps
        arrived = total if goal.reached(dense, u) else None
        yield _row(dense, "penalty", arrived, u, after, "violated by about 1 / rho", f"rho = {1 / weight:g}")


def augmented_lagrangian(dense: Dense, goal: Goal) -> Iterator[Row]:
    """The same with multipliers, and a rho that stays."""
    rho = 10 * max(1.0, float(np.linalg.norm(dense.hessian(dense.start), 2)) / 10)
    shapes = [len(a) for a in dense.values(dense.start)[1:]]
    weights, shares = (np.zeros(count) for count in shapes)

    def merit(both: Any) -> Any:
        u, weights, shares = jnp.split(both, np.cumsum([len(dense.start), shapes[0]]))
        over, equal = dense.conditions(u)
        excess = jnp.maximum(over + weights / rho, 0.0)
        return dense.loss(u) + rho / 2 * (jnp.sum(excess**2) + jnp.sum((equal + shares / rho) ** 2))

    joint, n = dense.curvature(merit), len(dense.start)

    def measured(u: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        value, slope, curve = joint(np.concatenate([u, weights, shares]))
        return value, slope[:n], curve[:n, :n]

    u, total, after, arrived = dense.start, 0, np.nan, None
    for _ in range(100):
        u, steps, after = _newton_on(measured, u, goal.steps)
        total += max(1, steps)
        _, over, equal = dense.values(u)
        weights, shares = np.maximum(weights + rho * over, 0.0), shares + rho * equal
        if goal.reached(dense, u):
            arrived = total
            break
    yield _row(dense, "augmented Lagrangian", arrived, u, after, "rho stays", f"rho = {rho:.3g}")


def interior_point(dense: Dense, goal: Goal) -> Iterator[Row]:
    """Primal-dual Newton steps with slacks, the barrier weight following the complementarity."""
    u = _inside(dense)
    _, over, equal = dense.values(u)
    s, w, nu = np.maximum(-over, INSIDE), np.ones(len(over)), np.zeros(len(equal))
    n, m, p = len(u), len(over), len(equal)
    after, arrived, count = np.nan, None, 0
    for count in range(1, 201):
        _, over, equal = dense.values(u)
        slope, rows, level = dense.slopes(u)
        mu = 0.1 * float(s @ w) / max(1, m)
        dual, primal = slope + rows.T @ w + level.T @ nu, over + s
        inside = dense.multiplied(w, nu)(u) + rows.T @ ((w / s)[:, None] * rows)
        after = condition(inside)
        right = -dual - rows.T @ ((mu - s * w + w * primal) / s)
        matrix = np.block([[inside + 1e-10 * np.eye(n), level.T], [level, -1e-12 * np.eye(p)]])
        try:
            both = np.linalg.solve(matrix, np.concatenate([right, -equal]))
        except np.linalg.LinAlgError:
            break
        du, dnu = both[:n], both[n:]
        ds = -primal - rows @ du
        dw = (mu - s * w - w * ds) / s
        reach = [np.min(-x[dx < 0] / dx[dx < 0], initial=np.inf) for x, dx in ((s, ds), (w, dw))]
        length = min(1.0, *(0.99 * float(each) for each in reach))
        u, s, w, nu = u + length * du, s + length * ds, w + length * dw, nu + length * dnu
        if goal.reached(dense, u):
            arrived = count
            break
        if not np.isfinite(u).all():
            break
    note = "large only where the slacks decide already"
    yield _row(dense, "interior point", arrived, u, after, note)


WAYS = (projection, reparametrization, barrier, penalty, augmented_lagrangian, interior_point, hard_layer)


def _row(dense: Dense, way: str, count: int | None, u: np.ndarray, after: float, note: str, setting: str = "") -> Row:
    return Row(way, setting, count, float(dense.values(u)[0]), dense.violation(u), after, note)


def _inside(dense: Dense) -> np.ndarray:
    """The start, moved off the bounds."""
    gap = np.where(np.isfinite(dense.upper - dense.lower), (dense.upper - dense.lower) / 4, np.inf)
    step = np.minimum(INSIDE, gap)
    return np.clip(dense.start, dense.lower + step, dense.upper - step)


def _first_order(
    dense: Dense, goal: Goal, whole: Callable, into: Callable, begin: np.ndarray, back: Callable
) -> tuple[int | None, np.ndarray]:
    """Gradient steps on `whole` at the best of several lengths: how many until the goal, or None; where they ended."""
    curve = float(np.linalg.norm(dense.curvature(whole)(begin)[2], 2))
    limit = goal.loss + goal.tolerance * max(1.0, abs(goal.loss))

    def run(rate: jax.Array) -> tuple[jax.Array, jax.Array]:
        def going(carry: tuple) -> jax.Array:
            count, v = carry
            return (count < goal.steps) & (dense.loss(into(v)) > limit) & jnp.all(jnp.isfinite(v))

        def step(carry: tuple) -> tuple:
            count, v = carry
            return count + 1, back(v - rate * jax.grad(whole)(v))

        return jax.lax.while_loop(going, step, (jnp.zeros((), jnp.int32), jnp.asarray(begin)))

    program = jax.jit(run)
    best: tuple[int | None, np.ndarray] = (None, begin)
    value = np.inf
    for rate in RATES:
        steps, v = program(jnp.asarray(rate / max(curve, 1e-300)))
        found = float(dense.values(into(v))[0])
        arrived = int(steps) if found <= limit else None
        if arrived is not None and (best[0] is None or arrived < best[0]):
            best, value = (arrived, np.asarray(v, np.float64)), found
        elif best[0] is None and np.isfinite(found) and found < value:
            best, value = (None, np.asarray(v, np.float64)), found
    return best


def _newton(dense: Dense, whole: Callable, u: np.ndarray, steps: int) -> tuple[np.ndarray, int, float]:
    return _newton_on(dense.curvature(whole), u, steps)


def _newton_on(measured: Callable, u: np.ndarray, steps: int) -> tuple[np.ndarray, int, float]:
    """Newton steps with a line search: where they end, how many, and the condition of the Hessian there."""
    value, slope, curve = measured(u)
    count = 0
    while count < min(steps, 300):
        values, vectors = np.linalg.eigh((curve + curve.T) / 2)
        sizes = np.maximum(abs(values), 1e-12 * max(abs(values).max(), 1e-300))
        direction = -vectors @ ((vectors.T @ slope) / sizes)
        fall = float(slope @ direction)
        if not np.max(abs(slope)) > 1e-12 * max(1.0, abs(value)):
            break
        length = 1.0
        for _ in range(60):
            found = measured(u + length * direction)
            rounding = 1e-15 * abs(value) * (np.max(abs(found[1])) < np.max(abs(slope)))
            if np.isfinite(found[0]) and found[0] <= value + 1e-4 * length * fall + rounding:
                break
            length /= 2
        else:
            break
        u = u + length * direction
        value, slope, curve = found
        count += 1
    return u, count, condition(curve)
