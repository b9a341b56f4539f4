"""Runs a program and hands its kinks to a source, which says what they are."""

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.program import compat
from descend.program.affine import Form, known

ALIKE = frozenset("reshape squeeze expand_dims broadcast_in_dim transpose slice rev convert_element_type copy".split())
"""Operations that move numbers about, and act alike on all arrays of a shape."""

SQUARES = frozenset("abs cosh erfc exp exp2 logistic sqrt square".split())
"""Operations that give no negative number."""

KEEPERS = ALIKE | frozenset(
    "add add_any cumsum concatenate div dot_general integer_pow max min mul reduce_max reduce_min reduce_sum".split()
)
"""Operations that give no negative number if they get none."""

ORDERS = {"gt": 1, "ge": 1, "lt": -1, "le": -1}


class Traced(NamedTuple):
    """A value on the way.

    Attributes:
        value: the array.
        moves: whether it depends on the variables.
        unknown: of one that does not, whether its numbers may be others when the program is run again.
        form: it as a weighted sum, where that is known.
        test: of a truth value, the form that is positive where it is true and negative where it is not.
        name: equal for arrays that are computed in the same way from the same arrays.
        positive: whether it is known that no number of it is negative.
    """

    value: Any
    moves: bool = False
    unknown: bool = False
    form: Form | None = None
    test: Form | None = None
    name: Hashable = None
    positive: bool = False


class Watch:
    """A source that lets the kinks have the values that they have, and notes them."""

    def __init__(self, values: Sequence[Any] = ()):
        self.out: list[Any] = []
        self._values = list(values)

    def kink(self, sign: Any, pieces: Any) -> Any:
        """The value of sign * max(sign * pieces) over the first axis, along which the sign has length one."""
        self.out.append(extreme(sign, pieces))
        return self.out[-1]

    def taken(self, like: Sequence[Any], length: int) -> list[Any]:
        """What a loop hands out, round by round, for the kinks in it."""
        return []

    def inside(self, taken: Sequence[Any]) -> "Watch":
        """The source for one round."""
        return type(self)(taken)


