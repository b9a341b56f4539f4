"""Runs a program with its scans replaced."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from descend.program import compat


class Scan(NamedTuple):
    """A scan of a program, with its operands.

    Attributes:
        body: `body(carry, row) -> (carry, row)` on tuples of arrays.
        carry: the first carry.
        rows: what is scanned over, in the order of the steps.
        length: how many steps.
        backwards: whether the program runs them from the last row to the first; `rows` is turned around already.
    """

    body: Callable[[Any, Any], tuple[Any, Any]]
    carry: tuple[Any, ...]
    rows: tuple[Any, ...]
    length: int
    backwards: bool


Rule = Callable[[Scan], tuple[Any, Any]]
"""`rule(scan)` gives the last carry and the stacked results, in the order of the steps."""


def rewritten(jaxpr: Any, consts: Any, leaves: Sequence[Any], rule: Rule) -> list[Any]:
    """The results of a program whose outermost scans are run by `rule`, those in calls included."""
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, leaves, strict=True))
    for eqn in jaxpr.eqns:
        operands = [v.val if compat.is_literal(v) else values[v] for v in eqn.invars]
        program = compat.callee(eqn)
        if eqn.primitive.name == "scan":
            outs = _scan(eqn, operands, rule)
        elif program is not None and not eqn.primitive.name.startswith("custom") and _scans(program.jaxpr):
            outs = rewritten(program.jaxpr, program.consts, operands, rule)
        else:
            outs = compat.bind(eqn, operands)
        values.update(zip(eqn.outvars, outs, strict=True))
    return [jnp.asarray(v.val) if compat.is_literal(v) else values[v] for v in jaxpr.outvars]


def _scan(eqn: Any, operands: list[Any], rule: Rule) -> list[Any]:
    consts, carried = compat.scan_sizes(eqn)
    fixed, inner = operands[:consts], compat.opened(eqn.params["jaxpr"])
    backwards = eqn.params["reverse"]
    turned = lambda rows: tuple(row[::-1] for row in rows) if backwards else tuple(rows)  # noqa: E731

    def body(carry: Any, row: Any) -> tuple[Any, Any]:
        outs = compat.evaluate(inner, [*fixed, *carry, *row])
        return tuple(outs[:carried]), tuple(outs[carried:])

    carry = tuple(jnp.asarray(c, v.aval.dtype) for c, v in zip(operands[consts:], eqn.invars[consts:], strict=True))
    scan = Scan(body, carry[:carried], turned(carry[carried:]), eqn.params["length"], backwards)
    carry, stacked = rule(scan)
    return [*carry, *turned(stacked)]


def _scans(jaxpr: Any) -> bool:
    return any(
        e.primitive.name == "scan" or any(_scans(program.jaxpr) for _, _, program in compat.inner(e))
        for e in jaxpr.eqns
    )


def along_scans(point: Any, rule: Rule) -> tuple[Any, ...]:
    """The derivative of a program with its scans replaced: by its arguments and by what it closes over."""
    from descend.routes.point import push

    program = point.programs[0]
    tangents = dict(zip(point.moving, point.tangents, strict=True))
    leaves = tuple(tangents.get(i) for i in range(len(point.leaves)))
    count = len(point.leaves)
    return push(
        lambda joint: tuple(rewritten(program.jaxpr, joint[count:], joint[:count], rule)),
        (*point.leaves, *point.consts[0]),
        (*leaves, *point.drift[0]),
    )


def floats(tree: Any) -> list[Any]:
    """The floating leaves of a tree."""
    return [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
