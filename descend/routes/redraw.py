"""Runs a program again with other random draws: every stated draw is handed to a function that answers for it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.draws import DRAW, Family
from descend.draws.family import uniform
from descend.program import compat
from descend.program.source import place


class Site(NamedTuple):
    """A stated draw that is reached.

    Attributes:
        family: what is drawn.
        y: what the program drew there by itself, if the family is continuous; else its shape only, so that nobody
            computes it.
        parameters: of the distribution, as arrays.
        position: how many elements stand before it. Elements are numbered as they are reached; of the branches of a
            `cond` the longest counts, so that numbers mean the same whatever was drawn.
    """

    family: Family
    y: Any
    parameters: tuple[Any, ...]
    position: Any

    @property
    def batch(self) -> tuple[int, ...]:
        """The shape of the independent elements."""
        return _batch(self.y, self.family)

    def key(self, key: jax.Array) -> jax.Array:
        """A key of the site's own."""
        return jax.random.fold_in(key, self.position)

    def uniform(self, numbers: Any) -> Any:
        """Uniform numbers, one for each element.

        Args:
            numbers: those of all elements, of which the site takes its own; or a key to draw them by, where it is not
                known how many there are.
        """
        dtype = self.parameters[0].dtype
        if jnp.issubdtype(numbers.dtype, jax.dtypes.prng_key):
            return uniform(self.key(numbers), self.batch, dtype)
        u = self.mine(numbers)
        return u if u.dtype == dtype else jnp.minimum(u.astype(dtype), 1 - jnp.finfo(dtype).epsneg)

    def drawn(self, numbers: Any) -> Any:
        """A sample by these numbers (see `uniform`)."""
        return self.family.inverse(self.uniform(numbers), *self.parameters)

    def mine(self, everything: Any) -> Any:
        """The part of a vector over all elements that belongs to this site."""
        part = jax.lax.dynamic_slice(everything, (self.position,), (int(np.prod(self.batch, dtype=int)),))
        return part.reshape(self.batch)

    def put(self, everything: Any, elements: Any) -> Any:
        """A vector over all elements, with this site's replaced."""
        return jax.lax.dynamic_update_slice(everything, elements.ravel().astype(everything.dtype), (self.position,))

    def where(self, chosen: Any, y: Any, other: Any) -> Any:
        """y, but the other at the element of this number."""
        number = self.position + jnp.arange(int(np.prod(self.batch, dtype=int))).reshape(self.batch)
        return jnp.where((number == chosen).reshape(self.batch + (1,) * self.family.events[0]), other, y)


Handler = Callable[[Any, Site], tuple[Any, Any]]
"""`handler(state, site)` gives the new state, of the same shapes, and what the program receives as its draw."""


def redraw(
    jaxpr: Any, consts: Any, leaves: Sequence[Any], handler: Handler, state: Any, position: Any = 0
) -> tuple[list[Any], Any]:
    """The results of a program whose draws are made by `handler`, and the last state.

    Args:
        jaxpr: the program.
        consts: what it closes over.
        leaves: its arguments.
        handler: called at each site in the order of the program, at those of a scan or a loop once in every turn.
        state: handed from site to site.
        position: the number of the first element.

    Raises:
        TypeError: naming the line, if a draw stands where it cannot be replaced (in the condition of a loop).
    """
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, leaves, strict=True))
    for eqn in _needed(jaxpr):
        operands = [v.val if compat.is_literal(v) else values.get(v, v.aval) for v in eqn.invars]
        outs, state, position = _step(eqn, operands, handler, state, position)
        values.update(zip(eqn.outvars, outs, strict=True))
    return [jnp.asarray(v.val) if compat.is_literal(v) else values[v] for v in jaxpr.outvars], state


def _needed(jaxpr: Any) -> list[Any]:
    """The equations that results depend on, once draws are replaced: not those that drew, nor what split their keys."""
    live, kept = {v for v in jaxpr.outvars if not compat.is_literal(v)}, []
    for eqn in reversed(jaxpr.eqns):
        if not eqn.effects and live.isdisjoint(eqn.outvars):
            continue
        replaced = eqn.primitive is DRAW and not eqn.params["family"].continuous
        live.update(v for v in eqn.invars[replaced:] if not compat.is_literal(v))
        kept.append(eqn)
    return kept[::-1]


def _step(eqn: Any, operands: list[Any], handler: Handler, state: Any, position: Any) -> tuple[list[Any], Any, Any]:
    if eqn.primitive is DRAW:
        y, *parameters = operands
        site = Site(eqn.params["family"], y, tuple(map(jnp.asarray, parameters)), position)
        state, drawn = handler(state, site)
        return [drawn], state, position + int(np.prod(site.batch, dtype=int))
    if not _draws(eqn):
        return compat.bind(eqn, operands), state, position
    name = eqn.primitive.name
    if name == "while":
        return _while(eqn, operands, handler, state, position)
    program = compat.callee(eqn)
    if name == "scan":
        outs, state = _scan(eqn, operands, handler, state, position)
    elif name == "cond":
        outs, state = _cond(eqn, operands, handler, state, position)
    elif program is not None:
        outs, state = redraw(program.jaxpr, program.consts, operands, handler, state, position)
    else:
        raise TypeError(f"a draw inside {name} ({place(eqn) or 'no line known'}) cannot be replaced")
    return list(outs), state, position + _elements(eqn)


