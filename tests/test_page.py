"""The page, its figures, the annotations and the progress bar, from solutions made by hand."""

import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from answers import solution

import descend
from descend.findings import Finding, Findings
from descend.reporting.page import page
from descend.reporting.plots import plots
from descend.reporting.progress import Progress
from descend.reporting.sarif import sarif
from descend.solution import Event, Slice, Solution, Status, Trace


class _Strict(HTMLParser):
    """Checks nesting, and collects text and attributes."""

    VOID = ("meta", "path", "use", "rect", "br")

    def __init__(self):
        super().__init__()
        self.open, self.text, self.ids, self.tags = [], "", [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        for name, value in attributes:
            assert not name.startswith("on") and not (name in ("src", "href") and "//" in (value or "")), (
                tag,
                name,
                value,
            )
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag != "meta":
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_self_contained_and_escaped(tmp_path):
    html = page(solution())
    parser = _Strict()
    parser.feed(html)
    assert not parser.open and "script" not in parser.tags and "link" not in parser.tags and "img" not in parser.tags
    assert "<naive>" in parser.text and "<b>to</b>" in parser.text and "lots = jnp.round(w) < 3 & 4" in parser.text
    assert len(parser.ids) == len(set(parser.ids)), "ids must be unique across the figures"
    for link in re.findall(r'href="#([^"]+)"', html) + re.findall(r"url\(#([^)]+)\)", html):
        assert link in parser.ids
    assert parser.tags.count("svg") == 4 and "#0a0b0" not in html and "prefers-color-scheme: dark" in html
    assert not re.search(r"https?://(?!www\.w3\.org)", html)
    descend.report(solution(), tmp_path / "out.html")
    assert (tmp_path / "out.html").read_text() == html, "the page of a solution is always the same"


def test_figures_show_the_numbers():
    drawn = {plot.title: plot for plot in plots(solution())}
    assert list(drawn) == ["Convergence", "Feasibility", "Gradient trust over time", "Landscape at the answer"]
    assert "from 8.83333 to 2.5" in drawn["Convergence"].caption
    feasible = solution(trace=Trace([1, 2], [0, 1], [3.0, 2.0], [0.0, 0.0], [3.0, 2.0], [0, 0]), slices=[])
    assert [plot.title for plot in plots(feasible)] == ["Convergence"]
    assert plots(Solution(Status.FAILED, None, None)) == []


@pytest.mark.parametrize(
    "values", [[np.nan, np.nan], [1.0, 1.0], [-1e300, 1e300], [np.inf, 1.0], [5.0], [0.0, 0.0], [1e-300, 1.0]]
)
def test_figures_survive_odd_traces(values):
    n = len(values)
    trace = Trace(
        list(range(n)), [0.0] * n, values, [np.inf] * n, values[::-1], [0] * n, {"norm": [np.inf, *values[1:]]}
    )
    page(solution(trace=trace, slices=[Slice("flat", np.zeros(3), np.array([1.0, np.nan, 1.0]))]))


def test_long_traces_make_small_pages():
    n = 200_000
    value = np.minimum.accumulate(np.random.default_rng(0).exponential(size=n))
    trace = Trace(list(range(n)), [0.0] * n, value.tolist(), [0.0] * n, value.tolist(), [0] * n)
    assert len(page(solution(trace=trace, slices=[]))) < 400_000


def test_progress_draws_on_a_terminal_and_logs_elsewhere(caplog):
    event = Event(300, 6.0, 0.5, 0, np.zeros(1), 1.25, 0.5, 1.5, True, "switched to CMA")
    out = io.StringIO()
    with caplog.at_level("INFO", "descend"), Progress(10.0, out) as bar:
        bar.phase("compiling")
        bar(event)
        bar(event._replace(value=None, message="", seconds=20.0))
    assert out.getvalue() == ""
    assert (
        "switched to CMA (value 1.25 · violation 0.5 · 300 evaluations)" in caplog.text
        and "no value yet" in caplog.text
    )
    out.isatty = lambda: True
    with Progress(10.0, out) as bar:
        bar.phase("compiling")
        bar(event)
        bar.tick()
    assert "value 1.25" in out.getvalue() and "s left" in out.getvalue()


def test_sarif_points_at_the_users_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = Findings([Finding("flat", {"file": str(tmp_path / "model.py"), "line": 14}, {}, "smooth()"),
                      Finding("constrained", {"constraint": "weight"})])  # fmt: skip
    log = sarif(found, "/elsewhere/model.py")
    results = log["runs"][0]["results"]
    assert log["version"] == "2.1.0" and [r["ruleId"] for r in results] == ["flat", "constrained"]
    assert {rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]} == {"flat", "constrained"}
    places = [r["locations"][0]["physicalLocation"] for r in results]
    assert places[0] == {"artifactLocation": {"uri": "model.py"}, "region": {"startLine": 14}}
    assert places[1]["artifactLocation"]["uri"] == "file:///elsewhere/model.py"
    assert [r["level"] for r in results] == ["warning", "note"] and "smooth()" in results[0]["message"]["text"]
