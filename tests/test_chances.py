"""Chance constraints against closed forms, judged on fresh draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import descend


def quick(problem, **settings):
    return descend.solve(problem, progress=False, budget=descend.Budget(seconds=60), **settings)


def load(x, *, key):
    return x[0] * (1 + 0.2 * jax.random.normal(key))


@pytest.mark.slow
def test_a_gaussian_load_has_a_closed_form():
    problem = descend.Problem(
        lambda x: x[0], descend.Real(1, 0.0, 5.0), [descend.at_most(load, 1.0, probability=0.95)], sense="max"
    )
    assert not problem.random and "with probability 0.95" in repr(problem)
    solution = quick(problem)
    exact = 1 / (1 + 0.2 * norm.ppf(0.95))
    assert solution.usable and "holds with probability" in solution.message
    # The quantile of 1000 draws is known to one part in a hundred; the level asked of it is on the safe side.
    assert 0.97 * exact < solution.value < 1.005 * exact
    truth = norm.cdf((1 / solution.value - 1) / 0.2)
    found = solution.rows[0].metrics["P(load)"]
    assert abs(found - truth) < 4 * np.sqrt(truth * (1 - truth) / 20_000) and found > 0.945


def test_without_a_probability_the_mean_counts():
    problem = descend.Problem(lambda x: -x[0], descend.Real(1, 0.0, 5.0), [descend.at_most(load, 1.0)])
    assert problem.random and problem.subject_to[0].chance is None


def test_all_entries_hold_at_once():
    """Two independent entries: each must hold with the root of the probability."""

    def both(x, *, key):
        return x + jax.random.normal(key, (2,))

    constraint = descend.at_least(both, 0.0, probability=0.9)
    x = norm.ppf(np.sqrt(0.9))
    keys = jax.random.split(jax.random.key(1), 20_000)
    share = np.mean(np.asarray(constraint.chance.residuals(jnp.full(2, x), keys)) <= 0)
    assert abs(share - 0.9) < 4 * np.sqrt(0.09 / 20_000)
    # The quantile changes sign where the probability is met, a little on the safe side.
    value = lambda x: float(constraint.function(jnp.full(2, x)))  # noqa: E731
    assert value(x - 0.1) > 0 > value(x + 0.25)


def test_a_chance_that_fresh_draws_refute_is_not_usable():
    from descend.engine.chances import held

    problem = descend.Problem(lambda x: x[0], descend.Real(1), [descend.at_most(load, 1.0, probability=0.95)])
    (found,) = held(problem, np.array([0.9]), jax.random.key(0))
    truth = norm.cdf((1 / 0.9 - 1) / 0.2)
    assert found.low < truth < found.high < found.asked


def test_black_boxes_loop_on_the_host():
    def outside(x, *, key):
        return float(x[0]) * (1 + 0.2 * np.random.default_rng(key).normal())

    constraint = descend.at_most(outside, 1.0, probability=0.9)
    problem = descend.Problem(lambda x: float(x[0]), descend.Real(1), [constraint], black_box=True)
    value = float(problem.evaluate(np.array([0.7])).constraints[0])
    assert abs(value - (0.7 * (1 + 0.2 * norm.ppf(0.919)) - 1)) < 0.03


def test_the_gradient_of_the_quantile_is_its_derivative():
    constraint = descend.at_most(load, 1.0, probability=0.95)
    function = lambda x: constraint.function(jnp.reshape(x, 1))  # noqa: E731
    slope = (function(0.8 + 1e-6) - function(0.8 - 1e-6)) / 2e-6
    assert float(jax.grad(function)(0.8)) == pytest.approx(float(slope), rel=1e-6)
