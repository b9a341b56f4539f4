"""Runs the command line in a process of its own."""

import json
import pathlib
import signal
import subprocess
import sys
import threading
import time
from typing import NamedTuple

import pytest

HERE = pathlib.Path(__file__).parent
PROBLEMS = HERE / "problems"


class Ran(NamedTuple):
    status: int
    out: str
    err: str
    seconds: float

    @property
    def json(self):
        """The one object on standard output, in strict JSON."""
        return json.loads(self.out, parse_constant=lambda token: pytest.fail(f"not strict JSON: {token}"))


def descend_(*arguments, interrupt_when=None, again=False):
    """Runs the command line; `interrupt_when(stderr so far)` says when to press Ctrl-C."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "descend", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=HERE.parent,
    )
    if interrupt_when is not None:
        threading.Thread(target=_interrupt, args=(process, interrupt_when), daemon=True).start()
    out, err = process.communicate(timeout=120)
    return Ran(process.returncode, out, err, time.monotonic() - started)


def _interrupt(process, when):
    while not when():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
