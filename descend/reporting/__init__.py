"""Report: a solution for people (terminal, one self-contained HTML page) and for programs (JSON, npz)."""

from pathlib import Path
from typing import Any

from descend.reporting.record import load
from descend.solution import Solution

__all__ = ["load", "report", "save"]


def report(solution: Any, path: str | Path, problem: Any = None) -> None:
    """Writes one self-contained HTML page about a solution: no script, no network, light and dark.

    Args:
        solution: the answer, or the `Comparison` that `compare_routes` gives.
        path: where to write the page, such as "out.html".
        problem: the `Problem` it answers, to draw the landscape around the answer too.

    Raises:
        OSError: if the file cannot be written.
    """
    from descend.reporting import files, page

    if not isinstance(solution, Solution):
        from descend.reporting import comparison

        files.write_text(path, comparison.page(solution))
        return
    if problem is not None and solution.x is not None and not solution.slices:
        from descend.inspection.landscape import slices

        solution.slices = slices(problem, solution.x)
    files.write_text(path, page.page(solution))


def save(solution: Solution, folder: str | Path) -> None:
    """Writes `solution.json`, `solution.npz` and `report.html` into the folder (made if missing), each atomically.

    Raises:
        OSError: if the folder cannot be written.
    """
    from descend.reporting.record import write

    write(solution, folder)
    report(solution, Path(folder) / "report.html")
