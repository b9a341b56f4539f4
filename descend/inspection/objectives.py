"""Several objectives at a point: which of them conflict there, and which weights balance them."""

import functools
import itertools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from descend.constraints import Constraint, at_least, at_most
from descend.findings import Finding
from descend.inspection.forces import Near
from descend.inspection.subject import Subject
from descend.problem import Problem
from descend.solvers.flat import Flat
from descend.solvers.sparsity import as_dense

OPPOSED = -0.01  # the cosine below which two gradients conflict


def gradients(problem: Problem, x: Any) -> tuple[np.ndarray, np.ndarray]:
    """Losses of the objectives, shape (m,), and their gradients, shape (m, n), in the order of the domain's ravel."""
    plain = problem if problem.route is None else problem.via(None)

    def build() -> Any:
        def both(vector: jax.Array, inputs: Any) -> tuple[jax.Array, jax.Array]:
            def losses(v: jax.Array) -> tuple[jax.Array, jax.Array]:
                found = jnp.stack(plain.bind(inputs).evaluate(plain.domain.unravel(v)).objectives)
                return found, found

            jacobian, found = jax.jacrev(losses, has_aux=True)(vector)
            return found, jacobian

        return jax.jit(both)

    vector = jnp.asarray(np.asarray(problem.domain.ravel(x), np.float64), jnp.result_type(float))
    found, jacobian = plain.compiled("objectives", build)(vector, problem.inputs)
    return np.asarray(found, np.float64), np.asarray(jacobian, np.float64)


def weights(problem: Problem, x: Any, tolerance: float) -> dict[str, float]:
    """Weights of the objectives, not negative and of sum one, whose gradients the constraints near x can balance.

    By nonnegative least squares, on the coordinates that are at no bound. The point is a candidate for an optimum in
    the sense of Pareto where what is left of the combined gradient is small; `restated` is what to certify.
    """
    flat = Flat(problem)
    point = flat.vector(x)
    _, jacobian = gradients(problem, x)
    near = Near.find(flat, point, flat.values(point[None])[1][0], np.sqrt(tolerance))
    slopes = jacobian * flat.scale
    free = np.ones(flat.size, bool)
    if problem.domain.box is not None:
        reach = np.sqrt(tolerance) * flat.scale
        free = (point > problem.domain.box[0] + reach) & (point < problem.domain.box[1] - reach)
    normals = np.zeros((0, flat.size)) if near is None else as_dense(near.normals(flat.scale))
    both = np.zeros((0, flat.size)) if near is None else -normals[near.equality]
    columns = np.concatenate([slopes, normals, both])[:, free].T
    unit = max(float(np.max(abs(slopes), initial=0.0)), 1e-300)
    total = np.zeros((1, columns.shape[1]))
    total[0, : len(slopes)] = 1.0
    found, _ = scipy.optimize.nnls(np.concatenate([columns / unit, total]), np.append(np.zeros(free.sum()), 1.0))
    shares = found[: len(slopes)]
    shares = shares / shares.sum() if shares.sum() > 0 else np.full(len(slopes), 1 / len(slopes))
    return dict(zip(problem.objectives, shares.tolist(), strict=True))


def restated(problem: Problem, x: Any, shares: Mapping[str, float]) -> tuple[Problem, list[str]]:
    """The problem whose optimum x is if it is one in the sense of Pareto: the weighted sum of the objectives, none of
    them worse than at x; and the names of these added constraints."""
    losses, _ = gradients(problem, x)

    def total(x: Any, **named: Any) -> Any:
        values = problem.objective(x, **named)
        return sum(shares[name] * values[name] for name in problem.objectives)

    def pick(name: str) -> Any:
        function = lambda x, **named: problem.objective(x, **named)[name]  # noqa: E731
        return functools.wraps(problem.objective)(function)

    def kept(name: str, loss: float) -> Constraint:
        state = at_most if problem.sense == "min" else at_least
        return state(pick(name), problem.sign * loss, name=f"objective {name}")

    added = [kept(name, loss) for name, loss in zip(problem.objectives, losses, strict=True)]
    single = Problem(
        functools.wraps(problem.objective)(total),
        problem.domain,
        [*problem.subject_to, *added],
        sense=problem.sense,
        given=problem.given,
        data=problem.data,
        batch_size=problem.batch_size,
    )
    return single, [constraint.name for constraint in added]


def on_conflicts(subject: Subject) -> list[Finding]:
    """Pairs of objectives whose gradients oppose each other at the start."""
    problem = subject.problem
    if not problem.objectives:
        return []
    subject.evaluations += 1 + 2 * len(problem.objectives)
    found = subject.attempt(lambda: gradients(problem, subject.domain.unravel(subject.x)))
    if found is None:
        return []
    slopes = found[1] * subject.scale
    findings = []
    for (a, first), (b, second) in itertools.combinations(zip(problem.objectives, slopes, strict=True), 2):
        size = np.linalg.norm(first) * np.linalg.norm(second)
        cosine = float(first @ second / size) if size > 0 else 0.0
        if cosine < OPPOSED:
            evidence = {"how": "probed", "cosine": cosine}
            findings.append(
                Finding("conflicting", {"objective": f"{a} and {b}"}, evidence, "descend.front(problem, 9)")
            )
    return findings
