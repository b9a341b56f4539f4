"""Which candidate lines really break the derivative: each crossing is closed in upon, and measured on both sides."""

from collections.abc import Sequence

import numpy as np

from descend.inspection import unread
from descend.inspection.lines import Sweep
from descend.inspection.measured import Break, Crossing, Group, measured
from descend.inspection.subject import Line, Subject
from descend.program.candidates import Candidate
from descend.program.flow import Role
from descend.program.source import Place

LANES = 32  # points whose fingerprints are computed at once
AT_ONCE = 8  # crossings that are closed in upon at once
TRIES = 6  # intervals in which a kink among many harmless ones is looked for
PAST = 0.37  # how far a line through the origin goes on, so that no point of a grid is the origin


def groups(candidates: Sequence[Candidate]) -> list[Group]:
    """The candidates that have two sides, by line and role."""
    found: dict[tuple[Place | None, Role], list[int]] = {}
    for index, candidate in enumerate(candidates):
        if candidate.role in (Role.KILLS, Role.BRANCHES, Role.KINKS):
            found.setdefault((candidate.place, candidate.role), []).append(index)
    return [Group(*name, tuple(members)) for name, members in found.items()]


def crossings(swept: Sweep, group: Group, jumpers: list[int]) -> list[Crossing]:
    """The intervals of the sweep that a group changes in: the worst first, on different lines first.

    A kink is looked for where none of the candidates that may jump changes too, before elsewhere.
    """
    changed = swept.changes(list(group.members)) & swept.finite()
    badness = np.where(changed, np.nan_to_num(swept.gaps).max(-1), -1.0)
    if group.role is Role.KINKS and jumpers:
        badness = np.where(changed & ~swept.changes(jumpers), badness + 1.0, badness)
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
    # A threshold on a size lies on the way to the origin, and past it: at a line's end there is only one side.
    points[1:3] = [-PAST * subject.x, -subject.x]
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
    jumpers = [i for g in every if g.role is not Role.KINKS for i in g.members]
    waiting = {g: crossings(swept, g, jumpers) for g in every}
    found: dict[tuple[Group, str], Break] = {}
    _search(subject, swept, every, waiting, found, rounds)
    hidden = [g for g in every if g.role is Role.KINKS and g not in {g for g, _ in found}]
    _search_hidden(subject, swept, every, hidden, jumpers, found)
    # What the lines through the center do not meet, or meet only where it is harmless.
    told = {g for g, _ in found}
    elsewhere = [
        g for g in every if g not in told and (g.role is not Role.KINKS or not swept.changes(list(g.members)).any())
    ]
    if elsewhere:
        waiting = {g: [] for g in elsewhere}
        for crossing in scattered(subject, swept, elsewhere, rng):
            waiting[crossing.group].append(crossing)
        _search(subject, swept, every, waiting, found, rounds)
    discontinuous = {group for group, word in found if word != "kinked"}
    return [b for (group, word), b in found.items() if word != "kinked" or group not in discontinuous]


def _search_hidden(
    subject: Subject,
    swept: Sweep,
    every: list[Group],
    hidden: list[Group],
    jumpers: list[int],
    found: dict[tuple[Group, str], Break],
) -> None:
    """Tries kinks where value and slopes disagree: of many elements that change sides there, few may matter."""
    changed = swept.changes([i for g in hidden for i in g.members])
    for line, index in unread.mismatches(subject, swept, ~changed | swept.changes(jumpers))[:TRIES]:
        seen = unread.closed(subject, swept, line, index)
        if seen is None or seen.word != "kinked":
            continue
        on = swept.lines[line]
        low, high = subject.marks(_padded([subject.on(on, np.array([seen.low, seen.high]))]))[:2]
        own = [g for g in hidden if (low != high)[list(g.members)].any()][:AT_ONCE]
        met = [Crossing(g, on, seen.low, seen.high, *_usual(swept, line, index)) for g in own]
        for broken in measured(subject, swept, every, met) if met else []:
            found.setdefault((broken.group, broken.word), broken)


def _search(
    subject: Subject,
    swept: Sweep,
    every: list[Group],
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
        for broken in measured(subject, swept, every, close_in(subject, wanted)):
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
