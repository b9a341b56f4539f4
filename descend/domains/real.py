"""Real numbers, with or without bounds."""

import copy
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.domains import moves
from descend.domains.domain import Domain, as_floats, as_shape, fill, say_bounds, say_shape, slack


class Real(Domain):
    """Arrays of real numbers in a box.

    Args:
        shape: shape of a member; an int means a vector.
        lower, upper: bounds that broadcast to the shape; None for none.
        start: where a search begins (default: zero projected, or the middle of finite bounds).
        scale: typical distance between good values, positive (default: half the width of finite bounds, else 1).
            Solvers take their first steps, and routes their smoothing, relative to it.

    Raises:
        ValueError: if a bound is NaN, the box is empty, the start lies outside, or an argument does not broadcast.
    """

    def __init__(self, shape: Any = (), lower: Any = None, upper: Any = None, start: Any = None, scale: Any = None):
        self.shape = as_shape(shape)
        self.lower = fill(-np.inf if lower is None else lower, self.shape, "lower")
        self.upper = fill(np.inf if upper is None else upper, self.shape, "upper")
        if np.any(self.lower > self.upper) or np.any(self.lower == np.inf) or np.any(self.upper == -np.inf):
            raise ValueError(f"Real has an empty domain: lower {lower} exceeds upper {upper}")
        bounded = np.isfinite(self.lower) & np.isfinite(self.upper)
        low, high = (np.where(bounded, b, 0.0) for b in (self.lower, self.upper))
        if start is None:
            start = np.where(bounded, low / 2 + high / 2, np.clip(0.0, self.lower, self.upper))
        self._start = fill(start, self.shape, "start")
        if not self.contains(self._start):
            raise ValueError("start lies outside the bounds, or is not finite")
        self._unstated = ~(bounded & (high > low)) & (scale is None)
        if scale is None:
            scale = np.where(bounded & (high > low), high / 2 - low / 2, 1.0)
        self._scale = fill(scale, self.shape, "scale")
        if not np.all((self._scale > 0) & np.isfinite(self._scale)):
            raise ValueError(f"scale must be positive and finite, got {scale}")

    def __repr__(self) -> str:
        bounds = say_bounds(self.lower, self.upper)
        return f"Real({say_shape(self.shape) if self.shape or bounds else ''}{bounds})"

    def start(self) -> np.ndarray:
        return self._start.copy()

    @property
    def scale(self) -> np.ndarray:
        return self._scale

    @property
    def unstated(self) -> np.ndarray:
        return self._unstated

    def rescaled(self, scale: Any) -> "Real":
        twin = copy.copy(self)
        twin._scale = np.where(self._unstated, fill(scale, self.shape, "scale"), self._scale)
        return twin

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        return self.lower.ravel(), self.upper.ravel()

    def sample(self, key: jax.Array) -> jax.Array:
        """Uniform between finite bounds; elsewhere Gaussian around the start, with deviation `scale`, clipped."""
        uniform_key, normal_key = jax.random.split(key)
        finite = np.isfinite(self.lower) & np.isfinite(self.upper)
        low, high = np.where(finite, self.lower, 0.0), np.where(finite, self.upper, 1.0)
        u = jax.random.uniform(uniform_key, self.shape)
        uniform = low * (1 - u) + high * u
        normal = self._start + self._scale * jax.random.normal(normal_key, self.shape)
        return self.project(jnp.where(finite, uniform, normal))

    def contains(self, x: Any, tolerance: float | None = None) -> Any:
        tolerance, x = slack(x, tolerance), as_floats(x)
        if x.shape != self.shape:
            return False
        xp = numerics.namespace(x)
        low, high = (np.where(np.isfinite(b), b, 0.0) for b in (self.lower, self.upper))
        inside = (x >= self.lower - tolerance * np.maximum(1.0, abs(low))) & (
            x <= self.upper + tolerance * np.maximum(1.0, abs(high))
        )
        return xp.all(xp.isfinite(x) & inside)

    def project(self, x: Any) -> Any:
        x = as_floats(x)
        xp = numerics.namespace(x)
        return xp.clip(x, xp.asarray(self.lower, x.dtype), xp.asarray(self.upper, x.dtype))

    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """Moves are Gaussian in all coordinates; their size is log-uniform from a thousandth of `scale` to `scale`.

        A coordinate that sits on a bound moves inward.
        """
        x = as_floats(x)[None]
        xp = numerics.namespace(x)
        (step,) = moves.like(x, moves.gaussian(key, count, self.shape))
        step = step * xp.asarray(self._scale, x.dtype)[None]
        low, high = (xp.asarray(b, x.dtype)[None] for b in (self.lower, self.upper))
        ahead = xp.clip(x + step, low, high)
        return xp.where(ahead == x, xp.clip(x - step, low, high), ahead)

    @property
    def cardinality(self) -> int | None:
        return 1 if np.all(self.lower == self.upper) else None

    def members(self) -> Iterator[np.ndarray]:
        if self.cardinality is None:
            yield from super().members()
        yield self.start()


EXAMPLES = (
    Real((2, 3)),
    Real(),
    Real(4, lower=0.0),
    Real(3, [-1.0, 0.0, 2.0], [1.0, 1e6, 2.0]),
    Real(2, 5.0, 5.0),
    Real(0, 0.0, 1.0),
    Real(1, 0.0, 1.0, start=1.0, scale=10.0),
)
