"""Trials until the first success."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import xlog1py

from descend.draws.family import Family, Jump, prepared
from descend.draws.stated import stated


def geometric(key: Any, p: Any, shape: Any = None) -> jax.Array:
    """The number of trials until one succeeds, which each does with chance p: 1.0, 2.0, ...

    Args:
        key: an int or a JAX key.
        p: chances.
        shape: of the sample, to which p is broadcast. Default: p's.
    """
    key, (p,) = prepared(key, shape, p)
    return stated(Geometric().sample(key, jax.lax.stop_gradient(p)), p, family=Geometric())


@dataclass(frozen=True)
class Geometric(Family):
    """The family of `geometric`."""

    events = (0, 0)

    def inverse(self, u: Any, p: Any) -> Any:
        return jnp.maximum(jnp.ceil(jnp.log(u) / jnp.log1p(-p)), 1)

    def log_prob(self, y: Any, p: Any) -> Any:
        return jnp.where(y >= 1, jnp.log(p) + xlog1py(y - 1, -p), -jnp.inf)

    def jump(self, u: Any, y: Any, p: Any) -> Jump:
        """One trial more, with weight y / p: -(d CDF(y) / dp) / P(y)."""
        return Jump(y + 1, -y / jax.lax.stop_gradient(p) * p)
