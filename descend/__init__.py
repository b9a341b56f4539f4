"""State, inspect, route, solve, report: optimization where plain gradient descent cannot move."""

import importlib
from typing import Any

# Name -> room. Rooms are imported when a name is first used, so that `descend --help` does not wait for JAX.
_NAMES = {
    "Real": "domains", "Integer": "domains", "Binary": "domains", "Choice": "domains", "Subset": "domains",
    "Permutation": "domains", "Simplex": "domains", "Weights": "domains",
    "equal": "constraints", "at_most": "constraints", "at_least": "constraints", "between": "constraints",
    "Problem": "problem",
    "Finding": "findings", "Findings": "findings", "Trust": "findings",
    "Budget": "solution", "Solution": "solution", "Status": "solution", "Certificate": "solution",
    "inspect": "inspection", "value_and_trust": "inspection", "compare_routes": "inspection", "report": "report",
    "plan": "engine", "solve": "engine", "Plan": "engine",
    "grad": "auto", "value_and_grad": "auto", "GradientRefusedError": "auto",
}  # fmt: skip
_ROOMS = (
    "constraints",
    "datasets",
    "domains",
    "draws",
    "findings",
    "gallery",
    "laws",
    "relax",
    "routes",
    "solution",
    "solvers",
)

__all__ = [*_NAMES, *_ROOMS]  # noqa: PLE0604 (the names come from the tables above)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"descend.{_NAMES[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"descend.{name}")
    raise AttributeError(f"module 'descend' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
