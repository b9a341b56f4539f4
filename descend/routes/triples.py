"""The gradient of a mean over discrete draws, by runs in which one draw comes out otherwise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from descend.routes.directions import summed
from descend.routes.drawn import Drawn, Draws
from descend.routes.numbers import stratified
from descend.routes.point import Point
from descend.routes.redraw import Site, elements
from descend.routes.route import Needs, integer


def triples(
    f: Callable[..., Any] | None = None,
    /,
    *,
    samples: int = 1,
    alternatives: int = 1,
    chunk: int | None = None,
) -> Callable[..., Any]:
    """f, differentiated as E f over its stated draws by stochastic triples: a value, an alternative, and a weight.

    An infinitesimal change of a parameter rarely changes a discrete draw, but when it does, f changes by a finite
    amount. For each element y drawn from p there is an alternative y', one outcome away, and a weight w, such that the
    mean of dp w (f(.. y' ..) - f(.. y ..)) is the derivative. The run with y' makes all later draws by the same random
    numbers, so that the two runs stay close, and their difference is small where the alternative matters little.
    Unbiased for Bernoulli, binomial, geometric, Poisson and categorical draws, whatever f does with them; normal draws
    and the direct part of the derivative are taken pathwise.

    Of all elements, `alternatives` are picked (pruned), with probability by their weight and by how much their
    parameter depends on what is differentiated; as many as there are elements or more: each is tried once, and nothing
    is pruned. Two programs with one draw each: exact for one Bernoulli draw. The variance does not grow with the size
    of f, as it does for `score`, only with its changes.

    Args:
        f: the function (see `Route.__call__`), traceable. Without f, gives the route itself: a decorator.
        samples: runs per gradient.
        alternatives: further runs for each. Runs where either value is not finite are left out.
        chunk: samples at once, by `vmap`. Default: by the sizes involved.

    Returns:
        g with `g(x, key=key) == f(x)` (f's own draws), or the route if f is not given. Second derivatives are refused.

    Raises:
        ValueError: if samples or alternatives is not positive; from the derivative, if called without `key`.
        TypeError: from the derivative, if a loop draws an unknown number of times, if f cannot be traced, or if it is
            differentiated again.

    Source:
        Arya, Schauer, Schaefer and Rackauckas, "Automatic differentiation of programs with discrete randomness",
        arXiv:2210.08572. There the side of the jump follows the sign of the change, which only forward mode knows; here
        weights are for both signs, so that the derivative is linear and reverse mode works.
    """
    route = Triples(samples, alternatives, chunk)
    return route if f is None else route(f)


@dataclass(frozen=True, repr=False)
class Triples(Drawn):
    """The settings of `triples`."""

    samples: int = 1
    alternatives: int = 1
    chunk: int | None = None

    GIVES: ClassVar[str] = "unbiased"
    NEEDS: ClassVar[Needs] = Needs(
        traceable=True,
        random=True,
        units=lambda route, n: 1 + route.samples * (5 + route.alternatives),
        draws=True,
    )
    BREAKS: ClassVar[dict[str, str]] = {
        "curvature": "the weights of second derivatives would need pairs of alternatives"
    }

    def __post_init__(self) -> None:
        integer("samples", self.samples)
        integer("alternatives", self.alternatives)
        if self.chunk is not None:
            integer("chunk", self.chunk)

    def tangent(self, point: Point) -> tuple[Any, ...]:
        draws = Draws.of(point)
        count = len(elements(point.programs[0].jaxpr, countable=True))
        made, picks = self._numbers(point, draws, count)
        known = [a for a in (*point.leaves, *point.consts[0]) if jnp.issubdtype(jnp.result_type(a), jnp.inexact)]

        def run(primals: tuple[Any, ...], numbers: Any, chosen: Any = -1) -> Any:
            """The value with the alternative at the chosen element (none at -1), and the hooks of all elements."""

            def handler(hooks: Any, site: Site) -> tuple[Any, Any]:
                drawn = site.drawn(numbers[:count])
                if site.family.continuous:
                    return hooks, drawn
                drawn = jax.lax.stop_gradient(drawn)
                jump = site.family.jump(site.uniform(numbers[count:]), drawn, *site.parameters)
                return site.put(hooks, jump.hook), site.where(chosen, drawn, jax.lax.stop_gradient(jump.other))

            return draws.run(primals, handler, jnp.zeros(max(count, 1), draws.vectors.real))

        def part(indices: Any) -> Any:
            rows = jax.vmap(made)(indices)
            here = jax.lax.stop_gradient(draws.spread(len(rows)))
            along = tuple(jnp.broadcast_to(t[None], p.shape) for t, p in zip(_probe(draws), here, strict=True))
            (value, _), (_, moved) = jax.jvp(lambda *primals: jax.vmap(run)(primals, rows), here, along)
            good = jnp.isfinite(value)
            (value, _), (slope, pushes) = draws.guarded(run, rows, jnp.all(good, 1))
            if not count:
                return jnp.where(good, slope, 0).sum(0), good.sum(0)
            chosen, weights = self._chosen(draws, moved, picks, indices)
            tried = lambda primals, numbers, row: jax.vmap(lambda one: run(primals, numbers, one)[0])(row)  # noqa: E731
            changes = jax.vmap(tried)(here, rows, chosen) - jax.lax.stop_gradient(value)[:, None]
            good &= jnp.all(jnp.isfinite(changes), 1)
            factors = _once(jnp.where(good[:, None], changes, 0) * weights[..., None], known)
            jumps = jnp.sum(factors * jnp.take_along_axis(pushes, chosen, 1)[..., None], 1)
            return jnp.where(good, slope + jumps, 0).sum(0), good.sum(0)

        total, finite = summed(point, part, self.samples, self.chunk, 2 * count)
        return draws.vectors.result(draws.mean(total, finite))

    def _numbers(self, point: Point, draws: Draws, count: int) -> list[Callable[[Any], Any]]:
        """The numbers of each sample: two for each element; and those that pick, one for each alternative."""
        picks = self.samples * self.alternatives
        return stratified(point.key, [(self.samples, 2 * count), (picks, 1)], draws.vectors.real)

    def _chosen(self, draws: Draws, moved: Any, picks: Callable[[Any], Any], indices: Any) -> tuple[Any, Any]:
        """Which elements are tried in each sample, and the weights that make up for those that are not."""
        rows, count = moved.shape
        if self.alternatives >= count:
            return jnp.broadcast_to(jnp.arange(count), (rows, count)), jnp.ones((rows, count), moved.dtype)
        rates = jnp.abs(moved)
        if draws.size > 1:  # a direction may miss what another sees
            rates = rates / jnp.maximum(rates.sum(1, keepdims=True), jnp.finfo(rates.dtype).tiny) + (rates > 0) / count
        # Those of one sample stand far from each other.
        numbers = indices[:, None] + self.samples * jnp.arange(self.alternatives, dtype=indices.dtype)[None]
        u = jax.vmap(jax.vmap(picks))(numbers)
        ends = jnp.cumsum(rates, 1)
        chosen = jnp.argmax(ends[:, None] > u * ends[:, None, -1:], -1)
        rate = jnp.take_along_axis(rates, chosen, 1)
        weights = jnp.where(rate > 0, ends[:, -1:] / (self.alternatives * jnp.where(rate > 0, rate, 1)), 0)
        return chosen, weights


def _probe(draws: Draws) -> tuple[Any, ...]:
    """One direction, that shows how much each hook moves: any will do that programs do not know.

    That of multiples of the golden ratio, modulo 1, is compiled faster than a random one.
    """
    ends = np.cumsum([0, *(int(p.size) for p in draws.primals)])
    multiples = [(1 + start + jnp.arange(p.size)) * 0.6180339887498949 for start, p in zip(ends, draws.primals)]  # noqa: B905
    return tuple(
        (m - jnp.floor(m) - 0.5).reshape(p.shape).astype(p.dtype) for m, p in zip(multiples, draws.primals, strict=True)
    )


@jax.custom_jvp
def _once(factors: Any, known: list[Any]) -> Any:
    """The factors, which are held fixed: refused where what they are made from is differentiated."""
    return factors


def _refused(primals: Any, tangents: Any) -> Any:
    if all(isinstance(t, jax.custom_derivatives.SymbolicZero) for t in tangents[1]):
        return primals[0], jnp.zeros_like(primals[0])
    raise TypeError("triples gives first derivatives only: use routes.score or routes.enumerate for second ones")


_once.defjvp(_refused, symbolic_zeros=True)
