"""What is known of one array on its way to the outputs: whether a derivative flows into it, and what may break it."""

from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

from descend.program import tables

Site = tuple[int, ...]
"""Where an equation is: its index in the program, then the indices inside each equation that encloses it."""


SEVERAL = -1
"""At the end of the place where a square is taken: several squares have been added up since."""


class Role(Enum):
    """What an equation may do to the derivative of the output."""

    KILLS = "kills"  # piecewise constant: no derivative passes
    STOPS = "stops"  # continuous, but told not to pass a derivative
    BRANCHES = "branches"  # chooses between values that carry derivatives, by a condition that depends on the input
    KINKS = "kinks"  # continuous and piecewise smooth
    CROSSES = "crosses"  # smooth until numbers meet, as eigenvalues, or touch an end and turn back, as under a root
    ITERATES = "iterates"  # a loop whose state carries a derivative from round to round
    DRAWS = "draws"  # draws random numbers from the key
    CALLS_HOST = "calls host"  # leaves JAX
    UNREAD = "unread"  # not in the tables

    __hash__ = object.__hash__  # members are single objects; the reader hashes millions of them


CARRIED = frozenset(
    {Role.BRANCHES, Role.KINKS, Role.CROSSES, Role.ITERATES, Role.UNREAD}
)  # matters only as long as a derivative flows


class Origin(NamedTuple):
    """An equation in one of its roles."""

    site: Site
    role: Role


class Flow(NamedTuple):
    """What is known about one array.

    Attributes:
        active: whether a derivative flows into it.
        keyed: whether it depends on the key.
        origins: the equations upstream that matter.
        alone: origins whose result it is, number by number.
        mixed: origins of constant pieces that it has, mixed with something that carries a derivative.
        number: equal for arrays that are computed in the same way from the same arrays.
        multiples: the numbers of the arrays that it is a multiple of, up to constants added, and its own.
        square: if it is the square of something, number by number: where that is taken.
        usual: of a truth value that asks whether numbers are finite: what it is at every point of use.
    """

    active: bool = False
    keyed: bool = False
    origins: frozenset[Origin] = frozenset()
    alone: frozenset[Origin] = frozenset()
    mixed: frozenset[Origin] = frozenset()
    number: int = -1
    multiples: frozenset[int] = frozenset()
    square: Site | None = None
    usual: bool | None = None

    def __or__(self, other: "Flow") -> "Flow":  # type: ignore[override]
        return Flow(
            self.active or other.active,
            self.keyed or other.keyed,
            self.origins | other.origins,
            self.alone | other.alone,
            self.mixed | other.mixed,
            square=self.square if self.square == other.square else None,
        )

    def sourced(self) -> bool:
        return any(origin.role is Role.KILLS for origin in self.origins)

    def killers(self) -> frozenset[Origin]:
        return frozenset(origin for origin in self.origins if origin.role is Role.KILLS)


NOTHING = Flow()


def join(flows: Sequence[Flow]) -> Flow:
    whole = NOTHING
    for flow in flows:
        whole = whole | flow
    return whole


def marked(flow: Flow, origin: Origin) -> Flow:
    return flow._replace(origins=flow.origins | {origin})


def stopped(flow: Flow, origin: Origin, alone: bool = False) -> Flow:
    """Downstream of something that passes no derivative: kinks upstream of it no longer matter."""
    origins = frozenset(o for o in flow.origins if o.role not in CARRIED) | {origin}
    return Flow(False, flow.keyed, origins, frozenset({origin}) if alone else frozenset())


def square_of(eqn: Any, ins: list[Flow], site: Site) -> Site | None:
    """Where a result is a square: there, or where it was taken if it has only been moved since."""
    name = eqn.primitive.name
    if name == "square" or (name == "integer_pow" and eqn.params["y"] == 2):
        return site
    if name == "mul" and (eqn.invars[0] is eqn.invars[1] or 0 <= ins[0].number == ins[1].number):
        return site
    if name in tables.ARRANGING and name != "neg":
        return ins[0].square
    if name != "reduce_sum" or ins[0].square is None or SEVERAL in ins[0].square:
        return None
    single = all(eqn.invars[0].aval.shape[axis] == 1 for axis in eqn.params["axes"])
    return ins[0].square if single else (*ins[0].square, SEVERAL)


def is_float(var: Any) -> bool:
    return getattr(var.aval.dtype, "kind", "V") in "fc" or str(var.aval.dtype) in ("bfloat16", "float16")
