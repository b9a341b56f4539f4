"""Train a linear classifier on F1 itself, subject to recall >= 0.9, on a rare class: counts have no gradient.

    descend solve examples/f1.py

The baseline is logistic regression with the threshold that maximizes F1 at that recall on the training folds.
"""

import jax.numpy as jnp
import numpy as np
import scipy.optimize

import descend
from descend.datasets import keel

TABLE = "yeast4"
RECALL = 0.9


def state(table):
    """The problem for a table of training and held-out folds."""
    (x, y), held_out = table

    def rates(at, rows):
        alarms = rows[0] @ at["weights"] > at["threshold"]
        hits = jnp.sum(alarms & (rows[1] == 1))
        return {"f1": 2 * hits / (jnp.sum(alarms) + rows[1].sum()), "recall": hits / rows[1].sum()}

    def f1(at):
        return rates(at, (x, y))["f1"]

    def recall(at):
        return rates(at, (x, y))["recall"]

    logistic = logistic_regression(x, y)
    spread = np.std(logistic["weights"])
    return descend.Problem(
        f1,
        over={
            "weights": descend.Real(x.shape[1], start=logistic["weights"], scale=spread),
            "threshold": descend.Real(start=logistic["threshold"], scale=spread),
        },
        subject_to=descend.at_least(recall, RECALL),
        sense="max",
        baselines={"logistic regression": logistic},
        metrics={
            "held-out F1": lambda at: rates(at, held_out)["f1"],
            "held-out recall": lambda at: rates(at, held_out)["recall"],
        },
    )


def logistic_regression(x, y):
    """Weights by maximum likelihood with a small ridge; the threshold tuned on the same rows."""
    sign = 2 * y - 1
    loss = lambda w: np.logaddexp(0, -sign * (x @ w[1:] + w[0])).sum() + 0.5 * w[1:] @ w[1:]  # noqa: E731
    weights = scipy.optimize.minimize(loss, np.zeros(x.shape[1] + 1), method="L-BFGS-B").x[1:]
    score = x @ weights
    cuts = np.sort(score)[:-1] + np.diff(np.sort(score)) / 2
    hits, alarms = np.array([[(score > c)[y == 1].sum(), (score > c).sum()] for c in cuts]).T
    f1 = np.where(hits >= RECALL * y.sum(), 2 * hits / (alarms + y.sum()), -1)
    return {"weights": weights, "threshold": cuts[np.argmax(f1)]}


def problem():
    return state(keel(TABLE))
