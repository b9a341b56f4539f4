"""`front`: a set of optima in the sense of Pareto, spread over what can be had."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from descend import calls
from descend.constraints import at_most
from descend.domains import Real
from descend.engine.solving import solve
from descend.problem import Problem
from descend.solution import Budget, Solution, pareto

BESIDE = 1e-3  # what the other objectives count where one alone is optimized, so that the end is not dominated


@dataclasses.dataclass(frozen=True)
class Front:
    """Points of which none is better than another in all objectives.

    Attributes:
        names: of the objectives.
        values: in the user's sense, shape (k, m).
        solutions: k of them; `x` is the point and `value` the dict of its objectives. Status and certificate are those
            of the problem that was solved for it, with the other objectives as constraints.
        sense: "min" or "max".
        dominated: how many points were found and left out.
    """

    names: tuple[str, ...]
    values: np.ndarray
    solutions: list[Solution]
    sense: str = "min"
    dominated: int = 0

    @property
    def x(self) -> list[Any]:
        """The points."""
        return [solution.x for solution in self.solutions]

    def hypervolume(self, reference: Mapping[str, float]) -> float:
        """The volume of objective values that some point is better than and that are better than the reference.

        Raises:
            ValueError: if the reference does not name the objectives.
        """
        if set(reference) != set(self.names):
            raise ValueError(f"the reference must name {sorted(self.names)}, got {sorted(reference)}")
        sign = 1 if self.sense == "min" else -1
        corner = np.array([sign * float(reference[name]) for name in self.names])
        return pareto.hypervolume(sign * self.values, corner)

    def __str__(self) -> str:
        width = max(map(len, self.names), default=0) + 2
        rows = ["".join(f"{name:>{max(width, 12)}}" for name in self.names)]
        rows += ["".join(f"{value:>{max(width, 12)}.6g}" for value in row) for row in self.values]
        left = f"\n({self.dominated} dominated points left out)" if self.dominated else ""
        return "\n".join(rows) + left


def front(problem: Problem, n: int = 9, *, start: Any = None, budget: Budget | None = None, key: Any = 0) -> Front:
    """Points spread over the front of several objectives, convex or not.

    Each objective is optimized alone first. Between the ends so found a flat patch is laid, and from points evenly
    spread over it one goes in the direction that improves all objectives as far as the constraints allow (a
    Pascoletti-Serafini problem, solved like any other, from the solution of the nearest point before).

    Args:
        problem: whose objective returns a dict; its `weights` are ignored.
        n: how many points are sought, at least one an objective.
        start: where to begin.
        budget: for all of it (default: `Budget(seconds=60)`), shared equally.
        key: an int or a JAX key.

    Returns:
        The points that no other one dominates, ordered by the first objective.

    Raises:
        TypeError: if the problem has a single objective.
        ValueError: if n is less than the number of objectives.

    Source: Das and Dennis, "Normal-boundary intersection" (1998); Pascoletti and Serafini, "Scalarizing vector
        optimization problems" (1984).
    """
    if not isinstance(problem, Problem) or not problem.objectives:
        raise TypeError("front takes a descend.Problem whose objective returns a dict of named values")
    names, sign = problem.objectives, problem.sign
    patch = pareto.lattice(n, len(names))
    budget = Budget() if budget is None else budget
    each = dataclasses.replace(
        budget,
        seconds=None if budget.seconds is None else budget.seconds / n,
        evaluations=None if budget.evaluations is None else max(1, budget.evaluations // n),
    )
    options: dict[str, Any] = {"budget": each, "key": key, "progress": False}
    found = []
    for name in names:
        alone = dataclasses.replace(problem, weights={other: 1.0 if other == name else BESIDE for other in names})
        found.append(solve(alone, start=start, **options))
    values = [_losses(problem, solution, sign) for solution in found]
    ends = np.stack(values)
    spans = ends.max(0) - ends.min(0)
    spans = np.where(spans > 1e-9 * (1 + abs(ends).max(0)), spans, 1.0)
    scalar = _scalar(problem, ends[0], spans)
    for share in patch[len(names) :]:
        anchor = share @ ends
        nearest = int(np.argmin(np.linalg.norm((np.stack(values) - anchor) / spans, axis=1)))
        begin = {"x": found[nearest].x, "t": np.float64(np.max((values[nearest] - anchor) / spans))}
        given = {"anchor": anchor, "spans": spans, "given": problem.given}
        solution = solve(scalar.at(given), start=begin, **options)
        if solution.x is not None:
            solution.x = solution.x["x"]
            solution.value = problem.named(problem.evaluate(solution.x))
            found.append(solution)
            values.append(_losses(problem, solution, sign))
    losses = np.stack(values)
    feasible = np.array([solution.usable for solution in found])
    kept = np.flatnonzero(feasible)[pareto.nondominated(losses[feasible])]
    kept = kept[np.argsort(losses[kept, 0])]
    return Front(names, sign * losses[kept], [found[i] for i in kept], problem.sense, len(found) - len(kept))


def _losses(problem: Problem, solution: Solution, sign: int) -> np.ndarray:
    if not isinstance(solution.value, dict):
        return np.full(len(problem.objectives), np.nan)
    return np.array([sign * solution.value[name] for name in problem.objectives])


def _scalar(problem: Problem, anchor: np.ndarray, spans: np.ndarray) -> Problem:
    """Minimize t such that every loss is at most its anchor plus t spans."""

    def inner(function: Callable[..., Any]) -> Callable[..., Any]:
        takes = calls.keywords(function)

        @functools.wraps(function)
        def call(x: Any, **named: Any) -> Any:
            named = {name: value for name, value in named.items() if name in takes}
            if "given" in takes:
                named["given"] = named["given"]["given"]
            return function(x["x"], **named)

        return call

    objective, names, sign = inner(problem.objective), problem.objectives, problem.sign
    wants = {"given", *calls.keywords(problem.objective)}

    def excess(x: Any, **named: Any) -> Any:
        values = objective(x, **named)
        losses = jax.numpy.stack([sign * jax.numpy.asarray(values[name]) for name in names])
        given = named["given"]
        return (losses - given["anchor"]) / given["spans"] - x["t"]

    constraints = [dataclasses.replace(c, function=inner(c.function)) for c in problem.subject_to]
    return Problem(
        lambda x: x["t"],
        {"x": problem.over, "t": Real()},
        [*constraints, at_most(_naming(excess, wants), 0.0, name="objectives")],
        given={"anchor": anchor, "spans": spans, "given": problem.given},
        data=problem.data,
        batch_size=problem.batch_size,
    )


def _naming(function: Callable[..., Any], names: set[str]) -> Callable[..., Any]:
    """The function, said to take these keyword arguments."""
    kinds = inspect.Parameter
    function.__signature__ = inspect.Signature(  # pyright: ignore[reportFunctionMemberAccess]
        [kinds("x", kinds.POSITIONAL_ONLY), *[kinds(name, kinds.KEYWORD_ONLY) for name in sorted(names)]]
    )
    return function
