"""The gradient of the function seen through Gaussian noise."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from descend.routes.directions import Vectors, contract, gaussian
from descend.routes.point import Point
from descend.routes.program import Arguments
from descend.routes.route import Needs, Route, integer
from descend.routes.widths import positive, shaped, widths


def smooth(
    f: Callable[..., Any] | None = None,
    /,
    *,
    sigma: Any = 0.1,
    samples: int = 64,
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
    route = Smooth(sigma, samples, chunk)
    return route if f is None else route(f)


@dataclass(frozen=True, repr=False)
class Smooth(Route):
    """The settings of `smooth`."""

    sigma: Any = 0.1
    samples: int = 64
    chunk: int | None = None

    GIVES: ClassVar[str] = "unbiased-for-smoothed"
    NEEDS: ClassVar[Needs] = Needs(traceable=False, random=True, units=lambda route, n: 1 + 2 * route.pairs)

    def __post_init__(self) -> None:
        integer("samples", self.samples)
        if self.chunk is not None:
            integer("chunk", self.chunk)
        positive("sigma", self.sigma)

    @property
    def pairs(self) -> int:
        """The number of antithetic pairs."""
        return (self.samples + 1) // 2

    def narrowed(self, factor: Any) -> "Smooth":
        return dataclasses.replace(self, sigma=jax.tree.map(lambda sigma: sigma * factor, self.sigma))

    def settings(self, arguments: Arguments) -> tuple[Any, ...]:
        """Sigma for each traced leaf, None for a leaf that a tree of sigmas does not reach."""
        return widths("sigma", self.sigma, arguments)

    def tangent(self, point: Point) -> tuple[Any, ...]:
        vectors = Vectors.of(point)
        sigmas = [
            shaped("sigma", point.settings[i], leaf) for i, leaf in zip(point.moving, vectors.inputs, strict=True)
        ]

        def sample(index: Any) -> tuple[Any, Any]:
            u = gaussian(jax.random.fold_in(point.key, index), (vectors.size,), vectors.real)
            inner = jax.random.fold_in(point.key, index + self.pairs)  # second derivatives draw anew
            steps = [s * part for s, part in zip(sigmas, vectors.split(u), strict=True)]

            def shifted(sign: Any) -> Any:
                at = [point.leaves[i] + sign.astype(s.dtype) * s for i, s in zip(point.moving, steps, strict=True)]
                return vectors.join(point.routed(inner, point.moved(at)))

            ahead, behind = jax.vmap(shifted)(jnp.array([1.0, -1.0]))
            return (ahead - behind) / 2, u

        along = vectors.join([t / s for t, s in zip(point.tangents, sigmas, strict=True)])
        return vectors.result(contract(point, sample, along, self.pairs, self.chunk))
