"""What a problem may be that no solver wants, for every solver that could be given it: no crash, and no false claim."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend import solvers
from descend.solution import Status
from descend.solvers import Solver, ipopt
from tests.test_solvers import every_solver

BUDGET = descend.Budget(seconds=60, evaluations=20_000)
CLAIMS = (Status.OPTIMAL, Status.LOCAL)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def smooth_solvers() -> list[Solver]:
    """Every solver of general problems over a box, inside an augmented Lagrangian where it ignores constraints."""
    found = []
    for kind in every_solver():
        needs = kind.example().NEEDS
        special = needs.linear or needs.convex_quadratic or needs.adversary or needs.finite or needs.free or needs.kinks
        if needs.gradient and not special and kind is not solvers.AugmentedLagrangian:
            inner = kind.example()
            found.append(solvers.AugmentedLagrangian(inner) if needs.unconstrained else inner)
    return found


SMOOTH = pytest.mark.parametrize("solver", smooth_solvers(), ids=repr)


def solved(problem, solver, budget=BUDGET):
    if isinstance(solver, solvers.Ipopt) and not ipopt.installed():
        pytest.skip("needs descend[ipopt]")
    try:
        return descend.solve(problem, solver=solver, budget=budget, progress=False)
    except (TypeError, ValueError) as error:
        pytest.skip(f"refused: {error}")


def box(start):
    return descend.Real(2, -3.0, 3.0, start=np.asarray(start))


def distance(x):
    return (x[0] - 2) ** 2 + (x[1] - 1) ** 2


PROBLEMS = {
    "no derivative at the start": (
        descend.Problem(
            lambda x: distance(x) + jnp.sqrt(x[0] + 1),
            box([-1.0, 0.0]),
            subject_to=[descend.at_most(lambda x: x[0] + x[1], 2.0, name="sum")],
        ),
        # On x0 + x1 = 2: 4 (x0 - 1.5)^2 / 2 + 1/2 + sqrt(x0 + 1), minimized by a fine grid.
        min((2 * (a - 1.5) ** 2 + 0.5 + np.sqrt(a + 1)) for a in np.linspace(1, 2, 200_001)),
    ),
    "no value at the start": (
        descend.Problem(
            lambda x: distance(x) - 1e-3 * jnp.log(x[0] - 1),
            box([-1.0, 0.0]),
            subject_to=[descend.at_most(lambda x: x[1], 0.5, name="low")],
        ),
        min(((a - 2) ** 2 + 0.25 - 1e-3 * np.log(a - 1)) for a in np.linspace(1.5, 2.5, 200_001)),
    ),
    "constraints without value outside": (
        descend.Problem(
            distance,
            box([0.0, 0.0]),
            subject_to=[descend.at_most(lambda x: x[0] ** 2 - jnp.sqrt(1 - x[0]), 0.0, name="root")],
        ),
        # x0 ^ 4 = 1 - x0
        (float(np.roots([1, 0, 0, 1, -1])[np.argmin(abs(np.roots([1, 0, 0, 1, -1]) - 0.72))].real) - 2) ** 2,
    ),
    "redundant": (
        descend.Problem(
            distance,
            box([0.0, 0.0]),
            subject_to=[
                descend.equal(lambda x: x[0] + x[1], 2.0, name="once"),
                descend.equal(lambda x: 2 * x[0] + 2 * x[1], 4.0, name="twice"),
                descend.at_most(lambda x: x[0] + x[1], 2.0, name="below"),
            ],
        ),
        0.5,
    ),
}


@pytest.mark.slow
@SMOOTH
@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_claimed_is_true(name, solver):
    problem, best = PROBLEMS[name]
    solution = solved(problem, solver)
    if solution.status in CLAIMS:
        assert solution.violation <= 1e-6 and solution.value == pytest.approx(best, abs=1e-5)
    else:
        assert solution.status in (Status.CONVERGED, Status.BUDGET, Status.FAILED), solution.message
    if solution.x is not None:
        assert problem.domain.contains(solution.x)


@pytest.mark.slow
@SMOOTH
def test_contradictions_are_named(solver):
    problem = descend.Problem(
        distance,
        box([0.0, 0.0]),
        subject_to=[
            descend.equal(lambda x: x[0] ** 2 + x[1] ** 2, 1.0, name="circle"),
            descend.at_least(lambda x: x[0] + x[1], 2.0, name="beyond"),
            descend.at_most(lambda x: x[1], 2.9, name="harmless"),
        ],
    )
    solution = solved(problem, solver)
    assert solution.status in (Status.INFEASIBLE, Status.BUDGET), solution.message
    if solution.status is Status.INFEASIBLE:
        assert solution.conflicts == ["circle", "beyond"] and solution.certificate.evidence == "local"


@pytest.mark.slow
@SMOOTH
def test_a_constraint_that_jumps(solver):
    problem = descend.Problem(
        distance,
        box([0.0, 0.0]),
        subject_to=[descend.at_most(lambda x: jnp.where(x[0] + x[1] > 1, 1.0 + x[0], x[0] - 3), 0.0, name="jump")],
    )
    solution = solved(problem, solver)
    assert solution.status not in CLAIMS and solution.status is not Status.INFEASIBLE
    assert solution.x is None or problem.domain.contains(solution.x)


@pytest.mark.slow
@SMOOTH
def test_one_evaluation(solver):
    problem = PROBLEMS["redundant"][0]
    solution = solved(problem, solver, descend.Budget(seconds=20, evaluations=1))
    assert solution.status in (Status.BUDGET, Status.INFEASIBLE)
    assert solution.x is not None and problem.domain.contains(solution.x)


def test_a_choice_that_is_used_as_an_index_is_told_what_it_is():
    table = jnp.array([3.0, 1.0, 2.0])
    over = {"level": descend.Choice(3), "items": descend.Subset(20, k=9)}
    problem = descend.Problem(lambda x: table[x["level"]] + x["items"][0], over)
    solution = descend.solve(problem, budget=descend.Budget(seconds=20), progress=False)
    assert solution.status is Status.FAILED
    assert "level is float64 of shape (3,), in Choice(3): one-hot on the last axis" in solution.error
    assert "Indexer must have integer" in solution.error


def test_a_flat_relaxation_comes_after_search_by_values():
    """Whether any chosen site is near: its derivative says nothing, so the search over neighbors begins."""
    far = np.random.default_rng(0).uniform(size=(20, 30))

    def missed(x):
        return 1 - jnp.mean(jnp.any((far < 0.2) & (x[:, None] > 0.5), axis=0))

    planned = descend.plan(descend.Problem(missed, descend.Subset(20, k=6)))
    assert isinstance(planned.stages[0].solver, solvers.Population)
    smooth = descend.Problem(lambda x: jnp.sum((far @ jnp.ones(30) - 20 * x) ** 2 * x), descend.Subset(20, k=6))
    assert isinstance(descend.plan(smooth).stages[0].solver, solvers.RelaxRound)
