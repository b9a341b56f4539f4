"""Every equation of a program with the user's line that it comes from."""

from collections.abc import Iterator
from typing import Any

from descend.program import compat
from descend.program.source import Place, place


def walk(jaxpr: Any, outer: Place | None = None) -> Iterator[tuple[Any, Place | None]]:
    """Yields (equation, (file, line)) of a jaxpr, open or closed, and of those inside it, outermost first.

    What a library compiles for itself (`jnp.where`, `jnp.sort`...) carries no line of the user's inside: there the
    equations have the line of the call, `outer`. The place is None where no frame but JAX's own is known.
    """
    for eqn in compat.opened(jaxpr).jaxpr.eqns:
        here = place(eqn) or outer
        yield eqn, here
        for _, _, program in compat.inner(eqn):
            yield from walk(program.jaxpr, here)
