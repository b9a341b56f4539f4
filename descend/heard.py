"""What the parent heard of a run: the best point so far, as a solution in case the child cannot hand over its own."""

from pathlib import Path
from typing import Any

import numpy as np

from descend.launch import Ending, How
from descend.reporting.files import read_arrays
from descend.reporting.progress import Progress
from descend.reporting.record import restore_findings, restore_source
from descend.solution import Certificate, Event, Solution, Status, Trace
from descend.solution import tree as trees

REASON = {
    How.LATE: "the time limit ended before the run did, so it was stopped",
    How.INTERRUPTED: "interrupted; the run did not end within the time allowed for that, so it was stopped",
}


class Heard:
    """Hears the child's messages.

    Args:
        progress: where to show them.
    """

    def __init__(self, progress: Progress):
        self.progress = progress
        self.trace = Trace()
        self.phase = "starting"
        self.stated: dict[str, Any] = {}
        self.point: dict[str, Any] | None = None
        self.plan: dict[str, Any] | None = None
        self.found: dict[str, Any] | None = None
        self._files: list[Path] = []

    def __call__(self, message: dict[str, Any]) -> None:
        """Takes in one message."""
        kind = message.pop("kind")
        if kind == "event":
            self._event(Event(x=None, **message))
        elif kind == "point":
            self._point(message)
        elif kind == "problem":
            self.stated = message
        elif kind == "plan":
            self.plan = message
        elif kind == "findings":
            self.found = message
        elif kind == "phase":
            self.phase = message["text"]
            self.progress.phase(self.phase)
        else:
            self.progress.tick()

    def _event(self, event: Event) -> None:
        trace = self.trace
        trace.evaluations.append(event.evaluations)
        trace.seconds.append(event.seconds)
        trace.value.append(float("nan") if event.value is None else event.value)
        trace.violation.append(event.violation)
        trace.current.append(event.current)
        trace.stage.append(event.stage)
        if event.message:
            trace.log.append((event.evaluations, event.message))
        self.progress(event)

    def _point(self, message: dict[str, Any]) -> None:
        self.point = message
        if "file" in message:
            self._files.append(Path(message["file"]))
            for old in self._files[:-2]:  # the newest and the one before it stay
                old.unlink(missing_ok=True)
            self._files = self._files[-2:]

    def solution(self, ending: Ending, seconds: float) -> Solution:
        """The best point heard of, with a status that says why there is no more.

        Args:
            ending: how the child ended.
            seconds: wall-clock seconds since the start.
        """
        status = {How.LATE: Status.BUDGET, How.INTERRUPTED: Status.INTERRUPTED}.get(ending.how, Status.FAILED)
        x, value, violation = self._best()
        reason = REASON.get(ending.how, f"{ending.words} while {self.phase}")
        if value is None and ending.how is not How.CRASHED:
            reason += f" (while {self.phase}, before any point was evaluated)"
        tolerance = 1e-4 if self.stated.get("settings", {}).get("precision") == "float32" else 1e-6
        plan = self.plan or {"lines": [], "findings": {"findings": [], "trust": None, "evaluations": 0}, "source": {}}
        return Solution(
            plan=plan["lines"],
            findings=restore_findings(plan["findings"]),
            source=restore_source(plan["source"]),
            status=status,
            x=x,
            value=value,
            value_se=float("nan") if self.stated.get("random") else 0.0,
            violation=violation,
            certificate=Certificate(violation, tolerance=tolerance, note="the run was stopped before the check"),
            trace=self.trace,
            evaluations=self.trace.evaluations[-1] if self.trace.evaluations else 0,
            seconds=seconds,
            message=reason,
            error=ending.words if ending.how is How.CRASHED else "",
            problem=self.stated.get("text", ""),
            sense=self.stated.get("sense", "min"),
            settings=self.stated.get("settings", {}),
        )

    def _best(self) -> tuple[Any, float | None, float]:
        if self.point is None:
            return None, None, float("inf")
        point = self.point
        stored = read_arrays(point["file"]) if "file" in point else point["arrays"]
        x = trees.build(point["structure"], lambda name: np.asarray(stored[name], np.float64))
        return x, point["value"], point["violation"]
