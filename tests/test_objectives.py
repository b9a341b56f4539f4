"""Several objectives: UPGrad against quadratic programs, Pareto stationarity, fronts against exact ones."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import descend
from descend.inspection import certify
from descend.optimizers import combine, upgrad
from descend.reporting.record import load, write
from descend.solution import pareto


def projected(jacobian, weights, ridge):
    """UPGrad by a nonnegative least-squares solver on the Cholesky factor of the regularized Gramian."""
    gramian = jacobian @ jacobian.T
    factor = np.linalg.cholesky(gramian / np.trace(gramian) + ridge * np.eye(len(jacobian))).T
    total = np.zeros(len(jacobian))
    for index, weight in enumerate(weights):
        base = weight * np.eye(len(jacobian))[index]
        total += base + scipy.optimize.nnls(factor, -factor @ base)[0]
    return total @ jacobian


SHAPES = [(2, 3), (3, 3), (5, 2), (5, 10), (16, 40)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_upgrad_is_the_mean_of_projections(shape):
    generator = np.random.default_rng(shape[0])
    aggregate = jax.jit(lambda j: upgrad(j, ridge=1e-4))
    for _ in range(5):
        jacobian = generator.normal(size=shape) * 10.0 ** generator.normal(size=(shape[0], 1))
        truth = projected(jacobian, np.full(shape[0], 1 / shape[0]), 1e-4)
        np.testing.assert_allclose(aggregate(jacobian), truth, atol=1e-9 * abs(truth).max())
        narrow = aggregate(jnp.asarray(jacobian, jnp.float32))
        np.testing.assert_allclose(narrow, truth, atol=1e-4 * abs(truth).max())


def test_upgrad_has_its_three_properties():
    generator = np.random.default_rng(0)
    for _ in range(20):
        jacobian = generator.normal(size=(3, 6))
        direction = np.asarray(upgrad(jnp.asarray(jacobian)))
        assert np.all(jacobian @ direction >= -1e-8)  # it conflicts with no gradient
        coefficients = np.linalg.lstsq(jacobian.T, direction, rcond=None)[0]
        np.testing.assert_allclose(coefficients @ jacobian, direction, atol=1e-10)  # it lies in their span
        # Linear under scaling of the rows: among nonnegative scalings, UPGrad(diag(c) J) is linear in c.
        first, second = generator.uniform(0.1, 1, (2, 3, 1))
        scaled = [np.asarray(upgrad(jnp.asarray(c * jacobian), ridge=1e-13)) for c in (first, second, first + second)]
        np.testing.assert_allclose(scaled[0] + scaled[1], scaled[2], atol=1e-6)


def test_the_mean_conflicts_where_upgrad_does_not():
    jacobian = np.array([[1.0, 0.2], [-0.2, 0.01]])
    assert np.min(jacobian @ jacobian.mean(0)) < 0 <= np.min(jacobian @ np.asarray(upgrad(jacobian))) + 1e-9


def test_upgrad_takes_trees_and_vanishing_gradients():
    tree = {"a": jnp.ones((2, 3)), "b": jnp.zeros((2, 2, 2))}
    assert jax.tree.map(jnp.shape, upgrad(tree)) == {"a": (3,), "b": (2, 2)}
    np.testing.assert_array_equal(upgrad(jnp.zeros((3, 4))), np.zeros(4))
    np.testing.assert_allclose(upgrad(jnp.ones((1, 2))), np.ones(2))
    assert np.all(np.isfinite(combine(jnp.zeros((2, 2)))))


def two(x):
    return {"near": jnp.sum((x - 1) ** 2), "steep": jnp.sum((x + 1) ** 2 * jnp.arange(1.0, 4.0))}


def quick(problem, **settings):
    return descend.solve(problem, progress=False, budget=descend.Budget(seconds=60), **settings)


def test_a_point_is_optimal_and_nowhere_worse_than_the_start(tmp_path):
    start = np.array([0.9, 0.5, -0.9])
    problem = descend.Problem(two, over=descend.Real(3, start=start))
    solution = quick(problem)
    assert solution.status == "optimal" and set(solution.value) == {"near", "steep"}
    assert all(solution.value[name] <= two(start)[name] + 1e-9 for name in solution.value)
    # For these quadratics the optimum for weights (a, 1 - a) is known, entry by entry.
    weights = solution.certificate.weights
    share = weights["near"] / (weights["near"] + weights["steep"])
    pull = (1 - share) * np.arange(1.0, 4.0)
    np.testing.assert_allclose(solution.x, (share - pull) / (share + pull), atol=1e-5)
    assert "conflicting" in solution.findings.words
    assert "no objective falls without another rising" in str(solution)
    write(solution, tmp_path)
    assert load(tmp_path).value == solution.value


def test_a_point_that_can_be_improved_in_both_is_not_certified():
    problem = descend.Problem(two, over=descend.Real(3))
    assert certify(problem, np.array([0.5, 0.5, -0.5])).evidence == "none"
    assert certify(problem, np.ones(3)).evidence == "proved"  # the optimum of one of them alone


def test_a_concave_front_is_certified_where_no_weighted_sum_has_a_minimum():
    problem = descend.Problem(
        lambda x: {"a": 1 - jnp.exp(-jnp.sum((x - 0.5) ** 2)), "b": 1 - jnp.exp(-jnp.sum((x + 0.5) ** 2))},
        over=descend.Real(2, -3.0, 3.0),
    )
    for t in (-0.3, 0.0, 0.2):
        assert certify(problem, np.array([t, t])).evidence == "local"
        assert certify(problem, np.array([t, t + 0.1])).evidence == "none"


def test_weights_make_one_objective_of_several():
    problem = descend.Problem(two, over=descend.Real(3), weights={"near": 1.0, "steep": 3.0})
    solution = quick(problem)
    pull = 3 * np.arange(1.0, 4.0)
    assert solution.status == "optimal"
    np.testing.assert_allclose(solution.x, (1 - pull) / (1 + pull), atol=1e-6)


def test_bad_statements_are_refused_in_a_line():
    for make, word in [
        (lambda: descend.Problem(two, descend.Real(3), weights={"near": 1.0}), "the objective returned"),
        (lambda: descend.Problem(two, descend.Real(3), weights={"near": -1.0, "steep": 1.0}), "not negative"),
        (lambda: descend.Problem(lambda x: jnp.sum(x), descend.Real(3), weights={"a": 1.0}), "returns a dict"),
        (lambda: descend.front(descend.Problem(lambda x: jnp.sum(x**2), descend.Real(3))), "dict of named values"),
        (lambda: descend.front(descend.Problem(two, descend.Real(3)), 1), "at least 2 points"),
        (lambda: descend.Problem(lambda x: {"a": x, "b": jnp.sum(x)}, descend.Real(3)), "objective 'a'"),
    ]:
        with pytest.raises((TypeError, ValueError), match=word):
            make()


def test_black_boxes_name_their_objectives_with_weights():
    def outside(x):
        return {"a": float(x[0] ** 2), "b": float((x[1] - 1) ** 2)}

    problem = descend.Problem(outside, descend.Real(2, -2.0, 2.0), weights={"a": 1.0, "b": 1.0}, black_box=True)
    evaluation = problem.evaluate(np.array([1.0, 3.0]))
    assert evaluation.loss == 5.0 and problem.named(evaluation) == {"a": 1.0, "b": 4.0}


def test_dominance_and_volume_by_enumeration():
    generator = np.random.default_rng(1)
    for objectives in (2, 3):
        values = generator.integers(0, 5, (12, objectives)).astype(float)
        kept = pareto.nondominated(values)
        for i in range(len(values)):
            others = [v for j, v in enumerate(values) if j != i]
            beaten = any(np.all(v <= values[i]) and np.any(v < values[i]) for v in others)
            assert beaten <= (not kept[i])
        cells = itertools.product(range(6), repeat=objectives)
        volume = sum(any(np.all(v <= cell) for v in values) for cell in map(np.array, cells))
        assert pareto.hypervolume(values, np.full(objectives, 6.0)) == volume


def test_lattices_spread():
    for objectives, count in [(2, 5), (3, 10), (4, 4)]:
        weights = pareto.lattice(count, objectives)
        assert weights.shape == (count, objectives) and len(np.unique(weights.round(9), axis=0)) == count
        np.testing.assert_allclose(weights.sum(1), 1)


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["convex", "concave"])
def test_fronts_are_exact_and_spread(shape):
    """ZDT1 and ZDT2 (Zitzler, Deb and Thiele, 2000), from f1 = 1e-4 on, where their roots are smooth."""

    def height(f, g):
        return g * (1 - jnp.sqrt(f / g)) if shape == "convex" else g * (1 - (f / g) ** 2)

    def objectives(x):
        g = 1 + 9 * jnp.mean(x[1:])
        return {"f1": x[0], "f2": height(x[0], g)}

    lower = np.array([1e-4, 0, 0, 0, 0])
    found = descend.front(descend.Problem(objectives, descend.Real(5, lower, 1.0)), 9)
    f1, f2 = found.values.T
    assert len(f1) >= 8 and all(solution.status == "local" for solution in found.solutions)
    np.testing.assert_allclose(f2, np.asarray(height(f1, 1.0)), atol=1e-4)
    best = np.linspace(1e-4, 1, 200_001)
    area = np.trapezoid(1.1 - np.asarray(height(best, 1.0)), best) + 0.1 * 1.1
    grid = np.linspace(1e-4, 1, 9)
    even = pareto.hypervolume(np.stack([grid, np.asarray(height(grid, 1.0))], 1), np.full(2, 1.1))
    assert 0.97 * even <= found.hypervolume({"f1": 1.1, "f2": 1.1}) <= area
