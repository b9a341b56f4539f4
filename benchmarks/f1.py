"""The demo on many tables: `python benchmarks/f1.py` (half an hour on two cores).

Every KEEL table with at least 40 rare rows that are at most 15 % of it, five folds each, states what `examples/f1.py`
states: maximize F1 on the training rows subject to recall >= 0.9 there. Compared, by the mean over folds, with logistic
regression whose threshold was tuned for the same on the same rows: on the training rows, where F1 counts only if the
recall is kept, and on the held-out rows, where nothing holds the recall up, so it is shown beside. A difference of less
than 0.005 is a tie. Rows go to `benchmarks/f1.json`.
"""

import json
import pathlib
import runpy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.stats

FOLDS, TIE, EVALUATIONS, PROCESSES = 5, 0.005, 100_000, 2
ROOT = pathlib.Path(__file__).parents[1]


def tables():
    from descend.datasets import keel_names, keel_rows

    labels = {name: keel_rows(name).y for name in keel_names()}
    return [name for name, y in labels.items() if y.sum() >= 40 and y.mean() <= 0.15]


def fold(name, index):
    """Training F1, held-out F1 and held-out recall, of the answer and of the baseline; shape (2, 3)."""
    import jax

    import descend
    from descend.datasets import keel

    jax.config.update("jax_enable_x64", True)
    problem = runpy.run_path(str(ROOT / "examples" / "f1.py"))["state"](*keel(name, index, folds=FOLDS))
    solution = descend.solve(problem, budget=descend.Budget(seconds=None, evaluations=EVALUATIONS))
    return [
        [row.value if row.violation <= 1e-6 else 0.0, row.metrics["held-out F1"], row.metrics["held-out recall"]]
        for row in solution.rows
    ]


def elsewhere(name):
    """The mean over the folds of a table, in a process of its own: what JAX compiles for it ends with it."""
    done = subprocess.run([sys.executable, __file__, name], check=True, stdout=subprocess.PIPE, text=True)
    return np.mean(json.loads(done.stdout), axis=0)


def verdict(gain):
    """Wins, ties and losses, and how likely so uneven a split of wins and losses is by chance (sign test)."""
    wins, losses = int(np.sum(gain >= TIE)), int(np.sum(gain <= -TIE))
    p = scipy.stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    return {"wins": wins, "ties": len(gain) - wins - losses, "losses": losses, "p": p, "mean gain": float(gain.mean())}


def main():
    names = tables()
    rows = {}
    print(f"{len(names)} tables, {FOLDS} folds: ours / logistic regression\n")
    print(f"{'table':28s} {'training F1':>15s} {'held-out F1':>15s} {'held-out recall':>15s}", flush=True)
    with ThreadPoolExecutor(PROCESSES) as pool:
        for name, row in zip(names, pool.map(elsewhere, names), strict=True):
            rows[name] = row
            print(f"{name:28s}", *(f"{a:.3f} / {b:.3f}".rjust(15) for a, b in row.T), flush=True)
    gains = np.array([row[0] - row[1] for row in rows.values()])
    verdicts = dict(zip(("training F1", "held-out F1", "held-out recall"), map(verdict, gains.T), strict=True))
    print()
    for label, result in verdicts.items():
        print(f"{label:15s}", ", ".join(f"{result[k]} {k}" for k in ("wins", "ties", "losses")), end="")
        print(f"; mean gain {result['mean gain']:+.3f}, sign test p = {result['p']:.2g}")
    record = {"verdicts": verdicts, "tables": {name: row.tolist() for name, row in rows.items()}}
    (ROOT / "benchmarks" / "f1.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps([fold(sys.argv[1], index) for index in range(FOLDS)]))
    else:
        main()
