"""What a crossing shows once it is closed in upon: a jump of the value, of the slope, or nothing; and of which line."""

from typing import NamedTuple

import numpy as np

from descend.inspection.lines import Sweep
from descend.inspection.sides import Outcome, Trial, outcomes
from descend.inspection.subject import LINES, Line, Samples, Subject
from descend.program.flow import Role
from descend.program.source import Place

BENT = 1e-7  # of the steepest slope: a smaller change of slope is no kink; more in float32
FURTHER = 1e-4  # of a line: where the change of slope at a kink is seen again
NEXT = 16  # widths of a closed crossing: where a slope that only bends has changed more
SHARE = 0.01  # of a jump: a line that does less than this to it has no part in it


class Group(NamedTuple):
    """Candidates of one role on one line of the user's: what a finding can name."""

    place: Place | None
    role: Role
    members: tuple[int, ...]


class Break(NamedTuple):
    """A confirmed break of the derivative.

    Attributes:
        word: `flat`, `jumps` or `kinked`.
        group: what breaks it.
        output: index of the output where it shows most.
        gap: the jump of the value there.
        slope_gap: the jump of the slope along the line.
        bend: the same, as a share of the steepest slope nearby.
    """

    word: str
    group: Group
    output: int
    gap: float
    slope_gap: float
    bend: float


class Crossing(NamedTuple):
    """A stretch of a line at whose ends the fingerprints of a group differ.

    Attributes:
        group: the group.
        line, low, high: the stretch.
        size: for each output, its range nearby: the yardstick of a jump.
        steep: for each output, the largest slope nearby: the yardstick of a kink.
    """

    group: Group
    line: Line
    low: float
    high: float
    size: np.ndarray
    steep: np.ndarray


class Met(NamedTuple):
    """What happens at a closed crossing, or what one group does there: over the outputs.

    Attributes:
        crossing: the crossing, of the group.
        changed: (candidates,), which have other fingerprints on its two sides.
        gap, slope_gap: the jumps of value and slope.
        jumped, bent: whether they are beyond rounding.
        steep: the steepest slope nearby.
        alone: whether nothing else jumps there.
    """

    crossing: Crossing
    changed: np.ndarray
    gap: np.ndarray
    slope_gap: np.ndarray
    jumped: np.ndarray
    bent: np.ndarray
    steep: np.ndarray
    alone: bool


def measured(subject: Subject, swept: Sweep, every: list[Group], closed: list[Crossing]) -> list[Break]:
    """The breaks at closed crossings: of their groups, and of others that change there too."""
    t = np.array([edge for c in closed for edge in (c.low, c.high)])
    both = subject.sample(t, [c.line for c in closed], np.repeat(np.arange(len(closed)), 2))
    met = [_met(subject, c, Samples(*(part[2 * i : 2 * i + 2] for part in both))) for i, c in enumerate(closed)]
    told = subject.attempt(lambda: _told_apart(subject, every, met)) or met
    judged = [(m, broken) for m in told if (broken := _judge(subject, swept, m)) is not None]
    kinks = [(m, broken) for m, broken in judged if broken.word == "kinked" and m.alone]
    gone = {id(broken) for broken in _rounded(subject, kinks)}
    return [broken for _, broken in judged if id(broken) not in gone]


def _met(subject: Subject, crossing: Crossing, sides: Samples) -> Met:
    width = crossing.high - crossing.low
    with np.errstate(all="ignore"):
        gap, slope_gap = np.diff(sides.values, axis=0)[0], np.diff(sides.slopes, axis=0)[0]
        magnitude, steepest = abs(sides.values).max(0), abs(sides.slopes).max(0)
        tolerance = np.sqrt(subject.eps)
        # A jump exceeds both rounding and what a steep but continuous function does over the width.
        jumped = abs(gap) > tolerance * crossing.size + 100 * subject.eps * magnitude + 2 * steepest * width
        steep = np.maximum(crossing.steep, steepest)
        bent = abs(slope_gap) > _bent(subject) * steep + 1e3 * subject.eps * magnitude
    jumped, bent = jumped & np.isfinite(gap), bent & np.isfinite(slope_gap)
    return Met(crossing, sides.marks[0] != sides.marks[1], gap, slope_gap, jumped, bent, steep, not jumped.any())


def _bent(subject: Subject) -> float:
    return BENT * max(1.0, subject.eps / 2**-52) ** 0.4


def _told_apart(subject: Subject, every: list[Group], met: list[Met]) -> list[Met]:
    """Where several groups change at one place, what each of them does there."""
    told: list[Met] = []
    trials: list[Trial] = []
    parts: list[tuple[Met, Group]] = []
    for m in met:
        changed = [g for g in every if m.changed[list(g.members)].any()]
        broken = m.jumped.any() or m.bent.any()
        if len(changed) < 2 or not broken:
            told.append(m)
            continue
        low, high = m.crossing.low, m.crossing.high
        for group in changed:
            branches = {i for g in changed if g is not group and g.role is Role.BRANCHES for i in g.members}
            parts.append((m, group))
            holds = (frozenset(), frozenset(group.members), frozenset(branches))
            trials += [Trial(m.crossing.line, low, high, hold) for hold in holds]
    if not trials:
        return told
    seen = outcomes(subject, trials)
    own = [_part(subject, m, group, *seen[3 * i : 3 * i + 3]) for i, (m, group) in enumerate(parts)]
    for index, (m, group) in enumerate(parts):
        free, held, others = seen[3 * index : 3 * index + 3]
        if not others.moved[list(group.members)].any():
            continue  # it only follows from what another branch does
        together = m.jumped & (abs(free.gap - held.gap) > SHARE * abs(m.gap))
        single = [part.jumped for (other, _), part in zip(parts, own, strict=True) if other is m]
        part = own[index]
        if np.any(single):
            told.append(part._replace(jumped=together & part.jumped))
        else:
            told.append(part._replace(jumped=together, gap=free.gap - held.gap))
    return told


