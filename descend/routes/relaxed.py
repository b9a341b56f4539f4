"""The gradient of a mean over discrete draws, through continuous stand-ins for them."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from descend.draws import DRAW
from descend.program import compat
from descend.program.candidates import candidates
from descend.program.flow import Flow, Role
from descend.routes.directions import summed
from descend.routes.drawn import Drawn, Draws
from descend.routes.point import Point
from descend.routes.redraw import Site
from descend.routes.route import Needs, integer
from descend.routes.widths import positive


@dataclass(frozen=True)
class Relaxation(abc.ABC):
    """How `relaxed` differentiates; see `GumbelSoftmax`, `StraightThroughGumbel` and `Rebar`.

    Attributes:
        temperature: how soft the stand-ins are.
    """

    temperature: Any = 0.5

    GIVES: ClassVar[str] = "biased"

    def __post_init__(self) -> None:
        positive("temperature", self.temperature)

    def check(self, point: Point) -> None:
        """Raises where the program is none that can be differentiated so. Default: never."""
        return

    @abc.abstractmethod
    def slopes(self, point: Point, draws: Draws, keys: Any) -> Any:
        """The sum over keys of the derivative estimated by each, and how many are finite, for each result."""


@dataclass(frozen=True)
class GumbelSoftmax(Relaxation):
    """The derivative of f at stand-ins softmax((logits + Gumbel noise) / temperature).

    The bias falls with the temperature, the variance grows. f is asked for its values between outcomes.

    Source: Jang, Gu and Poole, arXiv:1611.01144; Maddison, Mnih and Teh, arXiv:1611.00712.
    """

    def stand_in(self, site: Site, noise: Any) -> Any:
        """What the program receives."""
        return site.family.soft(self.temperature, noise, *site.parameters)

    def slopes(self, point: Point, draws: Draws, keys: Any) -> Any:
        def run(primals: tuple[Any, ...], key: jax.Array) -> Any:
            def handler(state: Any, site: Site) -> tuple[Any, Any]:
                if site.family.continuous:
                    return state, site.family.sample(site.key(key), *site.parameters)
                return state, self.stand_in(site, site.family.noise(site.key(key), *site.parameters))

            return draws.run(primals, handler, ())[0]

        value, slope = draws.along(run, keys)
        good = jnp.isfinite(value)
        return jnp.where(good, slope, 0).sum(0), good.sum(0)


@dataclass(frozen=True)
class StraightThroughGumbel(GumbelSoftmax):
    """As `GumbelSoftmax`, but f receives true outcomes and only the derivative is that of the stand-ins."""

    def stand_in(self, site: Site, noise: Any) -> Any:
        soft = super().stand_in(site, noise)
        hard = site.family.hard(noise, *site.parameters)
        return jax.lax.stop_gradient(hard) + (soft - jax.lax.stop_gradient(soft))


@dataclass(frozen=True)
class Rebar(Relaxation):
    """The score function, with the relaxed program as its control variate: unbiased at any temperature.

    Three runs side by side: f at true draws, at stand-ins from the same noise, and at stand-ins from noise drawn anew
    given the true draws. The last has the same draws as the first and the same mean as the second.

    The derivative of the stand-ins' mean is taken inside it, so f must be continuous between the outcomes of its
    draws. What jumps there (`b > 0.5`, a branch, `round`, `argmax`) has no derivative at a stand-in, and the estimate
    would lack its share, however large: for f = 1[b > 0.5] it would be 0. Such programs are read, and refused with the
    line; so is a branch whose sides meet, which reading does not know. A `stop_gradient` of a draw is not seen.

    Attributes:
        scale: how much of the control is used; 0 gives the plain score function.

    Source: Tucker et al., "REBAR", arXiv:1703.07370, equation 7; for draws that depend on each other the noise of each
    is conditioned at the parameters of the true run.
    """

    scale: Any = 1.0

    GIVES: ClassVar[str] = "unbiased"

    def check(self, point: Point) -> None:
        """Refuses a program that jumps between the outcomes of its draws.

        Raises:
            TypeError: naming the line.
        """
        program = compat.Program(point.programs[0].jaxpr, point.consts[0])
        still = [False] * len(program.jaxpr.invars)
        for found in candidates(program, still, still, {DRAW.name: Flow(True)}):
            if found.role in (Role.KILLS, Role.BRANCHES):
                line = ":".join(map(str, found.place)) if found.place else "no line known"
                raise TypeError(
                    "Rebar needs a function that is continuous between the outcomes of its draws, and "
                    f"{found.primitive} ({line}) jumps: use routes.score, routes.enumerate or routes.triples"
                )

    def slopes(self, point: Point, draws: Draws, keys: Any) -> Any:
        def lane(which: Any, primals: tuple[Any, ...], key: jax.Array) -> Any:
            def handler(log: Any, site: Site) -> tuple[Any, Any]:
                family, key_here = site.family, site.key(key)
                if family.continuous:
                    return log, family.sample(key_here, *site.parameters)
                true = [jax.lax.all_gather(p, "lanes")[0] for p in site.parameters]
                noise = family.noise(key_here, *true)
                hard = jax.lax.stop_gradient(family.hard(noise, *true))
                again = family.noise_given(jax.random.fold_in(key_here, 1), hard, *true)
                soft = family.soft(self.temperature, jnp.where(which == 2, again, noise), *site.parameters)
                log = log + jnp.sum(family.log_prob(hard, *site.parameters)).astype(log.dtype)
                return log, jnp.where(which == 0, hard, soft)

            return draws.run(primals, handler, jnp.zeros(()))

        def run(primals: tuple[Any, ...], key: jax.Array) -> Any:
            value, log = jax.vmap(lane, (0, None, None), axis_name="lanes")(jnp.arange(3), primals, key)
            return value, log[0]

        def both(primals: tuple[Any, ...], key: jax.Array) -> Any:
            """The values of all lanes as one vector, and the log probability."""
            value, log = run(primals, key)
            return value.ravel(), log

        (value, log), (slope, push) = draws.along(both, keys)
        box = jnp.exp(log - jax.lax.stop_gradient(log))[:, None]  # second derivatives: the draws move too
        value, slope = (each.reshape(len(keys), 3, -1) for each in (value, slope))
        good = jnp.all(jnp.isfinite(value), 1)
        hard, soft, again = (jnp.where(good, value[:, i], 0) for i in range(3))
        del soft  # its derivative is what counts
        scored = box * ((hard - self.scale * again) * push[:, None] + slope[:, 0] - self.scale * slope[:, 2])
        return jnp.where(good, scored + self.scale * slope[:, 1], 0).sum(0), good.sum(0)


def relaxed(
    f: Callable[..., Any] | None = None,
    /,
    *,
    by: Relaxation | None = None,
    samples: int = 1,
    chunk: int | None = None,
) -> Callable[..., Any]:
    """f, differentiated through continuous stand-ins for its stated Bernoulli and categorical draws.

    f must be differentiable in its draws: arithmetic (`b * x`, `onehot @ table`) carries the derivative; comparisons,
    rounding, branches and `argmax` of a draw stop it, and then estimates here are biased (`Rebar` refuses): use
    `score`, `enumerate` or `triples`. Normal draws keep their pathwise derivative; other families are refused.

    Args:
        f: the function (see `Route.__call__`), traceable. Without f, gives the route itself: a decorator.
        by: `GumbelSoftmax(temperature)`, `StraightThroughGumbel(temperature)` or `Rebar(temperature, scale)`. Default:
            `StraightThroughGumbel(0.5)`.
        samples: runs per gradient (`Rebar`: three each). Runs that are not finite are left out.
        chunk: runs at once, by `vmap`. Default: by the sizes involved.

    Returns:
        g with `g(x, key=key) == f(x)` (f's own draws), or the route if f is not given.

    Raises:
        ValueError: if samples or a temperature is not positive; from the derivative, if called without `key`.
        TypeError: from the derivative, if f cannot be traced, draws from another family, or jumps where `Rebar` needs
            continuity.
    """
    route = Relaxed(StraightThroughGumbel() if by is None else by, samples, chunk)
    return route if f is None else route(f)


@dataclass(frozen=True, repr=False)
class Relaxed(Drawn):
    """The settings of `relaxed`."""

    by: Relaxation = StraightThroughGumbel()
    samples: int = 1
    chunk: int | None = None

    NEEDS: ClassVar[Needs] = Needs(
        traceable=True,
        random=True,
        units=lambda route, n: 1 + (9 if isinstance(route.by, Rebar) else 3) * route.samples,
        draws=True,
    )

    @property
    def GIVES(self) -> str:  # noqa: N802 (a constant of other routes)
        """As the relaxation says."""
        return self.by.GIVES

    def __post_init__(self) -> None:
        integer("samples", self.samples)
        if self.chunk is not None:
            integer("chunk", self.chunk)
        if not isinstance(self.by, Relaxation):
            raise TypeError(f"by must be a relaxation such as StraightThroughGumbel(0.5), got {self.by!r}")

    def tangent(self, point: Point) -> tuple[Any, ...]:
        self.by.check(point)
        draws = Draws.of(point)

        def part(indices: Any) -> Any:
            keys = jax.vmap(lambda index: jax.random.fold_in(point.key, index))(indices)
            return self.by.slopes(point, draws, keys)

        total, count = summed(point, part, self.samples, self.chunk)
        return draws.vectors.result(draws.mean(total, count))
