"""When a run is stored, and what of it."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import time
from typing import TYPE_CHECKING, Any

from descend.engine import position as positions
from descend.engine import scaling
from descend.engine.position import Mark, Position

if TYPE_CHECKING:
    from descend.engine.run import Run

EVERY = 1.0  # seconds between checkpoints
SHARE = 0.05  # of the time that may go into them


class Storage:
    """The checkpoint of a run. Nothing that the run decides depends on when it is written.

    Args:
        run: what is stored.
        path: where, or None for nowhere.
    """

    def __init__(self, run: Run, path: pathlib.Path | None):
        self.run, self.path = run, path
        self._saved, self._pause = time.monotonic(), EVERY
        self.mark()

    def mark(self) -> None:
        """Take note that a segment is done: what is stored is the run as it is now, whatever a later segment leaves."""
        run = self.run
        evaluator, finds = run.evaluator, run.finds
        self._marked = Mark(
            position=dataclasses.replace(run.position),
            here=dataclasses.replace(finds.here),
            best=dataclasses.replace(finds.best),
            state=run.state,
            candidate=finds.candidate,
            counts=(evaluator.units, evaluator.failures, finds.units, finds.useless),
            error=evaluator.error,
            rows=len(run.trace.evaluations),
            log=len(run.trace.log),
            seconds=run.seconds,
        )

    def save_if_due(self) -> None:
        """Write the checkpoint unless that was done just now."""
        if time.monotonic() - self._saved > self._pause:
            self.save()

    def save(self) -> None:
        """Write the checkpoint. A disk that is full does not end the run."""
        if self.path is None:
            return
        began = time.monotonic()
        try:
            positions.write(self.path, self._marked, self.run.trace, self._fingerprint)
        except OSError as error:
            self.run.log(f"the checkpoint could not be written: {error}")
        self._saved = time.monotonic()
        self._pause = max(EVERY, (self._saved - began) / SHARE)

    @functools.cached_property
    def _fingerprint(self) -> str:
        return positions.fingerprint(self.run.plan, self.run.starts[0], self.run.key)

    def restore(self, leaves: list[Any], meta: dict[str, Any]) -> None:
        """Continue where a checkpoint was written.

        Raises:
            ValueError: if it belongs to another problem, plan or key.
        """
        run = self.run
        if meta["fingerprint"] != self._fingerprint:
            raise ValueError(f"{self.path} is a checkpoint of another problem, plan or key")
        start = run.plan.problem.domain.start()

        def like(position: Position) -> Any:
            run.position = position
            scaling.use(run)
            return run.stage.solver.init(run.problem, start, run.key)

        mark, run.trace = positions.read(leaves, meta, run.evaluator.tolerance, like, start)
        run.position, run.state = mark.position, mark.state
        scaling.use(run)
        run.finds.here, run.finds.best, run.finds.candidate = mark.here, mark.best, mark.candidate
        run.evaluator.units, run.evaluator.failures, run.finds.units, run.finds.useless = mark.counts
        run.evaluator.error, run.before = mark.error, mark.seconds
        self.mark()
