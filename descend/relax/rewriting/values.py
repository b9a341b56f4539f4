"""What stands in a softened program where the hard one has an array.

An array that depends on no softened input stays the array that it is, and every equation on such arrays stays as it
was. One that depends on them is a `Soft`: floats, also where the hard program has integers or truth values. One that
names things rather than counts them, such as the result of an argmax, is a `Spread`: the possible values with their
weights, because the mean of two names is the name of a third thing.
"""

import enum
import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


class Grain(enum.IntEnum):
    """Which numbers the hard program can have here: it says how far two that differ are apart."""

    REAL = 0
    WHOLE = 1
    BIT = 2  # 0 or 1


@partial(jax.tree_util.register_dataclass, data_fields=("value",), meta_fields=("dtype", "grain"))
@dataclass(frozen=True)
class Soft:
    """Numbers that depend on softened inputs.

    Attributes:
        value: floats (complex where the hard program has complex numbers).
        dtype: the type that the hard program has here.
        grain: which numbers it can have.
    """

    value: Any
    dtype: Any
    grain: Grain


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("values", "weights", "sorts"),
    meta_fields=("dtype", "axis", "places"),
)
@dataclass(frozen=True)
class Spread:
    """One of n values each, with weights.

    Attributes:
        values: shape (*shape, n), of `dtype`, not differentiated.
        weights: floats that add up to 1 over the last axis, same shape.
        dtype: the type of the hard program.
        sorts: the numbers whose order it is, if it is the result of an argsort; else None.
        axis: along which they are sorted.
        places: whether the values are known to be 0, 1, ..., n - 1.
    """

    values: Any
    weights: Any
    dtype: Any
    sorts: Any = None
    axis: int | None = None
    places: bool = False

    def plain(self) -> "Spread":
        """Without what is known beyond the values: as loops carry it."""
        return Spread(self.values, self.weights, self.dtype)


SUPPORT = 64
"""The most values that a `Spread` is given by branches and arithmetic; beyond, the mean stands for it."""


def is_soft(value: Any) -> bool:
    """Whether a value depends on softened inputs."""
    return isinstance(value, (Soft, Spread))


def spread_mean(spread: Spread) -> Any:
    """The mean of a spread; values without weight do not matter, even where they are not finite."""
    heavy = spread.weights > 0
    return jnp.sum(jnp.where(heavy, spread.weights * jnp.where(heavy, spread.values, 0), 0), -1)


def soft(value: Any) -> Soft:
    """A soft value as a `Soft`."""
    if isinstance(value, Soft):
        return value
    return as_typed(Soft(spread_mean(value), value.dtype, least_grain(value.dtype)))


def bits(value: Any) -> Spread:
    """A number that is 0 or 1 as a spread over both."""
    values = jnp.broadcast_to(jnp.arange(2, dtype=value.dtype), (*value.value.shape, 2))
    return Spread(values, jnp.stack([1 - value.value, value.value], -1), value.dtype)


def as_typed(value: Any) -> Any:
    """A soft value in the float type that the hard program has, where it has one."""
    if isinstance(value, Soft) and jnp.issubdtype(value.dtype, jnp.floating) and value.value.dtype != value.dtype:
        return Soft(value.value.astype(value.dtype), value.dtype, value.grain)
    return value


def number(value: Any) -> Any:
    """The floats of a soft value; a hard one as it is."""
    return soft(value).value if is_soft(value) else value


def least_grain(dtype: Any) -> Grain:
    """What the type alone says."""
    if jnp.issubdtype(dtype, jnp.bool_):
        return Grain.BIT
    return Grain.WHOLE if jnp.issubdtype(dtype, jnp.integer) else Grain.REAL


def grain(value: Any) -> Grain:
    """The grain of any value. Concrete constants are looked at."""
    if isinstance(value, Soft):
        return value.grain
    if isinstance(value, Spread):
        return least_grain(value.dtype)
    by_type = least_grain(jnp.result_type(value))
    if by_type is Grain.BIT or isinstance(value, Tracer) or np.size(value) > 10_000:
        return by_type
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "iuf" or not np.all(np.isfinite(numbers)):
        return by_type
    if np.all((numbers == 0) | (numbers == 1)):
        return Grain.BIT
    return Grain.WHOLE if np.all(numbers == np.round(numbers)) else Grain.REAL


def shape(value: Any) -> tuple[int, ...]:
    """Of the array that the hard program has here."""
    return np.shape(value.weights)[:-1] if isinstance(value, Spread) else np.shape(number(value))


def floating(value: Any, dtype: Any) -> Any:
    """A value as floats of a type; complex numbers stay complex."""
    value = number(value)
    if jnp.issubdtype(jnp.result_type(value), jnp.complexfloating):
        return value
    return jnp.asarray(value, dtype)


def common(*values: Any) -> Any:
    """The float type that computations with these values have: that of the soft ones."""
    kinds = [jnp.result_type(number(v)) for v in values if is_soft(v)]
    kinds += [jnp.result_type(v) for v in values if not is_soft(v) and jnp.issubdtype(jnp.result_type(v), jnp.floating)]
    return jnp.result_type(*kinds)


def certain(value: Any, n: int, dtype: Any) -> Spread:
    """A hard array as a spread over n values, all of them equal."""
    values = jnp.broadcast_to(jnp.asarray(value)[..., None], (*np.shape(value), n))
    first = jnp.zeros(n, dtype).at[0].set(1)
    return Spread(values, jnp.broadcast_to(first, values.shape), values.dtype)


def blend(weights: Any, values: Any) -> Any:
    """The mean of values by weights over the first axis. What is not finite only counts where it is the heaviest."""
    good = jnp.isfinite(values)
    kept = jnp.where(good, weights, 0)
    total = jnp.sum(kept, 0)
    mean = jnp.sum(kept * jnp.where(good, values, 0), 0) / jnp.where(total > 0, total, 1)
    weights = jnp.broadcast_to(weights, values.shape)
    heaviest = jnp.take_along_axis(values, jnp.argmax(weights, 0)[None], 0)[0]
    return jnp.where(jnp.isfinite(heaviest), mean, jax.lax.stop_gradient(heaviest))


def size(value: Any) -> int:
    """How many numbers."""
    return math.prod(shape(value))
