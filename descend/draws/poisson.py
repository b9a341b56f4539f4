"""Counts of independent events."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, xlogy

from descend.draws.counting import inverted
from descend.draws.family import Family, Jump, prepared
from descend.draws.stated import stated


def poisson(key: Any, rate: Any, shape: Any = None) -> jax.Array:
    """A count with mean `rate`, as a float.

    Args:
        key: an int or a JAX key.
        rate: means, not negative.
        shape: of the sample, to which rate is broadcast. Default: rate's.
    """
    key, (rate,) = prepared(key, shape, rate)
    return stated(Poisson().sample(key, jax.lax.stop_gradient(rate)), rate, family=Poisson())


@dataclass(frozen=True)
class Poisson(Family):
    """The family of `poisson`."""

    events = (0, 0)

    def inverse(self, u: Any, rate: Any) -> Any:
        return inverted(u, rate, rate, lambda k: self.log_prob(k, rate), lambda k: rate / (k + 1), jnp.inf)

    def log_prob(self, y: Any, rate: Any) -> Any:
        return jnp.where(y >= 0, xlogy(y, rate) - rate - gammaln(y + 1), -jnp.inf)

    def jump(self, u: Any, y: Any, rate: Any) -> Jump:
        """One event more, always."""
        return Jump(y + 1, rate)
