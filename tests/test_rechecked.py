"""`descend check` on answers that are certified in another form than they are stated: charts, weights, two sides."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend.check.check import verify
from descend.reporting.record import record

A = np.random.default_rng(8).normal(size=(5, 5))
PROBLEMS = {
    "sphere": descend.Problem(lambda x: x @ (A + A.T) @ x, descend.Sphere(5)),
    "pareto": descend.Problem(
        lambda x: {"a": jnp.sum((x - 1) ** 2), "b": jnp.sum((x + 1) ** 2 * jnp.arange(1.0, 4.0))}, descend.Real(3)
    ),
    "saddle": descend.Problem(
        lambda v: jnp.sum(v["x"] ** 2) + v["x"] @ v["y"] - jnp.sum(v["y"] ** 2) + v["x"][0],
        {"x": descend.Real(2, -0.1, 1.0), "y": descend.Real(2)},
        adversary=("y",),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), [("sphere", "local"), ("pareto", "optimal"), ("saddle", "optimal")])
def test_answers_are_confirmed_and_moved_ones_are_not(name, status):
    """Sums of convex objectives, and both sides of a convex-concave game, are proved by convexity."""
    problem = PROBLEMS[name]
    solution = descend.solve(problem, progress=False, budget=descend.Budget(seconds=60))
    assert solution.status == status and all(line.ok for line in verify(problem, solution, record(solution)))
    moved = dataclasses.replace(solution, x=problem.domain.sample(jax.random.key(1)))
    assert not all(line.ok for line in verify(problem, moved, record(moved)))
