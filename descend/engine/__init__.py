"""The engine: which solver runs, for how long, and what its answer is worth."""

from descend.engine.plans import Plan, Stage, plan
from descend.engine.solving import solve

__all__ = ["Plan", "Stage", "plan", "solve"]
