"""Taylor's law: with the right derivative, what is left after the linear term shrinks with the square of the step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from descend import numerics

STEPS = 10.0 ** np.linspace(0, -9, 37)
NOISE = 10.0 ** np.linspace(-13.5, -15, 7)  # steps at which only rounding is left
DECADES = 3.0  # of steps that a slope is read from
CLEAR = 30.0  # times the noise, from where a remainder is trusted


class Remainder(NamedTuple):
    """What is left of f(x + h d) after the terms of Taylor's series that are known, along a random direction d.

    Attributes:
        steps: the lengths h, float64, falling.
        sizes: the length of the remainder at each.
        used: which of them the slope is read from: the smallest three decades that stand clear of rounding.
        slope: of log size against log step; infinite where nothing is left at any step, as for a linear f; NaN where
            less than three steps can be used, or the value jumps at the point.
    """

    steps: Any
    sizes: Any
    used: Any
    slope: Any

    @property
    def decades(self) -> Any:
        """How many powers of ten the steps used span."""
        logs = jnp.log10(self.steps)
        span = jnp.max(logs, where=self.used, initial=-99) - jnp.min(logs, where=self.used, initial=99)
        return jnp.maximum(span, 0)


def remainder(
    f: Callable[[Any], Any],
    at: Any,
    derivative: Callable[[Any, Any], Any] | None = None,
    second: Callable[[Any, Any], Any] | None = None,
    along: Any = None,
    key: Any = 0,
) -> Remainder:
    """The Taylor remainder of f at a point along a direction, at the smallest steps where it can be measured.

    Its slope is 2 if the derivative is right and 1 if it is not, however little it is off, as long as that shows above
    rounding: relative errors down to about 1e-6. It depends on no tolerance and on no scale. With the second derivative
    it is 3.

    Args:
        f: a traceable function of one tree of arrays, returning a tree of arrays.
        at: the point, a tree of float64 arrays. f must be smooth near it.
        derivative: (x, dx) -> df, linear in dx; default: that of JAX's reverse mode, for a random weighted sum of f.
        second: (x, dx) -> the second derivative applied to dx twice, of which half is taken off.
        along: the direction, a tree as `at`, of any length but 0; default: random.
        key: an int or a JAX key, for what is random.

    Raises:
        ValueError: if the point is not of float64, the only type that leaves three decades.
    """
    x, unravel = ravel_pytree(at)
    if x.dtype != jnp.float64:
        raise ValueError(f"Taylor remainders need float64, got {x.dtype}: set jax_enable_x64")
    random, across = jax.random.split(numerics.as_key(key))
    direction = jax.random.normal(random, x.shape, x.dtype) if along is None else ravel_pytree(along)[0]
    direction = direction / jnp.linalg.norm(direction)
    flat = lambda v: ravel_pytree(f(unravel(v)))[0]  # noqa: E731
    if derivative is None:
        weights = jax.random.normal(across, jax.eval_shape(flat, x).shape, x.dtype)
        value = lambda v: jnp.vdot(weights, flat(v))[None]  # noqa: E731
        linear = jnp.vdot(jax.grad(lambda v: value(v)[0])(x), direction)[None]
    else:
        value = flat
        linear = ravel_pytree(derivative(at, unravel(direction)))[0]
    square = ravel_pytree(second(at, unravel(direction)))[0] / 2 if second else jnp.zeros_like(linear)
    return _read(value, x, direction, linear, square)


def _read(value: Callable[[Any], Any], x: Any, direction: Any, linear: Any, square: Any) -> Remainder:
    start = value(x)

    def left(h: Any) -> Any:
        # The step that was taken is the rounded one; its length along the direction is the one that counts.
        moved = x + h * direction
        h = jnp.vdot(moved - x, direction)
        return h, jnp.linalg.norm(value(moved) - start - h * linear - h * h * square)

    steps, sizes = jax.lax.map(left, jnp.asarray(np.concatenate([STEPS, NOISE])))
    noise = jnp.max(sizes[len(STEPS) :]) + jnp.finfo(x.dtype).eps * jnp.linalg.norm(start)
    steps, sizes = steps[: len(STEPS)], sizes[: len(STEPS)]
    finite = jnp.isfinite(sizes)
    clear = finite & (jnp.cumsum(finite & (sizes <= CLEAR * noise)) == 0)
    shortest = jnp.min(steps, where=clear, initial=jnp.inf)
    used = clear & (steps <= 1.0001 * 10**DECADES * shortest)
    slope = jnp.where(used.sum() > 2, _slope(jnp.log(steps), jnp.log(jnp.where(used, sizes, 1)), used), jnp.nan)
    nothing = jnp.where(noise <= 1e-8 * (jnp.linalg.norm(start) + jnp.linalg.norm(linear)), jnp.inf, jnp.nan)
    return Remainder(steps, sizes, used, jnp.where(clear.any(), slope, nothing))


def _slope(x: Any, y: Any, there: Any) -> Any:
    """Of the line of least squares through the points that are there."""
    count = jnp.maximum(there.sum(), 1)
    x = jnp.where(there, x - jnp.sum(x * there) / count, 0)
    return jnp.sum(x * y) / jnp.maximum(jnp.sum(x * x), 1e-300)


def check_derivative(
    f: Callable[[Any], Any],
    at: Any,
    derivative: Callable[[Any, Any], Any] | None = None,
    key: Any = 0,
    tolerance: float = 0.1,
) -> None:
    """Checks a derivative by the slope of the Taylor remainder, which must be 2 (or the remainder nothing).

    Args:
        f: as for `remainder`.
        at: the point.
        derivative: (x, dx) -> df; default: that of JAX's reverse mode.
        key: an int or a JAX key.
        tolerance: how far the slope may be from 2. A derivative that is off has slope 1.

    Raises:
        AssertionError: with the slope, if the derivative is not that of f, or f has a kink or a jump at the point.
        ValueError: as for `remainder`.
    """
    found = jax.jit(lambda at, key: remainder(f, at, derivative, key=key))(at, numerics.as_key(key))
    if not (found.slope == np.inf or abs(found.slope - 2) <= tolerance):
        raise AssertionError(
            f"the Taylor remainder has slope {found.slope:.2f} over {found.decades:.1f} decades of steps, not 2: "
            "not the derivative of this function at this point"
        )
