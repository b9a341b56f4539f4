"""Kinked problems in epigraph form: what is read, answers known from other formulations, and what is not claimed."""

import dataclasses
import json
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import descend
from descend import solvers
from descend.check.check import check, verify
from descend.engine import Plan, Stage
from descend.findings import Findings
from descend.inspection.certificate import certify
from descend.program.pieces import Pieces
from descend.reporting.record import record, write
from descend.solution import Status
from descend.solvers import Needs, Solver
from descend.solvers.epigraph_form import EpigraphForm
from descend.solvers.segments import pause

BUDGET = descend.Budget(seconds=100)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def random():
    return np.random.default_rng(0)


def stock(x):
    """Holding and shortage, day by day, inside a loop."""

    def day(level, demand):
        level = level + x[0] - demand
        return jnp.maximum(level, 0.0), jnp.where(level > 0, 0.5 * level, -2 * level)

    _, cost = jax.lax.scan(day, 0.0, jnp.array([1.0, 3.0, 0.5, 2.0]))
    return jnp.sum(cost) + jax.nn.relu(x[1] - 3)


def tilted(x):
    return jnp.sum(jnp.where(1 - x >= 0, 0.9 * (1 - x), (0.9 - 1) * (1 - x)))


READ = {  # a function, and how many kinks it has at three numbers
    "abs": (lambda x: jnp.sum(jnp.abs(x - 1) * jnp.arange(3.0)), 3),
    "maximum": (lambda x: jnp.sum(jnp.maximum(x, x[::-1] ** 2)), 3),
    "minimum": (lambda x: jnp.minimum(x[0], 2 * x[1]) ** 2, 1),
    "clip": (lambda x: jnp.sum(jnp.clip(x, -1, 1)), 6),
    "max": (lambda x: jnp.max(x**2) - jnp.min(x), 2),
    "nested": (lambda x: jnp.abs(jnp.abs(x[0]) - x[1]), 2),
    "a choice": (tilted, 3),
    "a choice of the smaller": (lambda x: jnp.sum(jnp.where(x > 1, 1 - x, 2 * (x - 1)) * jnp.arange(3.0)), 3),
    "relu": (lambda x: jnp.sum(jax.nn.leaky_relu(x)) + jnp.sum(jax.nn.relu(x)), 6),
    "norms": (lambda x: jnp.linalg.norm(x, 1) + jnp.linalg.norm(x, jnp.inf), 7),
    "a loop": (stock, 9),
    "a call": (lambda x: jax.jit(lambda y: jnp.sum(jnp.abs(y)))(x), 3),
}


@pytest.mark.parametrize("name", READ)
def test_kinks_are_read(name):
    function, count = READ[name]
    pieces = Pieces(function, np.zeros(3))
    assert pieces.count == count
    owner = pieces.owners(np.zeros(3))
    for x in random().normal(size=(5, 3)) * 3:
        kinks = pieces.kinks(x)
        value, gaps = jax.jit(pieces.lifted)(kinks, x)
        assert value == pytest.approx(float(function(x)), abs=1e-12)
        assert gaps.shape == owner.shape and np.min(gaps) >= -1e-12
        least = np.full(count, np.inf)
        np.minimum.at(least, owner, np.asarray(gaps))
        assert np.allclose(least, 0, atol=1e-12)
        # The function of the variables and the kinks is smooth: its derivative is that of values, in every direction.
        way = random().normal(size=3)
        smooth = lambda x, kinks=kinks: pieces.lifted(kinks, x)[0]  # noqa: E731
        slope = jax.jvp(smooth, (x,), (way,))[1]
        steps = [smooth(x + s * 1e-6 * way) for s in (-1, 1)]
        assert float(slope) == pytest.approx((float(steps[1]) - float(steps[0])) / 2e-6, abs=1e-6)


