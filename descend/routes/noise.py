"""What a function is blurred with, and how the draws are laid out."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Noise:
    """A symmetric distribution of vectors, each entry of mean 0 and variance 1.

    Called, `noise(key, shape, dtype)` draws: vectors along the last axis.

    Attributes:
        name: as users type it.
        draw: draws.
        score: minus the gradient of the log density of a vector, such that E f(x + u) score(u) is the derivative of the
            blurred f.
        inverse: from uniform numbers, in the same shape.
        round: the distribution is the same in every rotation.
    """

    name: str
    draw: Callable[[jax.Array, Any, Any], Any]
    score: Callable[[Any], Any]
    inverse: Callable[[Any], Any]
    round: bool

    def __call__(self, key: jax.Array, shape: Any, dtype: Any) -> jax.Array:
        return self.draw(key, shape, dtype)

    def __repr__(self) -> str:
        return self.name


def _scaled(u: Any) -> Any:
    """On the sphere of radius sqrt(n)."""
    return u * jnp.sqrt(u.shape[-1] / jnp.sum(u**2, -1, keepdims=True))


def _laplace(u: Any) -> Any:
    away = u - 0.5
    return -jnp.sign(away) * jnp.log1p(-2 * jnp.abs(away)) / np.sqrt(2)


gaussian = Noise("gaussian", jax.random.normal, lambda u: u, jax.scipy.special.ndtri, True)
laplace = Noise(
    "laplace",
    lambda key, shape, dtype: jax.random.laplace(key, shape, dtype) / np.sqrt(2),
    lambda u: np.sqrt(2) * jnp.sign(u),
    _laplace,
    False,
)
sphere = Noise(
    "sphere",
    lambda key, shape, dtype: _scaled(jax.random.normal(key, shape, dtype)),
    lambda u: u,  # by the divergence theorem, for f blurred over the ball that the sphere bounds
    lambda u: _scaled(jax.scipy.special.ndtri(u)),
    True,
)


class Design(abc.ABC):
    """How several draws belong together; each by itself has the distribution of the noise."""

    @abc.abstractmethod
    def block(self, count: int, n: int) -> int:
        """How many draws are made together: a divisor of their number."""

    @abc.abstractmethod
    def draw(self, noise: Noise, key: jax.Array, block: Any, size: int, n: int, dtype: Any) -> Any:
        """A block of draws, (size, n)."""


@dataclass(frozen=True)
class Independent(Design):
    """Draws that know nothing of each other."""

    def block(self, count: int, n: int) -> int:
        return 1

    def draw(self, noise: Noise, key: jax.Array, block: Any, size: int, n: int, dtype: Any) -> Any:
        return noise(jax.random.fold_in(key, block), (n,), dtype)[None]


@dataclass(frozen=True)
class Orthogonal(Design):
    """Draws at right angles to each other, up to n of them: for a round noise.

    The gradient of a linear function is exact in directions' space once n draws are made, instead of converging as
    their root. Time: n^2 for each draw, and memory n^2 at most.

    Source: Choromanski et al., "Structured evolution with compact architectures", arXiv:1804.02395.
    """

    def block(self, count: int, n: int) -> int:
        return max(d for d in range(1, min(count, n) + 1) if count % d == 0)

    def draw(self, noise: Noise, key: jax.Array, block: Any, size: int, n: int, dtype: Any) -> Any:
        turn, length = jax.random.split(jax.random.fold_in(key, block))
        q, r = jnp.linalg.qr(jax.random.normal(turn, (n, size), dtype))
        q = q * jnp.sign(jnp.diag(r))[None]  # uniform over rotations
        return q.T * jnp.linalg.norm(noise(length, (size, n), dtype), axis=1, keepdims=True)


@dataclass(frozen=True)
class QuasiRandom(Design):
    """Draws that fill space evenly: a lattice (multiples of the roots of primes), shifted at random.

    Worth it in few dimensions; in many it is no better and no worse than independent draws.

    Source: Richtmyer's sequence, see Niederreiter, "Random number generation and quasi-Monte Carlo methods" (1992);
    random shifts: Cranley and Patterson (1976).
    """

    def block(self, count: int, n: int) -> int:
        return 1

    def draw(self, noise: Noise, key: jax.Array, block: Any, size: int, n: int, dtype: Any) -> Any:
        steps = np.sqrt(_primes(n)) % 1
        info = jnp.finfo(dtype)
        u = (jax.random.uniform(key, (n,), dtype) + block * jnp.asarray(steps, dtype)) % 1
        return noise.inverse(jnp.clip(u, info.tiny, 1 - info.epsneg))[None]


independent, orthogonal, quasi_random = Independent(), Orthogonal(), QuasiRandom()


def _primes(n: int) -> np.ndarray:
    """The first n primes."""
    limit = max(20, int(n * (np.log(n + 2) + np.log(np.log(n + 2) + 1) + 1)))
    sieve = np.ones(limit, bool)
    sieve[:2] = False
    for i in range(2, int(limit**0.5) + 1):
        sieve[i * i :: i] &= not sieve[i]
    return np.flatnonzero(sieve)[:n]
