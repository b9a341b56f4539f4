"""A function at given arguments, as a function of those that are differentiated."""

import functools
import inspect as signatures
from collections.abc import Callable
from numbers import Number
from typing import Any, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from descend import calls, numerics
from descend.routes.program import signature, takes_key


def parameters(f: Callable[..., Any]) -> dict[str, signatures.Parameter]:
    """f's parameters by name; none where its signature cannot be read."""
    seen = signature(f)
    return {} if seen is None else dict(seen.parameters)


def at_arguments(f: Callable[..., Any], at: Any) -> tuple[Any, ...]:
    """The positional arguments that `at` stands for."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(at)):
        raise TypeError("at must be concrete: call descend.grad outside of jit, or leave at= out")
    required = [
        name
        for name, p in parameters(f).items()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty and name != "key"
    ]
    if len(required) <= 1:
        return (at,)
    if not isinstance(at, tuple) or len(at) < len(required):
        raise TypeError(
            f"at must be the tuple of positional arguments ({', '.join(required)}), got {type(at).__name__}"
        )
    return at


def _indices(argnums: int | tuple[int, ...]) -> tuple[int, ...]:
    return (argnums,) if isinstance(argnums, int) else tuple(argnums)


def moved(args: tuple[Any, ...], argnums: Any) -> Any:
    """The differentiated arguments: the one argument, or the tuple of several."""
    for index in _indices(argnums):
        if not -len(args) <= index < len(args):
            raise TypeError(f"argnums={argnums}, but there are only {len(args)} positional arguments")
    moving = tuple(args[index] for index in _indices(argnums))
    for leaf in jax.tree.leaves(moving):
        dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(f"gradients are taken by real floating arguments, got {dtype}: write 3.0 for 3")
    return moving[0] if isinstance(argnums, int) else moving


def restrict(f: Callable[..., Any], args: tuple[Any, ...], argnums: Any) -> Callable[..., Any]:
    """f as a function of the differentiated arguments alone, at home where f is."""

    def restricted(x: Any, /, **random: Any) -> Any:
        everything = list(args)
        for index, part in zip(_indices(argnums), (x,) if isinstance(argnums, int) else x, strict=True):
            everything[index] = part
        return f(*everything, **random)

    functools.update_wrapper(restricted, f, assigned=("__name__",), updated=())
    names = [signatures.Parameter("x", signatures.Parameter.POSITIONAL_OR_KEYWORD)]
    if takes_key(f):
        names.append(signatures.Parameter("key", signatures.Parameter.KEYWORD_ONLY))
    vars(restricted)["__signature__"] = signatures.Signature(names)
    return restricted


class Start(NamedTuple):
    """What a function gives where it is inspected.

    Attributes:
        name: of the function.
        black_box: whether it cannot be traced.
        finite: whether its value is.
        slope_finite: whether its derivative by plain differentiation is; True for a black box, which has none.
    """

    name: str
    black_box: bool
    finite: bool
    slope_finite: bool


def evaluate(restricted: Callable[..., Any], moving: Any, key: jax.Array) -> Start:
    """Value and derivative at `moving`. The function's own exceptions, and wrong results, are raised here."""
    random = {"key": key} if takes_key(restricted) else {}
    name = calls.name_of(restricted)

    def numeric(x: Any) -> Any:
        out = restricted(x, **random)
        for leaf in jax.tree.leaves(out) or [None]:
            if not isinstance(leaf, (jax.Array, np.ndarray, np.generic, Number)):
                raise TypeError(f"{name} returns {type(leaf).__name__}: it must return a real float")
        return out

    try:
        out, black_box = jax.eval_shape(numeric, moving), False
    except calls.TRACING_ERRORS:
        random = {"key": numerics.seed(key)} if random else {}
        out, black_box = numeric(jax.tree.map(lambda leaf: np.array(leaf, np.float64), moving)), True
    shapes = jax.tree.map(np.shape, out)
    if shapes != ():
        raise TypeError(f"gradients are of scalars, but {name} returns arrays of shape {shapes}")
    if black_box:
        return Start(name, True, bool(np.isfinite(out)), True)
    if not jnp.issubdtype(out.dtype, jnp.floating):
        raise TypeError(f"{name} returns {out.dtype}: make it a real float, as in jnp.asarray(value, float)")
    try:
        value, slope = jax.jit(jax.value_and_grad(lambda x: restricted(x, **random)))(moving)
    except (TypeError, ValueError):  # a host callback or a loop that has no reverse mode: values are left
        value, slope = restricted(moving, **random), ()
    finite = all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(slope))
    return Start(name, False, bool(jnp.isfinite(value)), finite)


def size(x: Any) -> int:
    """How many numbers a pytree holds."""
    return sum(np.size(leaf) for leaf in jax.tree.leaves(x))


def unit(x: Any) -> float:
    """The median over numbers of max(1, rms of their array): the scale at which inspection looks."""
    scales = [
        np.full(np.size(leaf), max(1.0, float(np.sqrt(np.mean(np.square(leaf))))))
        for leaf in jax.tree.leaves(x)
        if np.size(leaf)
    ]
    return float(np.median(np.concatenate(scales))) if scales else 1.0
