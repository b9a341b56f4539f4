"""One page about a comparison of routes: what each is worth against what it costs."""

import math

import matplotlib
import numpy as np

from descend.inspection.comparison import Comparison
from descend.reporting.page import bullets, document, figure, table
from descend.reporting.plots import FAINT, FIRST, INK, SECOND, Plot, figure_of, log_axis, svg_of


def page(comparison: Comparison) -> str:
    """The page as text."""
    best = comparison.best
    said = [f"{row.name}: {row.why}" for row in comparison.rows if row.why and row.why != comparison.why]
    blocks = [("Routes", table(comparison.table()) + bullets(said))]
    blocks += [(plot.title, figure(plot)) for plot in plots(comparison)]
    words = [f"Every route is refused: {comparison.why}." if comparison.why else "Ways to a gradient, measured."]
    status, mood = ("refused", "bad") if best is None else (best.name, "good")
    return document(comparison.function, status, mood, words, facts(comparison), blocks)


def facts(comparison: Comparison) -> list[tuple[str, str]]:
    """What stands at the head of the page."""
    best = comparison.best
    return [
        ("numbers differentiated", f"{comparison.size:,}"),
        ("compared with", comparison.reference),
        (f"least time to a cosine of {comparison.wanted:g}", best.name if best else "no route"),
        ("spent", f"{comparison.units:,} evaluations"),
    ]


def plots(comparison: Comparison) -> list[Plot]:
    """The cosine of the mean of N estimates against the evaluations that they cost, for every route not refused."""
    able = [row for row in comparison.rows if row.verdict != "refused" and math.isfinite(row.units)]
    if not able:
        return []
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "descend", "font.size": 9}):
        drawing, (axes,) = figure_of(1, height=2.2 + 0.25 * len(able))
        for row, place in zip(able, range(len(able), 0, -1), strict=True):
            trust = row.trust
            assert trust is not None
            chosen = row is comparison.best
            color = SECOND if chosen else FIRST
            axes.errorbar(
                row.units, trust.cosine, yerr=1.96 * trust.cosine_se, fmt="o", ms=6, color=color, ecolor=color, lw=1.5
            )
            if math.isfinite(row.needed):
                counts = np.geomspace(1, max(10.0, 2 * row.needed), 60)
                axes.plot(row.units * counts, [trust.cosine_of(count) for count in counts], color=color, lw=1.5)
            axes.annotate(
                row.name, (row.units, trust.cosine), (8, -3 - 2 * (place % 3)), textcoords="offset points", color=INK
            )
        axes.axhline(comparison.wanted, color=FAINT, lw=1, ls=(0, (4, 3)))
        log_axis(axes, "x")
        axes.set_ylim(min(0.0, *(float(row.trust.cosine) for row in able if row.trust)) - 0.05, 1.08)
        axes.set_xlabel("evaluations")
        axes.set_ylabel("cosine with the descent direction")
        words = (
            "The cosine of one estimate (dot, 95 % interval) and of the mean of many (line) with the finite-scale "
            f"descent direction, against what they cost; dashed: {comparison.wanted:g}."
        )
        return [Plot("What each route is worth", words, svg_of(drawing, words, "routes"))]
