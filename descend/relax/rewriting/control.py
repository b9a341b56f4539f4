"""Branches and loops."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from descend.program import compat
from descend.relax.rewriting.choosing import chances, mixture
from descend.relax.rewriting.rules import Setting, rule
from descend.relax.rewriting.values import (
    Grain,
    Soft,
    Spread,
    common,
    floating,
    is_soft,
    least_grain,
    shape,
    soft,
)  # fmt: skip

CONTROL = frozenset({"cond", "while", "scan"})
_SPENT = 1e-6  # a loop that is alive with less weight than this rests: what it would do no longer counts


@rule("cond")
def _cond(setting: Setting, eqn: Any, which: Any, *operands: Any) -> list[Any]:
    branches = [program for _, _, program in compat.inner(eqn)]
    if not is_soft(which):
        return _switch(setting, branches, which, operands)
    results = [setting.run(setting, branch, operands) for branch in branches]
    weights = chances(setting, which, len(branches))
    outs = []
    for k, var in enumerate(eqn.outvars):
        cases = [result[k] for result in results]
        wide = jnp.broadcast_to(weights.reshape(-1, *(1,) * len(var.aval.shape)), (len(branches), *var.aval.shape))
        same = all(case is cases[0] for case in cases)
        outs.append(cases[0] if same else mixture(setting, wide, cases, var.aval.dtype))
    return outs


def _switch(setting: Setting, branches: Sequence[Any], which: Any, operands: Sequence[Any]) -> list[Any]:
    """A branch that the input does not decide stays one; what the sides give must be alike."""
    sides = [lambda *values, branch=branch: setting.run(setting, branch, values) for branch in branches]
    shapes = [jax.eval_shape(side, *operands) for side in sides]
    like = [_joined(cases) for cases in zip(*shapes, strict=True)]
    alike = [
        lambda *values, side=side: [_become(v, t) for v, t in zip(side(*values), like, strict=True)] for side in sides
    ]
    return jax.lax.switch(which, alike, *operands)


def _joined(values: Sequence[Any]) -> Any:
    """What can stand for all of these values (or their shapes): the same kind if they are of one, else the mean."""
    values = [v.plain() if isinstance(v, Spread) else v for v in values]
    first = values[0]
    if all(_same(v, first) for v in values) or not any(map(is_soft, values)):
        return first
    kinds = jnp.result_type(*(_floats(v) for v in values if is_soft(v)))
    dtype = next(v.dtype for v in values if is_soft(v))
    kinds = dtype if jnp.issubdtype(dtype, jnp.inexact) else kinds
    kind = min(v.grain if isinstance(v, Soft) else least_grain(v.dtype) for v in values)
    return Soft(jax.ShapeDtypeStruct(_shape(first), kinds), dtype, Grain(kind))


def _floats(value: Any) -> Any:
    return value.weights.dtype if isinstance(value, Spread) else value.value.dtype


def _shape(value: Any) -> tuple[int, ...]:
    return shape(value) if is_soft(value) else tuple(value.shape)


def _same(a: Any, b: Any) -> bool:
    if jax.tree.structure(a) != jax.tree.structure(b):
        return False
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(x.shape == y.shape and x.dtype == y.dtype for x, y in pairs)


def _become(value: Any, like: Any) -> Any:
    """A value as the kind that stands for it."""
    if isinstance(like, Spread):
        return value.plain()
    if not isinstance(like, Soft):
        return jnp.asarray(value, like.dtype)
    return Soft(floating(value, like.value.dtype), like.dtype, like.grain)


def _abstract(value: Any) -> Any:
    return jax.eval_shape(lambda v: v, value)


def _settled(step: Callable[[list[Any]], list[Any]], carry: Sequence[Any]) -> list[Any]:
    """The kinds that a loop carries: what enters it and what comes round must be alike."""
    kinds = [_abstract(c.plain() if isinstance(c, Spread) else c) for c in carry]
    while True:
        outs = jax.eval_shape(step, kinds)
        joined = [_joined([old, new]) for old, new in zip(kinds, outs, strict=True)]
        if all(_same(old, new) for old, new in zip(kinds, joined, strict=True)):
            return kinds
        kinds = joined


def _entered(carry: Sequence[Any], kinds: Sequence[Any]) -> list[Any]:
    return [_become(c, k) for c, k in zip(carry, kinds, strict=True)]


@rule("scan")
def _scan(setting: Setting, eqn: Any, *operands: Any) -> list[Any]:
    (_, _, body), *_ = compat.inner(eqn)
    a, b = compat.scan_sizes(eqn)
    consts, carry, xs = list(operands[:a]), operands[a : a + b], list(operands[a + b :])
    first = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), _abstract(xs))

    def step(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        outs = setting.run(setting, body, [*consts, *carry, *x])
        return outs[:b], outs[b:]

    kinds = _settled(lambda c: jax.eval_shape(lambda c, x: step(c, x)[0], c, first), carry)
    settings = {name: eqn.params[name] for name in ("length", "reverse", "unroll")}

    def held(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        carry, ys = step(carry, x)
        return _entered(carry, kinds), ys

    carry, ys = jax.lax.scan(held, _entered(carry, kinds), xs, **settings)
    return [*carry, *ys]


@rule("while")
def _while(setting: Setting, eqn: Any, *operands: Any) -> list[Any]:
    test, body = (compat.opened(eqn.params[name]) for name in ("cond_jaxpr", "body_jaxpr"))
    a, b = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    tested, used, carry = operands[:a], operands[a : a + b], operands[a + b :]

    def again(carry: Sequence[Any]) -> Any:
        return setting.run(setting, test, [*tested, *carry])[0]

    def step(carry: Sequence[Any]) -> list[Any]:
        return setting.run(setting, body, [*used, *carry])

    kinds = _settled(step, carry)
    carry = _entered(carry, kinds)
    if not is_soft(jax.eval_shape(again, carry)):
        return jax.lax.while_loop(again, lambda c: _entered(step(c), kinds), carry)
    if setting.max_steps is None:
        setting.refuse(
            "needs max_steps= for this loop, which stops by a condition that depends on the input: a number, or "
            "descend.relax.Rounds(at=x)"
        )
    outs = _survived(again, lambda c: _entered(step(c), kinds), carry, setting.max_steps)
    kept = [out is into for out, into in zip(body.jaxpr.outvars, body.jaxpr.invars[b:], strict=True)]
    return [old if same else new for old, new, same in zip(carry, outs, kept, strict=True)]


def _survived(again: Callable[..., Any], step: Callable[..., Any], carry: list[Any], rounds: int) -> list[Any]:
    """The mean over the round at which the loop stops: it goes on as if it never did, and each round has a weight.

    The weight is that of being the last: of being alive so far, times that of the condition failing. A loop that was
    mapped has one condition for each leading index of what it carries.
    """
    alive = jax.eval_shape(lambda c: soft(again(c)).value, carry)

    def one(state: Any, last: Any) -> tuple[Any, None]:
        carry, alive, totals = state
        on = alive * jnp.where(last, 0, soft(again(carry)).value)
        rests = on < _SPENT
        on = jnp.where(rests, 0, on)
        totals = [_added(total, alive - on, c) for total, c in zip(totals, carry, strict=True)]
        moved = jax.tree.map(lambda new, old: jnp.where(_leading(rests, old), old, new), step(carry), carry)
        return (moved, on, totals), None

    start = (carry, jnp.ones(alive.shape, alive.dtype), [_nothing(c, alive.dtype) for c in carry])
    (carry, _, totals), _ = jax.lax.scan(one, start, jnp.arange(rounds + 1) == rounds)
    return [_finished(c, total) for c, total in zip(carry, totals, strict=True)]


def _nothing(value: Any, floats: Any) -> Any:
    """Where the weighted sum of a carried value starts; None for what cannot be added up, such as random keys."""
    if not is_soft(value) and not jnp.issubdtype(value.dtype, jnp.number) and value.dtype != jnp.bool_:
        return None
    kind = common(value) if is_soft(value) or jnp.issubdtype(value.dtype, jnp.inexact) else floats
    return jnp.zeros(shape(value), jnp.result_type(kind, floats))


def _added(total: Any, weight: Any, value: Any) -> Any:
    if total is None:
        return None
    weight = _leading(weight, total)
    return total + jnp.where(weight > 0, weight * floating(value, total.dtype), 0).astype(total.dtype)


def _leading(lanes: Any, value: Any) -> Any:
    """One number a leading index, against all of a value."""
    return lanes.reshape(*lanes.shape, *(1,) * (value.ndim - lanes.ndim))


def _finished(value: Any, total: Any) -> Any:
    if total is None:
        return value
    dtype = soft(value).dtype if is_soft(value) else value.dtype
    return Soft(total, dtype, value.grain if isinstance(value, Soft) else least_grain(dtype))
