"""Which gradient suits what inspection found."""

import ast

from descend import routes
from descend.findings import Finding, Findings
from descend.inspection.arguments import Start

SIGMA = 0.1
"""Smoothing width, in units of the scale max(1, rms of the point), where inspection gives no width of its own."""

TESTABLE = 1000
"""Numbers beyond which the samples of an inspection cannot tell an uninformative gradient from a faint one."""


class GradientRefusedError(ValueError):
    """No gradient that could be trusted exists here, or none could be chosen; the message says why and what helps."""


def choose(
    findings: Findings, default: float, size: int, start: Start, samples: int = 64
) -> tuple[routes.Route | None, str]:
    """The route that suits the findings, or None for plain differentiation, and the reason.

    Args:
        findings: of `inspect`. Chaos is left to `measured.in_chaos`, stated draws to `measured.among_draws`.
        default: the width where they give none.
        size: how many numbers are differentiated.
        start: what the function is at the point.
        samples: evaluations that a gradient may take.

    Raises:
        GradientRefusedError: if there is no gradient to be had.
    """
    bad = findings.about("non-finite")
    place = bad[0].place() if bad else start.name
    if not start.finite:
        raise GradientRefusedError(f"{place}: the value is not finite at at=: give a point inside the domain")
    if findings.about("uninformative"):
        tried = ", ".join(findings.about("uninformative")[0].evidence["z at sigma"])
        raise GradientRefusedError(
            f"{findings.about('uninformative')[0].place()}: no gradient shows through noise at any scale ({tried}): "
            "search by values with descend.solve, or state the problem otherwise"
        )
    broken = [*findings.about("flat"), *findings.about("jumps")]
    noise = findings.about("stochastic")
    lost = [finding for finding in noise if finding.evidence.get("derivative passes") is False]
    smoothed = lambda sigma: routes.Smooth(sigma=sigma, samples=samples)  # noqa: E731
    if start.black_box or findings.about("black-box"):
        said = [*findings.about("black-box"), *broken][0]
        here = f"{said.place()} is {said.what}"
        if not broken and not noise and 2 * size <= samples:
            return routes.Finite(), f"{here}, and has few numbers: differences, with a step by the noise of its values"
        width = max((_width(each, default) for each in broken), default=default)
        many = "; differences would take more values" * (not broken and not noise)
        return smoothed(width), f"{here}: smoothed, by values only{many}"
    if lost or (noise and broken):
        said = (lost or broken)[0]
        # At one key a random function may look flat much further than its mean is.
        return smoothed(default), f"{said.place()}: the derivative does not pass the sampling: smoothed"
    if broken:
        unsure = f"; with {size} numbers it was not tested whether that is informative" * (size > TESTABLE)
        width = max(_width(each, default) for each in broken)
        return smoothed(width), f"{broken[0].place()} is {broken[0].what}: smoothed{unsure}"
    if not start.slope_finite:
        raise GradientRefusedError(f"{place}: the derivative is not finite at at=: give another point")
    if findings.about("kinked"):
        return None, f"{findings.about('kinked')[0].place()} is kinked: jax.grad gives one of its subgradients there"
    if findings.about("unread"):
        return None, f"{findings.about('unread')[0].place()} is unread, but probing found no break: jax.grad"
    agrees = "agrees with" if findings.about("smooth") else "is not refuted by"
    return None, f"jax.grad {agrees} finite differences around at="


def _width(finding: Finding, default: float) -> float:
    """The sigma of a finding's cure, which is written as it would be typed; the default where it has none."""
    call = ast.parse(finding.cure, mode="eval").body if finding.cure else None
    keywords = call.keywords if isinstance(call, ast.Call) else []
    return float(next((ast.literal_eval(k.value) for k in keywords if k.arg == "sigma"), default))
