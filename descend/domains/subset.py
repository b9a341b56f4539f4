"""k of n things, and the convex hull of such choices."""

import itertools
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from descend import numerics
from descend.domains import counts, moves
from descend.domains.domain import Domain, Polyhedron, as_floats, as_shape, jitted_in_jax, say_shape, slack
from descend.domains.isolated import Isolated


def _counts(name: str, n: Any, k: Any) -> tuple[int, int]:
    n, k = counts.whole(name, n=n, k=k)
    if n < 1:
        raise ValueError(f"{name} needs n of at least 1, got {n}")
    if not 0 <= k <= n:
        raise ValueError(f"{name} needs k between 0 and n={n}, got {k}")
    return n, k


class Hypersimplex(Domain):
    """Points of [0, 1]^n with sum k: the convex hull of `Subset(n, k)`. It starts at k / n everywhere.

    Args:
        n: length of the last axis.
        k: the sum along it, a whole number from 0 to n.
        shape: leading axes: that many independent points.

    Raises:
        TypeError: if n or k is not a whole number.
        ValueError: if n < 1, k < 0 or k > n.
    """

    def __init__(self, n: int, k: int, shape: Any = ()):
        self.n, self.k = _counts(type(self).__name__, n, k)
        self.points = as_shape(shape)
        self.shape = (*self.points, self.n)

    def __repr__(self) -> str:
        return f"Hypersimplex({self.n}, k={self.k}{f', shape={say_shape(self.points)}' if self.points else ''})"

    @property
    def _single(self) -> bool:
        return self.k in (0, self.n) or self.size == 0

    def start(self) -> np.ndarray:
        return np.full(self.shape, self.k / self.n)

    @property
    def polyhedron(self) -> Polyhedron:
        """Every point sums to k, between zero and one."""
        points = self.size // self.n
        rows = sparse.csr_array(sparse.kron(sparse.eye_array(points), np.ones((1, self.n))))
        return Polyhedron(np.zeros(self.size), np.ones(self.size), rows, np.full(points, float(self.k)))

    def sample(self, key: jax.Array) -> jax.Array:
        """A projected Gaussian around the start whose spread is itself random: from the middle to the vertices."""
        spread_key, normal_key = jax.random.split(key)
        spread = jax.random.uniform(spread_key, (*self.points, 1), maxval=2.0)
        return self.project(self.start() + spread * jax.random.normal(normal_key, self.shape))

    def contains(self, x: Any, tolerance: float | None = None) -> Any:
        """Whether entries lie in [0, 1] and sum to k, to a tolerance relative to max(1, k) for the sum."""
        tolerance, x = slack(x, tolerance), as_floats(x)
        if x.shape != self.shape:
            return False
        xp = numerics.namespace(x)
        inside = xp.all(xp.isfinite(x) & (x >= -tolerance) & (x <= 1 + tolerance))
        return inside & xp.all(abs(xp.sum(x, axis=-1) - self.k) <= tolerance * max(1, self.k))

    def project(self, x: Any) -> Any:
        """The Euclidean projection clip(x - t, 0, 1), with the scalar t that makes the sum k.

        t is bracketed by bisection to the last bit and then solved for exactly on the free entries, so the sum is off
        by rounding alone. Linear in n a pass, after one sort. The derivative is that of the projection (a generalized
        one where it has a kink), in both modes. NaN stays NaN.
        """
        x = as_floats(x)
        if self._single:
            xp = numerics.namespace(x)
            return xp.where(xp.isnan(x), x, xp.full_like(x, self.k / self.n))
        return _project(x, k=self.k)

    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """Half of the moves shift mass between two entries of one point, half are small Gaussians, projected.

        Sizes are log-uniform from a thousandth of what is possible (of `scale`, for a Gaussian) to all of it. A
        Gaussian that the projection undoes, as at a vertex, is replaced by a shift.
        """
        x = as_floats(x)
        if self._single:
            return moves.stacked(x, count)
        rows = self.size // self.n
        draws = moves.like(x, *_draw(key, count, rows, self.n))
        return _move(x.reshape(1, rows, self.n), *draws, k=self.k).reshape(count, *self.shape)

    @property
    def scale(self) -> np.ndarray:
        """Half the width of the box around it."""
        return np.full(self.shape, 0.5)

    @property
    def cardinality(self) -> int | None:
        return 1 if self._single else None

    def members(self) -> Iterator[np.ndarray]:
        if not self._single:
            yield from super().members()
        yield self.start()


@partial(jax.jit, static_argnames=("count", "rows", "n"))
def _draw(key: jax.Array, count: int, rows: int, n: int) -> tuple[jax.Array, ...]:
    """The row that shifts mass, scores of givers and takers, the size, the Gaussian, and which of the two moves."""
    uniform_key, normal_key = jax.random.split(key)
    single, whole = (count, 1, 1), (count, rows, n)
    row, give, take, size, coin = moves.uniforms(uniform_key, single, whole, whole, single, single)
    return moves.below(row, rows), give, take, moves.step_size(size), jax.random.normal(normal_key, whole), coin < 0.5


