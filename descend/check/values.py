"""A problem's values on NumPy vectors, and their finite differences, in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.problem import Problem

LADDER = (2e-3, 5e-4, 1e-4, 2e-5)  # step lengths, in scales of the variables
STENCILS = {  # fourth-order first derivatives: offsets and weights
    "central": ((-2, -1, 1, 2), (1 / 12, -8 / 12, 8 / 12, -1 / 12)),
    "forward": ((0, 1, 2, 3, 4), (-25 / 12, 48 / 12, -36 / 12, 16 / 12, -3 / 12)),
    "backward": ((0, -1, -2, -3, -4), (25 / 12, -48 / 12, 36 / 12, -16 / 12, 3 / 12)),
}


class Values:
    """Loss and constraints of a problem at vectors in the order of `Problem.domain.ravel`.

    JAX is used for nothing but calling the user's own functions where they are written in it.

    Args:
        problem: any problem.
        x: a point, to learn the shapes from.

    Attributes:
        scale: of the variables, shape (n,).
        lower: bounds of the constraint values, concatenated, shape (m,).
        upper: likewise.
        unit: what counts as one unit of violation, shape (m,).
        owner: which constraint a value belongs to, shape (m,).
        shapes: of each constraint's value, broadcast with its bounds.
    """

    def __init__(self, problem: Problem, x: Any):
        self.problem = problem
        self.scale = np.broadcast_to(problem.domain.scale, (problem.domain.size,)).astype(np.float64)
        stated = problem.subject_to
        values = self._evaluate(x, 0).constraints
        self.value_shapes = [np.shape(value) for value in values]
        self.shapes = [
            np.broadcast_shapes(shape, c.lower.shape, c.upper.shape)
            for shape, c in zip(self.value_shapes, stated, strict=True)
        ]
        sizes = [int(np.prod(shape, dtype=int)) for shape in self.shapes]
        self.owner = np.repeat(np.arange(len(stated)), sizes)
        self.lower, self.upper, self.unit = (
            _join([getattr(c, name) for c in stated], self.shapes) for name in ("lower", "upper", "scale")
        )

    def __call__(self, vector: np.ndarray, key: int = 0) -> np.ndarray:
        """[loss, *constraint values], shape (1 + m,). NaN where the user's code raises.

        Args:
            vector: shape (n,).
            key: the number of the draw, for random functions.
        """
        try:
            loss, constraints, *_ = self._evaluate(self.problem.domain.unravel(vector), key)
        except Exception:  # a point that cannot be evaluated confirms nothing
            return np.full(1 + len(self.lower), np.nan)
        return np.append(np.float64(loss), _join(list(constraints), self.shapes))

    def residual(self, constraints: np.ndarray) -> np.ndarray:
        """Signed distance from the allowed intervals, in units of the constraints' scales."""
        return (constraints - np.clip(constraints, self.lower, self.upper)) / self.unit

    def violation(self, constraints: np.ndarray) -> float:
        """The largest |residual|; infinite where a value is not finite."""
        size = abs(self.residual(constraints))
        return float(np.max(np.where(np.isfinite(size), size, np.inf), initial=0.0))

    def spread(self, multipliers: dict[str, np.ndarray]) -> np.ndarray:
        """Multipliers by name as one vector of shape (m,).

        Raises:
            ValueError: if a name is missing or unknown, or a shape is wrong.
        """
        names = [c.name for c in self.problem.subject_to]
        if set(multipliers) != set(names):
            raise ValueError(f"multipliers are of {sorted(multipliers)}, the constraints are {sorted(names)}")
        for name, shape in zip(names, self.value_shapes, strict=True):
            if np.shape(multipliers[name]) != shape:
                raise ValueError(f"multipliers of {name} have shape {np.shape(multipliers[name])}, expected {shape}")
        return _join([multipliers[name] for name in names], self.shapes)

    def slopes(self, point: np.ndarray, directions: np.ndarray, enough: float) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives along directions, by finite differences, with an estimate of their errors.

        Args:
            point: shape (n,).
            directions: shape (k, n), about one scale long. Steps stay within the bounds of a box.
            enough: the error at which no other step length is tried.

        Returns:
            Slopes of [loss, *constraints], shape (k, 1 + m), and errors of the same shape, infinite where values are
            not finite: the difference between two step lengths, and rounding.
        """
        here = self(point)
        pairs = [self._slope(point, here, direction, enough) for direction in directions]
        return np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])

    def _slope(
        self, point: np.ndarray, here: np.ndarray, direction: np.ndarray, enough: float
    ) -> tuple[np.ndarray, np.ndarray]:
        best, error = np.zeros_like(here), np.full_like(here, np.inf)
        before = np.full_like(here, np.nan)
        for length in LADDER:
            now, size = self._stencil(point, here, length * direction)
            now, rounding = now / length, 4 * np.finfo(np.float64).eps * size / length
            apart = abs(now - before) + rounding
            better = np.isfinite(apart) & (apart < error)
            best, error = np.where(better, now, best), np.where(better, apart, error)
            before = now
            if np.all(error <= enough):
                break
        return best, error

    def _stencil(self, point: np.ndarray, here: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The first stencil that stays in the box and meets finite values only."""
        box = self.problem.domain.box
        for offsets, weights in STENCILS.values():
            nodes = [point + offset * step for offset in offsets]
            if box is not None and any(np.any((y < box[0]) | (y > box[1])) for y in nodes):
                continue
            values = np.array([self(y) for y in nodes])
            if np.isfinite(values).all():
                return np.asarray(weights) @ values, np.max(abs(values), axis=0)
        return np.full_like(here, np.nan), np.full_like(here, np.nan)

    def _evaluate(self, x: Any, key: int) -> Any:
        problem = self.problem
        if problem.black_box:
            return problem.evaluate(x, key=jax.random.key(key))
        arrays = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float)), x)

        def build() -> Any:
            return jax.jit(lambda inputs, x, key: problem.bind(inputs).evaluate(x, key=key))

        found = problem.compiled("check", build)(problem.inputs, arrays, jax.random.key(key))
        return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), found)


def _join(pieces: list[Any], shapes: list[tuple[int, ...]]) -> np.ndarray:
    spread = [
        np.broadcast_to(np.asarray(p, np.float64), shape).ravel() for p, shape in zip(pieces, shapes, strict=True)
    ]
    return np.concatenate([np.zeros(0), *spread])
