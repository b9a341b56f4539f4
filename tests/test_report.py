"""Records, files, terminal and page, from solutions made by hand: the truth is what was put in."""

import io
import json
import re
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from answers import solution

from descend.findings import Finding, Findings
from descend.reporting import files, load, save
from descend.reporting.record import dumps, record, write
from descend.reporting.terminal import show, show_findings
from descend.solution import Certificate, Row, Solution, Status, Trace, sections, text, tree


class Pair(NamedTuple):
    left: np.ndarray
    right: np.ndarray


def test_record_is_strict_json_with_the_promised_keys():
    body = record(solution())
    promised = ["status", "value", "value_se", "violation", "x", "certificate", "plan", "findings", "evaluations"]
    assert list(body)[: len(promised)] == promised and body["seconds"] == 1.5
    again = json.loads(dumps(body), parse_constant=lambda token: pytest.fail(f"not strict JSON: {token}"))
    assert again == body
    assert body["x"] == {
        "nested": [7.0, [[[1.0, 1.0], [1.0, 1.0]]]],
        "picks": [0, 1, 0, 0, 1, 0, 0, 0, 0],
        "w": [1.5, -2.25, np.pi],
    }
    assert body["findings"][0] == {
        "what": "flat",
        "where": {"file": "model.py", "line": 14},
        "evidence": {"how": "static", "share": 1.0, "bad": None},
        "cure": "smooth(sigma=0.1)",
    }
    assert body["trust"]["verdict"] == "biased" and body["trust"]["samples"] is None
    assert body["trace"]["value"][0] is None and body["trace"]["violation"][0] is None


def test_what_is_saved_is_loaded(tmp_path):
    before = solution()
    save(before, tmp_path)
    after = load(tmp_path)
    assert record(after) == record(before)
    for (name, a), (other, b) in zip(tree.leaves(before.x), tree.leaves(after.x), strict=True):
        assert name == other and np.array_equal(a, b) and a.dtype == b.dtype
    assert isinstance(after.x["nested"], list) and isinstance(after.x["nested"][1], tuple)
    assert after.trace.violation[0] == np.inf and np.isnan(after.trace.value[0])
    assert np.array_equal(after.certificate.multipliers["a/b"], [0.5, 0.0])
    assert np.array_equal(after.certificate.bound_multipliers, [0.0, 0.25])
    assert str(after) == str(before) and after.usable == before.usable
    with np.load(tmp_path / "solution.npz") as stored:
        assert set(stored.files) == {
            "w", "picks", "nested.0", "nested.1.0", "multipliers/weight", "multipliers/a/b", "bound_multipliers",
        }  # fmt: skip


def test_there_may_be_no_answer(tmp_path):
    failed = Solution(Status.FAILED, None, None, violation=np.inf, error="Traceback\nValueError: no")
    save(failed, tmp_path)
    after = load(tmp_path)
    assert record(after)["value"] is None and after.x is None and after.violation == np.inf and not after.usable
    assert "ValueError: no" in text(after)


def test_an_unbounded_ray_is_kept(tmp_path):
    ray = {"a": np.array([1.0, -2.0])}
    write(solution(status=Status.UNBOUNDED, x=ray, ray=ray), tmp_path)
    assert np.array_equal(load(tmp_path).ray["a"], ray["a"])
    assert record(load(tmp_path))["ray"] == {"a": [1.0, -2.0]}


@pytest.mark.parametrize("name", ["file", "allow_pickle", "bound_multipliers", "multipliers/weight", "x"])
def test_variables_may_be_called_anything(tmp_path, name):
    before = solution(x={name: np.arange(3.0)})
    write(before, tmp_path)
    after = load(tmp_path)
    assert np.array_equal(after.x[name], [0, 1, 2])
    assert np.array_equal(after.certificate.bound_multipliers, before.certificate.bound_multipliers)
    assert np.array_equal(after.certificate.multipliers["weight"], 1.75)


@pytest.mark.parametrize(
    "x", [np.float64(2), np.eye(2), [np.ones(2)], {"b": 1.0, "a": (2.0, {"c": 3.0})}, Pair(np.ones(1), np.zeros(2))]
)
def test_leaves_are_named_and_ordered_as_jax_does(x):
    pairs, _ = jax.tree_util.tree_flatten_with_path(x)
    expected = [(jax.tree_util.keystr(path, simple=True, separator="."), np.asarray(leaf)) for path, leaf in pairs]
    found = tree.leaves(x)
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(found, expected, strict=True))


def test_registered_classes_are_opened():
    @jax.tree_util.register_pytree_with_keys_class
    class Layer:
        def __init__(self, weight):
            self.weight = weight

        def tree_flatten_with_keys(self):
            return [(jax.tree_util.GetAttrKey("weight"), self.weight)], None

        @classmethod
        def tree_unflatten(cls, aux, children):
            return cls(*children)

    found = tree.leaves({"layer": Layer(np.arange(2.0))})
    assert [name for name, _ in found] == ["layer.weight"] and np.array_equal(found[0][1], [0, 1])
    assert tree.nested([Layer(jnp.ones(1))]) == [{"weight": [1.0]}]


