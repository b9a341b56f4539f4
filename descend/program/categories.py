"""Differentiation as an interpretation: a program read as a composition of arrows of some category of linear maps.

An equation extends the tuple of what is known: it is the fork of the identity and of its own derivative after the
choice of its operands. The derivative of a program is the composition of these steps, whatever an arrow is made of:
functions of tangents give forward mode, functions of cotangents that compose in reverse give reverse mode without a
tape, and matrices give Jacobians. Nothing here is mutated or recorded; sharing is that of the program's variables.

Source: Elliott, "The Simple Essence of Automatic Differentiation", ICFP 2018 (arXiv:1804.00746).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.program import compat

Arrow = Any
Shapes = Sequence[jax.ShapeDtypeStruct]
"""An object of the category: the tuple of these arrays."""


class Category(NamedTuple):
    """How linear maps between tuples of arrays are represented.

    Attributes:
        compose: (g, f) -> g after f.
        fork: (f, g, of f, of g) -> the arrow to the results of both, which have these shapes.
        pick: (shapes, places) -> from a tuple to some of its members: identity, projection and duplication.
        local: (linear function, shapes in, shapes out) -> the arrow of a primitive's derivative.
    """

    compose: Callable[[Arrow, Arrow], Arrow]
    fork: Callable[[Arrow, Arrow, Shapes, Shapes], Arrow]
    pick: Callable[[Shapes, Sequence[int]], Arrow]
    local: Callable[[Callable[..., Any], Shapes, Shapes], Arrow]


def derivative(function: Callable[..., Any], category: Category, *args: Any) -> tuple[list[Any], Arrow]:
    """The values of `function` at float arrays, flattened, and its derivative there as an arrow of the category.

    Calls are looked through, scans are unrolled, and of branches the one that is taken counts: where arguments are
    traced, a branch that depends on them raises JAX's `ConcretizationTypeError`.

    Raises:
        NotImplementedError: for a `while` loop.
    """
    args = tuple(map(jnp.asarray, args))
    return interpret(compat.trace(function, *args), args, [True] * len(args), category)


def interpret(
    program: compat.Program, args: Sequence[Any], moving: Sequence[bool], category: Category
) -> tuple[list[Any], Arrow]:
    """The outputs of a program, and the arrow from its moving inputs to those of its outputs that are floats."""
    values = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
    values.update(zip(program.jaxpr.invars, args, strict=True))
    look = lambda atom: atom.val if compat.is_literal(atom) else values[atom]  # noqa: E731
    shapes = lambda atoms: _described([look(v) for v in atoms])  # noqa: E731
    known = [v for v, moves in zip(program.jaxpr.invars, moving, strict=True) if moves]
    last = _last_uses(program.jaxpr)
    arrow = category.pick(shapes(known), range(len(known)))
    for index, eqn in enumerate(program.jaxpr.eqns):
        ins, moves = [look(v) for v in eqn.invars], [_place(v, known) is not None for v in eqn.invars]
        if not any(moves):
            values.update(zip(eqn.outvars, compat.bind(eqn, ins), strict=True))
            continue
        outs, local = _equation(eqn, ins, moves, category)
        values.update(zip(eqn.outvars, outs, strict=True))
        operands = [known.index(v) for v, moves_it in zip(eqn.invars, moves, strict=True) if moves_it]
        kept = [place for place, v in enumerate(known) if last.get(v, -1) > index]
        old, new = [known[place] for place in kept], [v for v in eqn.outvars if _is_float(look(v))]
        after = category.compose(local, category.pick(shapes(known), operands))
        step = category.fork(category.pick(shapes(known), kept), after, shapes(old), shapes(new))
        arrow, known = category.compose(step, arrow), [*old, *new]
    outs = [v for v in program.jaxpr.outvars if _is_float(look(v))]
    fixed = [v for v in outs if _place(v, known) is None]
    nothing = category.local(lambda *_: [jnp.zeros_like(look(v)) for v in fixed], shapes(known), shapes(fixed))
    every = category.pick(shapes(known), range(len(known)))
    widened = category.compose(category.fork(every, nothing, shapes(known), shapes(fixed)), arrow)
    picked = category.pick(shapes([*known, *fixed]), [_place(v, [*known, *fixed]) or 0 for v in outs])
    return [look(v) for v in program.jaxpr.outvars], category.compose(picked, widened)


def _place(atom: Any, atoms: Sequence[Any]) -> int | None:
    return next((i for i, each in enumerate(atoms) if each is atom), None)


def _is_float(value: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(value), jnp.floating)


def _last_uses(jaxpr: Any) -> dict[Any, int]:
    last = {v: i for i, eqn in enumerate(jaxpr.eqns) for v in eqn.invars if not compat.is_literal(v)}
    return last | {v: len(jaxpr.eqns) for v in jaxpr.outvars if not compat.is_literal(v)}


def _equation(eqn: Any, ins: list[Any], moves: list[bool], category: Category) -> tuple[list[Any], Arrow]:
    """The results of an equation, and the arrow to them from its moving operands."""
    name = eqn.primitive.name
    program = compat.callee(eqn)
    if name == "scan":
        program = compat.trace(lambda *ins: _unrolled(eqn, ins), *ins)
    elif name == "cond":
        _, _, program = list(compat.inner(eqn))[int(ins[0])]
        ins, moves = ins[1:], moves[1:]
    elif name == "while":
        raise NotImplementedError("a while loop has no arrow: the number of its steps is not known from the program")
    if program is not None:
        return interpret(program, ins, moves, category)
    places = [i for i, m in enumerate(moves) if m]

    def bound(*moving: Any) -> tuple[list[Any], list[Any]]:
        every = dict(zip(places, moving, strict=True))
        outs = compat.bind(eqn, [every.get(i, x) for i, x in enumerate(ins)])
        return [y for y in outs if _is_float(y)], outs

    moving = [ins[i] for i in places]
    floats, linear, outs = jax.linearize(bound, *moving, has_aux=True)
    return outs, category.local(linear, _described(moving), _described(floats))


def _unrolled(eqn: Any, ins: Sequence[Any]) -> list[Any]:
    """A scan, step by step."""
    (_, _, body), *_ = compat.inner(eqn)
    a, b = compat.scan_sizes(eqn)
    consts, carry, xs = ins[:a], list(ins[a : a + b]), ins[a + b :]
    rows = range(eqn.params["length"])
    stacked = []
    for i in reversed(rows) if eqn.params["reverse"] else rows:
        outs = compat.evaluate(body, [*consts, *carry, *(x[i] for x in xs)])
        carry = outs[:b]
        stacked.append(outs[b:])
    ordered = stacked[::-1] if eqn.params["reverse"] else stacked
    return [*carry, *map(jnp.stack, zip(*ordered, strict=True))]


def _described(arrays: Sequence[Any]) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)) for x in arrays]


# An arrow is a function from the list of tangents to the list of tangents of the results: forward mode.
functions = Category(
    compose=lambda g, f: lambda tangents: g(f(tangents)),
    fork=lambda f, g, *_: lambda tangents: [*f(tangents), *g(tangents)],
    pick=lambda shapes, places: lambda tangents: [tangents[i] for i in places],
    local=lambda linear, *_: lambda tangents: linear(*tangents),
)


def _scattered(shapes: Shapes, places: Sequence[int]) -> Callable[[Any], list[Any]]:
    """The transpose of a choice: adds up what was chosen more than once; None stands for zero."""

    def arrow(cotangents: Any) -> list[Any]:
        sums: list[Any] = [None] * len(shapes)
        for place, cotangent in zip(places, cotangents, strict=True):
            sums[place] = _plus(sums[place], cotangent)
        return sums

    return arrow


def _plus(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b


def _transposed(linear: Callable[..., Any], ins: Shapes, outs: Shapes) -> Callable[[Any], list[Any]]:
    def arrow(cotangents: Any) -> list[Any]:
        if all(c is None for c in cotangents):
            return [None] * len(ins)
        whole = [jnp.zeros(o.shape, o.dtype) if c is None else c for c, o in zip(cotangents, outs, strict=True)]
        return list(jax.linear_transpose(lambda *t: list(linear(*t)), *ins)(whole))

    return arrow


# An arrow from a to b is a function from the cotangents of b to those of a: reverse mode. None stands for zero.
dual = Category(
    compose=lambda g, f: lambda cotangents: f(g(cotangents)),
    fork=lambda f, g, of_f, of_g: lambda c: list(map(_plus, f(c[: len(of_f)]), g(c[len(of_f) :]))),
    pick=_scattered,
    local=_transposed,
)


def _sizes(shapes: Shapes) -> list[int]:
    return [int(np.prod(s.shape)) for s in shapes]


def _selection(shapes: Shapes, places: Sequence[int]) -> Any:
    ends = np.cumsum([0, *_sizes(shapes)])
    rows = [np.arange(ends[i], ends[i + 1]) for i in places]
    return jnp.eye(ends[-1])[np.concatenate([np.zeros(0, int), *rows])]


def _matrix(linear: Callable[..., Any], ins: Shapes, outs: Shapes) -> Any:
    """The columns are what the linear map makes of the basis."""
    ends = np.cumsum([0, *_sizes(ins)])

    def column(basis: Any) -> Any:
        parts = [basis[a:b].reshape(s.shape).astype(s.dtype) for a, b, s in zip(ends, ends[1:], ins, strict=False)]
        return jnp.concatenate([jnp.zeros(0), *(jnp.ravel(y) for y in linear(*parts))])

    return jax.vmap(column, out_axes=1)(jnp.eye(ends[-1]))


# An arrow is a matrix, on the arrays laid end to end.
matrices = Category(
    compose=lambda g, f: g @ f,
    fork=lambda f, g, *_: jnp.concatenate([f, g]),
    pick=_selection,
    local=_matrix,
)

# An arrow is the pattern of a matrix: which entries of a result depend on which entries of an input.
sparsity = Category(
    compose=lambda g, f: (g.astype(int) @ f.astype(int)) > 0,
    fork=lambda f, g, *_: jnp.concatenate([f, g]),
    pick=lambda shapes, places: _selection(shapes, places) != 0,
    local=lambda *arrow: _matrix(*arrow) != 0,
)


def continuations(base: Category) -> Category:
    """An arrow f becomes what it does to everything that may follow: h -> h after f. Composition is reversed.

    The base needs arrows that are data and add up, such as matrices.
    """

    def fork(f: Arrow, g: Arrow, of_f: Shapes, of_g: Shapes) -> Arrow:
        left, right = (sum(_sizes(s)) for s in (of_f, of_g))
        return lambda h: f(h[:, :left]) + g(h[:, left : left + right])

    return Category(
        compose=lambda g, f: lambda h: f(g(h)),
        fork=fork,
        pick=lambda *arrow: lambda h: base.compose(h, base.pick(*arrow)),
        local=lambda *arrow: lambda h: base.compose(h, base.local(*arrow)),
    )
