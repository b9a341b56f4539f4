"""The laws of a domain."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from descend import numerics
from descend.domains import Domain
from descend.laws.domain_probe import (
    COUNT,
    Probe,
    check_numpy,
    check_same,
    flat,
    jax_tree,
    parts,
    probe_domain,
    trace,
    unstack,
)

FEW = 2000  # sets with at most so many members are listed


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
    probe = _run(domain, probe_domain, domain, numerics.as_key(key), accuracy)
    for law in LAWS:
        _run(domain, law, probe)


def _run(domain: Domain, law: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return law(*arguments)
    except Exception as error:
        said = str(error) if isinstance(error, AssertionError) else f"(raised {type(error).__name__}: {error})"
        raise AssertionError(f"{domain!r} breaks a law: {(law.__doc__ or '').splitlines()[0]} {said}") from error


def _ravel(probe: Probe) -> None:
    """ravel gives a vector of length size, and unravel is its inverse."""
    for x in (*probe.points, *probe.members):
        vector = probe.domain.ravel(x)
        if vector.shape != (probe.domain.size,):
            raise AssertionError(f"(size {probe.domain.size}, but shape {vector.shape})")
        check_same(probe.domain.unravel(vector), x, 0.0, "unravel(ravel(x)) and x")
    counted = np.arange(float(probe.domain.size))
    check_same(probe.domain.ravel(probe.domain.unravel(counted)), counted, 0.0, "ravel(unravel(v)) and v")


def _start(probe: Probe) -> None:
    """start is a member, in NumPy float64."""
    check_numpy(probe.domain.start(), "start()")
    if not probe.domain.contains(probe.domain.start()):
        raise AssertionError("(contains(start()) is False)")
    if not probe.rows[0].answers["contains member"]:
        raise AssertionError("(contains(start()) is False in JAX)")


def _samples(probe: Probe) -> None:
    """Samples are members, and depend on the key."""
    samples = [row.answers["sample"] for row in probe.rows]
    for row in probe.rows:
        if not row.answers["contains sample"]:
            raise AssertionError(f"(not a member: {row.answers['sample']})")
    alike = all(np.all(flat(sample) == flat(samples[0])) for sample in samples)
    if alike != (probe.domain.cardinality == 1):
        raise AssertionError(f"({len(samples)} keys give {'one' if alike else 'several'})")


def _round(probe: Probe) -> None:
    """round gives members, and keeps members."""
    for x in probe.points:
        if not probe.domain.contains(probe.domain.round(x)):
            raise AssertionError(f"(round of {x} is not a member)")
    for member in probe.members:
        check_same(probe.domain.round(member), member, probe.accuracy, "round(member) and member")


def _round_anything(probe: Probe) -> None:
    """round of a discrete domain gives a member even for NaN and infinities."""
    if not all(part.discrete for part in parts(probe.domain)):
        return
    for x in probe.broken:
        if not probe.domain.contains(probe.domain.round(x)):
            raise AssertionError(f"(round of {x} is not a member)")
    for row in probe.rows:
        if not row.answers["contains round"]:
            raise AssertionError(f"(round of {row.x} is not a member, in JAX)")


def _project(probe: Probe) -> None:
    """project gives members, keeps members, and is the same as round for a discrete domain."""
    for x in probe.points:
        projected = probe.domain.project(x)
        if not probe.domain.contains(projected):
            raise AssertionError(f"(projection of {x} is not a member)")
        check_same(probe.domain.project(projected), projected, probe.accuracy, "twice projected and once")
        if all(part.discrete for part in parts(probe.domain)):
            check_same(projected, probe.domain.round(x), probe.accuracy, "project(x) and round(x)")
    for row in probe.rows[: len(probe.points) + len(probe.members)]:
        if not row.answers["contains project"]:
            raise AssertionError(f"(projection of {row.x} is not a member, in JAX)")
    for member in probe.members:
        check_same(probe.domain.project(member), member, probe.accuracy, "project(member) and member")


def _nonexpansive(probe: Probe) -> None:
    """project is non-expansive where the set is convex."""
    if not probe.domain.convex:
        return
    pairs = [(flat(x), flat(probe.domain.project(x))) for x in (*probe.cloud, *probe.points, *probe.members)]
    for (x, projected), (y, other) in itertools.combinations(pairs, 2):
        before, after = np.linalg.norm(x - y), np.linalg.norm(projected - other)
        if not after <= before + probe.accuracy * max(1.0, abs(x).max(initial=0.0), abs(y).max(initial=0.0)):
            raise AssertionError(f"(distance {before} becomes {after})")


def _nearest(probe: Probe) -> None:
    """project gives the nearest member where the set is convex."""
    if not probe.domain.convex:
        return
    pairs = [(flat(x), flat(probe.domain.project(x))) for x in (*probe.cloud, *probe.points)]
    members = [*map(flat, probe.members), *(projected for _, projected in pairs)]
    for (x, projected), member in itertools.product(pairs, members):
        size = max(1.0, np.linalg.norm(x), np.linalg.norm(member))
        if not (x - projected) @ (member - projected) <= probe.accuracy * size**2:
            raise AssertionError(f"(from {projected} toward {member} one comes nearer to {x})")


def _outside(probe: Probe) -> None:
    """contains is False for what project moves, for NaN and infinity, and for another shape."""
    for x in probe.points:
        gap = np.abs(flat(x) - flat(probe.domain.project(x))).max(initial=0.0)
        far = gap > 1e-3 * max(1.0, np.abs(flat(x)).max(initial=0.0))
        if far and probe.domain.contains(x):
            raise AssertionError(f"(contains({x}), which projects to {probe.domain.project(x)})")
    for bad, place in itertools.product((np.nan, np.inf, -np.inf), {0, probe.domain.size - 1}):
        if probe.domain.size:
            vector = flat(probe.domain.start())
            vector[place] = bad
            if probe.domain.contains(probe.domain.unravel(vector)):
                raise AssertionError(f"(contains a point with {bad})")
    for row in probe.rows:
        if row.answers["contains"] and not np.all(np.isfinite(flat(row.x))):
            raise AssertionError(f"(contains {row.x}, in JAX)")
    start = probe.domain.start()
    if isinstance(start, np.ndarray) and probe.domain.contains(start[None]):
        raise AssertionError(f"(contains a point of shape {start[None].shape})")


def _float64(probe: Probe) -> None:
    """NumPy in gives NumPy float64 out, untouched by JAX's precision."""
    for x in (*probe.points, *probe.members):
        for name in ("project", "round", "ravel"):
            method: Callable[[Any], Any] = getattr(probe.domain, name)
            check_numpy(method(x), f"{name}(x)")
            with jax.enable_x64(False):
                narrow = method(x)
            with jax.enable_x64(True):
                check_same(method(x), narrow, 0.0, f"{name}(x) with and without JAX's x64")
        check_numpy(probe.domain.unravel(flat(x)), "unravel(v)")
        if not isinstance(probe.domain.contains(x), (bool, np.bool_, np.ndarray)):
            raise AssertionError("(contains answers in JAX)")
    check_numpy(probe.domain.neighbors(probe.members[0], probe.key), "neighbors(x)")


