"""The shape of a soft operation: callable, with its hard twin and the distance between them."""

import enum
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


class Law(enum.Enum):
    """What an operation may promise about its first argument x, beyond what every operation does.

    Of several results, it is the first that is meant; rows are along its last axis.
    """

    MONOTONE = "where no entry of x falls, no entry of the result falls"
    SHIFT_EQUIVARIANT = "a constant added to x is added to the result"
    SHIFT_INVARIANT = "a constant added to x changes nothing"
    PERMUTATION_EQUIVARIANT = "permuting the last axis of x permutes that of the result"
    PERMUTATION_INVARIANT = "permuting the last axis of x changes nothing"
    ROW_STOCHASTIC = "the rows are not negative and add up to 1"
    DOUBLY_STOCHASTIC = "rows and columns are not negative and add up to 1"


class Operation:
    """A soft operation: `operation(*arguments, temperature=..., family=...)`.

    Attributes:
        hard: the operation that it tends to as the temperature falls; same arguments without temperature and family.
        gap: a bound on the distance from `hard` in the units of the result, for the worst case: with keyword
            `temperature` (and `family`), and the operation's arguments where the bound depends on them.
        sample: key -> arguments in general position, for tests.
        laws: what it promises. What is not promised is tested to fail.
        tempered: whether it takes a temperature; operations on soft truth values take none.
    """

    def __init__(
        self,
        soft: Callable[..., Any],
        hard: Callable[..., Any],
        gap: Callable[..., Any],
        sample: Callable[[jax.Array], tuple[Any, ...]],
        laws: frozenset[Law] = frozenset(),
    ):
        functools.update_wrapper(self, soft)
        self._soft, self._gap = soft, gap
        self.hard, self.sample, self.laws = hard, sample, laws
        self.tempered = "temperature" in inspect.signature(soft).parameters

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """The soft value. Raises ValueError unless the temperature is a positive scalar (not checked if traced)."""
        return self._soft(*arguments, **self._checked(settings))

    def gap(self, *arguments: Any, **settings: Any) -> Any:
        """A bound on |soft - hard|: see the class."""
        return self._gap(*arguments, **self._checked(settings))

    def _checked(self, settings: dict[str, Any]) -> dict[str, Any]:
        if self.tempered:
            name = self.__name__  # pyright: ignore[reportAttributeAccessIssue]
            if "temperature" not in settings:
                raise TypeError(f"{name} needs temperature=, a positive number")
            check_temperature(settings["temperature"], name)
        return settings

    def __repr__(self) -> str:
        return f"<soft {self.__name__}>"  # pyright: ignore[reportAttributeAccessIssue]


def operation(
    *, hard: Callable[..., Any], gap: Callable[..., Any], sample: Callable[..., Any], laws: tuple[Law, ...] = ()
) -> Callable[[Callable[..., Any]], Operation]:
    """The decorator that makes an `Operation` of a soft function. For the arguments see there."""
    return lambda soft: Operation(soft, hard, gap, sample, frozenset(laws))


def floats(*arrays: Any) -> tuple[Any, ...]:
    """The arguments as JAX arrays of one float type: their own, or the default float for integers and booleans.

    Raises:
        TypeError: for complex numbers.
    """
    dtype = jnp.result_type(*arrays)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        raise TypeError(f"soft operations order real numbers, got {dtype}")
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = jnp.result_type(float)
    return tuple(jnp.asarray(a, dtype) for a in arrays)


def rows(function: Callable[[Any], Any], x: Any, axis: int) -> Any:
    """`function` of each one-dimensional row of `x` along `axis`, the results with that axis in the same place.

    Results may have other ranks: their first axis stands for `axis`. Scalars drop it.
    """
    if x.ndim == 0:
        raise ValueError("expected an array with at least one axis, got a scalar")
    axis = range(x.ndim)[axis]
    moved = jnp.moveaxis(x, axis, -1)
    for _ in range(x.ndim - 1):
        function = jax.vmap(function)
    lead = x.ndim - 1
    return jax.tree.map(lambda y: y if y.ndim == lead else jnp.moveaxis(y, lead, axis), function(moved))


def check_temperature(temperature: Any, name: str) -> None:
    """Raises ValueError unless a temperature is a positive finite scalar (not checked if traced).

    TypeError for what is no number.
    """
    if isinstance(temperature, Tracer) and np.ndim(temperature) == 0:
        return
    try:
        good = np.ndim(temperature) == 0 and 0 < float(temperature) < np.inf
    except (TypeError, ValueError):
        raise TypeError(f"the temperature of {name} must be a positive number, got {temperature!r}") from None
    if np.ndim(temperature) != 0:
        raise ValueError(f"the temperature of {name} must be a scalar, got shape {np.shape(temperature)}")
    if not good:
        raise ValueError(f"the temperature of {name} must be positive and finite, got {temperature}")
