"""The contract of a hard layer."""

import abc
from typing import Any

import jax


class Layer(abc.ABC):
    """A function whose value satisfies conditions, whatever it is given. Obeys `descend.laws.check_layer`.

    It works under `jit`, `vmap`, `grad` and `jvp`, in float32 and float64; its derivative is that of its value.

    Attributes:
        projects: whether it maps each point to the nearest one that satisfies the conditions.
        accuracy: how far, relative to max(1, |value|), its conditions may be violated in float64.
    """

    projects: bool = False
    accuracy: float = 1e-9

    @abc.abstractmethod
    def __call__(self, *inputs: Any) -> Any:
        """The value."""

    @abc.abstractmethod
    def violation(self, inputs: tuple[Any, ...], value: Any) -> Any:
        """How far the value at these inputs is from satisfying the conditions: a scalar, 0 where it does."""

    @abc.abstractmethod
    def probe(self, key: jax.Array) -> tuple[Any, ...]:
        """Random inputs, most of which the layer has to change: for the laws."""
