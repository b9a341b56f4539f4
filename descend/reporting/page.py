"""One self-contained HTML page about a solution: no script, no network, and nothing unescaped."""

import importlib.resources
from html import escape

from descend.findings import Finding
from descend.reporting.margin import Listing, listings
from descend.reporting.plots import Plot, plots
from descend.reporting.versions import version
from descend.solution import Solution, sections
from descend.solution.summary import facts, said


def page(solution: Solution) -> str:
    """The page as text."""
    title = solution.problem.splitlines()[0] if solution.problem else "a problem"
    mood = "bad" if not solution.usable else "good" if solution.status in ("optimal", "local") else "fair"
    words = [f"{solution.status.meaning.capitalize()}.", *([solution.message] if solution.message else [])]
    return document(title, solution.status, mood, words, facts(solution), _blocks(solution))


def document(
    title: str, status: str, mood: str, words: list[str], cards: list[tuple[str, str]], blocks: list[tuple[str, str]]
) -> str:
    """The frame of every page: a heading with a status, facts, and blocks of HTML under headings."""
    links = "".join(f'<a href="#{_anchor(heading)}">{escape(heading)}</a>' for heading, _ in blocks)
    body = "".join(
        f'<section aria-labelledby="{_anchor(h)}"><h2 id="{_anchor(h)}">{escape(h)}</h2>{inner}</section>\n'
        for h, inner in blocks
    )
    style = importlib.resources.files("descend.reporting").joinpath("style.css").read_text()
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in cards)
    said = "\n".join(f"<p>{escape(text)}</p>" for text in words)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}: {escape(status)}</title>
<style>
{style}</style>
</head>
<body>
<main>
<header>
<h1>{escape(title)}</h1>
<span class="status {mood}">{escape(status)}</span>
{said}
<dl class="facts">{facts}</dl>
</header>
<nav aria-label="Contents">{links}</nav>
{body}<footer>Written by descend {escape(version("descend"))}.</footer>
</main>
</body>
</html>
"""


def _blocks(solution: Solution) -> list[tuple[str, str]]:
    """Headings and what stands under them, in order."""
    written = {section.heading: section for section in sections(solution, full=True)}
    drawn = [(plot.title, figure(plot)) for plot in plots(solution)]
    found: list[tuple[str, str]] = []
    for heading, section in written.items():
        if heading == "What to distrust":
            found.insert(0, (heading, f'<div class="doubts">{bullets(section.lines)}</div>'))
            continue
        if heading == "What was found":
            listed = "".join(map(_listing, listings(solution.findings, solution.source)))
            found += [*drawn, (heading, listed + "".join(_finding(solution, each) for each in solution.findings))]
            drawn = []
            continue
        if heading == "The plan and what became of it":
            found += drawn
            drawn = []
        lines = f"<pre>{escape(chr(10).join(section.lines))}</pre>" if heading == "Why it failed" else ""
        found.append((heading, table(section.table, heading == "Comparison") + (lines or bullets(section.lines))))
    found += drawn
    if solution.problem:
        found.append(("The problem", f"<pre>{escape(solution.problem)}</pre>"))
    return [*found, ("How to reproduce it", _reproduce(solution))] if solution.settings else found


def figure(plot: Plot) -> str:
    return f'<figure><figcaption>{escape(plot.caption)}</figcaption><div tabindex="0">{plot.svg}</div></figure>'


def _finding(solution: Solution, finding: Finding) -> str:
    source = solution.source.get(finding.where.get("file", ""), {}).get(finding.where.get("line", 0), "").strip()
    evidence = "".join(
        f"<dt>{escape(str(name))}</dt><dd>{escape(said(value))}</dd>" for name, value in finding.evidence.items()
    )
    cure = f"<p>Cure: <code>{escape(finding.cure)}</code></p>" if finding.cure else ""
    code = f"<pre>{escape(source)}</pre>" if source else ""
    head = f"<h3>{escape(finding.what)} <code>{escape(finding.place())}</code></h3>"
    return f"<article>{head}{code}{f'<dl>{evidence}</dl>' if evidence else ''}{cure}</article>"


def _listing(listing: Listing) -> str:
    """The source with the words in the margin."""
    rows = []
    for index, piece in enumerate(listing.pieces):
        rows += ['<div class="gap">...</div>'] if index else []
        for row in piece:
            notes = "".join(f"<mark>{escape(word)}</mark>" for word in row.words)
            kind = ' class="found"' if row.words else ""
            rows.append(
                f"<div{kind}><i>{row.number}</i><code>{escape(row.text) or ' '}</code><span>{notes}</span></div>"
            )
    return (
        f"<figure><figcaption>{escape(listing.file)}</figcaption>"
        f'<div class="listing" tabindex="0">{"".join(rows)}</div></figure>'
    )


def table(rows: list[list[str]], emphasis: bool = False) -> str:
    """A table, the first row being the header; with `emphasis` the second stands out."""
    if not rows:
        return ""
    header, *body = rows
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    lines = "".join(
        f"<tr{' class=ours' * (emphasis and index == 0)}>"
        + f'<th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for index, row in enumerate(body)
    )
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def bullets(lines: list[str]) -> str:
    return f'<ul class="plain">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>' if lines else ""


def _reproduce(solution: Solution) -> str:
    settings = {name: str(value) for name, value in solution.settings.items()}
    command = settings.pop("command", "")
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in settings.items())
    return (f"<pre>{escape(command)}</pre>" if command else "") + (
        f"<article><dl>{items}</dl></article>" if items else ""
    )


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
