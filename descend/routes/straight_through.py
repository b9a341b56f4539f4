"""The value of one function with the derivative of another."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from descend.relax import Family, soften
from descend.relax.operation import check_temperature
from descend.routes.point import Point, push
from descend.routes.program import Arguments, Program, read
from descend.routes.route import Needs, Route


def straight_through(
    f: Callable[..., Any] | None = None,
    surrogate: Callable[..., Any] | None = None,
    *,
    temperature: Any = None,
    family: Family | None = None,
    max_steps: int | None = None,
) -> Callable[..., Any]:
    """f, differentiated as `surrogate`: `straight_through(jnp.round, identity)` rounds and passes gradients on.

    Given a temperature instead, f is its own surrogate, softened: `straight_through(f, temperature=0.1)` has the hard
    value and the derivative of `descend.soften(f, temperature=0.1)`.

    The derivative is the surrogate's in everything, what it closes over included; what only f closes over gets none.
    How far that is from any derivative of f is not known here, and not promised.

    Args:
        f: the function (see `Route.__call__`); with a surrogate it may be a black box. Without f, gives the route
            itself: a decorator.
        surrogate: a traceable function with f's arguments and a result of the same shapes, such as `identity`, or a
            sigmoid for a step. Either it or a temperature is required.
        temperature: of the softened f, as for `descend.soften`.
        family: of its steps, as there.
        max_steps: of its loops, as there.

    Returns:
        g with `g(x) == f(x)`, or the route if f is not given.

    Raises:
        TypeError: if there is no surrogate and no temperature, or both; when called, if f and the surrogate return
            different shapes.

    Source:
        Bengio, Leonard and Courville, "Estimating or propagating gradients through stochastic neurons for conditional
        computation", arXiv:1308.3432: the "straight-through estimator".
    """
    route = StraightThrough(surrogate, temperature, family, max_steps)
    return route if f is None else route(f)


def identity(x: Any, /, *args: Any, **kwargs: Any) -> Any:
    """The first argument: the classical surrogate of rounding, of the sign, of quantization."""
    return x


@dataclass(frozen=True, repr=False)
class StraightThrough(Route):
    """The settings of `straight_through`."""

    surrogate: Callable[..., Any] | None = None
    temperature: Any = None
    family: Family | None = None
    max_steps: int | None = None

    GIVES: ClassVar[str] = "surrogate"
    NEEDS: ClassVar[Needs] = Needs(traceable=False, random=False, units=lambda route, n: 4)

    def __post_init__(self) -> None:
        if self.temperature is not None:
            if self.surrogate is not None:
                raise TypeError("straight_through takes surrogate= or temperature=, not both")
            check_temperature(self.temperature, "straight_through")
        elif not callable(self.surrogate):
            raise TypeError(
                "straight_through needs temperature= (of the softened function), or surrogate=, a function such as "
                f"identity, got {self.surrogate!r}"
            )

    @classmethod
    def example(cls) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Each function as its own surrogate."""
        return lambda f: cls(f)(f)

    def narrowed(self, factor: Any) -> "StraightThrough":
        """At a lower temperature; a surrogate of one's own has none."""
        if self.temperature is None:
            return self
        return dataclasses.replace(self, temperature=self.temperature * factor)

    def programs(self, f: Callable[..., Any], arguments: Arguments) -> tuple[Program, ...]:
        if self.surrogate is None:
            softened = soften(f, temperature=self.temperature, family=self.family, max_steps=self.max_steps)
            return read(f, arguments), read(softened, arguments)
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