@jitted_in_jax
def _project(x: Any, *, k: int) -> Any:
    xp = numerics.namespace(x)
    fixed = (lambda a: a) if xp is np else jax.lax.stop_gradient
    large = math.sqrt(float(jnp.finfo(x.dtype).max))
    x = xp.clip(x, -large, large)
    # t lies within one below the k-th largest entry: measured from there, no entry beyond 1 away matters, and neither
    # huge nor infinite entries spoil the sum.
    kth = xp.sort(fixed(x), axis=-1)[..., x.shape[-1] - k][..., None]
    z = xp.clip(x - kth, -1.0, 1.0)
    state = (-xp.ones_like(kth), xp.zeros_like(kth), fixed(z), xp.full_like(kth, k))
    passes = jnp.finfo(x.dtype).nmant + 3
    if xp is np:
        for i in range(passes):
            state = _halve(i, state)
    else:
        state = jax.lax.fori_loop(0, passes, _halve, state)
    z = z - (state[0] + state[1]) / 2
    free = (z > 0) & (z < 1)
    excess = xp.sum(xp.clip(z, 0.0, 1.0), axis=-1, keepdims=True) - k
    return xp.clip(z - excess / xp.maximum(xp.sum(free, axis=-1, keepdims=True), 1), 0.0, 1.0)


def _halve(_: Any, state: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
    """Halves the bracket (low, high) of the t at which clip(z - t, 0, 1) sums to `total`."""
    low, high, z, total = state
    xp = numerics.namespace(z)
    middle = (low + high) / 2
    more = xp.sum(xp.clip(z - middle, 0.0, 1.0), axis=-1, keepdims=True) > total
    return xp.where(more, middle, low), xp.where(more, high, middle), z, total


@jitted_in_jax
def _move(x: Any, row: Any, give: Any, take: Any, size: Any, normal: Any, coin: Any, *, k: int) -> Any:
    """x of shape (1, rows, n) moved by draws of shape (count, rows, n) or that broadcast to it."""
    xp = numerics.namespace(x)
    rows, n = x.shape[1:]
    x = xp.broadcast_to(x, give.shape)
    places = xp.arange(n)[None, None]
    dust = 1e-3 / n
    giver = places == xp.argmax(xp.where(x > dust, give, -1.0), axis=-1, keepdims=True)
    taker = places == xp.argmax(xp.where((x < 1 - dust) & ~giver, take, -1.0), axis=-1, keepdims=True)
    most = xp.minimum(
        xp.sum(xp.where(giver, x, 0.0), axis=-1, keepdims=True),
        xp.sum(xp.where(taker, 1 - x, 0.0), axis=-1, keepdims=True),
    )
    amount = size * xp.maximum(most, 0.0) * (giver.astype(x.dtype) - taker.astype(x.dtype))
    shifted = xp.where(xp.arange(rows)[None, :, None] == row, xp.clip(x - amount, 0.0, 1.0), x)
    jiggled = _project(x + 0.5 * size * normal, k=k)
    undone = xp.max(abs(jiggled - x), axis=(1, 2), keepdims=True) <= 1e-3 * size
    return xp.where(coin | undone, shifted, jiggled)


class Subset(Isolated):
    """k of n things: vectors of n zeros and ones, k of them ones. It starts at the first k.

    Args:
        n: how many things there are.
        k: how many are taken, from 0 to n.

    Raises:
        TypeError: if n or k is not a whole number.
        ValueError: if n < 1, k < 0 or k > n.
    """

    looks = "1 where an item is chosen, else 0"

    def __init__(self, n: int, k: int):
        self.n, self.k = _counts("Subset", n, k)
        self.shape = (self.n,)

    def __repr__(self) -> str:
        return f"Subset({self.n}, k={self.k})"

    def start(self) -> np.ndarray:
        return (np.arange(self.n) < self.k).astype(np.float64)

    def sample(self, key: jax.Array) -> jax.Array:
        """Uniform."""
        return (jax.random.permutation(key, self.n) < self.k).astype(jnp.result_type(float))

    def round(self, x: Any) -> Any:
        """The nearest member: the k largest entries, the first of equal ones; NaN counts as smallest."""
        x = as_floats(x)
        xp = numerics.namespace(x)
        order = xp.argsort(-xp.where(xp.isnan(x), -xp.inf, x), stable=True)
        return (xp.argsort(order) < self.k).astype(x.dtype)

    def relax(self) -> Hypersimplex:
        """The hypersimplex."""
        return Hypersimplex(self.n, self.k)

    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """One comes in for one that goes out, all such swaps equally likely."""
        x = as_floats(x)
        if self.cardinality == 1:
            return moves.stacked(x, count)
        return _swap(x[None], *moves.like(x, jax.random.uniform(key, (2, count, self.n))))

    @property
    def cardinality(self) -> int:
        return math.comb(self.n, self.k)

    def members(self) -> Iterator[np.ndarray]:
        for taken in itertools.combinations(range(self.n), self.k):
            member = np.zeros(self.n)
            member[list(taken)] = 1.0
            yield member


@jitted_in_jax
def _swap(x: Any, score: Any) -> Any:
    """x of shape (1, n), its member and its non-member of the largest of (2, count, n) scores swapped."""
    xp = numerics.namespace(x)
    inside = xp.broadcast_to(x > 0.5, score.shape[1:])
    places = xp.arange(x.shape[-1])[None]
    out = places == xp.argmax(xp.where(inside, score[0], -1.0), axis=-1, keepdims=True)
    come = places == xp.argmax(xp.where(inside, -1.0, score[1]), axis=-1, keepdims=True)
    return ((inside & ~out) | come).astype(x.dtype)


EXAMPLES = (
    Subset(7, 3),
    Subset(4, 0),
    Subset(4, 4),
    Subset(1, 1),
    Subset(2, 1),
    Hypersimplex(6, 2),
    Hypersimplex(4, 3, shape=(2, 2)),
    Hypersimplex(3, 0),
    Hypersimplex(3, 3),
)
