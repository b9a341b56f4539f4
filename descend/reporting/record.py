"""A solution as a JSON record, as arrays, and as files. NumPy only, no JAX.

The record is strict JSON: a number that is NaN or infinite, and a value that does not exist, are both `null`.
Reading it back gives None for the value, infinity for a violation, and NaN for any other number. Arrays of the
answer, of the multipliers and of a ray are read from the npz file, where nothing is lost. Nodes of x other than
dictionaries, lists and tuples come back as dictionaries of their parts.
"""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from descend.findings import Finding, Findings, Trust, remembered
from descend.reporting import files
from descend.solution import Certificate, Row, Slice, Solution, Status, Trace
from descend.solution import tree as trees

FORMAT = 1  # raised when a file of the old form can no longer be read


def record(solution: Solution) -> dict[str, Any]:
    """The solution as a JSON object.

    Keys are the attributes of `Solution`, with x as the same tree in nested lists, each finding an object
    `{"what", "where", "evidence", "cure"}`, and besides: `trust` (of the plain gradient, or null), `structure` (how x
    is built from the arrays in the npz file, by their names there) and `format`.
    """
    body = {name: getattr(solution, name) for name in _PLAIN}
    found = findings_record(solution.findings)
    return plain(
        {
            "status": str(solution.status),
            "value": solution.value,
            "value_se": solution.value_se,
            "violation": solution.violation,
            "x": None if solution.x is None else trees.nested(solution.x),
            "certificate": asdict(solution.certificate),
            "plan": solution.plan,
            "findings": found["findings"],
            "evaluations": solution.evaluations,
            "seconds": solution.seconds,
            **body,
            "trust": found["trust"],
            "inspection_evaluations": found["evaluations"],
            "ray": None if solution.ray is None else trees.nested(solution.ray),
            "rows": [asdict(row) for row in solution.rows],
            "slices": [asdict(each) for each in solution.slices],
            "trace": asdict(solution.trace),
            "structure": _structure(solution.x, "x"),
            "ray_structure": _structure(solution.ray, "ray"),
            "format": FORMAT,
        }
    )


_PLAIN = ("samples", "message", "error", "conflicts", "problem", "sense", "source", "settings")


def arrays(solution: Solution) -> dict[str, np.ndarray]:
    """The arrays of the npz file, by name.

    The leaves of x by path name (`w`, `layers.0.bias`; `x` where x is one array), multipliers as `multipliers/NAME`,
    `bound_multipliers`, and the leaves of a ray as `ray/NAME`.
    """
    made = solution.certificate
    found = {_key(path, "x"): leaf for path, leaf in trees.leaves(solution.x)}
    found |= {f"multipliers/{name}": np.asarray(value) for name, value in made.multipliers.items()}
    if made.bound_multipliers is not None:
        found["bound_multipliers"] = np.asarray(made.bound_multipliers)
    return found | {_key(path, "ray"): leaf for path, leaf in trees.leaves(solution.ray)}


def restore(body: dict[str, Any], stored: dict[str, np.ndarray]) -> Solution:
    """The inverse of `record` and `arrays`.

    Raises:
        KeyError, TypeError, ValueError: if they are not what those two made.
    """
    made = dict(body["certificate"])
    made["violation"] = _number(made["violation"], math.inf)
    made["multipliers"] = {
        name.removeprefix("multipliers/"): a for name, a in stored.items() if name.startswith("multipliers/")
    }
    made["bound_multipliers"] = stored.get("bound_multipliers")
    if made.get("scales") is not None:
        made["scales"] = np.array(made["scales"], np.float64)
    trace = dict(body["trace"])
    for name in ("seconds", "value", "current"):
        trace[name] = [_number(v) for v in trace[name]]
    trace["violation"] = [_number(v, math.inf) for v in trace["violation"]]
    trace["signals"] = {name: [_number(v) for v in column] for name, column in trace["signals"].items()}
    trace["log"] = [(evaluations, message) for evaluations, message in trace["log"]]
    return Solution(
        status=Status(body["status"]),
        x=trees.build(body["structure"], stored.__getitem__),
        ray=trees.build(body["ray_structure"], stored.__getitem__),
        value=body["value"],
        value_se=_number(body["value_se"]),
        violation=_number(body["violation"], math.inf),
        certificate=Certificate(**made),
        trace=Trace(**trace),
        plan=body["plan"],
        findings=restore_findings(body | {"evaluations": body["inspection_evaluations"]}),
        rows=[_row(row) for row in body["rows"]],
        slices=[Slice(s["name"], *(np.array(s[a], np.float64) for a in ("steps", "values"))) for s in body["slices"]],
        evaluations=body["evaluations"],
        seconds=_number(body["seconds"]),
        **{name: body[name] for name in _PLAIN if name != "source"},
        source=restore_source(body["source"]),
    )


