"""The contract of a domain: the set that one variable lives in.

A member of a domain is an array, except for `Weights` and `Product`, whose members are pytrees. Every method takes
NumPy or JAX arrays and answers in kind; with JAX arrays it works under `jit` and `vmap`. Anything that is not a JAX
array (lists, whole numbers, float32) is answered in NumPy float64, and no part of that answer passes through JAX.
"""

import abc
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from descend import numerics


class Polyhedron(NamedTuple):
    """The points x of lower <= x <= upper with rows @ x = values.

    Attributes:
        lower, upper: shape (n,), perhaps infinite.
        rows: sparse, shape (k, n).
        values: shape (k,).
    """

    lower: np.ndarray
    upper: np.ndarray
    rows: sparse.csr_array
    values: np.ndarray

    def scaled(self, scale: np.ndarray) -> "Polyhedron":
        """The set of z = x / scale."""
        return Polyhedron(
            self.lower / scale, self.upper / scale, sparse.csr_array(self.rows @ sparse.diags_array(scale)), self.values
        )


class Domain(abc.ABC):
    """A set of arrays of one shape.

    A subclass checks its arguments when made, sets `shape`, never changes afterwards, and obeys
    `descend.laws.check_domain`.

    Attributes:
        shape: shape of a member.
        discrete: whether the members are isolated points.
        convex: whether the set is convex (then `project` is the Euclidean projection and non-expansive).
        looks: how the numbers of a member are to be read, where its shape does not say.
    """

    discrete: bool = False
    convex: bool = True
    looks: str = ""
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of numbers in a member."""
        return int(np.prod(self.shape, dtype=int))

    @abc.abstractmethod
    def start(self) -> Any:
        """The member where a search begins unless told otherwise, as NumPy float64."""

    @abc.abstractmethod
    def sample(self, key: jax.Array) -> Any:
        """A random member, spread over the whole set where the set is bounded."""

    @abc.abstractmethod
    def contains(self, x: Any, tolerance: float | None = None) -> Any:
        """Whether x is a member, as a boolean scalar; False for a non-finite x or one of another shape.

        `tolerance` is relative to the size of the bounds (default: `numerics.tolerance` of x's dtype).
        """

    @abc.abstractmethod
    def project(self, x: Any) -> Any:
        """The nearest member of a convex set; for a discrete set the same as `round`."""

    def round(self, x: Any) -> Any:
        """A member near x. For a continuous set it is the projection."""
        return self.project(x)

    def relax(self) -> "Domain":
        """The set that solvers move in: the convex hull of a discrete set; a continuous set itself, convex or not."""
        return self

    @abc.abstractmethod
    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """`count` members, stacked on a new leading axis, each one random elementary move away from the member x.

        Moves are drawn with replacement and differ from x. In a set with a single member the neighbors are that member.
        """

    @property
    def scale(self) -> Any:
        """A typical distance between members, NumPy, of a shape that broadcasts to a member's (default 1)."""
        return np.ones(self.shape)

    @property
    def unstated(self) -> Any:
        """Which entries of `scale` nobody stated and nothing gives: booleans that broadcast to a member's shape."""
        return np.zeros(self.shape, bool)

    def rescaled(self, scale: Any) -> "Domain":
        """The same set with other scales, of a member's shape, where they are not stated; else itself."""
        return self

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Lower and upper bounds, flat, of length `size`, if the set is exactly a box (perhaps infinite); else None."""
        return None

    @property
    def polyhedron(self) -> Polyhedron | None:
        """The set in linear conditions on flat vectors, if it is convex and such a set; else None."""
        box = self.box
        if box is None or self.discrete:
            return None
        return Polyhedron(*box, sparse.csr_array((0, self.size)), np.zeros(0))

    @property
    def cardinality(self) -> int | None:
        """The number of members, or None when infinite."""
        return None

    def members(self) -> Iterator[Any]:
        """Every member once, as NumPy float64. Only for a set with a `cardinality`."""
        raise TypeError(f"{self} has no finite list of members")

    def ravel(self, x: Any) -> Any:
        """A member as one vector of length `size`."""
        return as_floats(x).reshape(-1)

    def unravel(self, vector: Any) -> Any:
        """The inverse of `ravel`."""
        return as_floats(vector).reshape(self.shape)


def as_shape(shape: Any) -> tuple[int, ...]:
    """A shape from an int or a sequence of ints.

    Raises:
        TypeError: if it is neither.
        ValueError: if a dimension is negative.
    """
    try:
        dims = (int(shape.__index__()),) if hasattr(shape, "__index__") else tuple(int(d.__index__()) for d in shape)
    except (TypeError, AttributeError):
        raise TypeError(f"a shape is an int or a tuple of ints, got {shape!r}") from None
    if any(d < 0 for d in dims):
        raise ValueError(f"a shape has no negative dimension, got {dims}")
    return dims


def as_floats(x: Any) -> Any:
    """x as an array of floats: a JAX array keeps its float dtype, anything else becomes NumPy float64."""
    if not isinstance(x, jax.Array):
        return np.asarray(x, np.float64)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))


def jitted_in_jax(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, jitted where its first argument is a JAX array; run as it is, in NumPy, where it is not.

    Keyword arguments are static. Called eagerly, a function of dozens of operations is then compiled once and
    dispatched once.
    """
    jitted: dict[tuple[str, ...], Callable[..., Any]] = {}

    @functools.wraps(function)
    def either(first: Any, *others: Any, **static: Any) -> Any:
        if not isinstance(first, jax.Array):
            return function(first, *others, **static)
        names = tuple(static)
        if names not in jitted:
            jitted[names] = jax.jit(function, static_argnames=names)
        return jitted[names](first, *others, **static)

    return either


def slack(x: Any, tolerance: float | None) -> float:
    """The tolerance with which `contains` looks at x, unless it is given."""
    if tolerance is not None:
        return tolerance
    dtype = getattr(x, "dtype", np.dtype(np.float64))
    return numerics.tolerance(dtype if dtype.kind == "f" else np.float64)


def fill(value: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """value broadcast to a shape, as NumPy float64 of its own.

    Raises:
        ValueError: if it does not broadcast or contains NaN, naming it by `name`.
    """
    try:
        filled = np.array(np.broadcast_to(np.asarray(value, np.float64), shape))
    except ValueError:
        raise ValueError(f"{name} of shape {np.shape(value)} does not broadcast to {shape}") from None
    if np.isnan(filled).any():
        raise ValueError(f"{name} contains NaN")
    return filled


def say_shape(shape: tuple[int, ...]) -> str:
    """A shape as one would type it: `3` for a vector."""
    return str(shape[0] if len(shape) == 1 else shape)


def say_bounds(lower: np.ndarray, upper: np.ndarray) -> str:
    """Bounds as one would type them after a shape; `[...]` where they differ from entry to entry."""

    def say(bound: np.ndarray) -> str:
        return f"{bound.flat[0]:g}" if bound.size and np.all(bound == bound.flat[0]) else "[...]"

    below = "" if np.all(lower == -np.inf) else f", lower={say(lower)}"
    above = "" if np.all(upper == np.inf) else f", upper={say(upper)}"
    return f", {say(lower)}, {say(upper)}" if below and above else below + above
