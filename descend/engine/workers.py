"""Evaluating a black box in other processes: spawned ones of our own, or any `concurrent.futures.Executor`."""

import abc
import concurrent.futures
import multiprocessing
import multiprocessing.connection
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from descend.engine.user_code import user_traceback
from descend.problem import Evaluation, Problem

TRIES = 3  # how often a point is issued whose worker dies
POLL = 0.05  # seconds between two looks at the time
Task = tuple[Any, Any]


class Outcome(NamedTuple):
    """One evaluation, or the traceback of why there is none."""

    evaluation: Evaluation | None
    error: str = ""


class Host:
    """The black box of a problem, as something that can be sent to another process."""

    def __init__(self, problem: Problem):
        self.problem = problem

    def attempt(self, task: Task) -> Outcome:
        """Evaluate at (member, seed); whatever user code raises becomes the outcome."""
        member, seed = task
        try:
            return Outcome(self.problem.evaluate(member, key=seed))
        except Exception as error:
            return Outcome(None, user_traceback(error))


class Workers(abc.ABC):
    """Evaluates tasks elsewhere."""

    @abc.abstractmethod
    def map(self, tasks: list[Task], check: Callable[[], None] = lambda: None) -> Iterator[tuple[int, Outcome]]:
        """The index and outcome of each task, in any order. `check` is called now and then and may raise."""

    def close(self) -> None:  # noqa: B027 (there may be nothing to end)
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
    borrowed = isinstance(workers, concurrent.futures.Executor)
    if not borrowed and not (isinstance(workers, int) and not isinstance(workers, bool) and workers >= 1):
        raise TypeError(f"workers must be a positive int or a concurrent.futures.Executor, got {workers!r}")
    if not problem.black_box:
        raise ValueError("workers= is for black boxes; a traceable objective is compiled and uses every core already")
    if isinstance(workers, concurrent.futures.ThreadPoolExecutor):
        return Borrowed(workers, Host(problem).attempt, seconds_each)
    try:
        payload = pickle.dumps(problem)
    except Exception as error:  # what pickling raises is up to the objects
        raise ValueError(f"workers= needs functions that another process can import: {error}") from None
    if borrowed:
        return Borrowed(workers, Sent(payload), seconds_each)
    return Spawned(workers, payload, seconds_each)


class Borrowed(Workers):
    """Any executor. A task that takes too long counts as failed; ending it is up to the executor.

    Args:
        attempt: a function of a task that the executor can be given.
    """

    def __init__(
        self, executor: concurrent.futures.Executor, attempt: Callable[[Task], Outcome], seconds_each: float | None
    ):
        self._executor, self._attempt, self._seconds_each = executor, attempt, seconds_each

    def map(self, tasks: list[Task], check: Callable[[], None] = lambda: None) -> Iterator[tuple[int, Outcome]]:
        futures = [self._submit(task) for task in tasks]
        try:
            for index, future in enumerate(futures):
                yield index, self._wait(future, check)
        finally:
            for future in futures:
                future.cancel()

    def _submit(self, task: Task) -> concurrent.futures.Future:
        try:
            return self._executor.submit(self._attempt, task)
        except Exception as error:  # an executor that broke refuses everything
            future: concurrent.futures.Future = concurrent.futures.Future()
            future.set_exception(error)
            return future

    def _wait(self, future: concurrent.futures.Future, check: Callable[[], None]) -> Outcome:
        until = time.monotonic() + (self._seconds_each or float("inf"))
        while True:
            check()
            try:
                return future.result(POLL)
            except concurrent.futures.TimeoutError:
                if future.done():  # the task itself raised a TimeoutError
                    return Outcome(None, "the executor failed: TimeoutError")
                if time.monotonic() >= until:
                    return Outcome(None, f"no answer within {self._seconds_each:g} s")
            except (Exception, concurrent.futures.CancelledError) as error:
                return Outcome(None, f"the executor failed: {type(error).__name__}: {error}")


