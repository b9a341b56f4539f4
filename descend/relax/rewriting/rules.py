"""The table of rules, and what a rule is given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from descend.program.source import Place
from descend.relax.families import Family

RULES: dict[str, Callable[..., Any]] = {}
"""Primitive -> rule: `rule(setting, eqn, *values)` gives the value of its result, or a list of values."""

NAMED: dict[str, Callable[..., Any]] = {}
"""Functions of `jax.numpy` that are one notion and would soften badly piece by piece: name -> rule, as there."""


@dataclass(frozen=True)
class Setting:
    """What a rule is given besides its operands.

    Attributes:
        temperature: a positive scalar, perhaps traced.
        family: of the soft steps, or None for each operation's own default.
        max_steps: the most rounds of a loop that stops by a soft condition, or None.
        run: `run(setting, program, values)` softens an inner program.
        place: the user's file and line.
        definitions: variable -> the equation of this program that makes it.
        scores: where the log probabilities of stated draws are collected; None inside of loops and branches.
    """

    temperature: Any
    family: Family | None
    max_steps: int | None
    run: Callable[..., list[Any]]
    place: Place | None
    definitions: dict[Any, Any]
    scores: list[Any] | None = None

    @property
    def how(self) -> dict[str, Any]:
        """As keyword arguments of a soft operation."""
        family = {} if self.family is None else {"family": self.family}
        return {"temperature": self.temperature, **family}

    def refuse(self, why: str) -> NoReturn:
        """Raises NotImplementedError in one line, with the user's own."""
        where = f"{self.place[0]}:{self.place[1]}: " if self.place else ""
        raise NotImplementedError(f"{where}soften {why}")


def rule(*names: str, table: dict[str, Callable[..., Any]] = RULES) -> Callable[..., Any]:
    """The decorator that enters a rule for these primitives."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        table.update(dict.fromkeys(names, function))
        return function

    return enter
