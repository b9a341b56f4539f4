"""Whole numbers between two bounds."""

import itertools
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.domains import moves
from descend.domains.domain import as_floats, as_shape, fill, jitted_in_jax, say_bounds, say_shape
from descend.domains.isolated import Isolated
from descend.domains.real import Real

_LARGEST = 2**53  # beyond it neighboring whole numbers are the same float64


class Integer(Isolated):
    """Arrays of whole numbers in a box, held as floats.

    float32 tells whole numbers apart up to 2**24: wider bounds need float64.

    Args:
        shape: shape of a member; an int means a vector.
        lower, upper: whole and finite bounds, both included, that broadcast to the shape.
        start: where a search begins (default: the middle of the bounds, rounded down).

    Raises:
        ValueError: if a bound is missing, not finite, not whole or beyond 2**53, if no number lies between the bounds,
            if the start is not a member, or if an argument does not broadcast.
    """

    looks = "whole numbers, as floats: x.astype(int) to index"

    def __init__(self, shape: Any, lower: Any, upper: Any, start: Any = None):
        self.shape = as_shape(shape)
        for name, bound in (("lower", lower), ("upper", upper)):
            if bound is None or not np.all(np.isfinite(np.asarray(bound, np.float64))):
                raise ValueError(f"Integer needs finite bounds, got {name}={bound}")
            if np.any(np.asarray(bound, np.float64) % 1):
                raise ValueError(f"Integer needs whole bounds, got {name}={bound}; for real numbers use Real")
            if np.any(abs(np.asarray(bound, np.float64)) > _LARGEST):
                raise ValueError(f"Integer needs bounds within 2**53, got {name}={bound}")
        self.lower, self.upper = fill(lower, self.shape, "lower"), fill(upper, self.shape, "upper")
        if np.any(self.lower > self.upper):
            raise ValueError(f"Integer has an empty domain: lower {lower} exceeds upper {upper}")
        middle = self.lower + np.floor((self.upper - self.lower) / 2)
        self._start = middle if start is None else fill(start, self.shape, "start")
        if not self.contains(self._start, tolerance=0.0):
            raise ValueError(f"start must be whole numbers within the bounds, got {start}")

    def __repr__(self) -> str:
        return f"Integer({say_shape(self.shape)}{say_bounds(self.lower, self.upper)})"

    def start(self) -> np.ndarray:
        return self._start.copy()

    def sample(self, key: jax.Array) -> jax.Array:
        """Uniform."""
        dtype = jnp.result_type(float)
        low, width = jnp.asarray(self.lower, dtype), jnp.asarray(self.upper - self.lower, dtype)
        u = jax.random.uniform(key, self.shape, dtype)
        return low + jnp.minimum(jnp.floor(u * (width + 1)), width)

    def round(self, x: Any) -> Any:
        """The nearest member (halves go to the even number, NaN to the start). Its derivative is zero."""
        x = as_floats(x)
        xp = numerics.namespace(x)
        low, high, start = (xp.asarray(a, x.dtype) for a in (self.lower, self.upper, self._start))
        return xp.clip(xp.rint(xp.where(xp.isnan(x), start, x)), low, high)

    def relax(self) -> Real:
        """The box, with the same start."""
        return Real(self.shape, self.lower, self.upper, start=self._start)

    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """One coordinate (now and then a few) moves by one, or in a quarter of the moves by a log-uniform step.

        The direction is a fair coin where both are open; no step leads outside.
        """
        x = self.round(x)
        xp = numerics.namespace(x)
        low, high = (xp.asarray(bound, x.dtype).reshape(1, -1) for bound in (self.lower, self.upper))
        draws = moves.like(x, *_draw(key, count, (self.lower < self.upper).ravel()))
        return _move(x.reshape(1, -1), low, high, *draws).reshape(count, *self.shape)

    @property
    def scale(self) -> np.ndarray:
        """Half the width, at least one."""
        return np.maximum(1.0, (self.upper - self.lower) / 2)

    @property
    def cardinality(self) -> int:
        widths, counts = np.unique(self.upper - self.lower, return_counts=True)
        return math.prod((int(w) + 1) ** int(c) for w, c in zip(widths, counts, strict=True))

    def members(self) -> Iterator[np.ndarray]:
        ranges = [range(int(a), int(b) + 1) for a, b in zip(self.lower.flat, self.upper.flat, strict=True)]
        for values in itertools.product(*ranges):
            yield np.array(values, np.float64).reshape(self.shape)


@partial(jax.jit, static_argnames="count")
def _draw(key: jax.Array, count: int, free: Any) -> tuple[jax.Array, ...]:
    """Which coordinates move, whether up, whether far, and how far in [0, 1): each of shape (count, n)."""
    shape = (count, free.size)
    which, few, up, far, length = moves.uniforms(key, (2, *shape), (count, 1), shape, shape, shape)
    return moves.coordinates(which, few, free), up < 0.5, far < moves.FEW, length


@jitted_in_jax
def _move(x: Any, low: Any, high: Any, moved: Any, up: Any, far: Any, u: Any) -> Any:
    """x and its bounds, of shape (1, n), moved by draws of shape (count, n)."""
    xp = numerics.namespace(x)
    up = (up & (x < high)) | (x <= low)
    room = xp.where(up, high - x, x - low)
    jump = xp.clip(xp.floor(xp.exp(u * xp.log1p(room))), 1, xp.maximum(room, 1))
    length = xp.where(far, jump, xp.ones_like(jump))
    return xp.where(moved, x + xp.where(up, length, -length), x)


EXAMPLES = (
    Integer((2, 3), -2, 7),
    Integer((), -1, 1, start=1),
    Integer(3, [0, 5, -4], [0, 5, 2]),
    Integer(2, 3, 3),
    Integer(0, 0, 1),
    Integer(2, -1e9, 1e9),
)
