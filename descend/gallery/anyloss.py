"""AnyLoss: Transforming Classification Metrics into Loss Functions (Han, Moon, Kim, 2024).

A metric such as F1 counts decisions, so it is flat in the weights of the classifier: no gradient. The system puts a
steep sigmoid in place of the threshold and descends one minus the metric of the soft counts.

Setting of the paper's single layer: logistic model from zero, full batch, 1000 steps of gradient descent at 0.1, for
every loss. Every second of KEEL's imbalanced tables with at most 700 rows and 20 columns and at least 10 rare rows
(23 tables; full: all 67 up to 1500 rows); a seed draws a new stratified 70/30 split of each. A cell is a table and a
metric, out of F1, G-mean and balanced accuracy, judged on held-out rows. Baselines: squared error, cross-entropy,
class-weighted cross-entropy, and cross-entropy whose threshold is then moved to where the metric is best on the
training rows. Ablated: the same soft counts aimed at accuracy in every cell. The effect is the mean over all of them.

A win in 4 cells of 5 over the first two, as published, is borderline: 71 to 83 % here by seeds and precision, 78 and
80 % in the full run. A moved threshold does as well, better for F1. Where 20 rows are rare, gains are about 0.05.
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
CLAIM = (
    "aimed at F1, G-mean or balanced accuracy it beats squared error and cross-entropy by 0.08 and in 6 cells of 10, "
    "class-weighted cross-entropy by 0.02 in F1, and cross-entropy with a moved threshold not at all (within 0.03)"
)
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
    gain = (ours - naive).mean((0, 2))  # (seeds, baselines or 1, tables, metrics) -> (baselines, metrics)
    won = ((ours - naive).mean(0) > 0).mean((1, 2))
    return bool(
        gain[:2].mean(1).min() > 0.08 and won[:2].min() > 0.6 and gain[2, 0] > 0.02 and abs(gain[3].mean()) < 0.03
    )


def table(key, x, y, there):
    """Held-out metrics on one table, each entry of shape (losses or 1, metrics)."""
    train = part(key, y, there, 0.7)
    mean = train @ x / train.sum()
    spread = jnp.sqrt(train @ (x - mean[None]) ** 2 / train.sum())
    x = (x - mean[None]) / jnp.where(spread > 1e-6, spread, 1.0)[None]

    def score(w, metric, cut, rows):
        return metric(confusion.hard(sigmoid(x @ w[:-1] + w[-1]), y, threshold=cut, weights=rows))

    def judged(w):
        return jnp.stack([score(w, m, 0.5, there - train) for m in METRICS])

    def fit(loss):
        gradient = jax.grad(lambda w: loss(sigmoid(x @ w[:-1] + w[-1])))
        return jax.lax.fori_loop(0, 1000, lambda _, w: w - 0.1 * gradient(w), jnp.zeros(x.shape[1] + 1))

    def aimed(metric):
        return fit(lambda p: 1 - metric(confusion(p, y, weights=train)))

    def cross_entropy(weights):
        return lambda p: -weights @ (y * jnp.log(p + 1e-7) + (1 - y) * jnp.log(1 - p + 1e-7)) / weights.sum()

    squares = fit(lambda p: train @ (p - y) ** 2 / train.sum())
    plain = fit(cross_entropy(train))
    weighted = fit(cross_entropy(train * (y / (train @ y) + (1 - y) / (train @ (1 - y)))))

    def moved(metric):
        values = jax.vmap(lambda cut: score(plain, metric, cut, train))(THRESHOLDS)
        return score(plain, metric, jnp.take(THRESHOLDS, jnp.argmax(values)), there - train)

    return {
        "ours": jnp.stack([score(aimed(m), m, 0.5, there - train) for m in METRICS])[None],
        "ablated": judged(aimed(accuracy))[None],
        "naive": jnp.stack([*map(judged, (squares, plain, weighted)), jnp.stack([*map(moved, METRICS)])]),
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
    """Tables of at most so many rows, padded: arrays (tables, rows, columns), (tables, rows) and a mask of rows."""
    fits = lambda r: r.y.sum() >= 10 and len(r.y) <= rows and r.x.shape[1] <= 20  # noqa: E731
    found = list(filter(fits, map(keel_rows, keel_names())))[::every]
    shape = len(found), max(len(r.y) for r in found), max(r.x.shape[1] for r in found)
    x, y, there = np.zeros(shape), np.zeros(shape[:2]), np.zeros(shape[:2])
    for i, r in enumerate(found):
        x[i, : len(r.y), : r.x.shape[1]] = r.x / np.abs(r.x).max(0)
        y[i, : len(r.y)], there[i, : len(r.y)] = r.y, 1.0
    return x, y, there
