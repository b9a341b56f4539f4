"""Which candidate lines really break the derivative: each crossing is closed in upon, and measured on both sides."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from descend.inspection.lines import Sweep
from descend.inspection.subject import Line, Samples, Subject
from descend.program.candidates import Candidate
from descend.program.flow import Role
from descend.program.source import Place

BENT = 1e-7  # of the steepest slope: a smaller change of slope is no kink; more in float32
LANES = 32  # points whose fingerprints are computed at once
FURTHER = 1e-4  # of a line: where the change of slope at a kink is seen again
AT_ONCE = 8  # crossings that are closed in upon at once


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


def groups(candidates: Sequence[Candidate]) -> list[Group]:
    """The candidates that have two sides, by line and role."""
    found: dict[tuple[Place | None, Role], list[int]] = {}
    for index, candidate in enumerate(candidates):
        if candidate.role in (Role.KILLS, Role.BRANCHES, Role.KINKS):
            found.setdefault((candidate.place, candidate.role), []).append(index)
    return [Group(*name, tuple(members)) for name, members in found.items()]


def crossings(swept: Sweep, group: Group) -> list[Crossing]:
    """The intervals of the sweep that a group changes in: the worst first, on different lines first."""
    changed = swept.changes(list(group.members)) & swept.finite()
    badness = np.where(changed, np.nan_to_num(swept.gaps).max(-1), -1.0)
    order = np.argsort(-badness, axis=1, kind="stable")
    found = []
    for turn in range(badness.shape[1]):
        for line in np.argsort(-badness.max(1), kind="stable"):
            j = order[line, turn]
            if changed[line, j]:
                low, high = swept.t[line, j : j + 2]
                found.append(Crossing(group, swept.lines[line], low, high, *_usual(swept, line, j)))
    return found


def _usual(swept: Sweep, line: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    """Range of values and steepest slope around an interval, but not above what is usual on most of its line.

    A simulation that explodes on a part of a line must not hide what happens on the rest.
    """
    near = slice(max(0, j - 2), j + 4)
    slopes = np.where(np.isfinite(swept.slopes[line]), abs(swept.slopes[line]), 0.0)
    values = np.where(np.isfinite(swept.values[line]), swept.values[line], swept.values[line, j])
    found = []
    for local, usual in (
        (np.ptp(values[near], axis=0), np.quantile(abs(values - np.median(values, axis=0)), 0.7, axis=0)),
        (slopes[near].max(0), np.quantile(slopes, 0.7, axis=0)),
    ):
        found.append(np.where(usual > 0, np.minimum(local, usual), local))
    return found[0], found[1]


def scattered(subject: Subject, swept: Sweep, missed: list[Group], rng: np.random.Generator) -> list[Crossing]:
    """Crossings of groups that the sweep did not meet, between the center and random points around it."""
    reach = np.repeat([0.3, 1.0, 1.0, 3.0], LANES // 4)[:, None]
    points = subject.x + reach * subject.scale * rng.normal(size=(LANES, subject.x.size))
    points[1:3] = [np.zeros_like(subject.x), -subject.x]  # a threshold on a size lies on the way to the origin
    project = subject.domain.project
    points = np.stack([np.asarray(subject.domain.ravel(project(subject.domain.unravel(p)))) for p in points])
    points[0] = subject.x
    marks = subject.marks(points)
    near = ~swept.far
    slopes = np.where(np.isfinite(swept.slopes[near]), abs(swept.slopes[near]), 0.0)
    size, steep = swept.range[near].max(0), slopes.max((0, 1))
    found = []
    for group in missed:
        members = list(group.members)
        across = np.flatnonzero((marks[:, members] != marks[0, members]).any(-1))[:2]
        found += [Crossing(group, Line(subject.x, points[i]), 0.0, 1.0, size, steep) for i in across]
    return found


def close_in(subject: Subject, wanted: list[Crossing]) -> list[Crossing]:
    """Narrows each crossing until only rounding separates its ends, keeping a change of its group inside."""
    share = max(1, LANES // len(wanted))
    inside = np.linspace(0, 1, share + 2)[1:-1]
    rounds = int(np.ceil(-np.log2(subject.eps) * 0.6 / np.log2(share + 1)))
    edges = np.array([[c.low, c.high] for c in wanted])
    first = None
    for _ in range(rounds):
        grid = edges[:, :1] + inside * (edges[:, 1:] - edges[:, :1])
        points = np.concatenate([subject.on(c.line, t) for c, t in zip(wanted, grid, strict=True)])
        spare = np.repeat(points[:1], LANES - len(points), axis=0)
        if first is None:
            first = subject.marks(_padded([subject.on(c.line, edges[i, :1]) for i, c in enumerate(wanted)]))
        marks = subject.marks(np.concatenate([points, spare]))[: len(points)].reshape(len(wanted), share, -1)
        for i, c in enumerate(wanted):
            members = list(c.group.members)
            moved = (marks[i][:, members] != first[i, members]).any(-1)
            stop = int(np.argmax(moved)) if moved.any() else share
            t = np.concatenate([edges[i, :1], grid[i], edges[i, 1:]])
            edges[i] = t[stop], t[stop + 1]
    return [c._replace(low=a, high=b) for c, (a, b) in zip(wanted, edges, strict=True)]


def _padded(points: list[np.ndarray]) -> np.ndarray:
    rows = np.concatenate(points)
    return np.concatenate([rows, np.repeat(rows[:1], LANES - len(rows), axis=0)])


def find(subject: Subject, swept: Sweep, rounds: int, rng: np.random.Generator) -> list[Break]:
    """The breaks on the lines of candidates that probing crosses.

    Args:
        subject: the problem.
        swept: its sweep.
        rounds: how often crossings of groups that are not yet confirmed are tried, a few at once.
        rng: for the search for crossings that the sweep did not meet.
    """
    every = groups(subject.candidates)
    if not every:
        return []
    waiting = {g: crossings(swept, g) for g in every}
    found: dict[tuple[Group, str], Break] = {}
    _search(subject, swept, waiting, found, rounds)
    # What the lines through the center do not meet, or meet only where it is harmless.
    told = {g for g, _ in found}
    elsewhere = [g for g in every if g not in told and (g.role is not Role.KINKS or not crossings(swept, g))]
    if elsewhere:
        waiting = {g: [] for g in elsewhere}
        for crossing in scattered(subject, swept, elsewhere, rng):
            waiting[crossing.group].append(crossing)
        _search(subject, swept, waiting, found, rounds)
    discontinuous = {group for group, word in found if word != "kinked"}
    return [b for (group, word), b in found.items() if word != "kinked" or group not in discontinuous]


def _search(
    subject: Subject,
    swept: Sweep,
    waiting: dict[Group, list[Crossing]],
    found: dict[tuple[Group, str], Break],
    rounds: int,
) -> None:
    """Tries the crossings that wait, and enters what they show."""
    for _ in range(rounds):
        # A branch that is kinked at one crossing may jump at another; a kink has no worse to show.
        wanted = _next(waiting, {g for g, word in found if word != "kinked" or g.role is Role.KINKS})
        if not wanted:
            break
        for broken in _measured(subject, swept, close_in(subject, wanted)):
            name = (broken.group, broken.word)
            if name not in found or abs(broken.gap) > abs(found[name].gap):
                found[name] = broken


def _next(waiting: dict[Group, list[Crossing]], done: set[Group]) -> list[Crossing]:
    """The next few crossings to try, taken in turn from the groups that are not done."""
    chosen: list[Crossing] = []
    open_ones = [crossings for group, crossings in waiting.items() if group not in done]
    while len(chosen) < AT_ONCE and any(open_ones):
        for crossings in open_ones:
            if crossings and len(chosen) < AT_ONCE:
                chosen.append(crossings.pop(0))
    return chosen


def _measured(subject: Subject, swept: Sweep, closed: list[Crossing]) -> list[Break]:
    t = np.array([edge for c in closed for edge in (c.low, c.high)])
    sides = subject.sample(t, [c.line for c in closed], np.repeat(np.arange(len(closed)), 2))
    judged = [
        _judge(subject, swept, c, Samples(*(part[2 * i : 2 * i + 2] for part in sides))) for i, c in enumerate(closed)
    ]
    kinks = [i for i, b in enumerate(judged) if b is not None and b.word == "kinked"]
    if kinks:
        # A slope that is badly rounded close to the place (a quotient of two zeros) does not change further away,
        # beyond what its curvature explains.
        away = np.array([-2.0, -1.0, 1.0, 2.0]) * FURTHER
        wide = np.concatenate([np.clip(closed[i].low + away, 0.0, 1.0) for i in kinks])
        slopes = subject.sample(wide, [c.line for c in closed], np.repeat(kinks, 4)).slopes.reshape(len(kinks), 4, -1)
        for i, (a, b, c, d) in zip(kinks, slopes, strict=True):
            seen = judged[i]
            if seen is not None and abs(2 * (c - b) - (d - a))[seen.output] < 0.3 * abs(seen.slope_gap):
                judged[i] = None
    return [each for each in judged if each is not None]


def _steps(subject: Subject, crossing: Crossing, sides: Samples) -> tuple[np.ndarray, ...]:
    """Value gaps and slope gaps at a closed crossing, and which of each are beyond rounding: over the outputs."""
    width = crossing.high - crossing.low
    with np.errstate(all="ignore"):
        gap, slope_gap = np.diff(sides.values, axis=0)[0], np.diff(sides.slopes, axis=0)[0]
        magnitude, steepest = abs(sides.values).max(0), abs(sides.slopes).max(0)
        tolerance = np.sqrt(subject.eps)
        # A jump exceeds both rounding and what a steep but continuous function does over the width.
        jumped = abs(gap) > tolerance * crossing.size + 100 * subject.eps * magnitude + 2 * steepest * width
        steep = np.maximum(crossing.steep, steepest)
        bent = abs(slope_gap) > BENT * max(1.0, subject.eps / 2**-52) ** 0.4 * steep + 1e3 * subject.eps * magnitude
    return gap, slope_gap, jumped & np.isfinite(gap), bent & np.isfinite(slope_gap)


def _judge(subject: Subject, swept: Sweep, crossing: Crossing, sides: Samples) -> Break | None:
    gap, slope_gap, jumped, bent = _steps(subject, crossing, sides)
    group = crossing.group
    changed = [i for i in group.members if sides.marks[0][i] != sides.marks[1][i]]
    reached = sorted({output for i in changed for output in subject.candidates[i].outputs})
    if not reached:
        return None

    def broken(word: str, output: int) -> Break:
        steep = max(crossing.steep[output], abs(sides.slopes[:, output]).max(), 1e-300)
        bend = float(abs(slope_gap[output]) / steep)
        return Break(word, group, output, float(gap[output]), float(slope_gap[output]), bend)

    worst = max(reached, key=lambda k: (jumped[k], abs(gap[k])))
    if jumped[worst]:
        if group.role is Role.KINKS:
            return None  # a continuous operation: whatever jumps here is another line's
        pure = group.role is Role.KILLS and any(not subject.candidates[i].mixed for i in changed)
        # Where no derivative flows at all, a branch or a modulo is a staircase too.
        return broken("flat" if pure or is_level(swept, worst, subject.eps) else "jumps", worst)
    worst = max(reached, key=lambda k: (bent[k], abs(slope_gap[k])))
    return broken("kinked", worst) if bent[worst] else None


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
