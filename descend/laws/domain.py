"""The laws of a domain."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.domains import Domain

COUNT = 16  # neighbors asked for at a time
UNOPTIMIZED = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}  # compiles in half the time
FEW = 2000  # sets with at most so many members are listed


@dataclass
class Probe:
    """What the laws look at.

    Attributes:
        domain: the domain under test.
        key: for draws.
        members: the start and some samples, as NumPy float64.
        points: trees of NumPy float64 near and far, most of them outside.
        broken: the same with NaN and infinities.
        accuracy: how far, relative to max(1, |x|), two answers that should be equal may differ in float64.
        loose: the same in JAX at its present precision.
        rows: what `_program` gives for each point, member and key, traced together.
    """

    domain: Domain
    key: jax.Array
    members: list[Any]
    points: list[Any]
    broken: list[Any]
    accuracy: float
    loose: float
    rows: list["Row"] = field(default_factory=list)


class Row(NamedTuple):
    """Inputs in NumPy float64, and the answers to them in JAX by name."""

    x: Any
    member: Any
    key: jax.Array
    answers: dict[str, Any]


def _program(domain: Domain, x: Any, member: Any, key: jax.Array) -> dict[str, Any]:
    """Every method in one traceable function, so that it is compiled once."""
    methods: dict[str, Callable[[dict[str, Any]], Any]] = {
        "project": lambda done: domain.project(x),
        "round": lambda done: domain.round(x),
        "unravel(ravel)": lambda done: domain.unravel(domain.ravel(x)),
        "sample": lambda done: domain.sample(key),
        "neighbors": lambda done: domain.neighbors(member, key, COUNT),
        "contains": lambda done: domain.contains(x),
        "contains member": lambda done: domain.contains(member),
        "contains round": lambda done: domain.contains(done["round"]),
        "contains project": lambda done: domain.contains(done["project"]),
        "contains sample": lambda done: domain.contains(done["sample"]),
        "contains neighbors": lambda done: jax.vmap(domain.contains)(done["neighbors"]),
    }
    answers: dict[str, Any] = {}
    for name, method in methods.items():
        try:
            answers[name] = method(answers)
        except Exception as error:
            raise AssertionError(f"({name} raised {type(error).__name__}: {error})") from error
    return answers


def check_domain(domain: Domain, key: Any = 0, accuracy: float = 1e-9) -> None:
    """Checks that a domain obeys the contract of `descend.domains.Domain`.

    Random probes of fixed number: a domain that passes may still be wrong elsewhere; one that fails is wrong. Works at
    JAX's present precision, so run it in both.

    Args:
        domain: an instance.
        key: an int or a JAX key that the probes are drawn from.
        accuracy: what its projection documents, in float64, relative to max(1, |x|).

    Raises:
        TypeError: if `domain` is not a `Domain`.
        AssertionError: for the first broken law, naming it and what broke it.
    """
    if not isinstance(domain, Domain):
        raise TypeError(f"check_domain takes an instance of descend.domains.Domain, got {domain!r}")
    probe = None
    for law in (_probe, *LAWS):
        try:
            probe = law(domain, numerics.as_key(key), accuracy) if probe is None else law(probe) or probe
        except Exception as error:
            said = str(error) if isinstance(error, AssertionError) else f"raised {type(error).__name__}: {error}"
            raise AssertionError(f"{domain!r}: broken law: {law.__doc__.splitlines()[0]} {said}".strip()) from error


def _probe(domain: Domain, key: jax.Array, accuracy: float) -> Probe:
    """The domain gives a start, samples, a size and a scale."""
    start = domain.start()
    samples = jax.vmap(domain.sample)(jax.random.split(key, 3))
    samples = [
        jax.tree.map(lambda leaf, index=index: np.asarray(leaf[index], np.float64), samples) for index in range(3)
    ]
    generator = np.random.default_rng(numerics.seed(key))
    middle, scale = _flat(start), np.broadcast_to(domain.scale, domain.shape).ravel()
    sizes = [0.01, 0.3, 1.0, 1.0, 3.0, 10.0]
    points = [domain.unravel(middle + size * scale * generator.normal(size=domain.size)) for size in sizes]
    patterns = ([np.nan], [np.inf], [np.nan, np.inf, 0.3, -np.inf, 2.0])
    broken = [domain.unravel(np.resize(pattern, domain.size)) for pattern in patterns]
    loose = accuracy if jnp.result_type(float) == np.float64 else numerics.tolerance(np.float32)
    return Probe(domain, key, [start, *map(domain.round, samples)], points, broken, accuracy, loose)


def _traced(probe: Probe) -> None:
    """jit and vmap agree with eager, and JAX in gives JAX out."""
    inputs = [*probe.points, *probe.members, *probe.broken] * 2
    members = [member for _, member in zip(inputs, itertools.cycle(probe.members), strict=False)]
    keys = jax.random.split(probe.key, len(inputs))
    stacks = [jax.tree.map(lambda *leaves: np.stack(leaves), *trees) for trees in (inputs, members)]
    program = jax.jit(jax.vmap(partial(_program, probe.domain)), compiler_options=UNOPTIMIZED)
    traced = program(*map(_jax, stacks), keys)
    for index, (x, member) in enumerate(zip(inputs, members, strict=True)):
        answers = jax.tree.map(lambda leaf, index=index: np.asarray(leaf[index]), traced)
        probe.rows.append(Row(x, member, keys[index], answers))
    row = probe.rows[2]
    for name, answer in _program(probe.domain, _jax(row.x), _jax(row.member), row.key).items():
        kinds = {type(leaf).__name__ for leaf in jax.tree.leaves(answer) if not isinstance(leaf, jax.Array)}
        assert not kinds or name.startswith("contains"), f"({name} of JAX arrays gives {kinds})"
        _same(row.answers[name], answer, probe.loose, f"{name} under jit(vmap) and eager")


def _ravel(probe: Probe) -> None:
    """ravel gives a vector of length size, and unravel is its inverse."""
    for x in (*probe.points, *probe.members):
        vector = probe.domain.ravel(x)
        assert vector.shape == (probe.domain.size,), f"(size {probe.domain.size}, but shape {vector.shape})"
        _same(probe.domain.unravel(vector), x, 0.0, "unravel(ravel(x)) and x")
    counted = np.arange(float(probe.domain.size))
    _same(probe.domain.ravel(probe.domain.unravel(counted)), counted, 0.0, "ravel(unravel(v)) and v")


def _start(probe: Probe) -> None:
    """start is a member, in NumPy float64."""
    _numpy(probe.domain.start(), "start()")
    assert probe.domain.contains(probe.domain.start()), "(contains(start()) is False)"


def _samples(probe: Probe) -> None:
    """Samples are members, and depend on the key."""
    samples = [row.answers["sample"] for row in probe.rows]
    for row in probe.rows:
        assert row.answers["contains sample"], f"(not a member: {row.answers['sample']})"
    alike = all(np.all(_flat(sample) == _flat(samples[0])) for sample in samples)
    assert alike == (probe.domain.cardinality == 1), f"({len(samples)} keys give {'one' if alike else 'several'})"


def _round(probe: Probe) -> None:
    """round gives members, and keeps members."""
    for x in probe.points:
        assert probe.domain.contains(probe.domain.round(x)), f"(round of {x} is not a member)"
    for member in probe.members:
        _same(probe.domain.round(member), member, probe.accuracy, "round(member) and member")


def _round_anything(probe: Probe) -> None:
    """round of a discrete domain gives a member even for NaN and infinities."""
    if not all(part.discrete for part in _parts(probe.domain)):
        return
    for x in probe.broken:
        assert probe.domain.contains(probe.domain.round(x)), f"(round of {x} is not a member)"
    for row in probe.rows:
        assert row.answers["contains round"], f"(round of {row.x} is not a member, in JAX)"


def _project(probe: Probe) -> None:
    """project gives members, keeps members, and is the same as round for a discrete domain."""
    for x in probe.points:
        projected = probe.domain.project(x)
        assert probe.domain.contains(projected), f"(projection of {x} is not a member)"
        _same(probe.domain.project(projected), projected, probe.accuracy, "twice projected and once")
        if all(part.discrete for part in _parts(probe.domain)):
            _same(projected, probe.domain.round(x), probe.accuracy, "project(x) and round(x)")
    for member in probe.members:
        _same(probe.domain.project(member), member, probe.accuracy, "project(member) and member")


def _nonexpansive(probe: Probe) -> None:
    """project is non-expansive where the set is convex."""
    if not probe.domain.convex:
        return
    for x, y in itertools.combinations([*probe.points, *probe.members], 2):
        before = np.linalg.norm(_flat(x) - _flat(y))
        after = np.linalg.norm(_flat(probe.domain.project(x)) - _flat(probe.domain.project(y)))
        slack = probe.accuracy * max(1.0, np.abs(_flat(x)).max(initial=0), np.abs(_flat(y)).max(initial=0))
        assert after <= before + slack, f"(distance {before} becomes {after})"


def _nearest(probe: Probe) -> None:
    """project gives the nearest member where the set is convex."""
    if not probe.domain.convex:
        return
    for x, member in itertools.product(probe.points, probe.members):
        projected = _flat(probe.domain.project(x))
        ahead = (_flat(x) - projected) @ (_flat(member) - projected)
        size = max(1.0, np.linalg.norm(_flat(x)), np.linalg.norm(_flat(member)))
        assert ahead <= probe.accuracy * size**2, f"(moving from project(x) toward {member} comes nearer to {x})"


def _outside(probe: Probe) -> None:
    """contains is False for what project moves, for NaN and infinity, and for another shape."""
    for x in probe.points:
        gap = np.abs(_flat(x) - _flat(probe.domain.project(x))).max(initial=0.0)
        if gap > 1e-3 * max(1.0, np.abs(_flat(x)).max(initial=0.0)):
            assert not probe.domain.contains(x), f"(contains({x}), which projects to {probe.domain.project(x)})"
    for bad, place in itertools.product((np.nan, np.inf, -np.inf), {0, probe.domain.size - 1}):
        if probe.domain.size:
            vector = _flat(probe.domain.start())
            vector[place] = bad
            assert not probe.domain.contains(probe.domain.unravel(vector)), f"(contains a point with {bad})"
    for row in probe.rows:
        if not np.all(np.isfinite(_flat(row.x))):
            assert not row.answers["contains"], f"(contains {row.x}, in JAX)"
    start = probe.domain.start()
    if isinstance(start, np.ndarray):
        assert not probe.domain.contains(start[None]), f"(contains a point of shape {start[None].shape})"


def _float64(probe: Probe) -> None:
    """NumPy in gives NumPy float64 out, untouched by JAX's precision."""
    for x in (*probe.points, *probe.members):
        for name in ("project", "round", "ravel"):
            method: Callable[[Any], Any] = getattr(probe.domain, name)
            _numpy(method(x), f"{name}(x)")
            with jax.enable_x64(False):
                narrow = method(x)
            with jax.enable_x64(True):
                _same(method(x), narrow, 0.0, f"{name}(x) with and without JAX's x64")
        _numpy(probe.domain.unravel(_flat(x)), "unravel(v)")
        assert isinstance(probe.domain.contains(x), (bool, np.bool_, np.ndarray)), "(contains answers in JAX)"
    _numpy(probe.domain.neighbors(probe.members[0], probe.key), "neighbors(x)")