def _part(subject: Subject, m: Met, group: Group, free: Outcome, held: Outcome, others: Outcome) -> Met:
    """What a group does by itself, the branches of others held: what would be missing without it counts too.

    The second round of a loop may repair, or undo, what another line does in the first; that is not its own doing.
    """
    with np.errstate(all="ignore"):
        missing = free.slope_gap - held.slope_gap
        slope_gap = missing if m.alone else others.slope_gap
        least = np.maximum(_bent(subject) * m.steep, SHARE * abs(m.slope_gap) * m.alone)
        bent = np.isfinite(slope_gap) & (np.minimum(abs(missing), abs(slope_gap)) > least)
        jumped = m.jumped & (abs(others.gap) > SHARE * abs(m.gap))
        gap = free.gap - held.gap if m.alone else others.gap
    return m._replace(crossing=m.crossing._replace(group=group), gap=gap, slope_gap=slope_gap, jumped=jumped, bent=bent)


def _rounded(subject: Subject, kinks: list[tuple[Met, Break]]) -> list[Break]:
    """Those that are none: a slope that changes more over a longer stretch, as by curvature or beside a power such as
    |x|^1.5, and one that is badly rounded close to the place (a quotient of two zeros) but does not change further
    away."""
    gone = []
    for first in range(0, len(kinks), LINES // 2):
        some = kinks[first : first + LINES // 2]
        lines = [m.crossing.line for m, _ in some]
        grid = []
        for m, _ in some:
            low, high = m.crossing.low, m.crossing.high
            step = NEXT * (high - low)
            wide = low + np.array([-2.0, -1.0, 1.0, 2.0]) * FURTHER
            grid.append(np.clip([*wide, low - step, low, high, high + step], 0.0, 1.0))
        owner = np.repeat(np.arange(len(some)), 8)
        slopes = subject.sample(np.concatenate(grid), lines, owner).slopes.reshape(len(some), 8, -1)
        for each, (m, seen) in zip(slopes, some, strict=True):
            a, b, c, d, *close = each[:, seen.output]
            gap = abs(m.slope_gap[seen.output])
            grows = abs(close[3] - close[0]) > 2 * abs(close[2] - close[1])
            usual = min(gap, m.crossing.steep[seen.output])  # where a slope is infinite it is less further away
            if abs(2 * (c - b) - (d - a)) < 0.3 * usual or grows:
                gone.append(seen)
    return gone


def _judge(subject: Subject, swept: Sweep, m: Met) -> Break | None:
    group = m.crossing.group
    changed = [i for i in group.members if m.changed[i]]
    reached = sorted({output for i in changed for output in subject.candidates[i].outputs})
    if not reached:
        return None

    def broken(word: str, output: int) -> Break:
        bend = float(abs(m.slope_gap[output]) / max(m.steep[output], 1e-300))
        return Break(word, group, output, float(m.gap[output]), float(m.slope_gap[output]), bend)

    worst = max(reached, key=lambda k: (m.jumped[k], abs(m.gap[k])))
    if m.jumped[worst]:
        if group.role is Role.KINKS:
            return None  # a continuous operation: whatever jumps here is another line's
        pure = group.role is Role.KILLS and any(not subject.candidates[i].mixed for i in changed)
        # Where no derivative flows at all, a branch or a modulo is a staircase too.
        return broken("flat" if pure or is_level(swept, worst, subject.eps) else "jumps", worst)
    worst = max(reached, key=lambda k: (m.bent[k], abs(m.slope_gap[k])))
    return broken("kinked", worst) if m.bent[worst] else None


def is_level(swept: Sweep, output: int, eps: float) -> bool:
    """Whether the output does not vary over the smallest steps, or has no derivative: zero on nearly all points."""
    slopes = swept.slopes[..., output]
    finite = np.isfinite(slopes)
    if not finite.any():
        return False
    no_slope = (slopes[finite] == 0).mean() > 0.9
    shortest = np.argsort(np.diff(swept.t), axis=1)[:, :1]
    values = swept.values[..., output]
    change = np.take_along_axis(np.diff(values, axis=1), shortest, 1)
    # Less than rounding: a staircase may be computed with a little noise.
    still = abs(change) <= 4 * eps * abs(values).max()
    moves = abs(np.take_along_axis(slopes, shortest, 1) * np.take_along_axis(np.diff(swept.t), shortest, 1))
    return bool(no_slope or (still.mean() > 0.7 and np.all(moves > 100 * eps * abs(values).max())))
