"""Train a linear classifier on F1 itself, subject to recall >= 0.9, on a rare class: counts have no gradient.

    descend solve examples/f1.py

The baseline is logistic regression with the threshold that maximizes F1 at that recall on the training rows.
"""

import jax.numpy as jnp
import numpy as np
import scipy.optimize

import descend
from descend.datasets import keel

RECALL = 0.9


def state(train, test):
    """The problem for the training rows of a table; the held-out rows decide nothing."""

    def f1(at, rows=train):
        alarms = rows.x @ at["weights"] > at["threshold"]
        return 2 * jnp.sum(alarms & (rows.y == 1)) / (jnp.sum(alarms) + rows.y.sum())

    def recall(at, rows=train):
        alarms = rows.x @ at["weights"] > at["threshold"]
        return jnp.sum(alarms & (rows.y == 1)) / rows.y.sum()

    logistic = logistic_regression(*train)
    spread = np.std(logistic["weights"])
    return descend.Problem(
        f1,
        over={
            "weights": descend.Real(train.x.shape[1], start=logistic["weights"], scale=spread),
            "threshold": descend.Real(start=logistic["threshold"], scale=spread),
        },
        subject_to=descend.at_least(recall, RECALL),
        sense="max",
        baselines={"logistic regression": logistic},
        metrics={"held-out F1": lambda at: f1(at, test), "held-out recall": lambda at: recall(at, test)},
    )


def logistic_regression(x, y):
    """Weights by maximum likelihood with a small ridge; the threshold tuned on the same rows."""
    loss = lambda w: np.logaddexp(0, (1 - 2 * y) * (x @ w[1:] + w[0])).sum() + 0.5 * w[1:] @ w[1:]  # noqa: E731
    weights = scipy.optimize.minimize(loss, np.zeros(x.shape[1] + 1), method="L-BFGS-B").x[1:]
    score = x @ weights
    cuts = np.sort(score)[:-1] + np.diff(np.sort(score)) / 2
    hits, alarms = np.array([[(score > c)[y == 1].sum(), (score > c).sum()] for c in cuts]).T
    f1 = np.where(hits >= RECALL * y.sum(), 2 * hits / (alarms + y.sum()), -1)
    return {"weights": weights, "threshold": cuts[np.argmax(f1)]}


def problem():
    """Cross-validation fold 0 of a table of yeast proteins, 3 % of them of the class sought."""
    return state(*keel("yeast4"))