def _scan(eqn: Any, operands: list[Any], handler: Handler, state: Any, position: Any) -> tuple[list[Any], Any]:
    consts, carried = compat.scan_sizes(eqn)
    fixed, carry, rows = operands[:consts], operands[consts : consts + carried], operands[consts + carried :]
    inner, each = compat.opened(eqn.params["jaxpr"]), len(elements(eqn.params["jaxpr"]))

    def body(joint: Any, row: Any) -> Any:
        (state, carry), (turn, row) = joint, row
        at = position + each * turn
        outs, state = redraw(inner.jaxpr, inner.consts, [*fixed, *carry, *row], handler, state, at)
        return (state, _alike(outs[:carried], carry)), tuple(outs[carried:])

    start = (state, tuple(jnp.asarray(c, v.aval.dtype) for c, v in zip(carry, eqn.invars[consts:], strict=False)))
    settings = {name: eqn.params[name] for name in ("length", "reverse", "unroll")}
    turns = jnp.arange(eqn.params["length"])
    turns = turns[::-1] if eqn.params["reverse"] else turns
    (state, carry), stacked = jax.lax.scan(body, start, (turns, tuple(map(jnp.asarray, rows))), **settings)
    return [*carry, *stacked], state


def _cond(eqn: Any, operands: list[Any], handler: Handler, state: Any, position: Any) -> tuple[list[Any], Any]:
    def run(program: compat.Program) -> Callable[..., Any]:
        def branch(state: Any, *operands: Any) -> Any:
            outs, state = redraw(program.jaxpr, program.consts, operands, handler, state, position)
            return _alike(outs, [v.aval for v in eqn.outvars]), state

        return branch

    branches = [run(compat.opened(each)) for each in eqn.params["branches"]]
    return jax.lax.switch(operands[0], branches, state, *operands[1:])


def _while(eqn: Any, operands: list[Any], handler: Handler, state: Any, position: Any) -> tuple[list[Any], Any, Any]:
    ask, body = compat.opened(eqn.params["cond_jaxpr"]), compat.opened(eqn.params["body_jaxpr"])
    if any(_draws(each) for each in ask.jaxpr.eqns):
        raise TypeError(f"a draw in the condition of a while loop ({place(eqn) or 'no line known'}) cannot be replaced")
    known, inner = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    asked, fixed, carry = operands[:known], operands[known : known + inner], operands[known + inner :]
    each = len(elements(body.jaxpr))

    def step(joint: Any) -> Any:
        at, state, carry = joint
        outs, state = redraw(body.jaxpr, body.consts, [*fixed, *carry], handler, state, at)
        return at + each, state, _alike(outs, carry)

    going = lambda joint: compat.evaluate(ask, [*asked, *joint[2]])[0]  # noqa: E731
    start = tuple(jnp.asarray(c, v.aval.dtype) for c, v in zip(carry, eqn.invars[known + inner :], strict=True))
    end, state, carry = jax.lax.while_loop(going, step, (jnp.asarray(position, jnp.int32), state, start))
    return list(carry), state, end


def elements(jaxpr: Any, countable: bool = False) -> list[int | None]:
    """The number of outcomes of each element that a program draws, in order: None where it is not known.

    Args:
        jaxpr: the program.
        countable: whether a loop of unknown length is refused. Else its body counts once.

    Raises:
        TypeError: naming the line, if it is.
    """
    found: list[int | None] = []
    for eqn in compat.opened(jaxpr).jaxpr.eqns:
        if not _draws(eqn):
            continue
        if countable and eqn.primitive.name == "while":
            raise TypeError(
                f"a while loop ({place(eqn) or 'no line known'}) draws an unknown number of times: "
                "use routes.score, or a loop of fixed length"
            )
        found += _outcomes(eqn, countable)
    return found


def length(jaxpr: Any) -> int | None:
    """How many elements a program draws; None where a loop draws an unknown number of times."""
    try:
        return len(elements(jaxpr, countable=True))
    except TypeError:
        return None


def _outcomes(eqn: Any, countable: bool = False) -> list[int | None]:
    if eqn.primitive is DRAW:
        y, *parameters = (v.aval for v in eqn.invars)
        family = eqn.params["family"]
        return [family.outcomes(*parameters)] * int(np.prod(_batch(y, family), dtype=int))
    inside = [elements(program.jaxpr, countable) for _, _, program in compat.inner(eqn)]
    if eqn.primitive.name == "scan":
        return inside[0] * eqn.params["length"]
    longest = max(inside, key=len)
    aligned = [[each[i] for each in inside if i < len(each)] for i in range(len(longest))]
    return [None if None in sizes else max(s for s in sizes if s is not None) for sizes in aligned]


def _elements(eqn: Any) -> int:
    return len(_outcomes(eqn))


def _draws(eqn: Any) -> bool:
    return eqn.primitive is DRAW or any(_draws(e) for _, _, program in compat.inner(eqn) for e in program.jaxpr.eqns)


def _batch(y: Any, family: Family) -> tuple[int, ...]:
    return y.shape[: y.ndim - family.events[0]]


def _alike(outs: Any, wanted: Any) -> tuple[Any, ...]:
    return tuple(jnp.asarray(o, w.dtype) for o, w in zip(outs, wanted, strict=True))