def _agree(probe: Probe) -> None:
    """NumPy and JAX agree."""
    for row in probe.rows[: len(probe.points) + len(probe.members)]:
        for name in ("project", "round", "contains"):
            here = getattr(probe.domain, name)(row.x)
            _same(row.answers[name], here, probe.loose, f"{name} in JAX and in NumPy")


def _neighbors(probe: Probe) -> None:
    """neighbors are members that differ from x, as many as asked for, drawn from the key."""
    single = probe.domain.cardinality == 1

    def check(near: Any, member: Any) -> None:
        shapes = [np.shape(leaf) for leaf in jax.tree.leaves(near)]
        expected = [(COUNT, *np.shape(leaf)) for leaf in jax.tree.leaves(member)]
        assert shapes == expected, f"(shapes {shapes} instead of {expected})"
        for one in _unstack(near):
            stays = bool(np.all(_flat(one) == _flat(member)))
            assert stays == single, f"({one} from {member})"

    for member in probe.members:
        near = probe.domain.neighbors(member, probe.key, COUNT)
        check(near, member)
        for one in _unstack(near):
            assert probe.domain.contains(one), f"(not a member: {one}, from {member})"
    for row in probe.rows:
        check(row.answers["neighbors"], jax.tree.map(np.asarray, _jax(row.member)))
        assert np.all(row.answers["contains neighbors"]), f"(not a member, in JAX: one of {row.answers['neighbors']})"
    if probe.domain.cardinality is None or probe.domain.cardinality > 2:
        first, *others = [_flat(row.answers["neighbors"]) for row in probe.rows[:: len(probe.members)]]
        assert any(np.any(first != other) for other in others), "(every key draws the same)"


