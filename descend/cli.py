"""The command line: `descend inspect | solve | check | gallery`.

Exit status: 0 a usable feasible answer, 1 no usable answer, 2 bad usage or bad input, 130 interrupted.

Only `click` is imported at once, so that help and mistakes are answered immediately; the solve itself runs in a child
process (`descend.launch`, `descend.worker`).
"""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click

USABLE, UNUSABLE, BAD, INTERRUPTED = 0, 1, 2, 130


class Source(click.ParamType):
    """FILE.py[:NAME], as (path, name)."""

    name = "FILE.py[:NAME]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        file, _, name = value.rpartition(":")
        if not file or Path(value).exists() or not name.isidentifier():
            file, name = value, "problem"
        path = Path(file)
        if not path.is_file():
            self.fail(f"no file {file}{_near_file(path)}", param, ctx)
        return str(path.resolve()), name


class Seconds(click.ParamType):
    """A positive number of seconds, or `inf`."""

    name = "S"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            self.fail(f"expected a number of seconds, got {value!r}", param, ctx)
        if not seconds > 0:
            self.fail(f"expected a positive number of seconds, got {value}", param, ctx)
        return seconds


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="descend")
def main() -> None:
    """State, inspect, route, solve, report: optimization where plain gradient descent cannot move."""


