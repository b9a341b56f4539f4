"""One of several options."""

import itertools
import operator
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.domains import moves
from descend.domains.domain import as_floats, as_shape, jitted_in_jax, say_shape
from descend.domains.isolated import Isolated
from descend.domains.simplex import Simplex


class Choice(Isolated):
    """One option each, one-hot on the last axis: a member has shape (*shape, n). It starts at the first option.

    Args:
        n_or_labels: the number of options, or their distinct, hashable labels in order.
        shape: how many choices are made; an int means a vector of them.

    Attributes:
        labels: a tuple of n labels; 0, 1, ..., n - 1 if only their number is given.

    Raises:
        TypeError: if `n_or_labels` is neither a number nor a sequence of hashable labels.
        ValueError: if there is no option, or two have the same label.
    """

    looks = "one-hot on the last axis: index a table by jnp.argmax(x, -1), or multiply it, x @ table"

    def __init__(self, n_or_labels: Any, shape: Any = ()):
        if isinstance(n_or_labels, str):
            raise TypeError(f"Choice takes a number or a sequence of labels, got the string {n_or_labels!r}")
        self._named = False
        try:
            self.labels: tuple = tuple(range(operator.index(n_or_labels)))
        except TypeError:
            self._named = True
            try:
                self.labels = tuple(n_or_labels)
                distinct = len(set(self.labels))
            except TypeError:
                raise TypeError(
                    f"Choice takes a number or a sequence of hashable labels, got {n_or_labels!r}"
                ) from None
            if distinct < len(self.labels):
                twice = next(label for label in self.labels if self.labels.count(label) > 1)
                raise ValueError(f"Choice needs distinct labels, got {twice!r} twice") from None
        if not self.labels:
            raise ValueError(f"Choice needs at least one option, got {n_or_labels!r}")
        self.choices = as_shape(shape)
        self.shape = (*self.choices, len(self.labels))

    def __repr__(self) -> str:
        options = list(self.labels) if self._named else len(self.labels)
        return f"Choice({options}{f', shape={say_shape(self.choices)}' if self.choices else ''})"

    def decode(self, x: Any) -> Any:
        """The labels of the member nearest to x: one label for shape (), else an object array of `shape`.

        x must be concrete: labels are Python objects, which no traced program holds.
        """
        table = np.empty(len(self.labels), object)
        for index, label in enumerate(self.labels):  # one by one: a label may itself be a sequence
            table[index] = label
        return table[np.argmax(self.round(np.asarray(x)), axis=-1)]

    def encode(self, labels: Any) -> np.ndarray:
        """The member with these labels: the inverse of `decode`.

        Raises:
            ValueError: if there are not as many labels as choices, or one is unknown.
        """
        flat = [labels]
        for _ in self.choices:
            flat = [label for part in flat for label in part]
        if len(flat) != int(np.prod(self.choices, dtype=int)):
            raise ValueError(f"{self} takes labels of shape {self.choices}, got {len(flat)} of them")
        unknown = [label for label in flat if label not in self.labels]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not a label of {self}")
        return self._one_hot(np.array([self.labels.index(label) for label in flat], int), np.float64)

    def _one_hot(self, index: Any, dtype: Any) -> Any:
        """Indices of shape (rows,) as a member."""
        xp = numerics.namespace(index)
        return (index[:, None] == xp.arange(len(self.labels))[None]).astype(dtype).reshape(self.shape)

    def start(self) -> np.ndarray:
        return self._one_hot(np.zeros(int(np.prod(self.choices, dtype=int)), int), np.float64)

    def sample(self, key: jax.Array) -> jax.Array:
        """Uniform."""
        rows = int(np.prod(self.choices, dtype=int))
        return self._one_hot(jax.random.randint(key, (rows,), 0, len(self.labels)), jnp.result_type(float))

    def round(self, x: Any) -> Any:
        """The nearest member: the option with the largest entry, the first of equal ones; NaN counts as smallest."""
        x = as_floats(x)
        xp = numerics.namespace(x)
        index = xp.argmax(xp.where(xp.isnan(x), -xp.inf, x), axis=-1)
        return self._one_hot(xp.reshape(index, (-1,)), x.dtype)

    def relax(self) -> Simplex:
        """Probabilities of the options."""
        return Simplex(len(self.labels), self.choices)

    def neighbors(self, x: Any, key: jax.Array, count: int = 8) -> Any:
        """One choice (now and then a few) changes to another option, all of them equally likely."""
        x = as_floats(x)
        n, rows = len(self.labels), int(np.prod(self.choices, dtype=int))
        draws = moves.like(x, *_draw(key, count, rows, n))
        return _move(x.reshape(1, rows, n), *draws).reshape(count, *self.shape)

    @property
    def cardinality(self) -> int:
        return len(self.labels) ** int(np.prod(self.choices, dtype=int))

    def members(self) -> Iterator[np.ndarray]:
        for index in itertools.product(range(len(self.labels)), repeat=int(np.prod(self.choices, dtype=int))):
            yield self._one_hot(np.array(index, int), np.float64)


@partial(jax.jit, static_argnames=("count", "rows", "n"))
def _draw(key: jax.Array, count: int, rows: int, n: int) -> tuple[jax.Array, jax.Array]:
    """Which choices change, and by how many options, both of shape (count, rows)."""
    which, few, shift = moves.uniforms(key, (2, count, rows), (count, 1), (count, rows))
    return moves.coordinates(which, few, jnp.full(rows, n > 1)), 1 + moves.below(shift, n - 1)


@jitted_in_jax
def _move(x: Any, moved: Any, shift: Any) -> Any:
    """x of shape (1, rows, n) moved by draws of shape (count, rows)."""
    xp = numerics.namespace(x)
    n = x.shape[-1]
    new = (xp.argmax(x, axis=-1) + xp.where(moved, shift, xp.zeros_like(shift))) % n
    return (new[..., None] == xp.arange(n)[None, None]).astype(x.dtype)


EXAMPLES = (Choice(4), Choice(["adam", "sgd", "lion"], shape=(2, 2)), Choice(1, 3), Choice(2), Choice(3, 0))
