"""The lines of a program that may break its derivative, found by following what depends on the input.

An abstract interpretation: each intermediate array is described by whether a derivative flows into it, and by the
equations upstream that may make it a kinked, discontinuous or random function of the input. What reaches an output is
a candidate; probing then confirms or refutes it. The reader looks through calls, branches and loops.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from descend.program import compat, tables
from descend.program.flow import NOTHING, SEVERAL, Flow, Origin, Role, Site, is_float, join, marked, square_of, stopped
from descend.program.source import Place, place
from descend.program.walk import walk


class Candidate(NamedTuple):
    """An equation that may break the derivative of an output.

    Attributes:
        site: the equation.
        role: what it may do.
        primitive: its name.
        place: the user's file and line, or None.
        outputs: indices of the program's outputs that it reaches.
        mixed: of a KILLS: whether its result is added to something with a derivative, number by number (a modulo),
            so that the derivative there is not zero.
        used: of an ITERATES: for each array of the loop's state, whether anything uses its end.
        ends: of an ITERATES: whether what it computes decides when it ends.
    """

    site: Site
    role: Role
    primitive: str
    place: Place | None
    outputs: tuple[int, ...]
    mixed: bool
    used: tuple[bool, ...] = ()
    ends: bool = False


def candidates(
    program: compat.Program,
    active: Sequence[bool],
    keyed: Sequence[bool],
    given: Mapping[str, Flow] = MappingProxyType({}),
) -> list[Candidate]:
    """The candidates of a program.

    Args:
        program: a program, from `compat.trace`.
        active: for each input, whether derivatives are taken with respect to it.
        keyed: for each input, whether it is the source of randomness.
        given: what is known of the results of some primitives, by name: `Flow(True)` for further inputs, `NOTHING`
            for what derivatives are not followed through.
    """
    reader = _Reader(given)
    flows = [Flow(a, k) for a, k in zip(active, keyed, strict=True)]
    outs = reader.read(program, flows, (), None)
    reach: dict[Origin, list[int]] = {}
    for index, out in enumerate(outs):
        for origin in out.origins:
            reach.setdefault(origin, []).append(index)
    return [
        Candidate(
            *origin,
            *reader.known[origin.site],
            tuple(outputs),
            any(origin in outs[index].mixed for index in outputs),
            reader.used.get(origin.site, ()),
            origin.site in reader.ends,
        )
        for origin, outputs in sorted(reach.items(), key=lambda item: (item[0].site, item[0].role.value))
    ]


class _Reader:
    def __init__(self, given: Mapping[str, Flow]) -> None:
        self.given = given
        self.known: dict[Site, tuple[str, Place | None]] = {}
        self.chosen: set[Origin] = set()  # conditions and indices by which constants were chosen
        self.of: dict[Origin, frozenset[int]] = {}  # what a killing equation works on
        self.reads: set[Any] = set()
        self.ends: set[Site] = set()
        self.used: dict[Site, tuple[bool, ...]] = {}
        self.numbers: dict[Any, int] = {}

    def read(self, program: compat.Program, flows: Sequence[Flow], at: Site, outer: Place | None) -> list[Flow]:
        env: dict[Any, Flow] = {v: self.named(NOTHING, v) for v in program.jaxpr.constvars}
        env.update(
            (v, f if f.number >= 0 else self.named(f, v)) for v, f in zip(program.jaxpr.invars, flows, strict=True)
        )

        self.reads.update(v for e in program.jaxpr.eqns for v in e.invars if not compat.is_literal(v))
        self.reads.update(v for v in program.jaxpr.outvars if not compat.is_literal(v))

        def look(atom: Any) -> Flow:
            return self.named(NOTHING, str(atom.val), str(atom.aval)) if compat.is_literal(atom) else env[atom]

        for index, eqn in enumerate(program.jaxpr.eqns):
            here = place(eqn) or outer
            site = (*at, index)
            self.known[site] = (eqn.primitive.name, here)
            ins = [look(v) for v in eqn.invars]
            outs = self.equation(eqn, ins, site, here)
            env.update(zip(eqn.outvars, self.numbered(eqn, ins, outs), strict=True))
        return [look(v) for v in program.jaxpr.outvars]

    def named(self, flow: Flow, *name: Any) -> Flow:
        """The flow with the number that stands for a name."""
        number = self.numbers.setdefault(name, len(self.numbers))
        return flow._replace(number=number, multiples=frozenset({number}))

    def numbered(self, eqn: Any, ins: list[Flow], outs: list[Flow]) -> list[Flow]:
        """The results of an equation with numbers that stand for how they are computed."""
        name = eqn.primitive.name
        if any(True for _ in compat.inner(eqn)):
            return [out if out.number >= 0 else self.named(out, v) for v, out in zip(eqn.outvars, outs, strict=True)]
        how = (name, str(eqn.params), tuple(f.number for f in ins))
        found = [self.named(out, how, index) for index, out in enumerate(outs)]
        active = [f for f in ins if f.active]
        if len(active) == 1 and (name in tables.ARRANGING or name in ("add", "sub", "mul", "div")):
            return [out._replace(multiples=out.multiples | active[0].multiples) for out in found]
        return found

    def equation(self, eqn: Any, ins: list[Flow], site: Site, here: Place | None) -> list[Flow]:
        name = eqn.primitive.name
        if name == "scan":
            return self.scan(eqn, ins, site, here)
        if name == "while":
            return self.loop(eqn, ins, site, here)
        if name == "cond":
            branches = [program for _, _, program in compat.inner(eqn)]
            results = [self.read(b, ins[1:], (*site, i), here) for i, b in enumerate(branches)]
            return [self.choice(ins[0], [r[i] for r in results], site) for i in range(len(eqn.outvars))]
        program = compat.callee(eqn)
        if program is not None:
            outs = self.read(program, ins, (*site, 0), here)
            return self.custom(eqn, ins, outs, site) if name.startswith(("custom_vjp", "custom_jvp")) else outs
        return self.primitive(eqn, name, ins, site)

    def primitive(self, eqn: Any, name: str, ins: list[Flow], site: Site) -> list[Flow]:
        if name in self.given:
            return [self.given[name]] * len(eqn.outvars)
        if name in tables.STATED:
            return [ins[0]]
        whole = join(ins)
        same = len(eqn.invars) == 2 and eqn.invars[0] is eqn.invars[1]
        if name in tables.GUARDS or (name in tables.COMPARISONS and same):
            return [Flow(keyed=whole.keyed, usual=name in (*tables.GUARDS, "eq", "le", "ge"))]
        if ins and ins[0].usual is not None and name in ("not", *tables.ARRANGING):
            return [ins[0]._replace(usual=ins[0].usual ^ (name == "not"))]
        if name in tables.DRAWS:
            return [whole._replace(origins=whole.origins | {Origin(site, Role.DRAWS)}) if whole.keyed else whole]
        if name in compat.CALLBACKS:
            return [stopped(whole, Origin(site, Role.CALLS_HOST))] * len(eqn.outvars)
        if name == "select_n":
            return [self.choice(ins[0], ins[1:], site)]
        if name in ("sort", "top_k"):
            return self.sort(eqn, ins, site)
        if not whole.active:
            if name in tables.LOOKUPS:
                self.chosen |= join(ins[tables.LOOKUPS[name] :]).killers()
            return [self.passed(name, ins, whole)] * len(eqn.outvars)
        if name == "stop_gradient":
            return [stopped(whole, Origin(site, Role.STOPS))._replace(mixed=whole.mixed)]
        if name in tables.LOOKUPS or name in tables.SCATTERS:
            start = tables.LOOKUPS.get(name, 1)
            stop = start + 1 if name in tables.SCATTERS else len(ins)
            index = join(ins[start:stop])
            whole = self.choice(index, ins[:start] + ins[stop:], site) if index.sourced() else whole
        role = next((role for role, names in tables.ROLES.items() if name in names), None)
        if role is not None:
            whole = marked(whole, Origin(site, Role(role)))
        elif name not in tables.READ:
            whole = marked(whole, Origin(site, Role.UNREAD))
        elif tables.is_root(eqn) and ins[0].square is not None and SEVERAL not in ins[0].square:
            self.known[ins[0].square] = (
                name,
                self.known[site][1],
            )  # seen where the square is taken, told where the root is
            whole = marked(whole, Origin(ins[0].square, Role.KINKS))
        elif tables.is_root(eqn):
            whole = marked(whole, Origin(site, Role.CROSSES))  # kinked where what it is taken of touches its end
        passed = self.passed(name, ins, whole)._replace(square=square_of(eqn, ins, site))
        passes = [is_float(v) and name not in tables.ROUNDING for v in eqn.outvars]
        if all(passes):
            return [passed] * len(passes)
        kill = Origin(site, Role.KILLS)
        self.of[kill] = frozenset[int]().union(*(f.multiples for f in ins))
        killed = stopped(whole, kill, alone=True)
        return [passed if each else killed for each in passes]

    def passed(self, name: str, ins: list[Flow], whole: Flow) -> Flow:
        """An operation that passes derivatives on; notices where a constant piece meets one that varies.

        Added to a multiple of what it was made from, it is a modulo; multiplied by something that varies, a condition
        or a lookup is a branch. Added to other things it is a staircase among them.
        """
        if name in tables.ARRANGING:
            return whole
        if not whole.active:
            return whole._replace(alone=frozenset()) if name in tables.COUNTING else whole
        mixed: set[Origin] = set()
        if name in ("add", "sub", "add_any", "mul", "div"):
            for one, other in ((ins[0], ins[-1]), (ins[-1], ins[0])):
                if other.active and not one.active and name in ("mul", "div"):
                    known = self.known
                    mixed |= {o for o in one.alone if o in self.chosen or known[o.site][0] in tables.COMPARISONS}
                elif other.active and not one.active:
                    mixed |= {o for o in one.alone if self.of.get(o, frozenset()) & other.multiples}
        return whole._replace(alone=frozenset(), mixed=whole.mixed | mixed)

    def choice(self, index: Flow, cases: Sequence[Flow], site: Site) -> Flow:
        """One of several values: where they carry derivatives, the condition becomes a branch of its own."""
        if index.usual is not None and len(cases) == 2:
            return cases[index.usual]
        whole = join(cases)
        if not (index.active or index.sourced()):
            return whole | index._replace(active=False)
        if not whole.active:
            self.chosen |= index.killers()
            return whole | index
        kept = frozenset(o for o in index.origins if o.role is not Role.KILLS)
        origins = whole.origins | kept | {Origin(site, Role.BRANCHES)}
        return Flow(True, whole.keyed or index.keyed, origins, whole.alone - index.alone, whole.mixed)

    def custom(self, eqn: Any, ins: list[Flow], outs: list[Flow], site: Site) -> list[Flow]:
        """A function with a derivative rule of its own: what kills derivatives inside need not kill them outside."""
        if not any(f.active for f in ins):
            return outs
        own = [frozenset(o for o in out.killers() if o.site[: len(site)] == site) for out in outs]
        return [
            out._replace(active=is_float(v), mixed=out.mixed | inside)
            for v, out, inside in zip(eqn.outvars, outs, own, strict=True)
        ]

    def sort(self, eqn: Any, ins: list[Flow], site: Site) -> list[Flow]:
        whole = join(ins)
        if eqn.primitive.name == "top_k":
            keys, values = ins, [NOTHING]
        else:
            count = eqn.params.get("num_keys", 1)
            keys, values = ins[:count], ins[count:]
        if not join(keys).active:
            return [whole._replace(alone=frozenset())] * len(eqn.outvars)
        kill = Origin(site, Role.KILLS)
        firsts = [marked(whole, Origin(site, Role.KINKS))] * len(keys)
        rest = [
            marked(whole, Origin(site, Role.BRANCHES)) if value.active else stopped(whole | value, kill, alone=True)
            for value in values
        ]
        return (firsts + rest)[: len(eqn.outvars)]

    def scan(self, eqn: Any, ins: list[Flow], site: Site, here: Place | None) -> list[Flow]:
        (_, _, body), *_ = compat.inner(eqn)
        consts, carried = compat.scan_sizes(eqn)
        edge = consts + carried
        rows = [self.named(f, site, "row", i) for i, f in enumerate(ins[edge:])]
        carry, outs = self.settled(body, ins[:consts], ins[consts:edge], rows, (*site, 0), here)
        return self.iterated(eqn, site, carry, [*carry, *outs[carried:]])

    def settled(
        self,
        body: compat.Program,
        consts: list[Flow],
        start: list[Flow],
        rows: list[Flow],
        at: Site,
        here: Place | None,
    ) -> tuple[list[Flow], list[Flow]]:
        """What a loop carries in any round, and what its body gives.

        Where a number that starts as a constant turns out to carry a derivative, the rounds are read again with that
        known: a choice between constants is one only as long as they are.
        """
        carry = [self.named(f, at, i) for i, f in enumerate(start)]
        chosen = set(self.chosen)
        while True:
            outs = self.read(body, [*consts, *carry, *rows], at, here)
            grown = [self.named(old | new, at, i) for i, (old, new) in enumerate(zip(carry, outs, strict=False))]
            if any(new.active and not old.active for old, new in zip(carry, grown, strict=True)):
                self.chosen = set(chosen)
                flags = [f._replace(active=g.active, keyed=g.keyed) for f, g in zip(start, grown, strict=True)]
                carry = [self.named(f, at, i) for i, f in enumerate(flags)]
            elif grown == carry:
                return carry, outs
            else:
                carry = grown

    def loop(self, eqn: Any, ins: list[Flow], site: Site, here: Place | None) -> list[Flow]:
        test, body = (compat.opened(eqn.params[name]) for name in ("cond_jaxpr", "body_jaxpr"))
        a, b = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
        draws = any(e.primitive.name in tables.DRAWS for e, _ in walk(body.jaxpr))
        # When the loop ends is nothing to what a round does, as long as there is one.
        carry, _ = self.settled(body, ins[a : a + b], ins[a + b :], [], (*site, 1), here)
        stop = self.read(test, [*ins[:a], *carry], (*site, 0), here)[0]
        if (stop.active or stop.sourced()) and not draws:  # rejection is no convergence
            self.ends.add(site)
        return self.iterated(eqn, site, carry, [self.choice(stop, [f], site) for f in carry])

    def iterated(self, eqn: Any, site: Site, carry: list[Flow], outs: list[Flow]) -> list[Flow]:
        """The results of a loop: of several rounds, and of an iteration where its state carries a derivative."""
        state = list(zip(carry, eqn.outvars, strict=False))
        self.used[site] = tuple(v in self.reads for _, v in state)
        moves = any((f.active or f.sourced()) and is_float(v) for f, v in state)
        own = {Origin(site, Role.ITERATES)} if moves else set()
        return [
            Flow(
                f.active,
                f.keyed,
                f.origins | (own if f.active or f.sourced() else set()),
                frozenset() if f.active else f.alone,
                f.mixed,
            )
            for f in outs
        ]
