"""The gallery as a page of the documentation."""

import pathlib
from typing import Any

from descend.gallery.harness.headers import FOLDER, Header, headers
from descend.gallery.harness.results import RESULTS, latest

PAGE = FOLDER.parents[1] / "docs" / "gallery.md"

_INTRODUCTION = """# Gallery

Published systems, one file each in `descend/gallery/`, run over seeds on keys that their authors had not seen when they
chose the margin of the claim. *Ours*, *ablated* (ours without its key ingredient) and *naive* (the baseline at the same
budget) are mean ± standard deviation over seeds of the number that the claim is about; *z* is the paired score of
ours against naive. A claim that did not hold, or that says that a published effect did not appear, is a result too.

    descend gallery run NAME        # run one system and judge its claim
    descend gallery bench [NAME]    # the same, append a row to benchmarks/results.jsonl and write this page anew

"""


def table(path: pathlib.Path = RESULTS) -> str:
    """All systems with their last results, in Markdown."""
    rows = latest(path)
    head = "| system | paper | why it is hard | claim | ours | ablated | naive | seeds | z | holds |"
    return "\n".join([head, "|---" * 10 + "|", *(_line(header, rows.get(header.name)) for header in headers())]) + "\n"


def page(path: pathlib.Path = RESULTS) -> str:
    """The text of `docs/gallery.md`."""
    return _INTRODUCTION + table(path)


def _line(header: Header, row: dict[str, Any] | None) -> str:
    said = [f"[{header.name}](../descend/gallery/{header.path.name})", _paper(header), header.why or "", header.claim]
    if row is None:
        said += ["not run yet", "", "", "", "", ""]
    else:
        verdict = "no" if not row["holds"] else "yes" if row["control_breaks"] else "yes, but so do the controls"
        said += [*(_number(row[name]) for name in ("ours", "ablated", "naive")), str(row["seeds"])]
        said += [f"{row['z']:.1f}", verdict]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in said) + " |"


def _paper(header: Header) -> str:
    return f"{header.title}, {header.paper}" if header.paper else header.title


def _number(result: dict[str, float] | None) -> str:
    return "" if result is None else f"{result['mean']:.3g} ± {result['sd']:.2g}"
