"""AnyLoss: Transforming Classification Metrics into Loss Functions (Han, Moon, Kim, 2024).

A metric such as F1 counts decisions, so it is flat in the weights of the classifier: no gradient. The system puts a steep
sigmoid in place of the threshold and descends one minus the metric of the soft counts.

Setting of the paper's single layer: logistic model from zero, full batch, 1000 steps of gradient descent at 0.1, the same
for every loss. Tables are the imbalanced ones of KEEL with 200 to 550 rows, at most 10 columns and at least 20 rare rows;
each seed draws a new stratified 70/30 split. A cell is a (table, metric) pair, the metrics are F1, G-mean and balanced
accuracy, and what counts is the metric on held-out rows. The baselines are squared error, cross-entropy, class-weighted
cross-entropy, and cross-entropy with its threshold moved to where the metric is best on the training rows. Ablated: the same
soft counts aimed at accuracy in every cell.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid

from descend.datasets import keel, keel_names, keel_rows
from descend.domains import Real
from descend.problem import Problem
from descend.relax import accuracy, balanced_accuracy, confusion, f_beta, g_mean

PAPER = "arXiv:2405.14745"
SYSTEM = 13
WHY = "flat"
CLAIM = "0"
SEEDS = 8
METRICS = (f_beta, g_mean, balanced_accuracy)
THRESHOLDS = np.linspace(0.01, 0.99, 99)


def problem():
    x, y = keel("ecoli3").train

    def f1(w):
        called = jnp.where(x @ w["slope"] + w["offset"] > 0, 1.0, 0.0)
        return 2 * jnp.sum(y * called) / (jnp.sum(y) + jnp.sum(called))

    return Problem(f1, over={"slope": Real(x.shape[1]), "offset": Real()}, sense="max")


def run(key, *, full=False):
    x, y, there = stacked(rows=1500) if full else stacked(rows=700, every=2)
    keys = jax.random.split(key, len(x))
    return jax.tree.map(lambda cells: jnp.moveaxis(cells, 0, 1), jax.vmap(table)(keys, x, y, there))


def holds(ours, naive):
    """Every argument has shape (seeds, baselines or 1, tables, metrics)."""
    return bool((ours - naive).mean() > 0.02)


def table(key, x, y, there):
    """Held-out metrics on one table, each entry of shape (losses or 1, metrics)."""
    train = part(key, y, there, 0.7)
    mean = train @ x / train.sum()
    spread = jnp.sqrt(train @ (x - mean[None]) ** 2 / train.sum())
    x = (x - mean[None]) / jnp.where(spread > 1e-6, spread, 1.0)[None]
    score = lambda w, metric, cut=0.5, rows=there - train: metric(  # noqa: E731
        confusion.hard(sigmoid(x @ w[:-1] + w[-1]), y, threshold=cut, weights=rows)
    )

    def fit(loss):
        gradient = jax.grad(lambda w: loss(sigmoid(x @ w[:-1] + w[-1])))
        return jax.lax.fori_loop(0, 1000, lambda _, w: w - 0.1 * gradient(w), jnp.zeros(x.shape[1] + 1))

    def aimed(metric):
        return fit(lambda p: 1 - metric(confusion(p, y, weights=train)))

    def cross_entropy(weights):
        return lambda p: -weights @ (y * jnp.log(p + 1e-7) + (1 - y) * jnp.log(1 - p + 1e-7)) / weights.sum()

    rare = train @ y / train.sum()
    plain = fit(cross_entropy(train))
    losses = [
        fit(lambda p: train @ (p - y) ** 2 / train.sum()),
        plain,
        fit(cross_entropy(train * jnp.where(y > 0, 1 / rare, 1 / (1 - rare)))),
    ]
    tried = [jax.vmap(lambda cut, m=m: score(plain, m, cut, train))(THRESHOLDS) for m in METRICS]
    moved = [score(plain, m, jnp.asarray(THRESHOLDS)[jnp.argmax(t)]) for m, t in zip(METRICS, tried, strict=True)]
    blunt = aimed(accuracy)
    return {
        "ours": jnp.stack([score(aimed(m), m) for m in METRICS])[None],
        "ablated": jnp.stack([score(blunt, m) for m in METRICS])[None],
        "naive": jnp.stack([*(jnp.stack([score(w, m) for m in METRICS]) for w in losses), jnp.stack(moved)]),
    }


def part(key, y, there, share):
    """A random stratified share of the rows, as zeros and ones."""
    draw = jax.random.uniform(key, y.shape)
    inside = jnp.zeros_like(y)
    for members in (there * y, there * (1 - y)):
        rank = jnp.argsort(jnp.argsort(jnp.where(members > 0, draw, 2.0)))
        inside += members * (rank < share * members.sum())
    return inside


def stacked(rows, every=1):
    """Tables of at most so many rows, padded to one: arrays (tables, rows, columns), (tables, rows) and a mask of rows."""
    found = [r for r in map(keel_rows, keel_names()) if 10 <= r.y.sum() and len(r.y) <= rows and r.x.shape[1] <= 20]
    found = found[::every]
    shape = len(found), max(len(r.y) for r in found), max(r.x.shape[1] for r in found)
    x, y, there = np.zeros(shape), np.zeros(shape[:2]), np.zeros(shape[:2])
    for i, r in enumerate(found):
        x[i, : len(r.y), : r.x.shape[1]] = r.x / np.abs(r.x).max(0)
        y[i, : len(r.y)], there[i, : len(r.y)] = r.y, 1.0
    return x, y, there
