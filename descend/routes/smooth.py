"""The gradient of the function seen through Gaussian noise."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from descend.routes.directions import Vectors, contract
from descend.routes.noise import Design, Noise, gaussian, independent, orthogonal
from descend.routes.point import Point
from descend.routes.program import Arguments, Program, read
from descend.routes.route import Needs, Route, integer
from descend.routes.widths import positive, shaped, widths


def smooth(
    f: Callable[..., Any] | None = None,
    /,
    *,
    sigma: Any = 0.1,
    samples: int = 64,
    noise: Noise = gaussian,
    design: Design = independent,
    control: Callable[..., Any] | None = None,
    chunk: int | None = None,
) -> Callable[..., Any]:
    """f, differentiated as E f(x + sigma u) with standard normal u: a derivative that sees steps and plateaus.

    With K = samples / 2 antithetic pairs the derivative along t is the mean of
    (f(x + sigma u_k) - f(x - sigma u_k)) / 2 * (u_k . t / sigma). Its expectation is exactly the derivative of the
    smoothed function; f itself is never differentiated by its arguments, so it may be flat, discontinuous or a black
    box. For a smooth f and small sigma the gradient has variance (n + 1) |grad f|^2 / K: the cosine with the true
    one is about sqrt(K / (n + K)) in n dimensions.

    A larger sigma sees further and blurs more. Arguments that are not differentiated are not perturbed. A random f sees
    the same key at every sample. Samples at which an entry of f's value is NaN or infinite are left out of its mean, as
    pairs; where no pair is left, the derivative is NaN. A second derivative is that of the twice smoothed function,
    from one draw, and symmetric only in expectation.

    Memory does not grow with `samples`. For a scalar f (or up to 2^18 entries of outputs times inputs) the samples are
    evaluated once, and all directions read the same estimate; for more outputs each call of the jvp or of the transpose
    evaluates them again.

    Args:
        f: the function (see `Route.__call__`). Without f, gives the route itself: a decorator.
        sigma: standard deviation of the noise: a positive scalar, or a tree like the argument (like the tuple of
            positional arguments where there are several), or a prefix of it, with scalars or arrays. May be traced.
        samples: evaluations per gradient; an odd number is rounded up to whole pairs.
        noise: what f is blurred with: `gaussian`, `laplace` (exponential tails, looks further; a derivative of values
            times signs) or `sphere` (a ball of radius sigma sqrt(n); never goes further). All have variance sigma^2.
        design: `independent` draws; `orthogonal` ones, whose error for a nearly linear f vanishes at samples = 2 n (for
            a round noise); or `quasi_random` ones, for up to some tens of numbers.
        control: a traceable function with f's arguments and results that is like f near x, or has a similar slope: a
            model, a previous gradient times x. What its linear part explains is taken out of the differences and put
            back exactly: the estimate has the same mean, and the variance of f - control.
        chunk: pairs evaluated at once, by `vmap`; rounded down to a divisor of their number. Changes speed and
            memory, not the draws. Default: by the sizes involved.

    Returns:
        g with `g(x, key=key) == f(x)`, or the route if f is not given. `jax.grad(g)(x, key=key)` draws by `key`.

    Raises:
        ValueError: if sigma or samples is not positive; from the derivative, if called without `key`.

    Source:
        Nesterov and Spokoiny, "Random gradient-free minimization of convex functions" (2017);
        antithetic pairs as in Salimans et al., arXiv:1703.03864.
    """
    route = Smooth(sigma, samples, noise, design, control, chunk)
    return route if f is None else route(f)


@dataclass(frozen=True, repr=False)
class Smooth(Route):
    """The settings of `smooth`."""

    sigma: Any = 0.1
    samples: int = 64
    noise: Noise = gaussian
    design: Design = independent
    control: Callable[..., Any] | None = None
    chunk: int | None = None

    GIVES: ClassVar[str] = "unbiased-for-smoothed"
    NEEDS: ClassVar[Needs] = Needs(traceable=False, random=True, units=lambda route, n: 1 + 2 * route.pairs)

    def __post_init__(self) -> None:
        integer("samples", self.samples)
        if self.chunk is not None:
            integer("chunk", self.chunk)
        positive("sigma", self.sigma)
        if not isinstance(self.noise, Noise):
            raise TypeError(f"noise must be one such as gaussian, laplace or sphere, got {self.noise!r}")
        if not isinstance(self.design, Design):
            raise TypeError(f"design must be one such as independent or orthogonal, got {self.design!r}")
        if self.design == orthogonal and not self.noise.round:
            raise ValueError(f"orthogonal draws need a round noise, gaussian or sphere, got {self.noise!r}")
        if self.control is not None and not callable(self.control):
            raise TypeError(f"control must be a function like f, got {self.control!r}")

    @property
    def pairs(self) -> int:
        """The number of antithetic pairs."""
        return (self.samples + 1) // 2

    def narrowed(self, factor: Any) -> "Smooth":
        return dataclasses.replace(self, sigma=jax.tree.map(lambda sigma: sigma * factor, self.sigma))

    def settings(self, arguments: Arguments) -> tuple[Any, ...]:
        """Sigma for each traced leaf, None for a leaf that a tree of sigmas does not reach."""
        return widths("sigma", self.sigma, arguments)

    def programs(self, f: Callable[..., Any], arguments: Arguments) -> tuple[Program, ...]:
        plain = read(f, arguments)
        return (plain,) if self.control is None else (plain, read(self.control, arguments))

    def tangent(self, point: Point) -> tuple[Any, ...]:
        vectors = Vectors.of(point)
        pairs = zip(point.moving, vectors.inputs, strict=True)
        sigma = vectors.join([shaped("sigma", point.settings[i], leaf) for i, leaf in pairs])
        here = vectors.join([point.leaves[i] for i in point.moving])
        together = self.design.block(self.pairs, vectors.size)
        signs = jnp.array([1.0, -1.0], here.dtype)
        model = lambda x: vectors.join(point.plain(1, point.moved(vectors.split(x))))  # noqa: E731

        def one(u: Any, index: Any) -> Any:
            inner = jax.random.fold_in(point.key, index + self.pairs)  # second derivatives draw anew
            moved = lambda sign: point.moved(vectors.split(here + sign * sigma * u))  # noqa: E731
            ahead, behind = jax.vmap(lambda sign: vectors.join(point.routed(inner, moved(sign))))(signs)
            explained = 0 if self.control is None else jax.jvp(model, (here,), (sigma * u,))[1]
            return (ahead - behind) / 2 - explained

        def sample(block: Any) -> tuple[Any, Any]:
            us = self.design.draw(self.noise, point.key, block, together, vectors.size, vectors.real)
            changes = jax.vmap(one)(us, block * together + jnp.arange(together))
            return changes, self.noise.score(us)

        along = vectors.join(point.tangents)
        estimate = contract(point, sample, along / sigma, self.pairs // together, self.chunk)
        return vectors.result(estimate if self.control is None else estimate + jax.jvp(model, (here,), (along,))[1])
