"""Records of an answer, and what they say in words. NumPy only, no JAX."""

from descend.solution.records import Budget, Certificate, Event, Row, Slice, Solution, Status, Trace
from descend.solution.summary import Section, sections, text

__all__ = [
    "Budget",
    "Certificate",
    "Event",
    "Row",
    "Section",
    "Slice",
    "Solution",
    "Status",
    "Trace",
    "sections",
    "text",
]
