"""The user's source with findings in the margin, for the terminal and the page."""

from pathlib import Path
from typing import NamedTuple

from descend.findings import Finding


class Line(NamedTuple):
    """A line of source, with the words that were found there."""

    number: int
    text: str
    words: tuple[str, ...]


class Listing(NamedTuple):
    """The part of a file that findings are about: pieces of consecutive lines."""

    file: str
    pieces: list[list[Line]]


def listings(findings: list[Finding], source: dict[str, dict[int, str]]) -> list[Listing]:
    """The source around the findings, file by file; files of which nothing could be read are left out.

    Args:
        findings: what was found.
        source: file -> line number -> text.
    """
    found = []
    for file, lines in source.items():
        words: dict[int, list[str]] = {}
        for finding in findings:
            if finding.where.get("file") == file:
                words.setdefault(int(finding.where["line"]), []).append(finding.what)
        pieces: list[list[Line]] = []
        for number in sorted(lines):
            row = Line(number, lines[number], tuple(dict.fromkeys(words.get(number, ()))))
            if pieces and pieces[-1][-1].number == number - 1:
                pieces[-1].append(row)
            else:
                pieces.append([row])
        if words and any(row.text.strip() for piece in pieces for row in piece):
            found.append(Listing(_short(file), [_dedented(piece) for piece in pieces]))
    return found


def _dedented(piece: list[Line]) -> list[Line]:
    indents = [len(row.text) - len(row.text.lstrip()) for row in piece if row.text.strip()]
    return [row._replace(text=row.text[min(indents, default=0) :]) for row in piece]


def _short(file: str) -> str:
    """Relative to the working folder where it lies below it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
