"""Coin flips."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from descend.draws.family import Family, Jump, prepared, uniform
from descend.draws.stated import stated


def bernoulli(key: Any, p: Any, shape: Any = None) -> jax.Array:
    """1.0 with probability p, else 0.0.

    Args:
        key: an int or a JAX key.
        p: probabilities.
        shape: of the sample, to which p is broadcast. Default: p's.
    """
    key, (p,) = prepared(key, shape, p)
    return stated(Bernoulli().sample(key, jax.lax.stop_gradient(p)), p, family=Bernoulli())


@dataclass(frozen=True)
class Bernoulli(Family):
    """The family of `bernoulli`."""

    events = (0, 0)

    def inverse(self, u: Any, p: Any) -> Any:
        return (u < p).astype(p.dtype)

    def log_prob(self, y: Any, p: Any) -> Any:
        chance = self.prob(y, p)
        return jnp.log(jnp.where(chance > 0, chance, 1)) + jnp.where(chance > 0, 0, -jnp.inf)

    def prob(self, y: Any, p: Any) -> Any:
        return jnp.where(y > 0.5, p, 1 - p)

    def outcomes(self, p: Any) -> int:
        return 2

    def outcome(self, index: Any, p: Any) -> Any:
        return index.astype(p.dtype)

    def jump(self, u: Any, y: Any, p: Any) -> Jump:
        """The other side, always: d E f / dp = f(1) - f(0)."""
        return Jump(1 - y, (1 - 2 * y) * p)

    def noise(self, key: jax.Array, p: Any) -> Any:
        u = uniform(key, p.shape, p.dtype)
        return jnp.log(u) - jnp.log1p(-u)

    def hard(self, noise: Any, p: Any) -> Any:
        return (_logit(p) + noise > 0).astype(p.dtype)

    def soft(self, temperature: Any, noise: Any, p: Any) -> Any:
        return jax.nn.sigmoid((_logit(p) + noise) / temperature)

    def noise_given(self, key: jax.Array, y: Any, p: Any) -> Any:
        """A logistic beyond -logit(p) or below it: u uniform on (1 - p, 1) or on (0, 1 - p)."""
        v = uniform(key, p.shape, p.dtype)
        low = jnp.where(y > 0.5, v * p, p + v * (1 - p))  # 1 - u
        high = jnp.where(y > 0.5, 1 - p + (1 - v) * p, (1 - v) * (1 - p))  # u
        return jnp.log(high) - jnp.log(low)


def _logit(p: Any) -> Any:
    return jnp.log(p) - jnp.log1p(-p)
