"""Boxes and polytopes that values cannot leave."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.layers.layer import Layer

ITERATIONS = 50  # of an interior point method that needs 10 to 25 in float64


def nearest(y: Any, G: Any, h: Any, A: Any = None, b: Any = None) -> jax.Array:
    """The nearest z to y with G z <= h and A z = b.

    By a primal-dual interior point method, then exactly on the rows found active. The derivative, with respect to all
    arguments and in both modes, is that of the projection onto those rows: the implicit one, where no active row has a
    zero multiplier.

    Args:
        y: shape (n,).
        G: shape (m, n).
        h: shape (m,).
        A: shape (p, n), independent rows; None for none.
        b: shape (p,).

    Returns:
        Shape (n,). If no z satisfies the conditions, some z does not: check it. Time (n + p)^3 + m n^2 an iteration.

    Source: Mehrotra (1992) for the iteration.
    """
    y, G, h = jnp.asarray(y), jnp.asarray(G), jnp.asarray(h)
    A = jnp.zeros((0, y.size), y.dtype) if A is None else jnp.asarray(A)
    b = jnp.zeros(0, y.dtype) if b is None else jnp.asarray(b)
    active = _active(*map(jax.lax.stop_gradient, (y, G, h, A, b)))
    M = jnp.concatenate([jnp.where(active[:, None], G, 0.0), A])
    d = jnp.concatenate([jnp.where(active, h, 0.0), b])
    idle = jnp.concatenate([~active, jnp.zeros(len(b), bool)])
    gram = M @ M.T
    ridge = 1e3 * jnp.finfo(y.dtype).eps * jnp.max(jnp.diagonal(gram), initial=0.0)
    gram = gram + jnp.diag(jnp.where(idle, 1.0, ridge))
    z = y
    for _ in range(3):  # each round divides what the ridge leaves by a large number
        z = z - M.T @ jnp.linalg.solve(gram, M @ z - d)
    return z


def _active(y: jax.Array, G: jax.Array, h: jax.Array, A: jax.Array, b: jax.Array) -> jax.Array:
    """Which inequalities hold y's projection back."""
    m, n, p = len(h), y.size, len(b)
    if m == 0:
        return jnp.zeros(0, bool)
    # In units in which y and the rows are of order one.
    size = jnp.sqrt(jnp.sum(G**2, axis=1))
    size = jnp.where(size > 0, size, 1.0)
    G, h = G / size[:, None], h / size
    unit = jnp.maximum(1.0, jnp.max(jnp.maximum(G @ y - h, 0.0)))
    h, b, y = (h - G @ y) / unit, (b - A @ y) / unit, jnp.zeros_like(y)
    tiny = jnp.finfo(y.dtype).tiny

    def longest(x: jax.Array, dx: jax.Array) -> jax.Array:
        return jnp.minimum(1.0, jnp.min(jnp.where(dx < 0, -x / jnp.where(dx < 0, dx, -1.0), jnp.inf)))

    def step(_: Any, carry: tuple) -> tuple:
        z, nu, s, w = carry  # point, multipliers of A, slack, multipliers of G
        dual, primal, equal = z + G.T @ w + A.T @ nu, G @ z + s - h, A @ z - b
        gap = jnp.mean(s * w)
        top = jnp.concatenate([jnp.eye(n, dtype=z.dtype) + G.T @ ((w / s)[:, None] * G), A.T], axis=1)
        matrix = jnp.concatenate([top, jnp.concatenate([A, jnp.zeros((p, p), z.dtype)], axis=1)])

        def move(target: jax.Array) -> tuple:
            right = jnp.concatenate([-dual - G.T @ ((target + w * primal) / s), -equal])
            both = jnp.linalg.solve(matrix, right)
            dz, dnu = both[:n], both[n:]
            ds = -primal - G @ dz
            return dz, dnu, ds, (target - w * ds) / s

        *_, ds, dw = move(-s * w)
        ahead = jnp.mean((s + longest(s, ds) * ds) * (w + longest(w, dw) * dw))
        moves = move(-s * w - ds * dw + (ahead / jnp.maximum(gap, tiny)) ** 3 * gap)
        length = 0.99 * jnp.minimum(longest(s, moves[2]), longest(w, moves[3]))
        good = jnp.all(jnp.array([jnp.all(jnp.isfinite(m)) for m in moves]))
        floor = jnp.sqrt(tiny)
        z, nu, s, w = (jnp.where(good, a + length * da, a) for a, da in zip(carry, moves, strict=True))
        return z, nu, jnp.maximum(s, floor), jnp.maximum(w, floor)

    begin = (y, jnp.zeros(p, y.dtype), jnp.maximum(1.0, h), jnp.ones(m, y.dtype))
    _, _, s, w = jax.lax.fori_loop(0, ITERATIONS, step, begin)
    return w > s


