"""The gradient from past evaluations only: a sparse linear fit to the nearest ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from descend.routes.directions import Vectors
from descend.routes.point import Point
from descend.routes.program import Arguments, Program, read
from descend.routes.route import Needs, Route, integer

_SWEEPS = 100  # of coordinate descent


def neighbors(
    f: Callable[..., Any] | None = None,
    /,
    *,
    past: Any = None,
    k: int = 32,
    penalty: float = 0.0,
) -> Callable[..., Any]:
    """f, differentiated by a local linear fit to the k nearest of points where it was evaluated before.

    No new evaluation is made. The slope b of the fit minimizes (1 / 2k) sum (y_i - m - b (x_i - x))^2 + penalty r |b|_1
    over the k nearest points in the largest coordinate distance, r being how far they reach; the penalty, in units of
    y, keeps what is not needed at 0, and then as many points as the gradient has nonzero entries (times a
    logarithm) are enough, in any dimension. Biased by the curvature within the radius of the neighbors.

    A second derivative is that of the fit, whose points do not move: not a Hessian of f.

    Args:
        f: the function (see `Route.__call__`); it may be a black box. Without f, gives the route itself: a decorator.
        past: `(points, values)`: trees like f's positional arguments (the argument itself if there is one) and like its
            result, with one more leading axis, at least 2 long; or a function with f's arguments that gives them.
        k: how many points are used, at most all.
        penalty: lambda of the fit; 0 is least squares (of least norm where k is small).

    Returns:
        g with `g(x) == f(x)`, or the route if f is not given.

    Raises:
        ValueError: if k is not positive, the penalty negative, or the points do not fit the arguments.
        TypeError: if there is no `past`.

    Source:
        Ausset, Clemencon and Portier, "Nearest neighbour based estimates of gradients: sharp nonasymptotic bounds and
        applications", arXiv:2006.15043. Time: 100 n k for each output, n^2 k without penalty.
    """
    route = Neighbors(past, k, penalty)
    return route if f is None else route(f)


@dataclass(frozen=True, repr=False, eq=False)
class Neighbors(Route):
    """The settings of `neighbors`."""

    past: Any = None
    k: int = 32
    penalty: float = 0.0

    GIVES: ClassVar[str] = "biased"
    NEEDS: ClassVar[Needs] = Needs(traceable=False, random=False, units=lambda route, n: 1)

    @classmethod
    def example(cls) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Points drawn around each argument, the same ones each time."""

        def around(f: Callable[..., Any]) -> Callable[..., Any]:
            def past(*args: Any, **kwargs: Any) -> Any:
                arguments = Arguments.split(args, kwargs)
                program = read(f, arguments)

                normal = np.random.default_rng(0).normal
                drawn = [0.1 * normal(size=(16, *jnp.shape(leaf))) for leaf in arguments.leaves]
                pairs = zip(drawn, arguments.leaves, strict=True)
                points = tuple((leaf[None] + jnp.asarray(d)).astype(leaf.dtype) for d, leaf in pairs)
                values = jax.vmap(lambda leaves: program.run(leaves, program.consts))(points)
                whole = [jnp.broadcast_to(jnp.asarray(v), (16, *jnp.shape(v))) for v in arguments.everything]
                for place, leaf in zip(arguments.places, points, strict=True):
                    whole[place] = leaf
                args = jax.tree.unflatten(arguments.tree, whole)[0]
                return (args[0] if len(args) == 1 else args), jax.tree.unflatten(program.tree, values)

            return cls(past, k=16)(f)

        return around

    def __post_init__(self) -> None:
        if self.past is None:
            raise TypeError("neighbors needs past=(points, values), or a function that gives them")
        integer("k", self.k)
        if not self.penalty >= 0:
            raise ValueError(f"penalty must not be negative, got {self.penalty!r}")

    def programs(self, f: Callable[..., Any], arguments: Arguments) -> tuple[Program, ...]:
        plain = read(f, arguments)

        def evaluated(*args: Any, **kwargs: Any) -> Any:
            points, values = self._evaluated(*args, **kwargs)
            leaves = jax.tree.leaves((points,) if len(args) == 1 else points)
            if len(leaves) != len(jax.tree.leaves(args)) or len({len(leaf) for leaf in leaves}) != 1:
                raise ValueError(
                    "past must be (points, values), with points like the arguments and one more axis in front"
                )
            chosen = [jnp.asarray(leaves[place]) for place in arguments.places if place < len(leaves)]
            return chosen, jax.tree.leaves(values)

        return plain, read(evaluated, arguments)

    def _evaluated(self, *args: Any, **kwargs: Any) -> Any:
        """The points and the values that are known at these arguments."""
        return self.past(*args, **kwargs) if callable(self.past) else self.past

    def tangent(self, point: Point) -> tuple[Any, ...]:
        vectors = Vectors.of(point)
        found = point.plain(1, point.leaves)
        count = len(found) - len(point.value)
        points, values = found[:count], found[count:]
        here = vectors.join([point.leaves[i] for i in point.moving])
        rows = _rows([points[i] for i in point.moving], vectors.dtype)
        if rows.shape[1] != here.size:
            raise ValueError(f"past has points of {rows.shape[1]} numbers, the arguments have {here.size}")
        floating = [v for v, o in zip(values, point.value, strict=True) if jnp.issubdtype(o.dtype, jnp.inexact)]
        slopes = nearest_slopes(rows - here[None], _rows(floating, vectors.dtype), min(self.k, len(rows)), self.penalty)
        return vectors.result(slopes.T @ vectors.join(point.tangents))