class Reader:
    """Runs a program, and asks its source for the kinks."""

    def __init__(self, source: Watch):
        self.source = source
        self.names: dict[Hashable, int] = {}

    def run(self, program: compat.Program, values: Sequence[Traced]) -> list[Traced]:
        constants = [Traced(c, name=("constant", id(c))) for c in program.consts]
        env: dict[Any, Traced] = dict(zip(program.jaxpr.constvars, constants, strict=True))
        for variable, value in zip(program.jaxpr.invars, values, strict=True):
            env[variable] = self._named(value, ("input", len(self.names)))
        look = lambda atom: _literal(atom.val) if compat.is_literal(atom) else env[atom]  # noqa: E731
        stopped = compat.stopped(program.jaxpr)
        for eqn in program.jaxpr.eqns:
            ins = [look(v) for v in eqn.invars]
            passive = not any(v.moves for v in ins) or all(v in stopped for v in eqn.outvars)
            outs = _bound(eqn, ins) if passive else self._equation(eqn, ins)
            # Where a loop or a kink is taken twice, it is not said that it is the same.
            again = tuple(v.name for v in ins) if not any(compat.inner(eqn)) else len(self.names)
            positive = _positive(eqn, ins)
            for index, (variable, out) in enumerate(zip(eqn.outvars, outs, strict=True)):
                out = out._replace(positive=out.positive or positive)
                env[variable] = self._named(out, (eqn.primitive.name, str(eqn.params), again, index))
        return [look(v) for v in program.jaxpr.outvars]

    def _named(self, value: Traced, what: Hashable) -> Traced:
        """The value with a name and, if it moves and is not known to be a sum, a form of a single term."""
        name = value.name if value.name is not None else self._name(what)
        moves = value.moves and value.form is None and jnp.issubdtype(value.value.dtype, jnp.floating)
        return value._replace(name=name, form=Form.of(name, value.value.shape) if moves else value.form)

    def _name(self, what: Hashable) -> int:
        return self.names.setdefault(what, len(self.names))

    def _equation(self, eqn: Any, ins: list[Traced]) -> list[Traced]:
        name, values = eqn.primitive.name, [v.value for v in ins]
        real = all(jnp.issubdtype(v.aval.dtype, jnp.floating) for v in eqn.outvars)
        if name in ORDERS and ins[0].value.dtype == ins[1].value.dtype:
            (out,) = _bound(eqn, ins)
            first, second = map(_form, ins)
            both = None if first is None or second is None else first.plus(second, -1.0)
            return [out._replace(test=None if both is None else both.scaled(ORDERS[name]).shaped(out.value.shape))]
        if name in ALIKE and (real or ins[0].test is not None) and len(ins) == 1:
            return [self._alike(eqn, ins[0])]
        if real and name in _KINKS:
            found = _KINKS[name](self.source, eqn, ins)
            if found is not None:
                return [Traced(found, True)]
        program = None if name.startswith("custom_vjp") else compat.callee(eqn)
        if program is not None and (not name.startswith("custom_") or self._inside(program, values)):
            return self.run(program, ins)
        if name == "scan":
            return [Traced(v, True) for v in self._scan(eqn, ins)]
        (out, *more) = _bound(eqn, ins)
        form = _sum(name, ins) if real else None
        return [out._replace(form=None if form is None else form.shaped(out.value.shape)), *more]

    def _alike(self, eqn: Any, x: Traced) -> Traced:
        (out,) = _bound(eqn, [x])

        def change(weights: np.ndarray) -> np.ndarray:
            with jax.ensure_compile_time_eval():
                params = {**eqn.params, "new_dtype": np.dtype(np.float64)} if "new_dtype" in eqn.params else eqn.params
                return np.asarray(eqn.primitive.bind(weights, **params), np.float64)

        rename = lambda atom: self._name((atom, eqn.primitive.name, str(eqn.params)))  # noqa: E731
        if eqn.primitive.name in ("convert_element_type", "copy"):
            return out._replace(form=x.form, test=x.test)
        forms = [None if f is None else f.mapped(change, rename) for f in (x.form, x.test)]
        return out._replace(form=forms[0], test=forms[1])

    def _inside(self, program: compat.Program, values: Sequence[Any]) -> list[Any]:
        """The shapes of the kinks inside a program, of which all inputs may move."""

        def watch(*values: Any) -> list[Any]:
            reader = Reader(Watch())
            reader.run(program, [Traced(v, True) for v in values])
            return reader.source.out

        return jax.eval_shape(watch, *values)

    def _scan(self, eqn: Any, ins: list[Traced]) -> list[Any]:
        (_, _, body), *_ = compat.inner(eqn)
        a, b = compat.scan_sizes(eqn)
        values = [v.value for v in ins]
        carry, xs = values[a : a + b], values[a + b :]
        moving = [*[True] * b, *(v.moves for v in ins[a + b :])]
        first = [jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in xs]

        def step(source: Watch, carry: Any, x: Any) -> tuple[Any, Any]:
            rounds = [Traced(v, moves, not moves) for v, moves in zip([*carry, *x], moving, strict=True)]
            consts = [v._replace(form=None, test=None, name=None) for v in ins[:a]]
            outs = [out.value for out in Reader(source).run(body, [*consts, *rounds])]
            return outs[:b], (outs[b:], source.out)

        like = jax.eval_shape(lambda c, x: step(Watch(), c, x)[1][1], carry, first)
        if not like:
            return compat.bind(eqn, values)
        taken = self.source.taken(like, eqn.params["length"])
        held = lambda c, x: step(self.source.inside(x[1]), c, x[0])  # noqa: E731
        settings = {name: eqn.params[name] for name in ("length", "reverse", "unroll")}
        carry, (ys, out) = jax.lax.scan(held, carry, (xs, taken), **settings)
        self.source.out += out
        return [*carry, *ys]


def extreme(sign: Any, pieces: Any) -> Any:
    """sign * max(sign * pieces) over the first axis, along which the sign has length one."""
    found = sign * jnp.max(sign * pieces, axis=0, keepdims=True)
    return found[0]


def _positive(eqn: Any, ins: Sequence[Traced]) -> bool:
    """Whether reading tells that an equation gives no negative number."""
    name = eqn.primitive.name
    even = name == "integer_pow" and eqn.params["y"] % 2 == 0
    if even or (name in SQUARES and all(jnp.issubdtype(v.aval.dtype, jnp.floating) for v in eqn.invars)):
        return True
    if name not in KEEPERS:
        return False
    signs = (x.positive or _all(x, np.greater_equal) for x in ins)
    return any(signs) if name == "max" else all(signs)


