"""The confusion matrix of a thresholded classifier, softened, and the metrics that are functions of it.

Counting decisions is flat: a small change of a score moves no decision. A steep sigmoid in place of the threshold makes
the four counts smooth functions of the scores, and with them every metric of the counts.

Source: Han, Moon, Kim, "AnyLoss: Transforming Classification Metrics into Loss Functions", 2024 (arXiv:2405.14745),
whose amplifying function is `sigmoid(73 (p - 1/2))`: a temperature of 1/73.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Counts(NamedTuple):
    """How many samples of either class are called either way: float scalars, or arrays of equal shape.

    Attributes:
        true_positive, false_positive, false_negative, true_negative: sums of weights, not negative.
    """

    true_positive: Any
    false_positive: Any
    false_negative: Any
    true_negative: Any


class Confusion:
    """Soft counts: `confusion(p, y)`.

    `Confusion()` is available as `descend.relax.confusion`; `.hard` counts decisions, and `.gap` bounds the distance.
    """

    def __call__(
        self, p: Any, y: Any, *, temperature: Any = 1 / 73, threshold: Any = 0.5, weights: Any = None
    ) -> Counts:
        """Counts with `sigmoid((p - threshold) / temperature)` in place of `p > threshold`.

        The gradient is that of the soft counts. The complement is computed as a sigmoid of the opposite sign: in
        float32, one minus a sigmoid rounds to 0 far from the threshold, and a small count of errors with it.

        Args:
            p: scores, float, shape (samples,); probabilities if the threshold is 1/2.
            y: classes, 0 or 1 (soft labels in between are allowed), shape (samples,).
            temperature: width of the step, in units of `p`, positive; the counts tend to the hard ones with it to 0.
            threshold: the score above which a sample is called positive.
            weights: one weight a sample, not negative (0 leaves a padded row out). Default: 1.

        Returns:
            Scalars that add up to the sum of the weights.
        """
        margin = (p - threshold) / temperature
        return _count(jax.nn.sigmoid(margin), jax.nn.sigmoid(-margin), y, weights)

    def hard(self, p: Any, y: Any, *, threshold: Any = 0.5, weights: Any = None) -> Counts:
        """The counts of the decisions `p > threshold`; flat in `p`. Arguments as for the soft counts."""
        called = jnp.asarray(p > threshold, jnp.result_type(p, float))
        return _count(called, 1 - called, y, weights)

    def gap(self, p: Any, *, temperature: Any = 1 / 73, threshold: Any = 0.5, weights: Any = None) -> Any:
        """How far each soft count can be from its hard twin, whatever the classes: a scalar.

        A score at the threshold is half a count off at any temperature, so the worst case over scores is half the
        samples; this is the worst case over classes at the scores given, and attained when all are of one class and
        on one side of the threshold.
        """
        off = jax.nn.sigmoid(-abs(p - threshold) / temperature)
        return jnp.sum(off if weights is None else off * weights)


confusion = Confusion()


def _count(called: Any, spared: Any, y: Any, weights: Any) -> Counts:
    positive = jnp.asarray(y, called.dtype)
    negative = 1 - positive
    if weights is not None:
        positive, negative = positive * weights, negative * weights
    return Counts(
        jnp.sum(positive * called), jnp.sum(negative * called), jnp.sum(positive * spared), jnp.sum(negative * spared)
    )


def accuracy(counts: Counts) -> Any:
    """The share of right decisions, in [0, 1]; 0 without samples."""
    tp, fp, fn, tn = counts
    return _ratio(tp + tn, tp + fp + fn + tn)


def f_beta(counts: Counts, beta: float = 1.0) -> Any:
    """(1 + beta^2) TP / ((1 + beta^2) TP + beta^2 FN + FP), in [0, 1]; 0 where nothing is or is called positive."""
    tp, fp, fn, _ = counts
    square = beta * beta
    return _ratio((1 + square) * tp, (1 + square) * tp + square * fn + fp)


def g_mean(counts: Counts) -> Any:
    """The geometric mean of sensitivity and specificity, in [0, 1]. A class without samples is left out."""
    sensitivity, specificity = _rates(counts)
    return _root(sensitivity * specificity)


def balanced_accuracy(counts: Counts) -> Any:
    """The mean of sensitivity and specificity, in [0, 1]. A class without samples is left out."""
    sensitivity, specificity = _rates(counts)
    return (sensitivity + specificity) / 2


def mcc(counts: Counts) -> Any:
    """Matthews' correlation coefficient, in [-1, 1]; 0 where a class is absent or never called.

    Counts are divided by their sum first: the product of four of them would overflow float32 at a billion samples.
    """
    total = sum(counts)
    tp, fp, fn, tn = (_ratio(count, total) for count in counts)
    spread = _root((tp + fp) * (fn + tn)) * _root((tp + fn) * (fp + tn))
    return _ratio(tp * tn - fp * fn, spread)


def _rates(counts: Counts) -> tuple[Any, Any]:
    """Sensitivity and specificity. The rate of an absent class is taken to be the other's, so that means ignore it."""
    tp, fp, fn, tn = counts
    sensitivity, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    return (
        jnp.where(tp + fn > 0, sensitivity, specificity),
        jnp.where(tn + fp > 0, specificity, sensitivity),
    )


def _ratio(over: Any, under: Any) -> Any:
    """over / under, and 0 with gradient 0 where `under` is 0."""
    there = under > 0
    return jnp.where(there, over / jnp.where(there, under, 1), 0)


def _root(value: Any) -> Any:
    """The square root, with gradient 0 rather than infinity at 0."""
    there = value > 0
    return jnp.where(there, jnp.sqrt(jnp.where(there, value, 1)), 0)
