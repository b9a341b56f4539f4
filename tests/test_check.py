"""`descend check`: honest answers pass, and no tampered one does."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend import Binary, Problem, Real, at_most, equal
from descend.check import check, run
from descend.check.branching import unbeaten
from descend.check.check import verify
from descend.check.conditions import bounded
from descend.check.values import Values
from descend.inspection.certificate import certify
from descend.inspection.feasibility import least_violation, ray
from descend.reporting.record import dumps, record, write
from descend.solution import Certificate, Solution, Status

SOURCE = """
import jax
import jax.numpy as jnp
import numpy as np
from descend import Binary, Problem, Real, Simplex, at_least, at_most, equal

hs71 = Problem(
    lambda v: v["x"][0] * v["y"] * (v["x"][0] + v["x"][1] + v["x"][2]) + v["x"][2],
    over={"x": Real(3, 1, 5), "y": Real((), 1, 5)},
    subject_to=[
        at_least(lambda v: jnp.prod(v["x"]) * v["y"], 25.0, name="product"),
        equal(lambda v: jnp.vdot(v["x"], v["x"]) + v["y"] ** 2, 40.0, name="square"),
    ],
)
linear = Problem(
    lambda x: 3 * x[0] + 5 * x[1],
    over=Real(2, 0),
    sense="max",
    subject_to=[at_most(lambda x: jnp.array([x[0], 2 * x[1], 3 * x[0] + 2 * x[1]]), [4.0, 12.0, 18.0], name="plants")],
)
simplex = Problem(
    lambda p: jnp.vdot(p, p), over=Simplex(3), subject_to=[at_least(lambda p: p[0], 0.5, name="half")]
)
broken = Problem(
    lambda x: jnp.sum(x),
    over=Real(2),
    subject_to=[
        at_least(lambda x: x[0] + x[1], 1, name="a"),
        at_most(lambda x: x[0] + x[1], -1, name="b"),
        at_most(lambda x: x[0], 5, name="c"),
    ],
)
endless = Problem(lambda x: -x[0] + x[1] ** 2, over=Real(2, [0, -1], [np.inf, 1]))
knapsack = Problem(
    lambda x: -np.dot([4.0, 5.0, 3.0], x),
    over=Binary(3),
    subject_to=[at_most(lambda x: np.dot([2.0, 3.0, 1.0], x), 3.0, name="weight")],
    black_box=True,
)
noisy = Problem(lambda x, *, key: jnp.sum(x**2) + jax.random.normal(key), over=Real(1))
"""
ANSWERS = {
    "hs71": {"x": np.array([1.0, 4.7429996379, 3.8211499790]), "y": np.array(1.3794082915)},
    "linear": np.array([2.0, 6.0]),
    "simplex": np.array([0.5, 0.25, 0.25]),
}


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    """The file, and what is in it."""
    path = tmp_path_factory.mktemp("source") / "stated_for_check.py"
    path.write_text(SOURCE)
    space = {}
    exec(compile(SOURCE, str(path), "exec"), space)
    return path, space


def answer(problem, x, path=None, name="", **changes):
    """An honest record of x."""
    made = certify(problem, x, tolerance=2e-6)
    found = problem.evaluate(x if problem.black_box else jax.tree.map(jax.numpy.asarray, x))
    fields = {
        "status": {"local": Status.LOCAL, "proved": Status.OPTIMAL}.get(made.evidence, Status.CONVERGED),
        "value": problem.sign * float(found.loss),
        "violation": float(problem.violation(found.constraints)),
        "certificate": made,
        "settings": {"file": str(path), "name": name},
    }
    return Solution(x=x, **(fields | changes))


def lines(problem, solution, **json_changes):
    body = json.loads(dumps(record(solution))) | json_changes
    return verify(problem, solution, body)


def wrong(problem, solution, **json_changes):
    """What is not ok."""
    return {line.what for line in lines(problem, solution, **json_changes) if not line.ok}


def certified(solution, **changes):
    return dataclasses.replace(solution, certificate=dataclasses.replace(solution.certificate, **changes))


@pytest.mark.parametrize("name", ANSWERS)
def test_honest_answers_pass_in_files(name, problems, tmp_path, capsys):
    path, space = problems
    solution = answer(space[name], ANSWERS[name], path, name)
    expected = Status.OPTIMAL if name in ("linear", "simplex") else Status.LOCAL
    assert solution.status == expected, solution.certificate.note
    write(solution, tmp_path)
    assert run(tmp_path, as_json=True) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["ok"] and {"value", "violation", "stationarity", "complementarity", "signs"} <= {
        line["what"] for line in body["lines"]
    }


def test_tampered_files_fail(problems, tmp_path, capsys):
    path, space = problems
    write(answer(space["linear"], ANSWERS["linear"], path, "linear"), tmp_path)
    text = (tmp_path / "solution.json").read_text()
    body = json.loads(text)
    for changed in ({"value": 37.0}, {"x": [2.0, 5.0]}, {"violation": 0.1}, {"status": "infeasible"}):
        (tmp_path / "solution.json").write_text(json.dumps(body | changed))
        assert run(tmp_path) == 1, changed
        assert "NOT OK" in capsys.readouterr().out
    (tmp_path / "solution.json").write_text(text)
    assert run(tmp_path) == 0
    stored = dict(np.load(tmp_path / "solution.npz"))
    for name, index in (("x", 0), ("multipliers/plants", 1)):
        other = {key: array.copy() for key, array in stored.items()}
        other[name][index] += 1e-3
        np.savez(tmp_path / "solution.npz", **other)
        assert run(tmp_path) == 1, name


def test_every_claim_is_rechecked(problems):
    """Tampering that is the same in both files, so that only recomputation can find it."""
    problem = problems[1]["hs71"]
    honest = answer(problem, ANSWERS["hs71"])
    assert wrong(problem, honest) == set()
    assert "value" in wrong(problem, dataclasses.replace(honest, value=honest.value + 1e-5))
    moved = {"x": honest.x["x"] + np.array([0.0, 1e-3, 0.0]), "y": honest.x["y"]}
    assert {"value", "violation", "stationarity"} <= wrong(problem, dataclasses.replace(honest, x=moved))
    outside = {"x": honest.x["x"] - np.array([1e-3, 0.0, 0.0]), "y": honest.x["y"]}
    assert "domain" in wrong(problem, dataclasses.replace(honest, x=outside))
    forces = honest.certificate.multipliers
    for name in forces:
        assert "stationarity" in wrong(problem, certified(honest, multipliers=forces | {name: forces[name] * 1.001}))
    assert "signs" in wrong(problem, certified(honest, multipliers={**forces, "product": -forces["product"]}))
    bounds = honest.certificate.bound_multipliers
    assert "stationarity" in wrong(problem, certified(honest, bound_multipliers=bounds * 1.001))
    on_air = bounds + np.array([0.0, -1e-3, 0.0, 0.0])  # a force from a bound that x is not at
    assert {"stationarity", "complementarity"} <= wrong(problem, certified(honest, bound_multipliers=on_air))
    assert "multipliers" in wrong(problem, certified(honest, multipliers={"product": forces["product"]}))
    assert "certificate" in wrong(problem, certified(honest, evidence="none"))
    assert "certificate" in wrong(problem, certified(honest, stationarity=1e-2))
    far = {"x": np.array([1.0, 4.0, 4.0]), "y": np.array(np.sqrt(7.0))}  # feasible, not optimal
    pretended = certified(answer(problem, far, status=Status.LOCAL), evidence="local", stationarity=0.0, scale=1e9)
    assert "stationarity" in wrong(problem, pretended)


def test_a_maximum_pretending_to_be_a_minimum():
    """First-order conditions hold; better neighbors give it away."""
    problem = Problem(lambda x: -1e3 * x[0] ** 2, over=Real(1))
    solution = answer(problem, np.zeros(1), status=Status.LOCAL)
    pretended = certified(solution, evidence="local")
    assert wrong(problem, pretended) == {"neighbors"}
    circle = Problem(lambda x: x[1], over=Real(2), subject_to=[equal(lambda x: x @ x, 1.0, name="circle")])
    assert wrong(circle, answer(circle, np.array([0.0, -1.0]))) == set()
    top = answer(circle, np.array([0.0, 1.0]), status=Status.LOCAL)
    assert wrong(circle, certified(top, evidence="local")) == {"neighbors"}


def test_infeasible_answers(problems):
    problem = problems[1]["broken"]
    x, conflicts, *_ = least_violation(problem, np.zeros(2), jax.random.key(0))
    honest = answer(problem, x, status=Status.INFEASIBLE, conflicts=conflicts)
    assert wrong(problem, honest) == set()
    assert "conflicts" in wrong(problem, dataclasses.replace(honest, conflicts=["c"]))
    assert "conflicts" in wrong(problem, dataclasses.replace(honest, conflicts=["d"]))
    loose = answer(problem, x + 0.1, status=Status.INFEASIBLE, conflicts=conflicts)
    assert wrong(problem, loose) == {"least violation"}
    feasible = Problem(lambda x: x[0], over=Real(1), subject_to=[at_most(lambda x: x[0], 1.0, name="c")])
    assert "conflicts" in wrong(feasible, answer(feasible, np.zeros(1), status=Status.INFEASIBLE, conflicts=["c"]))


def test_unbounded_answers(problems):
    problem = problems[1]["endless"]
    x = np.zeros(2)
    direction = ray(problem, x)
    honest = answer(problem, x, status=Status.UNBOUNDED, ray=direction)
    assert wrong(problem, honest) == set()
    assert "loss on it" in wrong(problem, dataclasses.replace(honest, ray=-direction))
    assert "ray" in wrong(problem, dataclasses.replace(honest, ray=np.array([1.0, 1.0])))
    decay = Problem(lambda x: jax.numpy.exp(-x[0]), over=Real(1))
    pretended = answer(decay, np.zeros(1), status=Status.UNBOUNDED, ray=np.ones(1))
    assert wrong(decay, pretended) == {"loss on it"}


def test_discrete_optima_are_enumerated(problems):
    problem = problems[1]["knapsack"]
    best = answer(problem, np.array([1.0, 0.0, 1.0]), status=Status.OPTIMAL)
    assert wrong(problem, best) == set()
    second = answer(problem, np.array([0.0, 1.0, 0.0]), status=Status.OPTIMAL)
    assert wrong(problem, second) == {"optimality"}
    half = answer(problem, np.array([0.5, 1.0, 0.0]), status=Status.CONVERGED)
    assert wrong(problem, half) == {"domain"}


def test_random_values_are_compared_within_their_errors(problems):
    problem = problems[1]["noisy"]
    honest = answer(problem, np.ones(1), value=1.02, value_se=1 / 16, samples=256)
    assert wrong(problem, honest) == set()
    assert wrong(problem, dataclasses.replace(honest, value=2.0)) == {"value"}


def test_claims_of_many_variables_are_sampled():
    """Two thousand variables: along random directions, a wrong multiplier and a wrong point are still seen."""
    n = 2000
    problem = Problem(
        lambda x, *, given: jax.numpy.vdot(x - given, x - given) / 2,
        over=Real(n),
        given=np.linspace(-1, 1, n),
        subject_to=[equal(lambda x: jax.numpy.sum(x), 20.0, name="sum")],
    )
    x = np.linspace(-1, 1, n) + 0.01
    cost = Certificate(0.0, 0.0, 0.0, 1.0, {"sum": np.array(-0.01)}, np.zeros(n), 1.0, 1e-6, evidence="local")
    honest = answer(problem, x, status=Status.LOCAL, certificate=cost)
    assert wrong(problem, honest) == set()
    assert "stationarity" in wrong(problem, certified(honest, multipliers={"sum": np.array(-0.0101)}))
    shifted = x + np.where(np.arange(n) == 5, 1e-3, np.where(np.arange(n) == 6, -1e-3, 0))
    assert "stationarity" in wrong(problem, answer(problem, shifted, status=Status.LOCAL, certificate=cost))


def test_finite_differences_and_their_errors():
    problem = Problem(
        lambda x: jax.numpy.exp(x[0]) * jax.numpy.sqrt(x[1]),
        over=Real(2, [-np.inf, 0.5]),
        subject_to=[at_most(lambda x: x[0] ** 3 * x[1], 1.0, name="c")],
    )
    x = np.array([0.3, 0.5])  # the second is at its bound, and differences stay inside
    slopes, errors = Values(problem, x).slopes(x, np.eye(2), 1e-12)
    exact = np.array(
        [
            [np.exp(0.3) * np.sqrt(0.5), 3 * 0.3**2 * 0.5],
            [np.exp(0.3) / (2 * np.sqrt(0.5)), 0.3**3],
        ]
    )
    assert np.all(abs(slopes - exact) <= errors + 1e-14) and np.max(errors) < 1e-8


def test_bad_folders(problems, tmp_path, capsys):
    path, space = problems
    assert run(tmp_path / "nothing") == 2
    write(answer(space["linear"], ANSWERS["linear"], path.with_name("gone.py"), "linear"), tmp_path)
    assert run(tmp_path, as_json=True) == 2
    shown = capsys.readouterr()
    assert "gone.py" in json.loads(shown.out.splitlines()[-1])["error"]
    assert all(line.ok for line in check(tmp_path, (str(path), "linear")))
    assert run(tmp_path, source=(str(path), "simplex")) == 2  # another problem
    (tmp_path / "solution.npz").write_bytes(b"torn")
    assert run(tmp_path, source=(str(path), "linear")) == 2


def test_proofs_are_tried_and_whole_numbers_branched():
    weight, worth = np.arange(3.0, 18.0), np.array([7.0, 9, 3, 8, 8, 6, 5, 9, 7, 1, 9, 4, 2, 6, 8])
    chosen = Problem(
        lambda x: worth @ x, Binary(15), subject_to=[at_most(lambda x: weight @ x, 40.0, name="weight")], sense="max"
    )
    best = np.zeros(41, int)
    for w, v in zip(weight.astype(int), worth.astype(int), strict=True):
        best[w:] = np.maximum(best[w:], best[:-w] + v)
    members = np.array(list(np.ndindex(*[2] * 15)), float)
    members = members[members @ weight <= 40]
    top = members[np.argmax(members @ worth)]
    assert top @ worth == best[40]
    found, good = unbeaten(Values(chosen, top), top, 0.0)
    assert good and "nodes" in found
    second = members[np.argmin(abs(members @ worth - (best[40] - 1)))]
    found, good = unbeaten(Values(chosen, second), second, 0.0)
    assert not good and "better" in found
    bent = Problem(lambda x: worth @ x + x[0] * x[1], Binary(15))
    assert unbeaten(Values(bent, top), top, 0.0) == ("not rechecked: not linear", False)
    wave = Values(Problem(lambda x: x[0] ** 2 - 2 * jnp.cos(3 * x[0]) + x[1] ** 2, Real(2)), np.zeros(2))
    there = np.array([1.9, 0.0])  # in another valley
    claim = Certificate(0.0, 0.0, 0.0, 1.0, gap=0.0, evidence="proved")
    assert bounded(wave, np.zeros(2), claim)[3] and not bounded(wave, there, claim)[3]
