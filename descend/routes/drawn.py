"""What the routes share that differentiate the mean of a program over its stated draws."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from descend.routes.directions import Vectors
from descend.routes.guarded import guarded
from descend.routes.numbers import AT_ONCE, independent
from descend.routes.point import Point
from descend.routes.redraw import Handler, length, redraw
from descend.routes.route import Route


class Draws(NamedTuple):
    """A program as a function of what is differentiated in it: moving arguments and drifting closed-over values.

    Attributes:
        primals, tangents: those values, and their directions.
        run: `run(primals, handler, state)` gives the floating results as a vector, and the last state.
        vectors: to take results apart.
        length: how many elements are drawn; None where that is not known.
    """

    primals: tuple[Any, ...]
    tangents: tuple[Any, ...]
    run: Callable[[tuple[Any, ...], Handler, Any], tuple[Any, Any]]
    vectors: Vectors
    length: int | None

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
        return cls(primals, tangents, run, vectors, length(program.jaxpr))

    def numbers(self, key: jax.Array, runs: int, indices: Any) -> Any:
        """What each of the runs of these indices draws by (see `Site.uniform`), independent of the others.

        Numbers that are made together, or keys where they are too many or it is not known how many.
        """
        if self.length is None or self.length * runs > AT_ONCE:
            return jax.vmap(lambda index: jax.random.fold_in(key, index))(indices)
        return independent(key, runs, max(self.length, 1), self.vectors.real)[indices]

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
            rows: arrays with one row a run.
        """
        count = len(jax.tree.leaves(rows)[0])
        values = jax.tree.leaves(jax.vmap(run)(jax.lax.stop_gradient(self.spread(count)), rows))[0]
        return self.guarded(run, rows, jnp.all(jnp.isfinite(values), 1))

    def spread(self, count: int) -> tuple[Any, ...]:
        """The primals once for each run, as the derivative of `guarded` sees them: then both are computed once."""
        return tuple(jnp.broadcast_to(p[None], (count, *p.shape)) for p in self.primals)

    def guarded(self, run: Callable[[tuple[Any, ...], Any], Any], rows: Any, good: Any) -> tuple[Any, Any]:
        """The same, where it is known which runs are good."""

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
