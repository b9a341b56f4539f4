"""`descend check DIR`: is the stored answer what it says it is?"""

from descend.check.check import Line, check, run

__all__ = ["Line", "check", "run"]