def nearest_slopes(offsets: Any, values: Any, k: int, penalty: Any) -> Any:
    """The slopes of local linear fits, an array (inputs, outputs).

    Args:
        offsets: (points, inputs), from where the slope is wanted.
        values: (points, outputs); points where a value is not finite are not used.
        k: how many points are used.
        penalty: lambda; a nonnegative number.
    """
    usable = jnp.all(jnp.isfinite(values), 1)
    distance = jnp.where(usable, jnp.max(jnp.abs(offsets), 1), jnp.inf)
    nearest = jax.lax.top_k(-distance, k)[1]
    weight = usable[nearest].astype(offsets.dtype)[:, None]
    total = jnp.maximum(weight.sum(), 1)
    x, y = offsets[nearest] * weight, jnp.where(weight > 0, values[nearest], 0)
    x = (x - x.sum(0, keepdims=True) / total) * weight
    y = (y - y.sum(0, keepdims=True) / total) * weight
    radius = jnp.maximum(jnp.max(jnp.abs(x)), jnp.finfo(x.dtype).tiny)
    x = x / radius  # the fit is in units of the radius, so that squares neither vanish nor overflow
    if not isinstance(penalty, jax.core.Tracer) and penalty == 0:
        ridge = 10 * jnp.finfo(x.dtype).eps * jnp.sum(x**2)
        if k > x.shape[1]:
            return jnp.linalg.solve(x.T @ x + ridge * jnp.eye(x.shape[1], dtype=x.dtype), x.T @ y) / radius
        # Least norm, by the smaller side; the mean, which is its null vector, is filled in.
        short = x @ x.T + weight @ weight.T + (ridge + 1 - weight) * jnp.eye(k, dtype=x.dtype)
        return x.T @ jnp.linalg.solve(short, y) / radius
    gram, moment = x.T @ x / total, x.T @ y / total
    diagonal = jnp.maximum(jnp.diag(gram), jnp.finfo(x.dtype).tiny)

    def sweep(_: Any, slopes: Any) -> Any:
        def coordinate(i: Any, slopes: Any) -> Any:
            rest = moment[i] - gram[i] @ slopes + diagonal[i] * slopes[i]
            return slopes.at[i].set(jnp.sign(rest) * jnp.maximum(jnp.abs(rest) - penalty, 0) / diagonal[i])

        return jax.lax.fori_loop(0, len(slopes), coordinate, slopes)

    return jax.lax.fori_loop(0, _SWEEPS, sweep, jnp.zeros_like(moment)) / radius


def _rows(leaves: Any, dtype: Any) -> Any:
    return jnp.concatenate([leaf.reshape(len(leaf), int(np.prod(leaf.shape[1:]))).astype(dtype) for leaf in leaves], 1)
