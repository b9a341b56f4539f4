"""Runs that are killed at random moments and resumed leave the trace of a run that was not."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

PROBLEMS = {
    "population": """
        import numpy as np, descend
        def cost(x, *, key):
            time.sleep(0.002)
            return float(((x - 7) ** 2).sum() + np.random.default_rng(key).normal())
        problem = descend.Problem(cost, over=descend.Integer(6, 0, 20))
        """,
    "cma": """
        import numpy as np, descend
        def cost(x):
            time.sleep(0.002)
            return float(((x - 1) ** 2 * np.arange(1, 7)).sum())
        problem = descend.Problem(cost, over=descend.Real(6))
        """,
    "smoothed": """
        import jax.numpy as jnp, descend
        problem = descend.Problem(lambda x: jnp.sum(jnp.floor(5 * jnp.abs(x - 1))), over=descend.Real(30))
        """,
}
EVALUATIONS = {"population": 2000, "cma": 1500, "smoothed": 120_000}


def command(file, out, evaluations, *more):
    run = [
        sys.executable,
        "-m",
        "descend",
        "solve",
        str(file),
        "--evaluations",
        str(evaluations),
        "--seconds",
        "120",
    ]
    return subprocess.Popen(
        [*run, *more, str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def children(pid):
    """The processes that the command started, in sessions of their own."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def trace(out):
    found = json.loads((out / "solution.json").read_text())["trace"]
    return {name: column for name, column in found.items() if name not in ("seconds", "log")}


def killed(file, out, evaluations, moments):
    """The trace after a kill at each moment, in seconds from the start, and a last run to the end."""
    flag = "--out"
    for moment in moments:
        process = command(file, out, evaluations, flag)
        time.sleep(moment)
        for pid in [*children(process.pid), process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        flag = "--resume" if (out / "checkpoint.npz").exists() else "--out"
    assert command(file, out, evaluations, flag).wait() == 0
    return trace(out)


def check(tmp_path, name, kills, seed):
    file = tmp_path / "stated.py"
    file.write_text("import time\n" + textwrap.dedent(PROBLEMS[name]))
    whole = tmp_path / "whole"
    assert command(file, whole, EVALUATIONS[name], "--out").wait() == 0
    moments = [random.Random(seed).uniform(2.0, 9.0) for _ in range(kills)]
    assert killed(file, tmp_path / "killed", EVALUATIONS[name], moments) == trace(whole)


@pytest.mark.slow
def test_one_killed_run(tmp_path):
    check(tmp_path, "cma", kills=1, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_ten_killed_runs(tmp_path, seed):
    check(tmp_path, list(PROBLEMS)[seed % 3], kills=2, seed=seed)
