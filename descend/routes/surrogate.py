"""The gradient of a model fitted to values around the point."""

import abc
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jax.scipy.linalg

from descend.routes.directions import Vectors, vectorized
from descend.routes.noise import gaussian
from descend.routes.point import Point
from descend.routes.program import Arguments
from descend.routes.route import Needs, Route, integer
from descend.routes.widths import positive, shaped, widths


class Model(abc.ABC):
    """How `surrogate` fits: a slope at the origin as a linear function of values."""

    @abc.abstractmethod
    def weights(self, offsets: Any, along: Any) -> Any:
        """The vector w such that the fitted slope along `along` is w . values, for values at the offsets.

        Args:
            offsets: (points, inputs), in units of the width.
            along: (inputs,), the same. The result is linear in it.
        """


@dataclass(frozen=True)
class Linear(Model):
    """Least squares with an intercept; of least norm where there are too few points."""

    def weights(self, offsets: Any, along: Any) -> Any:
        centered = offsets - offsets.mean(0, keepdims=True)
        # The singular values are those of a Gaussian design: nothing is lost by the normal equations of the smaller
        # side.
        if len(offsets) > offsets.shape[1]:
            return centered @ jnp.linalg.solve(centered.T @ centered, along)
        short = centered @ centered.T + jnp.ones((len(offsets),) * 2, offsets.dtype)  # the mean is its null vector
        return jnp.linalg.solve(short, centered @ along)


@dataclass(frozen=True)
class GaussianProcess(Model):
    """The posterior mean of a Gaussian process with a squared exponential kernel and a constant mean.

    Attributes:
        length: of the kernel, in units of the width.
        noise: variance of the values' noise over that of the process.
    """

    length: float = 2.0
    noise: float = 1e-6

    def __post_init__(self) -> None:
        positive("length", self.length)
        positive("noise", self.noise)

    def weights(self, offsets: Any, along: Any) -> Any:
        squares = jnp.sum((offsets[:, None] - offsets[None]) ** 2, -1)
        kernel = jnp.exp(-squares / (2 * self.length**2)) + self.noise * jnp.eye(len(offsets), dtype=offsets.dtype)
        factor = jax.scipy.linalg.cho_factor(kernel)
        here = jnp.exp(-jnp.sum(offsets**2, 1) / (2 * self.length**2))
        pushed = jax.scipy.linalg.cho_solve(factor, here * (offsets @ along) / self.length**2)
        flat = jax.scipy.linalg.cho_solve(factor, jnp.ones(len(offsets), offsets.dtype))
        return pushed - flat * (jnp.sum(pushed) / jnp.sum(flat))  # the constant mean, by generalized least squares


def surrogate(
    f: Callable[..., Any] | None = None,
    /,
    *,
    model: Model | None = None,
    sigma: Any = 0.1,
    samples: int = 64,
    chunk: int | None = None,
) -> Callable[..., Any]:
    """f, differentiated as the model that is fitted to its values at Gaussian points around.

    `Linear()` is the simplex gradient of derivative-free optimization: for a smooth f with more samples than inputs its
    error is O(sigma), against the O(sqrt(n / samples)) of averages over random directions such as `smooth`, because a
    fit knows that directions overlap. `GaussianProcess()` also bends, so that curvature within sigma does no harm, for
    up to some tens of inputs. Points where a value is not finite make the derivative NaN for that output.

    A second derivative is that of the fit's fit, from one draw.

    Args:
        f: the function (see `Route.__call__`); it may be a black box. Without f, gives the route itself: a decorator.
        model: `Linear()` (the default) or `GaussianProcess(length, noise)`.
        sigma: standard deviation of the points: a positive scalar or a tree like the argument, as for `smooth`.
        samples: how many points, in antithetic pairs.
        chunk: points evaluated at once, by `vmap`. Default: by the sizes involved. All points are kept: memory is
            samples * (inputs + outputs), and samples^2 for what is solved.

    Returns:
        g with `g(x, key=key) == f(x)`, or the route if f is not given.

    Raises:
        ValueError: if sigma or samples is not positive; from the derivative, if called without `key`.

    Source:
        Conn, Scheinberg and Vicente, "Introduction to derivative-free optimization" (2009), chapter 2; Rasmussen and
        Williams, "Gaussian processes for machine learning" (2006), sections 2.7 and 9.4.
    """
    route = Surrogate(Linear() if model is None else model, sigma, samples, chunk)
    return route if f is None else route(f)


@dataclass(frozen=True, repr=False)
class Surrogate(Route):
    """The settings of `surrogate`."""

    model: Model = Linear()
    sigma: Any = 0.1
    samples: int = 64
    chunk: int | None = None

    GIVES: ClassVar[str] = "biased"
    NEEDS: ClassVar[Needs] = Needs(
        traceable=False, random=True, units=lambda route, n: 1 + 2 * route.pairs, dimension_limit=1000
    )

    def __post_init__(self) -> None:
        positive("sigma", self.sigma)
        integer("samples", self.samples)
        if self.chunk is not None:
            integer("chunk", self.chunk)
        if not isinstance(self.model, Model):
            raise TypeError(f"model must be one such as Linear(), got {self.model!r}")

    @property
    def pairs(self) -> int:
        """The number of antithetic pairs."""
        return (self.samples + 1) // 2

    def narrowed(self, factor: Any) -> "Surrogate":
        return dataclasses.replace(self, sigma=jax.tree.map(lambda sigma: sigma * factor, self.sigma))

    def settings(self, arguments: Arguments) -> tuple[Any, ...]:
        return widths("sigma", self.sigma, arguments)

    def tangent(self, point: Point) -> tuple[Any, ...]:
        vectors = Vectors.of(point)
        pairs = zip(point.moving, vectors.inputs, strict=True)
        sigma = vectors.join([shaped("sigma", point.settings[i], leaf) for i, leaf in pairs])
        here = vectors.join([point.leaves[i] for i in point.moving])
        flat = gaussian(point.key, (self.pairs * vectors.size,), vectors.real)  # compiled faster than in two axes
        half = flat.reshape(self.pairs, vectors.size)
        offsets = jnp.concatenate([half, -half])
        inner = jax.random.fold_in(point.key, 1)  # second derivatives draw anew
        at = lambda i: point.moved(vectors.split(here + sigma * offsets[i]))  # noqa: E731
        values = vectorized(point, lambda i: vectors.join(point.routed(inner, at(i))), len(offsets), self.chunk)
        return vectors.result(self.model.weights(offsets, vectors.join(point.tangents) / sigma) @ values)
