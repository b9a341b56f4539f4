"""The engine against its promises, and against what goes wrong."""

import concurrent.futures
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend import solvers
from descend.engine import Plan, Stage
from descend.findings import Findings

QUICK = descend.Budget(seconds=20, evaluations=3000)


def bowl(x):
    return jnp.sum((x - 1) ** 2)


def numpy_bowl(x):
    return float(np.sum((np.asarray(x) - 1) ** 2))


def dying(x):
    if not os.path.exists("died"):
        open("died", "w").close()
        os._exit(1)
    return numpy_bowl(x)


def hanging(x):
    if x[0] > 0:
        time.sleep(60)
    return numpy_bowl(x)


@pytest.mark.parametrize(
    ("objective", "status"),
    [
        (lambda x: float("nan"), "failed"),
        (lambda x: {}["missing"], "failed"),
        (lambda x: x[0] if x[0] > 0 else float("nan"), "budget"),
        (lambda x: float(x[0] ** 2) if x[0] < 0.3 else 1 / 0, "budget"),
    ],
)
def test_failing_evaluations_are_recorded(objective, status):
    problem = descend.Problem(objective, over=descend.Real(2, -1.0, 1.0), black_box=True)
    solution = descend.solve(problem, budget=descend.Budget(seconds=20, evaluations=200))
    assert solution.status == status
    assert (solution.x is None) == (status == "failed")


def test_the_first_traceback_is_the_users():
    def objective(x):
        raise RuntimeError("the pump is off")

    solution = descend.solve(descend.Problem(objective, over=descend.Real(2)), budget=QUICK)
    assert solution.status == "failed" and "the pump is off" in solution.error
    assert "descend/" not in solution.error and __file__ in solution.error


def test_contradictory_constraints_are_named():
    conditions = [
        descend.at_most(lambda x: x[0], -1.0, name="low"),
        descend.at_least(lambda x: x[0], 1.0, name="high"),
        descend.at_most(lambda x: x[1], 5.0, name="idle"),
    ]
    solution = descend.solve(descend.Problem(bowl, over=descend.Real(2), subject_to=conditions), budget=QUICK)
    assert solution.status == "infeasible" and sorted(solution.conflicts) == ["high", "low"]
    np.testing.assert_allclose(solution.x[0], 0.0, atol=1e-5)


def test_an_endless_fall_comes_with_its_ray():
    problem = descend.Problem(lambda x: -x[0] + x[1] ** 2, over=descend.Real(2, lower=0.0))
    solution = descend.solve(problem, budget=QUICK)
    assert solution.status == "unbounded"
    np.testing.assert_allclose(solution.ray, [1.0, 0.0], atol=1e-6)


def test_a_maximum_is_not_an_answer():
    solution = descend.solve(descend.Problem(lambda x: jnp.sum(x**4 - x**2), over=descend.Real(3)), budget=QUICK)
    assert solution.status == "local"
    np.testing.assert_allclose(np.abs(solution.x), np.sqrt(0.5), atol=1e-5)


def test_a_start_that_is_not_a_number_is_left():
    problem = descend.Problem(lambda x: jnp.sum(x - jnp.log(x)), over=descend.Real(2, start=-1.0, scale=2.0))
    solution = descend.solve(problem, budget=QUICK, key=1)
    np.testing.assert_allclose(solution.x, 1.0, atol=1e-4)
    assert any("random points" in message for _, message in solution.trace.log)


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (ValueError, "expected shape", {"start": np.zeros(3)}),
        (ValueError, "not in Real", {"start": np.full(2, 9.0)}),
        (ValueError, "starts must be", {"starts": 0}),
        (TypeError, "budget must be", {"budget": 5}),
        (TypeError, "key must be", {"key": "a"}),
        (TypeError, "solver must be", {"solver": "cma"}),
        (TypeError, "route must be", {"route": "smooth"}),
        (ValueError, "without bounds; try", {"solver": solvers.QuasiNewton()}),
        (
            ValueError,
            "trusts value and gradient",
            {"solver": solvers.BoundedQuasiNewton(), "route": descend.routes.smooth()},
        ),
        (ValueError, "for black boxes", {"workers": 2}),
        (ValueError, "needs workers", {"budget": descend.Budget(seconds_each=1.0)}),
    ],
)
def test_wrong_arguments_are_one_line(error, match, arguments):
    with pytest.raises(error, match=match) as caught:
        descend.solve(descend.Problem(bowl, over=descend.Real(2, -5.0, 5.0)), **arguments)
    assert "\n" not in str(caught.value)


