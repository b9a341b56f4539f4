"""`solve`: inspect, plan, run, certify."""

import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from descend import numerics
from descend.engine import checkpoint as checkpoints
from descend.engine.evaluate import Evaluator
from descend.engine.finish import BROKEN, certificate, finish, tolerance_of
from descend.engine.plans import Plan, plan
from descend.engine.run import Run
from descend.engine.workers import start_workers
from descend.problem import Problem
from descend.report.progress import Progress
from descend.solution import Budget, Event, Solution
from descend.solvers import AskTell, Solver


def solve(
    problem: Problem | Plan,
    *,
    start: Any = None,
    starts: int = 1,
    route: Any = None,
    solver: Solver | AskTell | None = None,
    budget: Budget | None = None,
    tolerance: float | None = None,
    key: Any = 0,
    workers: Any = None,
    checkpoint: str | pathlib.Path | None = None,
    callback: Callable[[Event], Any] | None = None,
    progress: bool | None = None,
) -> Solution:
    """Solve a problem and say what the answer is worth.

    Args:
        problem: a problem, or a plan to be run as it stands.
        start: where to begin: a point shaped like `over`, or an earlier `Solution`. Default: the domain's start.
        starts: how many attempts to make, the later ones from random points; the best answer counts.
        route, solver: to use instead of the planned ones.
        budget: when to stop (default: `Budget(seconds=60)`).
        tolerance: the scaled violation that counts as feasible and what a certificate must reach (default: 1e-6, or 1e-4
            where a traceable problem is evaluated in float32).
        key: an int or a JAX key; the same key gives the same run.
        workers: for a black box: how many processes evaluate it, or a `concurrent.futures.Executor`.
        checkpoint: a file that the run is stored in, and continued from if it exists. A run that was not stopped by a
            limit is not continued. Ended or not, the budget counts anew in seconds and from the beginning in evaluations.
        callback: called with an `Event` after every segment; a true answer ends the run.
        progress: whether to draw a bar on standard error (default: if it is a terminal).

    Returns:
        The solution. Ctrl-C ends the run and returns the best point with status "interrupted".

    Raises:
        TypeError, ValueError: if an argument is wrong, or the chosen solver or route cannot work on the problem.
    """
    began = time.monotonic()
    budget = Budget() if budget is None else budget
    if not isinstance(budget, Budget):
        raise TypeError(f"budget must be a descend.Budget, such as Budget(seconds=10), got {budget!r}")
    if isinstance(problem, Plan) and (route is not None or solver is not None):
        raise ValueError("a plan has its routes and solvers already; edit its stages instead")
    if not isinstance(starts, int) or starts < 1:
        raise ValueError(f"starts must be a positive int, got {starts!r}")
    if tolerance is not None and not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance}")
    key = numerics.as_key(key)
    with Progress(budget.seconds, shown=progress) as bar:
        bar.phase("inspecting")
        planned = problem if isinstance(problem, Plan) else plan(problem, route=route, solver=solver, key=key)
        problem = planned.problem
        if isinstance(start, Solution):
            start = start.x
        first = problem.domain.start() if start is None else problem.point(start)
        limit = tolerance_of(problem) if tolerance is None else tolerance
        pool = start_workers(problem, workers, budget.seconds_each)
        broken = planned.findings.words & set(BROKEN)
        certifiable = not (problem.black_box or problem.random or problem.domain.discrete or broken)

        def listen(event: Event) -> Any:
            bar(event)
            return callback(event) if callback is not None else None

        bar.phase("compiling")
        run = Run(
            planned,
            [first, *(_sample(problem, jax.random.fold_in(key, index)) for index in range(1, starts))],
            budget,
            limit,
            key,
            Evaluator(problem, pool),
            (lambda x: certificate(planned, x, limit)) if certifiable else None,
            listen,
            None if checkpoint is None else pathlib.Path(checkpoint),
            began,
        )
        try:
            if run.path is not None:
                _restore(run)
            run.go()
            bar.phase("certifying")
            return finish(run, grace=min(2.0, (budget.seconds or 20.0) / 10))
        finally:
            if pool is not None:
                pool.close()


def _sample(problem: Problem, key: jax.Array) -> Any:
    domain = problem.domain
    return domain.round(jax.tree.map(lambda a: np.asarray(a, np.float64), domain.sample(key)))


def _restore(run: Run) -> None:
    """Continue from the checkpoint if there is a whole one; an unreadable one is ignored, and the trace says so."""
    try:
        leaves, meta = checkpoints.load(run.path)
    except FileNotFoundError:
        return
    except checkpoints.TornError as error:
        run.trace.log.append((0, f"{error}; began anew"))
        return
    run.restore(leaves, meta)
