"""How a program states that it draws: one JAX primitive, which passes the sample on and keeps its parameters in sight.

`stated(y, *parameters, family)` is y. What y was drawn from is an operand of the primitive, so that a reader of the
program finds it after `jit`, `vmap`, `scan` and `cond`, and can put another draw in y's place. The sampler itself is
ordinary code: it is not looked at, and whoever replaces y leaves it unused.
"""

from typing import Any

import jax
import jax.core
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from descend.draws.family import Family

DRAW = Primitive("descend_draw")


def stated(y: Any, *parameters: Any, family: Family) -> jax.Array:
    """y, with the statement that it was drawn from `family` with these parameters.

    Its plain derivative is that of y: zero for a discrete sample, pathwise for a continuous one.

    Args:
        y: the sample, a float array of shape batch + event.
        *parameters: float arrays, each of shape batch + its own event (`family.events`).
        family: which distribution.
    """
    return DRAW.bind(y, *parameters, family=family)


def _abstract(y: Any, *parameters: Any, family: Family) -> Any:
    return jax.core.ShapedArray(y.shape, y.dtype)


def _pushed(primals: Any, tangents: Any, *, family: Family) -> Any:
    return DRAW.bind(*primals, family=family), tangents[0]


def _batched(operands: Any, dims: Any, *, family: Family) -> Any:
    """The new axis goes first in every operand, so that batches stay aligned."""
    size = next(o.shape[d] for o, d in zip(operands, dims, strict=True) if d is not None)
    moved = [
        jnp.broadcast_to(o[None], (size, *o.shape)) if d is None else jnp.moveaxis(o, d, 0)
        for o, d in zip(operands, dims, strict=True)
    ]
    return DRAW.bind(*moved, family=family), 0


DRAW.def_impl(lambda y, *parameters, family: y)
DRAW.def_abstract_eval(_abstract)
mlir.register_lowering(DRAW, lambda context, y, *parameters, family: [y])
ad.primitive_jvps[DRAW] = _pushed
batching.primitive_batchers[DRAW] = _batched
