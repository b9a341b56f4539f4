"""The kinks of a program as variables of their own: each is a maximum or minimum of pieces that have none."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.program import compat
from descend.program.kinks import Reader, Traced, Watch, extreme


class Pieces:
    """A function whose kinks can be taken from outside.

    A kink is a number m = max(pieces) or min(pieces). Read are `abs`, `max`, `min`, `clip`, the maximum and minimum of
    an array, `relu`, and choices between affine pieces by the sign of what they differ by: `where(d > 0, 2 * d, d)`.
    They are found inside functions that are called, and inside `scan`, where there is a kink for each round. Other
    kinks stay in the pieces.

    Args:
        function: of (variables, *given), both pytrees; a traceable function that returns one array.
        *examples: arguments with the shapes and dtypes that it will be called with.

    Attributes:
        count: the number of kinks, counted number by number.

    Source: Griewank, "On stable piecewise linearization and generalized algorithmic differentiation" (2013), whose
    abs-normal form has |.| in place of the maxima.
    """

    def __init__(self, function: Callable[..., Any], *examples: Any):
        leaves, self._tree = jax.tree.flatten(examples)
        self._moves = len(jax.tree.leaves(examples[0]))
        self._program = compat.trace(lambda *leaves: function(*jax.tree.unflatten(self._tree, leaves)), *leaves)
        self._like = jax.eval_shape(lambda *leaves: self._run(Watch(), leaves)[1], *leaves)
        self._sizes = [int(np.prod(each.shape, dtype=int)) for each in self._like]
        self.count = sum(self._sizes)

    def kinks(self, *arguments: Any) -> jax.Array:
        """The values of the kinks at a point, shape (count,)."""
        return _flat(self._run(Watch(), jax.tree.leaves(arguments))[1])

    def owners(self, *arguments: Any) -> np.ndarray:
        """To which kink each of the gaps that `lifted` returns belongs, shape (gaps,)."""
        places = self._split(np.arange(self.count))
        return np.asarray(_flat(self._run(_Owners(places), jax.tree.leaves(arguments))[1]), int)

    def lifted(self, kinks: Any, *arguments: Any, pieces: np.ndarray | None = None) -> tuple[Any, jax.Array]:
        """What the function returns if its kinks have these values, and how far each is from its pieces.

        Args:
            kinks: shape (count,).
            *arguments: those of the function.
            pieces: for each kink the number of the piece that it is instead, or -1; shape (count,).

        Returns:
            The result, and a gap for each piece of each kink: kink - piece for a maximum, piece - kink for a minimum.
            None is negative, and one of each kink is zero, where the kinks have the values of `kinks`. The gaps of a
            kink that is a piece are one.
        """
        values = [jnp.asarray(each, like.dtype) for each, like in zip(self._split(kinks), self._like, strict=True)]
        near = None if pieces is None else list(zip(values, self._split(pieces), strict=True))
        result, gaps = self._run(_Given(values) if near is None else _Near(near), jax.tree.leaves(arguments))
        return result, _flat(gaps)

    def active(self, reach: float, *arguments: Any) -> np.ndarray:
        """For each kink the number of its piece at a point, or -1 where another is within `reach`, shape (count,)."""
        return np.asarray(_flat(self._run(_Active(reach), jax.tree.leaves(arguments))[1]), int)

    def _split(self, flat: Any) -> list[Any]:
        ends = np.cumsum(self._sizes)[:-1]
        parts = np.split(flat, ends) if isinstance(flat, np.ndarray) else jnp.split(jnp.asarray(flat), ends)
        return [part.reshape(like.shape) for part, like in zip(parts, self._like, strict=False)]

    def _run(self, source: "Watch", leaves: Sequence[Any]) -> tuple[Any, list[Any]]:
        values = [Traced(leaf, index < self._moves, index >= self._moves) for index, leaf in enumerate(leaves)]
        (result,) = Reader(source).run(self._program, values)
        return result.value, source.out


class _Given(Watch):
    """Lets the kinks have given values, in order, and notes the gaps."""

    def kink(self, sign: Any, pieces: Any) -> Any:
        value = self._values.pop(0)
        self.out.append(sign * (value[None] - pieces))
        return value

    def taken(self, like: Sequence[Any], length: int) -> list[Any]:
        return [self._values.pop(0) for _ in like]


class _Near(_Given):
    """Lets the kinks have given values, or be the pieces of the given numbers, and notes the gaps."""

    def kink(self, sign: Any, pieces: Any) -> Any:
        given, chosen = self._values.pop(0)
        piece = jnp.take_along_axis(pieces, jnp.maximum(chosen, 0)[None], axis=0)[0]
        value = jnp.where(chosen < 0, given, piece)
        self.out.append(jnp.where(chosen[None] < 0, sign * (value[None] - pieces), 1))
        return value


class _Active(Watch):
    """Lets the kinks have the values that they have, and notes which piece that is, if only one."""

    def __init__(self, reach: float):
        super().__init__()
        self.reach = reach

    def kink(self, sign: Any, pieces: Any) -> Any:
        value = extreme(sign, pieces)
        room = self.reach * jnp.maximum(1, abs(value))
        several = jnp.sum(sign * (value[None] - pieces) <= room[None], axis=0) > 1
        self.out.append(jnp.where(several, -1, jnp.argmax(sign * pieces, axis=0)))
        return value

    def inside(self, taken: Sequence[Any]) -> "Watch":
        return _Active(self.reach)


class _Owners(_Given):
    """Lets the kinks have the values that they have, and notes their numbers, once a piece."""

    def kink(self, sign: Any, pieces: Any) -> Any:
        self.out.append(jnp.broadcast_to(self._values.pop(0)[None], pieces.shape))
        return extreme(sign, pieces)


def _flat(arrays: Sequence[Any]) -> Any:
    return jnp.concatenate([jnp.zeros(0), *(jnp.ravel(each) for each in arrays)])
