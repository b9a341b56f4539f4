"""A function at given arguments, as a pure function of the traced ones and of everything traced that it closes over.

`jax.custom_jvp` must receive every traced value as an argument: what its rule captures instead is dead by the time that
a scan or a jit differentiates. So a route reads the function once, as a JAX program, and hoists what it closes over.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from descend.calls import TRACING_ERRORS
from descend.routes.black_box import black_box


class Arguments(NamedTuple):
    """The arguments of a call, with the traced leaves taken out. The others stay: nothing differentiates them.

    Attributes:
        tree: structure of `(args, kwargs)`.
        everything: all leaves, in order.
        places: which of them are traced.
    """

    tree: Any
    everything: tuple[Any, ...]
    places: tuple[int, ...]

    @classmethod
    def split(cls, args: tuple, kwargs: dict[str, Any]) -> "Arguments":
        leaves, tree = jax.tree.flatten((args, kwargs))
        return cls(tree, tuple(leaves), tuple(i for i, leaf in enumerate(leaves) if isinstance(leaf, jax.core.Tracer)))

    @property
    def leaves(self) -> tuple[Any, ...]:
        """The traced leaves."""
        return tuple(self.everything[i] for i in self.places)

    def call(self, f: Callable[..., Any], leaves: tuple[Any, ...]) -> Any:
        """f of the same arguments with other values for the traced leaves."""
        everything = list(self.everything)
        for place, leaf in zip(self.places, leaves, strict=True):
            everything[place] = leaf
        args, kwargs = jax.tree.unflatten(self.tree, everything)
        return f(*args, **kwargs)


class Program(NamedTuple):
    """A function read at some arguments.

    Attributes:
        jaxpr: the JAX program, from consts and leaves to the leaves of the result.
        run: `run(leaves, consts)` gives the leaves of the result, as a tuple.
        consts: what the function closes over, as arrays.
        tree: structure of the result.
        outputs: shape and dtype of each leaf of the result.
        width: the most numbers that one of its steps makes: what a vectorized run pays per lane.
        host: whether it calls back into Python.
    """

    jaxpr: Any
    run: Callable[[tuple[Any, ...], tuple[Any, ...]], tuple[Any, ...]]
    consts: tuple[Any, ...]
    tree: Any
    outputs: tuple[jax.ShapeDtypeStruct, ...]
    width: int
    host: bool


def read(f: Callable[..., Any], arguments: Arguments, out: Any = None) -> Program:
    """f at these arguments. A function that cannot be traced is read as the black box that it is, returning `out`."""
    try:
        closed, out = jax.make_jaxpr(lambda *leaves: arguments.call(f, leaves), return_shape=True)(*arguments.leaves)
    except TRACING_ERRORS:
        return read(black_box(f, out), arguments)
    jaxpr = closed.jaxpr

    def run(leaves: tuple[Any, ...], consts: tuple[Any, ...]) -> tuple[Any, ...]:
        outs = jax.core.eval_jaxpr(jaxpr, consts, *leaves)
        return tuple(
            o if isinstance(o, jax.Array) else jnp.asarray(o, s.dtype) for o, s in zip(outs, outputs, strict=True)
        )

    steps = list(_steps(jaxpr))
    outputs, tree = jax.tree.flatten(out)
    width = max(
        (sum(np.prod(v.aval.shape, dtype=int) for v in e.outvars if hasattr(v.aval, "shape")) for e in steps), default=1
    )
    host = any("callback" in e.primitive.name for e in steps)
    return Program(jaxpr, run, tuple(closed.consts), tree, tuple(outputs), int(width), host)


def _steps(jaxpr: Any) -> Iterator[Any]:
    """Every equation, inner programs included."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from _steps(inner)


def signature(f: Callable[..., Any]) -> inspect.Signature | None:
    """f's signature, or None where it cannot be read (some functions written in C)."""
    try:
        return inspect.signature(f)
    except (ValueError, TypeError):
        return None


def takes_key(f: Callable[..., Any]) -> bool:
    """Whether f is random: it can be given `key` by name, and no `functools.partial` has settled it."""
    if "key" in getattr(f, "keywords", {}):
        return False
    seen = signature(f)
    return seen is not None and any(
        p.kind is p.VAR_KEYWORD or (name == "key" and p.kind is not p.POSITIONAL_ONLY)
        for name, p in seen.parameters.items()
    )
