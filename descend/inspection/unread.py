"""Breaks at equations that the program reader does not know: found from values and slopes alone."""

from typing import NamedTuple

import numpy as np

from descend.inspection.lines import Sweep, share
from descend.inspection.subject import Samples, Subject


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
    steep = max(abs(slopes).max(), 1e-300)
    bend = abs(np.diff(slopes, axis=1)) / steep
    size = np.diff(swept.values[..., 0], axis=1)
    score = np.nan_to_num(swept.gaps[..., 0] * abs(size) / max(swept.range[:, 0].max(), 1e-300)) + bend
    score = np.where(explained | ~swept.finite(), -1.0, score)
    line, index = np.unravel_index(int(np.argmax(score)), score.shape)
    if score[line, index] < 1e-3:
        return None
    t = swept.t[line, index : index + 2]
    ends = [Samples(*(part[line, index + side] for part in swept[3:6])) for side in (0, 1)]
    span = max(swept.range[line, 0], 1e-300)
    for _ in range(int(-np.log2(subject.eps) * 0.6)):
        middle = t.mean()
        now = Samples(*(part[0] for part in subject.sample(np.array([middle]), [swept.lines[line]])))
        halves = [(ends[0], now), (now, ends[1])]
        times = [np.array([t[0], middle]), np.array([middle, t[1]])]
        scores = [_score(at, *half, span, steep, subject.eps) for at, half in zip(times, halves, strict=True)]
        worse = int(scores[1] > scores[0])
        ends, t = list(halves[worse]), times[worse]
    gap = ends[1].values[0] - ends[0].values[0]
    slope_gap = ends[1].slopes[0] - ends[0].slopes[0]
    steepest = max(abs(ends[0].slopes[0]), abs(ends[1].slopes[0])) * (t[1] - t[0])
    if abs(gap) > np.sqrt(subject.eps) * span + 2 * steepest:
        level = (slopes == 0).mean() > 0.9
        return Blind("flat" if level else "jumps", float(gap), float(slope_gap))
    if abs(slope_gap) > 10 * np.sqrt(subject.eps) * steep and abs(gap) <= 2 * steepest + span * np.sqrt(subject.eps):
        return Blind("kinked", float(gap), float(slope_gap))
    return None


def _score(t: np.ndarray, a: Samples, b: Samples, span: float, steep: float, eps: float) -> float:
    both = Samples(*(np.stack([x, y])[None] for x, y in zip(a, b, strict=True)))
    mismatch = share(t[None], both, eps)[0, 0, 0] * abs(b.values[0] - a.values[0]) / span
    return float(np.nan_to_num(mismatch + abs(b.slopes[0] - a.slopes[0]) / steep))
