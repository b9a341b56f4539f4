"""The lines of a program that may break its derivative, found by following what depends on the input.

An abstract interpretation: each intermediate array is described by whether a derivative flows into it, and by the
equations upstream that may make it a kinked, discontinuous or random function of the input. What reaches an output is
a candidate; probing then confirms or refutes it. The reader looks through calls, branches and loops.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

from descend.program import compat, tables
from descend.program.source import Place, place

Site = tuple[int, ...]
"""Where an equation is: its index in the program, then the indices inside each equation that encloses it."""


class Role(Enum):
    """What an equation may do to the derivative of the output."""

    KILLS = "kills"  # piecewise constant: no derivative passes
    STOPS = "stops"  # continuous, but told not to pass a derivative
    BRANCHES = "branches"  # chooses between values that carry derivatives, by a condition that depends on the input
    KINKS = "kinks"  # continuous and piecewise smooth
    DRAWS = "draws"  # draws random numbers from the key
    CALLS_HOST = "calls host"  # leaves JAX
    UNREAD = "unread"  # not in the tables


_CARRIED = frozenset({Role.BRANCHES, Role.KINKS, Role.UNREAD})  # matters only as long as a derivative flows


class Origin(NamedTuple):
    """An equation in one of its roles."""

    site: Site
    role: Role


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
    """

    site: Site
    role: Role
    primitive: str
    place: Place | None
    outputs: tuple[int, ...]
    mixed: bool


class Flow(NamedTuple):
    """What is known about one array: `alone` are origins whose result it is, number by number."""

    active: bool = False
    keyed: bool = False
    origins: frozenset[Origin] = frozenset()
    alone: frozenset[Origin] = frozenset()

    def __or__(self, other: "Flow") -> "Flow":  # type: ignore[override]
        return Flow(
            self.active or other.active,
            self.keyed or other.keyed,
            self.origins | other.origins,
            self.alone | other.alone,
        )

    def sourced(self) -> bool:
        return any(origin.role is Role.KILLS for origin in self.origins)


NOTHING = Flow()


def candidates(program: compat.Program, active: Sequence[bool], keyed: Sequence[bool]) -> list[Candidate]:
    """The candidates of a program.

    Args:
        program: a program, from `compat.trace`.
        active: for each input, whether derivatives are taken with respect to it.
        keyed: for each input, whether it is the source of randomness.
    """
    reader = _Reader()
    flows = [Flow(a, k) for a, k in zip(active, keyed, strict=True)]
    outs = reader.read(program, flows, (), None)
    reach: dict[Origin, list[int]] = {}
    for index, out in enumerate(outs):
        for origin in out.origins:
            reach.setdefault(origin, []).append(index)
    return [
        Candidate(*origin, *reader.known[origin.site], tuple(outputs), origin in reader.mixed)
        for origin, outputs in sorted(reach.items(), key=lambda item: (item[0].site, item[0].role.value))
    ]


