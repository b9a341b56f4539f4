"""Reads what the command line names: a problem or function in a user's file, a point, a route or a solver."""

import ast
import difflib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from descend.engine.user_code import user_traceback
from descend.problem import Problem


class InputError(ValueError):
    """What the user gave cannot be used; the text says why, and says it whole."""


def module(path: str | Path) -> ModuleType:
    """The user's file as a module, with its folder on `sys.path`.

    It is also in `sys.modules` under its own name, so that spawned workers can import the objective.

    Raises:
        InputError: if it cannot be read or raises; the text has the traceback in the user's own lines.
    """
    path = Path(path).resolve()
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is not a Python file; expected FILE.py[:NAME]")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = loaded
    _guarded(lambda: spec.loader and spec.loader.exec_module(loaded), str(path))
    return loaded


def named(path: str | Path, name: str) -> Any:
    """The problem called `name` in the user's file, or the function called so.

    A function that can be called without arguments is called, and gives the problem.

    Raises:
        InputError: if there is none, with the nearest names.
    """
    loaded = module(path)
    if not hasattr(loaded, name):
        public = [each for each in vars(loaded) if not each.startswith("_")]
        problems = [each for each in public if isinstance(getattr(loaded, each), Problem)]
        raise InputError(f"{path} has no {name!r}{near(name, public, problems, say=lambda n: f'{path}:{n}')}")
    found = getattr(loaded, name)
    if callable(found) and not isinstance(found, Problem) and _callable_without_arguments(found):
        found = _guarded(found, f"{name}() in {path}")
    return found


def problem(path: str | Path, name: str) -> Problem:
    """The problem called `name` in the user's file.

    Raises:
        InputError: if it is missing or something else.
    """
    found = named(path, name)
    if isinstance(found, Problem):
        return found
    kind = "a function of x" if callable(found) else f"of type {type(found).__name__}"
    raise InputError(f"{name} in {path} is {kind}; expected a descend.Problem, or a function that returns one")


def point(text: str, problem: Problem | None = None) -> Any:
    """The point that `--at` names.

    Args:
        text: `3`, `4,5` or `()` for a standard normal draw (seed 0) of that shape, or an npz file: of one array for a
            function of an array, of several for a function of a dictionary, of the variables by name for a problem.
        problem: what the point belongs to, if it is a problem.

    Raises:
        InputError: if it is neither, or does not fit the problem.
    """
    if text.endswith(".npz"):
        arrays = _arrays(text)
        if problem is None:
            return next(iter(arrays.values())) if len(arrays) == 1 else arrays
        return _point_of(problem, arrays, text)
    if problem is not None:
        raise InputError(f"--at {text}: a problem knows its own shapes; give FILE.npz, or leave --at out")
    if not re.fullmatch(r"\(?\s*(\d+\s*([,x]\s*\d+\s*)*,?)?\s*\)?", text):
        raise InputError(f"--at {text}: expected a shape such as 3 or 4,5, or FILE.npz")
    shape = tuple(map(int, re.findall(r"\d+", text)))
    return np.random.default_rng(0).standard_normal(shape)


def made(text: str, offered: dict[str, Callable[..., Any]], option: str) -> Any:
    """What an expression such as `smooth(sigma=0.1)` or `cma` makes, without evaluating it as code.

    Args:
        text: a name, perhaps called with literal keyword arguments. Case and underscores do not matter.
        offered: what may be named.
        option: how errors call the argument.

    Raises:
        InputError: if it is anything else.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        node = None
    call = node.func if isinstance(node, ast.Call) else node
    word = call.attr if isinstance(call, ast.Attribute) else call.id if isinstance(call, ast.Name) else None
    if word is None or (isinstance(node, ast.Call) and (node.args or any(k.arg is None for k in node.keywords))):
        raise InputError(f"{option} {text}: expected a name, or a name with settings such as name(setting=1.0)")
    plain = {_plain(name): name for name in offered}
    if _plain(word) not in plain:
        raise InputError(f"{option} {text}: there is no {word!r}{near(word, offered, offered)}")
    name = plain[_plain(word)]
    try:
        settings = {str(k.arg): ast.literal_eval(k.value) for k in node.keywords} if isinstance(node, ast.Call) else {}
        return offered[name](**settings)
    except (TypeError, ValueError) as error:
        raise InputError(f"{option} {text}: {error}; it takes {name}{inspect.signature(offered[name])}") from None


def routes() -> dict[str, Callable[..., Any]]:
    """The routes by name."""
    from descend import routes

    return {name: part for name in routes.__all__ if inspect.isfunction(part := getattr(routes, name))}


def solvers() -> dict[str, Callable[..., Any]]:
    """The solvers by name."""
    from descend import solvers

    parts = {name: getattr(solvers, name) for name in solvers.__all__}
    bases = (solvers.Solver, solvers.AskTell)
    return {
        name: part
        for name, part in parts.items()
        if inspect.isclass(part) and issubclass(part, bases) and not inspect.isabstract(part)
    }


def near(word: str, names: Iterable[str], instead: Iterable[str] = (), say: Callable[[str], str] = str) -> str:
    """The end of an error message: the nearest name, or what there is instead."""
    close = difflib.get_close_matches(word.lower(), {name.lower(): name for name in names}, n=1)
    if close:
        return f"; did you mean {say(next(name for name in names if name.lower() == close[0]))}?"
    listed = ", ".join(map(say, instead))
    return f"; there is {listed}" if listed else ""


def _guarded(call: Callable[[], Any], what: str) -> Any:
    """Runs the user's code, turning what it raises into an `InputError`."""
    try:
        return call()
    except SyntaxError as error:
        raise InputError("".join(traceback.format_exception_only(error)).rstrip()) from None
    except SystemExit as error:
        raise InputError(f"{what} called sys.exit({error.code!r})") from None
    except Exception as error:
        raise InputError(user_traceback(error)) from None


def _callable_without_arguments(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True


def _arrays(path: str) -> dict[str, np.ndarray]:
    from descend.reporting.files import read_arrays

    try:
        arrays = read_arrays(path)
    except (OSError, ValueError) as error:
        raise InputError(f"--at {path}: {error}") from None
    if not arrays:
        raise InputError(f"--at {path}: the file holds no array")
    return arrays


def _point_of(problem: Problem, arrays: dict[str, np.ndarray], text: str) -> Any:
    missing = [name or "x" for name in problem.domain.names if (name or "x") not in arrays]
    if missing:
        raise InputError(f"--at {text}: no array {missing[0]!r}{near(missing[0], arrays, arrays)}")
    try:
        return problem.point(problem.domain.join([arrays[name or "x"] for name in problem.domain.names]), "--at")
    except ValueError as error:
        raise InputError(str(error)) from None


def _plain(name: str) -> str:
    return name.lower().replace("_", "")
