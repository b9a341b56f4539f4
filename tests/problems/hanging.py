"""Answers some calls, then hangs: in Python, in C that keeps the interpreter's lock, in XLA; or on import of a name."""

import ctypes
import itertools
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np

import descend

CALLS = itertools.count()


def _value(x):
    return float(np.sum((np.asarray(x) - 0.3) ** 2))


def looping(x):
    if next(CALLS) > 20:
        while True:
            pass
    return _value(x)


def sleeping(x):
    if next(CALLS) > 20:
        time.sleep(1000)
    return _value(x)


def holding(x):
    if next(CALLS) > 20:
        ctypes.PyDLL(None).sleep(1000)  # PyDLL does not release the interpreter's lock
    return _value(x)


def deaf(x):
    if next(CALLS) > 20:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(1000)
    return _value(x)


def crashing(x):
    if next(CALLS) > 20:
        ctypes.string_at(0)
    return _value(x)


def compiled(x):
    return jax.lax.while_loop(lambda y: jnp.sum(y**2) >= 0.0, lambda y: y * 0.5, x).sum()


_OVER = descend.Real(2, -1.0, 1.0)
loop = descend.Problem(looping, over=_OVER, black_box=True)
sleep = descend.Problem(sleeping, over=_OVER, black_box=True)
hold = descend.Problem(holding, over=_OVER, black_box=True)
deafened = descend.Problem(deaf, over=_OVER, black_box=True)
crash = descend.Problem(crashing, over=_OVER, black_box=True)
xla = descend.Problem(compiled, over=_OVER)


def slow(x):
    time.sleep(0.02)
    return _value(x)


patient = descend.Problem(slow, over=_OVER, black_box=True)


def problem():
    time.sleep(1000)
