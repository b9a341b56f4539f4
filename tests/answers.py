"""A solution made by hand."""

import numpy as np

from descend.findings import Finding, Findings, Trust
from descend.solution import Certificate, Row, Slice, Solution, Status, Trace


def solution(**changes):
    n = 40
    best = np.linspace(9.0, 2.5, n)
    violation = np.maximum(1.0 - np.arange(n) / 20, 0.0)
    steps = np.linspace(-1, 1, 9)
    made = Solution(
        status=Status.LOCAL,
        x={
            "w": np.array([1.5, -2.25, np.pi]),
            "picks": np.eye(9)[[1, 4]].sum(0),
            "nested": [np.float64(7), (np.ones((2, 2)),)],
        },
        value=2.5,
        value_se=0.01,
        samples=64,
        violation=1e-9,
        certificate=Certificate(
            1e-9,
            2e-8,
            3e-12,
            0.5,
            {"weight": np.array(1.75), "a/b": np.array([0.5, 0.0])},
            np.array([0.0, 0.25]),
            evidence="local",
        ),
        trace=Trace(
            list(range(10, 10 * n + 1, 10)),
            np.arange(n).tolist(),
            [np.nan, *best[1:]],
            [np.inf, *violation[1:]],
            (best + 0.1).tolist(),
            [0] * 20 + [1] * 20,
            {"agreement": [np.nan] * 20 + [0.01] * 20},
            [(200, "switched <b>to</b> CMA")],
        ),
        plan=["1. Descent", "2. CMA"],
        findings=Findings(
            [
                Finding(
                    "flat",
                    {"file": "model.py", "line": 14},
                    {"how": "static", "share": 1.0, "bad": np.nan},
                    "smooth(sigma=0.1)",
                ),
                Finding("constrained", {"constraint": "weight"}),
            ],
            12,
            Trust(0.2, 0.01, 0.8, 0.1, 1.2, np.inf),
        ),
        rows=[
            Row("answer", 2.5, 0.01, 0.0, 1.0, {"sharpe": 1.5}),
            Row("<naive>", 2.49, 0.01, 0.0, 0.5, {"sharpe": np.nan}),
        ],
        slices=[Slice("gradient", steps, steps**2 + 2.5)],
        evaluations=400,
        seconds=1.5,
        message="no more progress",
        problem="minimize <loss>\n    over w in Real(3)",
        source={"model.py": {14: "    lots = jnp.round(w) < 3 & 4"}},
        settings={"key": 3, "precision": "float64", "command": "descend solve model.py"},
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made
