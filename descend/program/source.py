"""The line of the user's own source that an equation, or a function, comes from."""

import ast
import functools
import os
import sysconfig
from collections.abc import Iterable
from typing import Any

import jax
import jaxlib
import numpy

Place = tuple[str, int]


def _folder(module: Any) -> str:
    return os.path.dirname(os.path.abspath(module.__file__)) + os.sep


_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_GALLERY = os.path.join(_OURS, "gallery") + os.sep
_NEVER = (_folder(jax), _folder(jaxlib), _folder(numpy), "<frozen")
_STDLIB = sysconfig.get_paths()["stdlib"] + os.sep


def is_user(file: str) -> bool:
    """Whether a file is the user's: neither JAX, NumPy, the standard library, this library nor an installed package.

    The gallery states problems as a user would, and counts as a user's.
    """
    return not _is_machinery(file) and (not _is_installed(file) or file.startswith(_GALLERY))


def _is_installed(file: str) -> bool:
    return "site-packages" in file or "dist-packages" in file


def _is_machinery(file: str) -> bool:
    if file.startswith(_NEVER):
        return True
    if file.startswith(_OURS):
        return not file.startswith(_GALLERY)
    return file.startswith(_STDLIB) and not _is_installed(file)


def place(eqn: Any) -> Place | None:
    """File and line of the innermost frame of the user's that made the equation.

    Where there is none, the innermost frame of another installed library; None where JAX alone made it.
    """
    traceback = eqn.source_info.traceback
    other = None
    for frame in traceback.frames if traceback else ():
        if _is_machinery(frame.file_name):
            continue
        if is_user(frame.file_name):
            return frame.file_name, frame.line_num
        other = other or (frame.file_name, frame.line_num)
    return other


def function_place(function: Any) -> Place | None:
    """File and line of a function's definition (of its `def`, below any decorator), or None where it has no source."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif hasattr(function, "__func__"):
            function = function.__func__
        else:
            break
    if not hasattr(function, "__code__"):  # an object that can be called
        function = getattr(type(function), "__call__", None)  # noqa: B004
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    lines = [line for _, _, line in code.co_lines() if line is not None and line > 0]
    first = code.co_firstlineno
    return code.co_filename, _definition(code.co_filename, first, min([n for n in lines if n > first], default=first))


def _definition(file: str, first: int, body: int) -> int:
    """The line of `def` between the first decorator and the body."""
    import linecache

    for line in range(first, body + 1):
        if linecache.getline(file, line).lstrip().startswith(("def ", "async def ", "class ")):
            return line
    return first


LONGEST = 60
"""Lines of a function that are shown whole; of a longer one, `AROUND` lines before and after each place."""

AROUND = 6


def excerpts(places: Iterable[Place]) -> dict[str, dict[int, str]]:
    """The source of the functions that these places are in: file -> line number -> text, "" where none can be read."""
    import linecache

    shown: dict[str, dict[int, str]] = {}
    for file, line in sorted(set(places)):
        text = linecache.getlines(file)
        first, last = _around(text, line)
        lines = shown.setdefault(file, {})
        lines.update((n, text[n - 1].rstrip()) for n in range(first, min(last, len(text)) + 1))
        lines.setdefault(line, "")
    return shown


def _around(text: list[str], line: int) -> tuple[int, int]:
    """First and last line of the outermost function around a line, or of its neighborhood where that is long."""
    near = max(1, line - AROUND), line + AROUND
    try:
        tree = ast.parse("".join(text))
    except SyntaxError:
        return near
    for node in ast.walk(tree):  # outer ones first
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.lineno <= line <= (node.end_lineno or 0):
            first, last = node.lineno, node.end_lineno or line
            return (first, last) if last - first < LONGEST else (max(first, near[0]), min(last, near[1]))
    return line, line
