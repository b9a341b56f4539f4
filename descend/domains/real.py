"""Real numbers, with or without bounds."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.domains.domain import Domain, as_shape


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
        self.lower = self._fill(-np.inf if lower is None else lower, "lower")
        self.upper = self._fill(np.inf if upper is None else upper, "upper")
        if np.any(self.lower > self.upper) or np.any(self.lower == np.inf) or np.any(self.upper == -np.inf):
            raise ValueError(f"Real has an empty domain: lower {lower} exceeds upper {upper}")
        bounded = np.isfinite(self.lower) & np.isfinite(self.upper)
        low, high = (np.where(bounded, b, 0.0) for b in (self.lower, self.upper))
        if start is None:
            start = np.where(bounded, (low + high) / 2, np.clip(0.0, self.lower, self.upper))
        self._start = self._fill(start, "start")
        if not self.contains(self._start):
            raise ValueError("start lies outside the bounds, or is not finite")
        if scale is None:
            scale = np.where(bounded & (high > low), (high - low) / 2, 1.0)
        self._scale = self._fill(scale, "scale")
        if not np.all((self._scale > 0) & np.isfinite(self._scale)):
            raise ValueError(f"scale must be positive and finite, got {scale}")

    def _fill(self, value: Any, name: str) -> np.ndarray:
        try:
            filled = np.array(np.broadcast_to(np.asarray(value, np.float64), self.shape))
        except ValueError:
            raise ValueError(f"{name} of shape {np.shape(value)} does not broadcast to {self.shape}") from None
        if np.isnan(filled).any():
            raise ValueError(f"{name} contains NaN")
        return filled

    def __repr__(self) -> str:
        def say(bound: np.ndarray) -> str:
            return f"{bound.flat[0]:g}" if bound.size and np.all(bound == bound.flat[0]) else "[...]"

        bounds = (
            "" if np.all(np.isinf(self.lower) & np.isinf(self.upper)) else f", {say(self.lower)}, {say(self.upper)}"
        )
        return f"Real({self.shape[0] if len(self.shape) == 1 else self.shape}{bounds})"

    def start(self) -> np.ndarray:
        return self._start.copy()

    @property
    def scale(self) -> np.ndarray:
        return self._scale

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        return self.lower.ravel(), self.upper.ravel()

    def sample(self, key: jax.Array) -> jax.Array:
        """Uniform between finite bounds; elsewhere Gaussian around the start with standard deviation `scale`, clipped."""
        uniform_key, normal_key = jax.random.split(key)
        finite = np.isfinite(self.lower) & np.isfinite(self.upper)
        low, high = np.where(finite, self.lower, 0.0), np.where(finite, self.upper, 1.0)
        u = jax.random.uniform(uniform_key, self.shape)
        uniform = low * (1 - u) + high * u
        normal = self._start + self._scale * jax.random.normal(normal_key, self.shape)
        return self.project(jnp.where(finite, uniform, normal))

    def contains(self, x: Any, tolerance: float | None = None) -> Any:
        xp = numerics.namespace(x)
        slack = numerics.tolerance(x.dtype) if tolerance is None else tolerance
        low, high = (np.where(np.isfinite(b), b, 0.0) for b in (self.lower, self.upper))
        inside = (x >= self.lower - slack * np.maximum(1.0, abs(low))) & (
            x <= self.upper + slack * np.maximum(1.0, abs(high))
        )
        return xp.all(xp.isfinite(x) & inside)

    def project(self, x: Any) -> Any:
        xp = numerics.namespace(x)
        return xp.clip(x, xp.asarray(self.lower, x.dtype), xp.asarray(self.upper, x.dtype))

    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """Moves are Gaussian in all coordinates; their size is log-uniform from a thousandth of `scale` to `scale`."""
        size_key, step_key = jax.random.split(key)
        size = 10 ** jax.random.uniform(size_key, (count,) + (1,) * len(self.shape), minval=-3.0, maxval=0.0)
        step = size * self._scale * jax.random.normal(step_key, (count, *self.shape))
        if numerics.namespace(x) is np:
            step = np.asarray(step, x.dtype)
        return self.project(x[None] + step)
