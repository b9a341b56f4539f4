"""What a structural reading knows of one array."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from descend.program.dependence import Sets, singletons

NONLINEAR = 3
"""The degree of what is not a polynomial of degree two at most, or not known to be."""


class Array:
    """What is known of an array.

    Args:
        sets: the inputs that each number depends on.
        degree: for each number 0 (constant), 1 (linear), 2 (quadratic) or 3 (nonlinear), int8.
        value: a function that computes it, where it is a constant of known value.
    """

    def __init__(self, sets: Sets, degree: np.ndarray, value: Callable[[], Any] | None = None):
        self.sets, self.degree, self._value = sets, degree, value

    @property
    def constant(self) -> bool:
        """Whether nothing in it depends on an input."""
        return not self.degree.any()

    @property
    def known(self) -> bool:
        """Whether its value is known without the inputs."""
        return self._value is not None

    @cached_property
    def value(self) -> Any:
        """The value of a known constant."""
        if self._value is None:
            raise ValueError("the value of this array is not known")
        return self._value()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.degree.shape

    def same(self, other: "Array") -> bool:
        """Whether both say the same of their numbers."""
        return np.array_equal(self.degree, other.degree) and (self.sets.pattern() != other.sets.pattern()).nnz == 0


def variable(shape: tuple[int, ...], first: int, inputs: int) -> Array:
    """An array of the inputs `first`, `first + 1`, ..."""
    return Array(singletons(shape, first, inputs), np.ones(shape, np.int8))
