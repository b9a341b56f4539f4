"""Sets that are curved but smooth: tangent spaces, and steps that stay inside."""

import abc
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from descend import numerics
from descend.domains.domain import Domain


class Chart(NamedTuple):
    """Coordinates around a member, which is at zero.

    Attributes:
        basis: directions, orthonormal rows of shape (d, size).
        move: from a flat vector of shape (size,) in their span to a point: a differentiable map whose image holds
            every member near the one at zero (and nothing else, where the set is smooth there).
    """

    basis: np.ndarray
    move: Callable[[Any], Any]


class Manifold(Domain):
    """A domain that solvers walk through along tangents.

    The methods take members and ambient vectors of a member's shape, any of them with the same leading axes in front,
    in NumPy or JAX, and answer in kind. Vectors that are called tangent must be.

    Attributes:
        dimension: of a tangent space.
    """

    convex = False
    dimension: int

    @abc.abstractmethod
    def tangent(self, x: Any, v: Any) -> Any:
        """The orthogonal projection of an ambient vector v onto the tangent space at x."""

    def retract(self, x: Any, v: Any) -> Any:
        """A member that agrees with x + v to first order, for tangent v. Default: x + v projected."""
        return self.project(x + v)

    def gradient(self, x: Any, g: Any) -> Any:
        """The Riemannian gradient at x of a function whose plain gradient is g. Default: its tangent part."""
        return self.tangent(x, g)

    def inner(self, x: Any, u: Any, v: Any) -> Any:
        """The inner product of tangent vectors at x, a scalar. Default: the Euclidean one."""
        return numerics.namespace(x, u, v).sum(u * v)

    def transport(self, x: Any, y: Any, v: Any) -> Any:
        """The tangent vector v at x, moved to y. Default: its tangent part there."""
        return self.tangent(y, v)

    def chart(self, x: np.ndarray) -> Chart:
        """Coordinates around the member x, a NumPy array. Costs a dense eigenvalue problem of order `size`."""
        directions = np.eye(self.size).reshape(self.size, *self.shape)
        projector = np.stack([self.ravel(self.tangent(x, v)) for v in directions])
        values, vectors = np.linalg.eigh((projector + projector.T) / 2)
        return Chart(vectors[:, values > 0.5].T, lambda v: self.retract(_like(x, v), v.reshape(self.shape)))


def _like(x: np.ndarray, v: Any) -> Any:
    return numerics.namespace(v).asarray(x, v.dtype)


def transposed(x: Any) -> Any:
    """The last two axes swapped."""
    return numerics.namespace(x).swapaxes(x, -1, -2)


def symmetric(x: Any) -> Any:
    """The symmetric part of square matrices."""
    return (x + transposed(x)) / 2


def is_walkable(part: Domain) -> bool:
    """Whether steps along tangents explore the whole domain: a manifold, or real numbers without bounds."""
    box = part.box
    return isinstance(part, Manifold) or (box is not None and not any(np.isfinite(bound).any() for bound in box))


class Geometry:
    """The tangents, steps and inner products of a product of manifolds and of real numbers without bounds.

    Everything is a flat vector in the order of the product. Real numbers are measured in units of their scales.

    Args:
        parts: the factors.

    Raises:
        ValueError: if a factor is neither.
    """

    def __init__(self, parts: Sequence[Domain]):
        for part in parts:
            if not is_walkable(part):
                raise ValueError(f"{part} is neither a manifold nor without bounds")
        self.parts = tuple(parts)
        self.ends = np.cumsum([part.size for part in parts]).tolist()

    def gradient(self, x: Any, g: Any) -> Any:
        """The Riemannian gradient from the plain one."""
        return self._each(lambda m, a, b: m.gradient(a, b), lambda s, a, b: b * s**2, x, g)

    def retract(self, x: Any, v: Any) -> Any:
        """A step from x along the tangent v."""
        return self._each(lambda m, a, b: m.retract(a, b), lambda s, a, b: a + b, x, v)

    def transport(self, x: Any, y: Any, v: Any) -> Any:
        """The tangent v at x, moved to y."""
        return self._each(lambda m, a, b, c: m.transport(a, b, c), lambda s, a, b, c: c, x, y, v)

    def inner(self, x: Any, u: Any, v: Any) -> Any:
        """The sum of the inner products of the parts."""
        xp = numerics.namespace(x, u, v)
        return xp.sum(
            xp.stack(self._parts(lambda m, *a: m.inner(*a), lambda s, a, b, c: xp.sum(b * c / s**2), x, u, v))
        )

    def _each(self, curved: Callable[..., Any], flat: Callable[..., Any], *vectors: Any) -> Any:
        xp = numerics.namespace(*vectors)
        return xp.concatenate([xp.reshape(piece, (-1,)) for piece in self._parts(curved, flat, *vectors)])

    def _parts(self, curved: Callable[..., Any], flat: Callable[..., Any], *vectors: Any) -> list[Any]:
        found = []
        for part, end in zip(self.parts, self.ends, strict=True):
            pieces = [v[end - part.size : end] for v in vectors]
            if isinstance(part, Manifold):
                found.append(curved(part, *[part.unravel(piece) for piece in pieces]))
            else:
                scale = np.broadcast_to(part.scale, part.shape).ravel()
                found.append(flat(numerics.namespace(*pieces).asarray(scale, pieces[0].dtype), *pieces))
        return found


def singular(x: Any) -> tuple[Any, Any, Any]:
    """The thin singular value decomposition u, s, v (x = u s v); all NaN where x is not finite."""
    xp = numerics.namespace(x)
    finite = xp.all(xp.isfinite(x))
    u, s, v = xp.linalg.svd(xp.where(finite, x, 0.0), full_matrices=False)
    return tuple(xp.where(finite, part, xp.nan) for part in (u, s, v))


def fixed(x: Any) -> Any:
    """x as a constant of differentiation."""
    return jax.lax.stop_gradient(x) if isinstance(x, jax.Array) else x
