"""A solution on a terminal, with `rich`: the sections of `descend.solution.sections`, colored."""

from typing import IO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from descend.findings import Findings
from descend.reporting.margin import Line, listings
from descend.solution import Section, Solution, sections
from descend.solution.summary import facts, headline, said


def show(solution: Solution, file: IO[str] | None = None) -> None:
    """Prints a screenful about the solution (default: to standard output)."""
    Console(file=file, highlight=False).print(render(solution))


def show_findings(findings: Findings, source: dict[str, dict[int, str]], file: IO[str] | None = None) -> None:
    """Prints findings with the source lines that they point at, their evidence, and the trust in the gradient.

    Args:
        findings: what was found.
        source: file -> line number -> text.
        file: where to print (default: standard output).
    """
    console = Console(file=file, highlight=False)
    for listing in listings(findings, source):
        console.print(Text(listing.file, style="bold"))
        for index, piece in enumerate(listing.pieces):
            if index:
                console.print(Text("     ...", style="dim"))
            for row in piece:
                console.print(_row(row, console.width))
        console.print()
    for finding in findings:
        console.print(Text.assemble((finding.what, "bold"), "  ", finding.place()))
        lines = [(f"{name}: {said(value)}", "dim") for name, value in finding.evidence.items()]
        lines += [(f"-> {finding.cure}", "green")] if finding.cure else []
        for line, style in lines:
            console.print(Padding(Text(line, style=style), (0, 0, 0, 4), expand=False))
    if not findings:
        console.print("nothing found")
    if findings.trust is not None:
        named = {name: value for name, value in findings.trust._asdict().items() if name != "line"}
        numbers = ", ".join(f"{name} {said(float(value))}" for name, value in named.items())
        console.print(Text(f"plain gradient: {findings.trust.verdict} ({numbers})"))
        if findings.trust.why:
            console.print(Text(f"  {findings.trust.why}"))
    console.print(Text(f"{findings.evaluations:,} evaluations", style="dim"))


def _row(row: Line, width: int) -> Text:
    """A line of source with the words in the margin, where they stay when the line is too long."""
    code = f"{row.number:>4} | {row.text}"
    note = "  <- " + ", ".join(row.words) if row.words else ""
    line = Text(code, style="" if row.words else "dim")
    line.truncate(max(20, width - len(note)), overflow="ellipsis")
    return Text.assemble(line, (note, "bold yellow"))


def render(solution: Solution) -> RenderableType:
    """The screenful as something that `rich` prints."""
    color = "green" if solution.usable else "red"
    if solution.usable and solution.status not in ("optimal", "local"):
        color = "yellow"
    grid = Table.grid(padding=(0, 2))
    for name, value in facts(solution):
        grid.add_row(Text(name, style="dim"), Text(value))
    head = [Text(solution.message)] if solution.message else []
    title = Text(f" {headline(solution)} ", style=f"bold {color}")
    parts: list[RenderableType] = [
        title,
        Padding(Panel(Group(*head, grid), border_style=color, expand=False), (0, 0, 0, 1)),
    ]
    for section in sections(solution):
        parts += [Text(section.heading, style="bold"), Padding(_body(section), (0, 0, 1, 2))]
    return Group(*parts)


def _body(section: Section) -> RenderableType:
    parts: list[RenderableType] = [
        Text(line, style="dim" if line.startswith("  ") else "", overflow="fold") for line in section.lines
    ]
    if section.table:
        header, *rows = section.table
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for index, name in enumerate(header):
            table.add_column(Text(name), justify="right" if index else "left")
        for row in rows:
            table.add_row(*map(Text, row))
        parts.append(table)
    return Group(*parts)
