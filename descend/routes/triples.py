"""The gradient of a mean over discrete draws, by runs in which one draw comes out otherwise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from descend.routes.directions import summed
from descend.routes.drawn import Drawn, Draws
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

        def run(primals: tuple[Any, ...], key: jax.Array, chosen: Any) -> Any:
            """The value with the alternative at the chosen element (none at -1), and the hooks of all elements."""

            def handler(hooks: Any, site: Site) -> tuple[Any, Any]:
                drawn = site.family.sample(site.key(key), *site.parameters)
                if site.family.continuous:
                    return hooks, drawn
                drawn = jax.lax.stop_gradient(drawn)
                jump = site.family.jump(jax.random.fold_in(site.key(key), 1), drawn, *site.parameters)
                return site.put(hooks, jump.hook), site.where(chosen, drawn, jax.lax.stop_gradient(jump.other))

            return draws.run(primals, handler, jnp.zeros(max(count, 1), draws.vectors.real))

        def runs(primals: tuple[Any, ...], keys: Any) -> Any:
            return jax.vmap(run, (None, 0, None))(primals, keys, -1)

        def part(indices: Any) -> Any:
            keys = jax.vmap(lambda index: jax.random.fold_in(point.key, index))(indices)
            (value, _), (slope, pushes) = draws.along(lambda primals, key: run(primals, key, -1), keys)
            good = jnp.isfinite(value)
            if not count:
                return jnp.where(good, slope, 0).sum(0), good.sum(0)
            chosen, weights = self._chosen(draws, lambda primals: runs(primals, keys)[1], keys, count)
            others = jax.vmap(lambda key, row: jax.vmap(lambda one: run(draws.primals, key, one)[0])(row))(keys, chosen)
            changes = others - value[:, None]
            good &= jnp.all(jnp.isfinite(changes), 1)
            factors = _once(jnp.where(good[:, None], changes, 0) * weights[..., None])
            jumps = jnp.sum(factors * jnp.take_along_axis(pushes, chosen, 1)[..., None], 1)
            return jnp.where(good, slope + jumps, 0).sum(0), good.sum(0)

        total, finite = summed(point, part, self.samples, self.chunk)
        return draws.vectors.result(draws.mean(total, finite))

    def _chosen(self, draws: Draws, hooks: Callable[..., Any], keys: Any, count: int) -> tuple[Any, Any]:
        """Which elements are tried in each sample, and the weights that make up for those that are not."""
        rows = len(keys)
        if self.alternatives >= count:
            return jnp.broadcast_to(jnp.arange(count), (rows, count)), jnp.ones((rows, count))
        # How much each hook moves along one direction. Any will do that programs do not know: that of these sines is
        # compiled faster than a random one.
        ends = np.cumsum([0, *(int(p.size) for p in draws.primals)])
        probe = [
            jnp.sin(1 + start + jnp.arange(p.size, dtype=p.dtype)).reshape(p.shape)
            for start, p in zip(ends, draws.primals, strict=False)
        ]
        moved = jax.jvp(lambda *primals: hooks(primals), draws.primals, tuple(probe))[1]
        share = jnp.abs(moved) / jnp.maximum(jnp.abs(moved).sum(1, keepdims=True), jnp.finfo(moved.dtype).tiny)
        if draws.size > 1:  # a direction may miss what another sees
            alive = moved != 0
            share = (share + alive / jnp.maximum(alive.sum(1, keepdims=True), 1)) / 2
        some = jnp.sum(share, 1, keepdims=True) > 0
        rates = jnp.where(some, share, 1)[:, None]
        # Of exponential times at these rates the first: compiled faster than a search in cumulative sums.
        shape = self.alternatives, count
        times = jax.vmap(lambda key: jax.random.exponential(jax.random.fold_in(key, count), shape, share.dtype))(keys)
        chosen = jnp.argmin(jnp.where(rates > 0, times / jnp.where(rates > 0, rates, 1), jnp.inf), 2)
        chance = jnp.take_along_axis(share, chosen, 1)
        weights = jnp.where(chance > 0, 1 / (self.alternatives * jnp.where(chance > 0, chance, 1)), 0)
        return jax.lax.stop_gradient((chosen, weights))


@jax.custom_jvp
def _once(factors: Any) -> Any:
    return factors


def _refused(primals: Any, tangents: Any) -> Any:
    if all(isinstance(t, jax.custom_derivatives.SymbolicZero) for t in tangents):
        return primals[0], jnp.zeros_like(primals[0])
    raise TypeError("triples gives first derivatives only: use routes.score or routes.enumerate for second ones")


_once.defjvp(_refused, symbolic_zeros=True)
