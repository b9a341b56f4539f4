"""Several variables at once: a pytree of domains, itself a domain."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from descend import numerics
from descend.domains.binary import Binary
from descend.domains.choice import Choice
from descend.domains.domain import Domain, Polyhedron
from descend.domains.integer import Integer
from descend.domains.permutation import Permutation
from descend.domains.real import Real
from descend.domains.simplex import Simplex
from descend.domains.subset import Subset
from descend.domains.weights import Weights


class Product(Domain):
    """The members are pytrees like `over`, with a member in place of each domain.

    Args:
        over: a pytree whose leaves are domains: a single domain, a dict, a tuple...

    Raises:
        TypeError: if a leaf is not a domain, naming the leaf.
        ValueError: if there is no leaf.
    """

    def __init__(self, over: Any):
        if isinstance(over, Product):
            over = over.over
        leaves, self.tree = jax.tree_util.tree_flatten_with_path(over, is_leaf=lambda d: isinstance(d, Domain))
        self.over = over
        self.names = tuple(_name(path) for path, _ in leaves)
        self.parts: tuple[Domain, ...] = tuple(part for _, part in leaves)
        for name, part in zip(self.names, self.parts, strict=True):
            if not isinstance(part, Domain):
                raise TypeError(f"{name or 'over'} must be a domain such as descend.Real(3), got {part!r}")
        if not self.parts:
            raise ValueError("a problem needs at least one variable")
        self.discrete = any(part.discrete for part in self.parts)
        self.convex = all(part.convex for part in self.parts)
        self.shape = (sum(part.size for part in self.parts),)

    def __reduce__(self) -> tuple[Any, ...]:
        return Product, (self.over,)

    def __repr__(self) -> str:
        return repr(self.over)

    def split(self, x: Any) -> list[Any]:
        """The members of the parts, in the order of `parts`.

        Raises:
            ValueError: if x is not shaped like `over`.
        """
        try:
            return self.tree.flatten_up_to(x)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"expected a point shaped like {self.over!r}, got {jax.tree.structure(x)}: {error}"
            ) from None

    def join(self, members: list[Any]) -> Any:
        """The inverse of `split`."""
        return self.tree.unflatten(members)

    def _each(self, method: Callable[[Domain, Any], Any], x: Any) -> Any:
        return self.join([method(part, m) for part, m in zip(self.parts, self.split(x), strict=True)])

    def start(self) -> Any:
        return self.join([part.start() for part in self.parts])

    def sample(self, key: jax.Array) -> Any:
        keys = jax.random.split(key, len(self.parts))
        return self.join([part.sample(k) for part, k in zip(self.parts, keys, strict=True)])

    def contains(self, x: Any, tolerance: float | None = None) -> Any:
        inside = [part.contains(m, tolerance) for part, m in zip(self.parts, self.split(x), strict=True)]
        return numerics.namespace(*inside).all(numerics.namespace(*inside).stack(inside))

    def project(self, x: Any) -> Any:
        return self._each(lambda part, m: part.project(m), x)

    def round(self, x: Any) -> Any:
        return self._each(lambda part, m: part.round(m), x)

    def relax(self) -> "Product":
        return Product(self.join([part.relax() for part in self.parts]))

    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """Each neighbor moves one part, chosen with probability proportional to the square root of its size.

        Parts with a single member stay, unless all do.
        """
        choice_key, *keys = jax.random.split(key, len(self.parts) + 1)
        weight = np.sqrt([0 if part.cardinality == 1 else part.size for part in self.parts])
        weight = weight if weight.any() else np.ones(len(self.parts))
        moved = jax.random.choice(choice_key, len(self.parts), (count,), p=jnp.asarray(weight / weight.sum()))

        def move(index: int, part: Domain, member: Any, part_key: jax.Array) -> Any:
            def keep_or_move(new: Any, old: Any) -> Any:
                xp = numerics.namespace(old)
                chosen = xp.reshape(xp.asarray(moved == index), (count,) + (1,) * np.ndim(old))
                return xp.where(chosen, new, old[None])

            return jax.tree.map(keep_or_move, part.neighbors(member, part_key, count), member)

        members = zip(range(len(self.parts)), self.parts, self.split(x), keys, strict=True)
        return self.join([move(*each) for each in members])

    @functools.cached_property
    def scale(self) -> np.ndarray:
        """Flat, of length `size`."""
        return np.concatenate([np.broadcast_to(p.scale, p.shape).ravel() for p in self.parts])

    @functools.cached_property
    def unstated(self) -> np.ndarray:
        """Flat, of length `size`."""
        return np.concatenate([np.broadcast_to(p.unstated, p.shape).ravel() for p in self.parts])

    def rescaled(self, scale: Any) -> "Product":
        """The same with other scales, flat, of length `size`, where they are not stated."""
        pieces = np.split(np.asarray(scale, np.float64), np.cumsum([part.size for part in self.parts])[:-1])
        return Product(self.join([p.rescaled(s.reshape(p.shape)) for p, s in zip(self.parts, pieces, strict=True)]))

    @functools.cached_property
    def polyhedron(self) -> Polyhedron | None:
        sets = [part.polyhedron for part in self.parts]
        known = [each for each in sets if each is not None]
        if len(known) < len(sets):
            return None
        lower, upper, values = (
            np.concatenate([getattr(each, name) for each in known]) for name in ("lower", "upper", "values")
        )
        return Polyhedron(lower, upper, sparse.csr_array(sparse.block_diag([each.rows for each in known])), values)

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray] | None:
        boxes = [box for box in (part.box for part in self.parts) if box is not None]
        if len(boxes) < len(self.parts):
            return None
        return np.concatenate([b[0] for b in boxes]), np.concatenate([b[1] for b in boxes])

    @property
    def cardinality(self) -> int | None:
        counts = [count for count in (part.cardinality for part in self.parts) if count is not None]
        return math.prod(counts) if len(counts) == len(self.parts) else None

    def members(self) -> Iterator[Any]:
        if self.cardinality is None:
            yield from super().members()
        for combination in itertools.product(*(part.members() for part in self.parts)):
            yield self.join(list(combination))

    def checked(self, x: Any, name: str) -> Any:
        """x as float64 NumPy arrays.

        Raises:
            ValueError: if the tree or a shape does not match, or x lies outside, naming x and the variable.
        """
        members = []
        for label, part, member in zip(self.names, self.parts, self.split(x), strict=True):
            label = f"{name}, variable {label}" if label else name
            try:
                member = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), member)
            except (TypeError, ValueError):
                raise ValueError(f"{label}: expected numbers, got {member!r}") from None
            expected, found = (jax.tree.map(np.shape, tree) for tree in (part.start(), member))
            if expected != found:
                raise ValueError(f"{label}: expected shape {expected}, got {found}")
            if not part.contains(member):
                raise ValueError(f"{label}: not in {part}")
            members.append(member)
        return self.join(members)

    def ravel(self, x: Any) -> Any:
        vectors = [part.ravel(m) for part, m in zip(self.parts, self.split(x), strict=True)]
        return numerics.namespace(*vectors).concatenate(vectors)

    def unravel(self, vector: Any) -> Any:
        ends = np.cumsum([part.size for part in self.parts])
        starts = ends - np.array([part.size for part in self.parts])
        return self.join([p.unravel(vector[a:b]) for p, a, b in zip(self.parts, starts, ends, strict=True)])


def _name(path: tuple) -> str:
    """A leaf's path as a user would write it: `w`, `layers.0.bias`."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


EXAMPLES = (
    Product({"w": Real(2, lower=0.0), "picks": Subset(4, k=2)}),
    Product([Integer(2, 0, 3), (Binary(2), Choice(3))]),
    Product({"net": Weights({"w": np.ones((2, 2)), "b": np.zeros(2)}), "mix": Simplex(3), "fixed": Subset(2, k=2)}),
    Product(Permutation(3)),
    Product([Subset(2, k=0), Real(1, 2.0, 2.0)]),
)
