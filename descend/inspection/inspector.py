"""`inspect`: what is known, read or probed about a problem's differentiability."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from descend import numerics
from descend.domains import Real
from descend.findings import Finding, Findings
from descend.inspection import breaks, objectives, said, shape, stated
from descend.inspection.lines import sweep
from descend.inspection.subject import Subject
from descend.problem import Problem


def inspect(problem: Any, at: Any = None, key: Any = 0, *, thorough: bool = True) -> Findings:
    """Says what stands in the way of a gradient, line by line.

    The program is read for lines that may break the derivative; random lines through the start, at the domain's scale,
    then decide: each candidate's sides are told apart by fingerprints, a crossing is bisected until only rounding
    separates its sides, and value and slope are compared across it. A candidate that nothing crosses within a few
    scales, or that breaks nothing where it is crossed, is not a finding.

    Args:
        problem: a `Problem`, or a function of one argument (and `key`, if it names it) that returns a scalar.
        at: the point to inspect around: shaped like `over`, by default the start; for a function, required: an array,
            a number or a pytree of them.
        key: an int or a JAX key, for random functions and for the choice of lines.
        thorough: False for the quick part, which the engine asks for: at most 100 evaluations of a smooth function,
            and nothing about curvature, rays and the informativeness of smoothed gradients.

    Returns:
        The findings, with the evaluations that they cost.

    Raises:
        TypeError: if a plain function is given without `at`, or returns something other than a scalar.
        ValueError: if `at` is not a point of the problem's domain.
    """
    if not isinstance(problem, Problem):
        problem, at = _stated(problem, at), None
    elif at is not None:
        at = problem.point(at, "at")
    subject = Subject(problem, at, numerics.as_key(key))
    found = [*stated.black_box(problem), *stated.discrete(problem), *stated.constrained(subject, at)]
    if problem.black_box:
        found += said.from_values(subject)
    else:
        with np.errstate(all="ignore"):  # numbers that are not finite are looked for, not stumbled over
            found += _from_program(subject, thorough)
    return Findings(said.once(found), subject.evaluations)


def _stated(function: Callable[..., Any], at: Any) -> Problem:
    if not callable(function):
        raise TypeError(f"inspect takes a descend.Problem or a function of x, got {function!r}")
    if at is None:
        raise TypeError("inspect of a function needs at=, a point to inspect it around")

    def domain(leaf: Any) -> Real:
        leaf = np.asarray(leaf, np.float64)
        scale = max(1.0, float(np.sqrt(np.mean(leaf**2)))) if leaf.size else 1.0
        return Real(leaf.shape, start=leaf, scale=scale)

    return Problem(function, jax.tree.map(domain, at))


def _from_program(subject: Subject, thorough: bool) -> list[Finding]:
    """Findings about a function that JAX can trace."""
    found = said.on_host(subject) + said.on_state(subject) + said.on_loops(subject)
    chaotic = any(f.what == "chaotic" for f in found)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(subject.key)).astype(np.uint32))
    reaches, points = ((1.0, 1.0, 0.1, 1.0, 1.0, 4.0, 4.0), 26) if thorough else ((1.0, 1.0, 4.0), 13)
    swept = subject.attempt(lambda: sweep(subject, reaches, points, rng))
    if swept is None:
        return found + said.from_values(subject)
    found += objectives.on_conflicts(subject)
    found += said.on_noise(subject, swept, 128 if thorough else 16)
    bad = said.on_numbers(subject, swept, thorough)
    broken = subject.attempt(lambda: breaks.find(subject, swept, 4 if thorough else 2, rng)) or []
    derivative = said.on_breaks(subject, swept, broken, thorough)
    if not chaotic:  # there values and slopes agree nowhere, at the steps that can be taken
        derivative += said.on_unread(subject, swept, broken, thorough)
    of_loss = [f for f in derivative if "constraint" not in f.evidence]
    found += bad + derivative
    if not chaotic and not of_loss and not any(f.evidence["at"] != "a bound" for f in bad):
        found += said.on_agreement(subject, swept)
    if thorough:
        if not chaotic and not {f.what for f in of_loss} & {"flat", "jumps", "uninformative"}:
            found += subject.attempt(lambda: shape.on_curvature(subject)) or []
        found += subject.attempt(lambda: shape.on_rays(subject)) or []
    return found
