"""Sampling a problem along random lines through its center: the one measurement that all derivative words rest on."""

from typing import NamedTuple

import numpy as np

from descend.inspection.subject import Line, Subject


class Sweep(NamedTuple):
    """A problem along several lines.

    Attributes:
        lines: the lines.
        far: for each, whether it reaches beyond one scale from the center (non-finite numbers there are no surprise).
        t: (lines, points), increasing along each line.
        values, slopes, marks: as in `Samples`, with a leading axis for the lines.
        gaps: (lines, points - 1, outputs): how far the change over each interval is from the integral of the slopes
            (trapezoid rule), as a share of the larger of both; NaN where something is not finite.
        range: (lines, outputs): largest minus smallest finite value.
    """

    lines: list[Line]
    far: np.ndarray
    t: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    marks: np.ndarray
    gaps: np.ndarray
    range: np.ndarray

    def changes(self, sites: list[int]) -> np.ndarray:
        """(lines, points - 1): whether the fingerprint of any of these candidates differs between neighbors."""
        return (self.marks[:, 1:, sites] != self.marks[:, :-1, sites]).any(-1)

    def finite(self) -> np.ndarray:
        """(lines, points - 1): whether values and slopes at both ends are finite."""
        good = np.all(np.isfinite(self.values) & np.isfinite(self.slopes), axis=-1)
        return good[:, 1:] & good[:, :-1]


def steps(eps: float) -> tuple[float, float]:
    """Two finite-difference steps, relative to a line: near the best for a central difference, and coarser."""
    return eps ** (1 / 3), eps ** (1 / 6)


def draw(subject: Subject, reaches: tuple[float, ...], rng: np.random.Generator) -> list[Line]:
    """One line for each reach: from `-reach` to `reach` scales, in a Gaussian direction, drawn back into the domain."""
    lines = []
    for reach in reaches:
        step = reach * subject.scale * rng.normal(size=subject.x.shape)
        ends = [subject.x - step, subject.x + step]
        if subject.domain.convex:
            project = subject.domain.project
            ends = [np.asarray(subject.domain.ravel(project(subject.domain.unravel(end)))) for end in ends]
        lines.append(Line(*ends))
    return lines


def sweep(subject: Subject, reaches: tuple[float, ...], points: int, rng: np.random.Generator) -> Sweep:
    """Samples each line at jittered points; next to one of them two more, at the finite-difference steps."""
    lines = draw(subject, reaches, rng)
    near = steps(subject.eps)
    grid = []
    for _ in lines:
        t = (np.arange(points - 2) + rng.uniform(0.1, 0.9, points - 2)) / (points - 2)
        anchor = t[rng.integers(points // 4, points // 2)]
        grid.append(np.sort([*t, anchor + near[0], anchor + near[1]]))
    t = np.array(grid)
    flat = subject.sample(t.ravel(), lines, np.repeat(np.arange(len(lines)), points))
    values, slopes, marks = (each.reshape(len(lines), points, -1) for each in flat)
    finite = np.where(np.isfinite(values), values, np.nan)
    with np.errstate(all="ignore"):
        spread = np.fmax.reduce(finite, 1, initial=-np.inf) - np.fmin.reduce(finite, 1, initial=np.inf)
    spread = np.where(np.isfinite(spread), spread, 0.0)
    gaps = share(t, values, slopes, subject.eps)
    return Sweep(lines, np.array(reaches) > 1, t, values, slopes, marks, gaps, spread)


def share(t: np.ndarray, values: np.ndarray, slopes: np.ndarray, eps: float) -> np.ndarray:
    """The mismatch between changes of value and integrated slopes, beyond rounding, relative to the larger."""
    with np.errstate(all="ignore"):
        change = np.diff(values, axis=1)
        integral = (slopes[:, 1:] + slopes[:, :-1]) / 2 * np.diff(t)[..., None]
        rounding = 100 * eps * (abs(values[:, 1:]) + abs(values[:, :-1]))
        size = np.maximum(abs(change), abs(integral)) + rounding
        mismatch = np.maximum(abs(change - integral) - rounding, 0.0)
        return np.where(size > 0, mismatch / np.where(size > 0, size, 1.0), 0.0)
