"""What domains of columns of length one have in common: the size of their entries, and random moves of that size."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from descend.domains import moves
from descend.domains.domain import as_floats
from descend.domains.manifold import Manifold


class UnitColumns(Manifold):
    """Columns of n numbers with Euclidean length one, on the first axis of a member; for n = 1 the two signs.

    Attributes:
        n: length of a column.
    """

    n: int

    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """Gaussian steps along the tangent space, log-uniform in size from a thousandth of `scale` to all of it."""
        x = moves.stacked(as_floats(x), count)
        if self.n == 1:
            return -x
        (step,) = moves.like(x, moves.gaussian(key, count, self.shape))
        return self.retract(x, self.tangent(x, step / np.sqrt(self.n)))

    @property
    def scale(self) -> np.ndarray:
        """The typical size of an entry, 1 / sqrt(n)."""
        return np.full(self.shape, 1 / np.sqrt(self.n))

    @property
    def cardinality(self) -> int | None:
        return 2 if self.n == 1 else None

    def members(self) -> Iterator[np.ndarray]:
        if self.n > 1:
            yield from super().members()
        yield from (np.ones(self.shape), -np.ones(self.shape))
