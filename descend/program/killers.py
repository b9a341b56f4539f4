"""The lines of a function that may leave it without a derivative, by reading alone."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from descend.program import compat
from descend.program.candidates import Candidate, candidates
from descend.program.flow import Role


def killers(f: Callable[..., Any], *args: Any) -> list[Candidate]:
    """The operations of f that may make its derivative zero where its value changes, or that leave JAX.

    Rounding, comparisons, sorting orders and the like whose result reaches the value through nothing else that carries
    a derivative; a discontinuity beside a derivative (a modulo) is not among them, nor is a condition that chooses.

    Args:
        f: a traceable function.
        *args: pytrees of arrays or tracers; derivatives are taken by their floating leaves.

    Returns:
        Candidates, in the order of the program; none of them is certain.
    """
    leaves, tree = jax.tree.flatten(args)
    program = compat.trace(lambda *leaves: f(*jax.tree.unflatten(tree, leaves)), *leaves)
    active = [bool(jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)) for leaf in leaves]
    found = candidates(program, active, [False] * len(leaves))
    return [c for c in found if c.role is Role.CALLS_HOST or (c.role is Role.KILLS and not c.mixed)]
