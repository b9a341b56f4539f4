"""Small objectives in the style of users, each labeled with what stands in the way of its gradient: truth is what the
formulas say, not what the library answers. `CASES` is read from the files of this folder."""

import importlib
import pathlib

from tests.corpus.label import CASES, LINES, Case

for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
    importlib.import_module(f"tests.corpus.{path.stem}")

__all__ = ["CASES", "LINES", "Case"]
