"""Breaks at equations without two sides that the program reader could tell: found from values and slopes alone."""

from typing import NamedTuple

import numpy as np

from descend.inspection.lines import Sweep, share
from descend.inspection.subject import Subject

SUSPICIOUS = 1e-3
"""Below this a mismatch, relative to the objective's range and steepest slope, is not looked into."""

CLOSE = 0.45
"""Over intervals shorter than this power of the precision, relative to a line, a change of slope is a kink."""

TRIES = 3
"""How many intervals are looked into, each on another line."""


class Blind(NamedTuple):
    """A break whose equation is not known.

    Attributes:
        word: `flat`, `jumps` or `kinked`.
        gap, slope_gap: the jumps of value and slope of the objective there.
        line: the index of the line of the sweep.
        low, high: between what places on it.
    """

    word: str
    gap: float
    slope_gap: float
    line: int
    low: float
    high: float


def find(subject: Subject, swept: Sweep, explained: np.ndarray) -> Blind | None:
    """Closes in on the intervals where value and slopes of the objective disagree most, one on each line.

    Args:
        subject: the problem.
        swept: its sweep.
        explained: (lines, points - 1), intervals to leave out.
    """
    worst = mismatches(subject, swept, explained)
    first = {line: (line, index) for line, index in reversed(worst)}
    for place in sorted(first.values(), key=worst.index)[:TRIES]:
        blind = closed(subject, swept, *place)
        if blind is not None:
            slopes = swept.slopes[..., 0]
            level = (slopes[np.isfinite(slopes)] == 0).mean() > 0.9
            return blind._replace(word="flat") if level and blind.word == "jumps" else blind
    return None


def mismatches(subject: Subject, swept: Sweep, explained: np.ndarray) -> list[tuple[int, int]]:
    """The intervals where value and slopes of the objective disagree, the worst first: indices of line and interval."""
    score = _score(swept.t, swept.values[..., :1], swept.slopes[..., :1], *_usual(swept), subject.eps)
    score = np.where(explained | ~swept.finite(), -1.0, score)
    order = np.argsort(-score, axis=None, kind="stable")
    places = zip(*np.unravel_index(order, score.shape), strict=True)
    return [(int(line), int(index)) for line, index in places if score[line, index] >= SUSPICIOUS]


def _usual(swept: Sweep) -> tuple[float, float]:
    """The range and the steepest slope of the objective."""
    slopes = np.where(np.isfinite(swept.slopes[..., 0]), swept.slopes[..., 0], 0.0)
    return max(swept.range[:, 0].max(), 1e-300), max(abs(slopes).max(), 1e-300)


def closed(subject: Subject, swept: Sweep, line: int, index: int) -> Blind | None:
    """What is left of the mismatch in an interval of a line, where it is closed in upon."""
    span, steep = _usual(swept)
    t, count = swept.t[line, index : index + 2], subject.lanes
    values, slope = swept.values[line, index : index + 2, 0], swept.slopes[line, index : index + 2, 0]
    coarse, kink = np.inf, None
    for _ in range(int(np.ceil(-np.log2(subject.eps) * 0.6 / np.log2(count - 1)))):
        t, coarse = np.linspace(t[0], t[-1], count), abs(slope[1] - slope[0])
        now = subject.sample(t, [swept.lines[line]], np.zeros(count, int))
        worst = int(
            np.argmax(_score(t[None], now.values[None, :, :1], now.slopes[None, :, :1], span, steep, subject.eps))
        )
        t, values, slope = t[worst : worst + 2], now.values[worst : worst + 2, 0], now.slopes[worst : worst + 2, 0]
        gap, slope_gap = float(values[1] - values[0]), float(slope[1] - slope[0])
        at = (gap, slope_gap, line, float(t[0]), float(t[1]))
        # The slope of a steep but smooth function changes less over a shorter interval; at a kink it does not. Closer
        # than the root of the precision the slopes of roots are badly rounded: the interval before tells then.
        if t[1] - t[0] < subject.eps**CLOSE and abs(slope_gap) > max(1e-3 * steep, 0.5 * coarse):
            kink = Blind("kinked", *at)
    jump = abs(gap) > np.sqrt(subject.eps) * span + 2 * abs(slope).max() * (t[1] - t[0])
    return Blind("jumps", *at) if jump else kink  # type: ignore[arg-type]


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
