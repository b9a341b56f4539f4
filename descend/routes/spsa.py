"""The gradient from two values: simultaneous perturbation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax

from descend.routes.directions import Vectors, contract, rademacher
from descend.routes.point import Point
from descend.routes.program import Arguments
from descend.routes.route import Needs, Route, integer
from descend.routes.widths import positive, shaped, widths


def spsa(
    f: Callable[..., Any] | None = None,
    /,
    *,
    step: Any = 1e-2,
    pairs: int = 1,
    chunk: int | None = None,
) -> Callable[..., Any]:
    """f, differentiated by differences over steps that move every number at once, by a random sign each.

    The derivative along t is the mean of (f(x + h s) - f(x - h s)) / 2 * (s . t / h) over sign vectors s. For a smooth
    f its expectation is the derivative up to O(h^2), and entry i of one pair varies by |grad f|^2 - (grad f)_i^2, so
    that n numbers cost two values whatever n is, at a cosine of about sqrt(pairs / (n + pairs)). Unlike `smooth`, whose
    Gaussian steps are exact for a blurred f, signs never go far; for steps and plateaus use `smooth`.

    Pairs at which an entry of f's value is not finite are left out of its mean.

    Args:
        f: the function (see `Route.__call__`); it may be a black box. Without f, gives the route itself: a decorator.
        step: h: a positive scalar, or a tree like the argument as for `smooth`.
        pairs: sign vectors per gradient.
        chunk: pairs evaluated at once, by `vmap`. Default: by the sizes involved.

    Returns:
        g with `g(x, key=key) == f(x)`, or the route if f is not given.

    Raises:
        ValueError: if step or pairs is not positive; from the derivative, if called without `key`.

    Source:
        Spall, "Multivariate stochastic approximation using a simultaneous perturbation gradient approximation" (1992).
    """
    route = Spsa(step, pairs, chunk)
    return route if f is None else route(f)


@dataclass(frozen=True, repr=False)
class Spsa(Route):
    """The settings of `spsa`."""

    step: Any = 1e-2
    pairs: int = 1
    chunk: int | None = None

    GIVES: ClassVar[str] = "biased"
    NEEDS: ClassVar[Needs] = Needs(
        traceable=False, random=True, units=lambda route, n: 1 + 2 * route.pairs, dimension_limit=1000
    )

    def __post_init__(self) -> None:
        positive("step", self.step)
        integer("pairs", self.pairs)
        if self.chunk is not None:
            integer("chunk", self.chunk)

    def settings(self, arguments: Arguments) -> tuple[Any, ...]:
        return widths("step", self.step, arguments)

    def tangent(self, point: Point) -> tuple[Any, ...]:
        vectors = Vectors.of(point)
        here = vectors.join([point.leaves[i] for i in point.moving])
        pairs = zip(point.moving, vectors.inputs, strict=True)
        step = vectors.join([shaped("step", point.settings[i], leaf) for i, leaf in pairs])

        def sample(index: Any) -> tuple[Any, Any]:
            signs = rademacher(jax.random.fold_in(point.key, index), (vectors.size,), vectors.real)
            inner = jax.random.fold_in(point.key, index + self.pairs)  # second derivatives draw anew
            value = lambda x: vectors.join(point.routed(inner, point.moved(vectors.split(x))))  # noqa: E731
            return (value(here + step * signs) - value(here - step * signs)) / 2, signs

        along = vectors.join(point.tangents) / step
        return vectors.result(contract(point, sample, along, self.pairs, self.chunk))
