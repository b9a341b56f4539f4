"""Says something about a problem: what stands in the way of its gradient, and whether an answer is one."""

from descend.inspection.inspector import inspect

__all__ = ["inspect"]
