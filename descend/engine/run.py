"""The loop: stage by stage, segment by segment, with a trace, checkpoints and limits."""

import dataclasses
import logging
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from descend.engine import checkpoint
from descend.engine.evaluate import Evaluator
from descend.engine.incumbent import Incumbent
from descend.engine.plans import Plan
from descend.solution import Budget, Certificate, Event, Trace
from descend.solvers import AskTell, Progress

LOG = logging.getLogger("descend")
STALLED = 150  # segments without a better point, and half of the stage's evaluations, before a solver is given up
FAR = 1e12  # scales, or units of loss, beyond which a point counts as having run away
NUDGES = 3  # new beginnings near a saddle
HOPELESS = 100  # evaluations, all of them failed, after which a run ends
SAVE_EVERY = 1.0  # seconds between checkpoints


@dataclasses.dataclass
class Position:
    """Where a run stands, apart from arrays: what a checkpoint holds as JSON.

    Attributes:
        attempt, stage, segment: which start, which stage of the plan, which segment of it comes next.
        nudges: how often the stage began again near a stationary point that is no minimum.
        units: evaluations so far, the inspection's included.
        failures: how many failed.
        stage_units: evaluations when the stage began.
        improved_units, improved_segment: of the last improvement.
        ended: why the run is over, or "" while it is not.
        interrupted, exhausted, fallen: whether it ended by the user, by the budget, by an infinitely good value.
        error: the traceback of the first failure.
        seconds: spent in earlier runs of the same solve.
    """

    attempt: int = 0
    stage: int = 0
    nudges: int = 0
    segment: int = 0
    units: int = 0
    failures: int = 0
    stage_units: int = 0
    improved_units: int = 0
    improved_segment: int = 0
    ended: str = ""
    interrupted: bool = False
    exhausted: bool = False
    fallen: bool = False
    error: str = ""
    seconds: float = 0.0