def _hull(probe: Probe) -> None:
    """relax gives a convex domain of the same shape that contains the members."""
    hull = probe.domain.relax()
    assert isinstance(hull, Domain), f"(relax() is {hull!r})"
    assert hull.convex and not hull.discrete, f"({hull!r} is not a convex, continuous domain)"
    assert hull.shape == probe.domain.shape, f"(shape {hull.shape} instead of {probe.domain.shape})"
    assert hull.contains(hull.start()), f"(the start of {hull!r} is not its member)"
    for member in probe.members:
        assert hull.contains(member), f"({hull!r} does not contain {member})"


def _counted(probe: Probe) -> None:
    """members lists the set: as many as cardinality, all distinct, all inside."""
    count = probe.domain.cardinality
    if count is None:
        try:
            next(iter(probe.domain.members()))
        except TypeError:
            return
        raise AssertionError("(cardinality is None, but members() lists some)")
    if count > FEW:
        return
    listed = list(itertools.islice(probe.domain.members(), FEW + 1))
    assert len(listed) == count, f"(cardinality {count}, but {len(listed)} members)"
    assert len({tuple(_flat(member)) for member in listed}) == count, "(a member is listed twice)"
    for member in listed:
        _numpy(member, "a listed member")
        assert probe.domain.contains(member), f"(not a member: {member})"


