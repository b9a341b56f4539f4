"""The discrete state of one equation as a number: which side of it its operands lie on."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.program import compat, tables


def fingerprint(eqn: Any, ins: list[Any], outs: list[Any]) -> Any:
    """The fingerprint of an equation that is neither a call, a branch nor a loop."""
    name = eqn.primitive.name
    discrete = [out for out in outs if not jnp.issubdtype(jnp.result_type(out), jnp.inexact)]
    if name == "select_n":
        return digest(ins[0])
    if name == "sort":
        dimension = eqn.params["dimension"]
        order = jax.lax.broadcasted_iota(np.int32, jnp.shape(ins[0]), dimension)
        keys = eqn.params.get("num_keys", 1)
        return digest(jax.lax.sort([*ins[:keys], order], dimension=dimension, num_keys=keys)[-1])
    if name == "atan2":
        return digest(ins[0] < 0)
    if name in ("square", "integer_pow", "mul"):  # of which a root is taken
        return digest(ins[0] > 0)
    if name == "abs" and jnp.iscomplexobj(ins[0]):  # a kink where the number is real; else it is round
        return digest((jnp.real(ins[0]) > 0) & (jnp.imag(ins[0]) == 0))
    if name in _APART:
        return digest(jnp.frexp(abs(_APART[name](ins[0], outs)))[1])
    if name == "rem":
        return digest(jnp.round((ins[0] - outs[0]) / ins[1]).astype(jnp.int32))
    if discrete:
        return digests(discrete)
    if name in tables.ROUNDING:
        return digests(outs)
    if name in tables.LOOKUPS:
        return digests([a for a in ins if not jnp.issubdtype(jnp.result_type(a), jnp.inexact)])
    return _slopes(eqn, ins, outs)


_APART: dict[str, Callable[[Any, list[Any]], Any]] = {
    "sqrt": lambda x, _: x,
    "pow": lambda x, _: x,
    "acos": lambda x, _: 1 - abs(x),
    "asin": lambda x, _: 1 - abs(x),
    "acosh": lambda x, _: x - 1,
    "eigh": lambda _, outs: _gaps(outs[1] if outs[0].ndim > outs[1].ndim else outs[0]),
    "svd": lambda _, outs: jnp.concatenate([outs[0], _gaps(outs[0])], -1),
    "eig": lambda _, outs: _gaps(outs[0]),
}
"""How far the numbers of an equation are from where it is kinked."""


def _gaps(values: Any) -> Any:
    """The distances of each two numbers on the last axis."""
    i, j = np.triu_indices(values.shape[-1], 1)
    return values[..., i] - values[..., j]


def _slopes(eqn: Any, ins: list[Any], outs: list[Any]) -> Any:
    """A piecewise linear equation is known by its derivative, here against fixed irregular weights."""
    moving = [i for i, a in enumerate(ins) if jnp.issubdtype(jnp.result_type(a), jnp.floating)]

    def run(*floats: Any) -> list[Any]:
        return compat.bind(eqn, [floats[moving.index(i)] if i in moving else a for i, a in enumerate(ins)])

    _, pull = jax.vjp(run, *(jnp.asarray(ins[i]) for i in moving))
    weights = [jnp.asarray(np.cos(np.arange(out.size) + 1.0), out.dtype).reshape(out.shape) for out in outs]
    return digests(pull(weights))


def digests(arrays: Sequence[Any]) -> Any:
    total = jnp.uint32(0)
    for array in arrays:
        total = total * np.uint32(31) + digest(array)
    return total


def digest(array: Any) -> Any:
    """An array as one uint32 that differs, nearly surely, for different arrays."""
    array = jnp.asarray(array)
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        return digests([array.real, array.imag])
    if jnp.issubdtype(array.dtype, jnp.floating):
        # Zero is made of one sign; a double becomes two words.
        array = array.astype(jnp.promote_types(array.dtype, np.float32))
        wide = jax.lax.bitcast_convert_type(jnp.where(array == 0, jnp.zeros_like(array), array), jnp.uint32)
    else:
        wide = array.astype(jnp.uint32)
    flat = wide.reshape(-1)
    place = jnp.arange(flat.size, dtype=jnp.uint32)
    # A multiplicative hash of (place, value): odd constants of Knuth (TAOCP 3, section 6.4) and of xxHash.
    mixed = (flat + np.uint32(1)) * np.uint32(2654435761) ^ (place + np.uint32(1)) * np.uint32(2246822519)
    mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(3266489917)
    return jnp.sum(mixed ^ (mixed >> np.uint32(13)), dtype=jnp.uint32)