UNREAD = {
    "smooth": lambda x: jnp.sum(x**2),
    "a jump": lambda x: jnp.sum(jnp.where(x > 0, x + 1, x)),
    "a jump of the slope's sign": lambda x: jnp.where(x[0] > 0, x[1], -x[1]),
    "another point than the choice's": lambda x: jnp.sum(jnp.where(x > 0.1, x, 0.0)),
    "a guard": lambda x: jax.nn.logsumexp(x),
    "a constant": lambda x: jnp.sum(x) + jnp.max(jnp.abs(jnp.arange(3.0))),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_no_kink_is_left_alone(name):
    assert Pieces(UNREAD[name], np.zeros(3)).count == 0


def test_what_is_read_does_not_hang_on_the_values_that_are_given():
    """A choice between lines with a given slope may jump or not, so it is none; another with a given place is one."""

    def function(x, given):
        slope, place = given
        return jnp.sum(jnp.where(x > 0, slope * x, -x)) + jnp.sum(jnp.where(x > place, 2 * (x - place), 0.0))

    x, given = np.array([0.5, -1.0, 2.0]), (np.asarray(3.0), np.asarray(0.7))
    pieces = Pieces(function, x, given)
    assert pieces.count == 3
    kinks = pieces.kinks(x, given)
    for lifted in (pieces.lifted, jax.jit(pieces.lifted)):
        value, gaps = lifted(kinks, x, given)
        assert value == pytest.approx(float(function(x, given))) and gaps.shape == pieces.owners(x, given).shape == (6,)
    assert pieces.active(1e-3, x, given).shape == (3,)


A, NOISE = random().normal(size=(60, 4)), random().standard_t(2, size=60)
B = A @ np.array([1.0, -2.0, 0.5, 3.0]) + NOISE


def test_least_absolute_deviations_are_proved_best():
    problem = descend.Problem(lambda x: jnp.sum(jnp.abs(A @ x - B)), over=descend.Real(4))
    solution = descend.solve(problem, budget=BUDGET)
    above = np.concatenate([np.hstack([A, -np.eye(60)]), np.hstack([-A, -np.eye(60)])])
    cost = np.append(np.zeros(4), np.ones(60))
    truth = scipy.optimize.linprog(cost, above, np.append(B, -B), bounds=(None, None))
    assert solution.status is Status.OPTIMAL and solution.certificate.kinks == 60
    assert solution.value == pytest.approx(truth.fun, rel=1e-9)


def test_a_quantile_of_data_is_found():
    """The pinball loss, of data that are handed in, is least at the quantile."""
    problem = descend.Problem(
        lambda x, batch: jnp.mean(jnp.where(batch >= x, 0.9 * (batch - x), -0.1 * (batch - x))),
        over=descend.Real(()),
        data=B,
    )
    solution = descend.solve(problem, budget=BUDGET)
    assert solution.status is Status.OPTIMAL
    assert np.sum(solution.x > B + 1e-9) <= 54 <= np.sum(solution.x > B - 1e-9)


def test_the_lasso_satisfies_its_conditions():
    solution = descend.solve(
        descend.Problem(lambda x: jnp.sum((A @ x - B) ** 2) / 2 + 40 * jnp.sum(jnp.abs(x)), over=descend.Real(4)),
        budget=BUDGET,
    )
    assert solution.status is Status.OPTIMAL
    slope, zero = A.T @ (A @ solution.x - B), abs(solution.x) < 1e-8
    assert zero.any() and not zero.all()
    assert np.allclose(slope[~zero], -40 * np.sign(solution.x[~zero]), atol=1e-5) and np.all(abs(slope[zero]) <= 40)


def test_whole_numbers_and_kinks_are_branched_on():
    """A newsvendor's orders under a budget, against all of them; and the stored answer is confirmed."""
    demand = random().poisson(5, size=(30, 2)).astype(float)
    cost = np.array([1.0, 2.0])

    def loss(q):
        return cost @ q - 3 * jnp.mean(jnp.minimum(q[None], demand) @ cost)

    problem = descend.Problem(loss, descend.Integer(2, 0, 100), descend.at_most(lambda q: cost @ q, 12.0))
    solution = descend.solve(problem, budget=BUDGET)
    orders = np.stack(np.meshgrid(np.arange(13.0), np.arange(7.0), indexing="ij"), -1).reshape(-1, 2)
    orders = orders[orders @ cost <= 12]
    assert solution.status is Status.OPTIMAL
    assert solution.value == pytest.approx(min(float(loss(q)) for q in orders), abs=1e-9)
    assert "RelaxRound" not in str(solution.trace.log)  # no gap is left to the bound, so no search follows


def test_a_network_is_minimized_over_a_box():
    """Concave and convex kinks: branch and bound over the pieces, against a linear program for each pattern of them."""
    r = random()
    first, shift, last = r.normal(size=(5, 2)), r.normal(size=5), r.normal(size=5)
    problem = descend.Problem(lambda x: last @ jnp.maximum(first @ x + shift, 0), over=descend.Real(2, -2.0, 2.0))
    solution = descend.solve(problem, budget=BUDGET)
    best = np.inf
    for pattern in np.ndindex(*(2,) * 5):
        on = np.array(pattern, float)
        side = 1 - 2 * on
        found = scipy.optimize.linprog((last * on) @ first, side[:, None] * first, -side * shift, bounds=(-2, 2))
        best = min(best, found.fun + (last * on) @ shift) if found.success else best
    assert solution.status is Status.OPTIMAL and solution.value == pytest.approx(best, abs=1e-7)


def test_a_smooth_minimax_problem_is_certified():
    """CB2 of Charalambous and Bandler (1976): 1.9522245. No kink is where it begins."""

    def worst(x):
        values = [x[0] ** 2 + x[1] ** 4, (2 - x[0]) ** 2 + (2 - x[1]) ** 2, 2 * jnp.exp(x[1] - x[0])]
        return jnp.max(jnp.array(values))

    solution = descend.solve(descend.Problem(worst, over=descend.Real(2, -5.0, 5.0)), budget=BUDGET)
    assert solution.status is Status.LOCAL and solution.value == pytest.approx(1.9522245, abs=1e-6)


def test_a_restatement_is_solved_and_certified_for_its_own_parameters():
    """Convex and concave kinks that move with the parameter, against a grid; what was compiled serves all."""

    def loss(x, given):
        return jnp.sum(jnp.abs(x - given)) - 0.5 * jnp.maximum(x[0] - given[0], x[1])

    grid = np.stack(np.meshgrid(*[np.linspace(-4, 4, 81)] * 2, indexing="ij"), -1).reshape(-1, 2)
    problem = descend.Problem(loss, descend.Real(2, -4.0, 4.0), given=np.array([1.0, 2.0]))
    for given in ([1.0, 2.0], [-3.0, 0.5], [0.0, -3.0]):
        stated = problem.at(np.array(given))
        best = np.min(np.sum(abs(grid - given), axis=1) - 0.5 * np.maximum(grid[:, 0] - given[0], grid[:, 1]))
        solution = descend.solve(stated, budget=BUDGET)
        assert solution.status is Status.OPTIMAL and solution.value == pytest.approx(best, abs=1e-7)
        assert certify(stated, solution.x).evidence != "none"
        assert certify(stated, np.array([2.0, 2.5])).evidence == "none"


def battery():
    """Sell and buy against prices; both ways lose energy, and moving it wears the battery."""
    price = np.array([30.0, 24.0, 20.0, 35.0, 50.0, 40.0, 28.0, 70.0])

    def stored(power):
        return 20 - jnp.cumsum(jnp.where(power > 0, power / 0.95, power * 0.95))

    def cost(power):
        return jnp.sum(jnp.abs(power)) - price @ power

    limits = [descend.at_least(stored, 0.0), descend.at_most(stored, 40.0)]
    return price, descend.Problem(cost, descend.Real(8, -10.0, 10.0), limits)


def test_kinks_in_constraints(tmp_path):
    """Against the formulation with two powers; the answer is confirmed, another is not."""
    price, problem = battery()
    solution = descend.solve(problem, budget=BUDGET)
    sums = np.tril(np.ones((8, 8)))
    level = np.hstack([-sums / 0.95, 0.95 * sums])
    limits = scipy.optimize.LinearConstraint(level, -20.0, 20.0)
    truth = scipy.optimize.milp(np.append(1 - price, 1 + price), constraints=limits, bounds=(0, 10))
    assert solution.status is Status.OPTIMAL and solution.value == pytest.approx(truth.fun, rel=1e-9)

    folder, file = tmp_path / "out", tmp_path / "battery.py"
    file.write_text("from tests.test_epigraph import battery\nproblem = battery()[1]\n")
    solution.settings = {"file": str(file), "name": "problem"}
    write(solution, folder)
    assert all(line.ok for line in check(folder))
    body = json.loads((folder / "solution.json").read_text())
    solution.x = solution.x * 0.999
    solution.value = float(problem.objective(solution.x))
    refuted = [line.what for line in verify(problem, solution, body) if not line.ok]
    assert {"complementarity", "bound"} <= set(refuted)


def test_a_forged_certificate_of_a_kinked_point_is_refused():
    """Every number of it is as it would be at an optimum; only values around the point tell."""
    problem = descend.Problem(lambda x: jnp.sum(jnp.abs(x - 0.5)) + x[0] ** 2, over=descend.Real(2))
    solution = descend.solve(problem, budget=BUDGET)
    assert not [line for line in verify(problem, solution, record(solution)) if not line.ok]
    for x, what in (([0.3, 0.5], "stationarity"), ([0.5, 0.9], "stationarity"), ([0.5, 0.5 + 1e-4], "neighbors")):
        forged = dataclasses.replace(solution, x=np.array(x), value=float(problem.objective(np.array(x))))
        assert what in {line.what for line in verify(problem, forged, record(forged)) if not line.ok}


NOT_MINIMAL = {
    "a concave kink": (lambda x: -jnp.abs(x[0]) + x[1] ** 2, [0.0, 0.0]),
    "a slope beside the kink": (lambda x: jnp.abs(x[0]) + x[1], [0.0, 0.0]),
    "a slope at the kink": (lambda x: jnp.abs(x[0]) + 1.5 * x[0] + x[1] ** 2, [0.0, 0.0]),
    "near the kink": (lambda x: jnp.abs(x[0]) + x[1] ** 2, [1e-3, 0.0]),
    "a way down between two kinks": (lambda x: jnp.abs(x[0] - x[1]) - 0.9 * jnp.abs(x[0] + x[1]), [0.0, 0.0]),
    "curvature along the kink": (lambda x: jnp.abs(x[0]) - x[1] ** 2, [0.0, 0.0]),
}


@pytest.mark.parametrize("name", NOT_MINIMAL)
def test_what_is_no_minimum_is_not_certified(name):
    function, x = NOT_MINIMAL[name]
    problem = descend.Problem(function, over=descend.Real(2, -1.0, 1.0))
    form = EpigraphForm.of(problem)
    assert form is not None and form.count > 0
    assert certify(problem, np.array(x)).evidence == "none"


MINIMAL = {
    "a corner": (lambda x: jnp.abs(x[0]) + jnp.abs(x[1]) + 0.5 * x[0], [0.0, 0.0]),
    "a valley": (lambda x: 10 * jnp.abs(x[1] - x[0] ** 2) + (1 - x[0]) ** 2, [1.0, 1.0]),
    "and a concave kink elsewhere": (lambda x: jnp.abs(x[0] - 0.5) - 0.1 * jnp.abs(x[1]) + x[1] ** 2, [0.5, 0.05]),
}


@pytest.mark.parametrize("name", MINIMAL)
def test_minima_at_kinks_are_certified(name):
    function, x = MINIMAL[name]
    found = certify(descend.Problem(function, over=descend.Real(2, -1.0, 2.0)), np.array(x))
    assert found.kinks > 0
    # With a kink taken to be the piece that it is at x, nothing is known of points beyond it.
    assert found.evidence == ("local" if "elsewhere" in name or "valley" in name else "proved")


@dataclasses.dataclass(frozen=True, repr=False)
class Endless(Solver):
    """Says its best point again and again, in one segment."""

    NEEDS: ClassVar[Needs] = Needs(gradient=True, true_gradient=True)

    def init(self, problem, start, key):
        return start

    def step(self, problem, state):
        while True:
            pause(lambda: state)


@pytest.mark.parametrize("exact", [False, True])
def test_the_best_point_of_a_segment_that_time_ends_is_one_of_the_problem(exact):
    problem = descend.Problem(lambda x: jnp.sum(jnp.abs(x - 1)), descend.Real(2, -3.0, 3.0))
    stages = [Stage(solvers.Epigraph(Endless(), exact=exact), None, "")]
    found = descend.solve(Plan(problem, stages, Findings([], 0)), budget=descend.Budget(seconds=1), progress=False)
    assert found.status == Status.BUDGET and found.value == 2.0
    np.testing.assert_array_equal(found.x, [0.0, 0.0])


def test_what_cannot_be_lifted_is_refused():
    problem = descend.Problem(lambda x: jnp.sum(x**2), over=descend.Real(2))
    with pytest.raises(ValueError, match="Epigraph needs kinks"):
        descend.plan(problem, solver=solvers.Epigraph(solvers.SLSQP()))
    free = descend.Problem(lambda x: -jnp.sum(jnp.abs(x)), over=descend.Real(2))
    with pytest.raises(ValueError, match="bounded variables"):
        descend.plan(free, solver=solvers.Epigraph(solvers.Highs(), exact=True))
