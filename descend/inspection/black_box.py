"""Probing with a few values only, for functions that cannot be traced."""

from typing import NamedTuple

import jax
import numpy as np

from descend.inspection.subject import Subject

STEPS = (1e-5, 0.3)  # of the scale: where only rounding is smaller, and a step that a search would take
REPEATS = 4
GRID = 6


class Values(NamedTuple):
    """What a few values tell.

    Attributes:
        flat: whether small steps never change the value and large ones do.
        deviation: standard deviation over keys, or from call to call; 0 where neither changes the value.
        cause: "key" or "call": what the value changes with.
        bad: a point at which the value is not finite, or None.
        rough: the largest slope over small steps, relative to that over large ones.
    """

    flat: bool
    deviation: float
    cause: str
    bad: np.ndarray | None
    rough: float


def probe(subject: Subject) -> Values | None:
    """At most 2 min(n, 10) + 20 values; None if the function raises at the center."""
    here = _value(subject, subject.x, subject.key)
    if here is None:
        return None
    again = [_value(subject, subject.x, subject.key) for _ in range(REPEATS)]
    cause, deviation = "call", _spread([here, *again])
    if deviation == 0 and subject.problem.random:
        keys = jax.random.split(subject.key, REPEATS)
        cause, deviation = "key", _spread([_value(subject, subject.x, key) for key in keys])
    rng = np.random.default_rng(0)
    n = subject.x.size
    directions = np.eye(n) if n <= 10 else rng.normal(size=(10, n)) / np.sqrt(n)
    changes: list[list[float]] = []
    bad = None if np.isfinite(here) else subject.x
    for direction in directions:
        row = []
        for step in STEPS:
            point = _inside(subject, subject.x + step * subject.scale * direction)
            if np.array_equal(point, subject.x):  # at a bound
                point = _inside(subject, subject.x - step * subject.scale * direction)
            value = _value(subject, point, subject.key)
            if value is not None and not np.isfinite(value):
                bad = point if bad is None else bad
            row.append(np.nan if value is None else value - here)
        changes.append(row)
    far = []
    for _ in range(GRID):
        point = _inside(subject, subject.x + subject.scale * rng.normal(size=n))
        value = _value(subject, point, subject.key)
        if value is not None and not np.isfinite(value):
            bad = point if bad is None else bad
        far.append(np.nan if value is None else value - here)
    small, large = np.array(changes).T
    small, rest = small[np.isfinite(small)], np.concatenate([large, far])
    rest = rest[np.isfinite(rest)]
    flat = len(small) > 0 and bool(np.all(small == 0)) and bool(np.any(rest != 0)) and deviation == 0
    slopes = [abs(part).max(initial=0.0) / step for part, step in ((small, STEPS[0]), (rest, STEPS[1]))]
    return Values(flat, deviation, cause, bad, float(slopes[0] / slopes[1]) if slopes[1] > 0 else 0.0)


def _value(subject: Subject, x: np.ndarray, key: jax.Array) -> float | None:
    subject.evaluations += 1
    if not subject.problem.black_box:
        x = subject.array(x)  # type: ignore[assignment]
    loss = subject.attempt(lambda: subject.problem.evaluate(subject.domain.unravel(x), key=key).loss)
    return None if loss is None else float(loss)


def _inside(subject: Subject, point: np.ndarray) -> np.ndarray:
    project = subject.domain.project
    return np.asarray(subject.domain.ravel(project(subject.domain.unravel(point))), np.float64)


def _spread(values: list[float | None]) -> float:
    known = [v for v in values if v is not None and np.isfinite(v)]
    if len(known) < 2 or all(v == known[0] for v in known):
        return 0.0
    return float(np.std(known, ddof=1))
