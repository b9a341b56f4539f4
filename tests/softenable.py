"""Small programs that a derivative does not get through, one idea each: what `soften` is tried on.

Each takes four numbers and returns one. They are in general position: no comparison is a tie.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

X = np.array([0.83, -0.37, 0.21, 0.59])
TABLE = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)))
NEXT = jnp.array([[1, 2, 0], [2, 0, 1]])  # state and input -> state


def elementwise(x):
    kept = (x > 0) & ~(x > 0.7) | (x < -1)
    return jnp.sum(kept * x + jnp.sign(x) + jnp.abs(x - 0.1) + jnp.ceil(2 * x) * jnp.clip(x, -0.2, 0.5))


def remainders(x):
    return jnp.sum(jnp.mod(x, 0.7) + lax.rem(x, 0.4) + x // 0.3 + (5 * x).astype(int) // 2 + (7 * x).astype(int) % 3)


def truths(x):
    return jnp.sum((x > 0) ^ (x > 0.5)) + jnp.all(x > -0.3) * 2.0 + jnp.any(x > 0.8) + jnp.sum((x > 0) != (x > 0.3))


def counts(x):
    many = jnp.sum(x > 0)
    share = jnp.maximum(many, 1) / 4 + (many == 3) * 0.5 + (many >= 2) + (many % 2)
    return share + jnp.argmax(jnp.stack([jnp.sum(x < 0), many, jnp.sum(x > 0.5)]))


def masked_logarithm(x):
    return jnp.sum(jnp.where(x > 0, jnp.log(x), 5.0))


def sorted_values(x):
    return jnp.median(x) + jnp.quantile(x, 0.3) + jnp.sort(-x) @ jnp.arange(4.0) + jnp.max(x) - 2 * jnp.min(x)


def sorted_order(x):
    order = jnp.argsort(x)
    return jnp.argsort(order) @ jnp.arange(4.0) + x[order] @ jnp.arange(4.0) + TABLE[order, 1] @ jnp.arange(4.0)


def best(x):
    values, places = lax.top_k(x, 2)
    return jnp.sum(values) + jnp.sum(TABLE[1][places]) + TABLE[jnp.argmax(x), jnp.argmin(x)]


def lookups(x):
    i = jnp.clip(jnp.floor(2 * x[0]).astype(int), 0, 4)
    rows = jnp.round(3 * x).astype(int)  # negative ones count from the end
    return TABLE[i, 2] + TABLE[i][1] + jnp.sum(TABLE[rows, 1] ** 2) + jnp.take(x, (x[3] * 3).astype(int), mode="clip")


def leaves(x):
    bits = (jnp.stack([x, x - 0.3], 1) > 0).astype(int)
    leaf = bits @ jnp.array([2, 1])
    by_hand = 3 * (x[0] > 0.5).astype(int) + (x[1] > 0).astype(int)
    return jnp.sum(TABLE[leaf, 0] * jnp.arange(4.0)) + TABLE[by_hand, 2]


def windows(x):
    start = (3 * jnp.abs(x[0])).astype(int)
    placed = lax.dynamic_update_slice(jnp.zeros(8), x, (start,))
    return jnp.sum(lax.dynamic_slice(jnp.arange(8.0) ** 2, (start,), (3,))) + placed @ jnp.arange(8.0)


def written(x):
    i = jnp.floor(jnp.abs(x) * 2).astype(int)
    sums, last = jnp.zeros(6).at[i].add(x), jnp.ones(6).at[i].set(x**2)
    return jnp.sum(sums**2) + last @ jnp.arange(6.0) + jnp.sum(x.at[jnp.argmax(x)].multiply(3.0))


def histogram(x):
    bins = jnp.digitize(x, jnp.array([-1.0, 0.0, 0.5]))
    return jnp.bincount(bins, length=4) @ jnp.arange(4.0) ** 2


def branches(x):
    inner = lambda v: lax.cond(v[1] > 0, jnp.sum, jnp.prod, v)  # noqa: E731
    outer = lax.cond(x[0] > 0.1, inner, lambda v: v[0], x)
    sides = [jnp.sum, jnp.prod, lambda v: 1.0 + v[0]]
    return outer + lax.switch((x[0] * 3).astype(int), sides, x) + jnp.select([x < 0, x < 0.5], [x, 2 * x], 9.0).sum()


def mapped_branches(x):
    side = jax.vmap(lambda v: lax.cond(v > 0, lambda u: u * 2, lambda u: -u, v))
    sides = jax.vmap(lambda v: lax.switch((4 * v).astype(int), [lambda u: u, lambda u: 3 * u, lambda u: u**2], v))
    return jnp.sum(side(x)) + jnp.sum(sides(x)) + TABLE[jnp.where(x[0] > 0, 0, 3), 1]


def machine(x):
    def step(state, value):
        state = NEXT[(value > 0.1).astype(int), state]
        return state, TABLE[state, 0]

    state, seen = lax.scan(step, 0, x)
    return jnp.sum(seen) + TABLE[state, 1]


def elections(x):
    def step(carry, value):
        count, best = carry
        return (count + (value > 0.2), jnp.where(value > best, value, best)), count

    (count, best), path = lax.scan(step, (0, -jnp.inf), x)
    return count * best + jnp.sum(path) + lax.fori_loop(0, 5, lambda i, c: c + jnp.where(x[i % 4] > 0.2, c, 0.1), 1.0)


def halving(x):
    def halve(state):
        level, count, key = state
        return level / 2 + 0.01 * x[0], count + 1, key

    level, count, _ = lax.while_loop(lambda s: (s[0] > 0.1) & (s[1] < 9), halve, (x @ x, 0, jax.random.key(0)))
    return level + count


def mapped_loops(x):
    return jnp.sum(jax.vmap(lambda v: lax.while_loop(lambda s: s > 0.3, lambda s: s * 0.6, v))(x))


def again(x):
    return jax.checkpoint(lambda v: jnp.sum(jnp.sign(v) * v**2) + jnp.sum(jax.nn.relu(v)))(x) + jax.nn.logsumexp(x)


def draws(x):
    chosen = jax.random.bernoulli(jax.random.key(1), jax.nn.sigmoid(x))
    return jnp.sum(chosen * x) + TABLE[0][jax.random.categorical(jax.random.key(2), x)]


def algebra(x):
    m = jnp.outer(x, x) + jnp.diag(jnp.where(x > 0, 2.0, 1.0) + 3)
    z = x + 1j * x**2
    return (
        jnp.linalg.slogdet(m)[1]
        + jnp.sum(jnp.linalg.inv(m))
        + jnp.sum(jnp.abs(z))
        + jnp.sum(jnp.where(x > 0, z, 0).real)
    )


def parity(x):
    return jnp.sum(jnp.floor(10 * x)) % 2 + jnp.sum((x > 0).astype(int)) % 2


def nothing(x):
    none = x[:0]
    return jnp.sum(jnp.floor(none)) + jnp.sum(jnp.sort(none)) + lax.scan(lambda c, v: (c + (v > 0), None), 0, none)[0]


PROGRAMS = [f for f in list(vars().values()) if callable(f) and getattr(f, "__module__", None) == __name__]
