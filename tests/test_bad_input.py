"""What the command line does with bad input: section by section of what users get wrong."""

import numpy as np
import pytest
from click.testing import CliRunner
from commandline import PROBLEMS, descend_

from descend import cli


@pytest.mark.slow
def test_points_that_raise_are_skipped():
    ran = descend_("solve", PROBLEMS / "raising.py", "--seconds", 20, "--evaluations", 2000, "--json")
    assert ran.status == 0 and ran.json["value"] < 1e-3


@pytest.mark.slow
def test_an_objective_that_always_raises_fails_with_the_users_lines():
    ran = descend_("solve", f"{PROBLEMS / 'raising.py'}:hopeless", "--seconds", 20, "--json")
    assert ran.status == 1 and ran.json["status"] == "failed" and ran.json["value"] is None
    assert "it never works" in ran.json["error"] and "raising.py" in ran.json["error"]
    assert "descend/engine" not in ran.json["error"]


@pytest.mark.slow
def test_values_that_are_not_finite_are_skipped():
    ran = descend_("solve", PROBLEMS / "not_finite.py", "--seconds", 20, "--json")
    assert ran.status == 0 and np.allclose(ran.json["x"], 1.0, atol=1e-3)
    ran = descend_("solve", f"{PROBLEMS / 'not_finite.py'}:hopeless", "--seconds", 20, "--json")
    assert ran.status == 1 and ran.json["status"] == "failed" and ran.json["value"] is None


@pytest.mark.slow
def test_contradictory_constraints_are_infeasible():
    ran = descend_("solve", PROBLEMS / "contradictory.py", "--seconds", 60, "--json")
    assert ran.status == 1 and ran.json["status"] == "infeasible", ran.json["message"]
    assert set(ran.json["conflicts"]) == {"low", "high"}
    assert abs(ran.json["violation"] - 1.0) < 1e-2


@pytest.mark.slow
def test_an_unbounded_objective_has_a_ray():
    ran = descend_("solve", PROBLEMS / "unbounded.py", "--seconds", 30, "--json")
    assert ran.status == 1 and ran.json["status"] == "unbounded"
    assert np.dot(ran.json["ray"], [1.0, 2.0]) < 0


@pytest.mark.slow
def test_a_run_can_be_resumed_and_a_torn_checkpoint_is_ignored(tmp_path):
    task = ("solve", f"{PROBLEMS / 'hanging.py'}:patient")
    first = descend_(*task, "--evaluations", 60, "--out", tmp_path, "--json")
    assert first.status == 0 and first.json["evaluations"] < 120, first.err
    second = descend_(*task, "--evaluations", 120, "--resume", tmp_path, "--json")
    assert second.status == 0 and second.json["value"] <= first.json["value"]
    rows = len(first.json["trace"]["value"])
    assert second.json["trace"]["value"][:rows] == first.json["trace"]["value"], "it continues, and does not begin anew"
    assert len(second.json["trace"]["value"]) > rows
    checkpoint = tmp_path / "checkpoint.npz"
    checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    third = descend_(*task, "--evaluations", 60, "--resume", tmp_path, "--json")
    assert third.status == 0 and any("not a whole checkpoint" in message for _, message in third.json["trace"]["log"])
    fourth = descend_(*task, "--evaluations", 60, "--out", tmp_path, "--json")
    assert (tmp_path / "checkpoint.previous.npz").is_file() and fourth.json["evaluations"] == first.json["evaluations"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments, said",
    [
        (["quadratic.py:problen"], "did you mean"),
        (["quadratic.py:number"], "expected a descend.Problem"),
        (["quadratic.py:of_size"], "a function of x"),
        (["shapes.py"], "must return a scalar, got shape (2,)"),
        (["contradictory.py:empty"], "empty domain"),
        (["quadratic.py", "--solver", "cna"], "did you mean CMA?"),
        (["quadratic.py", "--route", "smoth"], "did you mean smooth?"),
        (["quadratic.py", "--route", "smooth(sigma=-1.0)"], "sigma"),
    ],
)
def test_bad_input_ends_with_status_2(arguments, said):
    ran = descend_("solve", PROBLEMS / arguments[0], *arguments[1:])
    assert ran.status == 2 and ran.out == "" and said in ran.err, ran


# Mistakes that are found before anything starts.


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["solve", PROBLEMS / "quadratik.py"], "did you mean"),
        (["solve", PROBLEMS / "nowhere" / "x.py"], "there is no folder"),
        (["solve", PROBLEMS], "no file"),
        (["solve", PROBLEMS / "quadratic.py", "--seconds", "-1"], "positive"),
        (["solve", PROBLEMS / "quadratic.py", "--seconds", "nan"], "positive"),
        (["solve", PROBLEMS / "quadratic.py", "--evaluations", "0"], "0 is not in the range"),
        (["solve", PROBLEMS / "quadratic.py", "--out", PROBLEMS / "quadratic.py"], "File exists"),
        (["solve", PROBLEMS / "quadratic.py", "--out", PROBLEMS / "quadratic.py" / "below"], "Not a directory"),
        (["solve", PROBLEMS / "quadratic.py", "--resume", PROBLEMS], "no checkpoint to resume from"),
        (["solve", PROBLEMS / "quadratic.py", "--resume", "a", "--out", "b"], "not both"),
        (["solve", PROBLEMS / "quadratic.py", "--sekonds", "3"], "--seconds"),
        (["gallery", "run", "nosuchsystem"], "no gallery system"),
        (["gallery", "list", "--why", "flta"], "did you mean 'flat'?"),
    ],
)
def test_mistakes_are_answered_at_once(arguments, said):
    result = CliRunner().invoke(cli.main, list(map(str, arguments)))
    assert result.exit_code == 2 and said in result.stderr and result.stdout == "", result.output
