"""What a gallery file says about itself, read without running it."""

import ast
import dataclasses
import difflib
import functools
import logging
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from descend.findings import WORDS

FOLDER = pathlib.Path(__file__).parents[1]
VALUES = ("PAPER", "SYSTEM", "WHY", "CLAIM")
SEEDS = 30
_BODY = re.compile(r"^(def \w+\(|class \w+[:(]|async def |@\w)", re.MULTILINE)
_RUN = re.compile(r"^def run\(.*?\).*?:$", re.MULTILINE | re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Header:
    """The header of one gallery file.

    Attributes:
        name: of the module.
        title: first line of its docstring: title (authors, year).
        paper: where to find it; "" where there is none.
        system: its number in the collection that the gallery reproduces, the name of an essay, or None.
        why: the finding that makes the problem hard, or None.
        claim: what the run must show.
        seeds: how many keys `run` gets.
        settings: keyword-only arguments that `run` takes besides its key: "full", "route" or neither.
        path: the file.
    """

    name: str
    title: str
    paper: str
    system: int | str | None
    why: str | None
    claim: str
    seeds: int
    settings: tuple[str, ...]
    path: pathlib.Path

    @property
    def negative(self) -> bool:
        """Whether the claim says that the published effect did not appear."""
        return self.claim.lower().startswith("not reproduced")

    def record(self) -> dict[str, Any]:
        """As a JSON object."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return fields | {"settings": list(self.settings), "path": str(self.path)}


def headers(why: str | None = None, folder: pathlib.Path = FOLDER) -> list[Header]:
    """The headers of all systems, by number, or of those whose problem is hard for the reason `why`.

    A file without a header is left out, and the log says so.

    Raises:
        ValueError: if `why` is no word for a finding.
    """
    if why is not None and why not in WORDS:
        near = difflib.get_close_matches(why, WORDS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"the words are {', '.join(WORDS)}"
        raise ValueError(f"{why!r} is not a word for a finding; {hint}")
    found = []
    for path in systems(folder):
        try:
            found.append(_header(path))
        except ValueError as error:
            logging.getLogger("descend").warning("%s", error)
    ordered = sorted(found, key=lambda h: (isinstance(h.system, str), h.system is None, str(h.system).zfill(3), h.name))
    return [header for header in ordered if why is None or header.why == why]


def systems(folder: pathlib.Path = FOLDER) -> list[pathlib.Path]:
    """The files of the gallery, by name: every module in the folder."""
    return sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")


def find(name: str, folder: pathlib.Path = FOLDER) -> Header:
    """The header of the system called `name`.

    Raises:
        ValueError: if there is none, naming the nearest, or its file has no header.
    """
    names = [path.stem for path in systems(folder)]
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        raise ValueError(f"no gallery system {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return _header(folder / f"{name}.py")


def parsed(source: str) -> tuple[str, dict[str, Any]]:
    """The first line of the docstring and the constants by name, out of what stands before the first function.

    Only that much is parsed, so that a large gallery is listed at once.
    """
    body = _BODY.search(source)
    tree = ast.parse(source[: body.start()] if body else source)
    title = (ast.get_docstring(tree) or "").partition("\n")[0].removesuffix(".")
    return title, dict(_constants(tree))


def _header(path: pathlib.Path) -> Header:
    stamp = path.stat()
    return _read(path, stamp.st_mtime_ns, stamp.st_size)


@functools.cache
def _read(path: pathlib.Path, modified: int, size: int) -> Header:
    """Cached for as long as the file is the same: the time and the size are only there to tell."""
    source = path.read_text(encoding="utf-8")
    try:
        title, values = parsed(source)
    except SyntaxError as error:
        raise ValueError(f"gallery file {path.name}: {error}") from None
    missing = [name for name in VALUES if name not in values]
    if missing:
        raise ValueError(f"gallery file {path.name}: no {missing[0]} before its first function")
    signature = _RUN.search(source)
    run = ast.parse(signature.group() + " pass").body[0] if signature else None
    settings = run.args.kwonlyargs if isinstance(run, ast.FunctionDef) else []
    return Header(
        name=path.stem,
        title=title,
        paper=values["PAPER"],
        system=values["SYSTEM"],
        why=values["WHY"],
        claim=values["CLAIM"],
        seeds=values.get("SEEDS", SEEDS),
        settings=tuple(argument.arg for argument in settings),
        path=path,
    )


def _constants(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                yield node.targets[0].id, ast.literal_eval(node.value)
            except ValueError:
                continue
