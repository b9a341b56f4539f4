"""Large problems: sparse derivatives, sparse linear algebra, and the certificates that rest on them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from scipy import sparse

import descend
from descend.inspection import certify, curvature, multipliers
from descend.solvers import ipopt, saddle_system
from descend.solvers.flat import Flat
from descend.solvers.sparsity import Sparse


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def controlled(steps, reach=np.pi):
    """A pendulum that is swung up by a bounded torque: 3 variables and 2 equality constraints a step."""
    h = 8.0 / steps

    def defects(x):
        q, v = (jnp.concatenate([jnp.zeros(1), x[name][:-1]]) for name in "qv")
        middle, speed = (q + x["q"]) / 2, (v + x["v"]) / 2
        return jnp.stack([x["q"] - q - h * speed, x["v"] - v - h * (x["u"] - jnp.sin(middle))])

    return descend.Problem(
        lambda x: h / 2 * jnp.sum(x["u"] ** 2),
        over={
            "q": descend.Real(steps),
            "v": descend.Real(steps),
            "u": descend.Real(steps, lower=-0.9, upper=0.9),
        },
        subject_to=[
            descend.equal(defects, 0.0),
            descend.equal(lambda x: jnp.stack([x["q"][-1] - reach, x["v"][-1]]), 0.0, name="end"),
        ],
    )


def heated(side, power=1):
    """A source that heats a square to a wanted temperature: one equality constraint for each point of the grid."""
    h = 1.0 / (side + 1)
    grid = np.arange(1, side + 1) * h
    wanted = np.outer(np.sin(np.pi * grid), np.sin(2 * np.pi * grid))

    def state(x):
        u = jnp.pad(x["u"], 1)
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        return 4 * x["u"] - around + h**2 * (x["u"] ** power - x["f"])

    return descend.Problem(
        lambda x: h**2 / 2 * (jnp.sum((x["u"] - wanted) ** 2) + 1e-4 * jnp.sum(x["f"] ** 2)),
        over={"u": descend.Real((side, side)), "f": descend.Real((side, side), lower=-20.0, upper=20.0)},
        subject_to=[descend.equal(state, 0.0)],
    )


def test_sparse_derivatives_are_the_dense_products():
    flat = Flat(controlled(300))
    known, generator = Sparse.of(flat), np.random.default_rng(0)
    point, weights, directions = (
        generator.normal(size=shape) for shape in (flat.size, flat.constraints, (3, flat.size))
    )
    assert known.jacobian(point) @ directions.T == pytest.approx(flat.slopes(point, directions).T, abs=1e-12)
    assert known.hessian(point, weights) @ directions.T == pytest.approx(
        flat.curve(point, weights, directions).T, abs=1e-12
    )
    assert known.jacobian(point).nnz < 4 * flat.size


def test_a_function_with_a_reverse_rule_only_is_pulled_back_row_by_row():
    square = jax.custom_vjp(lambda x: x**2)
    square.defvjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,))
    problem = descend.Problem(
        lambda x: jnp.sum(x**2),
        descend.Real(600),
        subject_to=[descend.equal(lambda x: square(x[1:]) - x[:-1], 0.0)],
    )
    flat = Flat(problem)
    point = np.random.default_rng(0).normal(size=600)
    expected = sparse.diags_array([-np.ones(599), 2 * point[1:]], offsets=[0, 1], shape=(599, 600))
    assert Sparse.of(flat).jacobian(point).toarray() == pytest.approx(expected.toarray())


def test_no_sparse_derivatives_where_they_do_not_pay():
    assert Sparse.of(Flat(controlled(20))) is None  # small
    whole = descend.Problem(lambda x: jnp.sum(x) ** 4, descend.Real(600))
    assert Sparse.of(Flat(whole)).curved is None


def dependent(generator, n, k):
    """Sparse rows of unit length, the last two of which are the first two."""
    rows = sparse.random_array((k, n), density=0.1, rng=generator) + sparse.eye_array(k, n)
    rows = sparse.csr_array(sparse.vstack([rows, rows[:2]]))
    return sparse.csr_array(sparse.diags_array(1 / np.sqrt(rows.multiply(rows).sum(axis=1))) @ rows)


def test_dependent_rows_are_projected_along():
    generator = np.random.default_rng(0)
    rows, vector = dependent(generator, 60, 20), generator.normal(size=60)
    found, _ = saddle_system.least_norm(rows).solve(vector, np.zeros(22))
    inside = scipy.linalg.null_space(rows.toarray())
    assert found == pytest.approx(inside @ (inside.T @ vector), abs=1e-10)
    values = rows @ vector
    least, _ = saddle_system.least_norm(rows).solve(np.zeros(60), values)
    assert least == pytest.approx(np.linalg.pinv(rows.toarray()) @ values, abs=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_sparse_curvature_agrees_with_the_dense_one(seed):
    generator = np.random.default_rng(seed)
    rows = dependent(generator, 40, 15)
    inside = scipy.linalg.null_space(rows.toarray())
    for least in (1.0, 1e-3, -1e-3, -1.0):
        # Of one sign outside the null space, and with one small eigenvalue inside.
        sizes = np.append(least, np.linspace(1, 2, inside.shape[1] - 1))
        hessian = -3 * (np.eye(40) - inside @ inside.T) + inside @ np.diag(sizes) @ inside.T
        found = curvature.large(sparse.csr_array(hessian), rows, 1e-6, 1e-6)
        assert found is not None
        expected = curvature.dense(hessian, rows.toarray(), 1e-6)
        assert np.sign(found) == np.sign(expected) == np.sign(least)
        assert found >= -1e-6 or least < 0


@pytest.mark.parametrize("seed", range(4))
def test_sparse_multipliers_are_the_dense_ones(seed):
    generator = np.random.default_rng(seed)
    n, k = 50, 24
    normals = dependent(generator, n, k)
    equality = np.arange(k + 2) % 3 == 0
    gaps = np.where(equality | (generator.random(k + 2) < 0.5), 0.0, 1e-4)
    low, high = np.split(generator.random((2 * n,)) < 0.2, 2)
    gradient = generator.normal(size=n)

    def unbalanced(forces):
        rest = multipliers.unbalanced(gradient + forces @ normals, low, high)
        return rest @ rest + np.sum((forces * gaps) ** 2)

    found = multipliers.balance(gradient, normals, equality, gaps, low, high)
    dense = multipliers.balance(gradient, normals.toarray(), equality, gaps, low, high)
    assert np.all(found[~equality] >= 0)
    assert unbalanced(found) == pytest.approx(unbalanced(dense), rel=1e-6, abs=1e-12)


def test_a_large_convex_quadratic_problem_is_proved():
    solution = descend.solve(heated(18), budget=descend.Budget(seconds=30))
    assert solution.status == "optimal", solution.certificate.note
    assert solution.x["f"].max() == pytest.approx(20.0)
    worse = jax.tree.map(lambda leaf: leaf + 1e-3, solution.x)
    assert certify(heated(18), worse).evidence == "none"


@pytest.mark.slow
@pytest.mark.parametrize("native", [True, False], ids=["ipopt", "default"])
@pytest.mark.parametrize("problem", [controlled(1000), heated(30, power=3)], ids=["control", "heat"])
def test_thousands_of_equalities_are_solved_and_certified(problem, native, monkeypatch):
    if native and not ipopt.installed():
        pytest.skip("needs descend[ipopt]")
    monkeypatch.setattr(ipopt, "installed", lambda: native)
    solution = descend.solve(problem, budget=descend.Budget(seconds=60))
    assert solution.status == "local", solution.certificate.note
    assert solution.evaluations < 5000


@pytest.mark.slow
def test_a_thousand_contradictory_equalities_are_named():
    problem = descend.Problem(
        lambda x: jnp.sum((x - 1) ** 4),
        descend.Real(1000),
        subject_to=[
            descend.equal(lambda x: x[1:] - x[:-1], 0.0, name="chain"),
            descend.at_most(lambda x: x[0], 1.0, name="begin"),
            descend.at_least(lambda x: x[-1], 1.5, name="end"),
            descend.at_least(lambda x: x[500], -9.0, name="harmless"),
        ],
    )
    solution = descend.solve(problem, budget=descend.Budget(seconds=60))
    assert solution.status == "infeasible" and solution.conflicts == ["chain", "begin", "end"]
    assert solution.certificate.evidence == "proved"
