"""Threads of XLA on the CPU: enough of them that no program waits for itself for ever."""

import os

ENOUGH = 16  # threads
VARIABLE = "PJRT_NPROC"  # of the environment, which XLA reads once, when it starts


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def enough() -> None:
    """Gives XLA more threads than a program has batched factorizations at one time, unless the user chose a number.

    jaxlib before 0.11.2 cuts a batch of LAPACK calls into tasks for the pool of threads and waits for them in one of
    these threads. As many batches at one time as there are threads, two on two cores, wait for ever.
    """
    os.environ.setdefault(VARIABLE, str(max(ENOUGH, cores())))


def not_alone() -> None:
    """Gives XLA enough threads where it would have one: a callback into Python runs in it, and waits for its large
    arguments, which are copied by the same thread. Where there are more, that many threads would slow small programs.
    """
    if cores() < 2:
        enough()
