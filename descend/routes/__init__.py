"""Routes: same value, new derivative. One file a route, with its class of settings and the function that users call."""

import importlib
import inspect
import pkgutil

from descend.routes.black_box import black_box, reraised
from descend.routes.directions import gaussian, rademacher
from descend.routes.enumerate import Enumerate, enumerate
from descend.routes.finite import Finite, Stencil, central, finite, five_point, one_sided
from descend.routes.forward import Forward, forward
from descend.routes.relaxed import GumbelSoftmax, Rebar, Relaxed, StraightThroughGumbel, relaxed
from descend.routes.route import Needs, Route
from descend.routes.score import Score, score
from descend.routes.smooth import Smooth, smooth
from descend.routes.spsa import Spsa, spsa
from descend.routes.straight_through import StraightThrough, identity, straight_through
from descend.routes.triples import Triples, triples

__all__ = [
    "Enumerate",
    "Finite",
    "Forward",
    "GumbelSoftmax",
    "Needs",
    "Rebar",
    "Relaxed",
    "Route",
    "Score",
    "Smooth",
    "Spsa",
    "Stencil",
    "StraightThrough",
    "StraightThroughGumbel",
    "Triples",
    "black_box",
    "central",
    "enumerate",
    "every",
    "finite",
    "five_point",
    "forward",
    "gaussian",
    "identity",
    "one_sided",
    "rademacher",
    "relaxed",
    "reraised",
    "score",
    "smooth",
    "spsa",
    "straight_through",
    "triples",
]


def every() -> list[type[Route]]:
    """Every route in this folder, by name."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    members = [vars(module).values() for module in modules]
    kinds = {m for each in members for m in each if isinstance(m, type) and issubclass(m, Route)}
    return sorted((kind for kind in kinds if not inspect.isabstract(kind)), key=lambda route: route.name())