class Sent:
    """What an executor's process runs: the problem is unpacked once in each."""

    _hosts: dict[bytes, Host] = {}  # noqa: RUF012 (shared by the tasks of one process on purpose)

    def __init__(self, payload: bytes):
        self._payload = payload

    def __call__(self, task: Task) -> Outcome:
        if self._payload not in self._hosts:
            self._hosts[self._payload] = Host(pickle.loads(self._payload))
        return self._hosts[self._payload].attempt(task)


class Spawned(Workers):
    """Spawned processes, each with a pipe, so that one that hangs is killed and one that dies is replaced."""

    def __init__(self, count: int, payload: bytes, seconds_each: float | None):
        self._payload, self._seconds_each = payload, seconds_each
        self._pool = [Spawn(payload) for _ in range(count)]
        self._bad_starts = 0

    def map(self, tasks: list[Task], check: Callable[[], None] = lambda: None) -> Iterator[tuple[int, Outcome]]:
        waiting = list(reversed(range(len(tasks))))
        tries = [0] * len(tasks)
        busy: dict[int, tuple[int, float]] = {}  # worker -> its task and when it must have answered
        try:
            while waiting or busy:
                for worker, process in enumerate(self._pool):
                    if waiting and worker not in busy:
                        process.start()
                        if process.ready:
                            process.pipe.send(tasks[waiting[-1]])
                            busy[worker] = (waiting.pop(), time.monotonic() + (self._seconds_each or float("inf")))
                check()
                pipes = {process.pipe: worker for worker, process in enumerate(self._pool) if process.pipe is not None}
                for pipe in multiprocessing.connection.wait(list(pipes), POLL):
                    worker = pipes[pipe]
                    try:
                        answer = self._pool[worker].pipe.recv()
                    except (EOFError, ConnectionError, OSError):
                        self._pool[worker].kill()
                        if worker not in busy:
                            self._not_started()
                            continue
                        task, _ = busy.pop(worker)
                        tries[task] += 1
                        if tries[task] < TRIES:
                            waiting.append(task)
                        else:
                            yield task, Outcome(None, f"the worker died {TRIES} times at this point")
                        continue
                    if isinstance(answer, Outcome):
                        yield busy.pop(worker)[0], answer
                    else:
                        self._pool[worker].ready, self._bad_starts = True, 0
                for worker, (task, deadline) in list(busy.items()):
                    if time.monotonic() >= deadline:
                        del busy[worker]
                        self._pool[worker].kill()
                        yield task, Outcome(None, f"no answer within {self._seconds_each:g} s")
        finally:
            # A worker that still computes would later answer a question that nobody asks any more.
            for worker in busy:
                self._pool[worker].kill()

    def _not_started(self) -> None:
        self._bad_starts += 1
        if self._bad_starts >= TRIES:
            raise RuntimeError("a worker process could not start; does its main module import without side effects?")

    def close(self) -> None:
        for process in self._pool:
            process.kill()


class Spawn:
    """One process and the pipe to it, started on demand. Its imports do not count as the objective's time.

    Attributes:
        pipe: None while no process runs.
        ready: whether it can be given a task.
    """

    def __init__(self, payload: bytes):
        self._payload = payload
        self.pipe: Any = None
        self.ready = False
        self._process: Any = None

    def start(self) -> None:
        """Starts the process unless it runs."""
        if self.pipe is not None:
            return
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._payload), daemon=True)
        self._process.start()
        theirs.close()
        self.ready = False

    def kill(self) -> None:
        """Ends the process."""
        if self.pipe is not None:
            self._process.kill()
            self._process.join()
            self.pipe.close()
            self.pipe = None


def _serve(pipe: Any, payload: bytes) -> None:
    """A worker: answers tasks until the pipe closes. Ctrl-C is for the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    host = Host(pickle.loads(payload))
    pipe.send(True)
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        pipe.send(host.attempt(task))
