"""The free parameters of a network."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.domains import moves
from descend.domains.domain import Domain, as_floats


class Weights(Domain):
    """Trees of real arrays like the one given, which is where a search begins.

    Its flat vector joins the leaves in the order of `jax.tree.leaves`. All leaves of a member share the dtype of the
    computation; the dtypes of the given tree are not kept.

    Args:
        tree: a pytree of float arrays, finite.

    Raises:
        TypeError: if a leaf is not a float array, naming the leaf.
        ValueError: if a leaf is not finite, or there is none.
    """

    def __init__(self, tree: Any):
        leaves, self.tree = jax.tree_util.tree_flatten_with_path(tree)
        if not leaves:
            raise ValueError("Weights needs a tree with at least one array")
        self._leaves: list[np.ndarray] = []
        for path, leaf in leaves:
            name = jax.tree_util.keystr(path, simple=True, separator=".") or "the tree"
            dtype = getattr(leaf, "dtype", np.dtype(type(leaf)) if isinstance(leaf, (bool, int, float)) else None)
            if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
                found = type(leaf).__name__ if dtype is None else f"dtype {dtype}"
                raise TypeError(f"Weights takes float arrays only, got {found} at {name}: leave it out of the tree")
            self._leaves.append(np.array(leaf, np.float64))
            if not np.all(np.isfinite(self._leaves[-1])):
                raise ValueError(f"Weights needs finite arrays, got NaN or infinity at {name}")
        self.shape = (sum(leaf.size for leaf in self._leaves),)

    def __repr__(self) -> str:
        return f"Weights({self.size} numbers in {len(self._leaves)} arrays)"

    def _split(self, x: Any) -> list[Any]:
        return [as_floats(leaf) for leaf in self.tree.flatten_up_to(x)]

    def _each(self, change: Callable[[Any], Any], x: Any) -> Any:
        return self.tree.unflatten([change(leaf) for leaf in self._split(x)])

    def start(self) -> Any:
        return self.tree.unflatten([leaf.copy() for leaf in self._leaves])

    def sample(self, key: jax.Array) -> Any:
        """Gaussian around the start with standard deviation `scale`."""
        vector = np.concatenate([leaf.ravel() for leaf in self._leaves])
        return self.unravel(vector + self.scale * jax.random.normal(key, self.shape))

    def contains(self, x: Any, tolerance: float | None = None) -> Any:
        """Whether x is finite and its leaves have the right shapes.

        Raises:
            ValueError: if x is another tree.
        """
        found = self._split(x)
        if any(leaf.shape != own.shape for leaf, own in zip(found, self._leaves, strict=True)):
            return False
        xp = numerics.namespace(*found)
        return xp.all(xp.stack([xp.all(xp.isfinite(leaf)) for leaf in found]))

    def project(self, x: Any) -> Any:
        """x itself."""
        return self._each(lambda leaf: leaf, x)

    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """Moves are Gaussian in all numbers; their size is log-uniform from a thousandth of `scale` to `scale`."""
        vector = self.ravel(x)
        (step,) = moves.like(vector, moves.gaussian(key, count, self.shape))
        scale = numerics.namespace(vector).asarray(self.scale, vector.dtype)
        return self.tree.unflatten(self._cut(vector[None] + scale[None] * step, (count,)))

    @property
    def scale(self) -> np.ndarray:
        """The root mean square of each leaf (of the whole tree for a leaf of zeros, one if all are), flat."""
        whole = _rms(np.concatenate([leaf.ravel() for leaf in self._leaves])) or 1.0
        return np.concatenate([np.full(leaf.size, _rms(leaf) or whole) for leaf in self._leaves])

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        return np.full(self.size, -np.inf), np.full(self.size, np.inf)

    @property
    def cardinality(self) -> int | None:
        return None if self.size else 1

    def members(self) -> Iterator[Any]:
        if self.size:
            yield from super().members()
        yield self.start()

    def ravel(self, x: Any) -> Any:
        leaves = self._split(x)
        xp = numerics.namespace(*leaves)
        return xp.concatenate([xp.reshape(leaf, (-1,)) for leaf in leaves])

    def unravel(self, vector: Any) -> Any:
        return self.tree.unflatten(self._cut(as_floats(vector), ()))

    def _cut(self, vectors: Any, lead: tuple[int, ...]) -> list[Any]:
        ends = np.cumsum([leaf.size for leaf in self._leaves])
        return [
            vectors[..., int(end) - leaf.size : int(end)].reshape((*lead, *leaf.shape))
            for leaf, end in zip(self._leaves, ends, strict=True)
        ]


def _rms(values: np.ndarray) -> float:
    """Without overflow or underflow."""
    largest = float(np.max(abs(values), initial=0.0))
    return largest * float(np.sqrt(np.mean((values / largest) ** 2))) if largest else 0.0


EXAMPLES = (
    Weights({"layers": [{"w": np.array([[0.1, -0.2], [0.3, 0.05]]), "b": np.zeros(2)}], "gain": np.float32(3.0)}),
    Weights(np.ones((2, 3))),
)
