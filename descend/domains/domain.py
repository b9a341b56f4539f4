"""The contract of a domain: the set that one variable lives in.

A member of a domain is an array, except for `Weights` and `Product`, whose members are pytrees. Every method takes
NumPy or JAX arrays and answers in kind; with JAX arrays it works under `jit` and `vmap`.
"""

import abc
from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import numpy as np

from descend import numerics


class Domain(abc.ABC):
    """A set of arrays of one shape.

    A subclass checks its arguments when made, sets `shape`, never changes afterwards, and obeys
    `descend.laws.check_domain`.

    Attributes:
        shape: shape of a member.
        discrete: whether the members are isolated points.
        convex: whether the set is convex (then `project` is the Euclidean projection and non-expansive).
    """

    discrete: ClassVar[bool] = False
    convex: ClassVar[bool] = True
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
        """Whether x is a member, as a boolean scalar; False for a non-finite x.

        `tolerance` is relative to the size of the bounds (default: `numerics.tolerance` of x's dtype).
        """

    @abc.abstractmethod
    def project(self, x: Any) -> Any:
        """The nearest member of a convex set; for a discrete set the same as `round`."""

    def round(self, x: Any) -> Any:
        """A member near x. For a continuous set it is the projection."""
        return self.project(x)

    def relax(self) -> "Domain":
        """The convex hull, itself a domain. A continuous set is its own."""
        return self

    @abc.abstractmethod
    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """`count` members, stacked on a new leading axis, each one random elementary move away from the member x.

        Moves are drawn with replacement. In a set with a single member the neighbors are that member.
        """

    @property
    def scale(self) -> Any:
        """A typical distance between members, NumPy, of a shape that broadcasts to a member's (default 1)."""
        return np.ones(self.shape)

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Lower and upper bounds, flat, of length `size`, when the set is exactly a box (perhaps infinite); else None."""
        return None

    @property
    def cardinality(self) -> int | None:
        """The number of members, or None when infinite."""
        return None

    def members(self) -> Iterator[np.ndarray]:
        """Every member once, as NumPy float64. Only for a set with a `cardinality`."""
        raise TypeError(f"{self} has no finite list of members")

    def ravel(self, x: Any) -> Any:
        """A member as one vector of length `size`."""
        return numerics.namespace(x).reshape(x, (-1,))

    def unravel(self, vector: Any) -> Any:
        """The inverse of `ravel`."""
        return numerics.namespace(vector).reshape(vector, self.shape)


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
