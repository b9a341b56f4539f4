"""The value of one function with the derivative of another."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from descend.routes.point import Point, push
from descend.routes.program import Arguments, Program, read
from descend.routes.route import Needs, Route


def straight_through(
    f: Callable[..., Any] | None = None,
    surrogate: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """f, differentiated as `surrogate`: `straight_through(jnp.round, identity)` rounds and passes gradients on.

    The derivative is the surrogate's in everything, what it closes over included; what only f closes over gets none.
    How far that is from any derivative of f is not known here, and not promised.

    Args:
        f: the function (see `Route.__call__`); it may be a black box. Without f, gives the route itself: a decorator.
        surrogate: a traceable function with f's arguments and a result of the same shapes, such as `identity`, or a
            sigmoid for a step. It is required.

    Returns:
        g with `g(x) == f(x)`, or the route if f is not given.

    Raises:
        TypeError: if there is no surrogate; when called, if f and the surrogate return different shapes.

    Source:
        Bengio, Leonard and Courville, "Estimating or propagating gradients through stochastic neurons for conditional
        computation", arXiv:1308.3432: the "straight-through estimator".
    """
    route = StraightThrough(surrogate)
    return route if f is None else route(f)


def identity(x: Any, /, *args: Any, **kwargs: Any) -> Any:
    """The first argument: the classical surrogate of rounding, of the sign, of quantization."""
    return x


@dataclass(frozen=True, repr=False)
class StraightThrough(Route):
    """The settings of `straight_through`."""

    surrogate: Callable[..., Any] | None = None

    GIVES: ClassVar[str] = "surrogate"
    NEEDS: ClassVar[Needs] = Needs(traceable=False, random=False, units=lambda route, n: 4)

    def __post_init__(self) -> None:
        if not callable(self.surrogate):
            raise TypeError(f"straight_through needs surrogate=, a function such as identity, got {self.surrogate!r}")

    @classmethod
    def example(cls) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Each function as its own surrogate."""
        return lambda f: cls(f)(f)

    def programs(self, f: Callable[..., Any], arguments: Arguments) -> tuple[Program, ...]:
        assert self.surrogate is not None
        soft = read(self.surrogate, arguments)
        hard = read(f, arguments, jax.tree.unflatten(soft.tree, soft.outputs))
        if _described(hard) != _described(soft):
            raise TypeError(f"the surrogate must return what f does, {_described(hard)}, got {_described(soft)}")
        return hard, soft

    def tangent(self, point: Point) -> tuple[Any, ...]:
        tangents = dict(zip(point.moving, point.tangents, strict=True))
        return push(
            lambda leaves: point.plain(1, leaves), point.leaves, tuple(map(tangents.get, range(len(point.leaves))))
        )

    def closed_over(self, point: Point) -> tuple[Any, ...] | None:
        return point.drifted(1)


def _described(program: Program) -> str:
    kind = lambda o: "float" if jnp.issubdtype(o.dtype, jnp.inexact) else o.dtype.name  # noqa: E731
    shapes = [f"{kind(o)}{list(o.shape)}" for o in program.outputs]
    return str(jax.tree.unflatten(program.tree, shapes))
