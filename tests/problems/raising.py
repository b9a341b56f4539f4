"""Raises outside a small region."""

import numpy as np

import descend


def picky(x):
    if np.max(np.abs(x)) > 0.5:
        raise ValueError("outside the region")
    return float(np.sum((np.asarray(x) - 0.25) ** 2))


def never(x):
    raise RuntimeError("it never works")


problem = descend.Problem(picky, over=descend.Real(2, -1.0, 1.0), black_box=True)
hopeless = descend.Problem(never, over=descend.Real(2, -1.0, 1.0), black_box=True)
