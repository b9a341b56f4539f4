"""The command line: answers, exit statuses, time limits, interruption, bad input."""

import json
import math
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from commandline import HERE, PROBLEMS, descend_

from descend import running, worker
from descend.heard import Heard
from descend.launch import Ending, How
from descend.reporting import load
from descend.reporting.progress import Progress
from descend.solution import Event


def test_help_waits_for_neither_jax_nor_numpy():
    code = (
        "import sys; from click.testing import CliRunner; from descend.cli import main\n"
        "for args in ['--help'], ['solve', '--help'], ['inspect', 'nosuch.py'], ['gallery', 'list', '--json']:\n"
        "    CliRunner().invoke(main, args)\n"
        "    assert not {'jax', 'matplotlib', 'rich'} & set(sys.modules), args\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HERE.parent)
    bare = "import sys, descend.cli; assert not {'jax', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", bare], check=True, cwd=HERE.parent)


@pytest.mark.slow
def test_help_comes_at_once():
    assert min(descend_("--help").seconds for _ in range(5)) < 0.3


def test_an_answer_is_printed_written_and_loaded(tmp_path):
    ran = descend_("solve", PROBLEMS / "maximized.py", "--seconds", 30, "--out", tmp_path / "out", "--json")
    assert ran.status == 0, ran.err
    body = ran.json
    assert body["status"] in ("local", "optimal") and body["certificate"]["evidence"] in ("local", "proved")
    assert abs(body["x"]["a"] - 1.0) < 1e-5 and np.allclose(body["x"]["b"], [0.5, 0.5], atol=1e-5)
    assert abs(body["value"] - 3.0) < 1e-9 and body["sense"] == "max"
    assert body["violation"] <= 1e-6 and body["value_se"] == 0.0 and 0 < body["seconds"] < 30
    assert {"what", "where", "evidence", "cure"} == set(body["findings"][0])
    assert body["settings"]["precision"] == "float64" and body["plan"]
    assert "the user's own print" in ran.err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"solution.json", "solution.npz", "report.html", "checkpoint.npz"}
    assert json.loads((tmp_path / "out" / "solution.json").read_text()) == body
    stored = load(tmp_path / "out")
    assert np.array_equal(stored.x["b"], body["x"]["b"]) and stored.trace.evaluations == body["trace"]["evaluations"]
    assert stored.status in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_the_multiplier_of_a_constraint():
    ran = descend_("solve", PROBLEMS / "quadratic.py", "--seconds", 60, "--json")
    assert ran.status == 0 and ran.json["status"] in ("local", "optimal"), ran.err
    assert np.allclose(ran.json["x"], [1.0, 2.0], atol=1e-5) and abs(ran.json["value"] - 1.0) < 1e-5
    assert abs(ran.json["certificate"]["multipliers"]["first"] - 2.0) < 1e-3


