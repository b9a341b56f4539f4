"""The loop: stage by stage, segment by segment, with a trace, checkpoints and limits."""

import logging
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from descend.engine import position as positions
from descend.engine import scaling
from descend.engine.draws import draw
from descend.engine.evaluate import Evaluator
from descend.engine.finds import Finds, gain
from descend.engine.limits import Ending, Limits, OutOfTimeError
from descend.engine.pace import Pace
from descend.engine.plans import Plan
from descend.engine.position import Position
from descend.engine.stage import Stage
from descend.engine.storage import Storage
from descend.engine.unbounded import distance, to_infinity, traceable
from descend.engine.user_code import user_traceback
from descend.problem import Problem
from descend.solution import Certificate, Event, Trace
from descend.solvers import AskTell, Progress, Solver
from descend.solvers.segments import listening

LOG = logging.getLogger("descend")
GONE = 1e8  # times as far as is suspicious, where more of the same would not help
HOPELESS = 100  # evaluations, all of them failed, after which a run ends
NUDGES = 3  # new beginnings near a saddle
RETRIES = 100  # random points that are tried in place of a start that cannot be evaluated


class Run:
    """One solve on its way. What decides anything depends on evaluation counts and the key, not on the clock.

    Args:
        plan: what to do.
        starts: the points to begin attempts from.
        limits, key: as in `solve`.
        evaluator: counts and evaluates.
        certify: asked at the end of a stage whether the point reached needs no more work; None if it cannot be.
        listen: hears every event; a true answer ends the run.
        path: of the checkpoint, or None.

    Attributes:
        ending: why it ended, or None while it has not.
        certificate: of the best point, or None while it was not checked.
    """

    def __init__(
        self,
        plan: Plan,
        starts: list[Any],
        limits: Limits,
        key: jax.Array,
        evaluator: Evaluator,
        certify: Callable[[Any], Certificate] | None,
        listen: Callable[[Event], Any],
        path: pathlib.Path | None,
    ):
        self.plan, self.starts, self.limits, self.key = plan, starts, limits, key
        self.evaluator, self.certify, self.listen = evaluator, certify, listen
        self.position = Position(units=plan.findings.evaluations)
        self.trace = Trace()
        self.finds = Finds(evaluator)
        self.certificate: Certificate | None = None
        self.state: Any = None
        self.ending: Ending | None = None
        self.pace = Pace()
        self.before = 0.0  # seconds of the runs that this one continues
        self.storage = Storage(self, path)

    @property
    def stage(self) -> Stage:
        return self.plan.stages[self.position.stage]

    @property
    def problem(self) -> Problem:
        """The problem as the present stage differentiates it. What is compiled for it lasts as long as the problem."""
        problem, route = self.plan.problem, self.stage.route
        if route is None:
            return problem
        # The copy that is kept holds the route, so that its id cannot be given to another one.
        return problem.compiled(("via", id(route)), lambda: problem.via(route)).bind(problem.inputs)

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.limits.began

    @property
    def count(self) -> int:
        """Evaluations so far: the inspection's, the solvers' own and the engine's."""
        return self.position.units + self.finds.units + self.evaluator.units

    def go(self) -> Ending:
        """Run to the end, to a limit, or to the user's interruption."""
        self.evaluator.check = self._check
        try:
            while self.ending is None:
                self._turn()
        except OutOfTimeError as stop:
            self.ending = self.limits.out_of_time()
            self.evaluator.check = lambda: None
            if stop.best is not None and not self.evaluator.noisy:
                self._offer(self._round(stop.best))
        except KeyboardInterrupt:
            self.ending = Ending("interrupted by the user", interrupted=True)
        finally:
            self.evaluator.check = lambda: None
            self.storage.save()
        return self.ending

    def _turn(self) -> None:
        """Begin a stage, or do a segment of it; then what follows from it."""
        if self.position.ended:
            self.ending = Ending(self.position.ended)
            return
        if self.trace.evaluations:
            self.ending = self.limits.ending(self.count)
            if self.ending is not None:
                return
        began, before, stage = time.monotonic(), self.count, self.position.stage
        progress, improved, reason, stalled = self._enter() if self.state is None else self._segment()
        self.pace.add(self.count - before, time.monotonic() - began)
        event = self._record(stage, progress, improved, reason)
        inspected = self.plan.findings.evaluations
        if self.evaluator.failures >= self.evaluator.units > 0 and self.count - inspected >= HOPELESS:
            self.position.ended = "every evaluation failed"
        elif improved and self._endless():
            self.position.ended = "the objective improves without end"
        elif reason:
            self._leave(reason, stalled, None if progress is None else self._round(progress.x))
        self.storage.mark()
        self.storage.save_if_due()
        if self.listen(event):
            self.ending = Ending("stopped by the callback", interrupted=True)

    def _enter(self) -> tuple[Progress | None, bool, str, bool]:
        """Begin a stage from the best point of the attempt, or an attempt from its start."""
        position, improved = self.position, False
        if position.stage == 0 and not position.nudges and not position.rescaled:
            self.finds.begin()
            _, improved = self._offer(self.starts[position.attempt])
            if self.finds.here.x is None and not self.plan.problem.black_box:
                self.log("the start cannot be evaluated; trying random points")
                for retry in range(RETRIES):
                    sample = self.plan.problem.domain.sample(self._draw("start", retry))
                    _, improved = self._offer(self._round(sample))
                    if self.finds.here.x is not None:
                        break
        if position.stage or position.attempt:
            self.log(f"stage {position.stage + 1} of attempt {position.attempt + 1}: {self.stage}")
        position.enter(self.count, self.finds.here.loss)
        anew = self.finds.here.x is None or (self.stage.alternative and not position.nudges)
        start = self.starts[position.attempt] if anew else self.finds.here.x
        if position.nudges:
            near = self.plan.problem.domain.neighbors(start, self._draw("nudge", position.nudges), 1)
            start = jax.tree.map(lambda a: np.asarray(a[0], np.float64), near)
        try:
            self.state = self.stage.solver.init(self.problem, start, self._draw("solver", 0))
        except Exception as error:  # a solver that cannot begin is a reason to take the next one
            return None, improved, self._broke(error), True
        return None, improved, "", False

    def _segment(self) -> tuple[Progress | None, bool, str, bool]:
        """One segment of the present solver: its report, whether the best point changed, why to leave it if so."""
        position, solver = self.position, self.stage.solver
        try:
            with listening(self._listener):
                done = self._ask_and_tell(solver) if isinstance(solver, AskTell) else self._step(solver)
        except OutOfTimeError:
            raise
        except Exception as error:  # a solver that cannot go on is a reason to take the next one
            return None, False, self._broke(error), True
        progress, changed, improved = done
        position.segment += 1
        position.segments += 1
        if changed:
            position.improved_units, position.improved_segment = self.count, position.segment
        if progress.done:
            return progress, improved, progress.reason, progress.stalled
        certified = self.certificate is not None and self.certificate.evidence != "none"
        return progress, improved, position.weary(self.count, certified and self.stage.alternative), True

    def _step(self, solver: Solver) -> tuple[Progress, bool, bool]:
        self.state, progress = solver.step(self.problem, self.state)
        self.position.units += progress.units
        changed, improved = self._offer(self._round(progress.x))
        return progress, changed, improved

    def _ask_and_tell(self, solver: AskTell) -> tuple[Progress, bool, bool]:
        points = solver.ask(self.problem, self.state)
        # All points of one question share their draw, so that their ranks are not noise.
        values = self.evaluator.many(points, self._draw("ask", self.position.segment)[None]).mean
        self.state = solver.tell(self.problem, self.state, points, values)
        winner = int(np.argmin(values.rank))
        x = jax.tree.map(lambda a: np.array(a[winner]), points)
        loss, violation = float(values.loss[winner]), float(values.violation[winner])
        changed = improved = False
        if self.evaluator.noisy:
            favorite = solver.favorite(self.problem, self.state)
            changed, improved = self._offer(x if favorite is None else self._round(favorite))
        elif not values.failed[winner]:
            changed, improved = self._offer(x, (loss, violation))
        else:
            self.finds.here.offered = np.nan
        reason = solver.done(self.problem, self.state)
        signals = solver.signals(self.problem, self.state)
        return Progress(x, loss, 0, bool(reason), reason, True, signals), changed, improved

    def _broke(self, error: Exception) -> str:
        """Take note of what a solver raised, and say it in a line."""
        self.position.broken = self.position.broken or user_traceback(error)
        lines = str(error).splitlines()
        return f"it raised {type(error).__name__}: {lines[0] if lines else ''}"

    def _offer(self, x: Any, known: tuple[float, float] | None = None) -> tuple[bool, bool]:
        # Solvers that follow the true derivative reach the constraints by themselves.
        repairing = not self.stage.solver.NEEDS.true_gradient
        changed, improved = self.finds.offer(x, self._draw, known, repairing)
        self.certificate = None if improved else self.certificate
        return changed, improved

    def settle(self) -> None:
        """After a limit: take the last point that violates the constraints a little, mended, if it is better."""
        if self.finds.settle(self._draw):
            self.certificate = None

    def _leave(self, reason: str, stalled: bool, last: Any) -> None:
        """The solver is done: take the next stage, or the next start, or end.

        A stage that is only a fall-back is skipped unless the solver stalled, and all are once the point is certified.
        Its `last` point, if it is certified, replaces one of the same loss that is not: near a minimum the loss says
        less about a point than its derivatives do.
        """
        position, here, certified, proved = self.position, self.finds.here, False, False
        self.log(f"{type(self.stage.solver).__name__}: {reason}")
        self.state = None
        if self.finds.mend(last, self._draw):
            self.certificate = None
        best, bound = self.finds.best, positions.lower_bound(self.trace)
        if best.feasible and best.near(min(best.loss, bound)):
            position.ended = "no gap is left to the lower bound"
            return
        if self.certify is not None and here.feasible:
            self._check(self.pace.certificate(self.plan.problem))
            known = self.certificate if self.finds.best.same(here.x) else None
            found = self.certify(here.x) if known is None else known
            certified = found.evidence != "none"
            if self.stage.alternative and here.near(here.offered, gain(found)):
                position.agreed = position.agreed + 1 if here.near(position.begun, gain(found)) else 0
            if not certified and not stalled and here.near(here.offered, gain(found)) and not here.same(last):
                other = self.certify(last)
                if other.evidence != "none" and self.finds.prefer(last, self._draw, gain(found)):
                    found, certified = other, True
            if self.finds.best.same(here.x):
                self.certificate = found
            if certified:
                proved = found.evidence == "proved"  # nothing can be better, from wherever one begins
                self.finds.hold(found)
            if not certified and _stationary(found) and position.nudges < NUDGES:
                position.nudges += 1
                self.log("stationary but not a minimum: began again nearby")
                return
        position.nudges = 0
        following = None if proved else self.plan.after(position.stage, stalled, certified, position.agreed)
        if following is not None:
            position.stage = following
        elif not certified and scaling.begin_again(self):
            return
        elif position.attempt + 1 < len(self.starts) and not proved:
            position.attempt, position.stage, position.agreed, position.rescaled = position.attempt + 1, 0, 0, 0
        else:
            position.ended = "the answer is certified" if certified else reason

    def _endless(self) -> bool:
        """Whether the best point ran away: asked whenever it is a hundred times as far off as when last asked."""
        problem, best = self.plan.problem, self.finds.best
        gone = distance(problem, best.x, best.loss) if traceable(problem) else 0.0
        if gone < self.position.suspicion or not best.feasible:
            return False
        self.position.suspicion = 100 * gone
        return gone > GONE or to_infinity(problem, best.x) is not None

    def _check(self, ahead: float = 0.0) -> None:
        """Give up the segment when time is up; the first evaluation of all is always made."""
        if self.trace.evaluations and self.limits.late(ahead):
            raise OutOfTimeError

    def _listener(self, best: Callable[[], Any]) -> None:
        if self.limits.late():
            raise OutOfTimeError(best())

    def _record(self, stage: int, progress: Progress | None, improved: bool, reason: str) -> Event:
        """A row of the trace, and its event."""
        sign, trace, best, units = self.plan.problem.sign, self.trace, self.finds.best, self.count
        value = sign * best.loss if best.x is not None else None
        current = sign * self.finds.here.offered if progress is not None else np.nan
        seconds = self.seconds
        cells = (units, seconds, np.nan if value is None else value, best.violation, current, stage)
        positions.add_row(trace, cells, {} if progress is None else progress.signals)
        fraction = self.limits.fraction(units)
        return Event(units, seconds, fraction, stage, best.x, value, best.violation, current, improved, reason)

    def log(self, message: str) -> None:
        """Say something in the trace."""
        self.trace.log.append((self.count, message))
        LOG.debug("%s", message)

    def _draw(self, purpose: str, index: int) -> jax.Array:
        """A key for one purpose at this point of the run."""
        return draw(self.key, purpose, self.position.attempt, self.position.stage, index)

    def _round(self, x: Any) -> Any:
        """The member of the domain that a solver's point stands for, in float64."""
        return self.plan.problem.domain.round(jax.tree.map(lambda a: np.asarray(a, np.float64), x))


def _stationary(found: Certificate) -> bool:
    """Whether only the second-order conditions fail: they were looked at, which is done where the first ones hold."""
    return found.curvature is not None
