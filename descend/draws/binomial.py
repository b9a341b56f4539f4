"""Successes among n trials."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, xlog1py, xlogy

from descend.draws.counting import inverted
from descend.draws.family import Family, Jump, prepared
from descend.draws.stated import stated


def binomial(key: Any, n: Any, p: Any, shape: Any = None) -> jax.Array:
    """The number of successes among n trials with chance p, as a float.

    Args:
        key: an int or a JAX key.
        n: trials: whole numbers, which may be a sample themselves. The derivative by n is taken to be zero.
        p: chances.
        shape: of the sample, to which n and p are broadcast. Default: theirs.
    """
    known = isinstance(n, (int, np.integer, np.ndarray)) and np.size(n)
    key, (trials, chances) = prepared(key, shape, n, p)
    trials = jax.lax.stop_gradient(trials)
    sample = jax.random.binomial(key, trials, jax.lax.stop_gradient(chances), dtype=trials.dtype)
    family = Binomial(int(np.max(n)) if known else None)
    return stated(jax.lax.stop_gradient(sample), trials, chances, family=family)


@dataclass(frozen=True)
class Binomial(Family):
    """The family of `binomial`.

    Attributes:
        most: the largest n, where it is known.
    """

    most: int | None = None

    events = (0, 0, 0)

    def inverse(self, u: Any, n: Any, p: Any) -> Any:
        ratio = lambda k: (n - k) / (k + 1) * p / (1 - p)  # noqa: E731
        found = inverted(u, n * p, n * p * (1 - p), lambda k: self.log_prob(k, n, p), ratio, n)
        return jnp.where(p >= 1, n, found)

    def log_prob(self, y: Any, n: Any, p: Any) -> Any:
        inside = (y >= 0) & (y <= n)
        k = jnp.where(inside, y, 0)
        log = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + xlogy(k, p) + xlog1py(n - k, -p)
        return jnp.where(inside, log, -jnp.inf)

    def outcomes(self, n: Any, p: Any) -> int | None:
        return None if self.most is None else self.most + 1

    def outcome(self, index: Any, n: Any, p: Any) -> Any:
        return index.astype(p.dtype)

    def jump(self, u: Any, y: Any, n: Any, p: Any) -> Jump:
        """One trial, any, comes out the other way."""
        up = (u * n >= y).astype(p.dtype)
        sign = jnp.where(n > 0, 2 * up - 1, 0)
        return Jump(y + sign, jax.lax.stop_gradient(n) * sign * p)
