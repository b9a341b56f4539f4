"""Two Losses Are Better Than One: Faster Optimization Using a Cheaper Proxy (Woodworth, Mishchenko, Bach, 2023).

DOC
"""

import jax
import jax.numpy as jnp
import numpy as np

from descend.datasets import breast_cancer
from descend.domains import Real
from descend.problem import Problem

PAPER = "arXiv:2302.03542"
SYSTEM = 84
WHY = None  # the losses are smooth: what is short are gradients of the one that counts
CLAIM = "0"
SEEDS = 8
PRIVATE, MADE, RIDGE, MOST = 300, 2000, 1e-2, 3000
MIXES = (1.0, 0.3, 0.1)  # how much of the proxy is not the target: its distance delta is proportional
GOAL = 1e-5


def logistic(rows, labels):
    """The regularized loss of weights on rows with labels of -1 and 1."""
    return lambda w: jnp.mean(jax.nn.softplus(-labels * (rows @ w))) + RIDGE / 2 * w @ w


def tables(key):
    """Rows to learn from, standardized, and rows made of the mean and spread of each column in each class."""
    which, noise, coin = jax.random.split(key, 3)
    x, y = breast_cancer()
    chosen = jax.random.choice(which, len(y), (PRIVATE,), replace=False)
    rows, labels = jnp.asarray(x)[chosen], 2.0 * jnp.asarray(y)[chosen] - 1
    rows = (rows - rows.mean(0, keepdims=True)) / rows.std(0, keepdims=True)
    made = jnp.where(jax.random.bernoulli(coin, 0.5, (MADE,)), 1.0, -1.0)
    draws = jax.random.normal(noise, (MADE, rows.shape[1]))

    def like(label):
        there = (labels == label)[:, None]
        mean = jnp.sum(rows * there, 0) / there.sum()
        spread = jnp.sqrt(jnp.sum((rows - mean[None]) ** 2 * there, 0) / there.sum())
        return mean[None] + spread[None] * draws

    return (rows, labels), (jnp.where(made[:, None] > 0, like(1.0), like(-1.0)), made)


def problem():
    rows, labels = tables(jax.random.key(0))[0]
    return Problem(logistic(rows, labels), over=Real(30))


def newton(f, w, steps=12):
    return jax.lax.fori_loop(0, steps, lambda _, w: w - jnp.linalg.solve(jax.hessian(f)(w), jax.grad(f)(w)), w)


def calls(step, gradient):
    """How many gradients of the target until it is small."""

    def go_on(carry):
        w, g, count = carry
        return (count < MOST) & ~(jnp.linalg.norm(g) < GOAL)

    def move(carry):
        w, g, count = carry
        w = step(w, g)
        return w, gradient(w), count + 1

    start = jnp.zeros(30)
    return jnp.log10(jax.lax.while_loop(go_on, move, (start, gradient(start), 1))[2])


def run(key):
    own, made = tables(key)
    target, synthetic = logistic(*own), logistic(*made)
    gradient = jax.grad(target)
    optimum = newton(target, jnp.zeros(30))
    top = lambda f: jnp.max(jnp.stack([jnp.linalg.norm(jax.hessian(f)(w), 2) for w in (0 * optimum, optimum)]))  # noqa: E731

    def proxied(mix):
        proxy = lambda w: (1 - mix) * target(w) + mix * synthetic(w)  # noqa: E731
        delta = top(lambda w: target(w) - proxy(w))

        def step(w, g):
            lean = g - jax.grad(proxy)(w)
            return newton(lambda v: proxy(v) + lean @ v + delta * jnp.sum((v - w) ** 2), w, 6)

        return calls(step, gradient), jnp.linalg.norm(gradient(newton(proxy, 0 * optimum)))

    ours, floor = zip(*map(proxied, MIXES), strict=True)
    descents = [calls(lambda w, g, s=s: w - s / top(target) * g, gradient) for s in (0.5, 1.0, 1.5, 2.0, 3.0)]
    return {"ours": jnp.stack(ours), "naive": jnp.min(jnp.stack(descents))[None], "ablated": jnp.stack(floor)}


def holds(ours, naive):
    return bool(ours.mean() < 0)
