"""Breaks at equations without two sides that the program reader could tell: found from values and slopes alone."""

from typing import Any, NamedTuple

import numpy as np

from descend.inspection.lines import Sweep, share
from descend.inspection.subject import Subject

SUSPICIOUS = 1e-3
"""Below this a mismatch, relative to the objective's range and steepest slope, is not looked into."""

LEAST = 1e-4
"""What a line's range and slopes are taken for at least, as a share of those of the steepest line near by."""

CLOSE = 0.45
"""Over intervals shorter than this power of the precision, relative to a line, a change of slope is a kink."""

TRIES = 3
"""On how many lines at most intervals are looked into."""


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
    """Closes in on the intervals where value and slopes of the objective disagree most, or the slope bends most
    sharply, one of each on each line.

    Args:
        subject: the problem.
        swept: its sweep.
        explained: (lines, points - 1), intervals to leave out.
    """
    worst = mismatches(subject, swept, explained)
    largest = {line: (line, index) for line, index in reversed(worst)}
    # Where a line is steep, the largest mismatch is curvature; a kink bends most for the slope there.
    share = _bent(swept.t, swept.slopes[..., 0])[1]
    sharpest = {line: (line, index) for line, index in sorted(worst, key=lambda place: share[place])}
    for place in sorted({*largest.values(), *sharpest.values()}, key=worst.index)[: 2 * TRIES]:
        blind = closed(subject, swept, *place)
        if blind is not None:
            slopes = swept.slopes[..., 0]
            level = (slopes[np.isfinite(slopes)] == 0).mean() > 0.9
            return blind._replace(word="flat") if level and blind.word == "jumps" else blind
    return None


def mismatches(subject: Subject, swept: Sweep, explained: np.ndarray) -> list[tuple[int, int]]:
    """The intervals where value and slopes of the objective disagree, the worst first: indices of line and interval."""
    span, steep = _usual(swept)
    score = _score(swept.t, swept.values[..., :1], swept.slopes[..., :1], span[:, None], steep[:, None], subject.eps)
    score = np.where(explained | ~swept.finite(), -1.0, score)
    order = np.argsort(-score, axis=None, kind="stable")
    places = zip(*np.unravel_index(order, score.shape), strict=True)
    return [(int(line), int(index)) for line, index in places if score[line, index] >= SUSPICIOUS]


def _usual(swept: Sweep) -> tuple[np.ndarray, np.ndarray]:
    """The range and the steepest slope of the objective on each line, shape (lines,); not much less than on others that
    are near, where rounding would show."""
    slopes = np.where(np.isfinite(swept.slopes[..., 0]), swept.slopes[..., 0], 0.0)
    near = np.where(swept.far, 0.0, LEAST)
    span, steep = (
        np.maximum(each, max((near * each).max(), 1e-300)) for each in (swept.range[:, 0], abs(slopes).max(1))
    )
    return span, steep


def closed(subject: Subject, swept: Sweep, line: int, index: int) -> Blind | None:
    """What is left of the mismatch in an interval of a line, where it is closed in upon."""
    span, steep = (float(each[line]) for each in _usual(swept))
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


def _score(t: np.ndarray, values: np.ndarray, slopes: np.ndarray, span: Any, steep: Any, eps: float) -> np.ndarray:
    """(lines, points - 1): how far each interval is from smooth: its mismatch of value, and its change of slope beyond
    that of its neighbors, as the curvature of a steep but smooth function is no break."""
    mismatch = share(t, values, slopes, eps)[..., 0] * abs(np.diff(values[..., 0], axis=1)) / span
    excess, _ = _bent(t, slopes[..., 0])
    return np.nan_to_num(mismatch + excess / steep, nan=-1.0, posinf=-1.0)


def _bent(t: np.ndarray, slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(lines, points - 1): the change of slope over each interval beyond that of its neighbors, and its share."""
    change, width = np.diff(slopes, axis=1), np.diff(t)
    curvature = change / width
    # At an end the next but one stands in: the next one alone would make a break there look like one here.
    left, right = (
        np.concatenate(parts, axis=1)
        for parts in ((curvature[:, 2:3], curvature[:, :-1]), (curvature[:, 1:], curvature[:, -3:-2]))
    )
    excess = np.minimum(abs(curvature - left), abs(curvature - right)) * width
    return excess, np.nan_to_num(excess / np.maximum(abs(change), 1e-300))
