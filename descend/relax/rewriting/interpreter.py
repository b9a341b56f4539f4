"""Runs a program with soft values in place of arrays."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from descend.program import compat, tables
from descend.program.source import place
from descend.relax.rewriting import choosing, comparing, control, drawing, indexing, named, passing, undefined
from descend.relax.rewriting.indexing import Columns, column_values
from descend.relax.rewriting.rules import NAMED, RULES, Setting
from descend.relax.rewriting.values import as_typed, is_soft, number, soft

READ = (choosing, comparing, control, drawing, indexing, named, undefined)
"""The modules of rules, which enter them when they are imported."""

_JAX = os.path.dirname(os.path.abspath(jax.__file__)) + os.sep
_USES_COLUMNS = frozenset("gather scatter scatter-add scatter-sub scatter-mul scatter-min scatter-max".split())


def run(setting: Setting, program: compat.Program, values: Sequence[Any]) -> list[Any]:
    """The values of a program's outputs, given those of its inputs."""
    env: dict[Any, Any] = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
    env.update(zip(program.jaxpr.invars, values, strict=True))
    look = lambda atom: atom.val if compat.is_literal(atom) else env[atom]  # noqa: E731
    definitions = {v: eqn for eqn in program.jaxpr.eqns for v in eqn.outvars}
    stopped = compat.stopped(program.jaxpr)
    for eqn in program.jaxpr.eqns:
        here = dataclasses.replace(setting, place=place(eqn) or setting.place, definitions=definitions)
        ins = [look(v) for v in eqn.invars]
        outs = equation(here, eqn, ins, all(v in stopped for v in eqn.outvars))
        env.update(zip(eqn.outvars, map(as_typed, outs), strict=True))
    return [look(v) for v in program.jaxpr.outvars]


def equation(setting: Setting, eqn: Any, ins: list[Any], stopped: bool) -> list[Any]:
    """The values of an equation's results."""
    name = eqn.primitive.name
    if any(isinstance(v, Columns) for v in ins) and name not in _USES_COLUMNS:
        ins = [column_values(v) if isinstance(v, Columns) else v for v in ins]
    if not any(is_soft(v) or isinstance(v, Columns) for v in ins):
        return compat.bind(eqn, ins)
    if _reals(ins) and (stopped or name == "stop_gradient"):
        return compat.bind(eqn, [jax.lax.stop_gradient(number(v)) for v in ins])
    if name in tables.GUARDS or (name in ("ne", "eq") and eqn.invars[0] is eqn.invars[1]):
        return compat.bind(eqn, [number(v) for v in ins])
    if name in compat.CALLBACKS:
        setting.refuse(f"cannot see into `{name}`, which leaves JAX; keep its input out of argnums")
    if name in RULES and name in control.CONTROL:
        return RULES[name](dataclasses.replace(setting, scores=None), eqn, *ins)
    program = compat.callee(eqn)
    if program is not None:
        return called(setting, eqn, program, ins)
    for known in (passing.push, passing.together):
        pushed = known(eqn, ins)
        if pushed is not None:
            return [pushed]
    if name in RULES and not (name == "concatenate" and _reals(ins)):
        out = RULES[name](setting, eqn, *ins)
        return out if isinstance(out, list) else [out]
    return passing.passed(setting, eqn, ins)


def _reals(ins: Sequence[Any]) -> bool:
    """Whether what is soft has float types in the hard program too, so that an equation can be left as it is."""
    return all(not is_soft(v) or jnp.issubdtype(soft(v).dtype, jnp.inexact) for v in ins)


def called(setting: Setting, eqn: Any, program: compat.Program, ins: list[Any]) -> list[Any]:
    """A call: looked into, unless it has a derivative rule of its own."""
    name, ours = eqn.primitive.name, _from_jax(eqn)
    known = NAMED.get(str(eqn.params.get("name"))) if ours else None
    if known is not None:
        out = known(setting, eqn, *ins)
        if out is not None:
            return [out]
    if name.startswith("custom_") and _reals(ins) and not (ours and _function(eqn) in named.OPEN):
        outs = compat.bind(eqn, list(map(number, ins)))
        return [passing.as_real(v, out) for v, out in zip(eqn.outvars, outs, strict=True)]
    if name in ("checkpoint", "remat2", "remat"):
        apart = dataclasses.replace(setting, scores=None)  # what is made inside stays inside
        again = jax.checkpoint(
            lambda *values: setting.run(apart, program, values),
            policy=eqn.params.get("policy"),
            prevent_cse=eqn.params.get("prevent_cse", True),
        )
        return list(again(*ins))
    return setting.run(setting, program, ins)


def _debug(eqn: Any) -> Any:
    for _, _, inner in compat.inner(eqn):
        return getattr(inner.jaxpr, "debug_info", None)
    return None


def _from_jax(eqn: Any) -> bool:
    """Whether the function that is called is defined in JAX itself."""
    return _JAX in str(getattr(_debug(eqn), "func_src_info", ""))


def _function(eqn: Any) -> str:
    return str(getattr(_debug(eqn), "func_name", ""))
