"""Fields that satisfy conditions at every point: boundary values, and no divergence."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.layers.layer import Layer


def zero(x: Any) -> Any:
    """The field that vanishes."""
    return jnp.zeros((), x.dtype)


class Dirichlet(Layer):
    """u(x) = values(x) + distance(x) network(x) on a box: equal to `values` on its whole boundary, exactly.

    The distance is the product over coordinates of (x - lower)(upper - x), each at most one: smooth, positive inside,
    zero on the boundary, where it has a slope unless two faces meet.

    Args:
        network: a function of a point of shape (d,), to a number or an array.
        lower, upper: corners of the box, shape (d,).
        values: what u is on the boundary: a function that is defined in the whole box (default: zero).

    Raises:
        ValueError: if the box is empty or not finite.

    Source: Lagaris, Likas and Fotiadis, "Artificial neural networks for solving ordinary and partial differential
        equations" (1998).
    """

    accuracy = 0.0

    def __init__(self, network: Callable[[Any], Any], lower: Any, upper: Any, values: Callable[[Any], Any] = zero):
        self.network, self.values = network, values
        self.lower, self.upper = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
        if self.lower.shape != self.upper.shape or self.lower.ndim != 1:
            raise ValueError(f"Dirichlet needs corners of one shape (d,), got {self.lower.shape}, {self.upper.shape}")
        if not np.all(self.lower < self.upper) or not np.isfinite(self.upper - self.lower).all():
            raise ValueError(f"Dirichlet needs a box with lower < upper, got {lower} and {upper}")

    def __repr__(self) -> str:
        return f"Dirichlet({len(self.lower)} dimensions)"

    def __call__(self, x: Any) -> jax.Array:
        """x of shape (d,), in the box."""
        x = jnp.asarray(x)
        low, high = jnp.asarray(self.lower, x.dtype), jnp.asarray(self.upper, x.dtype)
        return self.values(x) + jnp.prod(4 * (x - low) * (high - x) / (high - low) ** 2) * self.network(x)

    def violation(self, inputs: tuple[Any, ...], value: Any) -> Any:
        """How far the value is from that of the boundary, at a point on it; 0 inside."""
        (x,) = inputs
        on = jnp.any((x == jnp.asarray(self.lower, x.dtype)) | (x == jnp.asarray(self.upper, x.dtype)))
        return jnp.where(on, jnp.max(jnp.abs(value - self.values(x))), 0.0)

    def probe(self, key: jax.Array) -> tuple[jax.Array]:
        """Points on the boundary."""
        inside, face, side = jax.random.split(key, 3)
        d = len(self.lower)
        x = self.lower + (self.upper - self.lower) * jax.random.uniform(inside, (d,), minval=0.1, maxval=0.9)
        end = jnp.where(jax.random.bernoulli(side), jnp.asarray(self.lower), jnp.asarray(self.upper))
        return (jnp.where(jnp.arange(d) == jax.random.randint(face, (), 0, d), end, x).astype(x.dtype),)


class DivergenceFree(Layer):
    """A field without sources: the curl of a potential, by forward-mode differentiation.

    In two dimensions the potential is a number s and the field (ds/dy, -ds/dx); in three it is a vector and the field
    its curl: magnetic fields, incompressible flows.

    Args:
        potential: a twice differentiable function of a point of shape (d,), to a number (d = 2) or three (d = 3).
        dimensions: d.

    Raises:
        ValueError: if d is neither 2 nor 3.
    """

    def __init__(self, potential: Callable[[Any], Any], dimensions: int):
        if dimensions not in (2, 3):
            raise ValueError(f"DivergenceFree is for 2 or 3 dimensions, got {dimensions}")
        self.potential, self.dimensions = potential, dimensions

    def __repr__(self) -> str:
        return f"DivergenceFree({self.dimensions} dimensions)"

    def __call__(self, x: Any) -> jax.Array:
        """x of shape (d,); the field there, of shape (d,)."""
        slopes = jax.jacfwd(self.potential)(jnp.asarray(x))
        if self.dimensions == 2:
            return jnp.stack([slopes[1], -slopes[0]])
        return jnp.stack([slopes[2, 1] - slopes[1, 2], slopes[0, 2] - slopes[2, 0], slopes[1, 0] - slopes[0, 1]])

    def violation(self, inputs: tuple[Any, ...], value: Any) -> Any:
        """The divergence at the point, in absolute value."""
        return jnp.abs(jnp.trace(jax.jacfwd(self)(*inputs)))

    def probe(self, key: jax.Array) -> tuple[jax.Array]:
        return (jax.random.normal(key, (self.dimensions,)),)


EXAMPLES = (
    Dirichlet(lambda x: jnp.sin(x[0] + 2 * x[1]) + 2, [0.0, -1.0], [1.0, 2.0], lambda x: x[0] * x[1]),
    Dirichlet(lambda x: jnp.exp(x), [0.0], [3.0]),
    DivergenceFree(lambda x: jnp.sin(x[0] * x[1]) + x[1] ** 3, 2),
    DivergenceFree(lambda x: jnp.stack([jnp.sin(x[1] * x[2]), x[0] ** 2 * x[2], jnp.cos(x[0] * x[1])]), 3),
)
