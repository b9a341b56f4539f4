"""Which way a program went: a fingerprint of each chosen equation's discrete state, computed along with the outputs.

Two inputs whose fingerprints at an equation differ lie on different sides of it: another branch, another rounded
number, another largest element. The fingerprints are ordinary outputs, so that the whole works under `jit` and `vmap`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.program import compat
from descend.program.candidates import Candidate
from descend.program.fingerprint import digest, fingerprint
from descend.program.flow import Role, Site

Marks = dict[Site, Any]


class Limit(NamedTuple):
    """What is known of a loop that ends by what it computes.

    Attributes:
        rounds: after how many it is broken off, at points where it would not end.
        rests: equations inside of which only the last round counts: the kinks of a loop that runs until it is at rest.
    """

    rounds: int
    rests: frozenset[Site] = frozenset()


Limits = Mapping[Site, Limit]

SIDES = "sides"
"""The axis of two inputs that are run beside each other."""


class Watch(NamedTuple):
    """What is done to a program while it runs.

    Attributes:
        sites: equations whose fingerprint is taken.
        limits: loops that are broken off.
        ties: equations that may be held on the side of the first of two inputs, and whether they are (traced).
    """

    sites: frozenset[Site]
    limits: Limits
    ties: Mapping[Site, Any] = MappingProxyType({})

    def within(self, site: Site) -> "Watch":
        """The part of it that concerns an equation and what is inside it."""
        inside = lambda s: s[: len(site)] == site  # noqa: E731
        limits, ties = ({s: n for s, n in each.items() if inside(s)} for each in (self.limits, self.ties))
        return Watch(frozenset(filter(inside, self.sites)), limits, ties)

    def __bool__(self) -> bool:
        return bool(self.sites or self.limits or self.ties)


def fingerprints(
    program: compat.Program, chosen: Sequence[Candidate], limits: Limits | None = None
) -> Callable[..., Any]:
    """A function of the program's inputs that returns one uint32 a candidate, stacked; 0 where it has no state."""
    sites = {c.site for c in chosen if c.role in (Role.KILLS, Role.BRANCHES, Role.KINKS)}
    return _observed(program, chosen, sites, limits)


def magnitudes(program: compat.Program, chosen: Sequence[Candidate], limits: Limits) -> Callable[..., Any]:
    """The like of `fingerprints` for equations that are kinked where numbers meet, or touch an end: of how far apart
    they are, in powers of two."""
    return _observed(program, chosen, {c.site for c in chosen}, limits)


def _observed(
    program: compat.Program, chosen: Sequence[Candidate], sites: set[Site], limits: Limits | None
) -> Callable[..., Any]:
    watch = Watch(frozenset(sites), limits or {})

    def observed(*args: Any) -> Any:
        marks: Marks = {}
        _run(program, jax.lax.stop_gradient(args), (), watch, marks)
        return jnp.stack([jnp.asarray(marks.get(c.site, 0), jnp.uint32) for c in chosen])

    return observed


def held(program: compat.Program, chosen: Sequence[Candidate], limits: Limits) -> Callable[..., tuple[list[Any], Any]]:
    """The program at two inputs at once, with some of the candidates held on the side of the first.

    An equation that is held decides as it does at the first input: its truth values, integers and indices are those,
    and its floats follow the derivative that it has there, which is what a piecewise smooth operation does on its own
    side. What changes when it is held is what it does to the value and to the slope between the two.

    Returns:
        A function of (hold, *inputs), the first input with a leading axis of two and `hold` one truth value a
        candidate: the outputs and the fingerprints, with that axis.
    """

    def one(hold: Any, *args: Any) -> tuple[list[Any], Any]:
        marks: Marks = {}
        # Several candidates may be one equation in several roles.
        ties: dict[Site, Any] = {}
        for index, c in enumerate(chosen):
            ties[c.site] = hold[index] | ties.get(c.site, False)
        outs = _run(program, args, (), Watch(frozenset(ties), limits, ties), marks)
        return outs, jnp.stack([jnp.asarray(marks.get(c.site, 0), jnp.uint32) for c in chosen])

    return lambda hold, x, *rest: jax.vmap(lambda x: one(hold, x, *rest), axis_name=SIDES)(x)


def _first(value: Any) -> Any:
    """A value at the first of two inputs."""
    return jax.lax.all_gather(value, SIDES)[0]


def _held(eqn: Any, ins: list[Any]) -> list[Any]:
    """The results of an equation that decides as it does at the first input."""
    first = [_first(a) for a in ins]
    moving = [i for i, a in enumerate(ins) if jnp.issubdtype(jnp.result_type(a), jnp.inexact)]

    def run(*floats: Any) -> list[Any]:
        return compat.bind(eqn, [floats[moving.index(i)] if i in moving else a for i, a in enumerate(first)])

    if not moving:
        return run()
    outs, changes = jax.jvp(run, tuple(first[i] for i in moving), tuple(jnp.asarray(ins[i] - first[i]) for i in moving))
    return [o + c if jnp.issubdtype(jnp.result_type(o), jnp.inexact) else o for o, c in zip(outs, changes, strict=True)]


def bounded(program: compat.Program, limits: Limits) -> Callable[..., list[Any]]:
    """The program as a function of its inputs, with loops that end."""
    return lambda *args: _run(program, args, (), Watch(frozenset(), limits), {})


def equation(eqn: Any, ins: Sequence[Any], site: Site, limits: Limits) -> list[Any]:
    """What one equation of a program gives, with loops that end."""
    within = Watch(frozenset(), limits).within(site)
    return _enter(eqn, list(ins), site, within, {}) if within else compat.bind(eqn, ins)