@main.command()
@click.argument("source", type=Source())
@click.option("--at", metavar="SHAPE|FILE.npz", help="Where to look; needed for a plain function (SHAPE: 3 or 4,5).")
@click.option("--seconds", type=Seconds(), default=60.0, show_default=True, help="Time limit.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="K", help="Seed of the probes.")
@click.option("--float32", is_flag=True, help="Compute in float32.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--sarif", "as_sarif", is_flag=True, help="Print annotations of the code, as one SARIF log.")
def inspect(
    source: tuple[str, str],
    at: str | None,
    seconds: float,
    seed: int,
    float32: bool,
    as_json: bool,
    as_sarif: bool,
) -> None:
    """Say what stands in the way of a gradient, line by line.

    NAME (default: problem) is a descend.Problem, a function that returns one, or, with --at, a function of x.
    """
    from descend import running

    task = {"command": "inspect", "file": source[0], "name": source[1], "at": at, "seed": seed, "float32": float32}
    if as_json and as_sarif:
        _stop("--json and --sarif are two forms of the same; give one", BAD, as_json)
    with _reported(as_json):
        found = running.inspect(task, seconds)
    if found is None:
        _stop(f"nothing found within {seconds:g} s; raise --seconds", UNUSABLE, as_json)
    if as_json:
        _print_json(found["body"])
        return
    from descend.reporting.record import restore_findings, restore_source
    from descend.reporting.sarif import sarif
    from descend.reporting.terminal import show_findings

    findings = restore_findings(found["body"])
    if as_sarif:
        _print_json(sarif(findings, source[0]))
    else:
        show_findings(findings, restore_source(found["source"]))


@main.command()
@click.argument("source", type=Source())
@click.option("--seconds", type=Seconds(), default=60.0, show_default=True, help="Time limit, start-up included.")
@click.option("--evaluations", type=click.IntRange(min=1), metavar="N", help="Limit in evaluations; a gradient is 3.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="K", help="Seed of everything random.")
@click.option("--route", metavar="R", help='Route to the gradient, such as "smooth(sigma=0.1)"; default: planned.')
@click.option("--solver", metavar="S", help='Solver, such as cma or "Population(size=40)"; default: planned.')
@click.option("--workers", type=click.IntRange(min=1), metavar="W", help="Processes that evaluate a black box.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where to write the answer and the report.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="DIR", help="Continue the run that wrote DIR.")
@click.option("--float32", is_flag=True, help="Compute in float32: faster, less exact.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def solve(
    source: tuple[str, str], seconds: float, out: Path | None, resume: Path | None, as_json: bool, **settings: Any
) -> None:
    """Solve a problem, and say how far to trust the answer.

    NAME (default: problem) is a descend.Problem, or a function that returns one. With --out, DIR receives
    solution.json, solution.npz, report.html, and a checkpoint that --resume continues from.
    """
    from descend import running

    if out is not None and resume is not None:
        _stop("--resume DIR also writes to DIR; give --out or --resume, not both", BAD, as_json)
    folder = out or resume
    with _reported(as_json):
        checkpoint = running.prepare(folder, resume is not None) if folder else None
        task = {"command": "solve", "file": source[0], "name": source[1], "checkpoint": checkpoint, **settings}
        solution, interrupted = running.solve(task, seconds, folder)
    if as_json:
        from descend.reporting.record import record

        _print_json(record(solution))
    else:
        from descend.reporting.terminal import show

        show(solution)
    if interrupted or solution.status == "interrupted":
        sys.exit(INTERRUPTED)
    sys.exit(USABLE if solution.usable else UNUSABLE)


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR")
@click.option("--problem", "source", type=Source(), help="The problem, where its file is not where it was.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(folder: Path, source: tuple[str, str] | None, as_json: bool) -> None:
    """Verify that the answer that solve wrote to DIR is what it says it is (exit status 1 if it is not)."""
    from descend import check as checking

    sys.exit(checking.run(folder, as_json, source))


@main.group()
def gallery() -> None:
    """Published systems, each run over seeds against a baseline."""


@gallery.command(name="list")
@click.option("--why", metavar="W", help="Only problems that are hard for this reason, such as flat or chaotic.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def list_systems(why: str | None, as_json: bool) -> None:
    """List the systems."""
    from descend.gallery import harness

    with _reported(as_json, ValueError):
        found = harness.headers(why)
    if as_json:
        _print_json([header.record() for header in found])
        return
    for header in found:
        click.echo(f"{header.name:<28} {header.why or '-':<16} {header.title}")


@gallery.command(name="run")
@click.argument("name")
@click.option("--route", metavar="R", help='Use this route in place of its own, such as "smooth(sigma=0.1)".')
@click.option("--full", is_flag=True, help="Run the heavier version.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def run_system(name: str, route: str | None, full: bool, as_json: bool) -> None:
    """Run one system over its seeds and judge its claim (exit status 1 if the claim does not hold)."""
    from descend.gallery import harness

    with _reported(as_json, ValueError), contextlib.redirect_stdout(sys.stderr):
        _configure()
        row = harness.run(name, route=_route(route), full=full)
    _print_json(row) if as_json else _echo_row(row)
    sys.exit(USABLE if row["holds"] else UNUSABLE)


@gallery.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--why", metavar="W", help="Without names: only problems that are hard for this reason.")
@click.option("--full", is_flag=True, help="Run the heavier versions.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def bench(names: tuple[str, ...], why: str | None, full: bool, as_json: bool) -> None:
    """Run systems (default: all) and append a row each to benchmarks/results.jsonl."""
    from descend.gallery import harness

    with _reported(as_json, ValueError), contextlib.redirect_stdout(sys.stderr):
        chosen = list(names) or [header.name for header in harness.headers(why)]
        _configure()
        rows = harness.bench(chosen, full=full) if chosen else []
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        _echo_row(row)


def _configure() -> None:
    from descend import worker

    worker.configure()


def _route(text: str | None) -> Any:
    """The route that the user typed, or None."""
    from descend import loading

    return loading.made(text, loading.routes(), "--route") if text else None


def _echo_row(row: dict[str, Any]) -> None:
    verdict = "holds" if row["holds"] else "DOES NOT HOLD"
    control = "breaks without the key ingredient" if row["control_breaks"] else "HOLDS FOR THE CONTROL, TOO"
    click.echo(f"{row['name']}: {verdict}; {control}; {row['seeds']} seeds, {row['seconds']:g} s\n    {row['claim']}")


@contextlib.contextmanager
def _reported(as_json: bool, *refusals: type[Exception]) -> Iterator[None]:
    """Turns what cannot be done, `refusals` too, into a line on standard error and an exit status."""
    from descend.launch import TaskError

    try:
        yield
    except refusals as error:
        _stop(str(error), BAD, as_json)
    except TaskError as error:
        words = "\nThis is a fault of descend, not of your problem: please report it." if error.ours else ""
        _stop(f"{error}{words}", UNUSABLE if error.ours else BAD, as_json)
    except OSError as error:
        _stop(f"{error.filename}: {error.strerror}" if error.filename else str(error), BAD, as_json)
    except KeyboardInterrupt:
        _stop("interrupted", INTERRUPTED, as_json)


def _stop(text: str, status: int, as_json: bool) -> NoReturn:
    """Ends with a message; a reader of JSON gets an object, too."""
    click.echo(text if "\n" in text else f"Error: {text}", err=True)
    if as_json:
        _print_json({"error": text})
    sys.exit(status)


def _print_json(body: Any) -> None:
    from descend.reporting.record import dumps

    click.echo(dumps(body))


def _near_file(path: Path) -> str:
    """The nearest Python file in the same folder, as the end of an error message."""
    import difflib

    if not path.parent.is_dir():
        return f": there is no folder {path.parent}"
    close = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.py")], n=1)
    return f"; did you mean {path.with_name(close[0])}?" if close else "; expected a Python file"
