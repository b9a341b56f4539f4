"""Where a run stands: what a checkpoint holds, written and read."""

import dataclasses
import hashlib
import pathlib
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.engine import checkpoint
from descend.engine.incumbent import Incumbent
from descend.engine.plans import Plan
from descend.reporting.versions import version
from descend.solution import Trace

COLUMNS = ("evaluations", "seconds", "value", "violation", "current", "stage")  # of a trace
PATIENCE = 2  # times the units spent before it, that an alternative to a certified answer may take
STALLED = 150  # segments without a better point, and half of the stage's evaluations, before a solver is given up
KNOWN = ("loss", "violation", "judge", "challenges", "margin")  # of an incumbent, besides its x


@dataclasses.dataclass
class Position:
    """Where a run stands, apart from arrays.

    Attributes:
        attempt, stage, segment: which start, which stage of the plan, which segment of it comes next.
        agreed: how many more stages of the attempt came from its start to the best value, after the first that did.
        begun: the best loss of the attempt when the stage began.
        nudges: how often the stage began again near a stationary point that is no minimum.
        rescaled: how often the attempt began again in scales measured at its best point.
        scale: those in use; None: the plan's.
        segments: how many were done in all.
        units: evaluations that the inspection and the solvers made.
        stage_units: all evaluations when the stage began.
        improved_units, improved_segment: of the last improvement.
        suspicion: how far away the best point must be for the problem to be suspected to have no minimum.
        ended: why the run is over by itself, or "" while it is not.
        broken: what the first solver raised that could not go on, or "".
    """

    attempt: int = 0
    stage: int = 0
    segment: int = 0
    agreed: int = 0
    begun: float = float("nan")
    nudges: int = 0
    rescaled: int = 0
    scale: list[float] | None = None
    segments: int = 0
    units: int = 0
    stage_units: int = 0
    improved_units: int = 0
    improved_segment: int = 0
    suspicion: float = 1.0
    ended: str = ""
    broken: str = ""

    def enter(self, units: int, loss: float) -> None:
        """A stage begins, after so many units in all, where the best loss of the attempt is this."""
        self.stage_units = self.improved_units = units
        self.segment = self.improved_segment = 0
        self.begun = loss

    def weary(self, units: int, luxury: bool) -> str:
        """Why the stage should be given up after so many units in all, or "". A luxury is one that seeks something
        better than a certified answer.
        """
        spent = units - self.stage_units
        if luxury and spent > PATIENCE * self.stage_units:
            return f"{PATIENCE} times the work before it, and nothing better than the certified answer"
        idle = self.segment - self.improved_segment > STALLED
        return "no better point for long" if idle and units - self.improved_units > spent / 2 else ""


class Mark(NamedTuple):
    """A run between two segments. None of its parts is ever changed.

    Attributes:
        position, here, best: copies.
        state: of the solver, or None between two stages.
        candidate: a point to be repaired, or None.
        counts: the evaluator's units and failures, the units and failures of repairs.
        error: the evaluator's.
        rows, log: how long the trace was.
        seconds: spent so far.
    """

    position: Position
    here: Incumbent
    best: Incumbent
    state: Any
    candidate: Any
    counts: tuple[int, int, int, int]
    error: str
    rows: int
    log: int
    seconds: float


def lower_bound(trace: Trace) -> float:
    """The best of the bounds on the loss that solvers proved, -infinity without one."""
    return max((each for each in trace.signals.get("lower bound", []) if np.isfinite(each)), default=-np.inf)


def add_row(trace: Trace, cells: tuple, signals: Mapping[str, float]) -> None:
    """Append the cells of `COLUMNS`, and the signals."""
    rows = len(trace.evaluations)
    for name, cell in zip(COLUMNS, cells, strict=True):
        getattr(trace, name).append(cell)
    for name in sorted({*trace.signals, *signals}):
        trace.signals.setdefault(name, [np.nan] * rows).append(float(signals.get(name, np.nan)))


