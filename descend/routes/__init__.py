"""Routes: same value, new derivative. One file a route, with its class of settings and the function that users call."""

import importlib
import inspect
import pkgutil

from descend.routes.black_box import black_box, reraised
from descend.routes.directions import rademacher
from descend.routes.enumerate import Enumerate, enumerate
from descend.routes.evolve import Evolve, centered_ranks, evolve
from descend.routes.finite import Finite, Stencil, central, finite, five_point, one_sided
from descend.routes.forward import Forward, forward
from descend.routes.local import Local, local
from descend.routes.neighbors import Neighbors, neighbors
from descend.routes.noise import Noise, gaussian, independent, laplace, orthogonal, quasi_random, sphere
from descend.routes.persistent import Persisted, Persistent
from descend.routes.relaxed import GumbelSoftmax, Rebar, Relaxed, StraightThroughGumbel, relaxed
from descend.routes.remat import Remat, remat
from descend.routes.route import Needs, Route
from descend.routes.score import Score, score
from descend.routes.smooth import Smooth, smooth
from descend.routes.spsa import Spsa, spsa
from descend.routes.straight_through import StraightThrough, identity, straight_through
from descend.routes.surrogate import GaussianProcess, Linear, Surrogate, surrogate
from descend.routes.triples import Triples, triples
from descend.routes.unroll import Unroll
from descend.routes.window import Window, window

__all__ = [
    "Enumerate",
    "Evolve",
    "Finite",
    "Forward",
    "GaussianProcess",
    "GumbelSoftmax",
    "Linear",
    "Local",
    "Needs",
    "Neighbors",
    "Noise",
    "Persisted",
    "Persistent",
    "Rebar",
    "Relaxed",
    "Remat",
    "Route",
    "Score",
    "Smooth",
    "Spsa",
    "Stencil",
    "StraightThrough",
    "StraightThroughGumbel",
    "Surrogate",
    "Triples",
    "Unroll",
    "Window",
    "black_box",
    "centered_ranks",
    "central",
    "enumerate",
    "every",
    "evolve",
    "finite",
    "five_point",
    "forward",
    "gaussian",
    "identity",
    "independent",
    "laplace",
    "local",
    "neighbors",
    "one_sided",
    "orthogonal",
    "quasi_random",
    "rademacher",
    "relaxed",
    "remat",
    "reraised",
    "score",
    "smooth",
    "sphere",
    "spsa",
    "straight_through",
    "surrogate",
    "triples",
    "window",
]


def every() -> list[type[Route]]:
    """Every route in this folder, by name."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    members = [vars(module).values() for module in modules]
    found = {
        m
        for each in members
        for m in each
        if isinstance(m, type) and issubclass(m, Route) and not inspect.isabstract(m)
    }
    return sorted(found, key=lambda route: route.name())
