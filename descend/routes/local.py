"""The gradient from perturbing everything at once, each output credited only to what touched it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from descend.routes.directions import Vectors, summed
from descend.routes.noise import gaussian
from descend.routes.point import Point
from descend.routes.program import Arguments, Program, read
from descend.routes.route import Needs, Route, integer
from descend.routes.widths import positive, shaped, widths


def local(
    f: Callable[..., Any] | None = None,
    /,
    *,
    touched: Callable[..., Any] | None = None,
    sigma: Any = 0.1,
    samples: int = 2,
    directions: Callable[..., jax.Array] = gaussian,
    chunk: int | None = None,
) -> Callable[..., Any]:
    """f with many outputs, differentiated like `smooth`, but output p only by the inputs that `touched` says it saw.

    A renderer's pixel depends on the few objects that cover it: its change under a perturbation of all objects is noise
    to all others. With q inputs touching an output, the gradient of a sum over outputs has the variance of
    q-dimensional problems, whatever the number of inputs n; plain simultaneous perturbation has that of n dimensions.
    Unbiased for the smoothed f where `touched` is right at both ends of every perturbation.

    f must return its outputs, such as errors per pixel, one by one: sum them outside.

    Args:
        f: the function (see `Route.__call__`); it may be a black box. Without f, gives the route itself: a decorator.
        touched: a function with f's arguments, evaluated at both perturbed points, giving for each of the m outputs of
            f (raveled and joined) either a boolean row over all n inputs (raveled and joined), (m, n); or numbers of
            rows of the one argument, an array with one object a row: (m, q) ints, -1 for none. Both ends count. It may
                be a
            black box only if `routes.black_box` says what it returns. Default: everything touches everything.
        sigma: standard deviation of the perturbation: a positive scalar or a tree like the argument, as for `smooth`.
        samples: evaluations per gradient; an odd number is rounded up to whole pairs.
        directions: `gaussian`, or `rademacher` for random signs.
        chunk: pairs evaluated at once, by `vmap`. Default: by the sizes involved.

    Returns:
        g with `g(x, key=key) == f(x)`, or the route if f is not given. Pairs where an output is not finite are left out
        for that output.

    Raises:
        ValueError: if sigma or samples is not positive; from the derivative, if called without `key` or if what
            `touched` gives does not fit.

    Source:
        Deliot, Heitz and Belcour, "Transforming a non-differentiable rasterizer into a differentiable one with
        stochastic gradient estimation", arXiv:2404.09758.
    """
    route = Local(touched, sigma, samples, directions, chunk)
    return route if f is None else route(f)


@dataclass(frozen=True, repr=False)
class Local(Route):
    """The settings of `local`."""

    touched: Callable[..., Any] | None = None
    sigma: Any = 0.1
    samples: int = 2
    directions: Callable[..., jax.Array] = gaussian
    chunk: int | None = None

    GIVES: ClassVar[str] = "unbiased-for-smoothed"
    NEEDS: ClassVar[Needs] = Needs(traceable=False, random=True, units=lambda route, n: 1 + 2 * route.pairs)

    def __post_init__(self) -> None:
        positive("sigma", self.sigma)
        integer("samples", self.samples)
        if self.chunk is not None:
            integer("chunk", self.chunk)
        for name in ("touched", "directions"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise TypeError(f"{name} must be a function, got {getattr(self, name)!r}")

    @property
    def pairs(self) -> int:
        """The number of antithetic pairs."""
        return (self.samples + 1) // 2

    def narrowed(self, factor: Any) -> "Local":
        return dataclasses.replace(self, sigma=jax.tree.map(lambda sigma: sigma * factor, self.sigma))

    def settings(self, arguments: Arguments) -> tuple[Any, ...]:
        return widths("sigma", self.sigma, arguments)

    def programs(self, f: Callable[..., Any], arguments: Arguments) -> tuple[Program, ...]:
        plain = read(f, arguments)
        return (plain,) if self.touched is None else (plain, read(self.touched, arguments))

    def tangent(self, point: Point) -> tuple[Any, ...]:
        vectors = Vectors.of(point)
        pairs = zip(point.moving, vectors.inputs, strict=True)
        sigma = vectors.join([shaped("sigma", point.settings[i], leaf) for i, leaf in pairs])
        here = vectors.join([point.leaves[i] for i in point.moving])
        along = vectors.join(point.tangents) / sigma

        def one(index: Any) -> tuple[Any, Any]:
            u = self.directions(jax.random.fold_in(point.key, index), (vectors.size,), vectors.real)
            inner = jax.random.fold_in(point.key, index + self.pairs)  # second derivatives draw anew
            ends = [point.moved(vectors.split(here + sign * sigma * u)) for sign in (1, -1)]
            ahead, behind = (vectors.join(point.routed(inner, end)) for end in ends)
            change = (ahead - behind) / 2
            good = jnp.isfinite(change)
            return jnp.where(good, change, 0) * self._credited(point, ends, u * along, change.size), good

        def part(indices: Any) -> Any:
            return jax.tree.map(lambda each: each.sum(0), jax.vmap(one)(indices))

        total, count = summed(point, part, self.pairs, self.chunk)
        return vectors.result(total / jnp.where(count > 0, count, jnp.nan))

    def _credited(self, point: Point, ends: list[Any], products: Any, outputs: int) -> Any:
        """For each output, the sum of u_i t_i over the inputs that touch it at either end."""
        if self.touched is None:
            return jnp.sum(products)
        ahead, behind = (jax.lax.stop_gradient(point.plain(1, end)[0]) for end in ends)
        if ahead.dtype == bool:
            if ahead.size != outputs * products.size:
                raise ValueError(f"touched must give {outputs} rows over {products.size} inputs, got {ahead.shape}")
            return (ahead | behind).reshape(outputs, products.size).astype(products.dtype) @ products
        if len(point.moving) != 1 or ahead.ndim < 1 or ahead.size % outputs:
            raise ValueError(f"touched must give row numbers of one argument for {outputs} outputs, got {ahead.shape}")
        rows = jnp.concatenate([ahead.reshape(outputs, -1), behind.reshape(outputs, -1)], 1)
        # An object that both ends name counts once: in sorted order, only the first of equals.
        rows = jnp.sort(rows, 1)
        first = jnp.concatenate([jnp.ones((outputs, 1), bool), rows[:, 1:] != rows[:, :-1]], 1)
        objects = products.reshape(len(point.leaves[point.moving[0]]), -1).sum(1)
        return jnp.sum(jnp.where(first & (rows >= 0), objects[jnp.maximum(rows, 0)], 0), 1)
