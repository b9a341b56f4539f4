"""The reading behind `structure`: of each number of each array, which inputs it depends on, and how."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from descend.program import compat, moves, rules
from descend.program.array import NONLINEAR, Array
from descend.program.dependence import Sets, empty, pairs, union, unions

UNROLLED = 5_000
"""Equations of a loop that are followed step by step; a longer loop is followed until nothing changes."""


class Reader:
    """Reads programs with `inputs` input numbers.

    Attributes:
        interactions: pairs of sets of inputs that met in an operation that is not linear.
    """

    def __init__(self, inputs: int):
        self.inputs = inputs
        self.interactions: list[tuple[sparse.csr_array, sparse.csr_array]] = []

    def constant(self, value: Any) -> Array:
        """A constant of known value."""
        return self.unknown(np.shape(value), lambda: value)

    def unknown(self, shape: tuple[int, ...], value: Callable[[], Any] | None = None) -> Array:
        """A constant, by default of unknown value."""
        return Array(empty(shape, self.inputs), np.zeros(shape, np.int8), value)

    def read(self, program: compat.Program, arrays: Sequence[Array]) -> list[Array]:
        """What is known of the outputs of a program, given its inputs."""
        env: dict[Any, Array] = dict(zip(program.jaxpr.constvars, map(self.constant, program.consts), strict=True))
        env.update(zip(program.jaxpr.invars, arrays, strict=True))
        look = lambda atom: self.constant(atom.val) if compat.is_literal(atom) else env[atom]  # noqa: E731
        for eqn in program.jaxpr.eqns:
            env.update(zip(eqn.outvars, self.equation(eqn, [look(v) for v in eqn.invars]), strict=True))
        return [look(v) for v in program.jaxpr.outvars]

    def equation(self, eqn: Any, ins: list[Array]) -> list[Array]:
        """What is known of the results of an equation."""
        name = eqn.primitive.name
        if all(a.constant for a in ins):
            return self.folded(eqn, ins)
        program = compat.callee(eqn)
        if program is not None:
            outs = self.read(program, ins)
            return [self.bent(out) for out in outs] if name.startswith("custom_") else outs
        rule = LOOPS.get(name) or rules.RULES.get(name)
        found = None if rule is None else rule(self, eqn, ins)
        return self.anything(eqn, ins) if found is None else found

    def folded(self, eqn: Any, ins: list[Array]) -> list[Array]:
        """Constants of constants, computed when somebody asks for them."""
        shapes = [tuple(getattr(v.aval, "shape", ())) for v in eqn.outvars]
        if eqn.primitive.name in compat.CALLBACKS or not all(a.known for a in ins):
            return [self.unknown(shape) for shape in shapes]
        results: list[Any] = []

        def value(index: int) -> Any:
            if not results:
                results.extend(moves.fold(eqn, [a.value for a in ins]))
            return results[index]

        return [self.unknown(shape, lambda index=index: value(index)) for index, shape in enumerate(shapes)]

    def anything(self, eqn: Any, ins: Sequence[Array]) -> list[Array]:
        """Every result depends on every operand, nonlinearly."""
        whole = unions([a.sets.whole(()) for a in ins if not a.constant])
        self.meet(whole, whole)
        shapes = [tuple(getattr(v.aval, "shape", ())) for v in eqn.outvars]
        return [Array(whole.reshaped(np.zeros(s, np.int64)), np.full(s, NONLINEAR, np.int8)) for s in shapes]

    def meet(self, a: Sets, b: Sets) -> None:
        """Enters that these inputs meet, number by number, in an operation that is not linear."""
        if a.which.size and b.which.size and not (a.nothing or b.nothing):
            self.interactions.append(pairs(a, b))

    def bent(self, array: Array) -> Array:
        """The same numbers through a function that is not linear."""
        self.meet(array.sets, array.sets)
        return Array(array.sets, np.where(array.degree > 0, NONLINEAR, 0).astype(np.int8))

    def joined(self, arrays: Sequence[Array]) -> Array:
        """One of these, it is not known which."""
        degree = np.max(np.stack([a.degree for a in arrays]), axis=0)
        return Array(unions([a.sets for a in arrays]), degree)

    def chosen(self, index: Array, cases: Sequence[Array]) -> Array:
        """One of the cases, number by number, by an index that may depend on inputs."""
        whole = self.joined(cases)
        if index.constant:
            return whole
        sets = union(index.sets, whole.sets)
        return self.bent(Array(sets, np.full(sets.which.shape, NONLINEAR, np.int8)))

    def cond(self, eqn: Any, ins: list[Array]) -> list[Array]:
        branches = [program for _, _, program in compat.inner(eqn)]
        if ins[0].known:
            return self.read(branches[int(np.clip(int(ins[0].value), 0, len(branches) - 1))], ins[1:])
        results = [self.read(branch, ins[1:]) for branch in branches]
        index = ins[0]
        return [self.chosen(index, [r[i] for r in results]) for i in range(len(eqn.outvars))]

    def scan(self, eqn: Any, ins: list[Array]) -> list[Array]:
        (_, _, body), *_ = compat.inner(eqn)
        consts, carried = compat.scan_sizes(eqn)
        edge, length = consts + carried, eqn.params["length"]
        carry, xs = ins[consts:edge], ins[edge:]
        if 0 < length * max(1, len(body.jaxpr.eqns)) <= UNROLLED:
            rows: list[list[Array]] = []
            order = range(length)[::-1] if eqn.params["reverse"] else range(length)
            for i in order:
                outs = self.read(body, [*ins[:consts], *carry, *(rules.row(self, x, i) for x in xs)])
                carry, row = outs[:carried], outs[carried:]
                rows.append(row)
            rows = rows[::-1] if eqn.params["reverse"] else rows
            return [*carry, *(rules.stack(self, [row[i] for row in rows]) for i in range(len(outs) - carried))]
        each = [rules.any_row(self, x) for x in xs]
        carry, outs = self.settled(lambda carry: self.read(body, [*ins[:consts], *carry, *each]), carry)
        return [*carry, *(rules.repeated(self, out, length) for out in outs[carried:])]

    def loop(self, eqn: Any, ins: list[Array]) -> list[Array]:
        test, body = (compat.opened(eqn.params[name]) for name in ("cond_jaxpr", "body_jaxpr"))
        a, b = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]

        def step(carry: list[Array]) -> list[Array]:
            outs = self.read(body, [*ins[a : a + b], *carry])
            (go_on,) = self.read(test, [*ins[:a], *carry])
            return [self.chosen(go_on, [old, new]) for old, new in zip(carry, outs, strict=True)]

        return self.settled(step, ins[a + b :])[0]

    def settled(
        self, step: Callable[[list[Array]], list[Array]], carry: list[Array]
    ) -> tuple[list[Array], list[Array]]:
        """What holds of the carried arrays before every round, and the results of a round."""
        carry = [Array(c.sets, c.degree) for c in carry]  # their values change
        while True:
            before = len(self.interactions)
            outs = step(carry)
            grown = [self.joined([old, new]) for old, new in zip(carry, outs, strict=False)]
            if all(old.same(new) for old, new in zip(carry, grown, strict=True)):
                return grown, outs
            del self.interactions[before:]
            carry = grown


LOOPS: dict[str, Callable[[Reader, Any, list[Array]], list[Array] | None]] = {
    "cond": Reader.cond,
    "scan": Reader.scan,
    "while": Reader.loop,
}