def _numbers(x: Traced) -> np.ndarray | None:
    """The numbers of a constant, if they are always these."""
    return None if x.moves or x.unknown else known(x.value)


def _all(x: Traced, order: Callable[..., Any]) -> bool:
    """Whether a constant that is always the same compares so with zero."""
    number = _numbers(x)
    return number is not None and bool(np.all(order(number, 0)))


def _literal(number: Any) -> Traced:
    return Traced(number, name=("literal", str(number), str(jnp.result_type(number))))


def _bound(eqn: Any, ins: Sequence[Traced]) -> list[Traced]:
    """What an equation computes from these values; at once from constants that are always the same.

    Whether it is run at once must not hang on whether the program is being traced: what is read would hang on it.
    """
    values, moves = [v.value for v in ins], any(v.moves for v in ins)
    if moves or any(v.unknown for v in ins) or compat.callee(eqn) is not None:
        return [Traced(out, moves, not moves) for out in compat.bind(eqn, values)]
    with jax.ensure_compile_time_eval():
        return [Traced(out) for out in compat.bind(eqn, values)]


def _form(x: Traced) -> Form | None:
    """An operand as a weighted sum: a known constant is an offset, another one, such as data, a term of its own."""
    if x.moves or not jnp.issubdtype(jnp.result_type(x.value), jnp.floating):
        return x.form
    number = _numbers(x)
    return Form.of(x.name, jnp.shape(x.value)) if number is None else Form({}, number)


def _sum(name: str, ins: Sequence[Traced]) -> Form | None:
    forms = [form for form in map(_form, ins) if form is not None]
    if len(forms) < len(ins):
        return None
    if name in ("add", "sub", "add_any"):
        return forms[0].plus(forms[1], -1.0 if name == "sub" else 1.0)
    if name == "neg":
        return forms[0].scaled(-1.0)
    for one, factor in ((0, 1), (1, 0)) if name == "mul" else ((0, 1),) if name == "div" else ():
        if not forms[factor].terms:
            number = forms[factor].offset
            return forms[one].scaled(number if name == "mul" else 1 / np.where(number == 0, np.nan, number))
    return None


def _stack(*pieces: Any) -> Any:
    return jnp.stack(jnp.broadcast_arrays(*pieces))


def _abs(source: Watch, eqn: Any, ins: Sequence[Traced]) -> Any:
    return None if ins[0].positive else source.kink(1, _stack(ins[0].value, -ins[0].value))


def _pair(sign: int, source: Watch, eqn: Any, ins: Sequence[Traced]) -> Any:
    for x, y in (ins, ins[::-1]):
        if x.positive and _all(y, np.less_equal):
            return None
    return source.kink(sign, _stack(ins[0].value, ins[1].value))


def _whole(sign: int, source: Watch, eqn: Any, ins: Sequence[Traced]) -> Any:
    axes = sorted(eqn.params["axes"])
    x = jnp.moveaxis(ins[0].value, axes, range(len(axes)))
    return source.kink(sign, x.reshape(-1, *x.shape[len(axes) :])) if x.size else None


def _clip(source: Watch, eqn: Any, ins: Sequence[Traced]) -> Any:
    lower, x, upper = (v.value for v in ins)
    return source.kink(-1, _stack(source.kink(1, _stack(x, lower)), upper))


def _choice(source: Watch, eqn: Any, ins: Sequence[Traced]) -> Any:
    """A choice by the sign of d between pieces that differ by a multiple of d is the larger of them, or the smaller."""
    which, *cases = ins
    forms = [form for form in map(_form, cases) if form is not None]
    if which.test is None or len(cases) != 2 or len(forms) < 2 or which.value.shape != cases[0].value.shape:
        return None
    factor = forms[1].plus(forms[0], -1.0).over(which.test)
    if factor is None:
        return None
    sign = jnp.asarray(np.where(factor >= 0, 1, -1), cases[0].value.dtype)[None]
    return source.kink(sign, _stack(cases[0].value, cases[1].value))


_KINKS: dict[str, Callable[..., Any]] = {
    "abs": _abs,
    "max": functools.partial(_pair, 1),
    "min": functools.partial(_pair, -1),
    "reduce_max": functools.partial(_whole, 1),
    "reduce_min": functools.partial(_whole, -1),
    "clamp": _clip,
    "select_n": _choice,
}
