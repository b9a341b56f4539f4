"""Rechecks a stored answer against its problem, claim by claim.

Everything is recomputed in NumPy from the problem and the stored multipliers. No derivative comes from JAX, and nothing
is shared with the solvers or with `certify`: gradients are finite differences of the problem's own values. (The kinks
of a piecewise linear problem in whole numbers are those that `EpigraphForm` reads.) What cannot
be recomputed precisely enough is not confirmed, and what is not confirmed is not ok.
"""

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from descend import loading
from descend.check import conditions, scales
from descend.check.branching import empty, unbeaten
from descend.check.values import Values
from descend.inspection import equilibrium, objectives
from descend.inspection.charts import charted
from descend.problem import Problem
from descend.reporting.record import load, record
from descend.solution import Solution, Status
from descend.solution import tree as trees
from descend.solvers.epigraph_form import EpigraphForm

GOOD, BAD, UNREADABLE = 0, 1, 2
DRAWS = 256  # for the value of a random problem
SLOW = 16  # draws of a random black box
MEMBERS = 10_000  # of a finite domain, that are tried one by one


@dataclass(frozen=True)
class Line:
    """One claim: what it is about, what the files say, what was found, and whether the two agree."""

    what: str
    claimed: str
    recomputed: str
    ok: bool


def run(folder: str | Path, as_json: bool = False, source: tuple[str, str] | None = None) -> int:
    """Prints the check of a folder: claim, what was recomputed, and whether it is ok, line by line.

    Args:
        folder: what `descend solve --out` wrote.
        as_json: print one object `{"ok", "lines": [{"what", "claimed", "recomputed", "ok"}]}` instead (with an `error`
            in place of the lines where the folder cannot be read).
        source: file and name of the problem, where that is no longer what the folder says.

    Returns:
        The exit status: 0 when the answer is what it says it is, 1 when not, 2 when it cannot be read.
    """
    try:
        lines = check(folder, source)
    except (OSError, ValueError, loading.InputError) as error:
        print(f"Error: {error}", file=sys.stderr)
        if as_json:
            print(json.dumps({"ok": False, "error": str(error)}))
        return UNREADABLE
    good = all(line.ok for line in lines)
    if as_json:
        print(json.dumps({"ok": good, "lines": [asdict(line) for line in lines]}))
        return GOOD if good else BAD
    width = [max(len(getattr(line, name)) for line in lines) for name in ("what", "claimed", "recomputed")]
    for line in lines:
        cells = (line.what.ljust(width[0]), line.claimed.ljust(width[1]), line.recomputed.ljust(width[2]))
        print(f"{cells[0]}  claimed {cells[1]}  recomputed {cells[2]}  {'ok' if line.ok else 'NOT OK'}")
    print("the answer is what it says it is" if good else "the answer is not what it says it is")
    return GOOD if good else BAD


def check(folder: str | Path, source: tuple[str, str] | None = None) -> list[Line]:
    """The claims of a stored answer, each with what was found.

    Args:
        folder: what `descend solve --out` wrote.
        source: file and name of the problem (default: `settings["file"]` and `settings["name"]` of the answer).

    Raises:
        FileNotFoundError: if the folder, or the problem's file, is not there.
        ValueError: if the folder does not hold a solution of this problem.
        descend.loading.InputError: if the problem cannot be loaded.
    """
    solution = load(folder)
    file, name = source or (solution.settings.get("file"), solution.settings.get("name", "problem"))
    if not file:
        raise ValueError(f"{folder} does not say which problem it answers; name its file")
    if not Path(file).is_file():
        raise FileNotFoundError(f"the problem's file {file} is not there; name the file where it is now")
    body = json.loads((Path(folder) / "solution.json").read_text())
    with jax.enable_x64(True):  # finite differences need it, whatever precision the answer was found in
        return verify(loading.problem(file, name), solution, body)


