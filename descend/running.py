"""What the commands do, between the words of the command line and the child process."""

import importlib
import shlex
import sys
import threading
import time
from pathlib import Path
from typing import Any

from descend import launch, reporting
from descend.heard import Heard
from descend.reporting.files import write_text
from descend.reporting.progress import Progress
from descend.reporting.record import write
from descend.solution import Solution

LEAD = 0.3  # seconds before the limit at which a run that goes on is ended: that may take longer, and so does writing
CHECKPOINT = "checkpoint.npz"


def prepare(folder: Path, resumed: bool) -> str:
    """Makes the folder ready before anything is computed, and gives the path of its checkpoint.

    Raises:
        OSError: if it cannot be written, or holds no checkpoint to resume from.
    """
    checkpoint = folder / CHECKPOINT
    if resumed and not checkpoint.is_file():
        raise FileNotFoundError(2, "no checkpoint to resume from; expected a folder of solve --out", str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / ".writable", "")
    (folder / ".writable").unlink()
    if not resumed and checkpoint.exists():
        checkpoint.replace(folder / "checkpoint.previous.npz")
    return str(checkpoint.resolve())


def solve(task: dict[str, Any], seconds: float, folder: Path | None) -> tuple[Solution, bool]:
    """Solves in a child and writes the answer into the folder, if there is one.

    Args:
        task: what the command line says.
        seconds: the time limit, which everything together keeps to within two seconds.
        folder: where to write.

    Returns:
        The solution, and whether the user interrupted.

    Raises:
        launch.TaskError: if the input cannot be used.
        OSError: if the answer cannot be written.
    """
    started = time.monotonic()
    margin = min(3.0, 0.7 + 0.1 * seconds)  # for the certificate and for handing over
    if folder is not None:
        threading.Thread(target=importlib.import_module, args=("descend.reporting.plots",)).start()
    with launch.scratch() as scratch, Progress(seconds) as progress:
        heard = Heard(progress)
        typed = shlex.join(["descend", *sys.argv[1:]])
        task = task | {"scratch": str(scratch), "until": time.time() + seconds - margin, "typed": typed}
        ending = launch.watch(task, started + max(seconds - LEAD, 0.5 * seconds), heard, progress.tick)
        if ending.how is launch.How.FINISHED:
            solution = reporting.load(scratch)
        else:
            solution = heard.solution(ending, time.monotonic() - started)
    if folder is not None:
        write(solution, folder)
        reporting.report(solution, folder / "report.html")
    return solution, ending.asked


def inspect(task: dict[str, Any], seconds: float) -> dict[str, Any] | None:
    """Inspects in a child.

    Returns:
        The findings as a record under "body" and under "source" the lines that they point at; None if time ran out.

    Raises:
        launch.TaskError: if the input cannot be used.
        KeyboardInterrupt: if the user interrupted.
    """
    with launch.scratch() as scratch, Progress(seconds) as progress:
        heard = Heard(progress)
        until = time.monotonic() + seconds
        ending = launch.watch(task | {"scratch": str(scratch)}, until, heard, progress.tick)
    if ending.asked:
        raise KeyboardInterrupt
    if ending.how is launch.How.CRASHED:
        raise launch.TaskError(f"{ending.words} while {heard.phase}", ours=False)
    return heard.found
