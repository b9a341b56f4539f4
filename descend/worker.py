"""The child process of the command line: does the work, and says on a pipe what is going on.

`python -m descend.worker TASK`, with the task in JSON, is started by `descend.launch`, which keeps the time limit and
the best point whatever happens here. Each message is one line of JSON on the standard output that the process was
given; what the user's code prints goes to standard error.
"""

import contextlib
import importlib.util
import json
import math
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from descend import threads
from descend.findings import Findings
from descend.reporting import files
from descend.reporting.record import findings_record, write
from descend.reporting.versions import version
from descend.solution import Budget, Event, Solution
from descend.solution import tree as trees

HEARTBEAT = 0.5  # seconds
SLICING = 3.0  # seconds that must be left before the landscape is drawn
LARGE = 2000  # numbers in x beyond which it travels in a file
SHARE = 0.05  # of the time that may go into files of large points


class Channel:
    """What the child says. Thread-safe.

    Args:
        folder: where large points are put.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._out = os.dup(1)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self._said = False  # any point at all
        self._pending: Any = None
        self._next = 0.0
        self._count = 0
        threading.Thread(target=self._beat, daemon=True).start()

    def send(self, kind: str, **fields: Any) -> None:
        """Sends one message. Ends the process if nobody listens any more."""
        line = (json.dumps({"kind": kind} | fields) + "\n").encode()
        with self._lock:
            try:
                while line:
                    line = line[os.write(self._out, line) :]
            except OSError:
                os._exit(1)

    def event(self, event: Event) -> None:
        """Passes on an engine's event: the callback."""
        body = event._asdict()
        x = body.pop("x")
        self.send("event", **{name: _number(value) for name, value in body.items()})
        if x is not None and (event.improved or not self._said):
            self._said = True
            self._point(x, event.value, event.violation)

    def _point(self, x: Any, value: float | None, violation: float) -> None:
        """Sends the best point; a large one in a file, not oftener than its cost allows."""
        about = {"value": _number(value), "violation": _number(violation)}
        size = sum(leaf.size for _, leaf in trees.leaves(x))
        if size <= LARGE:
            stored = {name or "x": leaf.tolist() for name, leaf in trees.leaves(x)}
            self.send("point", structure=_structure(x), arrays=stored, **about)
            return
        self._pending = (x, about)
        if time.monotonic() >= self._next:
            self._flush()

    def _flush(self) -> None:
        """Writes the newest large point."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        started = time.monotonic()
        x, about = pending
        self._count += 1
        path = self.folder / f"point-{self._count}.npz"
        files.write_arrays(path, {name or "x": leaf for name, leaf in trees.leaves(x)})
        self._next = time.monotonic() + (time.monotonic() - started) / SHARE
        self.send("point", structure=_structure(x), file=str(path), **about)

    def _beat(self) -> None:
        """Shows that the process is alive, sends the newest large point, and notices when nobody listens any more."""
        while True:
            time.sleep(HEARTBEAT)
            self.send("alive")
            if self._pending is not None and time.monotonic() >= self._next:
                with contextlib.suppress(OSError):
                    self._flush()


def main() -> None:
    """Does the task in the first argument."""
    task = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    channel = Channel(task["scratch"])
    try:
        _work(task, channel)
    except KeyboardInterrupt:
        channel.send("interrupted")
    except Exception as error:  # the parent shows it; nothing else would
        text, ours = _explained(error)
        channel.send("error", text=text, ours=ours)
    os._exit(0)  # threads and processes of user code do not keep the answer waiting


def configure(float32: bool = False) -> None:
    """Sets JAX up for the command line: float64 unless told otherwise, and compiled programs kept between runs."""
    import jax

    threads.enough()
    jax.config.update("jax_enable_x64", not float32)
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "descend" / jax.__version__
    try:
        files.write_text(folder_ready(folder) / "writable", "")
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    if importlib.util.find_spec("filelock") is not None:  # JAX needs it to keep the cache small
        jax.config.update("jax_compilation_cache_max_size", 2**29)


def folder_ready(folder: Path) -> Path:
    """The folder, made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _work(task: dict[str, Any], channel: Channel) -> None:
    from descend import loading

    configure(task["float32"])
    channel.send("phase", text=f"reading {Path(task['file']).name}")
    try:
        {"solve": _solve, "inspect": _inspect}[task["command"]](task, channel)
    except loading.InputError as error:
        channel.send("error", text=str(error), ours=False)


