"""How many rounds the loops of a program take: what bounds their soft twins."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from descend.program import compat


def most_rounds(program: compat.Program, args: Sequence[Any]) -> tuple[list[Any], Any]:
    """The program's outputs, and the most rounds that any of its `while` loops takes on the way, an int32."""
    env: dict[Any, Any] = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
    env.update(zip(program.jaxpr.invars, args, strict=True))
    look = lambda atom: atom.val if compat.is_literal(atom) else env[atom]  # noqa: E731
    most = jnp.int32(0)
    for eqn in program.jaxpr.eqns:
        ins = [look(v) for v in eqn.invars]
        if any(e.primitive.name == "while" for e in _all(eqn)):
            outs, rounds = _enter(eqn, ins)
            most = jnp.maximum(most, rounds)
        else:
            outs = compat.bind(eqn, ins)
        env.update(zip(eqn.outvars, outs, strict=True))
    return [look(v) for v in program.jaxpr.outvars], most


def _all(eqn: Any) -> list[Any]:
    """An equation and all inside it."""
    return [eqn, *(e for _, _, program in compat.inner(eqn) for each in program.jaxpr.eqns for e in _all(each))]


def _enter(eqn: Any, ins: list[Any]) -> tuple[list[Any], Any]:
    name = eqn.primitive.name
    if name == "while":
        return _while(eqn, ins)
    if name == "scan":
        return _scan(eqn, ins)
    if name == "cond":
        sides = [lambda *args, side=side: most_rounds(side, args) for _, _, side in compat.inner(eqn)]
        return jax.lax.switch(ins[0], sides, *ins[1:])
    program = compat.callee(eqn)
    return most_rounds(program, ins) if program is not None else (compat.bind(eqn, ins), jnp.int32(0))


def _while(eqn: Any, ins: list[Any]) -> tuple[list[Any], Any]:
    test, body = (compat.opened(eqn.params[name]) for name in ("cond_jaxpr", "body_jaxpr"))
    a, b = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]

    def on(carry: Sequence[Any]) -> Any:
        return compat.evaluate(test, [*ins[:a], *carry])[0]

    def step(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        carry, count, most = state
        alive = on(carry)
        outs, inner = most_rounds(body, [*ins[a : a + b], *carry])
        # A loop that was mapped goes on while any of its lanes does, and each lane rests when it is done.
        kept = (
            [
                jnp.where(jnp.reshape(alive, (*alive.shape, *(1,) * (o.ndim - alive.ndim))), o, c)
                for o, c in zip(outs, carry, strict=True)
            ]
            if alive.ndim
            else outs
        )
        return kept, count + 1, jnp.maximum(most, inner)

    start = (list(ins[a + b :]), jnp.int32(0), jnp.int32(0))
    carry, count, most = jax.lax.while_loop(lambda state: jnp.any(on(state[0])), step, start)
    return carry, jnp.maximum(count, most)


def _scan(eqn: Any, ins: list[Any]) -> tuple[list[Any], Any]:
    (_, _, body), *_ = compat.inner(eqn)
    a, b = compat.scan_sizes(eqn)

    def step(state: tuple[Any, Any], xs: Any) -> tuple[tuple[Any, Any], Any]:
        carry, most = state
        outs, inner = most_rounds(body, [*ins[:a], *carry, *xs])
        return (outs[:b], jnp.maximum(most, inner)), outs[b:]

    settings = {name: eqn.params[name] for name in ("length", "reverse")}
    (carry, most), ys = jax.lax.scan(step, (list(ins[a : a + b]), jnp.int32(0)), list(ins[a + b :]), **settings)
    return [*carry, *ys], most
