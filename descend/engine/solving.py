"""`solve`: inspect, plan, run, certify."""

import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from descend import numerics
from descend.engine import account
from descend.engine import checkpoint as checkpoints
from descend.engine.draws import draw
from descend.engine.evaluate import Evaluator
from descend.engine.finish import broken, certificate, finish
from descend.engine.limits import Limits
from descend.engine.plans import Plan, is_noisy, made
from descend.engine.run import Run
from descend.engine.start import as_start
from descend.engine.workers import start_workers
from descend.problem import Problem
from descend.reporting.progress import Progress
from descend.solution import Budget, Event, Solution
from descend.solvers import AskTell, Solver

PROBING = 0.2  # of the seconds, that a black box may be probed for


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
        route: to use instead of the planned ones.
        solver: to use instead of the planned ones.
        budget: when to stop (default: `Budget(seconds=60)`). Time ends a run between two segments of work, or between
            two evaluations of a segment that calls a black box or is long; what is compiled or evaluated is not ended.
        tolerance: the scaled violation that counts as feasible and what a certificate must reach (default: 1e-6, or
            1e-4 where a traceable problem is evaluated in float32).
        key: an int or a JAX key; the same key gives the same run.
        workers: for a black box: how many processes evaluate it, or a `concurrent.futures.Executor`.
        checkpoint: a file that the run is stored in, and continued from if it exists. A run that ended by itself is not
            continued: its answer is checked and returned. The budget counts anew in seconds and from the beginning in
            evaluations.
        callback: called with an `Event` after every segment; a true answer ends the run.
        progress: whether to draw a bar on standard error (default: if it is a terminal).

    Returns:
        The solution. Ctrl-C ends the run and returns the best point with status "interrupted".

    Raises:
        TypeError, ValueError: if an argument is wrong, or the chosen solver or route cannot work on the problem.
        OSError: if the checkpoint cannot be written.
    """
    began = time.monotonic()
    budget = Budget() if budget is None else budget
    _check_arguments(problem, starts, route, solver, budget, tolerance, callback)
    seed, key = key, numerics.as_key(key)
    stated = problem.problem if isinstance(problem, Plan) else problem
    path = None if checkpoint is None else pathlib.Path(checkpoint)
    if path is not None:
        checkpoints.prepare(path)
    points = _starts(stated, start, starts, key)
    pool = start_workers(stated, workers, budget.seconds_each)
    try:
        with Progress(budget.seconds, shown=progress) as bar:
            bar.phase("inspecting")
            probing = None if budget.seconds is None else PROBING * budget.seconds
            planned = problem if isinstance(problem, Plan) else made(problem, route, solver, key, probing, pool)
            if not planned.stages:
                raise ValueError("the plan has no stages")
            limit = numerics.tolerance(np.float64 if stated.black_box else _float()) if tolerance is None else tolerance
            noisy = is_noisy(stated, planned.findings)
            certifiable = not (stated.black_box or stated.random or stated.domain.discrete or broken(planned))

            def listen(event: Event) -> Any:
                bar(event)
                return callback(event) if callback is not None else None

            bar.phase("compiling")
            run = Run(
                planned,
                points,
                Limits(budget, began),
                key,
                Evaluator(stated, noisy=noisy, tolerance=limit, workers=pool),
                (lambda x: certificate(planned, x, limit)) if certifiable else None,
                listen,
                path,
            )
            if path is not None:
                _restore(run, path)
            ending = run.go()
            bar.phase("certifying")
            solution = finish(run, _until(budget, began, ending.interrupted))
            solution.settings = account.settings(seed, budget)
            return solution
    finally:
        if pool is not None:
            pool.close()


def _check_arguments(
    problem: Any, starts: Any, route: Any, solver: Any, budget: Any, tolerance: Any, callback: Any
) -> None:
    if not isinstance(problem, Problem | Plan):
        raise TypeError(f"expected a descend.Problem, got {type(problem).__name__}")
    if not isinstance(budget, Budget):
        raise TypeError(f"budget must be a descend.Budget, such as Budget(seconds=10), got {budget!r}")
    if isinstance(problem, Plan) and (route is not None or solver is not None):
        raise ValueError("a plan has its routes and solvers already; edit its stages instead")
    if not isinstance(starts, int) or isinstance(starts, bool) or starts < 1:
        raise ValueError(f"starts must be a positive int, got {starts!r}")
    if tolerance is not None and not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance}")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of an event, got {callback!r}")


def _float() -> Any:
    return jax.numpy.result_type(float)


def _until(budget: Budget, began: float, interrupted: bool) -> float:
    """When the last evaluations and the certificate must be done."""
    if interrupted:
        return time.monotonic() + 1.0
    if budget.seconds is None:
        return float("inf")
    return began + budget.seconds + min(2.0, budget.seconds / 10)


def _starts(problem: Problem, start: Any, count: int, key: jax.Array) -> list[Any]:
    """The points to begin from: the given one, then random ones."""
    domain = problem.domain
    points = [domain.start() if start is None else as_start(problem, start)]
    for index in range(1, count):
        sample = domain.sample(draw(key, "starts", index))
        points.append(domain.round(jax.tree.map(lambda a: np.asarray(a, np.float64), sample)))
    return points


def _restore(run: Run, path: pathlib.Path) -> None:
    """Continue from the checkpoint if there is a whole one; an unreadable one is ignored, and the trace says so."""
    try:
        leaves, meta = checkpoints.load(path)
    except FileNotFoundError:
        return
    except checkpoints.TornError as error:
        run.trace.log.append((0, f"{error}; began anew"))
        return
    run.storage.restore(leaves, meta)
