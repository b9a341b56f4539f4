"""`descend check DIR`: is the stored answer what it says it is?

Everything is recomputed in NumPy from the problem and the stored multipliers. No derivative comes from JAX and nothing is
shared with the solvers or with `certify`: gradients are finite differences (`descend.differences`) of the problem's own
values. What cannot be recomputed precisely enough is not confirmed, and what is not confirmed is not ok.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from descend import loading
from descend.differences import Differences, Values
from descend.problem import Problem
from descend.report import record, terminal
from descend.solution import Solution, Status, tree

GOOD, BAD, UNREADABLE = 0, 1, 2
DRAWS = 256  # for the value of a random problem
STEPS = 10.0 ** np.arange(0, 7)  # along a ray, in scales of x
MEMBERS = 10_000  # of a finite domain, that are tried one by one


@dataclass(frozen=True)
class Line:
    """One claim: what it is about, what the files say, what was found, and whether the two agree."""

    what: str
    claimed: str
    recomputed: str
    ok: bool


def run(folder: str | Path, as_json: bool = False, source: tuple[str, str] | None = None) -> int:
    """Prints the check of a folder.

    Args:
        folder: what `descend solve --out` wrote.
        as_json: print one object `{"ok", "lines": [{"what", "claimed", "recomputed", "ok"}]}` or `{"error"}` instead.
        source: file and name of the problem, where it is no longer what the folder says.

    Returns:
        The exit status: 0 when the answer is what it says it is, 1 when not, 2 when it cannot be read.
    """
    try:
        lines = check(folder, source)
    except (OSError, ValueError, loading.InputError) as error:
        if as_json:
            print(json.dumps({"error": str(error)}))
        terminal.complain(str(error)) if hasattr(terminal, "complain") else print(f"Error: {error}")
        return UNREADABLE
    good = all(line.ok for line in lines)
    if as_json:
        print(json.dumps({"ok": good, "lines": [asdict(line) for line in lines]}))
        return GOOD if good else BAD
    return GOOD if good else BAD
