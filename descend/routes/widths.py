"""Settings that say how far a route looks: a positive number, or a tree of them like the argument."""

from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from descend.routes.program import Arguments


def positive(name: str, width: Any) -> None:
    """Raises ValueError unless every number of a setting is positive and finite (traced ones are not looked at)."""
    for leaf in jax.tree.leaves(width):
        if isinstance(leaf, jax.core.Tracer):
            continue
        numbers = np.asarray(leaf)
        if numbers.dtype.kind not in "iuf" or not (np.all(np.isfinite(numbers)) and np.all(numbers > 0)):
            raise ValueError(f"{name} must be positive, got {leaf!r}")


def widths(name: str, width: Any, arguments: Arguments) -> tuple[Any, ...]:
    """The width for each traced leaf, None for a leaf that a tree of widths does not reach.

    Args:
        name: of the setting.
        width: a scalar, or a tree like the argument (like the tuple of positional arguments where there are several),
            or a prefix of it, with scalars or arrays.
        arguments: of the call.
    """
    if np.ndim(width) == 0 and jax.tree.structure(width) == jax.tree.structure(0):
        return tuple(width for _ in arguments.places)
    args, kwargs = jax.tree.unflatten(arguments.tree, arguments.everything)
    reached = args[0] if len(args) == 1 else args
    try:
        spread = jax.tree.map(lambda s, part: [s] * len(jax.tree.leaves(part)), width, reached)
    except ValueError as error:
        raise ValueError(f"{name} must be a scalar or a tree like the argument: {error}") from None
    everything = jax.tree.leaves(spread) + [None] * len(jax.tree.leaves(kwargs))
    return tuple(everything[place] for place in arguments.places)


def shaped(name: str, width: Any, leaf: jax.ShapeDtypeStruct) -> Any:
    """A leaf's width in the leaf's shape and dtype."""
    if width is None:
        raise ValueError(f"{name} is a tree like the positional arguments: it says nothing of a keyword argument")
    try:
        return jnp.broadcast_to(jnp.asarray(width, leaf.dtype), leaf.shape)
    except ValueError:
        raise ValueError(f"{name} of shape {np.shape(width)} does not fit an argument of shape {leaf.shape}") from None
