"""The stated errors of `Trust` on functions held out, as `benchmarks/calibration.py` measures them, in small."""

import importlib.util
import math
import pathlib

import pytest

PATH = pathlib.Path(__file__).parents[1] / "benchmarks" / "calibration.py"


@pytest.fixture(scope="module")
def calibration():
    spec = importlib.util.spec_from_file_location("calibration", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def within(share, repetitions):
    """Whether a coverage is 92 to 98 %, or no further from that than three deviations of so few repetitions."""
    slack = 3 * math.sqrt(0.05 * 0.95 / repetitions)
    return 0.92 - slack <= share <= 0.98 + slack


@pytest.mark.slow
def test_in_small(calibration):
    cases = {case.name: case for case in calibration.cases()}
    rows = [calibration.measure(cases[name], 150, 4000) for name in ("400 numbers", "parity")]
    assert within(rows[0]["covers cosine"], 150) and within(rows[0]["covers bias"], 150)
    assert rows[0]["brier of verdict"] < 0.02 and rows[1]["brier of verdict"] < 0.02
    assert rows[0]["verdicts"]["unbiased"] >= 147 and rows[1]["verdicts"]["refused"] >= 147


@pytest.mark.slow
def test_on_all_held_out_functions(calibration):
    rows = [calibration.measure(case, 400) for case in calibration.cases()]
    total = calibration.summary(rows)
    covers = ("covers cosine", "covers bias", "covers no bias")
    assert all(0.92 <= total[name] <= 0.98 for name in covers), total
    known = [row for row in rows if row["cosine"] is not None]
    assert all(within(row[name], row["repetitions"]) for row in known for name in covers[:2])
    assert total["brier of verdict"] < 0.2 * total["brier of the base rate"]