class Box(Layer):
    """Values clipped to bounds. The derivative is zero for a number that is clipped, and one otherwise.

    Args:
        lower, upper: numbers, or arrays that broadcast with the input.

    Raises:
        ValueError: if a lower bound exceeds an upper one, or is NaN.
    """

    projects = True

    def __init__(self, lower: Any, upper: Any):
        self.lower, self.upper = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
        if not np.all(self.lower <= self.upper):
            raise ValueError(f"Box needs lower <= upper, got {lower} and {upper}")
        self.shape = np.broadcast_shapes(self.lower.shape, self.upper.shape)

    def __repr__(self) -> str:
        return f"Box({self.shape})"

    def __call__(self, y: Any) -> jax.Array:
        y = jnp.asarray(y)
        return jnp.clip(y, jnp.asarray(self.lower, y.dtype), jnp.asarray(self.upper, y.dtype))

    def violation(self, inputs: tuple[Any, ...], value: Any) -> Any:
        low, high = jnp.asarray(self.lower, value.dtype), jnp.asarray(self.upper, value.dtype)
        return jnp.max(jnp.maximum(jnp.maximum(low - value, value - high), 0.0), initial=0.0)

    def probe(self, key: jax.Array) -> tuple[jax.Array]:
        return (3 * jax.random.normal(key, self.shape or (4,)),)


class Polytope(Layer):
    """The nearest z to y with G z <= h and A z = b: `nearest` with fixed conditions.

    Args:
        G: shape (m, n).
        h: shape (m,).
        A: shape (p, n); None for none.
        b: shape (p,).

    Raises:
        ValueError: if shapes do not fit, or the conditions contradict each other.
    """

    projects = True
    accuracy = 1e-8

    def __init__(self, G: Any, h: Any, A: Any = None, b: Any = None):
        self.G, self.h = np.asarray(G, np.float64), np.asarray(h, np.float64)
        if self.G.ndim != 2 or self.h.shape != self.G.shape[:1]:
            raise ValueError(
                f"Polytope needs G of shape (m, n) and h of shape (m,), got {self.G.shape}, {self.h.shape}"
            )
        n = self.G.shape[1]
        self.A = np.zeros((0, n)) if A is None else np.asarray(A, np.float64)
        self.b = np.zeros(0) if b is None else np.asarray(b, np.float64)
        if self.A.shape[1:] != (n,) or self.b.shape != self.A.shape[:1]:
            raise ValueError(
                f"Polytope needs A of shape (p, {n}) and b of shape (p,), got {self.A.shape}, {self.b.shape}"
            )
        from scipy.optimize import linprog

        found = linprog(
            np.zeros(n), self.G, self.h, self.A if len(self.b) else None, self.b if len(self.b) else None, (None, None)
        )
        if found.status == 2:
            raise ValueError("the conditions of the polytope contradict each other")

    def __repr__(self) -> str:
        return f"Polytope({len(self.h)} inequalities and {len(self.b)} equalities of {self.G.shape[1]} numbers)"

    def __call__(self, y: Any) -> jax.Array:
        """y of shape (n,)."""
        y = jnp.asarray(y)
        return nearest(y, *(jnp.asarray(part, y.dtype) for part in (self.G, self.h, self.A, self.b)))

    def violation(self, inputs: tuple[Any, ...], value: Any) -> Any:
        G, h, A, b = (jnp.asarray(part, value.dtype) for part in (self.G, self.h, self.A, self.b))
        over, off = jnp.maximum(G @ value - h, 0.0), jnp.abs(A @ value - b)
        return jnp.maximum(jnp.max(over, initial=0.0), jnp.max(off, initial=0.0))

    def probe(self, key: jax.Array) -> tuple[jax.Array]:
        return (2 * jax.random.normal(key, (self.G.shape[1],)),)


EXAMPLES = (
    Polytope([[1.0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [1, 0, 1]], [1.0, 0, 0, 0.5, 0.8]),
    Polytope(-np.eye(4), np.zeros(4), np.ones((1, 4)), np.ones(1)),
    Box(-1.0, [0.5, 1.0, 2.0]),
    Box(0.0, 1.0),
)
