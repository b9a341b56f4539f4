"""Returns a vector where a scalar is expected."""

import descend


def vector(x):
    return x


def problem():
    return descend.Problem(vector, over=descend.Real(2))
