"""The exact gradient of a long iteration in little memory: checkpoints, recursively."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from descend.routes.point import Point
from descend.routes.rewrite import along_scans
from descend.routes.route import Needs, Route, integer


def remat(f: Callable[..., Any] | None = None, /, *, branching: int = 4) -> Callable[..., Any]:
    """f, with the reverse pass through its scans in memory that grows with the logarithm of their length.

    A scan of T steps becomes a tree of scans of `branching` b steps, of which only the way to the current leaf is kept:
    b log_b T carries instead of the intermediate results of T steps, for about log_b T further forward passes in
    reverse mode. The derivative is exact. Scans in f, also inside `jit`, are treated at their outermost level; Python
    loops and loops inside functions with rules of their own are not.

    Args:
        f: the function (see `Route.__call__`), traceable. Without f, gives the route itself: a decorator.
        branching: b, at least 2. A smaller one needs less memory and more time; the root of T gives two levels.

    Returns:
        g with `g(x) == f(x)`, or the route if f is not given.

    Raises:
        ValueError: if branching is below 2.

    Source:
        Griewank, "Achieving logarithmic growth of temporal and spatial complexity in reverse automatic differentiation"
        (1992).
    """
    route = Remat(branching)
    return route if f is None else route(f)


@dataclass(frozen=True, repr=False)
class Remat(Route):
    """The settings of `remat`."""

    branching: int = 4

    GIVES: ClassVar[str] = "exact"
    NEEDS: ClassVar[Needs] = Needs(traceable=True, random=False, units=lambda route, n: 8)

    def __post_init__(self) -> None:
        integer("branching", self.branching)
        if self.branching < 2:
            raise ValueError(f"branching must be at least 2, got {self.branching}")

    def parts(self, point: Point) -> list[tuple[Any, ...] | None]:
        return [self.tangent(point)]

    def tangent(self, point: Point) -> tuple[Any, ...]:
        return along_scans(point, lambda scan: _tree(scan.body, scan.carry, scan.rows, scan.length, self.branching))


def _tree(body: Callable[..., Any], carry: Any, rows: Any, length: int, branching: int) -> tuple[Any, Any]:
    """`jax.lax.scan`, as a tree."""
    if length <= branching:
        return jax.lax.scan(body, carry, rows, length=length)
    part = 1
    while part * branching < length:
        part *= branching
    count = length // part
    cut = lambda row: row[: count * part].reshape(count, part, *row.shape[1:])  # noqa: E731

    @jax.checkpoint
    def inner(carry: Any, rows: Any) -> Any:
        return _tree(body, carry, rows, part, branching)

    carry, stacked = jax.lax.scan(inner, carry, jax.tree.map(cut, rows), length=count)
    stacked = jax.tree.map(lambda each: each.reshape(count * part, *each.shape[2:]), stacked)
    rest = length - count * part
    if not rest:
        return carry, stacked
    carry, tail = _tree(body, carry, jax.tree.map(lambda row: row[count * part :], rows), rest, branching)
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), stacked, tail)
