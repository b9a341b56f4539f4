"""What is heard of a running solve: a bar on a terminal, log lines elsewhere."""

import logging
import sys
import time
from types import TracebackType
from typing import IO, Any

from descend.solution import Event
from descend.solution.summary import number

LOG = logging.getLogger("descend")
EVERY = 5.0  # seconds between log lines without news


class Progress:
    """Shows events: value, violation, units and time left.

    On a terminal it is a `rich` bar on standard error; elsewhere it logs under "descend" at level INFO, at a switch of
    stage and every few seconds. Use it as a context manager and call it with each `Event`.

    Args:
        seconds: the time limit, which "left" counts down to; None for none.
        file: where the bar goes (default: standard error).
        shown: whether to draw the bar (default: whether `file` is a terminal).
    """

    def __init__(self, seconds: float | None = None, file: IO[str] | None = None, shown: bool | None = None):
        self.seconds = seconds
        self.file = sys.stderr if file is None else file
        self.shown = self.file.isatty() if shown is None else shown
        self._bar: Any = None
        self._task: Any = None
        self._started = time.monotonic()
        self._logged = -EVERY

    def __enter__(self) -> "Progress":
        self._started = time.monotonic()
        if self.shown:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = (BarColumn(bar_width=24), TextColumn("{task.description}"), TextColumn("{task.fields[left]}"))
            console = Console(file=self.file, highlight=False)
            self._bar = Bar(*columns, console=console, transient=True, refresh_per_second=4)
            self._task = self._bar.add_task("starting", total=1.0, left="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def phase(self, name: str) -> None:
        """Says what goes on before the first event: "compiling"."""
        if self._bar is not None:
            self._bar.update(self._task, description=name, left=self._left())

    def tick(self) -> None:
        """Refreshes the time left."""
        if self._bar is not None:
            self._bar.update(self._task, left=self._left())

    def __call__(self, event: Event) -> None:
        """Shows one event."""
        text = describe(event)
        if self._bar is not None:
            self._bar.update(self._task, description=text, completed=event.fraction, left=self._left())
            if event.message:
                self._bar.console.print(event.message, markup=False, style="dim")
        elif event.message:
            LOG.info("%s (%s)", event.message, text)
        elif event.seconds - self._logged >= EVERY:
            self._logged = event.seconds
            LOG.info("%s", text)

    def _left(self) -> str:
        if self.seconds is None:
            return ""
        return f"{max(0.0, self.seconds - (time.monotonic() - self._started)):.0f} s left"


def describe(event: Event) -> str:
    """One event in a few words."""
    if event.value is None:
        return f"no value yet · {event.evaluations:,} evaluations"
    violation = f" · violation {number(event.violation, 2)}" if event.violation > 0 else ""
    return f"value {number(event.value)}{violation} · {event.evaluations:,} evaluations"
