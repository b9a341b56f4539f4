"""How much work one segment does: decided by the program alone, never by the clock."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.problem import Problem
from descend.solvers.cost import cost

WORK = 3e7  # nanoseconds that a segment should take at most, as far as the program tells
MOST = 256


def steps_per_segment(problem: Problem, units: int) -> int:
    """How many steps of `units` evaluations a segment has when it is fully grown, between 1 and `MOST`.

    A program whose time cannot be read off (a black box, a loop that runs until something holds) gets 1, so that a time
    limit can be kept.
    """
    return int(np.clip(WORK / (units * nanoseconds(problem)), 1, MOST))


def rows_per_call(problem: Problem, most: int) -> int:
    """How many points one compiled call evaluates, between 1 and `most`."""
    time = nanoseconds(problem)
    if np.isinf(time):
        return min(4, most)
    # Ten times the work of a segment, because points that are evaluated together take less than one after another.
    return int(np.clip(10 * WORK / time, 1, most))


def nanoseconds(problem: Problem) -> float:
    """The estimated time of one evaluation; infinite where it cannot be read off the program."""
    if problem.black_box:
        return np.inf

    def evaluate(x: Any, inputs: Any) -> Any:
        return problem.via(None).bind(inputs).evaluate(x)

    def build() -> float:
        x = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float)), problem.domain.start())
        return cost(evaluate, x, problem.inputs)

    return problem.compiled("nanoseconds", build)


def grown(done: Any, full: int) -> Any:
    """How many steps the next segment has after `done` steps: as many as that, at least 1 and at most `full`.

    Short first segments show a fast convergence, and end soon when time is short.
    """
    return jnp.clip(done, 1, full)


def strong(state: Any) -> Any:
    """The same arrays without weak types, which would make the second segment compile again."""
    harden = lambda a: jax.lax.convert_element_type(a, a.dtype) if jnp.issubdtype(a.dtype, jnp.number) else a  # noqa: E731
    return jax.tree.map(harden, state)


_LISTENER: contextvars.ContextVar[Callable[[Callable[[], Any]], None] | None]
_LISTENER = contextvars.ContextVar("listener", default=None)


def pause(best: Callable[[], Any]) -> None:
    """Lets the engine in: a solver calls this between the evaluations of a segment that may take long.

    If time is up, the engine raises, and the segment is as if it had not begun, but for its best point: `best()`,
    shaped like `over`.
    """
    listener = _LISTENER.get()
    if listener is not None:
        listener(best)


@contextlib.contextmanager
def listening(listener: Callable[[Callable[[], Any]], None]) -> Iterator[None]:
    """Calls `listener` with what `pause` is called with, inside the block."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@contextlib.contextmanager
def restated(back: Callable[[Any], Any]) -> Iterator[None]:
    """Inside the block `pause` is called with points of a restated problem, which `back` brings to the stated one."""
    listener = _LISTENER.get()
    if listener is None:
        yield
        return
    with listening(lambda best: listener(lambda: back(best()))):
        yield
