"""How far a variable must move to matter: the scales of variables for which nobody stated any."""

import numpy as np

from descend.solvers.flat import Flat
from descend.solvers.segments import nanoseconds

FAR = 1e4  # times the scale in use: as long as all lie within, they are left as they are
DECADES = 10.0 ** np.arange(-12, 13)  # lengths of moves that are tried
LONG = 1e9  # nanoseconds of evaluations, beyond which nothing is measured
PROBES = 8  # points, from which the unit of the loss is taken
LOOKS = 3  # of them, where the constraints' gradients are looked at
ROUNDING = 1e-8  # of the loss: a change below it is none


def measured(flat: Flat, point: np.ndarray, share: float = ROUNDING) -> np.ndarray | None:
    """The scales of all variables at a point, or None where those in use are right to four orders of magnitude.

    The scale of a variable that has none stated is the power of ten by which it alone must move until the loss has
    changed by one unit, in the direction that takes longer: a unit is min(1, the variation of the loss around the
    point), but not less than a share of the loss. Only values decide, so that neither a vanishing derivative nor a
    sharp one misleads. A variable that the loss does not see is brought to the length, in the constraints' gradients
    at the point and around it, of those that it does.

    Takes 4 n + 20 values, and 50 n more where some are far off. None without asking beyond `Flat.dense`, or
    where that would take long.

    Args:
        flat: a problem over a box.
        point: shape (n,).
        share: of the loss.

    Returns:
        Shape (n,): those that are stated as they are.
    """
    asked = np.flatnonzero(flat.unstated)
    if not len(asked) or not flat.dense or flat.problem.domain.box is None:
        return None
    if not 4 * len(asked) * nanoseconds(flat.problem) <= LONG:
        return None
    generator = np.random.default_rng(4)
    away = generator.uniform(-1, 1, (2, PROBES, flat.size))
    around = point + np.concatenate([away[0] * flat.scale, away[1] * np.maximum(abs(point), flat.scale)])
    loss = flat.values(np.concatenate([point[None], flat.members(around)]))[0]
    if not np.isfinite(loss[0]):
        return None
    apart = abs(loss[1:] - loss[0])
    unit = min(1.0, float(np.max(apart[np.isfinite(apart)], initial=0.0)) or 1.0)
    unit = max(unit, share * abs(loss[0]))

    def changes(index: np.ndarray, length: np.ndarray) -> np.ndarray:
        """Of the loss, by moves up and down, shape (k, 2); infinite where there is no value."""
        moved = np.repeat(point[None], 2 * len(index), axis=0)
        moved[np.arange(len(index)), index] += length
        moved[len(index) + np.arange(len(index)), index] -= length
        found = abs(flat.values(flat.members(moved))[0] - loss[0])
        return np.nan_to_num(found, nan=np.inf).reshape(2, -1).T

    near, far = changes(asked, flat.scale[asked] / FAR), changes(asked, flat.scale[asked] * FAR)
    right = (near.min(axis=1) < unit) & (far.max(axis=1) >= unit)
    doubtful, unseen = asked[~right], np.zeros(flat.size, bool)
    if not len(doubtful):
        return None
    farthest = np.maximum(far[~right], changes(doubtful, np.full(len(doubtful), DECADES[-1])))
    unseen[doubtful] = ~farthest.any(axis=1)
    rows = _lengths(flat, np.array([point, *around[:LOOKS]])) if unseen.any() else np.zeros((0, flat.size))
    scale = _by_constraints(rows, flat.scale, unseen)
    if np.all(unseen[doubtful]) and not _far(scale, flat.scale):
        return None
    seen, count, scale = asked[~unseen[asked]], len(DECADES), flat.scale.copy()
    steps = changes(np.repeat(seen, count), np.tile(DECADES, len(seen))).reshape(len(seen), count, 2)
    for index, each in zip(seen, steps, strict=True):
        reached = _reached(each, unit)
        unseen[index] = reached is None
        scale[index] = scale[index] if reached is None else reached
    scale = _by_constraints(rows, scale, unseen & rows.any(axis=0))
    return scale if _far(scale, flat.scale) else None


def _lengths(flat: Flat, points: np.ndarray) -> np.ndarray:
    """|Jacobian| of the constraints, the largest over points: an entry may vanish at one of them."""
    found = [np.nan_to_num(abs(flat.first(y)[3]), posinf=0.0) for y in flat.members(points)]
    return np.max(found, axis=0)


def _far(scale: np.ndarray, before: np.ndarray) -> bool:
    return bool(np.any(np.maximum(scale / before, before / scale) > FAR))


def _reached(changes: np.ndarray, unit: float) -> float | None:
    """The first of `DECADES` with a change of a unit, on the side where it comes later; None where it never does.

    A change that comes at once, with none at a tenth of the length, is a jump: where that is says nothing about scales.
    """
    lengths, sudden = [], []
    for side in changes.T:
        beyond = np.flatnonzero(side >= unit)
        if len(beyond) and beyond[0] > 0 and side[beyond[0] - 1] > 0:
            (lengths if np.isfinite(side[beyond[0]]) else sudden).append(float(DECADES[beyond[0]]))
    found = lengths or sudden
    return max(found) if found else None


def _by_constraints(rows: np.ndarray, scale: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """The unknown scales from known ones of variables in the same constraints: from row to row, as far as they reach.

    Args:
        rows: |Jacobian|, shape (m, n).
        scale: shape (n,).
        unknown: which scales are to be found.
    """
    scale, unknown = scale.copy(), unknown & (rows > 0).any(axis=0)
    while unknown.any():
        known = ~unknown
        length = np.max(rows[:, known] * scale[known], axis=1, initial=0.0)
        reach = np.max(rows / np.where(length > 0, length, np.inf)[:, None], axis=0, initial=0.0)
        found = unknown & (reach > 0)
        if found.any():
            scale[found] = 10.0 ** np.round(-np.log10(reach[found]))
            unknown &= ~found
            continue
        first = int(np.flatnonzero(rows[:, unknown].any(axis=1))[0])  # nothing reaches it: its own entries decide
        found = unknown & (rows[first] > 0)
        scale[found] = 10.0 ** np.round(-np.log10(rows[first, found]))
        unknown &= ~found
    return scale
