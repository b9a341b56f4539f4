"""The gradient of a mean over few discrete draws, by summing over what they can be."""

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


def enumerate(
    f: Callable[..., Any] | None = None,
    /,
    *,
    limit: int = 1024,
    samples: int = 1,
    chunk: int | None = None,
) -> Callable[..., Any]:
    """f, differentiated as E f over its stated discrete draws, by summing over their outcomes.

    Where all draws together have at most `limit` outcomes, f is run once for each: the gradient is exact, and so are
    second derivatives. Where they have more, each element (one number or label drawn) is summed over by itself in
    `samples` runs, with the elements before it drawn and those after it drawn anew for each of its outcomes (by the
    same keys): unbiased, with the variance that the other elements leave. This takes as many runs as the elements have
    outcomes, which must be at most `limit`.

    Outcomes are known for Bernoulli and categorical draws, and for binomial ones with n given as a number. Normal
    draws, stated or not, keep their pathwise derivative.

    Args:
        f: the function (see `Route.__call__`), traceable. Without f, gives the route itself: a decorator.
        limit: the most runs per gradient (per sample).
        samples: runs of the second kind.
        chunk: runs at once, by `vmap`. Default: by the sizes involved.

    Returns:
        g with `g(x, key=key) == f(x)` (f's own draws), or the route if f is not given.

    Raises:
        TypeError: from the derivative, if outcomes are not known, a loop draws an unknown number of times, or f cannot
            be traced.
        ValueError: from the derivative, if there are more outcomes than `limit`.

    Source:
        Titsias and Lazaro-Gredilla, "Local expectation gradients for black box variational inference" (2015).
    """
    route = Enumerate(limit, samples, chunk)
    return route if f is None else route(f)


@dataclass(frozen=True, repr=False)
class Enumerate(Drawn):
    """The settings of `enumerate`."""

    limit: int = 1024
    samples: int = 1
    chunk: int | None = None

    GIVES: ClassVar[str] = "unbiased"
    NEEDS: ClassVar[Needs] = Needs(traceable=True, random=True, units=lambda route, n: 1 + 3 * route.limit, draws=True)

    @classmethod
    def example(cls) -> "Enumerate":
        """So few that the coins of the laws are not summed over together."""
        return cls(limit=7)

    def __post_init__(self) -> None:
        integer("limit", self.limit)
        integer("samples", self.samples)
        if self.chunk is not None:
            integer("chunk", self.chunk)

    def tangent(self, point: Point) -> tuple[Any, ...]:
        draws = Draws.of(point)
        sizes = _sizes(point)
        if np.prod(sizes.astype(float)) <= self.limit:
            return draws.vectors.result(self._joint(point, draws, sizes))
        if sizes.sum() <= self.limit:
            return draws.vectors.result(self._locally(point, draws, sizes))
        raise ValueError(
            f"{len(sizes)} draws have {sizes.sum()} outcomes, more than limit={self.limit}: use routes.score or "
            "routes.triples"
        )

    def _joint(self, point: Point, draws: Draws, sizes: np.ndarray) -> Any:
        """The sum over all combinations. Digits that a branch does not read are averaged over."""
        count = int(np.prod(sizes))
        strides = jnp.asarray(np.cumprod(np.append(1, sizes[:-1])), jnp.int32)

        def run(primals: tuple[Any, ...], index: Any) -> Any:
            digits = index // strides % jnp.asarray(sizes, jnp.int32)

            def handler(weight: Any, site: Site) -> tuple[Any, Any]:
                if site.family.continuous:
                    return weight, site.y
                y = _outcome(site, site.mine(digits))
                return weight * jnp.prod(_prob(site, site.mine(digits), y) * site.mine(jnp.asarray(sizes))), y

            value, weight = draws.run(primals, handler, jnp.ones((), draws.vectors.real))
            return jnp.where((weight == 0) & ~jnp.isfinite(value), 0, value) * weight

        def part(indices: Any) -> Any:
            return draws.along(run, indices)[1].sum(0)

        return summed(point, part, count, self.chunk) / count

    def _locally(self, point: Point, draws: Draws, sizes: np.ndarray) -> Any:
        """The sum over the outcomes of each element by itself."""
        ends = np.cumsum(sizes)
        total = int(ends[-1])
        owner = jnp.asarray(np.repeat(np.arange(len(sizes)), sizes))
        digit = jnp.asarray(np.arange(total) - np.repeat(ends - sizes, sizes))

        (numbers,) = stratified(point.key, [(self.samples, len(sizes))], draws.vectors.real)

        def run(primals: tuple[Any, ...], numbers: Any, number: Any, outcome: Any) -> Any:
            """The value, the chance of the outcome at the element of this number, and the log of all others."""

            def handler(state: Any, site: Site) -> tuple[Any, Any]:
                chance, log = state
                drawn = site.drawn(numbers)
                if site.family.continuous:
                    return state, drawn
                drawn = jax.lax.stop_gradient(drawn)
                index = jnp.full(site.batch, outcome)
                forced = _outcome(site, index)
                pick = lambda a, b: _element(site, number, a, b)  # noqa: E731
                chance = chance + jnp.sum(pick(jnp.zeros(site.batch), _prob(site, index, forced)))
                log = log + jnp.sum(pick(site.family.log_prob(drawn, *site.parameters), jnp.zeros(site.batch)))
                return (chance, log), site.where(number, drawn, forced)

            zero = jnp.zeros((), draws.vectors.real)
            value, (chance, log) = draws.run(primals, handler, (zero, zero))
            return value, chance, jnp.exp(log - jax.lax.stop_gradient(log))

        def one(primals: tuple[Any, ...], row: tuple[Any, Any]) -> Any:
            which, mine = row[0] % (total + 1), row[1]
            number = jnp.where(which < total, owner[jnp.minimum(which, total - 1)], -1)
            return run(primals, mine, number, digit[jnp.minimum(which, total - 1)])

        def part(indices: Any) -> Any:
            rows = indices, jax.vmap(numbers)(indices // (total + 1))
            (value, chance, box), (slope, push, _) = draws.along(one, rows)
            chance, box, push = chance[:, None], box[:, None], push[:, None]
            # The run that forces nothing gives the derivative at fixed draws; those that do give the draws'.
            forced = jnp.where((chance == 0) & ~jnp.isfinite(value), 0, value) * push
            return (box * jnp.where((indices % (total + 1) < total)[:, None], forced, slope)).sum(0)

        return summed(point, part, (total + 1) * self.samples, self.chunk) / self.samples


def _sizes(point: Point) -> np.ndarray:
    """The number of outcomes of each element; 1 for what is continuous."""
    found = elements(point.programs[0].jaxpr, countable=True)
    if None in found:
        raise TypeError(
            "a draw has outcomes without a known end (poisson, geometric, or binomial with n not given as a number): "
            "use routes.score or routes.triples"
        )
    return np.asarray(found, int)


def _outcome(site: Site, index: Any) -> Any:
    count = site.family.outcomes(*site.parameters)
    assert count is not None
    return jax.lax.stop_gradient(site.family.outcome(jnp.minimum(index, count - 1), *site.parameters))


def _prob(site: Site, index: Any, y: Any) -> Any:
    """Zero for a number that another branch's draw has, and this one's has not."""
    return jnp.where(index < site.family.outcomes(*site.parameters), site.family.prob(y, *site.parameters), 0)


def _element(site: Site, number: Any, elsewhere: Any, there: Any) -> Any:
    numbers = site.position + jnp.arange(int(np.prod(site.batch, dtype=int))).reshape(site.batch)
    return jnp.where(numbers == number, there, elsewhere)