def _agree(probe: Probe) -> None:
    """NumPy and JAX agree."""
    for row in probe.rows[: len(probe.points) + len(probe.members)]:
        for name in ("project", "round", "contains"):
            here = getattr(probe.domain, name)(row.x)
            check_same(row.answers[name], here, probe.loose, f"{name} in JAX and in NumPy")


def _neighbors(probe: Probe) -> None:
    """neighbors are members that differ from x, as many as asked for, drawn from the key."""
    single = probe.domain.cardinality == 1

    def check(near: Any, member: Any) -> None:
        shapes = [np.shape(leaf) for leaf in jax.tree.leaves(near)]
        expected = [(COUNT, *np.shape(leaf)) for leaf in jax.tree.leaves(member)]
        if shapes != expected:
            raise AssertionError(f"(shapes {shapes} instead of {expected})")
        for one in unstack(near):
            stays = bool(np.all(flat(one) == flat(member)))
            if stays != single:
                raise AssertionError(f"({one} from {member})")

    for member in probe.members:
        near = probe.domain.neighbors(member, probe.key, COUNT)
        check(near, member)
        for one in unstack(near):
            if not probe.domain.contains(one):
                raise AssertionError(f"(not a member: {one}, from {member})")
    for row in probe.rows:
        check(row.answers["neighbors"], jax.tree.map(np.asarray, jax_tree(row.member)))
        if not np.all(row.answers["contains neighbors"]):
            raise AssertionError(f"(not a member, in JAX: one of {row.answers['neighbors']})")
    if probe.domain.cardinality is None or probe.domain.cardinality > 2:
        first, *others = [flat(row.answers["neighbors"]) for row in probe.rows[:: len(probe.members)]]
        if not any(np.any(first != other) for other in others):
            raise AssertionError("(every key draws the same)")


def _hull(probe: Probe) -> None:
    """relax gives a continuous domain of the same shape that contains the members, convex for a discrete domain."""
    hull = probe.domain.relax()
    if not isinstance(hull, Domain):
        raise AssertionError(f"(relax() is {hull!r})")
    if hull.discrete or (all(part.discrete for part in parts(probe.domain)) and not hull.convex):
        raise AssertionError(f"({hull!r} is not a convex, continuous domain)")
    if hull.shape != probe.domain.shape:
        raise AssertionError(f"(shape {hull.shape} instead of {probe.domain.shape})")
    if not hull.contains(hull.start()):
        raise AssertionError(f"(the start of {hull!r} is not its member)")
    for member in probe.members:
        if not hull.contains(member):
            raise AssertionError(f"({hull!r} does not contain {member})")


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
    if len(listed) != count:
        raise AssertionError(f"(cardinality {count}, but {len(listed)} members)")
    if len({tuple(flat(member)) for member in listed}) < count:
        raise AssertionError("(a member is listed twice)")
    for member in listed:
        check_numpy(member, "a listed member")
        if not probe.domain.contains(member):
            raise AssertionError(f"(not a member: {member})")


def _scale_and_box(probe: Probe) -> None:
    """scale is positive; box, where there is one, bounds the members and its clipping is the projection."""
    scale = np.broadcast_to(probe.domain.scale, probe.domain.shape)
    if not np.all((scale > 0) & np.isfinite(scale)):
        raise AssertionError(f"(scale {scale})")
    if probe.domain.box is None:
        return
    lower, upper = probe.domain.box
    if not (lower.shape == upper.shape == (probe.domain.size,)):
        raise AssertionError(f"(bounds of shape {lower.shape}, {upper.shape})")
    for x in probe.points:
        check_same(probe.domain.project(x), np.clip(flat(x), lower, upper), probe.accuracy, "project(x) and clip(x)")


LAWS = (
    _ravel,
    trace,
    _start,
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
