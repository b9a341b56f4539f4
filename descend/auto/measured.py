"""Routes that could all be right, told apart by a few gradients of each at the point."""

import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from descend import routes
from descend.draws import DRAW
from descend.findings import Trust
from descend.inspection.moments import trust_of
from descend.program import compat
from descend.program.candidates import candidates
from descend.program.flow import NOTHING, Role
from descend.program.walk import walk
from descend.routes.program import takes_key
from descend.routes.redraw import elements

GRADIENTS = 16
"""Gradients of each route that the choice is made from."""


class Chosen(NamedTuple):
    """A route, why it is the one, and how many evaluations, in units of one value, were made to know."""

    route: routes.Route
    why: str
    units: int


def stated(f: Callable[..., Any], x: Any, key: jax.Array) -> list[int | None] | None:
    """The number of outcomes of each element that a function states to draw, None where it is not known.

    None if it states no draws, and an empty list if some are from a continuous distribution.
    """
    jaxpr = jax.make_jaxpr(_keyed(f, key))(x).jaxpr
    families = [eqn.params["family"] for eqn, _ in walk(jaxpr) if eqn.primitive is DRAW]
    if not families:
        return None
    return [] if any(family.continuous for family in families) else elements(jaxpr)


def among_draws(
    f: Callable[..., Any], x: Any, key: jax.Array, outcomes: Sequence[int | None], samples: int, name: str
) -> Chosen:
    """The route through stated draws.

    All combinations of outcomes are summed over where there are at most `samples`. Else the routes that are unbiased
    for f are tried at about equal cost, and the one is taken whose variance times its cost is least. With normal draws
    this is the score function untried: the others differentiate those pathwise, which is right only for what is
    continuous in them.
    """
    said, known = f"{name} states its draws", [count for count in outcomes if count is not None]
    score = routes.Score(samples=max(2, samples // 4))
    alone = f"{said}: differentiated as their mean, by the score function"
    if not outcomes:
        return Chosen(score, alone, 0)
    together = math.prod(known) if len(known) == len(outcomes) else math.inf
    if together <= samples:
        return Chosen(routes.Enumerate(limit=samples), f"{said}: summed over their {together} outcomes, exactly", 0)
    tried: list[routes.Route] = [score, routes.Triples(samples=max(1, samples // 8))]
    if len(known) == len(outcomes) and sum(known) <= samples:
        tried.append(routes.Enumerate(limit=samples))
    size = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(x))
    found: list[tuple[float, routes.Route]] = []
    units = 0
    for route in tried:
        try:
            drawn = _gradients(route(f), x, key)
        except TypeError:  # a loop that draws an unknown number of times has no triples
            continue
        cost = 1 + 3 * (sum(known) + 1) if isinstance(route, routes.Enumerate) else route.NEEDS.units(route, size)
        units += GRADIENTS * cost
        if np.all(np.isfinite(drawn)):
            found.append((float(drawn.var(0, ddof=1).sum()) * cost, route))
    if not found:
        return Chosen(score, alone, units)
    found.sort(key=lambda each: each[0])
    told = ", ".join(f"{route.name()} {spread:.2g}" for spread, route in found)
    return Chosen(found[0][1], f"{said}: variance times cost, from {GRADIENTS} gradients each: {told}", units)


def flat_beside(f: Callable[..., Any], x: Any, key: jax.Array) -> list[str]:
    """The lines that may kill a derivative which does not go through the draws that f states, by reading alone."""
    leaves, tree = jax.tree.flatten(x)
    program = compat.trace(lambda *leaves: _keyed(f, key)(jax.tree.unflatten(tree, leaves)), *leaves)
    still = [False] * len(leaves)
    found = candidates(program, [True] * len(leaves), still, {DRAW.name: NOTHING})
    lost = [c.place for c in found if c.role is Role.KILLS and not c.mixed]
    return list(dict.fromkeys(":".join([pathlib.Path(p[0]).name, str(p[1])]) if p else "a line" for p in lost))


def in_chaos(f: Callable[..., Any], x: Any, key: jax.Array, sigma: float, samples: int, said: str) -> Chosen:
    """Derivatives through a window by the Lyapunov exponent, or values seen through noise.

    Both are compared with the mean of the second over independent keys: the route whose cosine with it is greater is
    taken, the window only where its length means something too (`Trust.verdict`).
    """
    smooth, window = routes.Smooth(sigma=sigma, samples=samples), routes.Window()
    drawn = _gradients(smooth(f), x, key)
    units = GRADIENTS * (1 + samples)
    half = GRADIENTS // 2
    with np.errstate(all="ignore"):
        through = trust_of(drawn[:half], drawn[half:], np.zeros(()))
    try:
        cut, units = _gradients(window(f), x, key), units + 5 * GRADIENTS
    except (TypeError, ValueError):  # loops of unknown length have no reverse mode
        cut = np.full((1, drawn.shape[1]), np.nan)
    with np.errstate(all="ignore"):
        truncated = trust_of(cut if takes_key(f) else cut[:1], drawn, np.zeros(()))
    told = (
        f"cosine with the smoothed slope {float(truncated.cosine):.2f} by window, {float(through.cosine):.2f} by smooth"
    )
    better = _usable(truncated) and not truncated.cosine < through.cosine
    return Chosen(window if better else smooth, f"{said} is chaotic: {told}", units)


def _usable(trust: Trust) -> bool:
    return math.isfinite(trust.cosine) and trust.verdict != "refused"


def _gradients(routed: Callable[..., Any], x: Any, key: jax.Array) -> np.ndarray:
    """Gradients by different keys, as rows."""
    flat, unravel = ravel_pytree(jax.tree.map(jnp.asarray, x))
    one = lambda key: jax.grad(lambda v: _keyed(routed, key)(unravel(v)))(flat)  # noqa: E731
    keys = jax.random.split(jax.random.fold_in(key, 4), GRADIENTS)
    with routes.reraised():
        return np.asarray(jax.block_until_ready(jax.jit(lambda keys: jax.lax.map(one, keys))(keys)), np.float64)


def _keyed(f: Callable[..., Any], key: Any) -> Callable[[Any], Any]:
    return (lambda x: f(x, key=key)) if takes_key(f) else f
