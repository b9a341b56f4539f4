"""What the measurements of a derivative say, in findings."""

from typing import Any

import numpy as np

from descend.findings import Finding
from descend.inspection import black_box, finite, noise, smoothing, unread
from descend.inspection.lines import Sweep
from descend.inspection.measured import Break, is_level
from descend.inspection.stated import where
from descend.inspection.subject import Subject
from descend.program import compat
from descend.program.candidates import Candidate
from descend.program.flow import Role
from descend.program.iterations import Loop
from descend.program.source import function_place

AGREES = 0.05
"""How far, as a share, a finite difference may be from the derivative at the smallest step."""


SENSITIVE = 1e3
"""By what factor a change must grow over the rounds of a loop for its sensitivity to be called exponential."""


APART = 1e-5
"""How far from a break, on its line, numbers that meet there have moved apart."""


TOLERATED = 1e-3
"""A change of slope, as a share of the steepest, that may come of an inner solver that stops one round sooner."""


def _smooth(sigma: float) -> str:
    return f"descend.routes.smooth(sigma={sigma:.3g})"


def _unit(subject: Subject) -> float:
    return float(np.median(subject.scale)) if subject.scale.size else 1.0


def _with(subject: Subject, role: Role, output: int | None = None) -> list[Candidate]:
    return [c for c in subject.candidates if c.role is role and (output is None or output in c.outputs)]


def once(findings: list[Finding]) -> list[Finding]:
    """Without repetitions of a word at a place."""
    seen: dict[Any, Finding] = {}
    for finding in findings:
        seen.setdefault((finding.what, finding.place()), finding)
    return list(seen.values())


def from_values(subject: Subject) -> list[Finding]:
    """About a function that only gives values."""
    seen = black_box.probe(subject)
    if seen is None:
        return []
    here = where(function_place(subject.problem.objective), subject.problem)
    found = []
    if seen.deviation > 0:
        found.append(
            Finding(
                "stochastic",
                here,
                {"how": "probed", "deviation": seen.deviation, "changes from": f"{seen.cause} to {seen.cause}"},
            )
        )
    if seen.flat:
        evidence = {
            "how": "probed",
            "steps without change": black_box.STEPS[0],
            "steps with change": black_box.STEPS[1],
        }
        found.append(Finding("flat", here, evidence, _smooth(black_box.STEPS[1] * _unit(subject))))
    if seen.bad is not None:
        evidence = {"how": "probed", "what": "value", "at": "inside", "x": seen.bad[:8].tolist()}
        found.append(Finding("non-finite", here, evidence))
    return found


def on_host(subject: Subject) -> list[Finding]:
    """About calls out of JAX."""
    return [
        Finding(
            "black-box", where(c.place, subject.problem), {"how": "static", "primitive": c.primitive},
            "descend.routes.black_box()",
        )
        for c in _with(subject, Role.CALLS_HOST)
    ]  # fmt: skip


def on_loops(subject: Subject) -> list[Finding]:
    """About loops inside the objective: growth of small changes, and inner problems that are solved by iteration."""
    found = []
    for candidate, loop in subject.loops:
        here, rounds = where(candidate.place, subject.problem), int(loop.rounds)
        exponent, error = loop.exponent, loop.error
        if exponent * rounds > np.log(SENSITIVE) and exponent > 2 * error:
            evidence = {
                "how": "static and probed", "exponent": exponent, "standard error": error, "horizon": rounds,
                "Lyapunov time": 1 / exponent,
            }  # fmt: skip
            steps = max(1, round(2 / exponent))
            found.append(Finding("chaotic", here, evidence, f"descend.routes.window(steps={steps})"))
        if converged(subject, candidate, loop):
            evidence = {"how": "static and probed", "rounds": rounds, "exponent": exponent}
            found.append(Finding("nested", here, evidence, "descend.implicit"))
    return found


def converged(subject: Subject, candidate: Candidate, loop: Loop) -> bool:
    """Whether it is a loop that ends by what it has computed, at rest: the solution of an inner problem."""
    return candidate.ends and loop.converged(candidate.used)


