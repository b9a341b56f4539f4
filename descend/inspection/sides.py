"""Which of several lines that change sides at one place make the break there.

At a bounce, the speed turns round and the height is reflected at the same moment; where a stock runs out, a branch is
taken and a limit begins to hold. The two sides of such a place are run beside each other once more, with the decisions
of one line held as they are on the first side: what is gone then is what that line does.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.inspection.subject import LINES, Line, Subject
from descend.problem import Inputs
from descend.program.observe import held

LANES = 16  # runs at once


class Trial(NamedTuple):
    """Two close points of a line, and the candidates that are held there."""

    line: Line
    low: float
    high: float
    hold: frozenset[int]


class Outcome(NamedTuple):
    """The change over the trial of values and slopes, (outputs,) each, and of fingerprints, (candidates,)."""

    gap: np.ndarray
    slope_gap: np.ndarray
    moved: np.ndarray


def outcomes(subject: Subject, trials: Sequence[Trial]) -> list[Outcome]:
    """What each trial shows: two values and slopes each."""
    run = subject.compiled("held", lambda: subject.each(_both(subject)))
    found: list[Outcome] = []
    for first in range(0, len(trials), LANES):
        some = list(trials[first : first + LANES])
        filled = some + [some[0]] * (LANES - len(some))
        lines = list({id(trial.line): trial.line for trial in filled}.values())
        if len(lines) > LINES:  # more than the compiled program has room for
            half = len(some) // 2
            found += outcomes(subject, some[:half]) + outcomes(subject, some[half:])
            continue
        owner = [next(i for i, line in enumerate(lines) if line is trial.line) for trial in filled]
        ends = subject.array(np.stack([np.stack(line) for line in [*lines, *[lines[0]] * (LINES - len(lines))]]))
        hold = np.zeros((LANES, len(subject.candidates)), bool)
        for row, trial in zip(hold, filled, strict=True):
            row[list(trial.hold)] = True
        t = subject.array(np.array([[trial.low, trial.high] for trial in filled]))
        rows = (t, jnp.asarray(owner, jnp.int32), jnp.asarray(hold))
        subject.evaluations += 6 * LANES
        each = [np.asarray(part) for part in run(rows, (ends, subject.key, subject.inputs))]
        with np.errstate(all="ignore"):
            values, slopes, marks = (part[: len(some)] for part in each)
            changes = zip(values[:, 1] - values[:, 0], slopes[:, 1] - slopes[:, 0], strict=True)
        found += [Outcome(*two, mark[1] != mark[0]) for two, mark in zip(changes, marks, strict=True)]
    return found


def _both(subject: Subject) -> Callable[..., Any]:
    assert subject.program is not None
    program = held(subject.program, subject.candidates, subject.limits)

    def both(row: tuple[Any, Any, Any], shared: tuple[Any, Any, Inputs]) -> tuple[Any, Any, Any]:
        (t, owner, hold), (ends, key, inputs) = row, shared

        def outputs(t: Any) -> tuple[Any, Any]:
            points = jax.vmap(lambda each: subject.along(each, *ends[owner]))(t)
            outs, marks = program(hold, points, key, *jax.tree.leaves(inputs))
            return jnp.concatenate(outs, axis=1), marks

        values, slopes, marks = jax.jvp(outputs, (t,), (jnp.ones_like(t),), has_aux=True)
        return values, slopes, marks

    return both
