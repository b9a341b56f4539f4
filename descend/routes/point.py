"""Where, and along what, a route differentiates."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.routes.program import Program


class Point(NamedTuple):
    """Where, and along what, a route differentiates. Lists of leaves are those of the traced arguments.

    Attributes:
        key: the route's own key (None for a route that does not draw).
        settings: what `Route.settings` gave.
        leaves: the traced leaves of the arguments.
        moving: which leaves are differentiated: only those may be perturbed.
        tangents: the direction in each of them.
        value: the leaves of f's value.
        programs: what `Route.programs` gave.
        consts: what each program closes over. (Those of `Program` itself are dead when a rule runs.)
        drift: the direction in them, None where zero.
        routed: `routed(key, leaves)` gives f's value at other leaves, itself differentiated by this route.
    """

    key: Any
    settings: Any
    leaves: tuple[Any, ...]
    moving: tuple[int, ...]
    tangents: tuple[Any, ...]
    value: tuple[Any, ...]
    programs: tuple[Program, ...]
    consts: tuple[tuple[Any, ...], ...]
    drift: tuple[tuple[Any, ...], ...]
    routed: Callable[[Any, tuple[Any, ...]], tuple[Any, ...]]

    def moved(self, to: Any) -> tuple[Any, ...]:
        """The leaves with the moving ones replaced."""
        leaves = list(self.leaves)
        for i, leaf in zip(self.moving, to, strict=True):
            leaves[i] = leaf
        return tuple(leaves)

    def plain(self, program: int, leaves: tuple[Any, ...]) -> tuple[Any, ...]:
        """The value of a program at other leaves, with its own derivative."""
        return self.programs[program].run(leaves, self.consts[program])

    def drifted(self, program: int) -> tuple[Any, ...] | None:
        """The derivative of a program along the drift of what it closes over; None where that is zero."""
        run = self.programs[program].run
        return push(lambda consts: run(self.leaves, consts), self.consts[program], self.drift[program])

    @property
    def shapes(self) -> list[jax.ShapeDtypeStruct]:
        """Of the moving leaves."""
        return [jax.ShapeDtypeStruct(np.shape(self.leaves[i]), jnp.result_type(self.leaves[i])) for i in self.moving]


def push(function: Callable[[Any], Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    """The jvp of `function(primals)` along tangents that are None where zero; None if all are."""
    moving = [i for i, t in enumerate(tangents) if t is not None]
    if not moving:
        return None

    def along(*moved: Any) -> Any:
        everything = list(primals)
        for i, leaf in zip(moving, moved, strict=True):
            everything[i] = leaf
        return function(tuple(everything))

    return jax.jvp(along, tuple(primals[i] for i in moving), tuple(tangents[i] for i in moving))[1]