def on_state(subject: Subject) -> list[Finding]:
    """About values that change from call to call."""
    state = subject.attempt(lambda: noise.hidden_state(subject))
    if state is None:
        return []
    evidence = {"how": "probed", "deviation": state[1], "changes from": "call to call"}
    return [Finding("stochastic", where(state[0], subject.problem), evidence)]


def on_noise(subject: Subject, swept: Sweep, count: int) -> list[Finding]:
    """About values that change with the key."""
    if not subject.problem.random:
        return []
    seen = subject.attempt(lambda: noise.over_keys(subject, swept, count))
    if seen is None:
        return []
    evidence = {
        "how": "static and probed", "deviation": seen.deviation, "changes from": "key to key",
        "derivative passes": seen.passes, "mean slope": seen.slope, "slope of the mean": seen.slope_of_mean,
        "standard error": seen.error,
    }  # fmt: skip
    cure = _smooth(0.1 * _unit(subject)) if seen.passes is False else ""
    draws = {c.place for c in _with(subject, Role.DRAWS, 0)} or {None}
    return [
        Finding("stochastic", where(place, subject.problem), evidence, cure)
        for place in sorted(draws, key=lambda p: p or ("", 0))
    ]


def on_numbers(subject: Subject, swept: Sweep, thorough: bool) -> list[Finding]:
    """About values and derivatives that are not finite."""
    met = finite.bad_point(subject, swept, thorough)
    if met is None:
        return []
    point, what, center = met
    line = subject.attempt(lambda: finite.blame(subject, point, what))
    box = subject.domain.box
    edge = box is not None and bool(np.any((point <= box[0]) | (point >= box[1])))
    at = "the start" if center else "a bound" if edge else "inside"
    evidence = {"how": "probed", "what": what, "at": at, "x": point[:8].tolist()}
    return [Finding("non-finite", where(line, subject.problem), evidence)]


def on_breaks(subject: Subject, swept: Sweep, broken: list[Break], thorough: bool) -> list[Finding]:
    """About lines that break the derivative, with the noise through which a gradient is seen again."""
    seen = None
    of_loss = [b.word for b in broken if subject.outputs[b.output] is None]
    still = bool(np.all(swept.slopes[..., 0] == 0)) and swept.range[:, 0].max() == 0 and not of_loss
    depends = subject.program is not None and compat.uses(subject.program, 0)
    if {"flat", "jumps"} & set(of_loss) or (still and depends):
        seen = subject.attempt(lambda: smoothing.smoothed(subject, 256 if thorough else 48))
    sigma = 0.03 * _unit(subject)
    solved = {c.site for c, loop in subject.loops if converged(subject, c, loop)}
    found = []
    if seen is not None:
        sigma = seen.sigma or 0.1 * _unit(subject)
        if seen.sigma is None and (thorough or still):
            evidence = {"how": "probed", "z at sigma": {f"{s:g}": z for s, z in seen.z.items()}}
            found.append(Finding("uninformative", where(None, subject.problem), evidence))
    for b in sorted(broken, key=lambda b: b.group.place or ("", 0)):
        sites = [subject.candidates[i].site for i in b.group.members]
        inside = all(any(site[: len(loop)] == loop for loop in solved) for site in sites)
        if inside and (sites[0] in solved or (b.word == "kinked" and b.bend < TOLERATED)):
            continue  # the steps that its tolerance leaves
        name = subject.outputs[b.output]
        evidence = {"how": "static and probed", "gap": b.gap, "slope gap": b.slope_gap}
        evidence["primitive"] = subject.candidates[b.group.members[0]].primitive
        if name is not None:
            evidence["constraint"] = name
        useless = b.word != "kinked" and any(f.what == "uninformative" for f in found) and name is None
        found.append(
            Finding(b.word, where(b.group.place, subject.problem), evidence, "" if useless else _smooth(sigma))
        )
    return found


