"""What a derivative at a point does not see: how much of what values do along a descent happens at jumps and steps.

The program is read for the lines that may break its derivative; a ray of points then says which of them change sides
before the end, and how much of the change of value there the slopes do not add up to. All but the reading is ordinary
traced code.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from descend.findings import remembered
from descend.program import compat
from descend.program.candidates import Candidate, candidates
from descend.program.flow import Role
from descend.program.observe import fingerprints
from descend.program.source import Place

OF_THE_POINT = ("exact", "unbiased", "subgradient")
"""What routes give that see the function at the point alone, and not what it does over a distance."""

REACH = 0.3
"""The length of the ray, in units of max(1, rms of the point)."""

POINTS = 33
"""On the ray, both ends included."""

WORDS = {Role.KILLS: "flat", Role.BRANCHES: "jumps", Role.KINKS: "kinked"}


class Unseen(NamedTuple):
    """Attributes, float scalars:
    share: of the change of value along the ray, what happens at jumps and steps and is in no slope.
    nearest: the distance to the first of them on the ray, at most; infinity if none is met.
    line: which line does most of it, as numbered by `findings.remembered`; where there is no jump, a line that is
        kinked nearby; -1 for none.
    """

    share: Any
    nearest: Any
    line: Any


NOTHING = Unseen(0.0, jnp.inf, -1.0)


def unseen(f: Callable[[Any], Any], x: Any, direction: Any, start: Any, reach: Any, near: Any) -> Unseen:
    """What the derivative of f at x does not see along a ray.

    An interval of the ray in which a line changes sides is charged with the change of value that the slopes at its ends
    do not add up to, less three times what is usual where nothing changes sides (curvature). No more is unseen than
    what the slopes have added up to is ever apart from the value: a derivative with a rule of its own may follow a
    staircase.

    Args:
        f: a traceable function of a vector to a scalar. One that cannot be read, or has no forward derivative, has
            nothing unseen.
        x: (n,), may be traced.
        direction: (n,), of any length; zero gives nothing.
        start: where the ray begins, as a length along the direction; x is at 0.
        reach: where it ends.
        near: how far to both sides lines are named that are kinked.

    Cost:
        The reading, once a compilation, and about 130 evaluations of f where it has such lines.
    """
    try:
        program = compat.trace(lambda x: jnp.asarray(f(x), x.dtype), x)
        sided = [c for c in candidates(program, [True], [False]) if c.role in WORDS]
        if not sided:
            return NOTHING
        step = direction / jnp.maximum(jnp.sqrt(jnp.sum(direction**2)), jnp.finfo(x.dtype).tiny)
        t = (start + jnp.linspace(0.0, 1.0, POINTS) * (reach - start)).astype(x.dtype)
        values, slopes = jax.vmap(lambda t: jax.jvp(lambda t: f(x + t * step), (t,), (jnp.ones_like(t),)))(t)
        look = fingerprints(program, sided)
        marks = jax.vmap(lambda t: look(x + t * step))(t)
        beside = jax.vmap(lambda t: look(x + t * step))(jnp.stack([-near, near]).astype(x.dtype))
    except Exception:  # whatever a user's function raises, and derivatives that only run in reverse
        return NOTHING
    return _charged(sided, t, values.astype(x.dtype), slopes.astype(x.dtype), marks, beside)


def _charged(sided: list[Candidate], t: Any, values: Any, slopes: Any, marks: Any, beside: Any) -> Unseen:
    lines: dict[tuple[Place | None, Role], list[int]] = {}
    for index, c in enumerate(sided):
        lines.setdefault((c.place, c.role), []).append(index)
    changes = marks[1:] != marks[:-1]
    crossed = jnp.stack([jnp.any(changes[:, jnp.asarray(of)], axis=1) for of in lines.values()])  # (lines, intervals)
    turned = jnp.stack([jnp.any(beside[:, jnp.asarray(of)] != marks[:1, jnp.asarray(of)]) for of in lines.values()])
    kinked = jnp.asarray([role is Role.KINKS for _, role in lines])
    turned, crossed = turned & kinked, crossed & ~kinked[:, None]
    change, added = jnp.diff(values), (slopes[1:] + slopes[:-1]) / 2 * jnp.diff(t)
    rounding = 100 * jnp.finfo(values.dtype).eps * (jnp.abs(values[1:]) + jnp.abs(values[:-1]))
    apart = jnp.maximum(jnp.abs(change - added) - rounding, 0.0)
    still = ~jnp.any(crossed, axis=0)
    usual = jnp.sum(jnp.where(still, apart, 0.0)) / jnp.maximum(jnp.sum(still), 1)
    beyond = jnp.maximum(apart - 3 * usual, 0.0)
    size = jnp.maximum(jnp.sum(jnp.abs(change)), jnp.sum(jnp.abs(added)))
    drift = jnp.cumsum(change - added)
    astray = jnp.maximum(jnp.max(drift), 0.0) - jnp.minimum(jnp.min(drift), 0.0)
    shares = jnp.minimum(jnp.sum(jnp.where(crossed, beyond[None], 0.0), axis=1), astray) / jnp.where(
        size > 0, size, 1.0
    )
    shares = jnp.where(jnp.isfinite(shares), shares, 0.0)
    numbers = jnp.asarray([remembered(_said(*line, sided, of)) for line, of in lines.items()], values.dtype)
    most = jnp.argmax(shares)
    met = jnp.any(crossed & (beyond > 0)[None], axis=0)
    nearest = jnp.min(jnp.where(met, jnp.maximum(jnp.abs(t[1:]), jnp.abs(t[:-1])), jnp.inf))
    kink = jnp.where(jnp.any(turned), numbers[jnp.argmax(turned)], -1.0)
    return Unseen(shares[most], nearest, jnp.where(shares[most] > 0, numbers[most], kink))


def _said(place: Place | None, role: Role, sided: list[Candidate], of: list[int]) -> str:
    word = "jumps" if role is Role.KILLS and all(sided[i].mixed for i in of) else WORDS[role]
    said = word if word == "jumps" else f"is {word}"
    return f"{said} at {place[0].rpartition('/')[2]}:{place[1]}" if place else f"{said} in a line that is not known"
