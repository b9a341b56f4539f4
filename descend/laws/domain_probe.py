"""What the laws of a domain look at: points, and what the domain's methods answer to them."""

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
# The program of a probe runs once: that it compiles in half the time is worth more than its speed.
UNOPTIMIZED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@dataclass
class Probe:
    """What the laws look at.

    Attributes:
        domain: the domain under test.
        key: for draws.
        members: the start and some samples, as NumPy float64.
        points: trees of NumPy float64 near and far, most of them outside.
        cloud: more of them, for laws that cost little.
        broken: the same with NaN and infinities.
        accuracy: how far, relative to max(1, |x|), two answers that should be equal may differ in float64.
        loose: the same in JAX at its present precision.
        rows: what `program` gives for each point, member and key, traced together.
    """

    domain: Domain
    key: jax.Array
    members: list[Any]
    points: list[Any]
    cloud: list[Any]
    broken: list[Any]
    accuracy: float
    loose: float
    rows: list["Row"] = field(default_factory=list)


class Row(NamedTuple):
    """Inputs in NumPy float64, and the answers to them in JAX by name."""

    x: Any
    member: Any
    answers: dict[str, Any]


def program(domain: Domain, x: Any, member: Any, key: jax.Array) -> dict[str, Any]:
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


def probe_domain(domain: Domain, key: jax.Array, accuracy: float) -> Probe:
    """The domain gives a start, samples, a size and a scale."""
    start = domain.start()
    # Keys of their own: a move drawn from the numbers that the member was drawn from may be parallel to it.
    samples = [numpy_tree(domain.sample(k)) for k in jax.random.split(jax.random.fold_in(key, 1), 3)]
    generator = np.random.default_rng(numerics.seed(key))
    middle, scale = flat(start), np.broadcast_to(domain.scale, domain.shape).ravel()
    sizes = [0.01, 0.3, 1.0, 1.0, 3.0, 10.0]
    points = [
        domain.unravel(middle + size * scale * generator.normal(size=domain.size)) for size in [*sizes, *sizes[1:] * 4]
    ]
    patterns = ([np.nan], [np.inf], [np.nan, np.inf, 0.3, -np.inf, 2.0])
    broken = [domain.unravel(np.resize(pattern, domain.size)) for pattern in patterns]
    loose = accuracy if jnp.result_type(float) == np.float64 else numerics.tolerance(np.float32)
    return Probe(domain, key, [start, *map(domain.round, samples)], points[:6], points[6:], broken, accuracy, loose)


def trace(probe: Probe) -> None:
    """jit and vmap agree with eager, and JAX in gives JAX out."""
    inputs = [*probe.points, *probe.members, *probe.broken] * 2
    members = [member for _, member in zip(inputs, itertools.cycle(probe.members), strict=False)]
    keys = jax.random.split(jax.random.fold_in(probe.key, 2), len(inputs))
    stacks = [jax.tree.map(lambda *leaves: np.stack(leaves), *trees) for trees in (inputs, members)]
    together = jax.jit(jax.vmap(partial(program, probe.domain)), compiler_options=UNOPTIMIZED)
    traced = jax.tree.map(np.asarray, together(*map(jax_tree, stacks), keys))
    for index, (x, member) in enumerate(zip(inputs, members, strict=True)):
        probe.rows.append(Row(x, member, jax.tree.map(lambda leaf, index=index: leaf[index], traced)))
    row, x, member = probe.rows[0], jax_tree(inputs[0]), jax_tree(members[0])
    eager = {
        "project": probe.domain.project(x),
        "round": probe.domain.round(x),
        "unravel(ravel)": probe.domain.unravel(probe.domain.ravel(x)),
        "sample": probe.domain.sample(keys[0]),
        "neighbors": probe.domain.neighbors(member, keys[0], COUNT),
    }
    for name, answer in eager.items():
        kinds = {type(leaf).__name__ for leaf in jax.tree.leaves(answer) if not isinstance(leaf, jax.Array)}
        if kinds:
            raise AssertionError(f"({name} of JAX arrays gives {kinds})")
        check_same(row.answers[name], answer, probe.loose, f"{name} under jit(vmap) and eager")
    check_same(row.answers["contains"], probe.domain.contains(x), 0.0, "contains under jit(vmap) and eager")


def flat(x: Any) -> np.ndarray:
    """The numbers of a tree, independent of the domain's own ravel."""
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(x)] or [np.zeros(0)])


def parts(domain: Domain) -> tuple[Domain, ...]:
    """The factors of a product, or the domain itself."""
    return getattr(domain, "parts", (domain,))


def unstack(stack: Any) -> list[Any]:
    """The `COUNT` trees of a stack."""
    return [jax.tree.map(lambda leaf, index=index: leaf[index], stack) for index in range(COUNT)]


def numpy_tree(x: Any) -> Any:
    """In NumPy float64."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), x)


def jax_tree(x: Any) -> Any:
    """In JAX, in its present precision."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float)), x)


def check_numpy(x: Any, what: str) -> None:
    """Raises AssertionError unless x is a tree of NumPy float64."""
    for leaf in jax.tree.leaves(x):
        found = f"{type(leaf).__name__} of {getattr(leaf, 'dtype', 'no dtype')}"
        if not (isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype == np.float64):
            raise AssertionError(f"({what} is {found})")


def check_same(found: Any, expected: Any, accuracy: float, what: str) -> None:
    """Raises AssertionError unless two trees have the same numbers, to an accuracy relative to max(1, |expected|)."""
    a, b = flat(found), flat(expected)
    if a.shape != b.shape:
        raise AssertionError(f"({what} have {a.size} and {b.size} numbers)")
    off = np.abs(a - b).max(initial=0.0)
    if not (off <= accuracy * max(1.0, np.abs(b).max(initial=0.0))):
        raise AssertionError(f"({what} differ by {off})")
