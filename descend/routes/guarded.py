"""Keeps the NaN of a failed run out of the reverse pass of the others.

The derivative of a run that gives NaN is NaN, and leaving its value out of a sum does not help: in reverse mode zero
times NaN comes back. So the derivative enters each run through a linear map whose transpose drops what is not finite,
if the run failed. In a run that did not fail it changes nothing: a NaN derivative of a finite value is seen.
"""

from typing import Any

import jax
import jax.core
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

_GUARD = Primitive("descend_guard")


@jax.custom_jvp
def guarded(value: Any, good: Any) -> Any:
    """The value. Where `good`, a scalar, is false, the reverse pass drops what is not finite.

    Args:
        value: a float array.
        good: a bool.
    """
    return value


@guarded.defjvp
def _pushed(primals: Any, tangents: Any) -> Any:
    value, good = primals
    return value, _GUARD.bind(tangents[0], jnp.broadcast_to(good, value.shape))


def _transposed(cotangent: Any, tangent: Any, good: Any) -> Any:
    if type(cotangent) is ad.Zero:
        return [cotangent, None]
    return [_GUARD.bind(jnp.where(good | jnp.isfinite(cotangent), cotangent, 0), good), None]


def _batched(operands: Any, dims: Any) -> Any:
    size = next(o.shape[d] for o, d in zip(operands, dims, strict=True) if d is not None)
    moved = [
        jnp.broadcast_to(o[None], (size, *o.shape)) if d is None else jnp.moveaxis(o, d, 0)
        for o, d in zip(operands, dims, strict=True)
    ]
    return _GUARD.bind(*moved), 0


def _along(primals: Any, tangents: Any) -> Any:
    out = _GUARD.bind(*primals)
    tangent = tangents[0]
    return out, tangent if type(tangent) is ad.Zero else _GUARD.bind(tangent, primals[1])


_GUARD.def_impl(lambda tangent, good: tangent)
_GUARD.def_abstract_eval(lambda tangent, good: jax.core.ShapedArray(tangent.shape, tangent.dtype))
mlir.register_lowering(_GUARD, lambda context, tangent, good: [tangent])
ad.primitive_jvps[_GUARD] = _along
ad.primitive_transposes[_GUARD] = _transposed
batching.primitive_batchers[_GUARD] = _batched
