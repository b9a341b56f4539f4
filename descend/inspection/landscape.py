"""The objective along lines through an answer, for the report's picture of the landscape."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.problem import Problem
from descend.solution import Slice

POINTS = 61  # on a line
LINES = 3
DRAWS = 8  # averaged where the objective is random


def slices(problem: Problem, x: Any, key: Any = 0) -> list[Slice]:
    """The objective, in the user's sense, within one scale of x along a few lines.

    The lines follow the variables where there are at most three of them, else random directions. Points outside the
    relaxed domain, and values that are not finite, are NaN. A black box is left alone, since its evaluations may be
    slow: no lines.

    Args:
        problem: what x is a point of.
        x: a member, NumPy arrays.
        key: an int or a JAX key, for the directions and the draws of a random objective.

    Complexity: one compilation and POINTS x LINES evaluations (x DRAWS where random), which no budget counts.
    """
    if problem.black_box or problem.domain.size == 0:
        return []
    hull, scale = problem.domain.relax(), np.asarray(problem.domain.scale)
    center = np.asarray(problem.domain.ravel(x), np.float64)
    if center.size <= LINES:
        names, directions = [_name(problem, i) for i in range(center.size)], np.eye(center.size)
    else:
        directions = np.random.default_rng(0).normal(size=(LINES, center.size))
        directions /= np.sqrt(np.mean(directions**2, axis=1, keepdims=True))
        names = [f"random direction {i + 1}" for i in range(LINES)]
    steps = np.linspace(-1.0, 1.0, POINTS)
    points = center + steps[None, :, None] * (directions * scale)[:, None, :]
    key = jax.random.key(key) if isinstance(key, int) else key
    keys = jax.random.split(key, DRAWS if problem.random else 1)

    def program(vector: jax.Array, keys: jax.Array, inputs: Any) -> tuple[Any, Any]:
        point = hull.unravel(vector)
        losses = jax.vmap(lambda key: problem.bind(inputs).evaluate(point, key=key).loss)(keys)
        return losses.mean(), hull.contains(point)

    each = jax.jit(lambda v, k, i: jax.lax.map(lambda vector: program(vector, k, i), v, batch_size=POINTS))
    flat = jnp.asarray(points.reshape(-1, center.size))
    losses, inside = (np.asarray(a).reshape(len(names), POINTS) for a in each(flat, keys, problem.inputs))
    values = np.where(inside & np.isfinite(losses), problem.sign * losses.astype(np.float64), np.nan)
    return [Slice(name, steps, line) for name, line in zip(names, values, strict=True)]


def _name(problem: Problem, index: int) -> str:
    """What a user calls one number of a point: `w`, `x[2]`."""
    for label, part in zip(problem.domain.names, problem.domain.parts, strict=True):
        if index < part.size:
            return (label or "x") + (f"[{index}]" if part.size > 1 else "")
        index -= part.size
    raise IndexError(index)