def verify(problem: Problem, solution: Solution, body: dict[str, Any]) -> list[Line]:
    """The same for a loaded answer, in the precision that JAX has.

    Args:
        problem: what was solved.
        solution: the answer.
        body: its JSON record, which must say the same as its arrays.

    Raises:
        ValueError: if x is not shaped like the problem's variables.
    """
    if solution.x is None:
        usable = solution.value is None and solution.status == Status.FAILED
        return [Line("status", str(solution.status), "no point is stored", usable)]
    x = _point(problem, solution.x)
    same = _same_text(body, solution)
    lines = [Line("files", "x and multipliers in both", "the same" if same else "they differ", same)]
    values = Values(problem, x)
    vector = np.asarray(problem.domain.ravel(x), np.float64)
    tolerance = solution.certificate.tolerance
    if solution.status != Status.INFEASIBLE:
        inside = bool(problem.domain.contains(x, max(tolerance, 1e-6)))
        lines.append(Line("domain", "inside", "inside" if inside else "outside", inside))
    lines += _value(problem, values, vector, solution)
    if solution.status in (Status.LOCAL, Status.OPTIMAL):
        lines += _optimality(problem, values, vector, solution)
    if solution.status == Status.INFEASIBLE:
        count = problem.domain.cardinality
        many = problem.domain.discrete and not problem.black_box and (count is None or count > MEMBERS)
        conflicts = [] if many else solution.conflicts
        lines += conditions_lines(conditions.infeasible(values, vector, conflicts))
        if many:
            lines.append(Line("infeasible", "no member is feasible", *empty(values)))
    if solution.status == Status.UNBOUNDED and solution.ray is not None:
        ray = np.asarray(problem.domain.ravel(_shaped(problem, solution.ray)), np.float64)
        lines += conditions_lines(conditions.unbounded(values, vector, ray))
    return lines


def conditions_lines(found: list[tuple[str, str, str, bool]]) -> list[Line]:
    """As lines."""
    return [Line(*each) for each in found]


def _value(problem: Problem, values: Values, vector: np.ndarray, solution: Solution) -> list[Line]:
    draws = 1 if not problem.random else SLOW if problem.black_box else DRAWS
    samples = np.array([values(vector, key) for key in range(1, draws + 1)])
    mean, error = samples.mean(axis=0), samples.std(axis=0) / np.sqrt(max(1, draws - 1))
    value = problem.sign * mean[0]
    precise = 1e-4 if solution.settings.get("precision") == "float32" else 1e-9
    claimed = np.nan if solution.value is None else solution.value
    if isinstance(claimed, dict):
        claimed = sum(problem.share(name) * claimed[name] for name in problem.objectives)
    slack = precise * max(1.0, abs(claimed)) + 4 * np.hypot(error[0], solution.value_se)
    spread = f" +- {error[0]:.2g}" if problem.random else ""
    lines = [Line("value", f"{claimed:.10g}", f"{value:.10g}{spread}", bool(abs(value - claimed) <= slack))]
    if not problem.subject_to:
        return lines
    violation, claim = values.violation(mean[1:]), solution.violation
    doubt = 4 * float(np.max(error[1:] / values.unit, initial=0.0)) + precise + 1e-3 * min(claim, 1e300)
    agrees = bool(abs(violation - claim) <= doubt) or (np.isinf(violation) and np.isinf(claim))
    if solution.usable:
        agrees = agrees and violation <= solution.certificate.tolerance + doubt
    return [*lines, Line("violation", f"{claim:.3g}", f"{violation:.3g}", agrees)]


def _optimality(problem: Problem, values: Values, vector: np.ndarray, solution: Solution) -> list[Line]:
    certificate = solution.certificate
    if problem.adversary:
        return [line for side in _sides(problem, vector, solution) for line in _optimality(*side)]
    if certificate.weights:
        problem, added = objectives.restated(problem, problem.domain.unravel(vector), certificate.weights)
        values = Values(problem, problem.domain.unravel(vector))
        held = dict.fromkeys(added, np.zeros(()))
        certificate = replace(certificate, multipliers={**certificate.multipliers, **held})
    if not problem.domain.convex and not problem.domain.discrete:
        problem, x = charted(problem, problem.domain.unravel(vector))
        values, vector = Values(problem, x), np.asarray(problem.domain.ravel(x), np.float64)
    if problem.domain.discrete or problem.random or problem.black_box:
        return [_enumerated(problem, values, solution)]
    claimed = (certificate.violation, certificate.stationarity, certificate.complementarity)
    good = certificate.evidence in ("local", "proved") and all(
        c is not None and c <= certificate.tolerance for c in claimed
    )
    lines = [Line("certificate", str(solution.status), f"evidence {certificate.evidence}", good)]
    try:
        multipliers = values.spread(certificate.multipliers)
    except ValueError as error:
        return [*lines, Line("multipliers", "one for each constraint", str(error), False)]
    bound = certificate.bound_multipliers
    if bound is not None and np.shape(bound) != vector.shape:
        return [*lines, Line("multipliers", "one for each bound", f"shape {np.shape(bound)}", False)]
    if certificate.scales is not None:
        lines += conditions_lines([scales.matter(values, vector, certificate)])
        if not lines[-1].ok:
            return lines
        values.scale = certificate.scales
    found = conditions.optimal(values, vector, multipliers, bound, certificate)
    if solution.status == Status.OPTIMAL:
        found.append(conditions.bounded(values, vector, certificate))
    return lines + conditions_lines(found)


