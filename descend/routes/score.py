"""The gradient of a mean over random draws, by the score function."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from descend.routes.directions import at_once, summed
from descend.routes.drawn import Drawn, Draws
from descend.routes.point import Point
from descend.routes.program import Arguments, Program, read
from descend.routes.redraw import Site
from descend.routes.route import Needs, integer


def score(
    f: Callable[..., Any] | None = None,
    /,
    *,
    samples: int = 16,
    baseline: Callable[..., Any] | None = None,
    leave_one_out: bool = True,
    behavior: Any = None,
    clip: float = float("inf"),
    chunk: int | None = None,
) -> Callable[..., Any]:
    """f, differentiated as E f over its stated draws, by f(y) times the derivative of log p(y).

    The draws are those that f states by `descend.draws`; each gradient makes its own, by its key, in `samples` runs of
    the whole program, with what is drawn later depending on what was drawn before. Unbiased for E f, including the part
    by which f depends on its arguments directly, whatever f does with the draws: compare, round, index, loop. Normal
    draws are treated so too (plain `jax.random` draws are not looked at and keep their pathwise derivative).

    The variance is about that of f times the squared norm of the score, over `samples`: it grows with the number of
    draws. Each run is compared with the mean of the others (`leave_one_out`, which needs two samples and costs
    nothing), or with a `baseline`. Runs in which an entry of f is not finite are left out for that entry.

    Second derivatives are unbiased as well: the factor exp(log p - constant) is kept inside the estimate.

    Args:
        f: the function (see `Route.__call__`), traceable. Without f, gives the route itself: a decorator.
        samples: runs per gradient.
        baseline: a function with f's arguments and a result of the same shapes (a learned critic), which is subtracted
            from f in the score part. It must not depend on the draws; then any is unbiased.
        leave_one_out: subtract the mean of the other runs, after the baseline.
        behavior: arguments like f's (the tuple of positional ones where there are several) at which the draws are made
            instead, with importance weights p(y) / p_behavior(y): for data from an older policy.
        clip: the most that a weight may be. A finite one makes the estimate biased.
        chunk: runs at once, by `vmap`. Default: by the sizes involved.

    Returns:
        g with `g(x, key=key) == f(x)` (f's own draws), or the route if f is not given.

    Raises:
        ValueError: if samples or clip is not positive; from the derivative, if called without `key`.
        TypeError: from the derivative, if f cannot be traced.

    Source:
        Williams, "Simple statistical gradient-following algorithms" (1992); leave-one-out: Kool, van Hoof and Welling,
        "Buy 4 REINFORCE samples, get a baseline for free!" (2019); second derivatives: Foerster et al., DiCE,
        arXiv:1802.05098; clipped weights: Ionides, "Truncated importance sampling" (2008).
    """
    route = Score(samples, baseline, leave_one_out, behavior, clip, chunk)
    return route if f is None else route(f)


@dataclass(frozen=True, repr=False, eq=False)
class Score(Drawn):
    """The settings of `score`."""

    samples: int = 16
    baseline: Callable[..., Any] | None = None
    leave_one_out: bool = True
    behavior: Any = None
    clip: float = float("inf")
    chunk: int | None = None

    NEEDS: ClassVar[Needs] = Needs(
        traceable=True, random=True, units=lambda route, n: 1 + 3 * route.samples, draws=True
    )

    @property
    def GIVES(self) -> str:  # noqa: N802 (a constant of other routes)
        """Unbiased, unless weights are clipped."""
        return "unbiased" if self.behavior is None or not np.isfinite(self.clip) else "biased"

    def __post_init__(self) -> None:
        integer("samples", self.samples)
        if self.chunk is not None:
            integer("chunk", self.chunk)
        if self.baseline is not None and not callable(self.baseline):
            raise TypeError(f"baseline must be a function of f's arguments, got {self.baseline!r}")
        if not (isinstance(self.clip, Real) and self.clip > 0):
            raise ValueError(f"clip must be positive, got {self.clip!r}")

    def programs(self, f: Callable[..., Any], arguments: Arguments) -> tuple[Program, ...]:
        hard = read(f, arguments)
        return (hard,) if self.baseline is None else (hard, read(self.baseline, arguments))

    def settings(self, arguments: Arguments) -> tuple[Any, ...]:
        """The behavior's leaves, None for arguments that it does not reach."""
        if self.behavior is None:
            return ()
        args, kwargs = jax.tree.unflatten(arguments.tree, arguments.everything)
        behavior = (self.behavior,) if len(args) == 1 else tuple(self.behavior)
        if jax.tree.structure(behavior) != jax.tree.structure(args):
            raise ValueError(f"behavior must be like the positional arguments, {jax.tree.structure(args)}")
        leaves = jax.tree.leaves(behavior) + [None] * len(jax.tree.leaves(kwargs))
        return tuple(leaves[place] for place in arguments.places)

    def tangent(self, point: Point) -> tuple[Any, ...]:
        draws, count = Draws.of(point), self.samples
        critic = jnp.zeros(draws.outputs) if self.baseline is None else draws.vectors.join(point.plain(1, point.leaves))
        # A shift for the digits of the sums only, which must be the same in all of them. f's own value is another run.
        alone = at_once(point, 1, count, self.chunk) >= count
        shift = None if alone else draws.vectors.join(point.value) - critic

        def part(indices: Any) -> Any:
            """Sums over runs: how many are finite, of f, of the derivative, of the score alone and times f."""
            run = lambda primals, numbers: self._run(point, draws, primals, numbers)  # noqa: E731
            (value, weight), (slope, push) = draws.along(run, draws.numbers(point.key, count, indices))
            weight, push = weight[:, None], push[:, None]
            good = jnp.isfinite(value)
            above = value - jax.lax.stop_gradient(critic)[None]
            reference = jax.lax.stop_gradient(above[0] if shift is None else shift)
            reference = jnp.where(jnp.isfinite(reference), reference, 0)
            above = jnp.where(good, above - reference[None], 0)
            still = jax.lax.stop_gradient(above)
            # The weight is w = p / q, so its derivative is w d log p: the score's share, with the factor of DiCE in it.
            sums = good, still, jnp.where(good, weight * slope, 0), above * push, push * good, still * push
            n, total, slope, product, push, still = (each.sum(0, dtype=value.dtype) for each in sums)
            return n, total, slope, product, push, still, reference * push

        n, total, slope, product, push, still, shifted = summed(point, part, count, self.chunk)
        if self.leave_one_out and count > 1:
            others = (total * push - still) / jnp.maximum(n - 1, 1)
            product = product - jnp.where(n > 1, others, 0)
        else:
            product = product + shifted
        return draws.vectors.result(draws.mean(slope + product, n))

    def _run(self, point: Point, draws: Draws, primals: tuple[Any, ...], numbers: Any) -> tuple[Any, Any]:
        """The value and the weight p(y) / q(y) of one run; the weight is 1 in value where nothing else is asked for."""
        if self.behavior is None:
            value, log = draws.run(primals, _handler(numbers, lambda p: p), jnp.zeros(()))
            return value, jnp.exp(log - jax.lax.stop_gradient(log))
        at = [s if (s := point.settings[i]) is not None else point.leaves[i] for i in point.moving]
        lanes = [
            jnp.stack([p, jnp.asarray(b, p.dtype)]) for p, b in zip(primals, [*at, *primals[len(at) :]], strict=True)
        ]

        def lane(*primals: Any) -> Any:
            """Two runs side by side, now and behavior; both receive what the behavior draws."""
            theirs = lambda p: jax.lax.all_gather(p, "lanes")[1]  # noqa: E731
            return draws.run(primals, _handler(numbers, theirs), jnp.zeros(()))

        value, log = jax.vmap(lane, axis_name="lanes")(*lanes)
        weight = jnp.exp(log[0] - jax.lax.stop_gradient(log[1]))
        clipped = jax.lax.stop_gradient(jnp.minimum(weight, self.clip) / weight)
        return value[0], weight * jnp.where(weight > 0, clipped, 0)


def _handler(numbers: Any, drawn_by: Callable[[Any], Any]) -> Callable[[Any, Site], tuple[Any, Any]]:
    def handler(log: Any, site: Site) -> tuple[Any, Any]:
        parameters = [jax.lax.stop_gradient(drawn_by(p)) for p in site.parameters]
        y = jax.lax.stop_gradient(site.family.inverse(site.uniform(numbers), *parameters))
        return log + jnp.sum(site.family.log_prob(y, *site.parameters)).astype(log.dtype), y

    return handler
