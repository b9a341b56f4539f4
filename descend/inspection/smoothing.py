"""Whether a function that is flat or discontinuous has a slope when seen from further away, and how far that is."""

from typing import NamedTuple

import numpy as np

from descend.inspection.subject import MEMORY, Subject

SIGMAS = (0.03, 0.1, 0.3, 1.0, 3.0)
SIGNIFICANT = 4.0

POWER = 10.0
"""The significance that a linear function must come to: in many dimensions the noise is drawn from as few of them as
this takes, because what cannot be seen for want of samples is not uninformative."""


class Smoothed(NamedTuple):
    """The gradient through Gaussian noise, at several scales.

    Attributes:
        sigma: the smallest noise, in the units of x, through which a gradient is significant; None if there is none.
        z: for each sigma tried, the significance.
        constant: whether the value was the same at every sample.
    """

    sigma: float | None
    z: dict[float, float]
    constant: bool


def smoothed(subject: Subject, count: int) -> Smoothed:
    """Tests `count` antithetic gradient estimates at each scale of noise.

    The squared length of the mean gradient is estimated without bias by the mean of g_i . g_j over pairs of distinct
    samples; under no gradient its deviation is that of the pairs over the root of their number (a degenerate
    U-statistic, as in Chen and Qin 2010, "A two-sample test for high-dimensional data"). Of a linear function of m
    variables that is count / sqrt(2 m); of more variables than that allows, the noise is a random combination of m
    directions, each coordinate's deviation unchanged, and the gradient is the one by the m coefficients.
    """
    rng = np.random.default_rng(0)
    count = max(16, min(count, MEMORY // (2 * subject.x.size)))
    unit, size = float(np.median(subject.scale)), subject.x.size
    kept = max(1, int(count**2 / (2 * POWER**2)))
    z: dict[float, float] = {}
    constant = True
    smallest = None
    for factor in SIGMAS:
        sigma = float(f"{factor * unit:.3g}")
        few = rng.normal(size=(count, min(size, kept)))
        noise = few if size <= kept else few @ rng.normal(size=(kept, size)) / np.sqrt(kept)
        points = np.concatenate([subject.x + sigma * noise, subject.x - sigma * noise])
        values = subject.values(points)[:, 0]
        constant &= bool(np.all(values == values[0]))
        odd = np.nan_to_num(values[:count] - values[count:], nan=0.0, posinf=0.0, neginf=0.0)
        products = (few @ few.T) * odd[:, None] * odd
        pairs = products[np.triu_indices(count, 1)]
        spread = np.sqrt(np.mean(pairs**2))
        z[sigma] = float(pairs.mean() / spread * np.sqrt(len(pairs))) if spread > 0 else 0.0
        if z[sigma] > SIGNIFICANT and np.count_nonzero(odd) >= 8:
            smallest = sigma
            break
    return Smoothed(smallest, z, constant)
