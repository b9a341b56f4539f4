"""The gradient by evolution strategies: plain, shaped, guided, persistent."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from descend.routes.directions import Vectors, contract, vectorized
from descend.routes.noise import gaussian
from descend.routes.numbers import gaussians
from descend.routes.point import Point
from descend.routes.program import Arguments, Program, read
from descend.routes.route import Needs, Route, integer
from descend.routes.unroll import Unroll
from descend.routes.widths import positive, shaped, widths


def evolve(
    f: Callable[..., Any] | None = None,
    /,
    *,
    sigma: Any = 0.1,
    samples: int = 64,
    window: int | None = None,
    guide: Callable[..., Any] | None = None,
    trust: float = 0.5,
    shaping: Callable[[Any], Any] | None = None,
    chunk: int | None = None,
) -> Callable[..., Any]:
    """f, differentiated by an evolution strategy: differences between antithetic Gaussian mutants.

    Without further settings this is `smooth`: unbiased for f seen through noise. With

    `window`, f must be an `Unroll`, and the strategy is persistent: every `window` steps each mutant takes a new
    mutation and goes on from its own state, and the loss of a window is credited to the sum of all mutations so far.
    Unbiased for the unrolled loss with noise that changes from window to window, with less variance than one mutation
    for all steps where late losses depend little on early steps, and usable where truncated gradients are biased.

    `guide`, mutants stay by preference in the span of given directions (gradients of something similar): their
    covariance is trust * identity + (1 - trust) * (n / k) * projection on the k directions. The estimate is the
    gradient times that covariance: a descent direction with less noise, not the gradient.

    `shaping`, values are replaced by what it makes of all of them, such as `centered_ranks`: a direction of descent
    that no outlier moves, not the gradient. f must be a scalar.

    Args:
        f: the function (see `Route.__call__`); it may be a black box (but for `window`). Without f, gives the route
            itself: a decorator.
        sigma: standard deviation of the mutations, a positive scalar or a tree like the argument, as for `smooth`.
        samples: mutants per gradient; an odd number is rounded up to whole pairs.
        window: steps between mutations.
        guide: a function with f's arguments that gives directions in the shape of the (one) argument, stacked along a
            new first axis. Only their span counts.
        trust: from 0 (mutate within the span only) to 1 (ignore it).
        shaping: a function from a vector of values to one of weights of about unit scale.
        chunk: pairs evaluated at once, by `vmap`. Default: by the sizes involved.

    Returns:
        g with `g(x, key=key) == f(x)`, or the route if f is not given.

    Raises:
        ValueError: if a setting is out of range; from the derivative, if called without `key`.
        TypeError: if there is a window and f is not an `Unroll`.

    Source:
        Salimans et al., arXiv:1703.03864; Vicol, Metz and Sohl-Dickstein, "Unbiased gradient estimation in unrolled
        computation graphs with persistent evolution strategies", arXiv:2112.13835; Maheswaranathan et al., "Guided
        evolutionary strategies", arXiv:1806.10230.
    """
    route = Evolve(sigma, samples, window, guide, trust, shaping, chunk)
    return route if f is None else route(f)


def centered_ranks(values: Any) -> Any:
    """Ranks from -1/2 to 1/2; what is not finite ranks as the worst (largest)."""
    ranks = jnp.argsort(jnp.argsort(jnp.where(jnp.isfinite(values), values, jnp.inf)))
    return ranks / (len(values) - 1) - 0.5


@dataclass(frozen=True, repr=False)
class Evolve(Route):
    """The settings of `evolve`."""

    sigma: Any = 0.1
    samples: int = 64
    window: int | None = None
    guide: Callable[..., Any] | None = None
    trust: float = 0.5
    shaping: Callable[[Any], Any] | None = None
    chunk: int | None = None

    NEEDS: ClassVar[Needs] = Needs(traceable=False, random=True, units=lambda route, n: 1 + 2 * route.pairs)

    @property
    def GIVES(self) -> str:  # noqa: N802 (a constant of other routes)
        """Biased with a guide or with shaping."""
        return "unbiased-for-smoothed" if self.guide is None and self.shaping is None else "biased"

    def __post_init__(self) -> None:
        positive("sigma", self.sigma)
        integer("samples", self.samples)
        for name in ("window", "chunk"):
            if getattr(self, name) is not None:
                integer(name, getattr(self, name))
        for name in ("guide", "shaping"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise TypeError(f"{name} must be a function, got {getattr(self, name)!r}")
        if not (isinstance(self.trust, Real) and 0 <= self.trust <= 1):
            raise ValueError(f"trust must be between 0 and 1, got {self.trust!r}")
        if self.window is not None and (self.guide is not None or self.shaping is not None):
            raise ValueError("window goes neither with guide nor with shaping")

    @property
    def pairs(self) -> int:
        """The number of antithetic pairs."""
        return (self.samples + 1) // 2

    def narrowed(self, factor: Any) -> "Evolve":
        return dataclasses.replace(self, sigma=jax.tree.map(lambda sigma: sigma * factor, self.sigma))

    def settings(self, arguments: Arguments) -> tuple[Any, ...]:
        return widths("sigma", self.sigma, arguments)

    def programs(self, f: Callable[..., Any], arguments: Arguments) -> tuple[Program, ...]:
        plain = read(f, arguments)
        if self.window is not None:
            if not isinstance(f, Unroll):
                raise TypeError(f"evolve with a window takes an Unroll(step, state, length), got {f!r}")
            return plain, _in_windows(f, arguments, self.window)
        if self.guide is None:
            return (plain,)
        guide = self.guide
        chosen = lambda *args, **kwargs: [jax.tree.leaves(guide(*args, **kwargs))[i] for i in arguments.places]  # noqa: E731
        return plain, read(chosen, arguments)

    def tangent(self, point: Point) -> tuple[Any, ...]:
        vectors = Vectors.of(point)
        pairs = zip(point.moving, vectors.inputs, strict=True)
        sigma = vectors.join([shaped("sigma", point.settings[i], leaf) for i, leaf in pairs])
        along = vectors.join(point.tangents) / sigma
        if self.window is not None:
            return vectors.result(self._persistent(point, vectors, sigma, along))
        here = vectors.join([point.leaves[i] for i in point.moving])
        direction = self._directions(point, vectors)

        def values(index: Any) -> tuple[Any, Any]:
            u, inner = direction(index), jax.random.fold_in(point.key, index + self.pairs)
            at = lambda sign: point.routed(inner, point.moved(vectors.split(here + sign * sigma * u)))  # noqa: E731
            return jax.vmap(lambda sign: vectors.join(at(sign)))(jnp.array([1.0, -1.0], here.dtype)), u

        if self.shaping is None:
            sample = lambda index: ((both := values(index))[0][0] / 2 - both[0][1] / 2, both[1])  # noqa: E731
            return vectors.result(contract(point, sample, along, self.pairs, self.chunk))
        scores = vectorized(point, lambda index: values(index)[0], self.pairs, self.chunk)
        if scores.shape[2] != 1:
            raise ValueError(f"shaping ranks the values of a scalar function, got {scores.shape[2]} outputs")
        weights = self.shaping(scores.ravel()).reshape(-1, 2)
        sample = lambda index: ((weights[index, :1] - weights[index, 1:]) / 2, direction(index))  # noqa: E731
        return vectors.result(contract(point, sample, along, self.pairs, self.chunk))

    def _directions(self, point: Point, vectors: Vectors) -> Callable[[Any], Any]:
        normal = gaussians(point.key, self.pairs, vectors.size, vectors.real)
        if self.guide is None:
            return normal
        stacked = point.plain(1, point.leaves)
        rows = jnp.concatenate([stacked[i].reshape(len(stacked[i]), -1) for i in point.moving], 1).astype(vectors.real)
        basis = jnp.linalg.qr(jax.lax.stop_gradient(rows).T)[0]
        inside = jnp.sqrt((1 - self.trust) * vectors.size / basis.shape[1])

        def guided(index: Any) -> Any:
            key = jax.random.fold_in(jax.random.fold_in(point.key, index), 1)
            return jnp.sqrt(self.trust) * normal(index) + inside * (basis @ jax.random.normal(key, basis.shape[1:]))

        return guided

    def _persistent(self, point: Point, vectors: Vectors, sigma: Any, along: Any) -> Any:
        count = point.programs[1].outputs[0].size

        def sample(index: Any) -> tuple[Any, Any]:
            """The losses of all windows, each credited to the sum of mutations so far: one direction, of weight 1."""
            u = gaussian(jax.random.fold_in(point.key, index), (count, vectors.size), vectors.real)

            def losses(sign: Any) -> Any:
                moves = [jnp.zeros((count, *jnp.shape(leaf)), jnp.result_type(leaf)) for leaf in point.leaves]
                parts = jax.vmap(vectors.split)(sign * sigma[None] * u)
                for i, part in zip(point.moving, parts, strict=True):
                    moves[i] = part
                return point.plain(1, (*moves, *point.leaves))[0]

            change = (losses(1.0) - losses(-1.0)) / 2
            good = jnp.all(jnp.isfinite(change))
            credit = jnp.where(good, change, 0) @ jnp.cumsum(u, 0)
            return jnp.where(good, 1.0, jnp.nan)[None].astype(vectors.dtype), credit.astype(vectors.dtype)

        return contract(point, sample, along, self.pairs, self.chunk)


def _in_windows(f: Unroll, arguments: Arguments, size: int) -> Program:
    """The losses of windows as a program of a move of each traced leaf for each window, and of the leaves."""
    count = -(-f.length // size)

    def losses(moves: Any, args: Any, kwargs: Any) -> Any:
        leaves, tree = jax.tree.flatten((args, kwargs))

        def theta(number: Any) -> Any:
            moved = list(leaves)
            for place, move in zip(arguments.places, moves, strict=True):
                moved[place] = leaves[place] + move[number]
            return jax.tree.unflatten(tree, moved)[0][0]

        return f.windows(theta, count, size)

    args, kwargs = jax.tree.unflatten(arguments.tree, arguments.everything)
    moves = [jax.ShapeDtypeStruct((count, *jnp.shape(leaf)), jnp.result_type(leaf)) for leaf in arguments.leaves]
    everything, tree = jax.tree.flatten(((moves, args, kwargs), {}))
    places = (*range(len(moves)), *(place + len(moves) for place in arguments.places))
    return read(losses, Arguments(tree, tuple(everything), places))
