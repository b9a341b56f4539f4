"""Solvers of smooth problems, native and compiled, their order and what they prove; truths from elsewhere."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import descend
from descend import solvers
from descend.engine import Plan, Stage, plan
from descend.engine.incumbent import Incumbent
from descend.findings import Findings
from descend.solvers import Needs, Progress, Solver, ipopt
from descend.solvers.factorization import factor, solve
from descend.solvers.trust_region import exact, truncated

needs_ipopt = pytest.mark.skipif(not ipopt.installed(), reason="needs descend[ipopt]")


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def hock_schittkowski_71():
    return descend.Problem(
        lambda x: x[0] * x[3] * (x[0] + x[1] + x[2]) + x[2],
        descend.Real(4, 1.0, 5.0, start=np.array([1.0, 5.0, 5.0, 1.0])),
        subject_to=[descend.at_least(jnp.prod, 25.0), descend.equal(lambda x: jnp.vdot(x, x), 40.0, name="square")],
    )


def run(solver, problem, segments=300):
    state = solver.init(problem, problem.domain.start(), jax.random.key(0))
    for _ in range(segments):
        state, progress = solver.step(problem, state)
        if progress.done:
            break
    return np.asarray(problem.domain.ravel(progress.x), np.float64), progress


@pytest.mark.parametrize(
    "solver",
    [
        pytest.param(solvers.Ipopt(), marks=needs_ipopt),
        solvers.SLSQP(),
        solvers.TrustConstr(),
        solvers.InteriorPoint(),
        pytest.param(solvers.AugmentedLagrangian(solvers.TrustRegion()), marks=pytest.mark.slow),
    ],
    ids=lambda solver: type(solver).__name__,
)
def test_a_constrained_problem_with_a_known_answer(solver):
    x, progress = run(solver, hock_schittkowski_71())
    assert np.allclose(x, [1.0, 4.74299963, 3.82114998, 1.37940829], atol=1e-5), progress.reason
    assert x[0] * x[3] * np.sum(x[:3]) + x[2] == pytest.approx(17.0140173, rel=1e-6)


def test_the_step_within_a_ball_is_the_best_one():
    rng = np.random.default_rng(0)
    for case in range(100):
        n = int(rng.integers(1, 6))
        hessian = rng.normal(size=(n, n))
        hessian, gradient = hessian + hessian.T, rng.normal(size=n) * (rng.random(n) > 0.3)
        radius = 10 ** rng.uniform(-2, 1)

        def value(p, gradient=gradient, hessian=hessian):
            return p @ gradient + np.sum(p * (p @ hessian), axis=-1) / 2

        step = exact(gradient, hessian, radius)
        sphere = rng.normal(size=(1000, n))
        sphere *= radius / np.linalg.norm(sphere, axis=1, keepdims=True)
        others = np.concatenate([sphere, sphere * rng.random((1000, 1)), np.zeros((1, n))])
        assert np.linalg.norm(step) <= radius * (1 + 1e-5), case
        assert value(step) <= np.min(value(others)) + 1e-9, case
        rough = truncated(gradient, lambda v, hessian=hessian: hessian @ v, radius)
        assert np.linalg.norm(rough) <= radius * (1 + 1e-9) and value(rough) <= 1e-12, case


def test_a_trust_region_leaves_a_saddle_and_stops_at_bounds():
    saddle = descend.Problem(lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4, descend.Real(2, start=np.array([1.0, 0.0])))
    x, progress = run(solvers.TrustRegion(), saddle)
    assert np.allclose(abs(x), [0.0, np.sqrt(0.5)], atol=1e-8) and progress.reason == "gradient vanished"
    rosenbrock = lambda x: jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)  # noqa: E731
    bounded = descend.Problem(rosenbrock, descend.Real(6, 1.1, 3.0, start=np.full(6, 2.0)))
    x, _ = run(solvers.TrustRegion(), bounded)
    peer = scipy.optimize.minimize(
        lambda v: [np.asarray(a, float) for a in jax.value_and_grad(rosenbrock)(v)],
        np.full(6, 2.0), jac=True, bounds=[(1.1, 3.0)] * 6, method="L-BFGS-B", options={"ftol": 0, "gtol": 1e-10},
    )  # fmt: skip
    assert np.allclose(x, peer.x, atol=1e-6)


def test_elimination_solves_and_counts_negative_eigenvalues():
    rng = np.random.default_rng(1)
    for n in (1, 4, 9):
        matrix = rng.normal(size=(n, n))
        matrix = matrix + matrix.T
        lower, diagonal = factor(jnp.asarray(matrix))
        assert np.allclose(lower @ jnp.diag(diagonal) @ lower.T, matrix)
        assert np.sum(diagonal < 0) == np.sum(np.linalg.eigvalsh(matrix) < 0)
        right = rng.normal(size=n)
        assert np.allclose(solve(lower, diagonal, jnp.asarray(right)), np.linalg.solve(matrix, right))


def test_a_batch_is_what_its_problems_are_one_by_one():
    problem = descend.Problem(
        lambda x, *, given: jnp.sum((x - given) ** 2),
        descend.Real(3, 0.0, 1.0),
        subject_to=[descend.equal(jnp.sum, 1.0)],
        given=np.zeros(3),
    )
    points = np.random.default_rng(0).normal(size=(20, 3))
    reached = jax.jit(jax.vmap(solvers.InteriorPoint().program(problem), in_axes=(None, 0)))(np.full(3, 0.3), points)
    simplex = descend.Simplex(3)
    assert reached.converged.all() and np.max(reached.violation) < 1e-8
    assert np.allclose(reached.x, [simplex.project(p) for p in points], atol=1e-6)


def test_linear_programs_agree_with_scipy_and_are_proved():
    rng = np.random.default_rng(0)
    rows, cost = rng.normal(size=(5, 8)), rng.normal(size=8)
    most = rows @ rng.random(8) + 0.1
    problem = descend.Problem(
        lambda x: cost @ x, descend.Real(8, 0.0, 2.0), subject_to=[descend.at_most(lambda x: rows @ x, most, name="c")]
    )
    assert isinstance(plan(problem).stages[0].solver, solvers.Highs)
    solution = descend.solve(problem)
    peer = scipy.optimize.linprog(cost, A_ub=rows, b_ub=most, bounds=(0, 2))
    assert solution.status == "optimal" and solution.value == pytest.approx(peer.fun, abs=1e-8)
    assert solution.certificate.gap <= 1e-6


def test_whole_numbers_agree_with_dynamic_programming():
    rng = np.random.default_rng(0)
    weight, worth = rng.integers(5, 50, 30), rng.integers(5, 50, 30)
    problem = descend.Problem(
        lambda x: worth.astype(float) @ x,
        descend.Binary(30),
        subject_to=[descend.at_most(lambda x: weight.astype(float) @ x, 300.0, name="weight")],
        sense="max",
    )
    best = np.zeros(301, int)
    for w, v in zip(weight, worth, strict=True):
        best[w:] = np.maximum(best[w:], best[:-w] + v)
    solution = descend.solve(problem)
    assert solution.status == "optimal" and solution.value == best[300]


def test_an_assignment_agrees_with_scipy():
    cost = np.random.default_rng(0).random((8, 8))
    problem = descend.Problem(lambda x: jnp.sum(cost * x), descend.Permutation(8))
    row, column = scipy.optimize.linear_sum_assignment(cost)
    solution = descend.solve(problem)
    assert solution.status == "optimal" and solution.value == pytest.approx(cost[row, column].sum(), abs=1e-9)


def test_convex_quadratic_problems_are_proved_and_others_are_not():
    target = np.array([2.0, -1.0, 0.5])
    ball = descend.Problem(
        lambda x: jnp.sum((x - target) ** 2),
        descend.Real(3),
        subject_to=[descend.at_most(lambda x: jnp.vdot(x, x), 1.0, name="ball")],
    )
    solution = descend.solve(ball)
    assert solution.status == "optimal", solution.certificate.note
    assert np.allclose(solution.x, target / np.linalg.norm(target), atol=1e-6)
    shell = descend.Problem(  # the same loss outside of the ball: not convex
        lambda x: jnp.sum((x - 0.1 * target) ** 2),
        descend.Real(3, start=np.ones(3)),
        subject_to=[descend.at_least(lambda x: jnp.vdot(x, x), 1.0, name="ball")],
    )
    assert not isinstance(plan(shell).stages[0].solver, solvers.Clarabel)


def test_contradictory_and_endless_linear_programs_are_proved():
    contradictory = descend.Problem(
        jnp.sum,
        descend.Real(2, 0.0, 1.0),
        subject_to=[descend.at_least(jnp.sum, 3.0, name="big"), descend.at_most(lambda x: x[0], 3.0, name="fine")],
    )
    solution = descend.solve(contradictory)
    assert solution.status == "infeasible" and solution.conflicts == ["big"]
    assert solution.certificate.evidence == "proved" and solution.violation == pytest.approx(1 / 3, abs=1e-6)
    endless = descend.Problem(
        lambda x: x[0] - x[1], descend.Real(2), subject_to=[descend.at_most(lambda x: x[0], 3.0, name="cap")]
    )
    solution = descend.solve(endless)
    assert solution.status == "unbounded" and solution.certificate.evidence == "proved"


class At(NamedTuple):
    x: np.ndarray


@dataclass(frozen=True, repr=False)
class Says(Solver):
    """A solver that always says the same point."""

    point: tuple[float, ...]
    NEEDS: ClassVar[Needs] = Needs(gradient=True, true_gradient=True)

    def init(self, problem, start, key):
        return At(np.asarray(self.point))

    def step(self, problem, state):
        return state, Progress(state.x, 0.0, 1, True, "said")


def double_well():
    return descend.Problem(lambda x: (x[0] ** 2 - 1) ** 2 + 0.3 * x[0] + x[1] ** 2, descend.Real(2))


def followed_by(*stages):
    return Plan(double_well(), [Stage(Says((0.9601, 0.0)), None, "first"), *stages], Findings([], 0))


def test_an_alternative_runs_after_a_certified_answer_and_a_better_one_is_kept():
    newton = Stage(solvers.TrustRegion(), None, "from there")
    better = Stage(Says((-1.0353, 0.0)), None, "another valley", alternative=True)
    alone = descend.solve(followed_by(newton))
    assert alone.status == "local" and alone.x[0] > 0
    both = descend.solve(followed_by(newton, better, Stage(solvers.TrustRegion(), None, "again", fallback=False)))
    assert both.status == "local" and both.x[0] < 0 and both.value < alone.value
    assert any("another valley" in line for _, line in both.trace.log)


def test_no_other_path_is_tried_once_two_agree_with_the_first():
    newton = Stage(solvers.TrustRegion(), None, "from there")
    other = Stage(Says((-1.0353, 0.0)), None, "another valley", alternative=True)
    agrees = Stage(Says((0.9601497, 0.0)), None, "the same valley", alternative=True)
    first = descend.solve(followed_by(newton))
    found = descend.solve(followed_by(newton, agrees, agrees, other))
    assert found.value == first.value
    assert not any("another valley" in line for _, line in found.trace.log)
    assert descend.solve(followed_by(newton, agrees, other)).value < first.value
    bounded = replace(double_well(), subject_to=(descend.at_most(lambda x: x[0], 5.0, name="cap"),))
    stages = [*followed_by(newton, agrees, other).stages]
    found = descend.solve(Plan(bounded, stages, Findings([], 0)))
    assert abs(found.value - first.value) < 1e-9  # under constraints one is enough


@pytest.mark.parametrize(("over", "begins"), [(5e-6, False), (1e-2, True)])
def test_where_a_solver_ends_a_hair_outside_it_is_mended_before_another_begins(over, begins):
    cap = descend.at_most(lambda x: x[0], 1.0, name="cap")
    problem = descend.Problem(lambda x: (x[0] - 2) ** 2 + x[1] ** 2, descend.Real(2), subject_to=[cap])
    stages = [Stage(Says((1 + over, 0.0)), None, "first"), Stage(solvers.SLSQP(), None, "the second")]
    found = descend.solve(Plan(problem, stages, Findings([], 0)))
    assert (
        found.status in ("local", "optimal") and found.violation <= 1e-6 and found.value == pytest.approx(1, abs=1e-6)
    )
    assert any("the second" in line for _, line in found.trace.log) == begins


def test_what_finds_something_better_is_the_first_to_come_there():
    newton = Stage(solvers.TrustRegion(), None, "from there")
    lowest = float(np.min(np.roots([4.0, 0.0, -4.0, 0.3]).real))
    better = Stage(Says((lowest, 0.0)), None, "a better valley", alternative=True)
    third = Stage(Says((0.5, 0.0)), None, "a third path", alternative=True)
    found = descend.solve(followed_by(newton, better, better, third))
    assert found.status == "local" and found.x[0] == lowest
    assert any("a third path" in line for _, line in found.trace.log)
    found = descend.solve(followed_by(newton, better, better, better, third))
    assert not any("a third path" in line for _, line in found.trace.log)


@dataclass(frozen=True, repr=False)
class Wanders(Says):
    """One that never ends, and comes to lower and lower points far above the others."""

    def init(self, problem, start, key):
        return At(np.array([-2.0, 3.0]))

    def step(self, problem, state):
        state = At(state.x * 0.9999)
        return state, Progress(state.x, 0.0, 1, False, "")


def test_an_alternative_is_given_up_after_twice_the_work_before_it():
    newton = Stage(solvers.TrustRegion(), None, "from there")
    alone = descend.solve(followed_by(newton))
    endless = Stage(Wanders((0.0, 0.0)), None, "for long", alternative=True)
    found = descend.solve(followed_by(newton, endless), budget=descend.Budget(evaluations=50_000))
    assert found.value == alone.value and found.status == "local"
    before = alone.trace.evaluations[-1]
    assert 2 * before < found.trace.evaluations[-1] < 3 * before + 20
    assert any("2 times the work before it" in line for _, line in found.trace.log)


def test_of_two_points_of_one_loss_the_certified_one_is_the_answer():
    bowl = descend.Problem(lambda x: 1000 + 1e4 * jnp.sum(x**2), descend.Real(2, start=np.ones(2)))
    first, second = Says((1e-9, 0.0)), Says((0.0, 1e-12))  # both have a loss of exactly 1000
    found = descend.solve(Plan(bowl, [Stage(first, None, ""), Stage(second, None, "")], Findings([], 0)))
    assert found.certificate.evidence != "none"
    np.testing.assert_array_equal(found.x, second.point)


def test_a_certified_point_keeps_its_place_against_one_that_gains_by_violating():
    problem = descend.Problem(
        lambda x: jnp.sum(x) + (x[0] - x[1]) ** 4 / 20,
        descend.Real(2, start=np.ones(2)),
        subject_to=[descend.at_least(jnp.sum, 1.0, name="half")],
    )
    outside = Stage(Says((0.5 - 4e-7, 0.5)), None, "a little outside", alternative=True)
    first = Stage(solvers.SLSQP(), None, "first")
    solution = descend.solve(Plan(problem, [first, outside], Findings([], 0)))
    assert any("Says: said" in line for _, line in solution.trace.log)
    assert solution.status == "local" and solution.violation <= 1e-9, solution.certificate.note


@pytest.mark.parametrize("native", [pytest.param(True, marks=needs_ipopt), False], ids=["ipopt", "default"])
def test_a_start_without_derivatives_and_constraints_that_end_in_nan(native, monkeypatch):
    monkeypatch.setattr(ipopt, "installed", lambda: native)
    problem = descend.Problem(
        lambda x: (x[0] - 3) ** 2 + x[1] ** 2,
        descend.Real(2, start=np.ones(2)),  # where the square root has no derivative
        subject_to=[
            descend.at_most(lambda x: x[1] - jnp.log(2 - x[0]), 1.0, name="log"),
            descend.at_least(lambda x: jnp.sqrt(1 - x[1]), 0.5, name="root"),
        ],
    )
    # Along the active curve x1 = 1 + log(2 - x0) the loss has one variable.
    curve = scipy.optimize.minimize_scalar(
        lambda a: (a - 3) ** 2 + (1 + np.log(2 - a)) ** 2,
        bounds=(0.5, 1.99),
        method="bounded",
        options={"xatol": 1e-12},
    )
    solution = descend.solve(problem)
    assert solution.status == "local", solution.certificate.note
    assert solution.value == pytest.approx(curve.fun, abs=1e-6)


@pytest.mark.slow
def test_dependent_equalities_and_a_budget_of_one():
    rows = np.random.default_rng(0).normal(size=(3, 5))
    many = lambda x: jnp.concatenate([rows @ x, rows @ x, 2 * (rows @ x)])  # noqa: E731
    problem = descend.Problem(
        lambda x: jnp.sum((x - 1) ** 4) + x[0] * x[1],
        descend.Real(5),
        subject_to=[descend.equal(many, np.repeat([1.0, 1.0, 2.0], 3), name="thrice")],
    )
    assert descend.solve(problem, budget=descend.Budget(evaluations=1)).status in ("budget", "infeasible")
    alone = scipy.optimize.minimize(
        lambda x: np.sum((x - 1) ** 4) + x[0] * x[1], np.zeros(5), method="SLSQP", options={"ftol": 1e-14},
        constraints={"type": "eq", "fun": lambda x: rows @ x - 1},
    )  # fmt: skip
    solution = descend.solve(problem)
    assert solution.status == "local" and solution.value == pytest.approx(alone.fun, abs=1e-5)


def test_without_ipopt_the_plan_does_without(monkeypatch):
    monkeypatch.setattr(ipopt, "installed", lambda: False)
    planned = plan(hock_schittkowski_71())
    assert not any(isinstance(stage.solver, solvers.Ipopt) for stage in planned.stages)
    solution = descend.solve(planned)
    assert solution.status == "local" and solution.value == pytest.approx(17.0140173, rel=1e-6)


def test_of_two_points_that_cost_the_same_the_cleaner_one_is_kept():
    """What a violation within the tolerance gains is no merit; a real gain still is."""
    evaluator = SimpleNamespace(noisy=False, problem=SimpleNamespace(adversary=(), judge=None))
    best, key = Incumbent(1e-6), jax.random.key(0)
    assert best.offer(evaluator, np.array([0.0]), key, (1.0, 9e-7))
    assert best.offer(evaluator, np.array([1.0]), key, (1.0 + 5e-7, 1e-9)) and best.violation == 1e-9
    assert not best.offer(evaluator, np.array([2.0]), key, (1.0 + 5e-6, 0.0))
    assert best.offer(evaluator, np.array([3.0]), key, (0.9, 9e-7)) and best.loss == 0.9


def test_a_system_of_equations_is_solved_and_proved():
    circle = descend.equal(lambda x: jnp.sum(x**2), 4.0, name="circle")
    line = descend.equal(lambda x: x[0] - x[1], 1.0, name="line")
    system = descend.Problem(lambda x: 0.0, descend.Real(2, start=[2.0, 1.0]), subject_to=[circle, line])
    found = descend.solve(system)
    assert found.status == "optimal" and "points anywhere" not in str(found)
    np.testing.assert_allclose(found.x[1], (np.sqrt(7) - 1) / 2, rtol=1e-7)
    # Any feasible point is as good as any other: once one is found, no other stage begins.
    assert not any("stage 2" in line for _, line in found.trace.log)


def test_newton_on_the_conditions_takes_an_answer_to_the_last_digit():
    """Three variables, one held by a bound and one by a constraint whose scale is far from the others'."""
    problem = descend.Problem(
        lambda x: (x[0] - 2) ** 2 + 1e4 * (x[1] - 1) ** 4 + (x[2] + 1) ** 2 + x[0] * x[1],
        descend.Real(3, lower=0.0, start=np.array([0.732, 0.964, 1e-4])),
        subject_to=[descend.at_most(lambda x: 1e3 * (x[0] ** 2 + x[1]), 1.5e3, name="bowl")],
    )
    found = descend.solve(problem, solver=solvers.KKTNewton())
    assert found.status == "local" and found.x[2] == 0 and found.certificate.stationarity < 1e-12
    exact = scipy.optimize.minimize_scalar(
        lambda a: (a - 2) ** 2 + 1e4 * (0.5 - a**2) ** 4 + 1 + a * (1.5 - a**2), bounds=(0.5, 1.0), method="bounded",
        options={"xatol": 1e-12},
    )  # fmt: skip
    np.testing.assert_allclose(found.x[0], exact.x, atol=1e-6)
    assert found.evaluations < 2000
