"""What values near a point say about it, independently of its derivatives: noise, kinks, and whether the loss falls."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from scipy import sparse

from descend.solvers.flat import Flat
from descend.solvers.saddle_system import least_norm
from descend.solvers.sparsity import stretched, unit_rows

PROBES = 8  # sampled directions


@dataclass(frozen=True)
class Steps:
    """Lengths of steps, in units of the variables' scales, that suit a precision.

    Attributes:
        tiny: where differences are rounding.
        fine, coarse: two lengths, a factor of ten apart, at which one-sided slopes are compared.
        falls: where the loss is compared with that at the point, shortest first.
    """

    tiny: float
    fine: float
    coarse: float
    falls: tuple[float, ...]


def steps(dtype: np.dtype) -> Steps:
    """The steps for a precision."""
    if np.finfo(dtype).bits >= 64:
        return Steps(1e-9, 1e-6, 1e-5, (1e-5, 1e-4, 1e-3, 1e-2))
    return Steps(1e-5, 1e-3, 1e-2, (3e-2, 1e-1))


@dataclass(frozen=True)
class Surroundings:
    """What one batch of values around a point shows.

    Attributes:
        noise: size of the rounding errors in the loss.
        variation: how far the loss varies within one scale of the point; infinite if nothing there can be evaluated.
        mismatch: the largest part of a one-sided slope of the loss, in units of the tolerance below it, that the
            gradient leaves unexplained at every step, over what rounding explains: above 1, the gradient is not the
            derivative of the loss here.
        kinked: the indices of given constraint rows for which the same is true.
        jumps: whether the loss differs at a step where it can only differ by rounding.
        stuck: whether the loss is constant around the point but lower elsewhere within one scale: a step of a
            staircase, where a vanishing derivative says nothing.
    """

    noise: float
    variation: float
    mismatch: float
    kinked: np.ndarray
    jumps: bool
    stuck: bool


def survey(
    flat: Flat,
    point: np.ndarray,
    gradient: np.ndarray,
    active: np.ndarray,
    rows: Any,
    tolerance: float,
    varies: float = 0.0,
) -> Surroundings:
    """Values along random feasible directions, at four lengths and at one scale.

    The part of f(x + hd) - f(x) - h g.d that shrinks slower than h is a kink or a wrong derivative: what two lengths a
    factor of ten apart extrapolate to at h = 0 (Richardson), unless the smaller length alone halves it.

    Args:
        flat: the problem.
        point: shape (n,), in the domain.
        gradient: of the loss there.
        active: indices of constraint values.
        rows: their gradients there.
        tolerance: the slope, in scaled variables, that does not matter, relative to min(1, variation).
        varies: what the variation is known to be at least.
    """
    lengths = steps(flat.dtype)
    away = directions(flat, point, lengths.coarse)
    far = flat.scale * np.random.default_rng(1).uniform(-1, 1, (PROBES, flat.size))
    near = [flat.round(point + h * away) for h in (lengths.tiny, lengths.fine, lengths.coarse)]
    ring, reach = flat.members(point + lengths.falls[-1] * far), flat.members(point + far)
    loss, constraints = flat.values(np.concatenate([point[None], *near, ring, reach]))
    fx, here, around, there = loss[0], *np.split(loss[1:], [3 * PROBES, 4 * PROBES])
    cx, constraints = constraints[0], constraints[1 : 1 + 3 * PROBES]
    apart = abs(there - fx)
    variation = float(np.max(apart[np.isfinite(apart)], initial=varies)) if np.isfinite(apart).any() else np.inf

    moved = np.concatenate(near) - point
    rounding = 100 * float(np.finfo(flat.dtype).eps)
    unexplained = (here - fx - moved @ gradient).reshape(3, PROBES)
    noise = float(np.max(abs(unexplained[0]))) + rounding * (
        abs(fx) + lengths.fine * np.sum(abs(gradient * flat.scale))
    )
    slack = 10 * tolerance * min(1.0, variation)
    mismatch = _jump(unexplained, noise, slack, lengths)
    kinked = []
    scaled = stretched(rows, np.ones(len(active)), flat.scale)
    sizes = abs(scaled).max(axis=1).toarray() if sparse.issparse(rows) else np.max(abs(scaled), axis=1, initial=0.0)
    apart = (constraints[:, active] - cx[active] - (rows @ moved.T).T).T.reshape(len(active), 3, PROBES)
    for index, left, size in zip(active, apart, sizes, strict=True):
        error = float(np.max(abs(left[0]))) + rounding * (abs(cx[index]) + lengths.fine * size)
        if _jump(left, error, 10 * tolerance * max(size, float(flat.unit[index])), lengths) > 1:
            kinked.append(index)
    jumps = bool(np.max(abs(unexplained[0])) > 1e-4 * min(1.0, variation) + 100 * rounding * abs(fx))
    constant = not gradient.any() and bool(np.all(abs(around - fx) <= rounding * abs(fx)))
    stuck = constant and bool(np.any(there < fx - rounding * abs(fx)))
    return Surroundings(noise, variation, mismatch, np.array(kinked, int), jumps, stuck)


def _jump(unexplained: np.ndarray, noise: float, slack: float, lengths: Steps) -> float:
    """The slope left at h = 0 over what does not count; infinite if values stop being finite."""
    if not np.isfinite(unexplained).all():
        return np.inf
    fine, coarse = abs(unexplained[1]) / lengths.fine, abs(unexplained[2]) / lengths.coarse
    left = abs(10 * unexplained[1] / lengths.fine - unexplained[2] / lengths.coarse) / 9
    allowed = slack + 20 * noise / lengths.fine + 0.01 * coarse
    return float(np.max(np.where(fine > 0.5 * coarse, left / np.maximum(allowed, 1e-300), 0.0), initial=0.0))


def directions(flat: Flat, point: np.ndarray, length: float) -> np.ndarray:
    """Random directions of about one scale, shape (PROBES, n), along which a step of that length stays in the domain.

    In a box all coordinates move, those near a bound away from it; the second half of the directions opposes the first
    as far as bounds allow. In another convex set a direction leads to a random member.
    """
    box = flat.problem.domain.box
    if box is None:
        keys = jax.random.split(jax.random.key(0), PROBES)
        members = np.array([flat.problem.domain.ravel(flat.problem.domain.sample(key)) for key in keys], np.float64)
        away = members - point
        longest = np.max(abs(away / flat.scale), axis=1, initial=0.0, keepdims=True)
        return away / np.maximum(longest, 1e-300)
    generator = np.random.default_rng(0)
    half = generator.choice([-1.0, 1.0], (PROBES // 2, flat.size)) * generator.uniform(
        0.5, 1.0, (PROBES // 2, flat.size)
    )
    away = np.concatenate([half, -half]) * flat.scale
    step = length * flat.scale
    above, below = point + step > box[1], point - step < box[0]
    away = np.where(above, -abs(away), np.where(below, abs(away), away))
    return np.where(above & below, 0.0, away)


def lower_nearby(
    flat: Flat,
    point: np.ndarray,
    loss: float,
    active: np.ndarray,
    rows: Any,
    slope: np.ndarray,
    slack: np.ndarray,
    force: np.ndarray,
    noise: float,
    tolerance: float,
) -> tuple[float, float] | None:
    """Where the loss falls close to the point beyond what its first-order conditions allow: (distance, fall) or None.

    Random feasible steps, corrected onto the active constraints by a Gauss-Newton step repeated with the Jacobian of
    the point. Starting with the shortest: a length at which every feasible sample rises clearly ends the search with
    None, because further valleys are none of this point's business.

    Args:
        flat: the problem.
        point: shape (n,).
        loss: its loss.
        active: indices of the active constraint values, shape (k,).
        rows: their gradients, shape (k, n).
        slope: what stationarity leaves of the Lagrangian's gradient, and what bounds at a distance carry, shape (n,).
        slack: distance of the active values from their bounds, shape (k,).
        force: |multipliers| of the active values, shape (k,).
        noise: of the loss.
        tolerance: the scaled violation that a sample may have.
    """
    back = _led_back(stretched(rows, np.ones(len(active)), flat.scale))
    generator = np.random.default_rng(2)
    for length in steps(flat.dtype).falls:
        moves = length * generator.uniform(-1, 1, (PROBES, flat.size)) * flat.scale
        sample = flat.members(point + moves)
        values, constraints = flat.values(sample)
        for _ in range(4 if flat.constraints else 0):
            off = (flat.residual(constraints) * flat.unit)[:, active]
            if not off.any():
                break
            sample = flat.members(sample - flat.scale * back(off))
            values, constraints = flat.values(sample)
        feasible = flat.violation(constraints) <= tolerance
        off = abs(flat.residual(constraints) * flat.unit)[:, active]
        allowed = abs(sample - point) @ abs(slope) + (off + slack) @ force + 20 * noise
        change = values - loss
        fallen = feasible & np.isfinite(change) & (change < -allowed)
        if fallen.any():
            return length, float(-np.min(change[fallen]))
        if feasible.any() and np.all(change[feasible] > allowed[feasible]):
            return None
    return None


def _led_back(rows: Any) -> Callable[[np.ndarray], np.ndarray]:
    """The least steps that change the values with these rows, dense or sparse, by what is given, (k, m) to (k, n)."""
    if not rows.shape[0]:
        return lambda off: np.zeros((len(off), rows.shape[1]))
    if not sparse.issparse(rows):
        inverse = np.linalg.pinv(rows, rcond=1e-10)
        return lambda off: off @ inverse.T
    even, size = unit_rows(rows)
    system, none = least_norm(even), np.zeros(rows.shape[1])
    return lambda off: np.array([system.solve(none, each / size)[0] for each in off])