def loops(program: compat.Program, at: Site = ()) -> Iterator[Site]:
    """Where the `while` loops of a program are."""
    for index, eqn in enumerate(program.jaxpr.eqns):
        site = (*at, index)
        if eqn.primitive.name == "while":
            yield site
            yield from loops(compat.opened(eqn.params["body_jaxpr"]), (*site, 1))
            continue
        callee = compat.callee(eqn)
        inside = [each for _, _, each in compat.inner(eqn)] if callee is None else [callee]
        for number, each in enumerate(inside):
            yield from loops(each, (*site, number))


def _run(program: compat.Program, args: Sequence[Any], at: Site, watch: Watch, marks: Marks) -> list[Any]:
    """Evaluates the program equation by equation, and enters in `marks` the fingerprints that are watched for."""
    env: dict[Any, Any] = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
    env.update(zip(program.jaxpr.invars, args, strict=True))
    look = lambda atom: atom.val if compat.is_literal(atom) else env[atom]  # noqa: E731
    for index, eqn in enumerate(program.jaxpr.eqns):
        site = (*at, index)
        within = watch.within(site)
        ins = [look(v) for v in eqn.invars]
        outs = _enter(eqn, ins, site, within, marks) if within else compat.bind(eqn, ins)
        env.update(zip(eqn.outvars, outs, strict=True))
    return [look(v) for v in program.jaxpr.outvars]


def _enter(eqn: Any, ins: list[Any], site: Site, watch: Watch, marks: Marks) -> list[Any]:
    name = eqn.primitive.name
    program = compat.callee(eqn)
    if name == "scan":
        return _scan(eqn, ins, site, watch, marks)
    if name == "while":
        return _loop(eqn, ins, site, watch, marks)
    if name == "cond":
        return _branch(eqn, ins, site, watch, marks)
    if program is not None:
        return _run(program, ins, (*site, 0), watch, marks)
    outs = compat.bind(eqn, ins)
    if site in watch.sites:
        marks[site] = jax.lax.stop_gradient(fingerprint(eqn, ins, outs))
    if site in watch.ties:
        holds = watch.ties[site]
        outs = [jnp.where(holds, tied, out) for tied, out in zip(_held(eqn, ins), outs, strict=True)]
    return outs


def _scan(eqn: Any, ins: list[Any], site: Site, watch: Watch, marks: Marks) -> list[Any]:
    (_, _, body), *_ = compat.inner(eqn)
    a, b = compat.scan_sizes(eqn)

    def step(carry: list[Any], xs: list[Any]) -> tuple[list[Any], tuple[list[Any], Marks]]:
        seen: Marks = {}
        outs = _run(body, [*ins[:a], *carry, *xs], (*site, 0), watch, seen)
        return outs[:b], (outs[b:], seen)

    settings = {name: eqn.params[name] for name in ("length", "reverse")}
    carry, (ys, seen) = jax.lax.scan(step, ins[a : a + b], ins[a + b :], **settings)
    marks.update({where: digest(each) for where, each in seen.items()})
    return [*carry, *ys]


def _loop(eqn: Any, ins: list[Any], site: Site, watch: Watch, marks: Marks) -> list[Any]:
    test, body = (compat.opened(eqn.params[name]) for name in ("cond_jaxpr", "body_jaxpr"))
    a, b = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    every = sorted(watch.sites - {site})
    rests = watch.limits[site].rests if site in watch.limits else ()

    def go_on(state: tuple[list[Any], Any, Marks]) -> Any:
        more = compat.evaluate(test, [*ins[:a], *state[0]])[0]
        if site in watch.ties:
            more = jnp.where(watch.ties[site], _first(more), more)
        return more & (state[1] < watch.limits[site].rounds) if site in watch.limits else more

    def step(state: tuple[list[Any], Any, Marks]) -> tuple[list[Any], Any, Marks]:
        carry, count, sums = state
        seen: Marks = {}
        outs = _run(body, [*ins[a : a + b], *carry], (*site, 1), watch, seen)
        marked = {w: jnp.asarray(seen.get(w, 0), jnp.uint32) for w in every}
        return outs, count + 1, {w: marked[w] if w in rests else sums[w] * np.uint32(31) + marked[w] for w in every}

    state = (ins[a + b :], jnp.uint32(0), {where: jnp.uint32(0) for where in every})
    outs, count, sums = jax.lax.while_loop(go_on, step, state)
    # What decides inside the test shows in the number of rounds.
    marks.update({w: sums[w] if w in rests else sums[w] * np.uint32(31) + count for w in every})
    if site in watch.sites:
        marks[site] = count
    return outs


def _branch(eqn: Any, ins: list[Any], site: Site, watch: Watch, marks: Marks) -> list[Any]:
    every = sorted(watch.sites - {site})

    def side(number: int, program: compat.Program) -> Callable[..., Any]:
        def run(*args: Any) -> tuple[list[Any], Marks]:
            seen: Marks = {}
            outs = _run(program, args, (*site, number), watch, seen)
            return outs, {where: jnp.asarray(seen.get(where, 0), jnp.uint32) for where in every}

        return run

    sides = [side(number, program) for number, (_, _, program) in enumerate(compat.inner(eqn))]
    index = ins[0]
    if site in watch.ties:
        index = jnp.where(watch.ties[site], _first(index), index)
    outs, seen = jax.lax.switch(index, sides, *ins[1:])
    marks.update(seen)
    if site in watch.sites:
        marks[site] = digest(ins[0])
    return outs
