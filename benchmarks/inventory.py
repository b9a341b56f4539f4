"""Is the rule that `examples/inventory.py` is compared with a fair one? `python benchmarks/inventory.py` (minutes).

The rule assumes that the warehouse never runs out, so its level is too high: here its two ratios are also tuned, on a
grid, in the simulator itself. `descend.solve` starts from the untuned rule, under three keys. All levels are then run
on the same 2,000 draws, which none of them has seen.
"""

import itertools
import pathlib
import runpy

import numpy as np

import descend

DRAWS, TUNING, SECONDS = 2000, 40, 30


def main():
    example = runpy.run_path(str(pathlib.Path(__file__).parents[1] / "examples" / "inventory.py"))
    cost, newsvendor = example["cost"], example["newsvendor"]

    def costs(levels, draws, stream):
        return np.array([cost(levels, key=[stream, draw]) for draw in range(draws)])

    grid = itertools.product(np.arange(0.8, 0.99, 0.02), (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99))
    rules = [newsvendor({"shops": a, "warehouse": b}) for a, b in grid]
    tuned = min(rules, key=lambda levels: costs(levels, TUNING, 1).mean())
    found = {"newsvendor": example["rule"], "newsvendor, tuned": tuned}
    for key in range(3):
        budget = descend.Budget(seconds=SECONDS)
        found[f"descend, key {key}"] = descend.solve(example["problem"], key=key, budget=budget).x
    results = {name: costs(levels, DRAWS, 2) for name, levels in found.items()}
    for name, levels in found.items():
        gain = results["newsvendor, tuned"] - results[name]
        shops = " ".join(f"{level:.0f}" for level in levels["shops"])
        print(
            f"{name:20s} cost {results[name].mean():6.3f}; below the tuned rule by {gain.mean():+6.3f} "
            f"± {gain.std() / DRAWS**0.5:.3f}; warehouse {float(levels['warehouse']):.0f}, shops {shops}"
        )


if __name__ == "__main__":
    main()
