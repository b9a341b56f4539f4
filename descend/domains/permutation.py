"""Orders of n things, and the convex hull of their matrices."""

import itertools
import math
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from descend import numerics
from descend.domains import counts, moves
from descend.domains.domain import Domain, Polyhedron, as_floats, slack
from descend.domains.doubly_stochastic import doubly_stochastic
from descend.domains.isolated import Isolated


class Birkhoff(Domain):
    """Doubly stochastic n x n matrices: the convex hull of `Permutation(n)`. It starts at 1 / n everywhere.

    Args:
        n: number of rows.

    Raises:
        TypeError: if n is not a whole number.
        ValueError: if n < 1.
    """

    def __init__(self, n: int):
        self.n = counts.positive("Birkhoff", n)
        self.shape = (self.n, self.n)

    def __repr__(self) -> str:
        return f"Birkhoff({self.n})"

    def start(self) -> np.ndarray:
        return np.full(self.shape, 1 / self.n)

    @property
    def polyhedron(self) -> Polyhedron:
        """Every row and every column sums to one, between zero and one."""
        each, ones = sparse.eye_array(self.n), np.ones((1, self.n))
        rows = sparse.csr_array(sparse.vstack([sparse.kron(each, ones), sparse.kron(ones, each)]))
        return Polyhedron(np.zeros(self.size), np.ones(self.size), rows, np.ones(2 * self.n))

    def sample(self, key: jax.Array) -> jax.Array:
        """A projected Gaussian around the start whose spread is itself random: from the middle to the vertices."""
        spread_key, normal_key = jax.random.split(key)
        spread = jax.random.uniform(spread_key, maxval=2.0)
        return self.project(self.start() + spread * jax.random.normal(normal_key, self.shape))

    def contains(self, x: Any, tolerance: float | None = None) -> Any:
        """Whether entries are nonnegative and every row and column sums to one."""
        tolerance, x = slack(x, tolerance), as_floats(x)
        if x.shape != self.shape:
            return False
        xp = numerics.namespace(x)
        worst = xp.maximum(xp.max(abs(xp.sum(x, axis=0) - 1)), xp.max(abs(xp.sum(x, axis=1) - 1)))
        return xp.all(xp.isfinite(x) & (x >= -tolerance)) & (worst <= tolerance)

    def project(self, x: Any) -> Any:
        """The Euclidean projection, by a semismooth Newton method on the 2n dual variables.

        Rows and columns sum to one within about 1e-12 in float64 (1e-5 in float32) for n up to some hundreds. Inputs
        that spread over more than 1e9 (1e4 in float32) are shrunk to that spread first: the answer is then a feasible
        point near the projection. The derivative is that of the projection (a generalized one where it has a kink),
        in both modes. NaN stays NaN. Each of some 10 to 50 steps solves a dense system of order 2n.

        Source: Li, Sun and Toh, "On the efficient computation of a projector over the Birkhoff polytope" (2020).
        """
        return doubly_stochastic(as_floats(x))

    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """Moves toward a random permutation matrix, by a log-uniform share from a thousandth to the whole way."""
        x = as_floats(x)
        if self.n == 1:
            return moves.stacked(x, count)
        xp = numerics.namespace(x)
        order, size = moves.like(x, *_goals(key, count, self.n))
        eye = xp.eye(self.n, dtype=x.dtype)
        goal, other = eye[order], eye[xp.roll(order, 1, axis=-1)]  # x cannot be both
        near = xp.max(abs(goal - x[None]), axis=(1, 2), keepdims=True) < 0.5
        return x[None] + size * (xp.where(near, other, goal) - x[None])

    @property
    def scale(self) -> np.ndarray:
        """Half the width of the box around it."""
        return np.full(self.shape, 0.5)

    @property
    def cardinality(self) -> int | None:
        return 1 if self.n == 1 else None

    def members(self) -> Iterator[np.ndarray]:
        if self.n > 1:
            yield from super().members()
        yield self.start()


