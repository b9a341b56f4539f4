"""The parent process of the command line: starts the child, listens, keeps the time limit and the best point.

Nothing here imports JAX or runs the user's code, so nothing here can hang.
"""

import contextlib
import enum
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

GRACE = 3.0  # seconds that the child has to finish its segment after Ctrl-C
LAST = 0.5  # seconds between asking it to end and killing it
Message = dict[str, Any]


class How(enum.Enum):
    """How the child ended."""

    FINISHED = "finished"
    CRASHED = "crashed"
    LATE = "late"
    INTERRUPTED = "interrupted"


class Ending(NamedTuple):
    """How the child ended: in words for a crash, and whether the user asked for it."""

    how: How
    words: str = ""
    asked: bool = False


class TaskError(Exception):
    """The child says that it cannot do the task.

    Attributes:
        ours: whether that is a fault of this library, not of its input.
    """

    def __init__(self, text: str, ours: bool):
        super().__init__(text)
        self.ours = ours


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for what the child hands over."""
    folder = Path(tempfile.mkdtemp(prefix="descend-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def watch(task: Message, until: float, hear: Callable[[Message], None], tick: Callable[[], None]) -> Ending:
    """Runs the task in a child and hears its messages until it ends or must end.

    Ctrl-C (and SIGTERM) is passed on to the child, which has `GRACE` seconds; a second one ends it at once.

    Args:
        task: what `descend.worker` is to do.
        until: when it must have ended, in seconds of `time.monotonic`.
        hear: is called with each message, in order.
        tick: is called a few times a second.

    Raises:
        TaskError: if the child says that it cannot do the task.
    """
    heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
    asked, begun = 0, False
    with _signals(heard):
        child = subprocess.Popen(
            [sys.executable, "-m", "descend.worker", json.dumps(task)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        threading.Thread(target=_read, args=(child, heard), daemon=True).start()
        try:
            while True:
                left = until - time.monotonic()
                if left <= 0:
                    return Ending(How.INTERRUPTED if asked else How.LATE, asked=bool(asked))
                try:
                    message = heard.get(timeout=min(left, 0.25))
                except queue.Empty:
                    tick()
                    continue
                kind = message["kind"]
                if kind == "signal":
                    asked += 1
                    if asked > 1 or not begun:
                        return Ending(How.INTERRUPTED, asked=True)
                    until = min(until, time.monotonic() + GRACE)
                    child.send_signal(signal.SIGINT)
                elif kind == "end":
                    return Ending(How.INTERRUPTED if asked else How.CRASHED, _crash(child), bool(asked))
                elif kind == "error":
                    raise TaskError(message["text"], message["ours"])
                elif kind == "interrupted":
                    return Ending(How.INTERRUPTED, asked=True)
                elif kind == "done":
                    return Ending(How.FINISHED, asked=bool(asked))
                else:
                    begun = True
                    hear(message)
        finally:
            _end(child)


def _read(child: subprocess.Popen, heard: queue.SimpleQueue) -> None:
    """Passes the child's lines on, and says when there are no more."""
    assert child.stdout is not None
    for line in child.stdout:
        with contextlib.suppress(ValueError):  # the last line of a killed child may be cut
            heard.put(json.loads(line))
    heard.put({"kind": "end"})


@contextlib.contextmanager
def _signals(heard: queue.SimpleQueue) -> Iterator[None]:
    """Turns signals into messages (`SimpleQueue.put` may be called in a handler)."""
    caught = [signal.SIGINT, signal.SIGTERM]
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: heard.put({"kind": "signal"})) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(child: subprocess.Popen) -> None:
    """Ends the child and every process that it started."""
    for number, patience in ((signal.SIGTERM, LAST), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
            if number == signal.SIGTERM:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
            return


def _crash(child: subprocess.Popen) -> str:
    """What became of a child that ended without a word."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(LAST)
    code = child.returncode
    if code is not None and code < 0:
        return f"the process was ended by {signal.Signals(-code).name} ({signal.strsignal(-code)})"
    return f"the process ended by itself (exit status {code})"