class _Reader:
    def __init__(self) -> None:
        self.known: dict[Site, tuple[str, Place | None]] = {}
        self.mixed: set[Origin] = set()

    def read(self, program: compat.Program, flows: Sequence[Flow], at: Site, outer: Place | None) -> list[Flow]:
        env: dict[Any, Flow] = dict(zip(program.jaxpr.invars, flows, strict=True))
        look = lambda atom: NOTHING if compat.is_literal(atom) else env.get(atom, NOTHING)  # noqa: E731
        for index, eqn in enumerate(program.jaxpr.eqns):
            here = place(eqn) or outer
            site = (*at, index)
            self.known[site] = (eqn.primitive.name, here)
            outs = self.equation(eqn, [look(v) for v in eqn.invars], site, here)
            env.update(zip(eqn.outvars, outs, strict=True))
        return [look(v) for v in program.jaxpr.outvars]

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
            return self.custom(eqn, ins, outs) if name.startswith(("custom_vjp", "custom_jvp")) else outs
        return self.primitive(eqn, name, ins, site)

    def primitive(self, eqn: Any, name: str, ins: list[Flow], site: Site) -> list[Flow]:
        whole = _join(ins)
        same = len(eqn.invars) == 2 and eqn.invars[0] is eqn.invars[1]
        if name in tables.GUARDS or (name in tables.COMPARISONS and same):
            return [Flow(keyed=whole.keyed)]
        if name == "random_bits":
            return [whole._replace(origins=whole.origins | {Origin(site, Role.DRAWS)}) if whole.keyed else whole]
        if name in compat.CALLBACKS:
            return [_stopped(whole, Origin(site, Role.CALLS_HOST))] * len(eqn.outvars)
        if name == "select_n":
            return [self.choice(ins[0], ins[1:], site)]
        if name in ("sort", "top_k"):
            return self.sort(eqn, ins, site)
        if not whole.active:
            return [self.passed(eqn, name, ins, whole)] * len(eqn.outvars)
        if name == "stop_gradient":
            return [_stopped(whole, Origin(site, Role.STOPS))]
        if name in tables.LOOKUPS or name in tables.SCATTERS:
            start = tables.LOOKUPS.get(name, 1)
            stop = start + 1 if name in tables.SCATTERS else len(ins)
            index = _join(ins[start:stop])
            whole = self.choice(index, ins[:start] + ins[stop:], site) if index.sourced() else whole
        if name in tables.KINKED:
            whole = _with(whole, Origin(site, Role.KINKS))
        elif name == "rem":
            whole = _with(whole, Origin(site, Role.BRANCHES))
        elif name not in tables.READ:
            whole = _with(whole, Origin(site, Role.UNREAD))
        killed = _stopped(whole, Origin(site, Role.KILLS), alone=True)
        passed = self.passed(eqn, name, ins, whole)
        return [passed if _is_float(v) and name not in tables.ROUNDING else killed for v in eqn.outvars]

    def passed(self, eqn: Any, name: str, ins: list[Flow], whole: Flow) -> Flow:
        """An operation that passes derivatives on; notices where a constant piece is added to one that varies."""
        if name in tables.ARRANGING:
            return whole
        if name not in ("add", "sub", "add_any", "mul", "div"):
            return whole._replace(alone=frozenset())
        for one, other in ((ins[0], ins[-1]), (ins[-1], ins[0])):
            if other.active and not one.active:
                self.mixed |= {o for o in one.alone if name != "mul" or self.known[o.site][0] in tables.COMPARISONS}
        return whole if not whole.active else whole._replace(alone=frozenset())

    def choice(self, index: Flow, cases: Sequence[Flow], site: Site) -> Flow:
        """One of several values: where they carry derivatives, the condition becomes a branch of its own."""
        whole = _join(cases)
        if not (index.active or index.sourced()):
            return whole | index._replace(active=False)
        if not whole.active:
            return whole | index
        kept = frozenset(o for o in index.origins if o.role is not Role.KILLS)
        origins = whole.origins | kept | {Origin(site, Role.BRANCHES)}
        return Flow(True, whole.keyed or index.keyed, origins, whole.alone - index.alone)

    def custom(self, eqn: Any, ins: list[Flow], outs: list[Flow]) -> list[Flow]:
        """A function with a derivative rule of its own: what kills derivatives inside need not kill them outside."""
        if not any(f.active for f in ins):
            return outs
        for out in outs:
            self.mixed |= {o for o in out.origins if o.role is Role.KILLS} - _join(ins).origins
        return [out._replace(active=_is_float(v)) for v, out in zip(eqn.outvars, outs, strict=True)]

    def sort(self, eqn: Any, ins: list[Flow], site: Site) -> list[Flow]:
        whole = _join(ins)
        if eqn.primitive.name == "top_k":
            keys, values = ins, [NOTHING]
        else:
            count = eqn.params.get("num_keys", 1)
            keys, values = ins[:count], ins[count:]
        if not _join(keys).active:
            return [whole] * len(eqn.outvars)
        kill = Origin(site, Role.KILLS)
        firsts = [_with(whole, Origin(site, Role.KINKS))] * len(keys)
        rest = [
            _with(whole, Origin(site, Role.BRANCHES)) if value.active else _stopped(whole | value, kill, alone=True)
            for value in values
        ]
        return (firsts + rest)[: len(eqn.outvars)]

    def scan(self, eqn: Any, ins: list[Flow], site: Site, here: Place | None) -> list[Flow]:
        (_, _, body), *_ = compat.inner(eqn)
        consts, carried = compat.scan_sizes(eqn)
        edge = consts + carried
        carry = ins[consts:edge]
        while True:
            outs = self.read(body, [*ins[:consts], *carry, *ins[edge:]], (*site, 0), here)
            grown = [old | new for old, new in zip(carry, outs, strict=False)]
            if grown == carry:
                return [_everywhere(f) for f in (*grown, *outs[carried:])]
            carry = grown

    def loop(self, eqn: Any, ins: list[Flow], site: Site, here: Place | None) -> list[Flow]:
        test, body = (compat.opened(eqn.params[name]) for name in ("cond_jaxpr", "body_jaxpr"))
        a, b = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
        carry = ins[a + b :]
        while True:
            outs = self.read(body, [*ins[a : a + b], *carry], (*site, 1), here)
            stop = self.read(test, [*ins[:a], *carry], (*site, 0), here)[0]
            grown = [self.choice(stop, [old | new], site) for old, new in zip(carry, outs, strict=True)]
            if grown == carry:
                return [_everywhere(f) for f in grown]
            carry = grown


def _join(flows: Sequence[Flow]) -> Flow:
    whole = NOTHING
    for flow in flows:
        whole = whole | flow
    return whole


def _with(flow: Flow, origin: Origin) -> Flow:
    return flow._replace(origins=flow.origins | {origin})


def _stopped(flow: Flow, origin: Origin, alone: bool = False) -> Flow:
    """Downstream of something that passes no derivative: kinks upstream of it no longer matter."""
    origins = frozenset(o for o in flow.origins if o.role not in _CARRIED) | {origin}
    return Flow(False, flow.keyed, origins, frozenset({origin}) if alone else frozenset())


def _everywhere(flow: Flow) -> Flow:
    return flow._replace(alone=frozenset())


def _is_float(var: Any) -> bool:
    return getattr(var.aval.dtype, "kind", "V") in "fc" or str(var.aval.dtype) in ("bfloat16", "float16")
