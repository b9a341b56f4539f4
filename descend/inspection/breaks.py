"""Which candidate lines really break the derivative: each crossing is closed in upon, and measured on both sides."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from descend.inspection.lines import Sweep
from descend.inspection.subject import Line, Samples, Subject
from descend.program.candidates import Candidate, Role
from descend.program.source import Place


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
        t, line: where.
    """

    word: str
    group: Group
    output: int
    gap: float
    slope_gap: float
    t: float
    line: Line


class Bracket(NamedTuple):
    """Both sides of one crossing of one group: samples with a leading axis of length 2."""

    group: Group
    line: int
    t: np.ndarray
    sides: Samples


def groups(candidates: Sequence[Candidate]) -> list[Group]:
    """The candidates that have two sides, by line and role."""
    found: dict[tuple[Place | None, Role], list[int]] = {}
    for index, candidate in enumerate(candidates):
        if candidate.role in (Role.KILLS, Role.BRANCHES, Role.KINKS):
            found.setdefault((candidate.place, candidate.role), []).append(index)
    return [Group(*name, tuple(members)) for name, members in found.items()]


def crossings(swept: Sweep, group: Group, most: int) -> list[tuple[int, int]]:
    """Up to `most` intervals (line, index) that the group changes in: the worst first, on different lines first."""
    changed = swept.changes(list(group.members)) & swept.finite()
    badness = np.where(changed, np.nan_to_num(swept.gaps).max(-1), -1.0)
    chosen: list[tuple[int, int]] = []
    for turn in range(most):
        for line in np.argsort(-badness.max(1), kind="stable"):
            order = np.argsort(-badness[line], kind="stable")
            if len(chosen) < most and turn < len(order) and changed[line, order[turn]]:
                chosen.append((int(line), int(order[turn])))
    return chosen


def close_in(subject: Subject, swept: Sweep, wanted: list[tuple[Group, int, int]]) -> list[Bracket]:
    """Bisects each interval until only rounding separates its ends, keeping a change of its group inside."""
    if not wanted:
        return []
    lines = [swept.lines[line] for _, line, _ in wanted]
    low = np.array([swept.t[line, j] for _, line, j in wanted])
    high = np.array([swept.t[line, j + 1] for _, line, j in wanted])
    start = [[each[line, j + side] for _, line, j in wanted] for side in (0, 1) for each in swept[3:6]]
    below, above = (Samples(*(np.stack(each) for each in part)) for part in (start[:3], start[3:]))
    for _ in range(int(-np.log2(subject.eps) * 0.6)):
        middle = (low + high) / 2
        now = subject.sample(middle, lines)
        moved = np.array(
            [
                (now.marks[i, list(group.members)] != below.marks[i, list(group.members)]).any()
                for i, (group, _, _) in enumerate(wanted)
            ]
        )
        low, high = np.where(moved, low, middle), np.where(moved, middle, high)
        below = Samples(*(np.where(moved[:, None], old, new) for old, new in zip(below, now, strict=True)))
        above = Samples(*(np.where(moved[:, None], new, old) for old, new in zip(above, now, strict=True)))
    return [
        Bracket(
            group,
            line,
            np.array([low[i], high[i]]),
            Samples(*(np.stack([a[i], b[i]]) for a, b in zip(below, above, strict=True))),
        )
        for i, (group, line, _) in enumerate(wanted)
    ]


