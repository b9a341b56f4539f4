"""Breaks at equations that the program reader does not know: found from values and slopes alone."""

from typing import NamedTuple

import numpy as np

from descend.inspection.lines import Sweep, share
from descend.inspection.subject import Subject

SUSPICIOUS = 1e-3
"""Below this a mismatch, relative to the objective's range and steepest slope, is not looked into."""


class Blind(NamedTuple):
    """A break whose equation is not known: its word, and the jumps of value and slope of the objective there."""

    word: str
    gap: float
    slope_gap: float


def find(subject: Subject, swept: Sweep, explained: np.ndarray) -> Blind | None:
    """Closes in on the interval where value and slopes of the objective disagree most.

    Args:
        subject: the problem.
        swept: its sweep.
        explained: (lines, points - 1), intervals to leave out.
    """
    slopes = np.where(np.isfinite(swept.slopes[..., 0]), swept.slopes[..., 0], 0.0)
    steep, span = max(abs(slopes).max(), 1e-300), max(swept.range[:, 0].max(), 1e-300)
    score = _score(swept.t, swept.values[..., :1], swept.slopes[..., :1], span, steep, subject.eps)
    score = np.where(explained | ~swept.finite(), -1.0, score)
    line, index = np.unravel_index(int(np.argmax(score)), score.shape)
    if score[line, index] < SUSPICIOUS:
        return None
    t, count = swept.t[line, index : index + 2], subject.lanes
    values, slope = swept.values[line, index : index + 2, 0], swept.slopes[line, index : index + 2, 0]
    coarse = np.inf
    for _ in range(int(np.ceil(-np.log2(subject.eps) * 0.6 / np.log2(count - 1)))):
        t, coarse = np.linspace(t[0], t[-1], count), abs(slope[1] - slope[0])
        now = subject.sample(t, [swept.lines[line]], np.zeros(count, int))
        worst = int(
            np.argmax(_score(t[None], now.values[None, :, :1], now.slopes[None, :, :1], span, steep, subject.eps))
        )
        t, values, slope = t[worst : worst + 2], now.values[worst : worst + 2, 0], now.slopes[worst : worst + 2, 0]
    gap, slope_gap = float(values[1] - values[0]), float(slope[1] - slope[0])
    smallest = np.sqrt(subject.eps) * span + 2 * abs(slope).max() * (t[1] - t[0])
    if abs(gap) > smallest:
        level = (slopes == 0).mean() > 0.9
        return Blind("flat" if level else "jumps", gap, slope_gap)
    # The slope of a steep but smooth function changes less over a shorter interval; at a kink it does not.
    if abs(slope_gap) > max(1e-3 * steep, 0.5 * coarse):
        return Blind("kinked", gap, slope_gap)
    return None


def _score(t: np.ndarray, values: np.ndarray, slopes: np.ndarray, span: float, steep: float, eps: float) -> np.ndarray:
    """(lines, points - 1): how far each interval is from smooth: its mismatch of value, and its change of slope beyond
    that of its neighbors, as the curvature of a steep but smooth function is no break."""
    mismatch = share(t, values, slopes, eps)[..., 0] * abs(np.diff(values[..., 0], axis=1)) / span
    change, width = np.diff(slopes[..., 0], axis=1), np.diff(t)
    curvature = change / width
    left, right = (
        np.concatenate(parts, axis=1)
        for parts in ((curvature[:, 1:2], curvature[:, :-1]), (curvature[:, 1:], curvature[:, -2:-1]))
    )
    excess = np.minimum(abs(curvature - left), abs(curvature - right)) * width
    return np.nan_to_num(mismatch + excess / steep, nan=-1.0, posinf=-1.0)
