"""The status of an answer, with its evidence: never on the solver's word alone."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from descend.engine.position import lower_bound
from descend.engine.run import Run
from descend.engine.unbounded import by_values, distance, to_infinity, to_point, traceable
from descend.inspection import conflict, least_violation
from descend.problem import Problem
from descend.program.structure import Degree
from descend.solution import Certificate, Solution, Status
from descend.solvers import Enumeration
from descend.solvers.algebra import convex_program, degrees
from descend.solvers.flat import Flat
from descend.solvers.highs import INFEASIBLE

FEW = 8  # entries of a constraint that a message lists


class Verdict:
    """What a run and its scored, checked point amount to.

    Args:
        run: that ended.
        solution: everything but the status; `give` may replace its point by one that violates less.
        until: `time.monotonic()` after which nothing long is begun.
    """

    def __init__(self, run: Run, solution: Solution, until: float):
        assert run.ending is not None
        self.run, self.solution, self.until, self.ending = run, solution, until, run.ending
        problem = run.plan.problem
        self.problem = problem
        self.traceable = traceable(problem)
        self.listed = isinstance(run.stage.solver, Enumeration) and bool(run.position.ended)

    def give(self) -> None:
        """Fill in the status."""
        solution = self.solution
        if solution.x is None:
            solution.status = self._without_point()
        elif not self.ending.interrupted and self._unbounded():
            solution.status = Status.UNBOUNDED
            known = degrees(self.problem)
            linear = known is not None and known.linear
            self._evidence("proved" if linear else "local", "the loss falls without end along the ray")
        elif solution.violation > solution.certificate.tolerance:
            solution.status = self._violating()
        else:
            solution.status = self._feasible()

    def _without_point(self) -> Status:
        evaluator, solution = self.run.evaluator, self.solution
        if self.ending.interrupted:
            return Status.INTERRUPTED
        if evaluator.units == 0 and not solution.error:
            return Status.BUDGET
        solution.message = f"every evaluation {'raised' if solution.error else 'gave a value that is not finite'}"
        if solution.error:
            solution.error += "\n" + "\n".join(handed_in(self.problem))
        return Status.FAILED

    def _feasible(self) -> Status:
        run, solution = self.run, self.solution
        if self.listed and self.problem.judge is None:
            if not run.evaluator.failures:
                self._evidence("proved", "every member was evaluated", gap=0.0)
                return Status.OPTIMAL
            solution.message += f"; {run.evaluator.failures} members could not be evaluated"
        if solution.certificate.evidence == "proved" or self._branched():
            return Status.OPTIMAL
        if solution.certificate.evidence == "local":
            return Status.LOCAL
        return self._unproved()

    def _branched(self) -> bool:
        """Whether branch and bound left no gap; its bound is the solver's own, as the note says."""
        solution, bound = self.solution, lower_bound(self.solution.trace)
        if not np.isfinite(bound):
            return False
        loss = self.problem.sign * (solution.value or 0.0)
        gap = max(0.0, loss - bound)
        closed = gap <= solution.certificate.tolerance * max(1.0, abs(loss))
        note = f"branch and bound by HiGHS leaves a gap of {gap:.2g}"
        self._evidence("proved" if closed else "none", note, gap=gap)
        return closed

    def _unproved(self) -> Status:
        """The status where no evidence is to be had."""
        if self.ending.interrupted:
            return Status.INTERRUPTED
        if self.ending.exhausted:
            return Status.BUDGET
        if self.run.position.broken and not self.run.position.segments:
            self.solution.message, self.solution.error = "no solver could work on it", self.run.position.broken
            return Status.FAILED
        return Status.CONVERGED

    def _violating(self) -> Status:
        """Infeasible only where that is shown: every member was seen, or the violation is as low as it gets nearby."""
        run, solution = self.run, self.solution
        if self.listed and not run.evaluator.failures:
            solution.conflicts = [c.name for c in self.problem.subject_to]
            solution.message = "every member was evaluated and none is feasible"
            self._evidence("proved", solution.message)
            return Status.INFEASIBLE
        if self.problem.domain.discrete and self.ending.message == INFEASIBLE:
            solution.conflicts = conflict.of_whole_numbers(self.problem)
            solution.message = f"no member satisfies {' and '.join(solution.conflicts)}"
            self._evidence("proved", "branch and bound by HiGHS left no member")
            return Status.INFEASIBLE
        if self.traceable and not self.ending.interrupted and self._time_left():
            status = self._least_violating()
            if status is not None:
                return status
        status = self._unproved()
        if status is Status.CONVERGED:
            solution.message += "; no feasible point was found, but it is not shown that there is none"
        return status

    def _least_violating(self) -> Status | None:
        """Take the point that violates least, if it shows something or is better; the status that it shows.

        Least is the sum of squares, whose largest term may be larger than the answer's.
        """
        run, solution = self.run, self.solution
        try:
            x, conflicts, stationary, entries = least_violation(self.problem, solution.x, run.key)
        except Exception as error:  # whatever a derivative of user code raises
            solution.message += f"; the search for a feasible point failed: {error}"
            return None
        loss, violation = run.evaluator.one(x, run.key)
        if (stationary or violation < solution.violation) and np.isfinite(loss):
            self._replace(x, loss, violation)
        if solution.violation <= solution.certificate.tolerance:
            solution.message += "; the feasible point nearest to it is given"
            return self._unproved()
        if not stationary:
            return None
        solution.conflicts = conflicts
        solution.message = f"no point satisfies {' and '.join(self._said(name, entries) for name in conflicts)}"
        if self._convex():
            kind = "linear" if self._linear() else "convex"
            self._evidence("proved", f"the constraints are {kind}: the least violation nearby is the least of all")
        else:
            solution.message = solution.message.replace("no point", "no nearby point")
            self._evidence("local", "the violation cannot be lowered nearby")
        return Status.INFEASIBLE

    def _said(self, name: str, entries: Mapping[str, list[int]]) -> str:
        """A constraint with those of its values that conflict, as one would index it."""
        shapes = dict(zip((c.name for c in self.problem.subject_to), Flat(self.problem).shapes, strict=True))
        listed = ", ".join(map(str, entries.get(name, [])[:FEW])) + ", ..." * (len(entries.get(name, [])) > FEW)
        return f"{name}[{listed}]" if listed and shapes[name] != () else name

    def _linear(self) -> bool:
        """Whether all constraints are linear, over a convex domain."""
        known = degrees(self.problem)
        return known is not None and self.problem.domain.convex and bool(np.all(known.constraints <= Degree.LINEAR))

    def _convex(self) -> bool:
        """Whether the constraints are read to bound a convex set."""
        return self._linear() or (self.problem.domain.convex and convex_program(self.problem) is not None)

    def _replace(self, x: Any, loss: float, violation: float) -> None:
        solution, row = self.solution, self.solution.rows[0]
        solution.x, solution.value, solution.violation = x, self.problem.sign * loss, violation
        row.value, row.violation = solution.value, violation
        tolerance = solution.certificate.tolerance
        solution.certificate = Certificate(violation, tolerance=tolerance, note="found by lowering the violation alone")

    def _unbounded(self) -> bool:
        """Whether the objective falls without end along a ray, to infinity or towards a point; the ray is recorded."""
        run, solution = self.run, self.solution
        suspicious = distance(self.problem, solution.x, run.finds.best.loss) >= 1 or run.evaluator.fallen is not None
        known = degrees(self.problem) if solution.certificate.evidence == "none" else None
        if self.traceable and (suspicious or (known is not None and known.quadratic)):
            solution.ray = to_infinity(self.problem, solution.x)
        if solution.ray is not None:
            solution.message = "the objective improves without end along the ray"
            return True
        if not solution.violation > solution.certificate.tolerance and solution.certificate.evidence == "none":
            solution.ray = by_values(run.evaluator, solution.x, run.starts[0], run.key)
            if solution.ray is not None:
                solution.message = "the objective improves without end along the ray"
                return True
        solution.ray = to_point(run.evaluator, solution.x, run.key)
        if solution.ray is not None:
            solution.message = "the objective improves without end towards the end of the ray"
        return solution.ray is not None

    def _time_left(self) -> bool:
        return time.monotonic() + self.run.pace.certificate(self.problem) <= self.until

    def _evidence(self, evidence: str, note: str, **changes: Any) -> None:
        self.solution.certificate = dataclasses.replace(
            self.solution.certificate, evidence=evidence, note=note, **changes
        )


def handed_in(problem: Problem) -> list[str]:
    """What the functions of a problem are called with, a line for each variable."""
    domain = problem.domain
    lines = []
    for name, part in zip(domain.names, domain.parts, strict=True):
        looks = f": {part.looks}" if part.looks else ""
        lines.append(f"{name or 'x'} is float64 of shape {part.shape}, in {part}{looks}")
    return lines
