"""Conditions on x: `equal`, `at_most`, `at_least`, `between`."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from descend import numerics

DRAWS = 1000  # over which a quantile is taken
SEED = 2718  # of these draws


@dataclass(frozen=True, eq=False)
class Chance:
    """lower <= function(x, key) <= upper, all entries at once, with at least a probability.

    Attributes:
        function: takes `key`.
        lower, upper, scale: as of a `Constraint`.
        probability: asked for.
    """

    function: Callable[..., Any]
    lower: np.ndarray
    upper: np.ndarray
    scale: np.ndarray
    probability: float

    def residuals(self, x: Any, keys: jax.Array, **named: Any) -> Any:
        """For each key the largest excess over a bound in units of the scale, shape (k,): at most 0 where all holds."""

        def excess(value: Any) -> Any:
            xp = numerics.namespace(value)
            value = xp.asarray(value)
            lower, upper, scale = (xp.asarray(a, value.dtype) for a in (self.lower, self.upper, self.scale))
            return xp.max(xp.maximum(value - upper, lower - value) / scale)

        if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(x)):
            return jax.vmap(lambda key: excess(self.function(x, key=key, **named)))(keys)
        seeds = np.asarray(jax.random.key_data(keys))
        values = [self.function(x, key=seed, **named) for seed in seeds]
        return np.array([float(excess(np.asarray(value, np.float64))) for value in values])

    def quantile(self, x: Any, **named: Any) -> Any:
        """A smooth estimate of the residual's quantile over fixed draws: a weighted mean of the sorted residuals."""
        found = self.residuals(x, jax.random.split(jax.random.key(SEED), DRAWS), **named)
        xp = numerics.namespace(found)
        return xp.sum(xp.asarray(_weights(self.probability), found.dtype) * xp.sort(found))


@functools.cache
def _weights(probability: float) -> np.ndarray:
    """Harrell and Davis's weights of the order statistics, for a level two standard errors above the probability."""
    from scipy.special import betainc

    level = probability + 2 * np.sqrt(probability * (1 - probability) / DRAWS)
    level = min(level, 1 - 1 / DRAWS)
    return np.diff(betainc((DRAWS + 1) * level, (DRAWS + 1) * (1 - level), np.linspace(0, 1, DRAWS + 1)))


@dataclass(frozen=True, eq=False)
class Constraint:
    """lower <= function(x) <= upper, elementwise.

    Attributes:
        function: takes x (and keyword-only `key`, `batch`, `given` if it names them) and returns an array.
        lower, upper: bounds that broadcast to the returned array; infinite where there is none.
        name: how reports call it.
        scale: what counts as one unit of violation, positive; default max(1, |bound|), elementwise.
        chance: what must hold with a probability, of which `function` is a quantile; None for a plain constraint.
    """

    function: Callable[..., Any]
    lower: np.ndarray
    upper: np.ndarray
    name: str
    scale: np.ndarray
    chance: Chance | None = None

    def residual(self, value: Any) -> Any:
        """Signed distance from the allowed interval, in units of `scale`: positive above, negative below, zero inside.

        Same shape as `value` broadcast with the bounds. NaN stays NaN.
        """
        xp = numerics.namespace(value)
        lower, upper = xp.asarray(self.lower, value.dtype), xp.asarray(self.upper, value.dtype)
        return (value - xp.clip(value, lower, upper)) / xp.asarray(self.scale, value.dtype)

    def violation(self, value: Any) -> Any:
        """The largest |residual|, a scalar; infinite where the value is not finite."""
        xp = numerics.namespace(value)
        size = abs(self.residual(value))
        return xp.max(xp.where(xp.isfinite(size), size, xp.inf), initial=0.0)

    def __repr__(self) -> str:
        def say(bound: np.ndarray) -> str:
            return f"{bound:g}" if bound.ndim == 0 else f"[{bound.size} bounds]"

        if self.chance is not None:
            plain = Constraint(self.chance.function, self.chance.lower, self.chance.upper, self.name, self.scale)
            return f"{plain} with probability {self.chance.probability:g}"
        if np.array_equal(self.lower, self.upper):
            return f"{self.name} = {say(self.lower)}"
        below = "" if np.all(self.lower == -np.inf) else f"{say(self.lower)} <= "
        above = "" if np.all(self.upper == np.inf) else f" <= {say(self.upper)}"
        return f"{below}{self.name}{above}"


def equal(function: Callable[..., Any], target: Any = 0.0, *, scale: Any = None, name: str | None = None) -> Constraint:
    """function(x) = target, elementwise."""
    return _constraint(function, target, target, scale, name)


