"""What a gallery file says about itself, read without running it."""

import ast
import dataclasses
import difflib
import functools
import pathlib
import re
from typing import Any

from descend.findings import WORDS

FOLDER = pathlib.Path(__file__).parents[1]
VALUES = ("PAPER", "SYSTEM", "WHY", "CLAIM")
FUNCTIONS = {"problem": [], "run": ["key"], "holds": ["ours", "naive"]}
LINES = 120
SEEDS = 30
FEWEST_SEEDS = 5
ESSAYS = ("S0", "S2", "S4")
SYSTEMS = 119


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

    Raises:
        ValueError: if `why` is no word for a finding, or a file does not have the form of a system, naming the fault.
    """
    if why is not None and why not in WORDS:
        near = difflib.get_close_matches(why, WORDS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"the words are {', '.join(WORDS)}"
        raise ValueError(f"{why!r} is not a word for a finding; {hint}")
    found = [_header(path) for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
    ordered = sorted(found, key=lambda h: (isinstance(h.system, str), h.system is None, str(h.system).zfill(3), h.name))
    return [header for header in ordered if why is None or header.why == why]


def find(name: str, folder: pathlib.Path = FOLDER) -> Header:
    """The header of the system called `name`.

    Raises:
        ValueError: if there is none, naming the nearest, or its file does not have the form of a system.
    """
    names = sorted(path.stem for path in folder.glob("*.py") if path.name != "__init__.py")
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        raise ValueError(f"no gallery system {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return _header(folder / f"{name}.py")


def faults(path: pathlib.Path) -> list[str]:
    """What the file lacks to be a gallery system, one line each; empty where it is one."""
    source = path.read_text(encoding="utf-8")
    return _faults(source, ast.parse(source))


def _faults(source: str, tree: ast.Module) -> list[str]:
    values, functions = _values(tree), _functions(tree)
    found = [f"no {name}" for name in VALUES if name not in values]
    found += [f"no function {name}" for name in FUNCTIONS if name not in functions]
    if not re.fullmatch(r"\S.* \(.+, (19|20)\d\d\)", _title(tree)):
        found.append("the docstring must start with a line: Title (authors, year)")
    if not isinstance(values.get("PAPER", ""), str):
        found.append('PAPER must be a string such as "arXiv:2002.08676"')
    system = values.get("SYSTEM")
    if not (system is None or system in ESSAYS or (type(system) is int and 1 <= system <= SYSTEMS)):
        found.append(f"SYSTEM must be a number in 1 .. {SYSTEMS}, one of {', '.join(ESSAYS)} or None, got {system!r}")
    if values.get("WHY") is not None and values["WHY"] not in WORDS:
        found.append(f"WHY must be a word for a finding or None, got {values['WHY']!r}")
    if "WHY" in values and values["WHY"] is None and not re.search(r"^WHY\b.*= *None *#.*\w", source, re.MULTILINE):
        found.append("WHY is None without the reason beside it")
    claim = values.get("CLAIM", "0")
    if not isinstance(claim, str) or not re.search(r"\d", claim):
        found.append("CLAIM must be a sentence with numbers")
    seeds = values.get("SEEDS", SEEDS)
    if not (type(seeds) is int and seeds >= FEWEST_SEEDS):
        found.append(f"SEEDS must be an int of at least {FEWEST_SEEDS}, got {seeds!r}")
    for name, arguments in FUNCTIONS.items():
        if name in functions and [a.arg for a in functions[name].args.args] != arguments:
            found.append(f"{name} must take ({', '.join(arguments)})")
    if any(isinstance(node, ast.ClassDef) for node in tree.body):
        found.append("a class: parts of a method belong in the library")
    if len(source.splitlines()) > LINES:
        found.append(f"{len(source.splitlines())} lines, more than {LINES}")
    if any(m.startswith("descend.gallery") for node in ast.walk(tree) for m in _imported(node)):
        found.append("imports the gallery: what two systems share belongs in the library")
    return found


def _header(path: pathlib.Path) -> Header:
    stamp = path.stat()
    return _read(path, stamp.st_mtime_ns, stamp.st_size)


@functools.cache
def _read(path: pathlib.Path, modified: int, size: int) -> Header:
    """Cached for as long as the file is the same: the time and the size are only there to tell."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    wrong = _faults(source, tree)
    if wrong:
        raise ValueError(f"gallery file {path.name}: {wrong[0]}")
    values, run = _values(tree), _functions(tree)["run"]
    return Header(
        name=path.stem,
        title=_title(tree),
        paper=values["PAPER"],
        system=values["SYSTEM"],
        why=values["WHY"],
        claim=values["CLAIM"],
        seeds=values.get("SEEDS", SEEDS),
        settings=tuple(argument.arg for argument in run.args.kwonlyargs),
        path=path,
    )


def _title(tree: ast.Module) -> str:
    return (ast.get_docstring(tree) or "").partition("\n")[0].removesuffix(".")


def _values(tree: ast.Module) -> dict[str, Any]:
    """Top-level constants, by name."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def _functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _imported(node: ast.AST) -> list[str]:
    """The modules that a node imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []
