"""Staircases."""

import jax
import jax.numpy as jnp

from tests.corpus.data import CITIES, LABELS, P3, P10, PRICES, Q4, Q6, Q12, TABLE, W0, A, W, X, Y
from tests.corpus.label import case


@case(P3)
def floors(x):
    steps = jnp.floor(3 * x)  #: flat
    return jnp.sum(steps**2)


@case(P10)
def signs(x):
    return jnp.sum(jnp.sign(x))  #: flat


@case(W0)
def accuracy(w):
    logits = X @ w
    predicted = jnp.argmax(logits, axis=1)  #: flat
    return -jnp.mean(predicted == LABELS)


@case(P10)
def counted(x):
    return jnp.sum(x > 0.3)  #: flat


@case(P3)
def lookup(x):
    i = jnp.clip(jnp.floor(2 * x[0]).astype(int) + 4, 0, 8)  #: flat
    return TABLE[i]


@case(P10)
def sparse(x):
    fit = jnp.sum((A @ x) ** 2)
    support = jnp.sum(jnp.abs(x) > 0.2)  #: flat
    return fit + 3.0 * support


@case(P3)
def quantized(x):
    w = jnp.round(4 * x) / 4  #: flat
    return jnp.sum((w - 0.3) ** 2)


@case(P10)
def ranks(x):
    r = jnp.argsort(jnp.argsort(x))  #: flat
    return jnp.sum(r * jnp.arange(10.0))


@case(P3)
def step_cost(x):
    return jnp.sum(jnp.where(x > 0, 2.0, -1.0))  #: flat


@case(P3)
def int_steps(x):
    k = (5 * x).astype(int)  #: flat
    return jnp.sum(k * k) * 0.1


@case(P3)
def floor_division(x):
    return jnp.sum((x // 0.4) ** 2)  #: flat


@case(P3)
def stopped(x):
    frozen = jax.lax.stop_gradient(x)  #: flat
    return jnp.sum(frozen**2)


@case(P3)
def searched(x):
    where = jnp.searchsorted(jnp.linspace(-2.0, 2.0, 9), x)  #: flat
    return jnp.sum(where.astype(float) ** 2)


@case(P10)
def elections(x):
    def vote(total, value):
        total = total + jnp.where(value > 0, 1, 0)  #: flat
        return total, None

    total, _ = jax.lax.scan(vote, 0, x)
    return total * 1.0


@case(Q6 * 0.3)
def zero_one_loss(w):
    wrong = (W @ w) * Y < 0  #: flat
    return wrong.mean()


@case(Q4)
def heaviside(x):
    return jnp.sum(jnp.heaviside(x, 0.5) * jnp.arange(1.0, 5.0))  #: flat


@case(Q12)
def quantized_network(w):
    scale = 8.0
    q = jnp.clip(jnp.round(w * scale), -127, 127) / scale  #: flat
    return jnp.mean((W[:, :6] @ q[:6] + q[6:].sum() - Y) ** 2)


@case(Q12)
def one_hot_choice(x):
    choice = jax.nn.one_hot(jnp.argmax(x), 12)  #: flat
    return choice @ PRICES


@case(Q6)
def histogram(x):
    bins = jnp.digitize(x, jnp.array([-1.0, 0.0, 1.0]))  #: flat
    return jnp.sum(jnp.bincount(bins, length=4) ** 2) * 1.0


@case(Q6 * 1.0)
def tour(x):
    order = jnp.argsort(x)  #: flat
    return jnp.sum(jnp.linalg.norm(CITIES[order] - CITIES[jnp.roll(order, 1)], axis=1) ** 2)


@case(Q4)
def loop_count(x):
    def halve(state):
        value, count = state
        return value / 2, count + 1

    _, count = jax.lax.while_loop(lambda s: s[0] > 0.01, halve, (jnp.sum(x**2), 0))  #: flat
    return count * 1.0


@case(Q4)
def ceil_price(x):
    return jnp.sum(jnp.ceil(jnp.abs(x) * 2) * 1.5)  #: flat
