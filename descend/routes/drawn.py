"""What the routes share that differentiate the mean of a program over its stated draws."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from descend.routes.directions import Vectors
from descend.routes.guarded import guarded
from descend.routes.point import Point
from descend.routes.redraw import Handler, redraw
from descend.routes.route import Route


class Draws(NamedTuple):
    """A program as a function of what is differentiated in it: moving arguments and drifting closed-over values.

    Attributes:
        primals, tangents: those values, and their directions.
        run: `run(primals, handler, state)` gives the floating results as a vector, and the last state.
        vectors: to take results apart.
    """

    primals: tuple[Any, ...]
    tangents: tuple[Any, ...]
    run: Callable[[tuple[Any, ...], Handler, Any], tuple[Any, Any]]
    vectors: Vectors

    @classmethod
    def of(cls, point: Point) -> "Draws":
        vectors, program, consts = Vectors.of(point), point.programs[0], point.consts[0]
        drifting = [i for i, t in enumerate(point.drift[0]) if t is not None]
        count = len(point.moving)

        def run(primals: tuple[Any, ...], handler: Handler, state: Any) -> tuple[Any, Any]:
            closed = list(consts)
            for i, const in zip(drifting, primals[count:], strict=True):
                closed[i] = const
            outs, state = redraw(program.jaxpr, closed, point.moved(primals[:count]), handler, state)
            return vectors.join(outs), state

        primals = tuple(map(jnp.asarray, (*(point.leaves[i] for i in point.moving), *(consts[i] for i in drifting))))
        tangents = (*point.tangents, *(point.drift[0][i] for i in drifting))
        return cls(primals, tangents, run, vectors)

    @property
    def outputs(self) -> int:
        """How many floating results there are."""
        return sum(int(o.size) for o in self.vectors.outputs if jnp.issubdtype(o.dtype, jnp.inexact))

    def mean(self, total: Any, count: Any) -> Any:
        """A sum of derivatives over how many runs did not fail; NaN in both modes where none is left."""
        everything = sum(jnp.sum(t) for t in self.tangents)
        return total / jnp.maximum(count, 1) + jnp.where(count > 0, 0, jnp.nan) * everything

    @property
    def size(self) -> int:
        """How many numbers are differentiated."""
        return sum(int(p.size) for p in self.primals)

    def along(self, run: Callable[[tuple[Any, ...], Any], Any], rows: Any) -> tuple[Any, Any]:
        """Runs of a function, and their derivatives along the tangents.

        Args:
            run: a function of the primals and of one row, whose first result is a vector of values. Where one of them
                is not finite, the run has failed: what the caller then leaves out is left out of the reverse pass too.
            rows: an array with one row a run.
        """
        values = jax.tree.leaves(jax.vmap(run, (None, 0))(self.primals, rows))[0]
        good = jnp.all(jnp.isfinite(jax.lax.stop_gradient(values)), 1)

        def runs(*primals: Any) -> Any:
            one = lambda row, good: run(tuple(guarded(p, good) for p in primals), row)  # noqa: E731
            return jax.vmap(one)(rows, good)

        return jax.jvp(runs, self.primals, self.tangents)


class Drawn(Route):
    """Base of the routes that draw again. Their `tangent` includes the drift of what f closes over."""

    def parts(self, point: Point) -> list[tuple[Any, ...] | None]:
        if not point.moving and all(t is None for t in point.drift[0]):
            return []
        self.check(point)
        return [self.tangent(point)]

    @abc.abstractmethod
    def tangent(self, point: Point) -> tuple[Any, ...]: ...
