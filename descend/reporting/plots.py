"""The figures of the page, as SVG that takes its colors and fonts from the page's style sheet."""

import html
import io
import re
from typing import NamedTuple

import matplotlib
import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from descend.solution import Slice, Solution
from descend.solution.summary import number

# Colors that stand for names in the style sheet: matplotlib writes the left ones, `svg_of` replaces them.
INK, FAINT, GRID, FIRST, SECOND, THIRD = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05", "#0a0b06"
NAMES = {INK: "ink", FAINT: "faint", GRID: "grid", FIRST: "first", SECOND: "second", THIRD: "third"}
GRADIENT = ("gradient", "agreement", "cosine")  # in the names of signals that say what a gradient is worth
MANY = 2000  # points of a curve beyond which it is thinned: the eye and the file gain nothing from more


class Plot(NamedTuple):
    """A figure with the words that belong to it: heading, what it shows, and the SVG element."""

    title: str
    caption: str
    svg: str


def plots(solution: Solution) -> list[Plot]:
    """The figures that this solution gives rise to; none for what was not recorded."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "descend", "font.size": 9}):
        found = [_convergence(solution), _feasibility(solution), _trust(solution), _slices(solution)]
    return [plot for plot in found if plot is not None]


def _convergence(solution: Solution) -> Plot | None:
    trace = solution.trace
    at, best, current = (np.asarray(a, float) for a in (trace.evaluations, trace.value, trace.current))
    if not np.isfinite(best).any():
        return None
    figure, (axes,) = figure_of(1)
    shown = np.isfinite(current)
    axes.plot(*_thin(at[shown], current[shown]), color=SECOND, lw=1, alpha=0.75, label="current point")
    axes.step(*_thin(at, best), where="post", color=FIRST, lw=2, label="best so far")
    _value_axis(axes, np.concatenate([best, current[shown]]), best)
    for row in solution.rows[1:]:
        if axes.get_ylim()[0] <= row.value <= axes.get_ylim()[1]:
            _name_line(axes, row.name, row.value)
    _switches(axes, solution)
    _evaluations_axis(axes, at)
    axes.set_ylabel("value")
    axes.legend(frameon=False, labelcolor=INK, loc="best")
    last = best[np.isfinite(best)]
    words = f"Value against evaluations, from {number(last[0])} to {number(last[-1])}."
    if len(set(trace.stage)) > 1:
        words += " Vertical lines are switches of the plan."
    return Plot("Convergence", words, svg_of(figure, words, "convergence"))


def _feasibility(solution: Solution) -> Plot | None:
    at, violation = (np.asarray(a, float) for a in (solution.trace.evaluations, solution.trace.violation))
    shown = np.isfinite(violation)
    tolerance = solution.certificate.tolerance
    if not (violation[shown] > tolerance).any():
        return None
    figure, (axes,) = figure_of(1)
    floor = tolerance / 100
    axes.step(*_thin(at[shown], np.maximum(violation[shown], floor)), where="post", color=FIRST, lw=2)
    _name_line(axes, "tolerance", tolerance)
    log_axis(axes, "y")
    axes.set_ylabel("violation")
    _switches(axes, solution)
    _evaluations_axis(axes, at)
    limit = f"below {number(tolerance)} it counts as feasible, and zero is drawn at {number(floor)}"
    words = f"Largest scaled violation of the best point; {limit}."
    return Plot("Feasibility", words, svg_of(figure, words, "feasibility"))


def _trust(solution: Solution) -> Plot | None:
    at = np.asarray(solution.trace.evaluations, float)
    columns = {name: np.asarray(column, float) for name, column in solution.trace.signals.items()}
    columns = {name: column for name, column in columns.items() if np.isfinite(column).sum() > 1}
    if not columns:
        return None
    figure, panels = figure_of(len(columns), height=1.7)
    for axes, (name, column) in zip(panels, columns.items(), strict=True):
        shown = np.isfinite(column)
        axes.plot(*_thin(at[shown], column[shown]), color=THIRD, lw=1.5)
        if (column[shown] > 0).all() and column[shown].max() > 50 * column[shown].min():
            log_axis(axes, "y")
        elif column[shown].min() < 0 < column[shown].max() or "agreement" in name or "cosine" in name:
            axes.axhline(0, color=FAINT, lw=1, ls=(0, (4, 3)))
        axes.set_title(name, loc="left", fontsize=9, color=INK)
        _switches(axes, solution)
        _evaluations_axis(axes, at, label=axes is panels[-1])
    words = f"What the solvers said about their own steps: {', '.join(columns)}."
    about = any(word in " ".join(columns) for word in GRADIENT)
    title = "Gradient trust over time" if about else "Signals of the solvers"
    return Plot(title, words, svg_of(figure, words, "trust"))


def _slices(solution: Solution) -> Plot | None:
    cuts = [cut for cut in solution.slices if np.isfinite(cut.values).any()][:9]
    if not cuts:
        return None
    across = min(3, len(cuts))
    figure, panels = figure_of(-(-len(cuts) // across), across, height=2.1)
    for axes in panels[len(cuts) :]:
        axes.set_axis_off()
    for axes, cut in zip(panels, cuts, strict=False):
        _slice(axes, cut, solution.rows[0].value if solution.rows else solution.value)
    words = "The objective along lines through the answer (dot), in units of each variable's scale."
    return Plot("Landscape at the answer", words, svg_of(figure, words, "landscape"))


def _slice(axes: Axes, cut: Slice, value: float | None) -> None:
    shown = np.isfinite(cut.values)
    axes.plot(np.asarray(cut.steps)[shown], np.asarray(cut.values)[shown], color=FIRST, lw=1.5)
    if value is not None:
        axes.plot([0], [value], "o", color=SECOND, ms=5)
    axes.set_title(cut.name, loc="left", fontsize=9, color=INK)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))


def figure_of(down: int, across: int = 1, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """A figure with its panels, row by row."""
    size = (8.0, height * down + 0.3)
    figure = Figure(figsize=size)
    FigureCanvasSVG(figure)
    panels = list(figure.subplots(down, across, squeeze=False).ravel())
    # Margins by hand, in inches: automatic layout draws every figure twice, and nobody should wait for the report.
    left, right, top, bottom = 0.75, 0.35, 0.3, 0.5
    figure.subplots_adjust(
        left / size[0],
        bottom / size[1],
        1 - right / size[0],
        1 - top / size[1],
        wspace=0.28,
        hspace=0.5 if down > 1 else 0,
    )
    for axes in panels:
        axes.patch.set_alpha(0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FAINT)
        axes.tick_params(colors=FAINT, labelcolor=INK, which="both")
        axes.grid(True, color=GRID, lw=0.8)
        axes.set_axisbelow(True)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
    return figure, panels


def _value_axis(axes: Axes, values: np.ndarray, best: np.ndarray) -> None:
    """A log axis where positive values span decades; otherwise a range that early outliers do not squash."""
    values, best = values[np.isfinite(values)], best[np.isfinite(best)]
    if (values > 0).all() and values.max() > 100 * values.min():
        log_axis(axes, "y")
        return
    low, high = np.quantile(values, [0.0, 0.95]) if best[0] >= best[-1] else np.quantile(values, [0.05, 1.0])
    low, high = min(low, best[-1]), max(high, best[-1])
    pad = 0.08 * (high - low) or 0.08 * max(1e-12, abs(high))
    axes.set_ylim(low - pad, high + pad)


def _evaluations_axis(axes: Axes, at: np.ndarray, label: bool = True) -> None:
    positive = at[at > 0]
    if positive.size > 1 and positive[-1] > 1000 * positive[0]:
        log_axis(axes, "x")
    else:
        axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda v, _: f"{v:,.0f}"))
    if label:
        axes.set_xlabel("evaluations")


def log_axis(axes: Axes, which: str) -> None:
    """A log scale with ticks at powers of ten alone: the small ones cost more time than all the rest."""
    axes.set(**{f"{which}scale": "log"})
    {"x": axes.xaxis, "y": axes.yaxis}[which].set_minor_locator(matplotlib.ticker.NullLocator())


def _name_line(axes: Axes, name: str, height: float) -> None:
    """A dashed horizontal line with its name at the right end."""
    axes.axhline(height, color=FAINT, lw=1, ls=(0, (4, 3)))
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(name, (1, height), (-4, 3), ha="right", color=FAINT, **place)


def _switches(axes: Axes, solution: Solution) -> None:
    stage = solution.trace.stage
    for before, after, at in zip(stage, stage[1:], solution.trace.evaluations[1:], strict=False):
        if before != after:
            axes.axvline(at, color=FAINT, lw=1, alpha=0.7)


def _thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most about `MANY` points; each block keeps its first, smallest and largest."""
    if len(x) <= MANY:
        return x, y
    blocks = np.array_split(np.arange(len(x)), MANY // 3)
    keep = np.unique([i for b in blocks for i in (b[0], b[np.argmin(y[b])], b[np.argmax(y[b])])])
    return x[keep], y[keep]


def svg_of(figure: Figure, description: str, name: str) -> str:
    """The figure as an SVG element that fits its container, in the page's colors and fonts."""
    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": f"descend {name}"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<style type=.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", text)
    text = re.sub(r'( id=")(figure|axes|matplotlib\.axis|text|line2d|patch|xtick|ytick|legend)', rf"\1{name}-\2", text)
    for color, variable in NAMES.items():
        text = text.replace(color, f"var(--{variable})")
    head = re.sub(r' (width|height)="[^"]*"', "", text[: text.index(">")])
    label = html.escape(description, quote=True)
    return f'{head} role="img" aria-label="{label}"{text[text.index(">") :]}'.strip()
