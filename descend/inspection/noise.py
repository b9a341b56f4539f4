"""Whether a value changes with the key, or from call to call, and whether the derivative passes the sampling."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.inspection.lines import Sweep
from descend.inspection.subject import Subject
from descend.program import compat
from descend.program.source import Place, place

REACH = 0.1  # of a line, to each side: the finite difference of the mean


class Noise(NamedTuple):
    """How random a value is.

    Attributes:
        deviation: standard deviation of the value over keys.
        passes: whether the mean derivative over keys is the derivative of the mean; None where it cannot be told.
        slope, slope_of_mean, error: the two, along one line, and the standard error of their difference.
    """

    deviation: float
    passes: bool | None
    slope: float
    slope_of_mean: float
    error: float


def over_keys(subject: Subject, swept: Sweep, count: int) -> Noise | None:
    """The noise at the center over `count` keys; None if the value does not change with the key."""
    keys = jax.random.split(subject.key, count)
    line = swept.lines[0]
    t = np.repeat([0.5, 0.5 - REACH, 0.5 + REACH], count)
    samples = subject.sample(t, [line], np.zeros(len(t), int), jnp.concatenate([keys] * 3))
    value, below, above = samples.values[:, 0].reshape(3, count)
    slope = samples.slopes[:, 0].reshape(3, count).mean(0)
    if np.all(samples.values[:count] == samples.values[0]):
        return None
    good = np.isfinite(slope) & np.isfinite(above - below)
    if good.sum() < 4:
        return Noise(float(np.nanstd(value)), None, np.nan, np.nan, np.nan)
    difference = ((above - below) / (2 * REACH))[good]
    error = (slope[good] - difference).std(ddof=1) / np.sqrt(good.sum())
    a, b = float(slope[good].mean()), float(difference.mean())
    # Curvature along the line may separate the two by a fifth: more than that is a derivative that does not pass.
    apart = abs(a - b) > 4 * error + 0.2 * max(abs(a), abs(b))
    lost = bool(np.all(slope == 0)) and abs(b) > 4 * difference.std(ddof=1) / np.sqrt(good.sum())
    alive = abs(a) > 4 * slope[good].std(ddof=1) / np.sqrt(good.sum()) or np.any(slope != 0)
    passes = None if not alive and not lost else not (apart or lost)
    return Noise(float(np.nanstd(value, ddof=1)), passes, a, b, float(error))


def hidden_state(subject: Subject) -> tuple[Place | None, float] | None:
    """The line and the spread of values, where a function gives another value when called again with equal arguments.

    A traced function can only do so by leaving another program behind: another constant or another operation.
    """
    first = subject.program
    if first is None:
        return None
    second = subject.trace(subject.problem.anew())
    where = _difference(first, second, None)
    if where is None:
        return None
    args = jax.tree.leaves((subject.array(subject.x), subject.key, subject.inputs))
    values = [compat.evaluate(p, args)[0] for p in (first, second)]
    subject.evaluations += 2
    spread = float(np.std([np.asarray(v)[0] for v in values], ddof=1))
    return (where[0], spread) if spread > 0 else None


def _difference(a: compat.Program, b: compat.Program, outer: Place | None) -> tuple[Place | None] | None:
    """In a tuple, the line of the first equation that differs between two programs; None where none does."""
    if len(a.consts) != len(b.consts) or any(not _same(x, y) for x, y in zip(a.consts, b.consts, strict=True)):
        changed = {v for v, x, y in zip(a.jaxpr.constvars, a.consts, b.consts, strict=False) if not _same(x, y)}
        return (next((place(e) for e in a.jaxpr.eqns if any(v in changed for v in _variables(e))), outer),)
    for one, two in zip(a.jaxpr.eqns, b.jaxpr.eqns, strict=False):
        here = place(one) or outer
        literals = [[v.val for v in e.invars if compat.is_literal(v)] for e in (one, two)]
        if one.primitive is not two.primitive or len(literals[0]) != len(literals[1]) or not all(map(_same, *literals)):
            return (here,)
        for (_, _, x), (_, _, y) in zip(compat.inner(one), compat.inner(two), strict=False):
            inside = _difference(x, y, here)
            if inside is not None:
                return inside
    return None if len(a.jaxpr.eqns) == len(b.jaxpr.eqns) else (outer,)


def _variables(eqn: Any) -> list[Any]:
    return [v for v in eqn.invars if not compat.is_literal(v)]


def _same(x: Any, y: Any) -> bool:
    if x is y:
        return True
    try:
        return bool(np.array_equal(np.asarray(x), np.asarray(y), equal_nan=np.asarray(x).dtype.kind in "fc"))
    except Exception:  # keys and other opaque constants
        return type(x) is type(y)
