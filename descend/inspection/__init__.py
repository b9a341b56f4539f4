"""Says something about a problem: what stands in the way of its gradient, and whether an answer is one."""

from descend.inspection.certificate import certify
from descend.inspection.compare import compare_routes
from descend.inspection.comparison import Comparison, Measured
from descend.inspection.feasibility import least_violation, ray
from descend.inspection.handling import compare_handling
from descend.inspection.inspector import inspect
from descend.inspection.trust import value_and_trust

__all__ = [
    "Comparison", "Measured", "certify", "compare_handling", "compare_routes", "inspect", "least_violation", "ray",
    "value_and_trust",
]  # fmt: skip
