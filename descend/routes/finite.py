"""The gradient from finite differences, with a step that the noise decides."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.routes.coloring import Coloring, coloring
from descend.routes.directions import Vectors, columns, vectorized
from descend.routes.point import Point
from descend.routes.program import Arguments
from descend.routes.route import Needs, Route, integer
from descend.routes.widths import positive, shaped, widths

_TABLE = 7  # values in a row that the noise is measured with
_DECADES = {64: 8, 32: 4, 16: 2}  # steps tried, by bits: 10^-1, 10^-2, ... of the size of the argument


class Stencil(NamedTuple):
    """A formula for the first derivative: sum of weights * f(x + offset h) / h."""

    offsets: tuple[float, ...]
    weights: tuple[float, ...]


central = Stencil((1.0, -1.0), (0.5, -0.5))
one_sided = Stencil((1.0, 0.0), (1.0, -1.0))
five_point = Stencil((2.0, 1.0, -1.0, -2.0), (-1 / 12, 2 / 3, -2 / 3, 1 / 12))


def finite(
    f: Callable[..., Any] | None = None,
    /,
    *,
    step: Any = None,
    stencil: Stencil = central,
    pattern: Any = None,
    chunk: int | None = None,
) -> Callable[..., Any]:
    """f, differentiated by differences of its values along each coordinate.

    For a smooth f without noise the gradient has about two thirds of the digits of f, at 2 n evaluations (with a
    `pattern`: two for each color). Needs no draws, so it is the same each time; blind to steps of f that are not within
    reach of h. An entry whose difference is not finite is NaN.

    Without `step`, h is chosen where the derivative is asked for, from the noise of f there, which is rounding for a
    deterministic f and anything for a simulation: f is measured at 7 points close together, whose differences of
    orders 3 to 5 are noise; then the derivative along one direction is taken with steps of 10^-1, 10^-2, ... of the
    size of the argument, and that step is used where the noise over h plus the change between neighboring steps is
    least. This costs 7 + 2 * 8 evaluations (2 * 4 in float32) beside the 2 n. Each number moves by the step times
    max(|x_i|, the rms of its array), or times 1 where an array is zero.

    A second derivative is a difference of differences and loses digits twice.

    Args:
        f: the function (see `Route.__call__`); it may be a black box. Without f, gives the route itself: a decorator.
        step: h: a positive scalar, or a tree like the argument as for `smooth`. Default: chosen from the noise.
        stencil: `central` (error h^2), `one_sided` (error h, half the cost) or `five_point` (error h^4, twice the
            cost).
        pattern: a boolean matrix, outputs by inputs, dense or of `scipy.sparse`: which entries of the Jacobian may be
            nonzero, all leaves raveled and joined. Columns that share no row are evaluated together. It is believed.
        chunk: columns evaluated at once, by `vmap`. Default: by the sizes involved.

    Returns:
        g with `g(x) == f(x)`, or the route if f is not given.

    Raises:
        ValueError: if the step is not positive, or the pattern does not fit f.

    Source:
        More and Wild, "Estimating computational noise" (2011), equation 2.4, and "Estimating derivatives of noisy
        simulations" (2012).
    """
    route = Finite(step, stencil, pattern, chunk)
    return route if f is None else route(f)


@dataclass(frozen=True, repr=False, eq=False)
class Finite(Route):
    """The settings of `finite`."""

    step: Any = None
    stencil: Stencil = central
    pattern: Any = None
    chunk: int | None = None

    GIVES: ClassVar[str] = "biased"
    NEEDS: ClassVar[Needs] = Needs(
        traceable=False, random=False, units=lambda route, n: route.evaluations(n), dimension_limit=10_000
    )

    def __post_init__(self) -> None:
        positive("step", self.step)
        if self.chunk is not None:
            integer("chunk", self.chunk)
        if not isinstance(self.stencil, Stencil):
            raise TypeError(f"stencil must be a Stencil such as central, got {self.stencil!r}")
        _ = self.colors  # a pattern that is no matrix is refused here

    @cached_property
    def colors(self) -> Coloring | None:
        """The columns of the pattern in groups, if there is one."""
        return None if self.pattern is None else coloring(self.pattern)

    def evaluations(self, n: int) -> int:
        """How many values a gradient by n numbers costs."""
        moved = sum(1 for offset in self.stencil.offsets if offset)
        tried = 0 if self.step is not None else _TABLE + moved * _DECADES[64]
        return 1 + tried + moved * (n if self.colors is None else self.colors.count)

    def settings(self, arguments: Arguments) -> tuple[Any, ...]:
        return () if self.step is None else widths("step", self.step, arguments)

    def tangent(self, point: Point) -> tuple[Any, ...]:
        vectors = Vectors.of(point)
        here = vectors.join([point.leaves[i] for i in point.moving])
        value = lambda x: vectors.join(point.routed(None, point.moved(vectors.split(x))))  # noqa: E731
        base = vectors.join(point.value)

        def slope(move: Any) -> Any:
            """The derivative along a move, which has the step in it."""
            terms = [
                weight * (value(here + offset * move) if offset else base)
                for offset, weight in zip(self.stencil.offsets, self.stencil.weights, strict=True)
            ]
            return sum(terms[1:], terms[0])

        if self.step is None:
            steps = _sizes(point, vectors) * chosen(slope, value, here, _sizes(point, vectors))
        else:
            pairs = zip(point.moving, vectors.inputs, strict=True)
            steps = vectors.join([shaped("step", point.settings[i], leaf) for i, leaf in pairs])
        along = vectors.join(point.tangents)
        if self.colors is None:
            column = lambda k: slope(steps * (jnp.arange(vectors.size) == k)) / steps[k]  # noqa: E731
            return vectors.result(columns(point, column, along, vectors.size, self.chunk))
        return vectors.result(self._colored(self.colors, point, slope, steps, along, base.size))

    def _colored(
        self, groups: Coloring, point: Point, slope: Callable[..., Any], steps: Any, along: Any, outputs: int
    ) -> Any:
        shape, colors, rows, places = groups
        if shape != (outputs, along.size):
            raise ValueError(f"pattern must be of shape {(outputs, along.size)}, outputs by inputs, got {shape}")
        if not len(rows):
            return jnp.zeros(outputs, along.dtype)
        moves = lambda color: slope(jnp.where(jnp.asarray(colors) == color, steps, 0))  # noqa: E731
        differences = vectorized(point, moves, groups.count, self.chunk)
        entries = differences[colors[places], rows] / steps[places]
        return jax.ops.segment_sum(entries * along[places], jnp.asarray(rows), outputs)


def chosen(slope: Callable[..., Any], value: Callable[..., Any], here: Any, sizes: Any) -> Any:
    """The step, relative to the sizes, at which differences along a fixed direction err least.

    Args:
        slope: the difference along a move.
        value: the function of a vector.
        here: where.
        sizes: of the numbers.
    """
    bits = jnp.finfo(here.dtype).bits
    direction = sizes * jnp.asarray(np.random.default_rng(0).choice([-1.0, 1.0], here.size), here.dtype)
    close = float(jnp.finfo(here.dtype).eps) ** (2 / 3)
    table = jax.vmap(lambda i: value(here + i * close * direction))(jnp.arange(_TABLE, dtype=here.dtype))
    noise = measured_noise(table)
    steps = 10.0 ** -jnp.arange(1, 1 + _DECADES[bits], dtype=here.dtype)
    slopes = jax.vmap(lambda h: slope(h * direction) / h)(steps)
    # A derivative seen with ten times the step differs by the error of the larger step; the smaller one's is below
    # that.
    change = jnp.abs(jnp.diff(slopes, axis=0, prepend=2 * slopes[:1] - slopes[1:2]))
    error = jnp.sum((noise[None] / steps[:, None] + change) ** 2, axis=1)
    return jax.lax.stop_gradient(steps[jnp.argmin(jnp.where(jnp.isfinite(error), error, jnp.inf))])


def measured_noise(values: Any) -> Any:
    """The standard deviation of what is not smooth in rows of values at evenly spaced points close together.

    Source: More and Wild (2011), equation 2.4: (k!)^2 / (2k)! times the mean square of the differences of order k; the
    median over k = 3, 4, 5.
    """
    levels = []
    for order in range(1, 6):
        values = jnp.diff(values, axis=0)
        gamma = np.prod(np.arange(1, order + 1)) / np.prod(np.arange(order + 1, 2 * order + 1))
        levels.append(jnp.sqrt(gamma * jnp.mean(values**2, axis=0)))
    return jnp.median(jnp.stack(levels[2:]), axis=0)


def _sizes(point: Point, vectors: Vectors) -> Any:
    """The sizes of the numbers that move."""
    sizes = []
    for i in point.moving:
        leaf = jax.lax.stop_gradient(jnp.abs(point.leaves[i]))
        size = jnp.maximum(leaf, jnp.sqrt(jnp.mean(leaf**2)))
        sizes.append(jnp.where(size > 0, size, 1))
    return vectors.join(sizes)
