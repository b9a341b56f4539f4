"""Slices of the landscape against the function itself."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from descend.inspection.landscape import slices


def test_slices_follow_the_variables_of_a_small_problem():
    problem = descend.Problem(
        lambda v: (v["a"] - 1) ** 2 + jnp.sum(v["b"] ** 4),
        over={"a": descend.Real(scale=2.0), "b": descend.Real(2)},
        sense="max",
    )
    found = slices(problem, {"a": np.array(1.0), "b": np.zeros(2)})
    assert [cut.name for cut in found] == ["a", "b[0]", "b[1]"]
    np.testing.assert_allclose(found[0].values, (2 * found[0].steps) ** 2)
    np.testing.assert_allclose(found[1].values, found[1].steps ** 4)


def test_points_outside_the_domain_are_missing():
    problem = descend.Problem(lambda x: jnp.sum(x), over=descend.Real(2, 0.0, 1.0))
    cut = slices(problem, np.array([0.9, 0.5]))[0]
    assert np.isnan(cut.values[cut.steps > 0.21]).all() and np.isfinite(cut.values[abs(cut.steps) < 0.19]).all()


def test_a_random_objective_is_averaged_and_a_black_box_left_alone():
    noisy = descend.Problem(lambda x, *, key: jnp.sum(x**2) + jax.random.normal(key), over=descend.Real(5))
    found = slices(noisy, np.zeros(5))
    assert len(found) == 3
    for cut in found:
        np.testing.assert_allclose(cut.values - cut.values[30], 5 * cut.steps**2, atol=1e-9)
    assert slices(descend.Problem(lambda x: float(np.sum(np.asarray(x))), over=descend.Real(2)), np.zeros(2)) == []
