"""Raises when it is read."""

import descend


def helper():
    return {}["absent"]


problem = descend.Problem(helper(), over=descend.Real(2))
