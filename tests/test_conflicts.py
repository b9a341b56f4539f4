"""Problems without an answer, as users meet them: which constraints conflict, and that nothing limits the loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.sparse.linalg
from scipy import sparse

import descend
from descend.check.check import verify
from descend.inspection import conflict
from descend.inspection.recession import recession
from descend.reporting.record import record
from descend.solvers.flat import Flat


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def wrong(problem, solution):
    return {line.what for line in verify(problem, solution, record(solution)) if not line.ok}


def many_equalities(count, repeated, size, off=0.0, seed=0):
    """Sparse equalities, and combinations of two of them: dependent, or, with `off`, one of them contradictory."""
    rng = np.random.default_rng(seed)
    columns = np.stack([rng.choice(size, 3, replace=False) for _ in range(count)])
    entries = rng.normal(size=(count, 3))
    one, two = rng.integers(0, count, (2, repeated))
    both = np.concatenate([columns[one], columns[two]], axis=1)
    mixed = np.concatenate([entries[one], -0.5 * entries[two]], axis=1)
    x = rng.uniform(0.2, 1, size)
    target = np.sum(entries * x[columns], axis=1)
    combined = target[one] - 0.5 * target[two]
    combined[7] += off
    stated = [
        descend.equal(lambda x: jnp.sum(entries * x[columns], axis=1), target, name="rows"),
        descend.equal(lambda x: jnp.sum(mixed * x[both], axis=1), combined, name="combined"),
    ]
    matrix = sparse.lil_array((count + repeated, size))
    for index, (where, what) in enumerate([*zip(columns, entries, strict=True), *zip(both, mixed, strict=True)]):
        for column, entry in zip(where, what, strict=True):
            matrix[index, column] += entry
    middle = rng.normal(size=size)
    problem = descend.Problem(lambda x: jnp.sum((x - middle) ** 2), descend.Real(size), stated)
    return problem, sparse.csr_array(matrix), np.concatenate([target, combined]), middle


def solvable(matrix, target, rows):
    """Whether linear equalities have a solution, by the residual of least squares."""
    chosen = matrix[rows].toarray()
    x = np.linalg.lstsq(chosen, target[rows], rcond=None)[0]
    return np.max(abs(chosen @ x - target[rows]), initial=0.0) < 1e-9


def test_contradictory_equalities_are_named_by_entry_and_none_can_be_left_out():
    problem, matrix, target, _ = many_equalities(40, 10, 70, off=1.0)
    solution = descend.solve(problem, progress=False)
    assert solution.status == "infeasible" and solution.certificate.evidence == "proved"
    assert "combined[7]" in solution.message and "\n" not in solution.message
    rows = conflict.irreducible(Flat(problem))
    assert rows is not None and 40 + 7 in rows and not solvable(matrix, target, rows)
    assert all(solvable(matrix, target, np.setdiff1d(rows, row)) for row in rows)
    assert wrong(problem, solution) == set()


@pytest.mark.slow
def test_thousands_of_equalities_many_of_them_redundant():
    problem, matrix, target, middle = many_equalities(2500, 500, 4000)
    solution = descend.solve(problem, progress=False, budget=descend.Budget(seconds=200))
    assert solution.status == "optimal", solution.certificate.note
    # The projection of the middle: by a sparse least-norm solution of its own.
    missing = scipy.sparse.linalg.lsqr(matrix, target - matrix @ middle, atol=1e-14, btol=1e-14, iter_lim=20_000)[0]
    np.testing.assert_allclose(solution.x, middle + missing, atol=1e-6)


def test_the_least_violation_of_intervals_is_that_of_least_squares():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(6, 3))
    problem = descend.Problem(
        jnp.sum,
        descend.Real(3, -1.0, 1.0),
        [descend.between(lambda x: rows @ x, 3.0, 4.0, scale=2.0), descend.at_most(jnp.sum, -2.0)],
    )
    flat = Flat(problem)
    found = conflict.least(flat, np.arange(7))

    def size(x):
        return np.sum(flat.residual(np.append(rows @ x, np.sum(x))) ** 2)

    peer = scipy.optimize.minimize(size, np.zeros(3), bounds=[(-1, 1)] * 3, method="L-BFGS-B", options={"ftol": 1e-15})
    assert found is not None and size(found) == pytest.approx(peer.fun, rel=1e-6)


WHOLE = {
    "bounds": (
        descend.Binary(16),
        [
            descend.at_least(lambda x: x[0] + x[1] - x[2], 2.0, name="both"),
            descend.at_most(lambda x: 2 * x[0] + 2 * x[1] + x[2], 3.0, name="cap"),
            descend.at_least(jnp.sum, 1.0, name="some"),
        ],
        ["both", "cap"],
    ),
    "parity": (
        descend.Binary(16),
        [
            descend.equal(lambda x: 2 * x[0] + 2 * x[1] + 4 * x[2], 3.0, name="odd"),
            descend.at_least(jnp.sum, 1.0, name="some"),
        ],
        ["odd"],
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_that_no_member_satisfies(name):
    over, limits, conflicts = WHOLE[name]
    problem = descend.Problem(jnp.sum, over, limits)
    solution = descend.solve(problem, progress=False)
    assert solution.status == "infeasible" and solution.conflicts == conflicts
    assert solution.certificate.evidence == "proved" and wrong(problem, solution) == set()
    # The check is no formality: with the conflict gone, the same claim is refuted.
    assert "infeasible" in wrong(descend.Problem(jnp.sum, over, [descend.at_least(jnp.sum, 1.0)]), solution)


def test_whole_numbers_without_end():
    over = {"r": descend.Real(lower=0.0), "i": descend.Integer((), 0, 5)}
    problem = descend.Problem(lambda x: x["i"] - x["r"], over)
    solution = descend.solve(problem, progress=False)
    assert solution.status == "unbounded" and solution.certificate.evidence == "proved"
    assert solution.ray["r"] > 0 and solution.ray["i"] == 0 and wrong(problem, solution) == set()
    limited = descend.Problem(lambda x: x["i"] - x["r"], over, [descend.at_most(lambda x: x["r"] - x["i"], 1.5)])
    assert recession(limited) is None and recession(problem) is not None


def test_a_black_box_without_end_and_one_whose_minimum_is_far_away():
    endless = descend.Problem(lambda x: -float(np.sum(np.asarray(x))), descend.Real(2))
    budget = descend.Budget(seconds=30, evaluations=3000)
    solution = descend.solve(endless, progress=False, budget=budget)
    assert solution.status == "unbounded" and np.sum(solution.ray) > 0
    assert solution.certificate.evidence == "local" and wrong(endless, solution) == set()
    far = descend.Problem(lambda x: float(np.sum((np.asarray(x) / 1e3 - 3) ** 2)), descend.Real(2))
    solution = descend.solve(far, progress=False, budget=budget)
    assert solution.status != "unbounded" and solution.ray is None


@pytest.mark.slow
def test_quadratic_constraints_that_are_convex_prove_that_there_is_no_point():
    ball = descend.at_most(lambda x: jnp.vdot(x, x), 1.0, name="ball")
    plane = descend.at_least(jnp.sum, 2.0, name="plane")
    problem = descend.Problem(lambda x: x[0], descend.Real(2), [ball, plane])
    solution = descend.solve(problem, progress=False)
    assert solution.status == "infeasible" and solution.certificate.evidence == "proved"
    assert set(solution.conflicts) == {"ball", "plane"}
    shell = descend.at_least(lambda x: jnp.vdot(x, x), 9.0, name="shell")
    outside = descend.Problem(lambda x: x[0], descend.Real(2, -1.0, 1.0), [shell])  # not convex
    assert descend.solve(outside, progress=False).certificate.evidence == "local"


@pytest.mark.slow
def test_a_feasible_point_beyond_a_stationary_violation_is_found():
    cubic = descend.equal(lambda x: x**3 - 3 * x - 3.0, 0.0, name="cubic")  # its only root is at 2.1, a hill before it
    problem = descend.Problem(lambda x: x**2, descend.Real(start=np.array(-1.0)), [cubic])
    solution = descend.solve(problem, progress=False, budget=descend.Budget(seconds=60, evaluations=20_000))
    assert solution.status != "infeasible" and solution.x == pytest.approx(2.1038, abs=1e-3)


def test_the_point_of_an_infeasible_answer_is_the_one_that_shows_it():
    """The solvers' last point has a smaller largest violation than the one at which the sum of squares is least."""
    conditions = [
        descend.at_least(lambda x: x[0] + x[1], 8.0, name="demand"),
        descend.at_most(lambda x: x[0], 3.0, name="plant A"),
        descend.at_most(lambda x: x[1], 4.0, name="plant B"),
        descend.at_most(lambda x: x[0] * x[1], 50.0, name="other"),
    ]
    problem = descend.Problem(lambda x: x[0] + x[1], descend.Real(2, 0.0, 10.0), conditions)
    solution = descend.solve(problem, budget=descend.Budget(seconds=60), progress=False)
    assert solution.status == "infeasible" and solution.conflicts == ["demand", "plant A", "plant B"]
    # By hand: (a / 3)^2 + (b / 4)^2 + ((1 - a - b) / 8)^2 is least at a = 9 / 89, b = 16 / 89.
    assert np.allclose(solution.x, [3 + 9 / 89, 4 + 16 / 89], atol=1e-6)
    assert not wrong(problem, solution)
