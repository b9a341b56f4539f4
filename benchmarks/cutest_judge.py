"""Is a point a Karush-Kuhn-Tucker point? In NumPy, for all solvers alike; nothing of descend is used."""

from typing import Any

import numpy as np
import scipy.optimize

TOLERANCE = 1e-6  # of feasibility; and, times max(1, |grad f|), of stationarity and complementarity
REACH = (1e-6, 1e-4, 1e-2)  # distances up to which an inequality or a bound may carry a force


def judge(x: np.ndarray, values: Any, lower: np.ndarray, upper: np.ndarray) -> tuple[float, bool]:
    """The largest violation at x, and whether the conditions hold.

    Args:
        x: shape (n,).
        values: x -> (gradient, equalities, their Jacobian, inequalities >= 0, their Jacobian).
        lower: bounds on x.
        upper: likewise.
    """
    with np.errstate(all="ignore"):
        gradient, equal, equal_rows, least, least_rows = values(x)
        outside = np.maximum(lower - x, x - upper) / np.maximum(
            1.0, np.nan_to_num(abs(np.where(x < lower, lower, upper)), posinf=1.0)
        )
        violation = float(
            max(np.max(abs(equal), initial=0.0), np.max(-least, initial=0.0), np.max(outside, initial=0.0))
        )
    if not (np.isfinite(violation) and np.isfinite(gradient).all() and violation <= TOLERANCE):
        return violation if np.isfinite(violation) else np.inf, False
    limit = TOLERANCE * max(1.0, float(np.max(abs(gradient), initial=0.0)))
    eye = np.eye(len(x))
    for reach in REACH:
        active = least <= reach
        low, high = x - lower <= reach * np.maximum(1, abs(x)), upper - x <= reach * np.maximum(1, abs(x))
        signed = np.concatenate([least_rows[active], eye[low], -eye[high]])
        slack = np.concatenate([least[active], (x - lower)[low], (upper - x)[high]]).clip(0)
        rows = np.concatenate([equal_rows, signed])
        length = np.linalg.norm(rows, axis=1)
        length = np.where(length > 0, length, 1.0)
        gaps = np.concatenate([np.zeros(len(equal)), slack]) / length
        if not np.isfinite(rows).all():
            return violation, False
        forces = np.zeros(len(rows))
        if len(rows):
            system = np.concatenate([(rows / length[:, None]).T, np.diag(gaps)])
            target = np.concatenate([gradient, np.zeros(len(rows))])
            below = np.concatenate([np.full(len(equal), -np.inf), np.zeros(len(slack))])
            forces = scipy.optimize.lsq_linear(
                system, target, (below, np.inf), method="bvls" if len(rows) < 500 else "trf", tol=1e-14
            ).x
        rest = np.max(abs(gradient - forces @ (rows / length[:, None])), initial=0.0)
        if rest <= limit and np.max(abs(forces) * gaps, initial=0.0) <= limit:
            return violation, True
    return violation, False
