"""The contract of a solver: what the engine asks of it, one bounded segment at a time."""

import abc
import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from descend.problem import Problem

FEASIBLE = 1e-6  # the scaled violation up to which a point is feasible, unless the engine says otherwise


class Progress(NamedTuple):
    """What a segment of work achieved.

    Attributes:
        x: the best point of the segment, shaped like `over`; it may lie in the relaxed domain (the engine rounds it).
        loss: the loss that the solver saw there; through a route, or with a penalty, it is not the problem's.
        units: evaluations spent, in units of one value.
        done: whether the solver has nothing more to do.
        reason: why, in a few words.
        stalled: whether it is done only because it could not go on, so that another solver may.
        signals: numbers worth plotting, by name: "gradient norm", "agreement", "step".
    """

    x: Any
    loss: float
    units: int
    done: bool = False
    reason: str = ""
    stalled: bool = False
    signals: Mapping[str, float] = MappingProxyType({})


class Values(NamedTuple):
    """What the engine tells of points it evaluated, in order. NaN marks a failed evaluation.

    Attributes:
        loss: shape (m,).
        violation: largest scaled constraint violation, shape (m,).
        tolerance: up to which a point is feasible.
    """

    loss: np.ndarray
    violation: np.ndarray
    tolerance: float = FEASIBLE

    @property
    def failed(self) -> np.ndarray:
        """Which evaluations failed, shape (m,)."""
        return np.isnan(self.loss) | np.isnan(self.violation)

    @property
    def rank(self) -> np.ndarray:
        """0 for the best: feasible points by loss, then infeasible ones by violation, failed ones last."""
        loss = np.where(np.isnan(self.loss), np.inf, self.loss)
        violation = np.where(self.failed, np.inf, np.maximum(self.violation, 0.0))
        feasible = violation <= self.tolerance
        order = np.lexsort((np.where(feasible, loss, 0.0), np.where(feasible, 0.0, violation)))
        rank = np.empty(len(order), int)
        rank[order] = np.arange(len(order))
        return rank


class Needs(NamedTuple):
    """What a solver needs of a problem, read by `plan` and by `laws.check_solver`.

    Attributes:
        gradient: it differentiates, so the problem must be traceable or routed.
        true_gradient: it trusts value and gradient together (line searches): a route must give the value's own
            derivative.
        continuous: it works in the relaxed domain and needs every variable to have a convex one.
        deterministic: it is misled by noise.
        box: it needs a domain that is a box.
        free: it needs a domain without bounds.
        walkable: it needs every variable to be without bounds or on a manifold.
        adversary: it plays both sides of a problem with an adversary; the others play none.
        unconstrained: it ignores constraints.
        finite: it lists the members of the domain.
        linear: it needs a loss and constraints that are read to be linear.
        convex: it needs every variable to have a convex domain with an exact projection.
        squares: it needs a loss that is written as a sum of squares.
        convex_quadratic: it needs a convex quadratic loss and constraints that bound convex quadratic sets.
        kinks: all that of the problem in epigraph form, which it must have.
    """

    gradient: bool = False
    true_gradient: bool = False
    continuous: bool = False
    deterministic: bool = False
    box: bool = False
    free: bool = False
    walkable: bool = False
    adversary: bool = False
    unconstrained: bool = False
    finite: bool = False
    linear: bool = False
    convex: bool = False
    squares: bool = False
    convex_quadratic: bool = False
    kinks: bool = False


class Settings:
    """What all solvers share: they print as they would be typed, with the settings that are not the defaults."""

    @classmethod
    def example(cls) -> Any:
        """An instance for `laws.check_solver` to try."""
        return cls()

    def __repr__(self) -> str:
        settings = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in dataclasses.fields(self)  # pyright: ignore[reportArgumentType] (subclasses are dataclasses)
            if field.init and getattr(self, field.name) != field.default
        ]
        return f"{type(self).__name__}({', '.join(settings)})"


class Solver(Settings, abc.ABC):
    """Base of the solvers that evaluate by themselves.

    A subclass is a frozen dataclass of settings. A state is a pytree of arrays whose structure depends only on the
    problem and the settings, so that the engine can store and restore it; everything random comes from the key in it.

    A solver that serves inside an `AugmentedLagrangian` also has `restart(problem, state)`, the state after the
    parameters of the problem's merit changed, and a state with `steps`, the number of its steps since then.
    """

    NEEDS: ClassVar[Needs]

    @abc.abstractmethod
    def init(self, problem: Problem, start: Any, key: jax.Array) -> Any:
        """The state before the first segment. `start` is a member of the domain, as NumPy float64."""

    @abc.abstractmethod
    def step(self, problem: Problem, state: Any) -> tuple[Any, Progress]:
        """One segment. How much it does depends on the problem and the state, never on the clock."""


class AskTell(Settings, abc.ABC):
    """Base of the solvers that only need values: the engine evaluates for them (workers, failures, time limits)."""

    NEEDS: ClassVar[Needs] = Needs()

    @abc.abstractmethod
    def init(self, problem: Problem, start: Any, key: jax.Array) -> Any:
        """The state before the first question."""

    @abc.abstractmethod
    def ask(self, problem: Problem, state: Any) -> Any:
        """Members of the domain to evaluate: a tree like `over`, stacked on a new leading axis, NumPy float64.

        Asking twice gives the same points."""

    @abc.abstractmethod
    def tell(self, problem: Problem, state: Any, points: Any, values: Values) -> Any:
        """The state after seeing the values of the points it asked for."""

    def done(self, problem: Problem, state: Any) -> str:
        """Why the solver has nothing more to ask, or "" while it has."""
        return ""

    def favorite(self, problem: Problem, state: Any) -> Any:
        """The member that the solver thinks best, asked for under noise after `tell`. None: the best of those told."""
        return None

    def signals(self, problem: Problem, state: Any) -> dict[str, float]:
        """Numbers worth plotting."""
        return {}
