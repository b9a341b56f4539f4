"""Soft confusion counts against enumeration, the paper's closed forms, finite differences and the hard limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend.relax import Counts, accuracy, balanced_accuracy, confusion, f_beta, g_mean, mcc

METRICS = (accuracy, f_beta, g_mean, balanced_accuracy, mcc)
RANDOM = np.random.default_rng(0)
P = RANDOM.uniform(0.02, 0.98, 40)
Y = (RANDOM.uniform(size=40) < 0.3).astype(float)


def test_hard_counts_are_those_of_a_loop():
    expected = {(1, 1): 0, (1, 0): 0, (0, 1): 0, (0, 0): 0}
    for p, y in zip(P, Y, strict=True):
        expected[int(p > 0.4), int(y)] += 1
    assert Counts(*map(float, confusion.hard(P, Y, threshold=0.4))) == (
        expected[1, 1],
        expected[1, 0],
        expected[0, 1],
        expected[0, 0],
    )


def test_soft_counts_add_up_and_their_margins_are_exact():
    tp, fp, fn, tn = confusion(P, Y, temperature=0.1)
    np.testing.assert_allclose([tp + fn, fp + tn], [Y.sum(), (1 - Y).sum()], rtol=1e-12)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_metrics_of_soft_counts_are_the_closed_forms_of_the_paper(beta):
    a = 1 / (1 + np.exp(-73 * (P - 0.5)))
    n, positive, called, hits = len(P), Y.sum(), a.sum(), (Y * a).sum()
    counts = confusion(P, Y)
    np.testing.assert_allclose(accuracy(counts), (n - positive - called + 2 * hits) / n, rtol=1e-12)
    np.testing.assert_allclose(f_beta(counts, beta), (1 + beta**2) * hits / (beta**2 * positive + called), rtol=1e-12)
    g = np.sqrt(hits * (n - called - positive + hits) / (positive * (n - positive)))
    np.testing.assert_allclose(g_mean(counts), g, rtol=1e-12)
    balanced = (n * (hits + positive) - positive * (called + positive)) / (2 * positive * (n - positive))
    np.testing.assert_allclose(balanced_accuracy(counts), balanced, rtol=1e-12)


def test_mcc_is_the_correlation_of_decisions_with_classes():
    decided = (P > 0.5).astype(float)
    np.testing.assert_allclose(mcc(confusion.hard(P, Y)), np.corrcoef(decided, Y)[0, 1], rtol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_gradients_are_those_of_finite_differences(metric):
    """G-mean too, whose gradient in the authors' code is four times as large."""
    loss = jax.jit(lambda p: metric(confusion(p, Y, temperature=0.05)))
    direction, step = RANDOM.normal(size=40), 1e-6
    difference = (loss(P + step * direction) - loss(P - step * direction)) / (2 * step)
    np.testing.assert_allclose(jax.grad(loss)(P) @ direction, difference, rtol=1e-6)
    assert abs(difference) > 1e-3


@pytest.mark.parametrize("metric", METRICS)
def test_hard_metrics_are_flat_and_soft_ones_tend_to_them(metric):
    hard = lambda p: metric(confusion.hard(p, Y))  # noqa: E731
    assert not jax.grad(hard)(P).any()
    gaps = [abs(metric(confusion(P, Y, temperature=t)) - hard(P)) for t in (0.1, 0.01, 0.0001)]
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 1e-4


@pytest.mark.parametrize("temperature", [0.3, 1 / 73, 1e-3])
def test_the_gap_bounds_every_count_and_is_attained(temperature):
    bound = confusion.gap(P, temperature=temperature)
    for y in (Y, np.ones(40), np.zeros(40)):
        soft, hard = confusion(P, y, temperature=temperature), confusion.hard(P, y)
        off = [abs(s - h) for s, h in zip(soft, hard, strict=True)]
        assert max(off) <= bound * (1 + 1e-12) + 1e-12
    above, ones = np.where(P > 0.5, P, 1 - P), np.ones(40)
    off = abs(confusion(above, ones, temperature=temperature)[0] - confusion.hard(above, ones)[0])
    np.testing.assert_allclose(off, confusion.gap(above, temperature=temperature), rtol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("y", [np.zeros(40), np.ones(40)])
def test_a_batch_of_one_class_gives_a_finite_value_and_gradient(metric, y):
    value, gradient = jax.value_and_grad(lambda p: metric(confusion(p, y)))(P)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    assert np.isfinite(metric(confusion.hard(P, y)))


def test_means_of_rates_leave_an_absent_class_out():
    specificity = (P <= 0.5).mean()
    counts = confusion.hard(P, np.zeros(40))
    np.testing.assert_allclose([balanced_accuracy(counts), g_mean(counts)], specificity)
    assert f_beta(counts) == 0 and mcc(counts) == 0


def test_nothing_called_and_no_samples_give_zero_without_nan():
    for counts in (Counts(0.0, 0.0, 3.0, 5.0), Counts(0.0, 0.0, 0.0, 0.0)):
        for metric in (f_beta, mcc, g_mean):
            value, gradient = jax.value_and_grad(lambda c, m=metric: m(c))(Counts(*map(jnp.asarray, counts)))
            assert value == 0 and all(np.isfinite(g) for g in gradient)


def test_padded_rows_do_not_count():
    there = np.r_[np.ones(30), np.zeros(10)]
    for count, expected in zip(confusion(P, Y, weights=there), confusion(P[:30], Y[:30]), strict=True):
        np.testing.assert_allclose(count, expected)
    for count, expected in zip(confusion.hard(P, Y, weights=there), confusion.hard(P[:30], Y[:30]), strict=True):
        np.testing.assert_allclose(count, expected)


def test_float32_keeps_small_counts_of_errors_and_huge_tables():
    p = np.array([1.0, 1.0, 0.0], np.float32)
    fn = confusion(p, np.array([1, 1, 0])).false_negative
    assert fn.dtype == jnp.float32
    np.testing.assert_allclose(fn, 2 / (1 + np.exp(36.5)), rtol=1e-5)  # one minus a float32 sigmoid would be 0
    huge = Counts(*(jnp.float32(c) for c in (3e9, 1e9, 2e9, 4e9)))
    np.testing.assert_allclose(mcc(huge), 1e19 / np.sqrt(4e9 * 5e9 * 5e9 * 6e9), rtol=1e-5)


def test_it_works_under_jit_and_vmap():
    batch = np.stack([P, 1 - P])
    counts = jax.jit(jax.vmap(lambda p: confusion(p, Y)))(batch)
    assert f_beta(counts).shape == (2,)
    np.testing.assert_allclose(f_beta(counts)[1], f_beta(confusion(1 - P, Y)))
