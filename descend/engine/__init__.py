"""The engine: which solver runs, for how long, and what its answer is worth."""

from descend.engine.front import Front, front
from descend.engine.plans import Plan, plan
from descend.engine.solving import solve
from descend.engine.stage import Stage

__all__ = ["Front", "Plan", "Stage", "front", "plan", "solve"]