def test_one_evaluation_is_enough_for_an_answer():
    problem = descend.Problem(numpy_bowl, over=descend.Real(2))
    solution = descend.solve(problem, budget=descend.Budget(evaluations=1))
    assert solution.status == "budget" and solution.value == 2.0


def test_a_callback_and_ctrl_c_keep_the_best_point():
    problem = descend.Problem(numpy_bowl, over=descend.Real(3))
    stopped = descend.solve(problem, callback=lambda event: event.value is not None and event.value < 1)
    assert stopped.status == "interrupted" and stopped.value < 1

    def interrupt(event):
        if event.evaluations > 300:
            raise KeyboardInterrupt

    interrupted = descend.solve(problem, callback=interrupt)
    assert interrupted.status == "interrupted" and interrupted.value < 3


PLANS = {
    "quasi-newton": lambda: Plan(
        descend.Problem(bowl, over=descend.Real(4)), [Stage(solvers.QuasiNewton(), None, "")], Findings()
    ),
    "smoothed": lambda: Plan(
        descend.Problem(lambda x: jnp.sum(jnp.floor(4 * jnp.abs(x - 1))), over=descend.Real(4)),
        [Stage(solvers.Descent(), descend.routes.smooth(sigma=0.3, samples=8), "")],
        Findings(),
    ),
    "cma": lambda: Plan(
        descend.Problem(numpy_bowl, over=descend.Real(4)), [Stage(solvers.CMA(), None, "")], Findings()
    ),
    "population": lambda: Plan(
        descend.Problem(
            lambda x, *, key: float(np.sum((x - 3) ** 2) + np.random.default_rng(key).normal()),
            over=descend.Integer(4, 0, 9),
        ),
        [Stage(solvers.Population(), None, "")],
        Findings(),
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_stopped_run_goes_on_as_if_it_had_not_been(name, tmp_path):
    limit = descend.Budget(seconds=None, evaluations=3000)
    whole = descend.solve(PLANS[name](), budget=limit, key=3)
    heard = []

    def stop(event):
        heard.append(event)
        return len(heard) == 4

    path = tmp_path / "run.npz"
    descend.solve(PLANS[name](), budget=limit, key=3, checkpoint=path, callback=stop)
    resumed = descend.solve(PLANS[name](), budget=limit, key=3, checkpoint=path)
    for column in ("evaluations", "value", "violation", "current", "stage"):
        np.testing.assert_array_equal(getattr(resumed.trace, column), getattr(whole.trace, column), column)
    assert resumed.value == whole.value


def test_torn_and_foreign_checkpoints(tmp_path):
    path = tmp_path / "run.npz"
    problem = descend.Problem(numpy_bowl, over=descend.Real(2))
    path.write_bytes(b"PK\x03\x04 torn")
    solution = descend.solve(problem, budget=descend.Budget(evaluations=50), checkpoint=path)
    assert solution.x is not None and "not a whole checkpoint" in solution.trace.log[0][1]
    with pytest.raises(ValueError, match="another problem"):
        descend.solve(descend.Problem(numpy_bowl, over=descend.Real(3)), checkpoint=path, budget=QUICK)


def test_workers_give_the_same_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    problem = descend.Problem(numpy_bowl, over=descend.Real(2))
    limit = descend.Budget(evaluations=60)
    alone = descend.solve(problem, budget=limit)
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        threads = descend.solve(problem, budget=limit, workers=executor)
    spawned = descend.solve(problem, budget=limit, workers=2)
    assert alone.trace.value == threads.trace.value == spawned.trace.value
    died = descend.solve(descend.Problem(dying, over=descend.Real(2), black_box=True), budget=limit, workers=1)
    assert died.trace.value == alone.trace.value


@pytest.mark.slow
def test_a_hanging_evaluation_is_ended():
    problem = descend.Problem(hanging, over=descend.Real(2), black_box=True)
    began = time.monotonic()
    solution = descend.solve(problem, budget=descend.Budget(seconds=60, evaluations=20, seconds_each=0.5), workers=2)
    assert solution.x is not None and time.monotonic() - began < 40
    assert "no answer within 0.5 s" in solution.error


def test_functions_that_cannot_be_imported_are_refused_for_workers():
    problem = descend.Problem(lambda x: numpy_bowl(x), over=descend.Real(2), black_box=True)
    with pytest.raises(ValueError, match="another process can import"):
        descend.solve(problem, workers=2)


def test_the_reported_value_of_a_noisy_objective_is_not_a_lucky_one():
    problem = descend.Problem(lambda x, *, key: jax.random.normal(key), over=descend.Integer(3, 0, 9))
    plan = Plan(problem, [Stage(solvers.Population(patience=3, restarts=0), None, "")], Findings())
    found = [descend.solve(plan, key=key, budget=descend.Budget(evaluations=1000)) for key in range(12)]
    scores = np.array([solution.value / solution.value_se for solution in found])
    assert abs(scores.mean() * np.sqrt(len(scores))) < 4 and 0.4 < scores.std() < 2


def test_the_judge_chooses_and_baselines_are_scored():
    problem = descend.Problem(
        bowl,
        over=descend.Real(2),
        judge=lambda x: float(np.sum((x - 0.5) ** 2)),
        baselines={"old": np.full(2, 0.9)},
        metrics={"sum": lambda x: float(np.sum(x))},
    )
    plan = Plan(problem, [Stage(solvers.Descent(learning_rate=0.02), None, "")], Findings())
    solution = descend.solve(plan, budget=descend.Budget(evaluations=3000))
    answer, old = solution.rows
    assert answer.judge < old.judge and answer.value > old.value
    np.testing.assert_allclose([old.value, old.judge, old.metrics["sum"]], [0.02, 0.32, 1.8])


def test_more_starts_find_the_better_basin_and_a_solution_is_a_start():
    wells = descend.Problem(lambda x: jnp.sum((x**2 - 1) ** 2 + 0.3 * x), over=descend.Real(1, -2, 2, start=1.0))
    assert descend.solve(wells).x > 0 > descend.solve(wells, starts=6).x
    again = descend.solve(wells, start=descend.solve(wells, starts=6))
    assert again.x < 0 and again.status == "local"


def test_maximizing_and_restating():
    problem = descend.Problem(
        lambda x, *, given: -jnp.sum((x - given) ** 2), over=descend.Real(2), sense="max", given=jnp.array(2.0)
    )
    first, second = descend.solve(problem), descend.solve(problem.at(jnp.array(5.0)))
    np.testing.assert_allclose([first.x[0], second.x[0], second.value], [2.0, 5.0, 0.0], atol=1e-6)


def test_small_discrete_problems_are_proved():
    weights = np.array([3.0, -1.0, 2.0, -4.0, 1.5])
    problem = descend.Problem(lambda x: jnp.sum(weights * x), over=descend.Subset(5, 2))
    solution = descend.solve(problem)
    assert solution.status == "optimal" and solution.value == -5.0


def test_the_current_value_is_the_objective_without_the_penalty():
    share = lambda x: jnp.mean(x > 0.5)  # noqa: E731
    problem = descend.Problem(share, over=descend.Real(3), subject_to=descend.at_most(lambda x: jnp.sum(x**2), -1.0))
    found = descend.solve(
        problem, solver=solvers.AugmentedLagrangian(solvers.Descent()), budget=descend.Budget(evaluations=3000)
    )
    current = np.asarray(found.trace.current)
    assert "penalty" in found.trace.signals
    assert np.isin(np.round(3 * current[np.isfinite(current)], 6), [0, 1, 2, 3]).all()
