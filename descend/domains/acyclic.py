"""Weighted graphs without cycles."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.domains import counts, moves
from descend.domains.domain import as_floats, jitted_in_jax, slack
from descend.domains.manifold import Chart, Manifold

EXACT = 8  # nodes up to which all orders are compared


class Acyclic(Manifold):
    """n x n matrices w whose graph, with an edge from i to j where w[i, j] is not zero, has no directed cycle.

    A union of n! linear spaces, one for each order of the nodes: not convex, and not a manifold where spaces meet. It
    starts at zero, where all of them do. The tangent at x is spanned by the entries that no cycle through the edges of
    x forbids; a step along it is projected.

    Args:
        n: number of nodes.

    Raises:
        TypeError: if n is not a whole number.
        ValueError: if n < 1.
    """

    def __init__(self, n: int):
        self.n = counts.positive("Acyclic", n)
        self.shape = (self.n, self.n)
        self.dimension = self.n * (self.n - 1) // 2

    def __repr__(self) -> str:
        return f"Acyclic({self.n})"

    def start(self) -> np.ndarray:
        return np.zeros(self.shape)

    def sample(self, key: jax.Array) -> jax.Array:
        """A uniform order with standard Gaussian weights on half of the edges that it allows."""
        order_key, edge_key, weight_key = jax.random.split(key, 3)
        place = jax.random.permutation(order_key, self.n)
        edges = (place[:, None] < place[None]) & jax.random.bernoulli(edge_key, 0.5, self.shape)
        return jnp.where(edges, jax.random.normal(weight_key, self.shape), 0.0)

    def contains(self, x: Any, tolerance: float | None = None) -> Any:
        """Whether the entries above a tolerance, relative to max(1, the largest), make no cycle."""
        tolerance, x = slack(x, tolerance), as_floats(x)
        if x.shape != self.shape:
            return False
        xp = numerics.namespace(x)
        finite = xp.all(xp.isfinite(x))
        x = xp.where(finite, x, 0.0)
        edges = abs(x) > tolerance * xp.maximum(1.0, xp.max(abs(x)))
        return finite & ~xp.any(xp.diagonal(_reach(edges)))

    def project(self, x: Any) -> Any:
        """Entries that go back in a good order of the nodes are set to zero. NaN stays NaN.

        The nearest member leaves out the edges of least total square: exact for n up to 8, by dynamic programming over
        sets of nodes. For more (the problem is NP-hard) sources and then the nodes with the largest outgoing less
        incoming squares come first, and nodes are moved to better places as long as that helps; a member is kept as it
        is. The derivative is that for the order found.

        Source: Eades, Lin and Smyth, "A fast and effective heuristic for the feedback arc set problem" (1993).
        """
        return _project(as_floats(x))

    def order(self, x: Any) -> Any:
        """The place of each node in an order in which all edges of the member x go forward, as floats, shape (n,)."""
        return _place(as_floats(x))

    def cyclicity(self, x: Any, s: float = 1.0) -> Any:
        """n log s - log det(s I - x * x): zero on this set and positive outside, where s exceeds the spectral radius of
        x * x; infinite beyond. Smooth there, with gradient 2 (s I - x * x)^-T * x, which vanishes exactly on the set.

        Source: Bello, Aragam and Ravikumar, "DAGMA: learning DAGs via M-matrices" (2022).
        """
        x = as_floats(x)
        xp = numerics.namespace(x)
        inside = s * xp.eye(self.n, dtype=x.dtype) - x * x
        inverse = xp.linalg.inv(inside)
        sign, size = xp.linalg.slogdet(inside)
        # The M-matrices are those whose inverse has no negative entry.
        valid = (sign > 0) & xp.all(inverse >= -1e-9)
        return xp.where(valid, self.n * np.log(s) - size, xp.inf)

    def tangent(self, x: Any, v: Any) -> Any:
        """v without the entries (i, j) for which j leads to i along the edges of x."""
        xp = numerics.namespace(x, v)
        back = xp.swapaxes(_reach(x != 0), -1, -2) | xp.broadcast_to(xp.eye(self.n, dtype=bool), x.shape)
        return xp.where(back, 0.0, v)

    def chart(self, x: np.ndarray) -> Chart:
        """All entries that no cycle through the edges of x forbids: together they hold every member near x.

        An entry below a millionth of the largest is no edge.
        """
        edges = np.where(abs(x) > 1e-6 * abs(x).max(initial=0.0), x, 0.0)
        allowed = self.tangent(edges, np.ones(self.shape)).ravel() != 0
        return Chart(
            np.eye(self.size)[allowed], lambda v: numerics.namespace(v).asarray(x, v.dtype) + v.reshape(self.shape)
        )

    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """The weights of a node's edges, present or possible, change by Gaussians.

        Their size is log-uniform from a thousandth to one. In half of the moves the node first goes to a random place
        in the order, and edges that then go back turn.
        """
        x = as_floats(x)
        if self.n == 1:
            return moves.stacked(x, count)
        return _move(x, *moves.like(x, *_draw(key, count, self.n)))

    @property
    def cardinality(self) -> int | None:
        return 1 if self.n == 1 else None

    def members(self) -> Iterator[np.ndarray]:
        if self.n > 1:
            yield from super().members()
        yield self.start()


def _reach(edges: Any) -> Any:
    """Which nodes lead to which along at least one edge."""
    xp = numerics.namespace(edges)
    n = edges.shape[-1]
    paths = edges.astype(np.float32)
    for _ in range(max(1, (n - 1).bit_length())):
        paths = xp.minimum(paths + paths @ paths, 1.0)
    return paths > 0.5


@jitted_in_jax
def _project(x: Any) -> Any:
    xp = numerics.namespace(x)
    place = _place(x)
    return xp.where(xp.isnan(x) | (place[:, None] < place[None]), x, 0.0)


def _place(x: Any) -> Any:
    """The place of each node in an order in which little goes back."""
    xp = numerics.namespace(x)
    x = jax.lax.stop_gradient(x) if isinstance(x, jax.Array) else x
    size = abs(xp.where(xp.isfinite(x), x, xp.where(xp.isnan(x), 0.0, np.sqrt(np.finfo(x.dtype).max) / x.shape[0])))
    # Squares of entries relative to the largest: whether an entry is zero must not depend on underflow.
    largest = xp.maximum(xp.max(size), np.finfo(x.dtype).tiny)
    weight = xp.where(size > 0, xp.maximum((size / largest) ** 2, 1e-30), 0.0)
    weight = weight * (1 - xp.eye(x.shape[0], dtype=x.dtype))
    return _best_place(weight) if len(x) <= EXACT else _improved_place(_greedy_place(weight), weight)


def _best_place(weight: Any) -> Any:
    """By dynamic programming: cost[S] is the least weight that goes back among the nodes of S when they come first."""
    xp = numerics.namespace(weight)
    n = weight.shape[0]
    holds = np.arange(1 << n)[:, None] >> np.arange(n) & 1
    # added[S, v]: what goes back from v to the nodes of S if v comes right after them.
    added = xp.asarray(holds, weight.dtype) @ weight.T
    bits, holds = xp.asarray(1 << np.arange(n)), xp.asarray(holds == 1)

    def extend(nodes: Any, cost: Any) -> Any:
        total = xp.where(holds[nodes], (cost[nodes & ~bits] + added[nodes]), xp.inf)
        return _put(cost, nodes, xp.min(total))

    cost = _repeated(1, 1 << n, extend, xp.zeros(1 << n, weight.dtype))

    def take(index: Any, carry: tuple) -> tuple:
        place, rest = carry
        total = xp.where(holds[rest], cost[rest & ~bits] + added[rest], xp.inf)
        node = xp.argmin(total)
        return _put(place, node, xp.asarray(n - 1 - index, weight.dtype)), rest & ~bits[node]

    return _repeated(0, n, take, (xp.zeros(n, weight.dtype), bits.sum()))[0]


def _greedy_place(weight: Any) -> Any:
    xp = numerics.namespace(weight)
    n = weight.shape[0]

    def take(index: Any, carry: tuple) -> tuple:
        place, left = carry
        comes, goes = left @ weight, weight @ left
        score = xp.where(comes == 0, 2.0 * n * n, goes - comes)
        node = xp.argmax(xp.where(left > 0, score, -xp.inf))
        return _put(place, node, xp.asarray(index, weight.dtype)), _put(left, node, 0.0)

    return _repeated(0, n, take, (xp.zeros(n, weight.dtype), xp.ones(n, weight.dtype)))[0]


def _improved_place(place: Any, weight: Any) -> Any:
    """Each node in turn moved to its best place, twice."""
    xp = numerics.namespace(weight)
    n = weight.shape[0]

    def insert(index: Any, place: Any) -> Any:
        node = index % n
        order = xp.argsort(place)
        rank = place[node]
        # Moving the node behind a neighbor turns their edges: the gain of every new place is a running sum.
        turn = (weight[:, node] - weight[node, :])[order]
        total = xp.concatenate([xp.zeros(1, turn.dtype), xp.cumsum(turn)])
        spot = xp.arange(n).astype(weight.dtype)
        new = xp.where(spot <= rank, total[:-1], total[1:])
        stay = xp.sum(xp.where(spot == rank, new, 0.0))
        goal = xp.argmax(new).astype(weight.dtype)
        goal = xp.where(xp.max(new) > stay + 1e-12, goal, rank)
        between = xp.where((place > rank) & (place <= goal), place - 1, place)
        between = xp.where((place < rank) & (place >= goal), place + 1, between)
        return xp.where(xp.arange(n) == node, goal, between)

    return _repeated(0, 2 * n, insert, place)


def _put(x: Any, index: Any, value: Any) -> Any:
    """x with one entry replaced."""
    if isinstance(x, jax.Array):
        return x.at[index].set(value)
    x = x.copy()
    x[index] = value
    return x


def _repeated(first: int, last: int, step: Any, carry: Any) -> Any:
    """A loop, compiled where the carry is made of JAX arrays."""
    if isinstance(jax.tree.leaves(carry)[0], jax.Array):
        return jax.lax.fori_loop(first, last, step, carry)
    for index in range(first, last):
        carry = step(index, carry)
    return carry


@partial(jax.jit, static_argnames=("count", "n"))
def _draw(key: jax.Array, count: int, n: int) -> tuple[jax.Array, ...]:
    """Which node, where it goes, whether it goes at all, and the changes of weights."""
    uniform_key, normal_key = jax.random.split(key)
    node, spot, coin = moves.uniforms(uniform_key, (count, 1), (count, 1), (count, 1))
    return moves.below(node, n), n * spot - 0.5, coin, moves.gaussian(normal_key, count, (n, n))


@jitted_in_jax
def _move(x: Any, node: Any, spot: Any, coin: Any, change: Any) -> Any:
    xp = numerics.namespace(x)
    place = xp.broadcast_to(_place(x)[None], (len(node), len(x)))
    chosen = xp.arange(len(x))[None] == node
    place = xp.where(chosen & (coin < 0.5), spot, place)
    forward = place[:, :, None] < place[:, None]
    x = moves.stacked(x + x.T, len(node))
    return xp.where(forward, x + xp.where(chosen[:, :, None] | chosen[:, None], change, 0.0), 0.0)


EXAMPLES = (Acyclic(4), Acyclic(1), Acyclic(2), Acyclic(10))
