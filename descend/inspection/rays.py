"""Whether an objective falls without end along a ray that stays in the domain and satisfies the constraints."""

from typing import NamedTuple

import numpy as np

from descend import numerics
from descend.inspection.feasibility import endless
from descend.inspection.subject import Subject

DECADES = 10


class Ray(NamedTuple):
    """A ray along which the loss falls without end.

    Attributes:
        direction: its direction, flat.
        losses: the loss at 10, 100, ... scales.
    """

    direction: np.ndarray
    losses: np.ndarray


def falling(subject: Subject) -> Ray | None:
    """A falling ray among the negative gradient, the coordinate axes and a few random directions; None if none falls.

    What falling without end means is `feasibility.endless`.
    """
    if not np.isinf(_box(subject)).any():
        return None
    n = subject.x.size
    rng = np.random.default_rng(0)
    axes = np.eye(min(n, 8), n)
    directions = [*rng.normal(size=(8, n)), *axes, *-axes]
    gradient = subject.attempt(lambda: subject.gradients(subject.x[None]))
    if gradient is not None and np.isfinite(gradient[1]).all() and gradient[1].any():
        directions.append(-gradient[1][0])
    for direction in directions:
        direction /= max(np.max(abs(direction)), 1e-300)
    far = 10.0 ** np.arange(1, DECADES + 1)
    points = subject.x + far[:, None, None] * np.stack(directions) * subject.scale
    points = np.stack([_inside(subject, p) for p in points.reshape(-1, n)])
    values = subject.values(points).reshape(DECADES, len(directions), -1)
    feasible = _feasible(subject, values)
    here = subject.values(subject.x[None])[0, :1]
    for index, direction in enumerate(directions):
        losses = np.concatenate([here, values[:, index, 0]])
        if feasible[:, index].all() and endless(losses):
            return Ray(direction, losses[1:])
    return None


def _box(subject: Subject) -> np.ndarray:
    box = subject.domain.box
    return np.array([0.0]) if box is None else np.concatenate(box)


def _inside(subject: Subject, point: np.ndarray) -> np.ndarray:
    return np.asarray(subject.domain.ravel(subject.domain.project(subject.domain.unravel(point))))


def _feasible(subject: Subject, values: np.ndarray) -> np.ndarray:
    """(decades, directions): whether the constraints hold at these outputs."""
    good = np.ones(values.shape[:2], bool)
    tolerance = numerics.tolerance(subject.dtype)
    edge = 1
    for constraint, shape in zip(subject.problem.subject_to, subject.shapes, strict=True):
        size = int(np.prod(shape, dtype=int))
        part = values[..., edge : edge + size].reshape(-1, *shape)
        good &= np.reshape([constraint.violation(value) for value in part], good.shape) <= tolerance
        edge += size
    return good