def _solve(task: dict[str, Any], channel: Channel) -> None:
    import descend
    from descend import loading
    from descend.engine import account
    from descend.inspection.landscape import slices

    problem = loading.problem(task["file"], task["name"])
    route = loading.made(task["route"], loading.routes(), "--route") if task["route"] else None
    solver = loading.made(task["solver"], loading.solvers(), "--solver") if task["solver"] else None
    settings = _settings(task)
    channel.send("problem", text=str(problem), sense=problem.sense, random=problem.random, settings=settings)
    channel.send("phase", text="inspecting")
    plan = descend.plan(problem, route=route, solver=solver, key=task["seed"])
    source = account.source(plan.findings)
    channel.send("plan", lines=plan.lines(), findings=findings_record(plan.findings), source=source)
    channel.send("phase", text="compiling")
    left = max(0.05, task["until"] - time.time())
    solution: Solution = descend.solve(
        plan,
        budget=Budget(seconds=left if math.isfinite(left) else None, evaluations=task["evaluations"]),
        key=task["seed"],
        workers=task["workers"],
        checkpoint=task["checkpoint"],
        callback=channel.event,
        progress=False,
    )
    channel.send("phase", text="writing")
    if solution.x is not None and task["until"] - time.time() > SLICING:
        with contextlib.suppress(Exception):  # a picture that cannot be made is no reason to lose the answer
            solution.slices = slices(problem, solution.x, task["seed"])
    solution.settings |= settings
    solution.source = solution.source or source
    write(solution, channel.folder)
    channel.send("done")


def _inspect(task: dict[str, Any], channel: Channel) -> None:
    import descend
    from descend import loading
    from descend.engine import account
    from descend.problem import Problem

    target = loading.named(task["file"], task["name"])
    if not callable(target):
        target = loading.problem(task["file"], task["name"])
    stated = target if isinstance(target, Problem) else None
    if task["at"] is None and stated is None:
        raise loading.InputError(f"{task['name']} is a function: say where to look with --at SHAPE or --at FILE.npz")
    at = loading.point(task["at"], stated) if task["at"] is not None else None
    channel.send("phase", text="inspecting")
    findings: Findings = descend.inspect(target, at=at, key=task["seed"])
    channel.send("findings", body=findings_record(findings), source=account.source(findings))
    channel.send("done")


def _settings(task: dict[str, Any]) -> dict[str, Any]:
    """How to run it again."""
    versions = {name: version(name) for name in ("descend", "jax", "jaxlib", "numpy", "optax")}
    return {
        "command": task["typed"],
        "file": task["file"],
        "name": task["name"],
        "key": task["seed"],
        "precision": "float32" if task["float32"] else "float64",
        "python": sys.version.split()[0],
        **versions,
    }


def _explained(error: Exception) -> tuple[str, bool]:
    """An exception in words, and whether it is a fault of this library.

    What this library raises on purpose is one line, what the user's code raises is a traceback of the user's own lines,
    and only the rest is a fault of ours, with the whole traceback.
    """
    from descend.engine.user_code import user_traceback

    last = traceback.extract_tb(error.__traceback__)[-1].filename
    if last.startswith(str(Path(__file__).parent)):
        if isinstance(error, (TypeError, ValueError, NotImplementedError, OSError)):
            return str(error), False
    elif "site-packages" not in last and "<frozen" not in last and not last.startswith(sys.base_prefix):
        return user_traceback(error), False
    return "".join(traceback.format_exception(error)), True


def _structure(x: Any) -> Any:
    return trees.structure(x, lambda path: path or "x")


def _number(value: Any) -> Any:
    """NumPy's scalars as Python's."""
    return value.item() if isinstance(value, np.generic) else value


if __name__ == "__main__":
    main()
