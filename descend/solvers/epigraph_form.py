"""A kinked problem without its kinks: each becomes a variable that lies above, or below, its pieces."""

import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from descend import calls
from descend.constraints import Constraint, at_least, at_most
from descend.domains import Binary, Real
from descend.domains.domain import Polyhedron
from descend.problem import Problem
from descend.program.pieces import Pieces
from descend.solvers.algebra import coefficients, degrees
from descend.solvers.flat import Flat
from descend.solvers.through import through

MOST = 20_000  # kinks, counted number by number
ROUNDS = 100  # of bounds that are propagated from kink to kink


class EpigraphForm:
    """A problem in epigraph form: see `of`.

    The loss with a kink max(a, b) in it is the loss with a variable t in its place where t = max(a, b). Asked is only
    t >= a and t >= b (for a minimum t <= a and t <= b): a relaxation. So if a minimum of the form, local or global, has
    every t at its kink, it is one of the problem, whatever the loss does with t.

    Attributes:
        of_problem: the problem.
        problem: the form, over {"x": the problem's variables, "kinks": Real(count)}; its last constraint states the
            gaps between kinks and pieces.
        count: the number of kinks.
        kinks: the number of those that are variables: all of them, if the form is not one near a point.
        gaps: the name of the constraint that states the gaps.

    Source: Boyd and Vandenberghe, "Convex Optimization" (2004), section 4.1.3; Griewank (2013).
    """

    def __init__(self, problem: Problem, parts: dict[Callable[..., Any], Pieces], pieces: np.ndarray | None = None):
        self.of_problem, self._parts = problem, parts
        self.count = sum(part.count for part in parts.values())
        self._pieces = pieces
        self.gaps = calls.unused("kinks", [c.name for c in problem.subject_to])
        self._free = np.flatnonzero(pieces < 0) if pieces is not None else np.arange(self.count)
        self.kinks = len(self._free)
        self._slices, first = {}, 0
        for function, part in parts.items():
            self._slices[function] = slice(first, first + part.count)
            first += part.count
        self.problem = Problem(
            self._without(problem.objective),
            {"x": problem.domain, "kinks": Real((self.kinks,))},
            [*map(self._stated, problem.subject_to), at_least(self._gaps(), 0.0, scale=1.0, name=self.gaps)],
            sense=problem.sense,
            given=problem.given,
            data=problem.data,
        )

    @classmethod
    def of(cls, problem: Problem) -> "EpigraphForm | None":
        """The form of a problem without noise; None where no kink can be read, or there are too many."""
        simple = not (problem.black_box or problem.random or problem.adversary or problem.objectives)
        if not simple or problem.batch_size is not None or problem.merit is not None:
            return None
        found = problem.compiled(("epigraph", jnp.result_type(float)), lambda: cls._read(problem))
        return found if found is None or problem.given is None else found._at(problem)

    @classmethod
    def _read(cls, problem: Problem) -> "EpigraphForm | None":
        x, parts = problem.domain.start(), {}
        x = jax.tree.map(lambda leaf: np.asarray(leaf, jnp.result_type(float)), x)
        for function in dict.fromkeys([problem.objective, *(c.function for c in problem.subject_to)]):
            try:
                found = Pieces(_by_position(function), x, _named(problem, function))
            except Exception:  # what cannot be read is left as it is
                continue
            if found.count:
                parts[function] = found
        return cls(problem, parts) if parts and sum(p.count for p in parts.values()) <= MOST else None

    def near(self, x: Any, reach: float) -> "EpigraphForm":
        """The form in which kinks that are farther than `reach` from x are the pieces that they are at x."""
        pieces = [part.active(reach, *self._arguments(function, x)) for function, part in self._parts.items()]
        return EpigraphForm(self.of_problem, self._parts, np.concatenate(pieces))

    def lift(self, x: Any) -> Any:
        """The point of the form that is x."""

        def build() -> Any:
            def kinks(x: Any, named: Any) -> Any:
                found = [part.kinks(x, named[name]) for name, part in enumerate(self._parts.values())]
                return jnp.concatenate(found)[self._free]

            return jax.jit(kinks)

        program = self.problem.compiled("lift", build)
        x = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), x)
        cast = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float)), x)
        named = [_named(self.of_problem, function) for function in self._parts]
        return {"x": x, "kinks": np.asarray(program(cast, named), np.float64)}

    @property
    def everywhere(self) -> bool:
        """Whether every kink is a variable, so that the form is a relaxation of the problem everywhere."""
        return self.kinks == self.count

    @property
    def columns(self) -> np.ndarray:
        """Which entries of the form's vector are the problem's variables, in their order, shape (n,)."""
        inside = self.problem.domain.unravel(np.arange(self.problem.domain.size, dtype=np.float64))["x"]
        return np.asarray(self.of_problem.domain.ravel(inside), int)

    def _at(self, problem: Problem) -> "EpigraphForm":
        """The form of a restatement with other parameters; what was compiled for this one serves it too."""
        twin = copy.copy(self)
        twin.of_problem, twin.problem = problem, self.problem.at(problem.given)
        return twin

    def sided(self, x: Any) -> Any:
        """The point of the exact form with no side taken."""
        return {"form": x, "sides": np.zeros(len(self._owners()))}

    def bounded(self) -> Problem | None:
        """The form with bounds on its kinks' variables that no kink can leave.

        None where it is not linear, or a kink has no such bounds.
        """
        found = self._intervals()
        if found is None:
            return None
        _, lower, upper = found
        over = {"x": self.of_problem.domain, "kinks": Real((self.kinks,), lower, upper)}
        return dataclasses.replace(self.problem, over=over)

    def exact(self, bounded: bool = False) -> Problem | None:
        """The form with a binary number for each piece, which says that the kink is that piece: no relaxation.

        None where it is not linear, or a gap has no bound.

        Args:
            bounded: whether the kinks' variables have the bounds of `bounded`.
        """
        found = self._intervals()
        form = self.bounded() if bounded else self.problem
        if found is None or form is None:
            return None
        room, owner = found[0], self._owners()
        gaps = self._gaps()
        closed = functools.wraps(gaps)(lambda x, **named: gaps(x["form"], **named) + room * x["sides"])
        chosen = lambda x: jnp.zeros(self.count).at[owner].add(x["sides"])  # noqa: E731
        sides = [
            at_most(closed, room, scale=1.0, name=f"{self.gaps} of sides"),
            at_least(chosen, 1.0, name=f"{self.gaps} with a side"),
        ]
        return through(form, {"form": form.domain, "sides": Binary((len(owner),))}, lambda x: x["form"], sides)

    def _intervals(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """The most that each gap can be, and bounds of the kinks; None where they are not finite."""
        flat, known = Flat(self.problem), degrees(self.problem)
        hull = self.problem.domain.relax().polyhedron
        if known is None or not known.linear or hull is None or not self.everywhere:
            return None
        owner = self._owners()
        found = coefficients(flat, known)
        rows, offsets = found.rows[-len(owner) :], found.offsets[-len(owner) :]
        intervals = _room(rows, offsets, hull, owner, np.setdiff1d(np.arange(flat.size), self.columns))
        return intervals if all(np.isfinite(each).all() for each in intervals) else None

    def _owners(self) -> np.ndarray:
        x = self.of_problem.domain.start()
        found = [
            part.owners(*self._arguments(function, x)) + self._slices[function].start
            for function, part in self._parts.items()
        ]
        return np.concatenate(found)

    def _arguments(self, function: Callable[..., Any], x: Any) -> tuple[Any, Any]:
        x = jax.tree.map(lambda leaf: np.asarray(leaf, jnp.result_type(float)), x)
        return x, _named(self.of_problem, function)

    def _lifted(self, function: Callable[..., Any], x: Any, named: dict[str, Any]) -> tuple[Any, Any]:
        part, own = self._parts[function], self._slices[function]
        kinks = x["kinks"]
        if self._pieces is not None:
            kinks = jnp.zeros(self.count, kinks.dtype).at[self._free].set(kinks)
        chosen = None if self._pieces is None else self._pieces[own]
        return part.lifted(kinks[own], x["x"], named, pieces=chosen)

    def _without(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function of the form's variables, without kinks."""
        if function not in self._parts:
            return functools.wraps(function)(lambda x, **named: function(x["x"], **named))
        return functools.wraps(function)(lambda x, **named: self._lifted(function, x, named)[0])

    def _stated(self, constraint: Constraint) -> Constraint:
        return dataclasses.replace(constraint, function=self._without(constraint.function))

    def _gaps(self) -> Callable[..., Any]:
        takes = sorted({name for function in self._parts for name in calls.keywords(function)})

        def gaps(x: Any, **named: Any) -> Any:
            found = []
            for function in self._parts:
                own = {name: named[name] for name in calls.keywords(function)}
                found.append(self._lifted(function, x, own)[1])
            return jnp.concatenate(found)

        return calls.taking(gaps, takes, "kinks")


def _by_position(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, named: jnp.asarray(function(x, **named))


def _named(problem: Problem, function: Callable[..., Any]) -> dict[str, Any]:
    offered = {"given": problem.given, "batch": problem.data}
    return {name: offered[name] for name in calls.keywords(function)}


def _room(
    rows: sparse.csr_array, offsets: np.ndarray, hull: Polyhedron, owner: np.ndarray, kinks: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The most that each gap can be, where its kink is one of its pieces, and the kinks' lower and upper bounds.

    Intervals go from the variables to the pieces, from these to the kinks, and on to the pieces that kinks are in. The
    gaps are rows z + offsets for a z in the hull, of which some entries are kinks; each gap has one, its owner.
    """
    column = kinks[owner]
    sign = np.asarray(rows[np.arange(len(owner)), column]).ravel()  # gap = sign * (kink - piece)
    own = sparse.csr_array((sign, (np.arange(len(owner)), column)), shape=rows.shape)
    rest = sparse.csr_array(own - rows)  # sign * piece = rest z - offsets
    rising, falling = sparse.csr_array(rest.maximum(0)), sparse.csr_array(rest.minimum(0))
    lower, upper = hull.lower.copy(), hull.upper.copy()
    lower[kinks], upper[kinks] = -np.inf, np.inf
    for _ in range(ROUNDS):
        least = _sum(rising, lower) + _sum(falling, upper) - offsets
        most = _sum(rising, upper) + _sum(falling, lower) - offsets
        floor, ceiling = np.full(len(kinks), -np.inf), np.full(len(kinks), -np.inf)
        np.maximum.at(floor, owner, least)
        np.maximum.at(ceiling, owner, most)
        signs = np.zeros(len(kinks))
        signs[owner] = sign
        low, high = np.where(signs > 0, floor, -ceiling), np.where(signs > 0, ceiling, -floor)
        if np.array_equal(low, lower[kinks]) and np.array_equal(high, upper[kinks]):
            break
        lower[kinks], upper[kinks] = low, high
    return ceiling[owner] - least, low, high


def _sum(matrix: sparse.csr_array, bounds: np.ndarray) -> np.ndarray:
    """matrix @ bounds, where nothing times an infinite bound is nothing."""
    infinite = np.isinf(bounds)
    total = matrix @ np.where(infinite, 0.0, bounds)
    if not infinite.any():
        return total
    beyond = matrix[:, infinite] @ np.sign(bounds[infinite])
    touched = abs(matrix[:, infinite]).sum(axis=1) > 0
    return np.where(touched, np.inf * np.sign(np.where(touched, beyond, 1.0)), total)
