"""What the loops of a program do to a small change of their state, round by round: growth, decay, convergence."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.program import compat
from descend.program.candidates import Candidate
from descend.program.flow import Role, Site

BATCHES = 8
"""Stretches of equal length into which the rounds are divided: the first is the transient, the rest give an error."""

DEAD = -50.0
"""The logarithm of the growth that stands for a change that vanishes in one round."""


class Loop(NamedTuple):
    """One run of a loop. Arrays, so that it comes out of a compiled program.

    Attributes:
        rounds: how many there were.
        growth: the logarithm of the growth of a change of the state, summed over each of `BATCHES` stretches.
        counts: the rounds in each.
        drift: for each array of the state, how far one more round would move it (largest number).
        steepest: how far one round moved it at most.
        size: the size of its end.
    """

    rounds: Any
    growth: Any
    counts: Any
    drift: Any
    steepest: Any
    size: Any

    @property
    def exponent(self) -> float:
        """The largest Lyapunov exponent, per round, over all but the first stretch of the rounds."""
        growth, counts = np.asarray(self.growth, float), np.asarray(self.counts)
        late = slice(1, None) if counts[1:].sum() else slice(None)
        return float(growth[late].sum() / max(1, counts[late].sum()))

    @property
    def error(self) -> float:
        """Its standard error, from the differences between stretches; infinite where there are too few rounds."""
        growth, counts = np.asarray(self.growth, float)[1:], np.asarray(self.counts)[1:]
        if np.any(counts == 0):
            return float("inf") if int(self.rounds) < 2 else 0.0
        return float(np.std(growth / counts, ddof=1) / np.sqrt(len(counts)))

    def converged(self, used: Sequence[bool], drift: float = 0.01, decay: float = 0.05) -> bool:
        """Whether the loop ended because its state had come to rest: what is used of it would hardly move any more.

        Args:
            used: for each array of the state, whether it is used after the loop.
            drift: the largest move that is at rest, relative to the size of the state.
            decay: the same, relative to the largest move before.
        """
        rest = self.drift <= np.minimum(drift * np.asarray(self.size), decay * np.asarray(self.steepest))
        return int(self.rounds) > 0 and any(used) and bool(np.all(rest[np.asarray(used)]))


def iterated(found: Sequence[Candidate]) -> list[Candidate]:
    """The loops whose state carries a derivative from round to round: the outermost ones."""
    loops = [c for c in found if c.role is Role.ITERATES]
    return [c for c in loops if not any(o.site != c.site and c.site[: len(o.site)] == o.site for o in loops)]


def observed(program: compat.Program, loops: Sequence[Candidate]) -> Callable[..., list[Loop | None]]:
    """A traceable function of the program's inputs: what each of the loops does; None where it was not reached.

    The state is carried on beside one tangent, which is made of unit length again after each round (Benettin et al.,
    "Lyapunov characteristic exponents for smooth dynamical systems", 1980); the logarithms of its lengths are summed.
    Constants of the loop, and inputs that come row by row, are not moved. Costs three runs of each loop. A loop inside
    another is seen in its first round.
    """
    sites = frozenset(c.site for c in loops)

    def observe(*args: Any) -> list[Loop | None]:
        seen: dict[Site, Loop] = {}
        _run(program, jax.lax.stop_gradient(args), (), sites, seen)
        return [seen.get(c.site) for c in loops]

    return observe


def _run(program: compat.Program, args: Sequence[Any], at: Site, sites: frozenset[Site], seen: dict[Site, Loop]) -> Any:
    env: dict[Any, Any] = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
    env.update(zip(program.jaxpr.invars, args, strict=True))
    look = lambda atom: atom.val if compat.is_literal(atom) else env[atom]  # noqa: E731
    for index, eqn in enumerate(program.jaxpr.eqns):
        site = (*at, index)
        within = frozenset(s for s in sites if s[: len(site)] == site)
        ins = [look(v) for v in eqn.invars]
        if within:
            _enter(eqn, ins, site, within, seen)
        env.update(zip(eqn.outvars, compat.bind(eqn, ins), strict=True))
    return [look(v) for v in program.jaxpr.outvars]


def _enter(eqn: Any, ins: list[Any], site: Site, sites: frozenset[Site], seen: dict[Site, Loop]) -> None:
    name = eqn.primitive.name
    if site in sites:
        seen[site] = _followed(*(_scan(eqn, ins) if name == "scan" else _while(eqn, ins)))
        return
    program = compat.callee(eqn)
    if name == "scan":
        (_, _, body), *_ = compat.inner(eqn)
        a, b = compat.scan_sizes(eqn)
        if eqn.params["length"]:
            _run(body, [*ins[: a + b], *(x[0] for x in ins[a + b :])], (*site, 0), sites, seen)
    elif name == "while":
        a, b = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
        body = compat.opened(eqn.params["body_jaxpr"])
        _run(body, ins[a:], (*site, 1), sites, seen)
    elif name == "cond":  # seen whichever branch is taken
        for number, (_, _, branch) in enumerate(compat.inner(eqn)):
            _run(branch, ins[1:], (*site, number), sites, seen)
    elif program is not None:
        _run(program, ins, (*site, 0), sites, seen)


Step = Callable[[Any, list[Any]], list[Any]]


def _scan(eqn: Any, ins: list[Any]) -> tuple[Step, list[Any], Any]:
    (_, _, body), *_ = compat.inner(eqn)
    a, b = compat.scan_sizes(eqn)
    length = eqn.params["length"]

    def step(i: Any, carry: list[Any]) -> list[Any]:
        row = length - 1 - i if eqn.params["reverse"] else i
        xs = [jax.lax.dynamic_index_in_dim(x, jnp.minimum(row, length - 1), keepdims=False) for x in ins[a + b :]]
        return compat.evaluate(body, [*ins[:a], *carry, *xs])[:b]

    return step, ins[a : a + b], jnp.int32(length)


def _while(eqn: Any, ins: list[Any]) -> tuple[Step, list[Any], Any]:
    test, body = (compat.opened(eqn.params[name]) for name in ("cond_jaxpr", "body_jaxpr"))
    a, b = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]

    def step(_: Any, carry: list[Any]) -> list[Any]:
        return compat.evaluate(body, [*ins[a : a + b], *carry])

    def go_on(state: tuple[Any, list[Any]]) -> Any:
        return compat.evaluate(test, [*ins[:a], *state[1]])[0]

    start = [jnp.asarray(x) for x in ins[a + b :]]
    rounds, _ = jax.lax.while_loop(go_on, lambda s: (s[0] + 1, step(s[0], s[1])), (jnp.int32(0), start))
    return step, start, rounds


def _followed(step: Step, start: list[Any], rounds: Any) -> Loop:
    start = [jnp.asarray(x) for x in start]
    moving = [i for i, x in enumerate(start) if jnp.issubdtype(x.dtype, jnp.floating)]
    tangent = [jnp.cos(jnp.arange(start[i].size, dtype=start[i].dtype) + i).reshape(start[i].shape) for i in moving]
    kind = jnp.result_type(*(start[i] for i in moving))

    def round_(i: Any, state: Any) -> Any:
        carry, tangent, growth, counts, steepest = state

        def run(*floats: Any) -> tuple[list[Any], list[Any]]:
            whole = list(carry)
            for place, value in zip(moving, floats, strict=True):
                whole[place] = value
            outs = step(i, whole)
            return [outs[k] for k in moving], outs

        _, pushed, outs = jax.jvp(run, tuple(carry[k] for k in moving), tuple(tangent), has_aux=True)
        length = jnp.sqrt(sum(jnp.sum(jnp.square(t.astype(kind))) for t in pushed))
        alive = jnp.isfinite(length) & (length > 0)
        tangent = [
            jnp.where(alive, p / jnp.where(alive, length, 1).astype(p.dtype), t)
            for p, t in zip(pushed, tangent, strict=True)
        ]
        batch = i * BATCHES // jnp.maximum(rounds, 1)
        log = jnp.where(alive, jnp.log(jnp.where(alive, length, 1)), DEAD)
        growth, counts = growth.at[batch].add(log), counts.at[batch].add(1)
        return outs, tangent, growth, counts, jnp.maximum(steepest, _moved(outs, carry, kind))

    unit = jnp.sqrt(sum(jnp.sum(jnp.square(t.astype(kind))) for t in tangent))
    tangent = [t / jnp.where(unit > 0, unit, 1).astype(t.dtype) for t in tangent]
    state = (start, tangent, jnp.zeros(BATCHES, kind), jnp.zeros(BATCHES, jnp.int32), jnp.zeros(len(start), kind))
    end, _, growth, counts, steepest = jax.lax.fori_loop(0, rounds, round_, state)
    size = jnp.stack([_largest(x, kind) for x in end])
    return Loop(rounds, growth, counts, _moved(step(rounds, end), end, kind), steepest, size)


def _moved(new: list[Any], old: list[Any], kind: Any) -> Any:
    """(arrays,): how far each array of a state has moved; 0 for what is not a number."""
    numbers = lambda a, b: jnp.issubdtype(a.dtype, jnp.number) and a.size > 0  # noqa: E731
    return jnp.stack(
        [_largest(a - b, kind) if numbers(a, b) else jnp.zeros((), kind) for a, b in zip(new, old, strict=True)]
    )


def _largest(x: Any, kind: Any) -> Any:
    if not jnp.issubdtype(x.dtype, jnp.number) or x.size == 0:
        return jnp.zeros((), kind)
    return jnp.max(jnp.abs(x)).astype(kind)
