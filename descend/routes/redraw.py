"""Runs a program again with other random draws: every stated draw is handed to a function that answers for it."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from descend.draws import DRAW, Family
from descend.program import compat
from descend.program.source import place


class Site(NamedTuple):
    """A stated draw that is reached.

    Attributes:
        family: what is drawn.
        y: what the program drew there by itself.
        parameters: of the distribution, as arrays.
    """

    family: Family
    y: Any
    parameters: tuple[Any, ...]

    @property
    def batch(self) -> tuple[int, ...]:
        """The shape of the independent elements."""
        return self.y.shape[: self.y.ndim - self.family.events[0]]

    def total(self, elements: Any) -> Any:
        """The sum over the elements."""
        return jnp.sum(elements)

    def spread(self, elements: Any) -> Any:
        """Something for each element in a shape that meets y."""
        return elements.reshape(self.batch + (1,) * self.family.events[0])


Handler = Callable[[Any, Site], tuple[Any, Any]]
"""`handler(state, site)` gives the new state, of the same shapes, and what the program receives as its draw."""


def redraw(jaxpr: Any, consts: Any, leaves: Any, handler: Handler, state: Any) -> tuple[list[Any], Any]:
    """The results of a program whose draws are made by `handler`, and the last state.

    Sites are reached in the order of the program; those of a scan or a loop once in every turn.

    Raises:
        TypeError: naming the line, if a draw stands where it cannot be replaced (in the condition of a loop).
    """
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, leaves, strict=True))
    for eqn in jaxpr.eqns:
        operands = [v.val if compat.is_literal(v) else values[v] for v in eqn.invars]
        outs, state = _step(eqn, operands, handler, state)
        values.update(zip(eqn.outvars, outs, strict=True))
    return [jnp.asarray(v.val) if compat.is_literal(v) else values[v] for v in jaxpr.outvars], state


def _step(eqn: Any, operands: list[Any], handler: Handler, state: Any) -> tuple[list[Any], Any]:
    if eqn.primitive is DRAW:
        y, *parameters = (jnp.asarray(o) for o in operands)
        state, drawn = handler(state, Site(eqn.params["family"], y, tuple(parameters)))
        return [drawn], state
    if not any(True for _ in sites(eqn)):
        return compat.bind(eqn, operands), state
    name = eqn.primitive.name
    if name == "scan":
        return _scan(eqn, operands, handler, state)
    if name == "cond":
        return _cond(eqn, operands, handler, state)
    if name == "while":
        return _while(eqn, operands, handler, state)
    program = compat.callee(eqn)
    if program is None:
        raise TypeError(f"a draw inside {name} ({place(eqn) or 'no line known'}) cannot be replaced")
    return redraw(program.jaxpr, program.consts, operands, handler, state)


def _scan(eqn: Any, operands: list[Any], handler: Handler, state: Any) -> tuple[list[Any], Any]:
    consts, carried = compat.scan_sizes(eqn)
    fixed, carry, rows = operands[:consts], operands[consts : consts + carried], operands[consts + carried :]
    inner = compat.opened(eqn.params["jaxpr"])

    def body(joint: Any, row: Any) -> Any:
        state, carry = joint
        outs, state = redraw(inner.jaxpr, inner.consts, [*fixed, *carry, *row], handler, state)
        return (state, _alike(outs[:carried], carry)), tuple(outs[carried:])

    start = (state, tuple(jnp.asarray(c, v.aval.dtype) for c, v in zip(carry, eqn.invars[consts:], strict=False)))
    settings = {name: eqn.params[name] for name in ("length", "reverse", "unroll")}
    (state, carry), stacked = jax.lax.scan(body, start, tuple(map(jnp.asarray, rows)), **settings)
    return [*carry, *stacked], state


def _cond(eqn: Any, operands: list[Any], handler: Handler, state: Any) -> tuple[list[Any], Any]:
    def run(program: compat.Program) -> Callable[..., Any]:
        def branch(state: Any, *operands: Any) -> Any:
            outs, state = redraw(program.jaxpr, program.consts, operands, handler, state)
            return _alike(outs, [v.aval for v in eqn.outvars]), state

        return branch

    branches = [run(compat.opened(each)) for each in eqn.params["branches"]]
    outs, state = jax.lax.switch(operands[0], branches, state, *operands[1:])
    return list(outs), state


def _while(eqn: Any, operands: list[Any], handler: Handler, state: Any) -> tuple[list[Any], Any]:
    ask, body = compat.opened(eqn.params["cond_jaxpr"]), compat.opened(eqn.params["body_jaxpr"])
    if any(True for each in ask.jaxpr.eqns for _ in sites(each)):
        raise TypeError(f"a draw in the condition of a while loop ({place(eqn) or 'no line known'}) cannot be replaced")
    known, inner = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    asked, fixed, carry = operands[:known], operands[known : known + inner], operands[known + inner :]

    def step(joint: Any) -> Any:
        state, carry = joint
        outs, state = redraw(body.jaxpr, body.consts, [*fixed, *carry], handler, state)
        return state, _alike(outs, carry)

    going = lambda joint: compat.evaluate(ask, [*asked, *joint[1]])[0]  # noqa: E731
    start = tuple(jnp.asarray(c, v.aval.dtype) for c, v in zip(carry, eqn.invars[known + inner :], strict=True))
    state, carry = jax.lax.while_loop(going, step, (state, start))
    return list(carry), state


def _alike(outs: Any, wanted: Any) -> tuple[Any, ...]:
    return tuple(jnp.asarray(o, w.dtype) for o, w in zip(outs, wanted, strict=True))


def sites(eqn: Any) -> Iterator[Any]:
    """The draws of an equation and of what is inside it, each once."""
    if eqn.primitive is DRAW:
        yield eqn
    for _, _, program in compat.inner(eqn):
        for each in program.jaxpr.eqns:
            yield from sites(each)
