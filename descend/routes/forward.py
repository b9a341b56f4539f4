"""The gradient from forward-mode derivatives along random directions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax

from descend.routes.directions import Vectors, contract, rademacher
from descend.routes.point import Point
from descend.routes.program import Arguments, Program, read
from descend.routes.route import Needs, Route, integer


def forward(
    f: Callable[..., Any] | None = None,
    /,
    *,
    tangents: int = 1,
    directions: Callable[..., jax.Array] = rademacher,
    control: Callable[..., Any] | None = None,
    chunk: int | None = None,
) -> Callable[..., Any]:
    """f, differentiated without a backward pass: grad f is estimated by the mean of (grad f . v_k) v_k.

    Nothing of f's intermediate results is stored, and functions without a reverse mode (`jax.lax.while_loop`) get a
    gradient. Unbiased, with the exact variance, in n dimensions with k tangents and g = grad f,

        Gaussian:    var of entry i = (|g|^2 + g_i^2) / k,   in all (n + 1) |g|^2 / k;
        Rademacher:  var of entry i = (|g|^2 - g_i^2) / k,   in all (n - 1) |g|^2 / k,

    (for one Gaussian tangent E|estimate|^2 = (n + 2) |g|^2, for one Rademacher tangent n |g|^2). So Rademacher
    directions are never worse, and exact for n = 1. The cosine with g is about sqrt(k / (n + k)): descent slows by
    n / k against the gradient. Worth it for up to a few hundred numbers, or where a backward pass is impossible.

    Directions in which an entry of the derivative is not finite are left out of its mean. A second derivative is the
    exact derivative of the estimate.

    Args:
        f: the function (see `Route.__call__`), traceable. Without f, gives the route itself: a decorator.
        tangents: directions per gradient, k.
        directions: `directions(key, shape, dtype)` draws v with independent entries of mean 0 and variance 1:
            `rademacher`, `gaussian` or `sphere`.
        control: a function with f's arguments and results whose gradient guesses f's (a previous gradient times x). The
            guess is added exactly and only the rest is estimated: g above becomes grad f - grad control.
        chunk: directions at once, by `vmap`; rounded down to a divisor of `tangents`. Default: by the sizes involved.

    Returns:
        g with `g(x, key=key) == f(x)`, or the route if f is not given. `jax.grad(g)(x, key=key)` draws by `key`.

    Raises:
        ValueError: if tangents is not positive; from the derivative, if called without `key`.
        TypeError: from the derivative, if f cannot be traced.

    Source:
        Baydin et al., "Gradients without backpropagation", arXiv:2202.08587, definition 1 and theorem 1.
    """
    route = Forward(tangents, directions, control, chunk)
    return route if f is None else route(f)


@dataclass(frozen=True, repr=False)
class Forward(Route):
    """The settings of `forward`."""

    tangents: int = 1
    directions: Callable[..., jax.Array] = rademacher
    control: Callable[..., Any] | None = None
    chunk: int | None = None

    GIVES: ClassVar[str] = "unbiased"
    NEEDS: ClassVar[Needs] = Needs(
        traceable=True, random=True, units=lambda route, n: 1 + 2 * route.tangents, dimension_limit=1000
    )

    def __post_init__(self) -> None:
        integer("tangents", self.tangents)
        if self.chunk is not None:
            integer("chunk", self.chunk)
        if not callable(self.directions):
            raise TypeError(f"directions must be a function such as rademacher or gaussian, got {self.directions!r}")

        if self.control is not None and not callable(self.control):
            raise TypeError(f"control must be a function like f, got {self.control!r}")

    def programs(self, f: Callable[..., Any], arguments: Arguments) -> tuple[Program, ...]:
        plain = read(f, arguments)
        return (plain,) if self.control is None else (plain, read(self.control, arguments))

    def tangent(self, point: Point) -> tuple[Any, ...]:
        vectors = Vectors.of(point)
        here = tuple(point.leaves[i] for i in point.moving)

        def sample(index: Any) -> tuple[Any, Any]:
            v = self.directions(jax.random.fold_in(point.key, index), (vectors.size,), vectors.real)
            return slope(vectors.split(v)), v

        def along(program: int, tangents: Any) -> Any:
            value = lambda *leaves: vectors.join(point.plain(program, point.moved(leaves)))  # noqa: E731
            return jax.jvp(value, here, tangents)[1]

        guess = (lambda tangents: along(1, tangents)) if self.control is not None else lambda tangents: 0
        slope = lambda tangents: along(0, tangents) - guess(tangents)  # noqa: E731
        estimate = contract(point, sample, vectors.join(point.tangents), self.tangents, self.chunk)
        return vectors.result(estimate + guess(point.tangents))