class Permutation(Isolated):
    """Orders of n things as permutation matrices: entry (i, j) is 1 where place i holds thing j, so that
    `x @ things` is the reordered list. It starts at the identity.

    Args:
        n: how many things there are.

    Raises:
        TypeError: if n is not a whole number.
        ValueError: if n < 1.
    """

    looks = "a permutation matrix: x @ v reorders v"

    def __init__(self, n: int):
        self.n = counts.positive("Permutation", n)
        self.shape = (self.n, self.n)

    def __repr__(self) -> str:
        return f"Permutation({self.n})"

    def start(self) -> np.ndarray:
        return np.eye(self.n)

    def sample(self, key: jax.Array) -> jax.Array:
        """Uniform."""
        return jnp.eye(self.n)[jax.random.permutation(key, self.n)]

    def contains(self, x: Any, tolerance: float | None = None) -> Any:
        tolerance, x = slack(x, tolerance), as_floats(x)
        if x.shape != self.shape:
            return False
        xp = numerics.namespace(x)
        hot = (x > 0.5).astype(x.dtype)
        one_each = xp.all(xp.sum(hot, axis=0) == 1) & xp.all(xp.sum(hot, axis=1) == 1)
        return one_each & xp.all(xp.isfinite(x) & (abs(x - hot) <= tolerance))

    def round(self, x: Any) -> Any:
        """The nearest member: the assignment with the largest sum of entries, in time n^3. Its derivative is zero.

        Where several are nearest, JAX and NumPy may choose differently. NaN counts as the smallest entry.
        """
        x = as_floats(x)
        if isinstance(x, jax.Array):
            rows, columns = _hungarian()(-_finite(jax.lax.stop_gradient(x)))
            return jnp.zeros_like(x).at[rows, columns].set(1.0)
        from scipy.optimize import linear_sum_assignment

        rounded = np.zeros_like(x)
        rounded[linear_sum_assignment(_finite(x), maximize=True)] = 1.0
        return rounded

    def relax(self) -> Birkhoff:
        """The doubly stochastic matrices."""
        return Birkhoff(self.n)

    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """Half of the moves swap two rows; a quarter reverses a stretch of rows; a quarter moves one row elsewhere.

        The two rows that swap, or between which the rest happens, are a uniform pair.
        """
        x = as_floats(x)
        if self.n == 1:
            return moves.stacked(x, count)
        return x[moves.like(x, _reorder(key, count, self.n))[0]]

    @property
    def cardinality(self) -> int:
        return math.factorial(self.n)

    def members(self) -> Iterator[np.ndarray]:
        for order in itertools.permutations(range(self.n)):
            yield np.eye(self.n)[list(order)]


@partial(jax.jit, static_argnames=("count", "n"))
def _goals(key: jax.Array, count: int, n: int) -> tuple[jax.Array, jax.Array]:
    """Uniform permutations, of shape (count, n), and how far to go to each, of shape (count, 1, 1)."""
    order, size = moves.uniforms(key, (count, n), (count, 1, 1))
    return jnp.argsort(order, axis=1), moves.step_size(size)


@partial(jax.jit, static_argnames=("count", "n"))
def _reorder(key: jax.Array, count: int, n: int) -> jax.Array:
    """`count` elementary moves: which row each row comes from, of shape (count, n)."""
    first, other, kind, side = moves.uniforms(key, *[(count, 1)] * 4)
    first = moves.below(first, n)
    other = (first + 1 + moves.below(other, n - 1)) % n
    low, high = jnp.minimum(first, other), jnp.maximum(first, other)
    place = jnp.arange(n)[None]
    ends = (place == low) | (place == high)
    between = (place >= low) & (place <= high)
    swapped = jnp.where(ends, low + high - place, place)
    reversed_ = jnp.where(between, low + high - place, place)
    turn = jnp.where(side < 0.5, 1, -1)
    inserted = jnp.where(between, low + (place - low + turn) % (high - low + 1), place)
    return jnp.where(kind < 0.5, swapped, jnp.where(kind < 0.75, reversed_, inserted))


@cache
def _hungarian() -> Callable[[Any], tuple[Any, Any]]:
    """The algorithm, jitted once: called eagerly it would be compiled at every call."""
    import optax

    return jax.jit(optax.assignment.hungarian_algorithm)


def _finite(x: Any) -> Any:
    """x without NaN and infinities, and without losing the order of the entries beside a huge one more than need be."""
    xp = numerics.namespace(x)
    finite = xp.isfinite(x)
    span = 1 + 2 * x.shape[0] * xp.max(xp.where(finite, abs(x), 0.0))
    span = xp.minimum(span, float(jnp.finfo(x.dtype).max) / (4 * x.shape[0]))
    return xp.where(finite, xp.clip(xp.where(finite, x, 0.0), -span, span), xp.where(x == xp.inf, span, -span))


EXAMPLES = (Permutation(5), Permutation(1), Permutation(2), Birkhoff(4), Birkhoff(1), Birkhoff(2))
