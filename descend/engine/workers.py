"""Evaluating a black box in other processes: spawned ones of our own, or any `concurrent.futures.Executor`."""

import abc
import concurrent.futures
import multiprocessing
import multiprocessing.connection
import pickle
import time
from typing import Any, NamedTuple

from descend.engine.user_code import user_traceback
from descend.problem import Evaluation, Problem

TRIES = 3  # how often a point is issued whose worker dies


class Outcome(NamedTuple):
    """One evaluation, or the traceback of why there is none."""

    evaluation: Evaluation | None
    error: str = ""


class Host:
    """The black box of a problem, as something that can be sent to another process."""

    def __init__(self, problem: Problem):
        self.problem = problem

    def attempt(self, task: tuple[Any, Any]) -> Outcome:
        """Evaluate at (member, seed); whatever user code raises becomes the outcome."""
        member, seed = task
        try:
            return Outcome(self.problem.evaluate(member, key=seed))
        except Exception as error:
            return Outcome(None, user_traceback(error))


class Workers(abc.ABC):
    """Evaluates tasks elsewhere and answers in the order they were given."""

    @abc.abstractmethod
    def map(self, tasks: list[tuple[Any, Any]]) -> list[Outcome]:
        """The outcomes of the tasks, in order."""

    def close(self) -> None:
        """End what was started."""


def start_workers(problem: Problem, workers: Any, seconds_each: float | None) -> Workers | None:
    """The workers that `solve(workers=)` names; None for none.

    Raises:
        TypeError: if `workers` is neither a positive int nor an executor.
        ValueError: if the problem's functions cannot be imported by another process, or are not a black box.
    """
    if workers is None:
        if seconds_each is not None:
            raise ValueError("seconds_each needs workers=: a call in this process cannot be ended")
        return None
    if not problem.black_box:
        raise ValueError("workers= is for black boxes; a traceable objective is compiled and uses every core already")
    try:
        payload = pickle.dumps(problem)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(f"workers= needs functions that another process can import: {error}") from None
    if isinstance(workers, concurrent.futures.Executor):
        return Borrowed(workers, payload, seconds_each)
    if isinstance(workers, int) and not isinstance(workers, bool) and workers >= 1:
        return Spawned(workers, payload, seconds_each)
    raise TypeError(f"workers must be a positive int or a concurrent.futures.Executor, got {workers!r}")


class Borrowed(Workers):
    """Any executor. A task that takes too long counts as failed; ending it is up to the executor."""

    def __init__(self, executor: concurrent.futures.Executor, payload: bytes, seconds_each: float | None):
        self._executor, self._payload, self._seconds_each = executor, payload, seconds_each

    def map(self, tasks: list[tuple[Any, Any]]) -> list[Outcome]:
        futures = [self._executor.submit(_attempt, self._payload, task) for task in tasks]
        outcomes = []
        for future in futures:
            try:
                outcomes.append(future.result(self._seconds_each))
            except concurrent.futures.TimeoutError:
                outcomes.append(Outcome(None, f"no answer within {self._seconds_each:g} s"))
            except Exception as error:
                outcomes.append(Outcome(None, f"the executor failed: {error}"))
        return outcomes


class Spawned(Workers):
    """Spawned processes, each with a pipe, so that one that hangs is killed and one that dies is replaced."""

    def __init__(self, count: int, payload: bytes, seconds_each: float | None):
        self._payload, self._seconds_each = payload, seconds_each
        self._pool = [Spawn(payload) for _ in range(count)]

    def map(self, tasks: list[tuple[Any, Any]]) -> list[Outcome]:
        outcomes: list[Outcome | None] = [None] * len(tasks)
        waiting = list(reversed(range(len(tasks))))
        tries = [0] * len(tasks)
        busy: dict[int, tuple[int, float]] = {}  # worker -> its task and when it must have answered
        while waiting or busy:
            for worker in sorted(set(range(len(self._pool))) - set(busy)):
                if waiting:
                    self._pool[worker].send(tasks[waiting[-1]])
                    busy[worker] = (waiting.pop(), time.monotonic() + (self._seconds_each or float("inf")))
            limit = min(deadline for _, deadline in busy.values()) - time.monotonic()
            pipes = {self._pool[worker].pipe: worker for worker in busy}
            timeout = None if limit == float("inf") else max(limit, 0.0)
            for pipe in multiprocessing.connection.wait(list(pipes), timeout):
                worker = pipes[pipe]
                task, _ = busy.pop(worker)
                try:
                    outcomes[task] = self._pool[worker].pipe.recv()
                except (EOFError, ConnectionError):
                    self._replace(worker)
                    tries[task] += 1
                    if tries[task] < TRIES:
                        waiting.append(task)
                    else:
                        outcomes[task] = Outcome(None, f"the worker died {TRIES} times at this point")
            for worker, (task, deadline) in list(busy.items()):
                if time.monotonic() >= deadline:
                    del busy[worker]
                    self._replace(worker)
                    outcomes[task] = Outcome(None, f"no answer within {self._seconds_each:g} s")
        return [outcome for outcome in outcomes if outcome is not None]

    def _replace(self, worker: int) -> None:
        self._pool[worker].kill()
        self._pool[worker] = Spawn(self._payload)

    def close(self) -> None:
        for worker in self._pool:
            worker.kill()


class Spawn:
    """One process and the pipe to it. Its imports do not count as the objective's time."""

    def __init__(self, payload: bytes):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, payload), daemon=True)
        self._process.start()
        theirs.close()
        self._ready = False

    def send(self, task: tuple[Any, Any]) -> None:
        """Issue a task, once the process is up.

        Raises:
            RuntimeError: if the process ended before it was ready, as when its imports fail.
        """
        if not self._ready:
            try:
                self._ready = self.pipe.recv()
            except EOFError:
                raise RuntimeError(
                    "a worker process could not start; does its main module import without side effects?"
                ) from None
        self.pipe.send(task)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _serve(pipe: Any, payload: bytes) -> None:
    """A worker: answers tasks until the pipe closes."""
    host = Host(pickle.loads(payload))
    pipe.send(True)
    while True:
        try:
            task = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        pipe.send(host.attempt(task))


_hosts: dict[bytes, Host] = {}


def _attempt(payload: bytes, task: tuple[Any, Any]) -> Outcome:
    """What an executor runs; the problem is unpacked once in each process."""
    if payload not in _hosts:
        _hosts[payload] = Host(pickle.loads(payload))
    return _hosts[payload].attempt(task)
