"""How an objective is labeled.

A comment `#: word` marks the line that a finding of that word must name. Words about the whole objective are given to
the decorator.
"""

import dataclasses
import inspect
import pathlib
import re
from collections.abc import Callable
from typing import Any

import jax

import descend

CASES: list["Case"] = []
LINES = {"flat", "kinked", "jumps", "non-finite", "stochastic", "black-box", "chaotic", "nested"}
"""The words whose place is a line."""

Mark = tuple[str, str, int]
"""A word, the name of a file, and a line of it."""


@dataclasses.dataclass
class Case:
    """A function, where to look at it, and what is true of it."""

    function: Callable[..., Any]
    stated: Any  # a point, or a function -> Problem
    words: set[str]
    only_thorough: set[str]
    lines: set[Mark]

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def theme(self) -> str:
        return self.function.__module__.rpartition(".")[2]

    def found(self, thorough: bool, key: int = 1) -> descend.Findings:
        with jax.numpy_rank_promotion("allow"):  # as users have it
            if callable(self.stated):
                return descend.inspect(self.stated(self.function), key=key, thorough=thorough)
            return descend.inspect(self.function, at=self.stated, key=key, thorough=thorough)

    def expected(self, thorough: bool) -> set[str]:
        return self.words | (self.only_thorough if thorough else set())


def said(findings: descend.Findings) -> set[Mark]:
    """The lines that findings name, as marks."""
    return {
        (f.what, pathlib.Path(f.where["file"]).name, f.where["line"])
        for f in findings
        if f.what in LINES and "line" in f.where
    }


def marked(function: Callable) -> set[Mark]:
    """The marks in the source of a function."""
    source, first = inspect.getsourcelines(function)
    file = pathlib.Path(inspect.getsourcefile(function) or "").name
    return {(w, file, first + i) for i, text in enumerate(source) for w in re.findall(r"#: ([\w-]+)", text)}


def case(
    stated: Any, *words: str, thorough: tuple[str, ...] = (), helpers: tuple[Callable, ...] = ()
) -> Callable[[Callable], Callable]:
    """Enters a function into the corpus; the marks of its helpers count as its own."""

    def register(function: Callable) -> Callable:
        marks = set[Mark]().union(*map(marked, (function, *helpers)))
        CASES.append(Case(function, stated, {*words, *(w for w, _, _ in marks)}, set(thorough), marks))
        return function

    return register


def over(domain: Any, *subject_to: Any, **settings: Any) -> Callable:
    """States a function as a problem over a domain."""
    return lambda f: descend.Problem(f, domain, subject_to, **settings)
