"""The form of a gallery file."""

import ast
import pathlib
import re
from collections.abc import Iterator

from descend.findings import WORDS
from descend.gallery.harness.headers import SEEDS, VALUES, parsed

FUNCTIONS = {"problem": [], "run": ["key"], "holds": ["ours", "naive"]}
LINES = 200
FEWEST_SEEDS = 5
ESSAYS = ("S0", "S2", "S4")
SYSTEMS = 119


def faults(path: pathlib.Path) -> list[str]:
    """What the file lacks to be a gallery system, one line each; empty where it is one."""
    source = path.read_text(encoding="utf-8")
    try:
        return [*_header_faults(source), *_body_faults(source)]
    except SyntaxError as error:
        return [str(error)]


def _header_faults(source: str) -> Iterator[str]:
    title, values = parsed(source)
    yield from (f"no {name} before the first function" for name in VALUES if name not in values)
    if not re.fullmatch(r"\S.* \(.+, (19|20)\d\d\)", title):
        yield "the docstring must start with a line: Title (authors, year)"
    if not isinstance(values.get("PAPER", ""), str):
        yield 'PAPER must be a string such as "arXiv:2002.08676"'
    system = values.get("SYSTEM")
    if not (system is None or system in ESSAYS or (type(system) is int and 1 <= system <= SYSTEMS)):
        yield f"SYSTEM must be a number in 1 .. {SYSTEMS}, one of {', '.join(ESSAYS)} or None, got {system!r}"
    why = values.get("WHY", "")
    if why is None and not re.search(r"^WHY\b.*= *None *#.*\w", source, re.MULTILINE):
        yield "WHY is None without the reason beside it"
    if why and why not in WORDS:
        yield f"WHY must be a word for a finding or None, got {why!r}"
    claim = values.get("CLAIM", "0")
    if not isinstance(claim, str) or not re.search(r"\d", claim):
        yield "CLAIM must be a sentence with numbers"
    seeds = values.get("SEEDS", SEEDS)
    if not (type(seeds) is int and seeds >= FEWEST_SEEDS):
        yield f"SEEDS must be an int of at least {FEWEST_SEEDS}, got {seeds!r}"


def _body_faults(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for name, arguments in FUNCTIONS.items():
        if name not in functions:
            yield f"no function {name}"
        elif [argument.arg for argument in functions[name].args.args] != arguments:
            yield f"{name} must take ({', '.join(arguments)})"
        elif functions[name].decorator_list:
            yield f"{name} is decorated: the harness compiles it"
    if any(isinstance(node, ast.ClassDef) for node in tree.body):
        yield "a class: parts of a method belong in the library"
    if len(source.splitlines()) > LINES:
        yield f"{len(source.splitlines())} lines, more than {LINES}"
    if any(module.startswith("descend.gallery") for node in ast.walk(tree) for module in _imported(node)):
        yield "imports the gallery: what two systems share belongs in the library"


def _imported(node: ast.AST) -> list[str]:
    """The modules that a node imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []
