"""Conditions on x: `equal`, `at_most`, `at_least`, `between`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from descend import numerics


@dataclass(frozen=True, eq=False)
class Constraint:
    """lower <= function(x) <= upper, elementwise.

    Attributes:
        function: takes x (and keyword-only `key`, `batch`, `given` if it names them) and returns an array.
        lower, upper: bounds that broadcast to the returned array; infinite where there is none.
        name: how reports call it.
        scale: what counts as one unit of violation, positive; default max(1, |bound|), elementwise.
    """

    function: Callable[..., Any]
    lower: np.ndarray
    upper: np.ndarray
    name: str
    scale: np.ndarray

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
    """function(x) <= bound, elementwise."""
    _refuse_chance(probability)
    return _constraint(function, -np.inf, bound, scale, name)


def at_least(
    function: Callable[..., Any],
    bound: Any,
    *,
    probability: float | None = None,
    scale: Any = None,
    name: str | None = None,
) -> Constraint:
    """function(x) >= bound, elementwise."""
    _refuse_chance(probability)
    return _constraint(function, bound, np.inf, scale, name)


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
    name = name or getattr(function, "__name__", type(function).__name__)
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


def _refuse_chance(probability: float | None) -> None:
    if probability is not None:
        raise NotImplementedError(
            "chance constraints (probability=) are not supported; without it the constraint holds in expectation"
        )
