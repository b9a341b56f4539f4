"""Variables whose scales nobody states, from 1e-8 to 1e8: measured, used, written into the certificate, and checked."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import descend
from descend.check.check import verify
from descend.engine import Plan, Stage
from descend.engine.scaling import at_start
from descend.findings import Findings
from descend.inspection.certificate import certify
from descend.inspection.scales import measured
from descend.reporting.record import record
from descend.solution import Status
from descend.solvers import Needs, Progress, Solver
from descend.solvers.flat import Flat


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def spread(n, seed=0):
    """What u = spread * x is multiplied by: from 1e-8 to 1e8, in an order by seed."""
    return np.random.default_rng(seed).permutation(10.0 ** np.linspace(-8, 8, n))


def rosenbrock(u):
    return jnp.sum(100 * (u[1:] - u[:-1] ** 2) ** 2 + (1 - u[:-1]) ** 2)


def of_rosenbrock(seed):
    d = spread(4, seed)
    return descend.Problem(lambda x: rosenbrock(d * x), descend.Real(4, start=-0.5 / d)), 0.0


def of_squares(seed):
    rng, d = np.random.default_rng(seed), spread(5, seed)
    rows, values = rng.normal(size=(20, 5)), rng.normal(size=20)
    best = rows @ np.linalg.lstsq(rows, values, rcond=None)[0] - values
    return descend.Problem(lambda x: jnp.sum((rows @ (d * x) - values) ** 2), descend.Real(5)), best @ best


def of_a_fit(seed):
    rng, d, t = np.random.default_rng(seed), spread(3, seed), np.linspace(0, 3, 25)
    y = 2 * np.exp(-1.3 * t) + 0.5 + 0.01 * rng.normal(size=25)
    best = scipy.optimize.least_squares(lambda u: u[0] * np.exp(-u[1] * t) + u[2] - y, np.ones(3), xtol=1e-15)

    def loss(x):
        u = d * x
        return jnp.sum((u[0] * jnp.exp(-u[1] * t) + u[2] - y) ** 2)

    return descend.Problem(loss, descend.Real(3, start=1 / d)), 2 * best.cost


def of_a_linear_program(seed):
    rng, d, n = np.random.default_rng(seed), spread(6, seed), 6
    cost, rows = rng.normal(size=n), np.concatenate([rng.normal(size=(5, n)), np.eye(n), -np.eye(n)])
    most = np.concatenate([np.ones(5), np.full(2 * n, 3.0)])
    best = scipy.optimize.linprog(cost, A_ub=rows, b_ub=most, bounds=(None, None)).fun
    limits = [descend.at_most(lambda x: rows @ (d * x), most, name="rows")]
    return descend.Problem(lambda x: cost @ (d * x), descend.Real(n), limits), best


def of_a_quadratic_program(seed):
    rng, d, n = np.random.default_rng(seed), spread(6, seed), 6
    half, cost, rows = rng.normal(size=(n, n)), 3 * rng.normal(size=n), rng.normal(size=(4, n))
    curve = half @ half.T + np.eye(n)
    best = scipy.optimize.minimize(
        lambda u: u @ curve @ u / 2 + cost @ u, np.zeros(n), jac=lambda u: curve @ u + cost, method="SLSQP",
        constraints={"type": "ineq", "fun": lambda u: 0.3 - rows @ u}, options={"ftol": 1e-15, "maxiter": 500},
    )  # fmt: skip

    def loss(x):
        u = d * x
        return u @ curve @ u / 2 + cost @ u

    return descend.Problem(loss, descend.Real(n), [descend.at_most(lambda x: rows @ (d * x), 0.3)]), best.fun


def hock_schittkowski_65(seed):
    d = spread(3, seed)

    def loss(x):
        u = d * x
        return (u[0] - u[1]) ** 2 + (u[0] + u[1] - 10) ** 2 / 9 + (u[2] - 5) ** 2

    ball = descend.at_most(lambda x: jnp.sum((d * x) ** 2), 48.0, name="ball")
    return descend.Problem(loss, descend.Real(3, start=np.array([-5.0, 5.0, 0.0]) / d), [ball]), 0.9535288567


PROBLEMS = (
    of_rosenbrock,
    of_squares,
    of_a_fit,
    of_a_linear_program,
    of_a_quadratic_program,
    hock_schittkowski_65,
)


def wrong(problem, solution):
    return {line.what for line in verify(problem, solution, record(solution)) if not line.ok}


def solved_and_checked(make, seed):
    problem, best = make(seed)
    solution = descend.solve(problem, progress=False)
    assert solution.status in (Status.LOCAL, Status.OPTIMAL), solution.certificate.note
    assert solution.value == pytest.approx(best, abs=1e-6) and wrong(problem, solution) == set()
    scales = solution.certificate.scales
    assert scales is not None and scales.max() > 1e10 * scales.min()
    assert "scales from" in solution.certificate.note


def test_a_fit_is_certified_in_measured_scales():
    solved_and_checked(of_squares, 0)


@pytest.mark.parametrize("make", [of_squares, hock_schittkowski_65])
def test_solving_again_in_measured_scales_traces_nothing_again(make):
    stated, _ = make(0)
    calls = []
    problem = dataclasses.replace(stated, objective=lambda x: (calls.append(0), stated.objective(x))[1])
    first = descend.solve(problem, progress=False)
    traced = len(calls)
    second = descend.solve(problem, progress=False)
    assert first.certificate.scales is not None and traced > 0
    assert len(calls) == traced and second.value == first.value


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("make", PROBLEMS)
def test_every_kind_is_certified_in_measured_scales(make, seed):
    solved_and_checked(make, seed)


def test_measured_scales_are_those_of_the_loss_and_right_ones_are_left():
    d = spread(4)
    flat = Flat(descend.Problem(lambda x: jnp.sum((d * x - 1) ** 2), descend.Real(4)))
    found = measured(flat, 1 / d)
    assert found is not None and np.all(found * d >= 1) and np.all(found * d <= 10)
    even = Flat(descend.Problem(lambda x: rosenbrock(x), descend.Real(4)))
    assert measured(even, np.ones(4)) is None and measured(even, np.zeros(4)) is None
    flat_minimum = Flat(descend.Problem(lambda x: jnp.sum(x**4), descend.Real(4)))
    assert measured(flat_minimum, np.zeros(4)) is None  # whose curvature says nothing


def test_what_is_stated_is_left_alone():
    d = np.array([1e-8, 1.0, 1e8])
    loss = lambda x: jnp.sum((d * x - 0.5) ** 2)  # noqa: E731
    stated = Flat(descend.Problem(loss, descend.Real(3, scale=1 / d)))
    assert measured(stated, 0.5 / d) is None
    bounded = Flat(descend.Problem(loss, descend.Real(3, -1 / d, 1 / d)))
    assert measured(bounded, 0.5 / d) is None and not bounded.unstated.any()


def test_a_variable_that_only_constraints_see_is_scaled_by_them():
    slack = descend.equal(lambda x: x[0] ** 2 + 1e8 * x[1], 1.0, name="slack")
    flat = Flat(descend.Problem(lambda x: (x[0] - 2) ** 2, descend.Real(2), [slack]))
    found = measured(flat, np.array([0.5, 0.75e-8]))
    assert found is not None and 1e-9 <= found[1] <= 1e-7


def test_a_constraint_that_is_level_at_the_optimum_does_not_hide_a_variable():
    """x[2] and x[3] are in no loss, and their squares have no slope at the solution (Hock and Schittkowski, 39)."""
    problem = descend.Problem(
        lambda x: -x[0],
        descend.Real(4, start=np.full(4, 2.0)),
        subject_to=[
            descend.equal(lambda x: x[1] - x[0] ** 3 - x[2] ** 2, 0.0, name="below"),
            descend.equal(lambda x: x[0] ** 2 - x[1] - x[3] ** 2, 0.0, name="above"),
        ],
    )
    for z in (0.0, 1e-14):
        assert measured(Flat(problem), np.array([1.0, 1.0, z, -z])) is None
    found = descend.solve(problem)
    assert found.status == "local" and found.certificate.scales is None
    np.testing.assert_allclose(found.x, [1, 1, 0, 0], atol=1e-5)


def test_no_point_beside_an_optimum_is_certified_in_any_variable():
    """In scales of one, a slope of 1e-8 would pass for none, and a right derivative of 1e8 for a wrong one."""
    d = spread(4)
    problem = of_rosenbrock(0)[0]
    assert certify(problem, 1 / d).evidence == "proved"
    for index in range(4):
        for step in (1e-3, -1e-3, 1.0):
            found = certify(problem, (1 + step * np.eye(4)[index]) / d)
            assert found.evidence == "none", (index, step)


def test_the_check_refuses_scales_that_make_everything_stationary():
    d = spread(4)
    problem, beside = of_rosenbrock(0)[0], 1.1 / d
    made = certify(problem, 1 / d)
    value = float(problem.evaluate(jnp.asarray(beside)).loss)
    honest = descend.Solution(Status.LOCAL, beside, value, violation=0.0, certificate=made)
    assert "stationarity" in wrong(problem, honest)
    assert made.scales is not None
    tiny = dataclasses.replace(made, scales=made.scales * 1e-9)
    assert wrong(problem, dataclasses.replace(honest, certificate=tiny)) == {"scales"}


class At(NamedTuple):
    x: np.ndarray


SEEN = []


@dataclasses.dataclass(frozen=True, repr=False)
class Looks(Solver):
    """Stays at a point and takes down the scales of the problem that it is given."""

    NEEDS: ClassVar[Needs] = Needs(gradient=True, true_gradient=True)

    def init(self, problem, start, key):
        SEEN.append(problem.domain.scale)
        return At(np.array([0.5, 0.5e-7]))

    def step(self, problem, state):
        return state, Progress(state.x, 0.0, 1, True, "stays")


def test_a_run_without_a_certificate_begins_again_in_the_scales_at_its_best_point():
    SEEN.clear()
    problem = descend.Problem(
        lambda x: (x[0] - 1) ** 2 + (1e7 * x[1] - 1) ** 2, descend.Real(2, start=np.array([0.4, 0.4e-7]))
    )
    solution = descend.solve(Plan(problem, [Stage(Looks(), None, "")], Findings([], 0)), progress=False)
    assert solution.status not in (Status.LOCAL, Status.OPTIMAL)
    assert len(SEEN) == 2 and np.all(SEEN[0] == 1)
    assert 1e-8 <= SEEN[1][1] <= 1e-6
    assert any("began again" in line for _, line in solution.trace.log)


def test_jumps_say_nothing_about_scales():
    """The share of mistakes at a start where all scores tie: any move of a variable, however short, changes it."""
    rng = np.random.default_rng(0)
    rows, label = rng.normal(size=(100, 6)), rng.choice([-1.0, 1.0], 100)
    rows[:, 0], rows[5:, 1:] = label, 0  # the first variable decides every row, the others a few
    problem = descend.Problem(lambda x: jnp.mean((rows @ x) * label <= 0), descend.Real(6))
    assert at_start(problem) is problem
    staircase = descend.Problem(lambda x: jnp.sum(jnp.floor(x * 1e7)), descend.Real(3))
    assert at_start(staircase) is staircase