def write(path: pathlib.Path, mark: Mark, trace: Trace, fingerprint: str) -> None:
    """Write a checkpoint.

    Raises:
        OSError: if it cannot be written.
    """
    columns = {name: getattr(trace, name)[: mark.rows] for name in COLUMNS}
    signals = {name: column[: mark.rows] for name, column in trace.signals.items()}
    meta = {
        "fingerprint": fingerprint,
        "position": dataclasses.asdict(mark.position),
        "trace": {**columns, "signals": signals, "log": trace.log[: mark.log]},
        "incumbents": [
            {"has x": each.x is not None, **{name: getattr(each, name) for name in KNOWN}}
            for each in (mark.here, mark.best)
        ],
        "running": mark.state is not None,
        "candidate": mark.candidate is not None,
        "counts": mark.counts,
        "error": mark.error,
        "seconds": mark.seconds,
    }
    checkpoint.save(path, (mark.state, mark.here.x, mark.best.x, mark.candidate), meta)


def read(leaves: list[Any], meta: dict[str, Any], tolerance: float, like: Any, start: Any) -> tuple[Mark, Trace]:
    """The inverse of `write`, from the leaves and the meta of a checkpoint.

    Args:
        leaves: of the checkpoint.
        meta: of the checkpoint.
        tolerance: of the incumbents.
        like: a function of the position, to a state with the structure of the one that is read.
        start: a point with the structure of the incumbents.
    """
    position = Position(**meta["position"])
    here, best = meta["incumbents"]
    state = like(position) if meta["running"] else None
    known = (here["has x"], best["has x"], meta["candidate"])
    tree = (state, *(start if each else None for each in known))
    state, *points, candidate = jax.tree.unflatten(jax.tree.structure(tree), leaves)
    first, second = (
        Incumbent(tolerance, x, **{name: numbers[name] for name in KNOWN})
        for x, numbers in zip(points, (here, best), strict=True)
    )
    trace = Trace(**{**meta["trace"], "log": [tuple(entry) for entry in meta["trace"]["log"]]})
    rows, log = len(trace.evaluations), len(trace.log)
    counts, error, seconds = tuple(meta["counts"]), meta["error"], meta["seconds"]
    return Mark(position, first, second, state, candidate, counts, error, rows, log, seconds), trace


def fingerprint(plan: Plan, start: Any, key: jax.Array) -> str:
    """What a checkpoint must agree on with the run that reads it: the problem, its numbers and its code, the plan..."""
    problem = plan.problem
    digest = hashlib.sha256()
    functions = [problem.objective, *(c.function for c in problem.subject_to), problem.judge]
    for function in functions:
        _code(digest, function)
    bounds = [(c.lower, c.upper, c.scale) for c in problem.subject_to]
    for leaf in jax.tree.leaves((problem.given, problem.data, problem.domain.box, bounds, start)):
        typed = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(leaf) if typed else leaf)
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes() if array.dtype != object else repr(leaf).encode())
    key_data = jax.random.key_data(key).tolist()
    precision = str(np.dtype(jnp.result_type(float)))
    return "\n".join(
        [repr(problem), *plan.lines(), str(key_data), precision, version("descend"), version("jax"), digest.hexdigest()]
    )


def _code(digest: Any, function: Any) -> None:
    """What is known of the code of a function."""
    function = getattr(function, "__wrapped__", getattr(function, "func", getattr(function, "__func__", function)))
    code = getattr(function, "__code__", None)
    if code is None:
        digest.update(f"{type(function).__module__}.{type(function).__qualname__}".encode())
        return
    pending = [code]
    while pending:
        code = pending.pop()
        digest.update(code.co_code)
        digest.update(repr(code.co_names).encode())
        for const in code.co_consts:
            if isinstance(const, types.CodeType):
                pending.append(const)
            else:
                digest.update(repr(const).encode() if not isinstance(const, frozenset) else b"")