class Run:
    """One solve on its way. Everything that decides anything depends on evaluation counts and the key, not on the clock.

    Args:
        plan: what to do.
        starts: the points to begin attempts from.
        budget, tolerance, key: as in `solve`.
        evaluator: counts and evaluates.
        certify: asked at the end of a stage whether the best point needs no more work; None if it cannot be.
        listen: hears every event; a true answer ends the run.
        path: of the checkpoint, or None.
        began: `time.monotonic()` when the solve began.
    """

    def __init__(
        self,
        plan: Plan,
        starts: list[Any],
        budget: Budget,
        tolerance: float,
        key: jax.Array,
        evaluator: Evaluator,
        certify: Callable[[Any], Certificate] | None,
        listen: Callable[[Event], Any],
        path: pathlib.Path | None,
        began: float,
    ):
        self.plan, self.starts, self.budget, self.key = plan, starts, budget, key
        self.evaluator, self.certify, self.listen, self.path, self.began = evaluator, certify, listen, path, began
        self.position = Position(units=plan.findings.evaluations)
        self.trace = Trace()
        self.best = Incumbent(tolerance)  # over all attempts
        self.here = Incumbent(tolerance)  # of this attempt
        self.certificate: Certificate | None = None
        self.state: Any = None
        self._saved = time.monotonic()
        self._problems: dict[int, Any] = {}

    @property
    def stage(self) -> Any:
        return self.plan.stages[self.position.stage]

    @property
    def problem(self) -> Any:
        """The problem as the present stage differentiates it."""
        index = self.position.stage
        if index not in self._problems:
            route = self.stage.route
            self._problems[index] = self.plan.problem if route is None else self.plan.problem.via(route)
        return self._problems[index]

    @property
    def seconds(self) -> float:
        return self.position.seconds + time.monotonic() - self.began

    def go(self) -> None:
        """Run to the end, or to the user's interruption."""
        try:
            self._limits()  # a run that is continued may be at its limit already
            while not self.position.ended:
                if self.state is None:
                    self._enter()
                else:
                    self._segment()
                self._limits()
        except KeyboardInterrupt:
            self.position.interrupted = True
            self.position.ended = "interrupted by the user"
        if self.path is not None:
            self.save()

    def _enter(self) -> None:
        """Begin a stage from the best point of the attempt, or an attempt from its start."""
        position = self.position
        if position.stage == 0 and not position.nudges:
            self.here = Incumbent(self.best.tolerance)
            self._offer(self.starts[position.attempt])
            for retry in range(20):
                if self.here.x is not None or self.plan.problem.black_box:
                    break
                if retry == 0:
                    self._log("the start cannot be evaluated; trying random points")
                self._offer(self._round(self.plan.problem.domain.sample(self._draw("start", retry))))
        start = self.starts[position.attempt] if self.here.x is None else self.here.x
        if position.nudges:
            near = self.plan.problem.domain.neighbors(start, self._draw("nudge", position.nudges), 1)
            start = jax.tree.map(lambda a: np.asarray(a[0], np.float64), near)
        position.stage_units = position.improved_units = self._count()
        position.segment = position.improved_segment = 0
        if self.position.stage or self.position.attempt:
            self._log(f"stage {position.stage + 1} of attempt {position.attempt + 1}: {self.stage}")
        self.state = self.stage.solver.init(self.problem, start, self._draw("solver", 0))
        self._record(None, False, "")

    def _segment(self) -> None:
        """One segment of the present solver, and what follows from it."""
        position, solver = self.position, self.stage.solver
        if isinstance(solver, AskTell):
            progress, improved = self._ask_and_tell(solver)
        else:
            self.state, progress = solver.step(self.problem, self.state)
            position.units += progress.units
            improved = self._offer(self._round(progress.x))
        position.segment += 1
        if improved:
            position.improved_units, position.improved_segment = self._count(), position.segment
        units, began = self._count(), position.stage_units
        stalled = (
            position.segment - position.improved_segment > STALLED
            and units - position.improved_units > (units - began) / 2
        )
        reason = progress.reason if progress.done else "no better point for long" if stalled else ""
        self._record(progress, improved, reason)
        if self.here.loss == -np.inf:
            position.ended, position.fallen = "the objective is infinitely good", True
        elif improved and self._ran_away():
            position.ended = "the best point ran away"
        elif reason:
            self._leave(reason, progress.stalled or not progress.done)

    def _ask_and_tell(self, solver: AskTell) -> tuple[Progress, bool]:
        points = solver.ask(self.problem, self.state)
        # All points of one question share their draw, so that their ranks are not noise.
        scores = self.evaluator.many(points, self._draw("ask", self.position.segment)[None])
        values = scores.mean
        self.state = solver.tell(self.problem, self.state, points, values)
        winner = int(np.argmin(values.rank))
        x = jax.tree.map(lambda a: np.array(a[winner]), points)
        loss, violation = float(values.loss[winner]), float(values.violation[winner])
        improved = self._offer(x, (loss, violation)) if np.isfinite(violation) else False
        reason = solver.done(self.problem, self.state)
        return Progress(x, loss, 0, bool(reason), reason, True, solver.signals(self.problem, self.state)), improved

    def _offer(self, x: Any, known: tuple[float, float] | None = None) -> bool:
        """Offer a member to the incumbents. Whether the best one changed."""
        if self.plan.problem.random and known is not None and self.here.feasible and known[0] > self.here.loss:
            return False  # worse on a single draw: not worth a comparison
        key = self._draw("challenge", self.here.challenges)
        if not self.here.offer(self.evaluator, x, key, known):
            if self.best.x is self.here.x:
                self.best.loss, self.best.violation = self.here.loss, self.here.violation
            return False
        found = (self.here.loss, self.here.violation)
        if self.position.attempt == 0 or self.best.offer(self.evaluator, self.here.x, key, found):
            self.best = dataclasses.replace(self.here)
            return True
        return False

    def _leave(self, reason: str, stalled: bool) -> None:
        """The solver is done: stop if the answer is certified, else take the next stage or the next start.

        A stage that is only a fall-back is skipped unless the solver stalled.
        """
        position = self.position
        self._log(f"{type(self.stage.solver).__name__}: {reason}")
        self.state = None
        if self.certify is not None and self.best.feasible:
            self.certificate = self.certify(self.best.x)
            if self.certificate.evidence != "none" and position.attempt + 1 == len(self.starts):
                position.ended = "the answer is certified"
                return
            if self._stands_still() and position.nudges < NUDGES:
                position.nudges += 1
                self._log("stationary but not a minimum: began again nearby")
                return
        position.nudges = 0
        certified = self.certificate is not None and self.certificate.evidence != "none"
        following = [
            index
            for index in range(position.stage + 1, len(self.plan.stages))
            if stalled or not self.plan.stages[index].fallback
        ]
        if following and not certified:
            position.stage = following[0]
        elif position.attempt + 1 < len(self.starts):
            position.attempt, position.stage = position.attempt + 1, 0
        else:
            position.ended = reason

    def _ran_away(self) -> bool:
        """Whether the best point or its loss is so far out that more of the same would not help."""
        domain = self.plan.problem.domain
        reach = np.max(np.abs(domain.ravel(self.here.x) / domain.scale), initial=0.0)
        return bool(reach > FAR or self.here.loss < -FAR)

    def _stands_still(self) -> bool:
        """Whether the best point is stationary and yet not certified: a saddle or a maximum, where gradients vanish."""
        found = self.certificate
        return found.evidence == "none" and found.stationarity is not None and found.stationarity <= found.tolerance

    def _limits(self) -> None:
        """End the run at a limit."""
        position, budget = self.position, self.budget
        units = self._count()
        if position.ended:
            return
        if units - self.plan.findings.evaluations >= HOPELESS and self.evaluator.failures >= self.evaluator.units:
            position.ended = "every evaluation failed"
        elif budget.evaluations is not None and units >= budget.evaluations:
            position.ended, position.exhausted = f"the budget of {budget.evaluations} evaluations is spent", True
        elif budget.seconds is not None and time.monotonic() - self.began >= budget.seconds:
            position.ended, position.exhausted = f"the budget of {budget.seconds:g} s is spent", True

    def _record(self, progress: Progress | None, improved: bool, reason: str) -> None:
        """A row of the trace, an event, and a checkpoint when one is due."""
        problem, trace, best, units = self.plan.problem, self.trace, self.best, self._count()
        known = best.x is not None
        value = problem.sign * best.loss if known else None
        current = problem.sign * progress.loss if progress is not None else np.nan
        rows = len(trace.evaluations)
        trace.evaluations.append(units)
        trace.seconds.append(self.seconds)
        trace.value.append(value if value is not None else np.nan)
        trace.violation.append(best.violation)
        trace.current.append(current)
        trace.stage.append(self.position.stage)
        signals = dict(progress.signals) if progress is not None else {}
        for name in {*trace.signals, *signals}:
            trace.signals.setdefault(name, [np.nan] * rows).append(float(signals.get(name, np.nan)))
        budget = self.budget
        spent = [(time.monotonic() - self.began) / budget.seconds] if budget.seconds else []
        spent += [units / budget.evaluations] if budget.evaluations else []
        event = Event(
            evaluations=units,
            seconds=self.seconds,
            fraction=float(min(1.0, max(spent, default=0.0))),
            stage=self.position.stage,
            x=best.x,
            value=value,
            violation=best.violation,
            current=float(current),
            improved=improved,
            message=reason,
        )
        if self.listen(event):
            self.position.ended, self.position.interrupted = "stopped by the callback", True
        if self.path is not None and time.monotonic() - self._saved > SAVE_EVERY:
            self.save()

    def _log(self, message: str) -> None:
        self.trace.log.append((self._count(), message))
        LOG.debug("%s", message)

    def _count(self) -> int:
        """Evaluations so far: the inspection's, the solvers' own and the engine's."""
        return self.position.units + self.evaluator.units

    def _draw(self, purpose: str, index: int) -> jax.Array:
        """A key for one purpose at this point of the run."""
        position = self.position
        words = (sum(map(ord, purpose)), position.attempt, position.stage, index)
        key = self.key
        for word in words:
            key = jax.random.fold_in(key, word)
        return key

    def _round(self, x: Any) -> Any:
        """The member of the domain that a solver's point stands for, in float64."""
        return self.plan.problem.domain.round(jax.tree.map(lambda a: np.asarray(a, np.float64), x))

    # What a checkpoint holds. Decisions never depend on when it is written.

    def save(self) -> None:
        """Write the checkpoint."""
        self._saved = time.monotonic()
        position = dataclasses.replace(self.position, units=self._count(), seconds=self.seconds)
        position.failures, position.error = self.evaluator.failures, self.evaluator.error
        tree = (self.state, self.here.x, self.best.x)
        meta = {
            "fingerprint": fingerprint(self.plan, self.key),
            "position": dataclasses.asdict(position),
            "trace": dataclasses.asdict(self.trace),
            "incumbents": [
                {"known": each.x is not None, **{name: getattr(each, name) for name in NUMBERS}}
                for each in (self.here, self.best)
            ],
            "running": self.state is not None,
            "evaluated": self.evaluator.units,
        }
        checkpoint.save(self.path, tree, meta)

    def restore(self, leaves: list[Any], meta: dict[str, Any]) -> None:
        """Continue where a checkpoint was written.

        Raises:
            ValueError: if it belongs to another problem or plan.
        """
        if meta["fingerprint"] != fingerprint(self.plan, self.key):
            raise ValueError(f"{self.path} is a checkpoint of another problem, plan or key")
        self.position = Position(**meta["position"])
        self.evaluator.units = meta["evaluated"]
        self.position.units -= meta["evaluated"]
        self.evaluator.failures, self.evaluator.error = self.position.failures, self.position.error
        self.trace = Trace(**{**meta["trace"], "log": [tuple(entry) for entry in meta["trace"]["log"]]})
        start = self.plan.problem.domain.start()
        state = self.stage.solver.init(self.problem, start, self.key) if meta["running"] else None
        here, best = meta["incumbents"]
        like = (state, start if here["known"] else None, start if best["known"] else None)
        self.state, self.here.x, self.best.x = jax.tree.unflatten(jax.tree.structure(like), leaves)
        for incumbent, numbers in ((self.here, here), (self.best, best)):
            for name in NUMBERS:
                setattr(incumbent, name, numbers[name])
        if self.position.exhausted or self.position.interrupted:
            self.position.ended, self.position.exhausted, self.position.interrupted = "", False, False


NUMBERS = ("loss", "violation", "judge", "challenges")


def fingerprint(plan: Plan, key: jax.Array) -> str:
    """What a checkpoint must agree on with the run that reads it."""
    problem = plan.problem
    return "\n".join([repr(problem), *plan.lines(), str(jax.random.key_data(key).tolist())])