def _scale_and_box(probe: Probe) -> None:
    """scale is positive; box, where there is one, bounds the members and its clipping is the projection."""
    scale = np.broadcast_to(probe.domain.scale, probe.domain.shape)
    assert np.all((scale > 0) & np.isfinite(scale)), f"(scale {scale})"
    if probe.domain.box is None:
        return
    lower, upper = probe.domain.box
    assert lower.shape == upper.shape == (probe.domain.size,), f"(bounds of shape {lower.shape}, {upper.shape})"
    for x in probe.points:
        _same(probe.domain.project(x), np.clip(_flat(x), lower, upper), probe.accuracy, "project(x) and clip(x)")


LAWS = (
    _ravel,
    _start,
    _traced,
    _samples,
    _round,
    _round_anything,
    _project,
    _nonexpansive,
    _nearest,
    _outside,
    _float64,
    _agree,
    _neighbors,
    _hull,
    _counted,
    _scale_and_box,
)


def _flat(x: Any) -> np.ndarray:
    """The numbers of a tree, independent of the domain's own ravel."""
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(x)] or [np.zeros(0)])


def _parts(domain: Domain) -> tuple[Domain, ...]:
    return getattr(domain, "parts", (domain,))


def _unstack(stack: Any) -> list[Any]:
    return [jax.tree.map(lambda leaf, index=index: leaf[index], stack) for index in range(COUNT)]


def _jax(x: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float)), x)


def _numpy(x: Any, what: str) -> None:
    for leaf in jax.tree.leaves(x):
        found = f"{type(leaf).__name__} of {getattr(leaf, 'dtype', 'no dtype')}"
        assert isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype == np.float64, f"({what} is {found})"


def _same(found: Any, expected: Any, accuracy: float, what: str) -> None:
    a, b = _flat(found), _flat(expected)
    assert a.shape == b.shape, f"({what} have {a.size} and {b.size} numbers)"
    off = np.abs(a - b).max(initial=0.0)
    assert off <= accuracy * max(1.0, np.abs(b).max(initial=0.0)), f"({what} differ by {off})"
