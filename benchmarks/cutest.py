"""Does solve() solve what its peers solve, and does it know? `python benchmarks/cutest.py --seed 1 --each 12`.

A random sample of small CUTEst problems (`cutest_sample.py`), stratified by size and kind, each in a process of its own
(`cutest_child.py`); every solver gets the same start and the same seconds. A point is judged by a check that shares
nothing with any solver (`cutest_judge.py`): it is solved when it satisfies the KKT conditions and its value is within
1e-5 of the best feasible value that any of the solvers found. The virtual best of all peers solves what any of them does.

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
    lines = []
    for kind in KINDS:
        mine = [row for row in rows if row["kind"] == kind]
        if not mine:
            continue
        lines.append(f"\n{kind}: {len(mine)} problems")
        lines.append(
            f"{'solver':18}{'solved':>8}{'KKT':>6}{'claims':>8}{'claims fail':>13}{'solved, claimed':>17}{'median s':>10}"
        )
        for name in [*solvers, "virtual best"]:
            if name == "virtual best":
                solved = sum(
                    any(row["solvers"].get(p, {}).get("solved") for p in solvers if p != "descend") for row in mine
                )
                lines.append(f"{'virtual best':18}{solved:8}")
                continue
            answers = [row["solvers"][name] for row in mine if name in row["solvers"]]
            if not answers:
                continue
            solved = [a for a in answers if a.get("solved")]
            claimed = [a for a in answers if a.get("claims")]
            wrong = sum(not a["kkt"] for a in claimed)
            share = f"{sum(a['claims'] for a in solved)}/{len(solved)}"
            times = float(np.median([a["seconds"] for a in solved])) if solved else np.nan
            lines.append(
                f"{name:18}{len(solved):8}{sum(bool(a.get('kkt')) for a in answers):6}{len(claimed):8}{wrong:13}{share:>17}{times:10.3f}"
            )
        ratios, colds = [], []
        for row in mine:
            ours = row["solvers"].get("descend", {})
            peers = [row["solvers"][p]["seconds"] for p in SECOND_ORDER if row["solvers"].get(p, {}).get("solved")]
            if ours.get("solved") and peers:
                ratios.append(ours["seconds"] / min(peers))
                colds.append(ours["cold"])
        if ratios:
            lines.append(
                f"descend, warm, over the fastest second-order peer that solved it: median {np.median(ratios):.2f};"
                f" its first solve, compilation included: median {np.median(colds):.1f} s"
            )
        for row in mine:
            ours = row["solvers"].get("descend", {})
            peers = [p for p in solvers if p != "descend" and row["solvers"].get(p, {}).get("solved")]
            if peers and not ours.get("solved"):
                lines.append(
                    f"  not solved: {row['name']} (n={row['n']}, m={row['m']}): {ours}, best {row['best']:.9g} by {peers}"
                )
            elif ours.get("claims") and not ours.get("kkt"):
                lines.append(f"  claimed, fails: {row['name']}: {ours}")
            elif ours.get("solved") and not ours.get("claims"):
                lines.append(f"  solved, not claimed: {row['name']}: {ours.get('status')}: {ours.get('note')}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=12, help="problems of each kind")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--solvers", nargs="*", default=["descend", *PEERS])
    parser.add_argument(
        "--out", type=pathlib.Path, help="results as JSON; problems and solvers in it are not run again"
    )
    parser.add_argument("--again", nargs="*", default=[], help="solvers to run again all the same")
    options = parser.parse_args()
    known = {}
    if options.out is not None and options.out.exists():
        known = {row["where"]: row for row in json.loads(options.out.read_text())}
    rows = []
    for where in draw(options.seed, options.each):
        row = known.get(where, {"where": where, "solvers": {}})
        have = {name for name in row["solvers"] if name not in options.again}
        need = [
            s
            for s in options.solvers
            if s not in have and not (row["solvers"] and s in row.get("ran", []) and s not in options.again)
        ]
        if need and "error" not in row:
            new = run(where, need, options.seconds)
            row = {
                **row,
                **new,
                "solvers": {**row["solvers"], **new["solvers"]},
                "ran": sorted({*row.get("ran", []), *need}),
            }
        rows.append(row)
        said = {s: f"{a.get('error') or a['value']}" for s, a in row["solvers"].items()}
        print(
            row.get("name", where),
            row.get("error", ""),
            said.get("descend"),
            said.get("ipopt"),
            file=sys.stderr,
            flush=True,
        )
        if options.out is not None:
            known[where] = row
            options.out.write_text(json.dumps(list(known.values())))
    scored, endless = score([row for row in rows if "error" not in row])
    print("\n".join(table(scored, options.solvers)))
    print("\nleft out, as values fall without end: " + (", ".join(endless) or "none"))


if __name__ == "__main__":
    main()
