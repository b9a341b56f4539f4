"""Where a number that is not finite comes from."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.inspection.lines import Sweep
from descend.inspection.subject import Subject
from descend.program import compat
from descend.program.flow import Site
from descend.program.observe import Limit, Limits, equation, loops
from descend.program.source import Place, place

ROUNDS = 10_000
"""After which a loop is broken off: one that runs until it is at rest never is at NaN."""


def bad_point(subject: Subject, swept: Sweep | None, thorough: bool) -> tuple[np.ndarray, str, bool] | None:
    """A point within one scale where the value or a derivative is not finite, if probing met one.

    Returns:
        The point, flat; what is not finite there ("value" or "derivative"); whether it is the center.
    """
    points = [subject.x]
    if swept is not None:
        near = [i for i in range(len(swept.lines)) if not swept.far[i]]
        for part, what in ((swept.values, "value"), (swept.slopes, "derivative")):
            bad = np.any(~np.isfinite(part), axis=-1)
            for i in near:
                if bad[i].any():
                    t = swept.t[i][np.flatnonzero(bad[i])[0]]
                    return _on(subject, swept, i, t), what, False
        # Reverse mode meets NaN where forward mode does not (zero times infinity behind a `where`).
        picks = np.linspace(1, swept.t.shape[1] - 2, 6 if thorough else 2).astype(int)
        points += [_on(subject, swept, i, swept.t[i, j]) for i in near[:1] for j in picks]
    measured = subject.attempt(lambda: subject.gradients(np.stack(points)))
    if measured is None:
        value = subject.attempt(lambda: subject.values(subject.x[None]))
        return None if value is None or np.isfinite(value).all() else (subject.x, "value", True)
    for what, number in (("value", measured[0][:, None]), ("derivative", measured[1])):
        bad = np.any(~np.isfinite(number), axis=-1)
        if bad.any():
            index = int(np.flatnonzero(bad)[0])
            return points[index], what, index == 0
    return None


def _on(subject: Subject, swept: Sweep, line: int, t: float) -> np.ndarray:
    return np.asarray(subject.along(t, *swept.lines[line]))


def blame(subject: Subject, point: np.ndarray, what: str) -> Place | None:
    """The user's line whose result is the first that is not finite, among those that the bad number depends on."""
    args = (jnp.asarray(point, subject.dtype), subject.key, subject.inputs)
    program = subject.program
    if what == "derivative":
        program = compat.trace(jax.value_and_grad(subject.loss), *args)
    if program is None:
        return None
    limits = {site: Limit(ROUNDS) for site in loops(program)} | (subject.limits if what == "value" else {})
    _, culprits = _run(program, jax.tree.leaves(args), [None] * len(program.jaxpr.invars), None, (), limits)
    return next((culprit for culprit in culprits if culprit is not None), None)


def _run(
    program: compat.Program,
    args: Sequence[Any],
    blamed: Sequence[Place | None],
    outer: Place | None,
    at: Site,
    limits: Limits,
) -> tuple[list[Any], list[Place | None]]:
    """Evaluates equation by equation; beside each array, the line that made it not finite."""
    env: dict[Any, tuple[Any, Place | None]] = {}
    env.update({v: (c, None) for v, c in zip(program.jaxpr.constvars, program.consts, strict=True)})
    env.update({v: (a, b) for v, a, b in zip(program.jaxpr.invars, args, blamed, strict=True)})
    look = lambda atom: (atom.val, None) if compat.is_literal(atom) else env[atom]  # noqa: E731
    for index, eqn in enumerate(program.jaxpr.eqns):
        site, here = (*at, index), place(eqn) or outer
        ins, sources = zip(*map(look, eqn.invars), strict=True) if eqn.invars else ((), ())
        inside = compat.callee(eqn)
        if inside is not None:
            outs, culprits = _run(inside, ins, sources, here, (*site, 0), limits)
        else:
            outs = equation(eqn, ins, site, limits)
            cause = _chosen(eqn, ins, sources, outs)
            culprits = [None if _finite(out) else cause or here for out in outs]
        env.update(zip(eqn.outvars, zip(outs, culprits, strict=True), strict=True))
    found = [look(v) for v in program.jaxpr.outvars]
    return [value for value, _ in found], [culprit for _, culprit in found]


def _chosen(eqn: Any, ins: Sequence[Any], sources: Sequence[Place | None], outs: Sequence[Any]) -> Place | None:
    """The line to blame among the operands; of a selection, only the operands that were chosen."""
    if eqn.primitive.name == "select_n" and not _finite(outs[0]):
        bad = ~jnp.isfinite(outs[0])
        index = jnp.asarray(ins[0]).astype(int)
        taken = [bool(jnp.any(bad & (index == i))) for i in range(len(ins) - 1)]
        sources = [source for source, used in zip(sources[1:], taken, strict=True) if used]
    return next((source for source in sources if source is not None), None)


def _finite(value: Any) -> bool:
    if not jnp.issubdtype(jnp.result_type(value), jnp.inexact):
        return True
    return bool(jnp.all(jnp.isfinite(value)))
