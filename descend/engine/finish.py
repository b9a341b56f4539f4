"""From the end of a run to a `Solution`: score, certify, and say what the answer is."""

import dataclasses
import time
from typing import Any

import jax
import numpy as np

from descend.engine import account
from descend.engine.chances import held
from descend.engine.draws import draw
from descend.engine.plans import Plan
from descend.engine.run import Run
from descend.engine.score import score
from descend.engine.verdict import Verdict
from descend.inspection import bounds, certify
from descend.solution import Certificate, Solution, Status

DRAWS = 64  # over which several random objectives are averaged
BROKEN = ("flat", "jumps", "uninformative")  # words after which a derivative says nothing of the value


def finish(run: Run, until: float) -> Solution:
    """The solution of a run that ended. What does not fit before `until` (`time.monotonic()`) is left out, and said."""
    assert run.ending is not None
    problem, best = run.plan.problem, run.finds.best
    solution = Solution(
        status=Status.INTERRUPTED,
        x=None,
        value=None,
        trace=run.trace,
        plan=run.plan.lines(),
        findings=run.plan.findings,
        message=run.ending.message,
        problem=repr(problem),
        sense=problem.sense,
        error=run.evaluator.error or run.position.broken,
        source=account.source(run.plan.findings),
    )
    try:
        if run.ending.exhausted:
            run.settle()
        if best.x is not None:
            _known(run, solution)
            tolerance = score(run, solution, until)
            _judge_chances(run, solution)
            solution.certificate = _checked(run, solution, tolerance, until)
        Verdict(run, solution, until).give()
    except KeyboardInterrupt:
        # What was found stays; whoever asks to stop a second time gets it without the checks.
        solution.status, solution.message = Status.INTERRUPTED, "interrupted by the user before the last checks"
    if solution.x is not None and problem.objectives:
        solution.value = _several(run, solution.x)
        for row, x in zip(solution.rows, [solution.x, *problem.baselines.values()], strict=False):
            row.metrics = {**_several(run, x), **row.metrics}
    solution.evaluations = run.count
    solution.seconds = run.seconds
    return solution


def _judge_chances(run: Run, solution: Solution) -> None:
    """Chance constraints on fresh draws: one that is refuted is a violation, by as much as its probability misses."""
    for each in held(run.plan.problem, solution.x, draw(run.key, "chances")):
        solution.rows[0].metrics[f"P({each.name})"] = each.found
        solution.message += f"; {each}"
        if each.high < each.asked:
            solution.violation = solution.rows[0].violation = max(solution.violation, each.asked - each.found)


def _several(run: Run, x: Any) -> dict[str, float]:
    """The values of several objectives at x: means over draws where they are random."""
    problem = run.plan.problem
    keys = jax.random.split(draw(run.key, "objectives"), DRAWS if problem.random else 1)
    values = [problem.named(problem.evaluate(x, key=key)) for key in keys]
    return {name: float(np.mean([each[name] for each in values])) for name in problem.objectives}


def _known(run: Run, solution: Solution) -> None:
    """What is known without any further work."""
    best = run.finds.best
    solution.x, solution.value, solution.violation = best.x, run.plan.problem.sign * best.loss, best.violation
    solution.value_se = np.nan if run.evaluator.noisy else 0.0
    note = "the check was not made"
    solution.certificate = Certificate(best.violation, tolerance=run.evaluator.tolerance, note=note)


def _checked(run: Run, solution: Solution, tolerance: float, until: float) -> Certificate:
    """The answer's certificate, unless there is no time for one."""
    problem = run.plan.problem
    costly = not (problem.black_box or problem.random or problem.domain.discrete)
    note = ""
    if run.ending is not None and run.ending.interrupted:
        note = "interrupted before the check"
    elif costly and time.monotonic() + run.pace.certificate(problem) > until:
        note = "no time was left for the check"
    elif not solution.violation <= tolerance:  # no multipliers make it an optimum
        note = f"violation {solution.violation:.2g} exceeds {tolerance:g}"
    if run.certificate is not None:
        found = run.certificate
    elif note:
        found = Certificate(solution.violation, tolerance=tolerance, note=note)
    else:
        found = certificate(run.plan, solution.x, run.evaluator.tolerance)
    return dataclasses.replace(found, violation=solution.violation, tolerance=max(found.tolerance, tolerance))


def broken(plan: Plan) -> str:
    """The first word found that says that the derivative is none of the value, or ""."""
    found = next((finding.what for finding in plan.findings if finding.what in BROKEN), "")
    # A system of equations has no loss whose derivative could be wrong.
    return found if found and bounds.of_constancy(plan.problem, 0.0) is None else ""


def certificate(plan: Plan, x: Any, tolerance: float) -> Certificate:
    """The independent check of x. Where derivatives are not those of the value it would say nothing: it is not made."""
    unknown = float("nan")
    word = broken(plan)
    if word:
        return Certificate(unknown, tolerance=tolerance, note=f"no optimality conditions: {word}")
    try:
        return certify(plan.problem, x, tolerance=tolerance)
    except Exception as error:  # a failing check is no reason to lose the answer: it only leaves it uncertified
        return Certificate(unknown, tolerance=tolerance, note=f"the check failed: {error}")
