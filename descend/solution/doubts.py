"""What to distrust about a solution, derived from its own record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from descend.solution.records import Solution

CAUTIONS = {
    "uninformative": "no gradient of this objective points anywhere: the answer is the best of what was tried",
    "underdetermined": "many points are equally good: read no meaning into the particular x",
    "ill-conditioned": "the curvature is ill-conditioned: x is much less accurate than the value",
    "chaotic": "the objective is chaotic: long-horizon derivatives and tiny differences of the value mean nothing",
    "black-box": "the objective could not be read, so no derivative of it was checked",
    "non-finite": "the value or derivative is not finite somewhere in the domain",
    "unread": "the program has operations that could not be read: findings about them rest on probing alone",
    "conflicting": "the objectives oppose each other: the answer is one compromise of many",
}


def doubts(solution: Solution) -> list[str]:
    """One sentence for each reason; empty if the record gives none."""
    parts = (_ending, _certificate, _noise, _baselines, _agreement, _findings, _precision)
    return [sentence for part in parts for sentence in part(solution)]


def _ending(solution: Solution) -> Iterator[str]:
    if solution.value is None:
        return
    if solution.violation > solution.certificate.tolerance:
        yield f"the point violates the constraints by {solution.violation:.3g} (scaled): do not use it as it is"
    if solution.status == "budget":
        yield "the budget ended before the solvers were finished: more work may give a better value"
    elif solution.status == "interrupted":
        yield "the run was interrupted: more work may give a better value"
    elif solution.status == "failed":
        yield "the run broke off: the point is the best that was seen before"
    elif solution.status in ("infeasible", "unbounded") and solution.certificate.evidence != "proved":
        yield f"that the problem is {solution.status} was seen from where the search ended, not proved"


def _certificate(solution: Solution) -> Iterator[str]:
    made = solution.certificate
    if solution.value is None or solution.status in ("infeasible", "unbounded"):
        return
    if solution.status == "local":
        yield "the optimum is local: nothing was proved about other regions"
    elif solution.status != "optimal" and made.evidence == "none":
        yield "no optimality certificate" + (f": {made.note}" if made.note else " could be made")
    if made.stationarity is not None and made.stationarity > made.tolerance:
        limit = f"against a tolerance of {made.tolerance:.2g}"
        yield f"the gradient does not vanish: stationarity {made.stationarity:.2g} {limit}"
    if made.curvature is not None and made.curvature < 0:
        yield f"the curvature is negative ({made.curvature:.2g}) in a feasible direction: this may be a saddle"


def _noise(solution: Solution) -> Iterator[str]:
    if not solution.value_se or solution.value is None:
        return
    value = solution.rows[0].value if isinstance(solution.value, dict) else solution.value
    if np.isnan(solution.value_se):
        yield "the value is an estimate from few draws, and its error is not known"
        return
    others = [row for row in solution.rows[1:] if np.isfinite(row.value)]
    for row in others:
        gap, error = abs(value - row.value), float(np.hypot(solution.value_se, row.value_se))
        if gap < 2 * error:
            yield f"the difference from {row.name} ({gap:.2g}) is within noise (standard error {error:.2g})"
    seen = [v for v in solution.trace.current if np.isfinite(v)]
    if seen and not others and abs(value - seen[0]) < 2 * solution.value_se:
        yield (
            f"the improvement over the first point ({abs(value - seen[0]):.2g}) is within noise "
            f"(standard error {solution.value_se:.2g})"
        )


def _baselines(solution: Solution) -> Iterator[str]:
    if len(solution.rows) < 2 or solution.value is None:
        return
    ours, *others = solution.rows
    sign = -1 if solution.sense == "max" else 1
    for row in others:
        if not row.violation <= solution.certificate.tolerance:
            continue
        judged = ours.judge is not None and row.judge is not None
        mine, theirs = (ours.judge, row.judge) if judged else (ours.value, row.value)
        if mine is None or theirs is None:
            continue
        noise = 0.0 if judged else 2 * float(np.hypot(ours.value_se, row.value_se))
        if sign * (mine - theirs) > max(noise, 1e-9 * max(1.0, abs(mine))):
            yield f"baseline {row.name} scores better{' with the judge' * judged}: {theirs:.6g} against {mine:.6g}"


def _agreement(solution: Solution) -> Iterator[str]:
    for name, column in solution.trace.signals.items():
        if "agreement" in name or "cosine" in name:
            late = np.array([v for v in column if np.isfinite(v)][-10:])
            if late.size >= 3 and np.median(late) < 0.1:
                yield f"late gradients agreed little ({name} {np.median(late):.2g}): the last steps were nearly random"


def _findings(solution: Solution) -> Iterator[str]:
    proved = solution.certificate.evidence == "proved"
    for word, caution in CAUTIONS.items():
        if solution.findings.about(word) and not (proved and word == "uninformative"):
            yield caution
    trust = solution.findings.trust
    if trust is not None and trust.verdict in ("biased", "refused"):
        yield f"the plain gradient is {trust.verdict}: cosine {float(trust.cosine):.2g} with the descent direction"


def _precision(solution: Solution) -> Iterator[str]:
    if solution.settings.get("precision") == "float32":
        yield "computed in float32: differences of values below about 1e-6 of their size mean nothing"
