"""The records: `Solution`, `Status`, `Certificate`, `Trace`, `Budget`."""

import enum
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from descend.findings import Findings
from descend.solution import summary


class Status(enum.StrEnum):
    """What an answer is. Never taken on a solver's word alone.

    Attributes:
        meaning: what the word means, in one clause.
    """

    meaning: str

    OPTIMAL = "optimal", "proved to be the global optimum, within the gap given"
    LOCAL = "local", "feasible, with the first- and second-order optimality conditions certified"
    CONVERGED = "converged", "the solvers made no more progress; optimality could not be certified"
    BUDGET = "budget", "the budget ended first"
    INFEASIBLE = "infeasible", "no feasible point exists or was found; this is the least violating one"
    UNBOUNDED = "unbounded", "the objective improves without end along the ray given"
    FAILED = "failed", "the evaluations or the process failed"
    INTERRUPTED = "interrupted", "stopped by the user; this is the best point so far"

    def __new__(cls, word: str, meaning: str) -> "Status":
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        return member


@dataclass(frozen=True)
class Budget:
    """When to stop. A solve ends at the first limit it meets, at the end of a segment of work.

    Args:
        seconds: wall-clock seconds.
        evaluations: in units of one value; a gradient counts 3.
        seconds_each: seconds one evaluation of a black box may take (needs `workers`).

    Raises:
        ValueError: if a limit is not positive.
    """

    seconds: float | None = 60.0
    evaluations: int | None = None
    seconds_each: float | None = None

    def __post_init__(self) -> None:
        for name in ("seconds", "evaluations", "seconds_each"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")


@dataclass(frozen=True)
class Certificate:
    """An independent check of a point, made without the solver. Gradients are of the loss (the minimized objective).

    Attributes:
        violation: largest scaled constraint violation.
        stationarity: largest entry of |grad loss + J' multipliers + bound multipliers|, in scaled variables, each over
            the larger of `scale` and the same entry of |grad loss|, so that no entry is excused by another.
        complementarity: largest distance of a multiplier's constraint or bound from x, in scaled variables; times the
            multiplier's force over `scale` where that is less than one.
        curvature: smallest eigenvalue of the Lagrangian's Hessian on the span of the critical cone, over its largest,
            in equilibrated variables: 1 where the cone holds only zero; None if not computed.
        multipliers: by constraint name, arrays shaped like the constraint's value: positive where an upper bound
            holds x back.
        bound_multipliers: flat, in the order of `Problem.domain`: positive at an upper bound.
        scale: the unit of a gradient: min(1, variation of the loss within one scale of x).
        tolerance: what each of the three must not exceed.
        gap: distance of the value from a proved lower bound, if any.
        evidence: "proved", "local", or "none" with the reason in `note`.
        evaluations: what the check cost, in units of one value.
        weights: where several objectives are optimal in the sense of Pareto: what each counts in the combination whose
            gradient is checked, by name.
        kinks: how many kinks the conditions reckon with, each a variable above or below its pieces; the other entries
            are of the problem in that form, the multipliers those of the problem's own constraints and bounds.
        scales: of the variables, flat, where some were measured, because none are stated and a scale of 1 is far off;
            None: the domain's.
    """

    violation: float
    stationarity: float | None = None
    complementarity: float | None = None
    curvature: float | None = None
    multipliers: dict[str, np.ndarray] = field(default_factory=dict)
    bound_multipliers: np.ndarray | None = None
    scale: float = 1.0
    tolerance: float = 1e-6
    gap: float | None = None
    evidence: str = "none"
    note: str = ""
    evaluations: int = 0
    weights: dict[str, float] = field(default_factory=dict)
    kinks: int = 0
    scales: np.ndarray | None = None


@dataclass
class Trace:
    """What happened, segment by segment: equal-length columns, one row a segment, and a log.

    Attributes:
        evaluations: units spent so far.
        seconds: since the start of the solve.
        value: of the best point so far (the user's sense; NaN before the first).
        violation: of that point.
        current: value of the solver's current point.
        stage: index into the plan.
        signals: numbers a solver gives about itself (gradient norm, agreement of successive gradients, ...): by name,
            columns as long as the others, NaN where not given.
        log: (evaluations, message): switches, failures, interruptions.
    """

    evaluations: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    violation: list[float] = field(default_factory=list)
    current: list[float] = field(default_factory=list)
    stage: list[int] = field(default_factory=list)
    signals: dict[str, list[float]] = field(default_factory=dict)
    log: list[tuple[int, str]] = field(default_factory=list)


class Event(NamedTuple):
    """What a callback and the progress bar hear, once a segment of work.

    Attributes:
        evaluations: units spent so far.
        seconds: since the start of the solve.
        fraction: how much of the budget is spent, in [0, 1].
        stage: index into the plan.
        x, value, violation: the best point so far, as in `Solution`; None, None and infinity before the first.
        current: value of the solver's current point, in the user's sense.
        improved: whether the best point changed in this segment.
        message: what happened, if anything did (a switch of solver...).
    """

    evaluations: int
    seconds: float
    fraction: float
    stage: int
    x: Any
    value: float | None
    violation: float
    current: float
    improved: bool
    message: str = ""


@dataclass
class Slice:
    """The loss along a line through the answer, for the report.

    Attributes:
        name: what the direction is: "gradient", or the name of a variable.
        steps, values: positions along the line in units of the variable's scale, and the objective there.
    """

    name: str
    steps: np.ndarray
    values: np.ndarray


@dataclass
class Row:
    """The answer or a baseline, scored the same way: value, its standard error, violation, judge, metrics by name."""

    name: str
    value: float
    value_se: float
    violation: float
    judge: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(repr=False)
class Solution:
    """An answer and how far to trust it.

    Attributes:
        status: see `Status`.
        x: the best point, a tree of NumPy float64 arrays shaped like `Problem.over` (None if every evaluation failed).
        value: the objective there, in the user's sense, or a dict of several by name; None if no evaluation succeeded.
        value_se: its standard error (0 for a deterministic objective).
        samples: how many draws the value averages (1 for a deterministic objective).
        violation: the largest scaled constraint violation.
        certificate: the independent check.
        trace: what happened.
        plan: the plan that was run, as lines of text.
        findings: what `inspect` found.
        rows: the answer (first) and the baselines, scored the same way.
        slices: the landscape around the answer.
        evaluations: units spent, inspection included, certificate excluded (it counts its own).
        seconds: wall-clock seconds of the whole solve.
        conflicts: for `infeasible`: the names of constraints that conflict. For `unbounded`, empty.
        ray: for `unbounded`: the direction, a tree shaped like x.
        error: for `failed`: the first traceback, in the user's own lines.
        message: one sentence on why the run ended.
        problem: how the problem prints.
        sense: "min" or "max".
        source: the user's source lines that findings point at: file -> line number -> text.
        settings: how it was run, by name, for whoever wants to run it again: "key", "precision" ("float64" or
            "float32"), "budget", versions, the command line.
    """

    status: Status
    x: Any
    value: Any
    value_se: float = 0.0
    samples: int = 1
    violation: float = 0.0
    certificate: Certificate = field(default_factory=lambda: Certificate(violation=0.0))
    trace: Trace = field(default_factory=Trace)
    plan: list[str] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    rows: list[Row] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    evaluations: int = 0
    seconds: float = 0.0
    conflicts: list[str] = field(default_factory=list)
    ray: Any = None
    error: str = ""
    message: str = ""
    problem: str = ""
    sense: str = "min"
    source: dict[str, dict[int, str]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether x is a feasible answer: what exit status 0 means."""
        answered = self.status in (Status.OPTIMAL, Status.LOCAL, Status.CONVERGED, Status.BUDGET, Status.INTERRUPTED)
        return answered and self.value is not None and self.violation <= self.certificate.tolerance

    def __str__(self) -> str:
        return summary.text(self)

    def __repr__(self) -> str:
        return f"<Solution {self.status}: value {summary.worth(self, 0.0)}, violation {summary.number(self.violation)}>"
