"""What curvature and far points say about the objective, in findings."""

import numpy as np

from descend.findings import Finding
from descend.inspection import conditioning, rays
from descend.inspection.stated import where
from descend.inspection.subject import Subject

ILL_CONDITIONED = 1e6
"""The curvature condition number above which a problem is called ill-conditioned."""

LARGEST = 100_000
"""Curvature is not looked at above this many coordinates: Lanczos would keep too many vectors."""


def on_curvature(subject: Subject) -> list[Finding]:
    """`ill-conditioned` and `underdetermined`: what holds at the start and at a point near it."""
    if subject.x.size > LARGEST:
        return []
    rng = np.random.default_rng(1)
    near = subject.x + 0.3 * subject.scale * rng.normal(size=subject.x.size)
    near = np.asarray(subject.domain.ravel(subject.domain.project(subject.domain.unravel(near))), np.float64)
    here = where(None, subject.problem)
    seen = [conditioning.curvature(subject, x) for x in (subject.x, near)]
    found = []
    known = [s for s in seen if s is not None]
    if len(known) == 2 and min(s.condition for s in known) > ILL_CONDITIONED:
        best = min(known, key=lambda s: s.condition)
        evidence = {
            "how": "probed", "condition": best.condition, "after diagonal scaling": best.scaled,
            "exact": best.exact,
        }  # fmt: skip
        found.append(Finding("ill-conditioned", here, evidence, "descend.solvers.QuasiNewton()"))
    first = known[0] if known else None
    if first is not None and len(first.null):
        constant = conditioning.constant_along(subject, subject.x, first.null)
        if constant.any():
            direction = first.null[int(np.argmax(constant))]
            evidence = {"how": "probed", "directions": int(constant.sum()), "direction": direction[:8].tolist()}
            found.append(Finding("underdetermined", here, evidence))
    return found


def on_rays(subject: Subject) -> list[Finding]:
    """`unbounded`: a feasible ray along which the loss falls without end."""
    ray = rays.falling(subject)
    if ray is None:
        return []
    evidence = {"how": "probed", "ray": ray.direction[:8].tolist(), "losses": ray.losses.tolist()}
    return [Finding("unbounded", where(None, subject.problem), evidence)]
