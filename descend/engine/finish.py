"""From the end of a run to a `Solution`: score, certify, and say what the answer is."""

import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.engine.evaluate import Evaluator
from descend.engine.plans import Plan
from descend.engine.run import Run
from descend.inspection import certify, least_violation, ray
from descend.problem import Problem
from descend.solution import Certificate, Row, Solution, Status
from descend.solvers import Enumeration

BROKEN = ("flat", "jumps", "uninformative")  # words after which a derivative says nothing of the value
DRAWS = 128  # of a random objective, for the value that is reported


def finish(run: Run, grace: float) -> Solution:
    """The solution of a run that ended. `grace` is how many seconds a slow noisy objective may still be evaluated."""
    problem, best, position = run.plan.problem, run.best, run.position
    solution = Solution(
        status=Status.FAILED,
        x=best.x,
        value=None,
        trace=run.trace,
        plan=run.plan.lines(),
        findings=run.plan.findings,
        message=position.ended,
        problem=repr(problem),
        sense=problem.sense,
        error=run.evaluator.error,
    )
    if best.x is not None:
        _score(run, solution, grace)
        solution.status = _status(run, solution)
    elif position.interrupted:
        solution.status = Status.INTERRUPTED
    elif position.exhausted and run.evaluator.failures < run.evaluator.units:
        solution.status = Status.BUDGET
    if solution.status is Status.FAILED:
        cause = "raised" if solution.error else "gave a value that is not finite"
        solution.message = f"every evaluation {cause}"
    solution.evaluations = position.units + run.evaluator.units
    solution.seconds = run.seconds
    return solution


def _score(run: Run, solution: Solution, grace: float) -> None:
    """Values of the answer and the baselines, on the same fresh draws; the answer's certificate."""
    problem, evaluator = run.plan.problem, run.evaluator
    names = ["answer", *problem.baselines]
    members = [run.best.x, *problem.baselines.values()]
    points = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    losses, violation = _final(evaluator, points, run.key, grace)
    draws = losses.shape[1]
    error = losses.std(axis=1, ddof=1) / np.sqrt(draws) if draws > 1 else np.zeros(len(names))
    for index, (name, x) in enumerate(zip(names, members, strict=True)):
        judge = float(problem.judge(x)) if problem.judge is not None else None
        metrics = {label: float(metric(x)) for label, metric in problem.metrics.items()}
        value = problem.sign * float(losses[index].mean())
        solution.rows.append(Row(name, value, float(error[index]), float(violation[index]), judge, metrics))
    answer = solution.rows[0]
    solution.value, solution.value_se, solution.samples = answer.value, answer.value_se, draws
    solution.violation = answer.violation
    found = run.certificate or certificate(run.plan, run.best.x, run.best.tolerance)
    solution.certificate = dataclasses.replace(found, violation=answer.violation)


def _final(evaluator: Evaluator, points: Any, key: jax.Array, grace: float) -> tuple[np.ndarray, np.ndarray]:
    """Losses of the points, (m, draws), and their violations. Slow objectives get as many draws as fit into `grace`."""
    problem = evaluator.problem
    keys = jax.random.split(jax.random.fold_in(key, 7), DRAWS)
    if not problem.random or not problem.black_box:
        scores = evaluator.many(points, keys)
        return scores.losses, scores.violation
    began, blocks, violations = time.monotonic(), [], []
    for block in np.split(np.arange(DRAWS), DRAWS // 8):
        scores = evaluator.many(points, keys[block])
        blocks.append(scores.losses)
        violations.append(scores.violation)
        if time.monotonic() - began > grace:
            break
    return np.concatenate(blocks, axis=1), np.mean(violations, axis=0)


def certificate(plan: Plan, x: Any, tolerance: float) -> Certificate:
    """The independent check of x. Where derivatives are not those of the value it would say nothing, so it is not made."""
    broken = [finding for finding in plan.findings if finding.what in BROKEN]
    if broken:
        return Certificate(
            violation=float("nan"), tolerance=tolerance, note=f"no optimality conditions: {broken[0].what}"
        )
    try:
        return certify(plan.problem, x, tolerance=tolerance)
    except Exception as error:
        # A failing check is no reason to lose the answer: it only leaves the answer uncertified.
        return Certificate(violation=float("nan"), tolerance=tolerance, note=f"the check failed: {error}")


def _status(run: Run, solution: Solution) -> Status:
    problem, position = run.plan.problem, run.position
    traceable = not problem.black_box and not problem.random and not problem.domain.discrete
    suspicious = position.fallen or _huge(run)
    if traceable and suspicious:
        direction = ray(problem, run.best.x)
        if direction is not None:
            solution.ray = direction
            solution.message = "the objective improves without end along the ray"
            return Status.UNBOUNDED
    if position.fallen:
        solution.message = "the objective reached infinity"
        return Status.UNBOUNDED
    certificate = solution.certificate
    if solution.violation > run.best.tolerance:
        if position.interrupted:
            return Status.INTERRUPTED
        return _infeasible(run, solution, traceable)
    if not position.exhausted and not position.interrupted and isinstance(run.stage.solver, Enumeration):
        return Status.OPTIMAL
    if certificate.evidence == "proved":
        return Status.OPTIMAL
    if certificate.evidence == "local":
        return Status.LOCAL
    if position.interrupted:
        return Status.INTERRUPTED
    return Status.BUDGET if position.exhausted else Status.CONVERGED


def _huge(run: Run) -> bool:
    """Whether the best point ran so far, or the loss fell so low, that the problem may have no minimum."""
    domain = run.plan.problem.domain
    reach = np.max(np.abs(domain.ravel(run.best.x) / domain.scale), initial=0.0)
    return bool(reach > 1e4 or run.best.loss < -1e6)


def _infeasible(run: Run, solution: Solution, traceable: bool) -> Status:
    """Nothing feasible was found: infeasible if the violation itself cannot be lowered any more, else out of budget."""
    problem, position = run.plan.problem, run.position
    if isinstance(run.stage.solver, Enumeration) and not position.exhausted:
        solution.conflicts = [c.name for c in problem.subject_to]
        solution.message = "every member was evaluated and none is feasible"
        return Status.INFEASIBLE
    if traceable:
        x, conflicts, stationary = least_violation(problem, run.best.x, run.key)
        scores = run.evaluator.many(jax.tree.map(lambda a: np.asarray(a)[None], x), run.key[None])
        if scores.violation[0] < solution.violation:
            solution.x, solution.violation = x, float(scores.violation[0])
            solution.value = problem.sign * float(scores.losses[0, 0])
            solution.rows[0].value, solution.rows[0].violation = solution.value, solution.violation
        if stationary and solution.violation > run.best.tolerance:
            solution.conflicts = conflicts
            solution.message = f"no nearby point satisfies {', '.join(conflicts)} together"
            return Status.INFEASIBLE
    return Status.BUDGET if position.exhausted else Status.INFEASIBLE


def tolerance_of(problem: Problem) -> float:
    """The scaled violation that still counts as feasible: by the precision that the problem is evaluated in."""
    exact = problem.black_box or jnp.result_type(float) == jnp.float64
    return 1e-6 if exact else 1e-4