def at_most(
    function: Callable[..., Any],
    bound: Any,
    *,
    probability: float | None = None,
    scale: Any = None,
    name: str | None = None,
) -> Constraint:
    """function(x) <= bound, elementwise; with `probability`, all of it at once at least that often.

    A random constraint without `probability` holds in expectation. With it, a smooth estimate of the quantile over
    `DRAWS` fixed draws is held (a sample average, which is deterministic), at a level that is two of its standard
    errors above the one asked for; the answer is judged on fresh draws.

    Source: Luedtke and Ahmed (2008) for sample averages; Harrell and Davis (1982) for the quantile.
    """
    return _chance(_constraint(function, -np.inf, bound, scale, name), probability)


def at_least(
    function: Callable[..., Any],
    bound: Any,
    *,
    probability: float | None = None,
    scale: Any = None,
    name: str | None = None,
) -> Constraint:
    """function(x) >= bound, elementwise; with `probability` as in `at_most`."""
    return _chance(_constraint(function, bound, np.inf, scale, name), probability)


def between(
    function: Callable[..., Any], lower: Any, upper: Any, *, scale: Any = None, name: str | None = None
) -> Constraint:
    """lower <= function(x) <= upper, elementwise."""
    return _constraint(function, lower, upper, scale, name)


def as_constraints(stated: Any) -> tuple[Constraint, ...]:
    """Constraints with distinct names, from one or several.

    Raises:
        TypeError: if something else is among them.
    """
    stated = (stated,) if isinstance(stated, Constraint) else tuple(stated)
    named: list[Constraint] = []
    for index, constraint in enumerate(stated):
        if not isinstance(constraint, Constraint):
            raise TypeError(f"subject_to takes constraints such as descend.at_most(f, 1.0), got {constraint!r}")
        name = constraint.name
        if name == "<lambda>" or name in [c.name for c in named]:
            name = f"constraint {index + 1}" if name == "<lambda>" else f"{name} ({index + 1})"
        named.append(replace(constraint, name=name))
    return tuple(named)


def _constraint(function: Any, lower: Any, upper: Any, scale: Any, name: str | None) -> Constraint:
    """Checks and fills the fields.

    Raises:
        TypeError: if the function is not callable or a bound is not numeric.
        ValueError: if a bound is NaN, bounds cross or do not broadcast, or the scale is not positive.
    """
    if not callable(function):
        raise TypeError(f"a constraint takes a function of x first, got {function!r}")
    own: str = getattr(function, "__name__", type(function).__name__)
    name = name or own
    try:
        low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"constraint {name}: a bound must be a number or an array, got {lower!r}, {upper!r}") from None
    if np.isnan(low).any() or np.isnan(high).any():
        raise ValueError(f"constraint {name}: a bound is NaN")
    try:
        crossed = np.any(low > high)
    except ValueError:
        raise ValueError(f"constraint {name}: bounds of shapes {low.shape} and {high.shape} do not broadcast") from None
    if crossed:
        raise ValueError(f"constraint {name}: no value lies between {lower} and {upper}")
    if scale is None:
        sizes = [np.where(np.isfinite(b), abs(b), 0.0) for b in (low, high)]
        scale = np.maximum(1.0, np.maximum(*sizes))
    scale = np.asarray(scale, np.float64)
    if not np.all((scale > 0) & np.isfinite(scale)):
        raise ValueError(f"constraint {name}: scale must be positive and finite")
    return Constraint(function, low, high, name, scale)


def _chance(stated: Constraint, probability: float | None) -> Constraint:
    """The constraint itself, or that a high quantile of its residual over fixed draws is at most zero.

    Raises:
        TypeError: if the function does not take `key`.
        ValueError: if the probability is not between 0 and 1.
    """
    if probability is None:
        return stated
    if not 0 < probability < 1:
        raise ValueError(f"constraint {stated.name}: probability must lie between 0 and 1, got {probability}")
    try:
        parameters = inspect.signature(stated.function).parameters
    except (ValueError, TypeError):
        parameters = {}
    if "key" not in parameters:
        raise TypeError(f"constraint {stated.name}: with probability= the function must be random and take `key`")
    chance = Chance(stated.function, stated.lower, stated.upper, stated.scale, float(probability))

    @functools.wraps(stated.function)
    def quantile(x: Any, **named: Any) -> Any:
        return chance.quantile(x, **named)

    quantile.__signature__ = inspect.Signature(  # pyright: ignore[reportAttributeAccessIssue]
        [parameter for name, parameter in parameters.items() if name != "key"]
    )
    zero, one = np.zeros(()), np.ones(())
    return Constraint(quantile, zero - np.inf, zero, stated.name, one, chance)