def test_a_hanging_objective_does_not_break_the_time_limit(tmp_path):
    ran = descend_("solve", f"{PROBLEMS / 'hanging.py'}:loop", "--seconds", 8, "--out", tmp_path, "--json")
    _stopped_in_time(ran, 8)
    assert json.loads((tmp_path / "solution.json").read_text()) == ran.json
    assert (tmp_path / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sleep", "hold", "deafened"])
def test_nothing_breaks_the_time_limit(name, tmp_path):
    _stopped_in_time(
        descend_("solve", f"{PROBLEMS / 'hanging.py'}:{name}", "--seconds", 8, "--json", "--out", tmp_path), 8
    )


def _stopped_in_time(ran, seconds):
    """The limit was kept, and so was the best point of the twenty that were evaluated."""
    assert ran.seconds <= seconds + 2.0, ran
    assert ran.status == 0 and ran.json["status"] == "budget", ran.err
    x = np.array(ran.json["x"])
    assert math.isclose(ran.json["value"], np.sum((x - 0.3) ** 2), rel_tol=1e-9) and ran.json["value"] <= 0.18 + 1e-12
    assert "stopped" in ran.json["message"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xla", "problem"])
def test_what_hangs_before_any_value_is_stopped_and_says_so(name):
    ran = descend_("solve", f"{PROBLEMS / 'hanging.py'}:{name}", "--seconds", 4, "--json")
    assert ran.seconds <= 6.0 and ran.status == 1
    assert ran.json["status"] == "budget" and ran.json["value"] is None and ran.json["x"] is None
    assert "before any point was evaluated" in ran.json["message"]


def test_ctrl_c_writes_the_best_point(tmp_path):
    began = lambda: (tmp_path / "checkpoint.npz").exists()  # noqa: E731
    ran = descend_(
        "solve",
        f"{PROBLEMS / 'hanging.py'}:patient",
        "--seconds",
        60,
        "--out",
        tmp_path,
        "--json",
        interrupt_when=began,
    )
    assert ran.status == 130 and ran.seconds < 30, ran.err
    assert ran.json["status"] == "interrupted" and ran.json["value"] <= 0.18
    assert json.loads((tmp_path / "solution.json").read_text()) == ran.json and (tmp_path / "report.html").is_file()


@pytest.mark.slow
def test_ctrl_c_gets_through_to_what_does_not_listen():
    started = time.monotonic()
    later = lambda: time.monotonic() - started > 8  # noqa: E731
    ran = descend_("solve", f"{PROBLEMS / 'hanging.py'}:deafened", "--seconds", 60, "--json", interrupt_when=later)
    assert ran.status == 130 and 11 - 0.5 < ran.seconds < 14
    assert ran.json["status"] == "interrupted" and ran.json["value"] <= 0.18


@pytest.mark.slow
def test_a_crash_is_seen_at_once_and_keeps_the_best_point():
    ran = descend_("solve", f"{PROBLEMS / 'hanging.py'}:crash", "--seconds", 60, "--json")
    assert ran.status == 1 and ran.seconds < 30
    assert ran.json["status"] == "failed" and "SIGSEGV" in ran.json["message"] and ran.json["value"] <= 0.18


@pytest.mark.slow
def test_float32_and_a_chosen_solver():
    ran = descend_("solve", PROBLEMS / "quadratic.py", "--seconds", 30, "--float32", "--json")
    assert ran.status == 0 and ran.json["settings"]["precision"] == "float32" and abs(ran.json["value"] - 1) < 1e-2
    ran = descend_(
        "solve", PROBLEMS / "maximized.py", "--solver", "cma", "--evaluations", 2000, "--seconds", 30, "--json"
    )
    assert ran.status == 0 and "CMA" in ran.json["plan"][0] and ran.json["evaluations"] < 3000
    assert abs(ran.json["value"] - 3.0) < 1e-2


def test_inspect_prints_one_object():
    ran = descend_("inspect", f"{PROBLEMS / 'quadratic.py'}:bowl", "--at", "2", "--json")
    assert ran.status == 0, ran.err
    assert set(ran.json) >= {"findings", "trust"} and {"smooth"} == {
        finding["what"] for finding in ran.json["findings"]
    }


def test_the_users_own_errors_are_shown_in_the_users_lines(tmp_path):
    ran = descend_("solve", PROBLEMS / "broken_import.py", "--json")
    assert ran.status == 2 and "KeyError: 'absent'" in ran.err and "helper()" in ran.err
    assert "importlib" not in ran.err and "descend/worker.py" not in ran.err and "error" in ran.json


# The pieces between parent and child, without a child.


def test_a_large_point_travels_in_a_file(tmp_path, monkeypatch):
    sent = []
    monkeypatch.setattr(worker.Channel, "__init__", lambda self: None)
    channel = worker.Channel()
    channel.folder, channel._pending, channel._next, channel._count, channel._said = tmp_path, None, 0.0, 0, False
    monkeypatch.setattr(
        channel, "send", lambda kind, **fields: sent.append(json.loads(json.dumps({"kind": kind} | fields)))
    )
    heard = Heard(Progress(shown=False))
    large = {"w": np.random.default_rng(0).normal(size=worker.LARGE + 1), "b": np.float64(1.5)}
    for index, x in enumerate([{"w": np.array([np.nan, 1.0]), "b": np.float64(2)}, large, large]):
        channel.event(Event(index, 0.1, 0.0, 0, x, np.float64(-index), 0.0, np.nan, True))
    for message in sent:
        heard(message)
    channel._flush()
    stopped = heard.solution(Ending(How.LATE), 1.0)
    assert stopped.value == -1.0 and np.array_equal(stopped.x["w"], large["w"]) and stopped.x["b"] == 1.5
    heard(sent[-1])
    assert heard.solution(Ending(How.LATE), 1.0).value == -2.0, "what was held back is sent later"
    assert stopped.trace.evaluations == [0, 1, 2] and stopped.status == "budget" and stopped.usable
    assert heard.solution(Ending(How.CRASHED, "the process was ended by SIGSEGV"), 1.0).status == "failed"
    assert heard.solution(Ending(How.INTERRUPTED, asked=True), 1.0).status == "interrupted"


def test_an_old_checkpoint_is_kept_but_not_resumed(tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes(b"old")
    assert running.prepare(tmp_path, resumed=True) == str(tmp_path / "checkpoint.npz")
    running.prepare(tmp_path, resumed=False)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.previous.npz"]
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        running.prepare(tmp_path, resumed=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError):
        running.prepare(tmp_path / "out", resumed=False)


@pytest.mark.slow
def test_batches_of_factorizations_at_one_time_come_back():
    """With a thread of XLA for each of two cores they wait for each other for ever (jaxlib before 0.11.2)."""
    code = (
        "import os\n"
        "os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])\n"
        "from descend import worker\n"
        "worker.configure()\n"
        "import jax, jax.numpy as jnp\n"
        "a, b = jax.random.normal(jax.random.key(0), (8, 64, 30, 30)), jnp.ones((64, 30, 1))\n"
        "f = jax.jit(lambda a: sum(jnp.linalg.solve(each, b).sum() for each in a))\n"
        "for _ in range(300):\n"
        "    f(a).block_until_ready()\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PJRT_NPROC"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HERE.parent, env=environment, timeout=150)
