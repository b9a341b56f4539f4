"""A fingerprint of all the code that a gallery file depends on, by which a stored result is known to be out of date."""

import ast
import hashlib
import importlib
import inspect
import io
import pathlib
import tokenize
from collections.abc import Iterator

import descend

ROOT = pathlib.Path(descend.__file__).parent


def fingerprint(path: pathlib.Path) -> str:
    """Hash of a file and of the modules of this library that it imports, transitively; comments do not count."""
    digest = hashlib.sha256()
    for each in sorted(dependencies(path)):
        digest.update(_stripped(each.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


def dependencies(path: pathlib.Path) -> set[pathlib.Path]:
    """The file and the files of this library that it imports, transitively.

    A name that a package only re-exports leads to the module that defines it, so that a change of one route leaves the
    results of the others alone.
    """
    found, left = set(), [path.resolve()]
    while left:
        each = left.pop()
        if each not in found:
            found.add(each)
            left += _imports(ast.parse(each.read_text(encoding="utf-8")))
    return found


def _imports(tree: ast.AST) -> Iterator[pathlib.Path]:
    """The files that a module's imports lead to, at any depth of its code."""
    packages = {}  # name in the module -> the package of this library that it stands for
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "descend":
            for alias in node.names:
                if _is_package(f"{node.module}.{alias.name}"):
                    packages[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                else:
                    yield from _origin(node.module or "", alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "descend":
                    packages[alias.asname or "descend"] = alias.name if alias.asname else "descend"
    for node in ast.walk(tree):
        root, *attributes = _dotted(node)
        if root in packages and attributes:
            package = packages[root]
            while len(attributes) > 1 and _is_package(f"{package}.{attributes[0]}"):
                package = f"{package}.{attributes.pop(0)}"
            if not _is_package(f"{package}.{attributes[0]}"):
                yield from _origin(package, attributes[0])


def _dotted(node: ast.AST) -> list[str]:
    """`a.b.c` as its parts; [""] for anything else."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [*_dotted(node.value), node.attr]
    return [""]


def _is_package(module: str) -> bool:
    return ROOT.joinpath(*module.split(".")[1:], "__init__.py").exists()


def _origin(module: str, name: str) -> Iterator[pathlib.Path]:
    """The file in which `name` is defined when it is imported from `module`."""
    base = ROOT.joinpath(*module.split(".")[1:])
    package = base / "__init__.py"
    if not package.exists():
        yield base.with_suffix(".py").resolve()
        return
    for node in ast.parse(package.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    yield from _origin(node.module or "", alias.name)
                    return
    if (base / f"{name}.py").exists():
        yield (base / f"{name}.py").resolve()
        return
    try:  # what a package resolves lazily
        source = inspect.getsourcefile(getattr(importlib.import_module(module), name))
    except (AttributeError, TypeError):
        source = None
    yield pathlib.Path(source or package).resolve()


def _stripped(source: str) -> str:
    """The source without comments, docstrings and blank lines, on which no result depends."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            for row in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1):
                lines[row - 1] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())
