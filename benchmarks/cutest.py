"""Does solve() solve what its peers solve, and does it know? `python benchmarks/cutest.py --seed 1 --each 12`.

A random sample of small CUTEst problems (`cutest_sample.py`), stratified by size and kind, each in a process of its own
(`cutest_child.py`); every solver gets the same start and the same seconds. A point is judged by a check that shares
nothing with any solver (`cutest_judge.py`): it is solved when it satisfies the KKT conditions and its value is within
1e-5 of the best feasible value that any of the solvers found. The virtual best of all peers solves what any of them
does. Times are seconds of the processor.

A problem on which some solver finds feasible values that fall without end is left out of the counts, and is listed.
"""

import argparse
import json
import os
import pathlib
import selectors
import subprocess
import sys
import time

import numpy as np
from cutest_sample import KINDS, draw

HERE = pathlib.Path(__file__).parent
PEERS = ["ipopt", "slsqp", "trust-constr", "l-bfgs-b", "optimistix-bfgs"]
SECOND_ORDER = ["ipopt", "pounce", "trust-constr"]
CLOSE = 1e-5  # to the best value, relative to max(1, |best|)
ENDLESS = -1e12
GRACE = 40.0  # seconds that compiling, or checking an answer, may take beyond the limit


def run(where: str, solvers: list[str], seconds: float) -> dict:
    """The lines of the child for all solvers; a solver during which it hangs or dies has failed, and the rest go on."""
    row: dict = {"where": where, "solvers": {}}
    left = list(solvers)
    while left:
        command = [sys.executable, str(HERE / "cutest_child.py"), where, str(seconds), *left]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        now, late = "load", False
        watch = selectors.DefaultSelector()
        watch.register(child.stdout, selectors.EVENT_READ)
        until = time.monotonic() + seconds + GRACE
        while True:
            if not watch.select(max(0.0, until - time.monotonic())):
                late = True
                break
            line = child.stdout.readline()
            if not line:
                break
            try:
                told = json.loads(line)
            except ValueError:
                continue
            until = time.monotonic() + seconds + GRACE
            if "begin" in told:
                now = told["begin"]
            elif "solver" in told:
                row["solvers"][told.pop("solver")] = told
            else:
                row |= told
        child.kill()
        error = "late" if late else "died: " + (child.stderr.read().strip().splitlines() or ["?"])[-1][:200]
        if now in ("load", "compile") and (late or child.wait() != 0):
            row["error"] = f"{now}: {error}"
            return row
        if now in left and now not in row["solvers"] and (late or child.wait() != 0):
            row["solvers"][now] = {"error": error}
        left = left[left.index(now) + 1 :] if now in left else []
    return row


def score(rows: list[dict]) -> tuple[list[dict], list[str]]:
    """Adds `solved` to every answer, judged against the best value; and the names of those left out."""
    kept, endless = [], []
    for row in rows:
        answers = [a for a in row["solvers"].values() if "error" not in a]
        feasible = [a["value"] for a in answers if a["violation"] <= 1e-6 and np.isfinite(a["value"])]
        row["best"] = min(feasible, default=np.inf)
        if row["best"] < ENDLESS:
            endless.append(row["name"])
            continue
        for a in answers:
            near = a["value"] <= row["best"] + CLOSE * max(1.0, abs(row["best"]))
            a["solved"] = bool(a["kkt"] and near)
        kept.append(row)
    return kept, endless


def table(rows: list[dict], solvers: list[str]) -> list[str]:
    """For each kind: a line for each solver, the virtual best of the peers, ratios of times, and what went wrong."""
    lines = []
    for kind in KINDS:
        mine = [row for row in rows if row["kind"] == kind]
        if mine:
            lines += [
                f"\n{kind}: {len(mine)} problems",
                line("solver", "solved", "KKT", "claims", "fail", "of solved", "s"),
            ]
            lines += [summary(name, mine) for name in solvers if any(name in row["solvers"] for row in mine)]
            best = sum(any(solved(row, peer) for peer in solvers if peer != "descend") for row in mine)
            lines += [
                line("virtual best", best),
                *times(mine),
                *(text for row in mine for text in faults(row, solvers)),
            ]
    return lines


def line(name: str, *cells: object) -> str:
    return f"{name:18}" + "".join(f"{cell!s:>11}" for cell in cells)


def solved(row: dict, name: str) -> bool:
    return bool(row["solvers"].get(name, {}).get("solved"))


def summary(name: str, rows: list[dict]) -> str:
    answers = [row["solvers"][name] for row in rows if name in row["solvers"]]
    good = [a for a in answers if a.get("solved")]
    claimed = [a for a in answers if a.get("claims")]
    wrong = sum(not a["kkt"] for a in claimed)
    share = f"{sum(a['claims'] for a in good)}/{len(good)}"
    median = f"{np.median([a['seconds'] for a in good]):.3f}" if good else "-"
    return line(name, len(good), sum(bool(a.get("kkt")) for a in answers), len(claimed), wrong, share, median)


def times(rows: list[dict]) -> list[str]:
    """Our times over those of the fastest second-order peer that solved the problem too."""
    pairs = []
    for row in rows:
        peers = [row["solvers"][p]["seconds"] for p in SECOND_ORDER if solved(row, p)]
        if solved(row, "descend") and peers:
            ours = row["solvers"]["descend"]
            pairs.append((ours["seconds"] / min(peers), ours["cold"]))
    if not pairs:
        return []
    warm, cold = np.median(np.array(pairs), axis=0)
    return [
        f"warm, over the fastest second-order peer: median {warm:.2f}; cold, compiling included: median {cold:.1f} s"
    ]


def faults(row: dict, solvers: list[str]) -> list[str]:
    """What a reader should look at."""
    ours, name = row["solvers"].get("descend", {}), f"{row['name']} (n={row['n']}, m={row['m']})"
    said = {key: ours.get(key) for key in ("value", "violation", "kkt", "status", "note", "error") if key in ours}
    peers = [p for p in solvers if p != "descend" and solved(row, p)]
    if peers and not ours.get("solved"):
        return [f"  not solved: {name}: {said}; best {row['best']:.9g} by {', '.join(peers)}"]
    if ours.get("claims") and not ours.get("kkt"):
        return [f"  claimed, and fails: {name}: {said}"]
    if ours.get("solved") and not ours.get("claims"):
        return [f"  solved, not claimed: {name}: {said}"]
    return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=12, help="problems of each kind")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--solvers", nargs="*", default=["descend", *PEERS])
    parser.add_argument("--out", type=pathlib.Path, help="results as JSON; what is in it is not run again")
    parser.add_argument("--again", nargs="*", default=[], help="solvers to run again all the same")
    options = parser.parse_args()
    known = {}
    if options.out is not None and options.out.exists():
        known = {row["where"]: row for row in json.loads(options.out.read_text())}
    rows = []
    for where in draw(options.seed, options.each):
        row = known.get(where, {"where": where, "solvers": {}, "ran": []})
        need = [name for name in options.solvers if name not in row["ran"] or name in options.again]
        if need and "error" not in row:
            new = run(where, need, options.seconds)
            answers = {**row["solvers"], **new["solvers"]}
            row = {**row, **new, "solvers": answers, "ran": sorted({*row["ran"], *need})}
        rows.append(row)
        said = {name: answer.get("error") or answer["value"] for name, answer in row["solvers"].items()}
        print(row.get("name", where), row.get("error", ""), said, file=sys.stderr, flush=True)
        if options.out is not None:
            known[where] = row
            options.out.write_text(json.dumps(list(known.values())))
    scored, endless = score([row for row in rows if "error" not in row])
    print("\n".join(table(scored, options.solvers)))
    print("\nleft out, as values fall without end: " + (", ".join(endless) or "none"))


if __name__ == "__main__":
    main()