def findings_record(findings: Findings) -> dict[str, Any]:
    """Findings as a JSON object: `findings`, `trust` (with its verdict, or null) and `evaluations`."""
    trust = findings.trust
    return plain(
        {
            "findings": [finding.record() for finding in findings],
            "trust": None if trust is None else trust._asdict() | _words(trust),
            "evaluations": findings.evaluations,
        }
    )


def _words(trust: Trust) -> dict[str, str]:
    """What of a trust is no number: its line has one in this process only."""
    return {"verdict": trust.verdict, "why": trust.why, "line": trust.missed}


def restore_findings(body: dict[str, Any]) -> Findings:
    """The inverse of `findings_record`."""
    numbers = body["trust"] and {n: _number(body["trust"].get(n), math.nan) for n in Trust._fields if n != "line"}
    trust = Trust(**numbers) if numbers else None
    if trust is not None:
        trust = trust._replace(line=remembered(body["trust"]["line"]) if body["trust"].get("line") else -1.0)
    return Findings([Finding(**each) for each in body["findings"]], body["evaluations"], trust)


def restore_source(lines: dict[str, dict[str, str]]) -> dict[str, dict[int, str]]:
    """Source lines by file and number; JSON keeps the numbers as text."""
    return {file: {int(line): text for line, text in texts.items()} for file, texts in lines.items()}


def write(solution: Solution, folder: str | Path) -> None:
    """Writes `solution.json` and `solution.npz` into the folder, each atomically.

    Raises:
        OSError: if the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files.write_arrays(folder / "solution.npz", arrays(solution))
    files.write_text(folder / "solution.json", dumps(record(solution)) + "\n")


def load(folder: str | Path) -> Solution:
    """The solution that `save` or `write` stored in the folder.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is there but is not a solution that this version can read.
    """
    folder = Path(folder)
    for name in ("solution.json", "solution.npz"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}; expected a folder that `descend solve --out` wrote")
    try:
        return restore(json.loads((folder / "solution.json").read_text()), files.read_arrays(folder / "solution.npz"))
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise ValueError(f"{folder} does not hold a readable solution: {type(error).__name__}: {error}") from None


def dumps(body: Any) -> str:
    """Strict JSON, on one line."""
    return json.dumps(plain(body), allow_nan=False)


def plain(value: Any) -> Any:
    """Anything as JSON's own types: arrays as nested lists, non-finite numbers as null, the unknown as its text."""
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each) for each in value]
    if value is None or isinstance(value, (str, bool, int)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)


def _row(row: dict[str, Any]) -> Row:
    metrics = {name: _number(value) for name, value in row["metrics"].items()}
    violation = _number(row["violation"], math.inf)
    return Row(row["name"], _number(row["value"]), _number(row["value_se"]), violation, row["judge"], metrics)


def _number(value: float | None, missing: float = math.nan) -> float:
    return missing if value is None else float(value)


def _structure(x: Any, kind: str) -> Any:
    return trees.structure(x, lambda path: _key(path, kind))


def _key(path: str, kind: str) -> str:
    """The name of a leaf in the npz file: apart from those of multipliers and rays, whatever variables are called."""
    if kind == "ray":
        return f"ray/{path or 'x'}"
    taken = path == "bound_multipliers" or path.startswith(("multipliers/", "ray/"))
    return f"x/{path}" if taken else path or "x"
