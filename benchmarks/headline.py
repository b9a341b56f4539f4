"""The headline table: `python benchmarks/headline.py` (minutes).

One problem of each class (`descend/gallery/headline.py`, where the methods are described) from five random starts:
following `jax.grad`, `descend.solve` with nothing chosen by hand, and CMA-ES, none with less evaluations than `descend`
spends. Writes `benchmarks/headline.json` and the table in the README; a test compares the two.
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
            rows[name][method] = {"losses": losses, "units": units or None}
            print(name, method, np.median(losses), units, flush=True)
    versions = {package: importlib.metadata.version(package) for package in ("descend", "jax", "optax", "cma")}
    return {
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), **versions},
        "budget": headline.BUDGET,
        "others": headline.OTHERS,
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
    most = max(max(row["descend"]["units"]) for row in record["rows"].values())
    note = (
        f"Median (range) of {seeds} random starts; 50 variables; best and ties within {100 * record['tie']:.0f} % in "
        f"bold. `descend` spent at most {most:,} evaluations (a gradient counts 3, inspection included), the others "
        f"were given {record['others']:,}. {record['date']}, JAX {record['versions']['jax']}."
    )
    return "\n".join([*lines, "", note, ""])


def _cell(values, bold):
    median, low, high = (f"{value:.4g}" if abs(value) > 1e-12 else "0" for value in np.quantile(values, (0.5, 0, 1)))
    return (f"**{median}**" if bold else median) + (f" ({low} to {high})" if low != high else "")


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
