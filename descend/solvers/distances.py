"""Distances from bounds, where there are some, and what a barrier makes of them: everything traceable."""

from typing import Any

import jax.numpy as jnp
import numpy as np

PUSH = 1e-2  # how far a start is kept from bounds, relative to their size and distance


class Distances:
    """Distances of a point from its bounds, where there are some."""

    def __init__(self, x: Any, lower: np.ndarray, upper: np.ndarray):
        self.has_low, self.has_high = np.isfinite(lower), np.isfinite(upper)
        self.low = jnp.where(self.has_low, x - np.where(self.has_low, lower, 0.0), 1.0).astype(x.dtype)
        self.high = jnp.where(self.has_high, np.where(self.has_high, upper, 0.0) - x, 1.0).astype(x.dtype)

    def stiffness(self, low: Any, high: Any) -> Any:
        return low / self.low + high / self.high

    def push(self, mu: Any) -> Any:
        """Minus the gradient of the barrier."""
        return jnp.where(self.has_low, mu / self.low, 0.0) - jnp.where(self.has_high, mu / self.high, 0.0)

    def multipliers(self, mu: Any, low: Any, high: Any, move: Any) -> tuple[Any, Any]:
        """The steps of the bounds' multipliers."""
        down = jnp.where(self.has_low, mu / self.low - low - low / self.low * move, 0.0)
        up = jnp.where(self.has_high, mu / self.high - high + high / self.high * move, 0.0)
        return down, up

    def longest(self, move: Any, tau: Any) -> Any:
        """The longest step, at most 1, that keeps a share 1 - tau of every distance."""
        down = jnp.where(self.has_low & (move < 0), -tau * self.low / jnp.where(move < 0, move, 1.0), 1.0)
        up = jnp.where(self.has_high & (move > 0), tau * self.high / jnp.where(move > 0, move, 1.0), 1.0)
        return jnp.minimum(1.0, jnp.minimum(jnp.min(down, initial=1.0), jnp.min(up, initial=1.0)))

    def logs(self) -> Any:
        return jnp.sum(jnp.log(self.low)) + jnp.sum(jnp.log(self.high))

    def gaps(self, low: Any, high: Any, mu: Any) -> Any:
        """Multiplier times distance, less the barrier parameter."""
        down = jnp.where(self.has_low, low * self.low - mu, 0.0)
        up = jnp.where(self.has_high, high * self.high - mu, 0.0)
        return jnp.concatenate([down, up])

    def near(self, multiplier: Any, distance: Any, mu: Any) -> Any:
        """The multiplier, kept within a factor of mu / distance."""
        center = mu / jnp.where(jnp.isfinite(distance), distance, 1.0)
        return jnp.where(jnp.isfinite(distance), jnp.clip(multiplier, center / 1e10, center * 1e10), 0.0)


def positive(value: Any, move: Any, tau: Any) -> Any:
    """The longest step, at most 1, that keeps the multipliers positive."""
    ratio = jnp.where(move < 0, -tau * value / jnp.where(move < 0, move, 1.0), 1.0)
    return jnp.minimum(1.0, jnp.min(ratio, initial=1.0))


def inside(x: Any, lower: np.ndarray, upper: np.ndarray) -> Any:
    """x, pushed off its bounds."""
    has_low, has_high = np.isfinite(lower), np.isfinite(upper)
    low, high = np.where(has_low, lower, 0.0), np.where(has_high, upper, 0.0)
    width = np.where(has_low & has_high, PUSH * (high - low), np.inf)
    low = np.where(has_low, low + np.minimum(PUSH * np.maximum(1, abs(low)), width), -np.inf)
    high = np.where(has_high, high - np.minimum(PUSH * np.maximum(1, abs(high)), width), np.inf)
    return jnp.clip(x, low, high).astype(x.dtype)
