"""State, inspect, route, solve, report: optimization where plain gradient descent cannot move."""

import importlib
from typing import Any

from descend import threads

threads.not_alone()

# Name -> room. Rooms are imported when a name is first used, so that `descend --help` does not wait for JAX.
_NAMES = {
    "Real": "domains", "Integer": "domains", "Binary": "domains", "Choice": "domains", "Subset": "domains",
    "Permutation": "domains", "Simplex": "domains", "Weights": "domains", "Sphere": "domains", "Stiefel": "domains",
    "PositiveDefinite": "domains", "LowRank": "domains", "Acyclic": "domains",
    "equal": "constraints", "at_most": "constraints", "at_least": "constraints", "between": "constraints",
    "Problem": "problem",
    "Finding": "findings", "Findings": "findings", "Trust": "findings",
    "Budget": "solution", "Solution": "solution", "Status": "solution", "Certificate": "solution",
    "soften": "relax", "straight_through": "routes",
    "inspect": "inspection", "value_and_trust": "inspection", "report": "reporting",
    "compare_routes": "inspection", "compare_handling": "inspection",
    "plan": "engine", "solve": "engine", "Plan": "engine", "front": "engine",
    "grad": "auto", "value_and_grad": "auto", "GradientRefusedError": "auto",
}  # fmt: skip
_ROOMS = (
    "constraints", "datasets", "domains", "draws", "findings", "gallery", "laws", "layers", "relax", "routes",
    "solution", "solvers",
)  # fmt: skip

# The names come from the tables above.
__all__ = [*_NAMES, *_ROOMS]  # pyright: ignore[reportUnsupportedDunderAll]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"descend.{_NAMES[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"descend.{name}")
    raise AttributeError(f"module 'descend' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