def test_torn_files_are_refused_in_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no solution\.json"):
        load(tmp_path)
    write(solution(), tmp_path)
    whole = (tmp_path / "solution.npz").read_bytes()
    (tmp_path / "solution.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="readable solution") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "solution.npz").write_bytes(whole)
    (tmp_path / "solution.json").write_text('{"status": "local"')
    with pytest.raises(ValueError, match="readable solution"):
        load(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.replacing(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_print_says_what_matters_on_a_screenful():
    said = str(solution())
    assert said.startswith("local: feasible, with the first- and second-order optimality conditions certified")
    for part in [
        "2.5 ± 0.01", "model.py:14  flat -> smooth(sigma=0.1)", "1e-09", "lots = jnp.round(w) < 3 & 4",
        "weight", "1.75",
        "holds x back", "<naive>", "sharpe", "at 200 evaluations: switched", "stationarity 2e-08", "2. CMA",
    ]:  # fmt: skip
        assert part in said, part
    assert repr(solution()) == "<Solution local: value 2.5, violation 1e-09>"
    long = solution(plan=[f"{i}. Descent" for i in range(500)], error="\n".join(map(str, range(500))))
    assert len(str(long).splitlines()) < 100 and "more lines in the report" in str(long)


@pytest.mark.parametrize(
    "changes, doubt",
    [
        ({}, "the optimum is local"),
        ({}, "within noise"),
        ({}, "late gradients agreed little (agreement 0.01)"),
        ({}, "the plain gradient is biased"),
        (
            {"status": Status.CONVERGED, "certificate": Certificate(0.0, note="a black box")},
            "no optimality certificate: a black box",
        ),
        ({"certificate": Certificate(0.0, 0.3, tolerance=1e-6)}, "the gradient does not vanish: stationarity 0.3"),
        ({"certificate": Certificate(0.0, 0.0, curvature=-0.5)}, "the curvature is negative"),
        ({"status": Status.BUDGET}, "the budget ended before"),
        ({"violation": 0.5}, "violates the constraints by 0.5"),
        ({"settings": {"precision": "float32"}}, "computed in float32"),
        (
            {"rows": [Row("answer", 2.5, 0.0, 0.0), Row("naive", 2.0, 0.0, 0.0)]},
            "baseline naive scores better: 2 against 2.5",
        ),
        ({"findings": Findings([Finding("chaotic", {"file": "a.py", "line": 1})])}, "chaotic"),
        ({"status": Status.INFEASIBLE}, "not proved"),
        ({"value_se": np.nan}, "its error is not known"),
    ],
)
def test_doubts(changes, doubt):
    said = next(section.lines for section in sections(solution(**changes)) if section.heading == "What to distrust")
    assert any(doubt in line for line in said), said


def test_no_doubts_without_reason():
    clean = Solution(Status.OPTIMAL, np.zeros(1), 0.0, certificate=Certificate(0.0, gap=0.0, evidence="proved"))
    better = [Row("answer", 1.0, 0.0, 0.0), Row("infeasible", 0.0, 0.0, 2.0), Row("equal", 1.0, 0.0, 0.0)]
    for fine in (clean, solution(status=Status.OPTIMAL, value_se=0.0, rows=better, findings=Findings(), trace=Trace())):
        said = next(section.lines for section in sections(fine) if section.heading == "What to distrust")
        assert said == ["nothing stands out beyond what is said above"]
    maximized = solution(sense="max", rows=[*better[:1], Row("low", 0.5, 0.0, 0.0), Row("high", 2.0, 0.0, 0.0)])
    said = next(section.lines for section in sections(maximized) if section.heading == "What to distrust")
    assert any("high scores better" in line for line in said) and not any("low scores" in line for line in said)


def test_the_terminal_shows_the_same_content():
    out = io.StringIO()
    show(solution(), out)
    squeezed = re.sub(r"\s+", " ", re.sub(r"[│╭╮╰╯─]", " ", out.getvalue()))
    for section in sections(solution()):
        for line in [section.heading, *section.lines, *(cell for row in section.table for cell in row)]:
            assert re.sub(r"\s+", " ", line).strip() in squeezed
    out = io.StringIO()
    show_findings(solution().findings, solution().source, out)
    assert "flat  model.py:14" in out.getvalue() and "lots = jnp.round(w) < 3 & 4" in out.getvalue()


def test_reports_do_not_import_jax():
    rooms = "descend.reporting.page, descend.reporting.terminal, descend.solution"
    code = f"import sys, {rooms}; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