def _sides(problem: Problem, vector: np.ndarray, solution: Solution) -> list[tuple[Any, ...]]:
    """The problems of both sides of a min-max problem at the answer, each with its own part of the multipliers."""
    found = []
    for side, own, order in equilibrium.sides(problem, problem.domain.unravel(vector)):
        bound = solution.certificate.bound_multipliers
        measured = solution.certificate.scales
        mine = replace(
            solution.certificate,
            bound_multipliers=None if bound is None else bound[order],
            scales=None if measured is None else measured[order],
        )
        found.append((side, Values(side, own), vector[order], replace(solution, certificate=mine)))
    return found


def _enumerated(problem: Problem, values: Values, solution: Solution) -> Line:
    """Every member of a small finite domain, since nothing else proves such an optimum."""
    count = problem.domain.cardinality
    claim = "no member is better"
    if not problem.random and not problem.black_box and (count is None or count > MEMBERS):
        x = np.asarray(problem.domain.ravel(_point(problem, solution.x)), np.float64)
        gap = solution.certificate.gap
        return Line("optimality", claim, *_branched(problem, values, x, 0.0 if gap is None else gap))
    if problem.random or count is None or count > MEMBERS:
        return Line("optimality", claim, "not rechecked: too many members" if count else "not rechecked", False)
    best = np.inf
    for member in problem.domain.members():
        found = values(np.asarray(problem.domain.ravel(member), np.float64))
        if values.violation(found[1:]) <= solution.certificate.tolerance:
            best = min(best, found[0])
    value = problem.sign * best
    good = solution.value is not None and bool(problem.sign * solution.value <= best + 1e-9 * max(1.0, abs(best)))
    return Line("optimality", claim, f"the best of {count} is {value:.10g}", good)


def _branched(problem: Problem, values: Values, x: np.ndarray, gap: float) -> tuple[str, bool]:
    """Branch and bound on a linear problem, or on a piecewise linear one in epigraph form."""
    found = unbeaten(values, x, gap)
    form = None if found[1] else EpigraphForm.of(problem)
    lifted = None if form is None else form.bounded()
    if form is None or lifted is None:
        return found
    point = form.lift(problem.domain.unravel(x))
    found = unbeaten(Values(lifted, point), np.asarray(lifted.domain.ravel(point), np.float64), gap)
    exact = None if found[1] else form.exact(bounded=True)
    if exact is None:
        return found
    point = form.sided(point)
    return unbeaten(Values(exact, point), np.asarray(exact.domain.ravel(point), np.float64), gap)


def _point(problem: Problem, x: Any) -> Any:
    """The stored tree in the shape of the problem's own."""
    shaped = _shaped(problem, x)
    for mine, stored in zip(jax.tree.leaves(problem.domain.start()), jax.tree.leaves(shaped), strict=True):
        if np.shape(mine) != np.shape(stored):
            raise ValueError(f"the stored x has an array of shape {np.shape(stored)}, the problem {np.shape(mine)}")
    return shaped


def _shaped(problem: Problem, x: Any) -> Any:
    structure = jax.tree.structure(problem.domain.start())
    leaves = [np.asarray(leaf, np.float64) for _, leaf in trees.leaves(x)]
    if len(leaves) != structure.num_leaves:
        raise ValueError(f"the stored x has {len(leaves)} arrays, the problem's variables {structure.num_leaves}")
    return jax.tree.unflatten(structure, leaves)


def _same_text(body: dict[str, Any], solution: Solution) -> bool:
    """Whether the JSON record shows the x and the multipliers that the arrays hold."""
    mine = record(solution)
    kept = ("multipliers", "bound_multipliers")
    return body["x"] == mine["x"] and all(body["certificate"][k] == mine["certificate"][k] for k in kept)