def on_unread(subject: Subject, swept: Sweep, broken: list[Break], thorough: bool) -> list[Finding]:
    """About operations that the reader does not know, and those that are told not to pass a derivative."""
    found = []
    unknown = _with(subject, Role.UNREAD)
    places = [where(c.place, subject.problem) for c in unknown]
    for candidate, here in zip(unknown, places, strict=True):
        found.append(Finding("unread", here, {"how": "static", "primitive": candidate.primitive}))
    crossing = _with(subject, Role.CROSSES)
    unlocated = [where(None, subject.problem)] if thorough and not broken else []
    if unknown or crossing or unlocated:
        marked = [i for i, c in enumerate(subject.candidates) if c.role not in (Role.UNREAD, Role.CROSSES)]
        explained = swept.changes(marked) if marked else np.zeros(swept.gaps.shape[:2], bool)
        blind = subject.attempt(lambda: unread.find(subject, swept, explained))
        if blind is not None:
            evidence = {"how": "probed", "gap": blind.gap, "slope gap": blind.slope_gap}
            meeting = [where(c.place, subject.problem) for c in _meeting(subject, swept, blind, crossing)]
            here = meeting or places or unlocated
            found += [Finding(blind.word, place, evidence, _smooth(0.1 * _unit(subject))) for place in here]
    stops = _with(subject, Role.STOPS, 0)
    apart, level = disagreement(swept, subject.eps)
    if not broken and apart > 0.5 and not level:
        for candidate in [*stops, *_fine(subject, swept)]:
            evidence = {"how": "static and probed", "primitive": candidate.primitive}
            found.append(
                Finding("flat", where(candidate.place, subject.problem), evidence, _smooth(0.1 * _unit(subject)))
            )
    return found


def _meeting(subject: Subject, swept: Sweep, blind: unread.Blind, crossing: list[Candidate]) -> list[Candidate]:
    """Those whose numbers meet, or touch an end, at a break; of which that cannot be told, all."""
    if not crossing:
        return []
    ends = np.array([blind.low - APART, blind.low, blind.high, blind.high + APART])
    points = subject.on(swept.lines[blind.line], np.clip(ends, 0.0, 1.0))
    seen = subject.attempt(lambda: subject.apart(points, crossing))
    if seen is None:
        return crossing
    before, low, high, after = seen
    meet = (before != low) & (after != high)
    return [c for c, yes in zip(crossing, meet, strict=True) if yes or c.primitive == "schur"]


def _fine(subject: Subject, swept: Sweep) -> list[Candidate]:
    """Equations that pass no derivative and change between any two points, however near: their steps are too small to
    be seen one by one."""
    changed = (swept.marks[:, 1:] != swept.marks[:, :-1]) & swept.finite()[..., None]
    always = changed.sum((0, 1)) >= 0.9 * max(1, int(swept.finite().sum()))
    return [
        c for c, yes in zip(subject.candidates, always, strict=True) if yes and c.role is Role.KILLS and 0 in c.outputs
    ]


def on_agreement(subject: Subject, swept: Sweep) -> list[Finding]:
    """`smooth`, where automatic differentiation agrees with finite differences."""
    apart, _ = disagreement(swept, subject.eps)
    if apart > 0.5:
        return []
    short, long = (np.nanmax(_gap(swept, rank)) for rank in (0, 1))
    evidence = {"how": "probed", "disagreement at the smallest step": float(short), "at a larger step": float(long)}
    return [Finding("smooth", where(None, subject.problem), evidence)]


def _gap(swept: Sweep, rank: int) -> np.ndarray:
    """For each line, the objective's gap over its shortest interval (rank 0) or the next: 0 where not finite."""
    order = np.argsort(np.diff(swept.t), axis=1)[:, rank : rank + 1]
    return np.nan_to_num(np.take_along_axis(swept.gaps[..., 0], order, 1)[:, 0])


def disagreement(swept: Sweep, eps: float) -> tuple[float, bool]:
    """The share of lines where the derivative is not the finite difference; whether the value does not move there."""
    return float((_gap(swept, 0) > AGREES).mean()), is_level(swept, 0, eps) and not np.any(swept.slopes[..., 0] == 0)
