"""The headline table: `python benchmarks/headline.py` (minutes).

One problem of each class (`descend/gallery/headline.py`, where the methods are described) from five random starts, with
a budget of 5,000 units: following `jax.grad`, `descend.solve` with nothing chosen by hand, and CMA-ES. Writes
`benchmarks/headline.json` and the table in the README. A test compares the two.
"""

import datetime
import importlib.metadata
import json
import pathlib
import platform

import jax
import numpy as np

HERE = pathlib.Path(__file__).parent
RECORD, README = HERE / "headline.json", HERE.parent / "README.md"
BEGIN, END = "<!-- headline -->\n", "<!-- /headline -->\n"
METHODS = ("jax.grad", "descend", "CMA-ES")
WORDS = {
    "smooth": "smooth: Rosenbrock",
    "kinked": "kinked: absolute errors of a regression",
    "flat": "flat: share of mistakes of a classifier",
    "discrete": "discrete: a weighted directed cut",
    "stochastic": "stochastic: workers who may not show up",
    "constrained": "constrained: an equality and an inequality",
    "black box": "black box: a line of machines, simulated in NumPy",
}


def measure():
    """The losses, shape (seeds,), and the median of the units spent, by class and method."""
    from descend import solvers
    from descend.gallery import headline

    cma = solvers.CMA()
    rows = {}
    for name in WORDS:
        rows[name] = {}
        for method in METHODS:
            losses, units = [], []
            for key in jax.random.split(jax.random.key(1), headline.SEEDS):
                if method == "jax.grad":
                    losses.append(headline.loss(key, method, name))
                else:
                    solver = None if method == "descend" else cma
                    found = headline.solved(name, headline.begin(name, key), key, solver)
                    losses.append(headline.score(headline.stated(name), found.x))
                    units.append(found.evaluations)
            rows[name][method] = {"losses": losses, "units": float(np.median(units)) if units else None}
            print(name, method, np.median(losses), rows[name][method]["units"], flush=True)
    versions = {package: importlib.metadata.version(package) for package in ("descend", "jax", "optax", "cma")}
    return {
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), **versions},
        "budget": headline.BUDGET,
        "tie": headline.TIE,
        "rows": rows,
    }


def table(record):
    """The table in Markdown: medians and ranges over seeds; those within the tie of the best median are bold."""
    lines = ["| final loss, smaller is better | following `jax.grad` | `descend` | CMA-ES |", "|---|---|---|---|"]
    for name, row in record["rows"].items():
        losses = {method: np.array(row[method]["losses"]) for method in METHODS}
        best = min(np.median(values) for values in losses.values())
        allowed = best + record["tie"] * max(abs(best), 1e-6)
        cells = [_cell(losses[method], np.median(losses[method]) <= allowed) for method in METHODS]
        lines.append("| " + " | ".join([WORDS[name], *cells]) + " |")
    seeds = len(record["rows"]["smooth"]["descend"]["losses"])
    over = max(row["descend"]["units"] for row in record["rows"].values()) / record["budget"] - 1
    return "\n".join(lines) + (
        f"\n\nMedian (range) of {seeds} random starts, {record['budget']:,} units each, 50 variables; best and ties "
        f"within {100 * record['tie']:.0f} % in bold; {record['date']}, JAX {record['versions']['jax']}. `descend` ends "
        f"with the segment of work that spends the budget, at most {100 * over:.0f} % over it here.\n"
    )


def _cell(values, bold):
    median, low, high = (f"{value:.3g}" if abs(value) > 1e-12 else "0" for value in np.quantile(values, (0.5, 0, 1)))
    median = f"**{median}**" if bold else median
    return median if low == high else f"{median} ({low} to {high})"


def main():
    jax.config.update("jax_enable_x64", True)
    record = measure()
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    text = README.read_text()
    if BEGIN in text:
        before, _, rest = text.partition(BEGIN)
        README.write_text(before + BEGIN + table(record) + END + rest.partition(END)[2])
    print(table(record))


if __name__ == "__main__":
    main()
