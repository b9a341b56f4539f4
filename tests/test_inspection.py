"""`inspect` against a labeled set of objectives: recall and precision, on words and on lines."""

import pytest

import tests.labeled_more  # noqa: F401
from tests.labeled import CASES, LINES, Case


def compare(thorough: bool) -> dict[str, float]:
    counts = {"words right": 0, "words said": 0, "words true": 0, "lines right": 0, "lines said": 0, "lines true": 0}
    for case in CASES:
        found = case.found(thorough)
        said, true = found.words, case.expected(thorough)
        places = {(f.what, f.where["line"]) for f in found if f.what in LINES and "line" in f.where}
        counts["words right"] += len(said & true)
        counts["words said"] += len(said)
        counts["words true"] += len(true)
        counts["lines right"] += len(places & case.lines)
        counts["lines said"] += len(places)
        counts["lines true"] += len(case.lines)
        if said != true or places != case.lines:
            print(f"{case.function.__name__}: said {sorted(said)}, true {sorted(true)}; "
                  f"lines said {sorted(places)}, true {sorted(case.lines)}")
    rates = {
        f"{kind} of {what}": counts[f"{what} right"] / counts[f"{what} {per}"]
        for what in ("words", "lines")
        for kind, per in (("recall", "true"), ("precision", "said"))
    }
    print(len(CASES), "objectives:", ", ".join(f"{name} {rate:.3f}" for name, rate in rates.items()))
    return rates
