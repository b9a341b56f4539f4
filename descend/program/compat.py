"""Everything about jaxprs that differs between the versions of JAX that are supported (0.10 to 0.12)."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

CALLS = frozenset(
    (
        "jit pjit closed_call core_call call eval_jaxpr remat2 checkpoint custom_jvp_call custom_vjp_call"
        " custom_vjp_call_jaxpr custom_lin run_state composite custom_vmap_call"
        " xla_metadata_call"
    ).split()
)
CALLBACKS = frozenset({"pure_callback", "io_callback", "python_callback"})


# Compiler options under which programs compile fast and run about as fast as otherwise.
BRIEF = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}


class Program(NamedTuple):
    """A jaxpr with the values of its constants."""

    jaxpr: Any
    consts: tuple[Any, ...]


def trace(function: Callable[..., Any], *args: Any) -> Program:
    """The program of `function` at arguments of these shapes, without the equations that no output needs."""
    return drop_unused(opened(jax.make_jaxpr(function)(*args)))


def opened(jaxpr: Any) -> Program:
    """A closed or open jaxpr (newer versions of JAX have one class for both) with its constants."""
    return Program(getattr(jaxpr, "jaxpr", jaxpr), tuple(getattr(jaxpr, "consts", ()) or ()))


def drop_unused(program: Program) -> Program:
    """The program without dead code; the program itself where this version of JAX has no tool for that."""
    try:
        from jax.interpreters.partial_eval import dce_jaxpr
    except ImportError:
        return program
    jaxpr, _ = dce_jaxpr(program.jaxpr, [True] * len(program.jaxpr.outvars), instantiate=True)
    return Program(jaxpr, program.consts) if len(jaxpr.constvars) == len(program.consts) else program


def brief_jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit` for what runs a few times only: long programs compile up to five times as fast, and run about the same.

    Not for programs that are traced into others.
    """
    return jax.jit(function, compiler_options=_brief())


@functools.cache
def _brief() -> dict[str, Any]:
    """Those of the options of `BRIEF` that the compiler of this version of JAX knows."""
    known: dict[str, Any] = {}
    for name, value in BRIEF.items() if jax.default_backend() == "cpu" else ():
        with contextlib.suppress(Exception):
            jax.block_until_ready(jax.jit(lambda: 0, compiler_options={name: value})())
            known[name] = value
    return known


def is_jaxpr(value: Any) -> bool:
    """Whether a parameter of an equation is a jaxpr, open or closed."""
    return hasattr(value, "eqns")


def evaluate(program: Program, args: Sequence[Any]) -> list[Any]:
    """What the program computes from these inputs."""
    from jax.core import eval_jaxpr  # type: ignore[attr-defined]

    return eval_jaxpr(program.jaxpr, program.consts, *args)


def evaluate_at(program: Program, wanted: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    """The values of these variables of the program at these inputs; what they do not need is not computed."""
    jaxpr = program.jaxpr.replace(outvars=list(wanted), debug_info=program.jaxpr.debug_info.with_unknown_names())
    return evaluate(drop_unused(Program(jaxpr, program.consts)), args)


def inlined(program: Program) -> Program:
    """The program without calls: what `jit` and `remat` wrap stands in the open; custom rules stay closed."""

    def run(inner: Program, args: Sequence[Any]) -> list[Any]:
        env: dict[Any, Any] = dict(zip(inner.jaxpr.constvars, inner.consts, strict=True))
        env.update(zip(inner.jaxpr.invars, args, strict=True))
        look = lambda atom: atom.val if is_literal(atom) else env[atom]  # noqa: E731
        for eqn in inner.jaxpr.eqns:
            ins = [look(v) for v in eqn.invars]
            body = None if eqn.primitive.name.startswith("custom_") else callee(eqn)
            env.update(zip(eqn.outvars, bind(eqn, ins) if body is None else run(body, ins), strict=True))
        return [look(v) for v in inner.jaxpr.outvars]

    return trace(lambda *args: run(program, args), *(v.aval for v in program.jaxpr.invars))


def inner(eqn: Any) -> Iterator[tuple[str, int, Program]]:
    """The jaxprs inside an equation: the parameter's name, the index within a tuple parameter, and the program."""
    for name, value in eqn.params.items():
        for index, each in enumerate(value if isinstance(value, (tuple, list)) else (value,)):
            if is_jaxpr(each):
                yield name, index, opened(each)


def callee(eqn: Any) -> Program | None:
    """The program that a call (`jit`, `remat`, a function with a custom rule) runs, or None for other equations."""
    if eqn.primitive.name not in CALLS:
        return None
    for _, _, program in inner(eqn):
        if len(program.jaxpr.invars) == len(eqn.invars):
            return program
    return None


def scan_sizes(eqn: Any) -> tuple[int, int]:
    """How many of a scan's operands are constants, and how many are carried."""
    if "num_consts" in eqn.params:
        return eqn.params["num_consts"], eqn.params["num_carry"]
    consts, carry, _ = eqn.params["ft_in"].unpack()
    return len(consts), len(carry)


def is_literal(atom: Any) -> bool:
    """Whether an operand is a literal rather than a variable."""
    return hasattr(atom, "val")


def bind(eqn: Any, values: Sequence[Any]) -> list[Any]:
    """What the equation computes from these operands."""
    if eqn.primitive.name == "clamp":  # JAX differentiates by scalar bounds only where the operand is one
        values = [jnp.broadcast_to(value, jnp.shape(values[1])) for value in values]
    out = eqn.primitive.bind(*values, **eqn.primitive.get_bind_params(eqn.params))
    return list(out) if eqn.primitive.multiple_results else [out]


def uses(program: Program, index: int) -> bool:
    """Whether any equation that an output needs reads this input."""
    var = program.jaxpr.invars[index]
    return any(v is var for eqn in program.jaxpr.eqns for v in eqn.invars) or var in program.jaxpr.outvars


def stopped(jaxpr: Any) -> set[Any]:
    """The variables that reach the outputs through a `stop_gradient` at most."""
    needed = {v for v in jaxpr.outvars if not is_literal(v)}
    for eqn in reversed(jaxpr.eqns):
        if eqn.primitive.name != "stop_gradient" and not needed.isdisjoint(eqn.outvars):
            needed.update(v for v in eqn.invars if not is_literal(v))
    return {v for eqn in jaxpr.eqns for v in eqn.outvars} - needed
