"""The file of results: one JSON object a line, only ever appended to."""

import json
import pathlib
from typing import Any

from descend.gallery.harness.headers import FOLDER

RESULTS = FOLDER.parents[1] / "benchmarks" / "results.jsonl"


def latest(path: pathlib.Path = RESULTS) -> dict[str, dict[str, Any]]:
    """The last row of each system, by name."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {each["name"]: each for each in map(json.loads, lines)}
