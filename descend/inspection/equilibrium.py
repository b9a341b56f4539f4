"""Whether a point is a saddle: the two sides of a min-max problem, each certified with the other held."""

import dataclasses
from typing import Any

import numpy as np

from descend.domains import Domain
from descend.problem import Problem
from descend.solution import Certificate
from descend.solvers.flat import Flat
from descend.solvers.through import through

SAMPLES = 15  # points around a saddle


def sides(problem: Problem, x: Any) -> list[tuple[Problem, Any, np.ndarray]]:
    """The problem of those who minimize and that of the adversary, the other side held at x.

    Returns:
        For each, the problem over a dict of its own variables by name, its part of x, and which numbers of the flat
        point are its own.
    """
    domain = problem.domain
    members = dict(zip(domain.names, domain.split(x), strict=True))
    parts = dict(zip(domain.names, domain.parts, strict=True))
    ends = np.cumsum([part.size for part in domain.parts])
    places = {n: np.arange(e - p.size, e) for n, p, e in zip(domain.names, domain.parts, ends, strict=True)}
    found = []
    for names, sense in (
        ([n for n in domain.names if n not in problem.adversary], "min"),
        ([n for n in domain.names if n in problem.adversary], "max"),
    ):
        own: dict[str, Domain] = {name: parts[name] for name in names}

        def point(v: Any) -> Any:
            return domain.join([(members | v)[name] for name in domain.names])

        side = through(problem, own, point, sense=sense)
        # The flat order of a dict is that of its sorted names.
        order = np.concatenate([places[name] for name in sorted(names)])
        found.append((side, {name: members[name] for name in names}, order))
    return found


def variation(problem: Problem, x: Any) -> float:
    """How far the loss varies within one scale of x, when both sides move: a saddle is flat for each side alone."""
    flat = Flat(problem)
    point = flat.vector(x)
    steps = np.random.default_rng(0).uniform(-1, 1, (SAMPLES, flat.size)) * flat.scale
    points = np.stack([point, *(flat.project(point + step) for step in steps)])
    losses, _ = flat.values(points)
    apart = abs(losses - losses[0])
    return float(np.max(apart[np.isfinite(apart)], initial=0.0))


def together(problem: Problem, certificates: list[Certificate], orders: list[np.ndarray]) -> Certificate:
    """One certificate of both sides: the worse of each number."""
    worst = lambda name: max((getattr(c, name) for c in certificates if getattr(c, name) is not None), default=None)  # noqa: E731
    bounds = None
    if all(c.bound_multipliers is not None for c in certificates):
        bounds = np.zeros(problem.domain.size)
        for c, order in zip(certificates, orders, strict=True):
            bounds[order] = c.bound_multipliers
    scales = problem.domain.scale.astype(np.float64)
    for c, order in zip(certificates, orders, strict=True):
        scales[order] = scales[order] if c.scales is None else c.scales
    kinds = {c.evidence for c in certificates}
    evidence = "none" if "none" in kinds else "local" if "local" in kinds else "proved"
    who = ("those who minimize", "the adversary")
    notes = [f"{name}: {c.note}" for name, c in zip(who, certificates, strict=True) if c.note]
    reach = "" if evidence == "proved" else " nearby"
    curvatures = [c.curvature for c in certificates if c.curvature is not None]
    return dataclasses.replace(
        certificates[0],
        violation=worst("violation"),
        stationarity=worst("stationarity"),
        complementarity=worst("complementarity"),
        curvature=min(curvatures) if len(curvatures) == 2 else None,
        bound_multipliers=bounds,
        scale=min(c.scale for c in certificates),
        scales=None if all(c.scales is None for c in certificates) else scales,
        tolerance=worst("tolerance"),
        gap=worst("gap"),
        evidence=evidence,
        note="; ".join([*([f"a saddle: neither side can gain{reach}"] if evidence != "none" else []), *notes]),
        evaluations=sum(c.evaluations for c in certificates),
    )
