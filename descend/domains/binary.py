"""Zeros and ones."""

from typing import Any

from descend.domains.domain import say_shape
from descend.domains.integer import Integer


class Binary(Integer):
    """Arrays of zeros and ones: `Integer` between 0 and 1. It starts at all zeros.

    Neighbors flip one entry, now and then a few.

    Args:
        shape: shape of a member; an int means a vector.
    """

    def __init__(self, shape: Any = ()):
        super().__init__(shape, 0, 1)

    def __repr__(self) -> str:
        return f"Binary({say_shape(self.shape) if self.shape else ''})"


EXAMPLES = (Binary(5), Binary(), Binary((2, 2)), Binary(0))
