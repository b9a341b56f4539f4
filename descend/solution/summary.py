"""What a solution says in words: the one text that the terminal, the page and `print` all show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from descend.solution import doubts, tree

if TYPE_CHECKING:
    from descend.solution.records import Solution

FEW = 6  # how many lines of a kind fit on a screenful


class Section(NamedTuple):
    """A heading with lines and perhaps a table under it.

    Attributes:
        heading: a few words.
        lines: plain text; a line that begins with spaces belongs to the one before it.
        table: rows of cells, the first row being the header; empty for none.
    """

    heading: str
    lines: list[str]
    table: list[list[str]]


def number(value: Any, digits: int = 6) -> str:
    """A number for people; "-" for none."""
    if value is None:
        return "-"
    try:
        return f"{float(value):.{digits}g}"
    except (TypeError, ValueError):
        return str(value)


def said(value: Any) -> str:
    """A piece of evidence for people."""
    return number(value) if isinstance(value, (float, np.floating)) else str(value)


def measured(value: Any, error: float) -> str:
    """A value with its standard error."""
    return number(value) + (f" ± {number(error, 2)}" if error and np.isfinite(error) else "")


def worth(solution: Solution, error: float | None = None) -> str:
    """The value, with its standard error (or another one); several by name."""
    if isinstance(solution.value, dict):
        return ", ".join(f"{name} {number(value)}" for name, value in solution.value.items())
    error = solution.value_se if error is None else error
    return "none" if solution.value is None else measured(solution.value, error)


def headline(solution: Solution) -> str:
    """The status and what it means."""
    return f"{solution.status}: {solution.status.meaning}"


def facts(solution: Solution) -> list[tuple[str, str]]:
    """The numbers that belong beside the headline, by name."""
    averaged = f" (standard error over {solution.samples} draws)" if solution.value_se > 0 else ""
    goal = {"min": "value (minimized)", "max": "value (maximized)"}.get(solution.sense, "value")
    found = [(goal, worth(solution) + averaged)]
    tolerance = solution.certificate.tolerance
    held = "feasible" if solution.violation <= tolerance else "NOT feasible"
    if solution.x is not None:
        found.append(("violation", f"{number(solution.violation, 3)} ({held}, tolerance {number(tolerance, 3)})"))
    found.append(("spent", f"{solution.evaluations:,} evaluations, {solution.seconds:.1f} s"))
    return found


def sections(solution: Solution, full: bool = False) -> list[Section]:
    """Everything there is to say, in order; without `full`, at most a screenful of it."""
    found = [
        Section("Why it failed", solution.error.rstrip().splitlines(), []),
        _infeasible(solution),
        _answer(solution),
        Section("Comparison", [], comparison(solution)),
        Section("Constraints", bounds(solution), multipliers(solution)),
        Section("What was found", _findings(solution, full), []),
        _done(solution, full),
        Section("Certificate", certificate(solution), []),
        Section("What to distrust", doubts.doubts(solution) or ["nothing stands out beyond what is said above"], []),
    ]
    return [section if full else _short(section) for section in found if section.lines or section.table]


def text(solution: Solution) -> str:
    """A screenful of plain text."""
    out = [headline(solution)]
    if solution.message:
        out.append(f"  {solution.message}")
    out += [f"  {name:<18} {value}" for name, value in facts(solution)]
    for section in sections(solution):
        out += ["", section.heading, *(f"  {line}" for line in section.lines)]
        widths = [max(map(len, column)) for column in zip(*section.table, strict=True)]
        for row in section.table:
            cells = [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
            out.append("  " + "  ".join(cells).rstrip())
    return "\n".join(out)


def comparison(solution: Solution) -> list[list[str]]:
    """The answer and the baselines, scored the same way, as a table (empty if there is nothing to compare)."""
    rows = solution.rows
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    judged = any(row.judge is not None for row in rows)
    if len(rows) < 2 and not metrics and not judged:
        return []
    header = ["", "value", "violation", *["judge"] * judged, *metrics]
    body = [
        [row.name, measured(row.value, row.value_se), number(row.violation, 3)]
        + [number(row.judge)] * judged
        + [number(row.metrics.get(name)) for name in metrics]
        for row in rows
    ]
    return [header, *body]


def multipliers(solution: Solution) -> list[list[str]]:
    """Constraints with their multipliers, as a table."""
    body = []
    for name, values in solution.certificate.multipliers.items():
        values = np.atleast_1d(np.asarray(values, float)).ravel()
        active = int(np.sum(abs(values) > solution.certificate.tolerance * solution.certificate.scale))
        largest = values[np.argmax(abs(values))] if values.size else 0.0
        state = f"{active} of {values.size} hold x back"
        if values.size == 1:
            state = "holds x back" if active else "no influence"
        body.append([name, number(largest), state])
    return [["constraint", "multiplier", "state"], *body] if body else []


def bounds(solution: Solution) -> list[str]:
    """How many bounds of variables hold x back, if any do."""
    values = solution.certificate.bound_multipliers
    if values is None or not np.size(values):
        return []
    values = np.asarray(values, float)
    active = int(np.sum(abs(values) > solution.certificate.tolerance * solution.certificate.scale))
    if not active:
        return []
    largest = number(abs(values).max(), 3)
    return [f"bounds of variables: {active} of {values.size} hold x back, largest multiplier {largest}"]


def certificate(solution: Solution) -> list[str]:
    """The independent check, with the numbers and what they were compared to."""
    made = solution.certificate
    lines = [made.note] if made.note else []
    if made.evidence != "none":
        lines.insert(0, {"proved": "proved", "local": "holds in a neighborhood"}.get(made.evidence, made.evidence))
    limit = f"(tolerance {number(made.tolerance, 3)})"
    if made.stationarity is not None:
        lines.append(f"stationarity {number(made.stationarity, 3)} {limit}")
    if made.complementarity is not None:
        lines.append(f"complementarity {number(made.complementarity, 3)} {limit}")
    if made.curvature is not None:
        lines.append(f"smallest curvature over largest, in directions that stay feasible: {number(made.curvature, 3)}")
    if made.weights:
        shares = ", ".join(f"{name} {number(weight, 3)}" for name, weight in made.weights.items())
        lines.append(f"no objective falls without another rising; they balance at the weights {shares}")
    if made.gap is not None:
        lines.append(f"distance from a proved bound: {number(made.gap, 3)}")
    return lines


def compact(leaf: np.ndarray) -> str:
    """An array in a few words: its numbers when few, which entries are 1 when it is made of 0 and 1, else its range."""
    flat = leaf.ravel()
    if flat.size <= 6:
        rows = leaf if leaf.ndim == 2 else [flat]
        return "; ".join(" ".join(number(v, 4) for v in row) for row in rows)
    if np.isin(flat, (0, 1)).all():
        if leaf.ndim >= 2 and (leaf.sum(-1) == 1).all():
            return f"one-hot: {_some(leaf.argmax(-1).ravel())}"
        return f"1 at {_some(np.flatnonzero(flat))} of {flat.size}"
    head = " ".join(number(v, 4) for v in flat[:4]) + " ... " if leaf.ndim == 1 else ""
    return f"{head}shape {leaf.shape}, from {number(flat.min(), 4)} to {number(flat.max(), 4)}"


def _some(indices: np.ndarray) -> str:
    return " ".join(map(str, indices[:12])) + (" ..." if indices.size > 12 else "")


def _answer(solution: Solution) -> Section:
    lines = [] if solution.x is None else [f"{name or 'x'} = {compact(leaf)}" for name, leaf in tree.leaves(solution.x)]
    return Section("Answer", lines, [])


def _infeasible(solution: Solution) -> Section:
    lines = [f"cannot hold together: {', '.join(solution.conflicts)}"] if solution.conflicts else []
    if solution.ray is not None:
        lines += [f"the ray, {name or 'x'}: {compact(leaf)}" for name, leaf in tree.leaves(solution.ray)]
    return Section("Conflict" if solution.conflicts else "Ray", lines, [])


def _findings(solution: Solution, full: bool) -> list[str]:
    lines = []
    for finding in solution.findings:
        lines.append(str(finding))
        source = solution.source.get(finding.where.get("file", ""), {}).get(finding.where.get("line", 0), "")
        lines += [f"    {source.strip()}"] if source.strip() else []
        if full:
            lines += [f"    {name}: {said(value)}" for name, value in finding.evidence.items()]
    return lines


def _done(solution: Solution, full: bool) -> Section:
    log = [f"at {evaluations:,} evaluations: {message}" for evaluations, message in solution.trace.log]
    if not full and len(log) > FEW:
        log = [*log[: FEW // 2], f"... {len(log) - FEW} more ...", *log[-(FEW // 2) :]]
    return Section("The plan and what became of it", [*solution.plan, *log], [])


def _short(section: Section) -> Section:
    """A section cut to what fits, saying what was left out."""
    limit = 2 * FEW
    lines, table = section.lines, section.table
    if len(lines) > limit:
        lines = [*lines[:limit], f"... {len(lines) - limit} more lines in the report"]
    if len(table) > limit:
        table = [*table[:limit], [f"... {len(table) - limit} more", *[""] * (len(table[0]) - 1)]]
    return Section(section.heading, lines, table)
