"""Are the scales of variables that a certificate was made in right? From values alone."""

from typing import Any

import numpy as np

from descend.check.conditions import Found
from descend.check.values import Values
from descend.solution import Certificate


def matter(values: Values, x: np.ndarray, certificate: Certificate) -> Found:
    """That the scales of variables are not so small that everything is stationary: ten of them matter.

    To the loss; or, of a variable that the loss does not see at any distance, to a constraint as much as the other
    variables in it.
    """
    found = np.asarray(certificate.scales, np.float64)
    claimed = f"{np.min(found):.0e} to {np.max(found):.0e}"
    if found.shape != x.shape or not (np.isfinite(found) & (found > 0)).all():
        return ("scales", claimed, "they are not positive numbers, one a variable", False)
    here, domain = values(x), values.problem.domain
    smaller = np.flatnonzero(found < values.scale)
    if np.any(~domain.unstated[smaller]):
        return ("scales", claimed, "smaller than a scale that is stated", False)

    def moved(index: Any, step: float) -> np.ndarray:
        """What moves of a variable change, the larger change of those up and down; infinite where there is no value."""
        unit = np.eye(x.size)[index]
        ends = [domain.unravel(x + sign * step * unit) for sign in (1, -1)]
        changes = [abs(values(np.asarray(domain.ravel(domain.project(end)), np.float64)) - here) for end in ends]
        return np.max(np.nan_to_num(changes, nan=np.inf), axis=0)

    least = 0.01 * min(1.0, certificate.scale)
    blind = [index for index in smaller if moved(index, 10 * found[index])[0] < least]
    if blind:
        reach = np.array([moved(index, found[index])[1:] for index in range(x.size)])
        seen = [moved(index, 1e12)[0] > 0 or not np.any(reach[index] >= 0.01 * reach.max(axis=0)) for index in blind]
        if any(seen) or not reach.size:
            return ("scales", claimed, f"{len(blind)} of {x.size} are too small to matter", False)
    return ("scales", claimed, "each matters", True)