def jumps_of(subject: Subject, swept: Sweep, bracket: Bracket) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Value gaps and slope gaps at a bracket, and which of each are beyond rounding. Arrays over the outputs."""
    values, slopes = bracket.sides.values, bracket.sides.slopes
    with np.errstate(all="ignore"):
        drift = slopes.mean(0) * (bracket.t[1] - bracket.t[0])
        gap = np.diff(values, axis=0)[0] - np.where(abs(drift) < swept.range[bracket.line], drift, 0.0)
        slope_gap = np.diff(slopes, axis=0)[0]
        tolerance = np.sqrt(subject.eps)
        size = np.fmax.reduce(abs(values), 0)
        # A gap must exceed both rounding and what a steep but continuous function does over the bracket.
        steepest = np.fmax.reduce(abs(slopes), 0) * (bracket.t[1] - bracket.t[0])
        jumped = abs(gap) > tolerance * swept.range[bracket.line] + 100 * subject.eps * size + 2 * steepest
        along = np.nanmax(np.where(np.isfinite(swept.slopes[bracket.line]), abs(swept.slopes[bracket.line]), 0.0), 0)
        steep = np.maximum(along, abs(slopes).max(0))
        floor = 1e3 * subject.eps * size / np.maximum(np.ptp(swept.t[bracket.line]), 1e-3)
        bent = abs(slope_gap) > 10 * tolerance * steep + floor
    return gap, slope_gap, jumped & np.isfinite(gap), bent & np.isfinite(slope_gap)


def find(subject: Subject, swept: Sweep, most: int, lanes: int) -> list[Break]:
    """The breaks on lines of candidates that the sweep crossed.

    Args:
        subject: the problem.
        swept: its sweep.
        most: crossings tried for each group.
        lanes: crossings tried in all; the worst groups come first.
    """
    every = groups(subject.candidates)
    wanted = [(g, *crossing) for g in every for crossing in crossings(swept, g, most)]
    rank = {g: [w for w in wanted if w[0] is g] for g in every}
    wanted = [rank[g][turn] for turn in range(most) for g in every if turn < len(rank[g])][:lanes]
    found: dict[tuple[Group, str], Break] = {}
    for bracket in close_in(subject, swept, wanted):
        broken = _judge(subject, swept, bracket, every)
        if broken is not None:
            name = (broken.group, broken.word)
            if name not in found or abs(broken.gap) > abs(found[name].gap):
                found[name] = broken
    discontinuous = {group for group, word in found if word != "kinked"}
    return [b for (group, word), b in found.items() if word != "kinked" or group not in discontinuous]


def _judge(subject: Subject, swept: Sweep, bracket: Bracket, every: list[Group]) -> Break | None:
    gap, slope_gap, jumped, bent = jumps_of(subject, swept, bracket)
    own = set(bracket.group.members)
    changed = {i for g in every for i in g.members if bracket.sides.marks[0][i] != bracket.sides.marks[1][i]}
    reached = sorted({output for i in own & changed for output in subject.candidates[i].outputs})
    if not reached:
        return None
    line = swept.lines[bracket.line]
    kills = [subject.candidates[i] for i in own & changed]
    worst = max(reached, key=lambda k: (jumped[k], abs(gap[k])))
    if jumped[worst]:
        if bracket.group.role is Role.KINKS:
            return None  # a continuous operation: whatever jumps here is another line's
        # Where no derivative flows at all, a branch or a modulo is a staircase too.
        level = is_level(swept, worst)
        pure = bracket.group.role is Role.KILLS and any(not c.mixed for c in kills)
        word = "flat" if pure or level else "jumps"
        return Break(word, bracket.group, worst, gap[worst], slope_gap[worst], float(bracket.t[0]), line)
    worst = max(reached, key=lambda k: (bent[k], abs(slope_gap[k])))
    if bent[worst]:
        return Break("kinked", bracket.group, worst, gap[worst], slope_gap[worst], float(bracket.t[0]), line)
    return None


def is_level(swept: Sweep, output: int) -> bool:
    """Whether the output does not vary over the smallest steps, or has no derivative: zero on nearly all points."""
    slopes = swept.slopes[..., output]
    finite = np.isfinite(slopes)
    if not finite.any():
        return False
    no_slope = (slopes[finite] == 0).mean() > 0.9
    shortest = np.argsort(np.diff(swept.t), axis=1)[:, :1]
    change = np.take_along_axis(np.diff(swept.values[..., output], axis=1), shortest, 1)
    return bool(no_slope or (np.isfinite(change).all() and (change == 0).mean() > 0.9))
