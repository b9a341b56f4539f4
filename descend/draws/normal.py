"""Gaussian numbers."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np

from descend.draws.family import Family, prepared
from descend.draws.stated import stated


def normal(key: Any, mean: Any = 0.0, deviation: Any = 1.0, shape: Any = None) -> jax.Array:
    """Gaussian numbers; the plain derivative is pathwise, and `routes.score` replaces it.

    Args:
        key: an int or a JAX key.
        mean: of the numbers.
        deviation: their standard deviation, positive.
        shape: of the sample, to which both are broadcast. Default: theirs.
    """
    key, parameters = prepared(key, shape, mean, deviation)
    return stated(Normal().sample(key, *parameters), *parameters, family=Normal())


@dataclass(frozen=True)
class Normal(Family):
    """The family of `normal`."""

    events = (0, 0, 0)
    continuous: ClassVar[bool] = True

    def sample(self, key: jax.Array, mean: Any, deviation: Any) -> Any:
        return mean + deviation * jax.random.normal(key, mean.shape, mean.dtype)

    def outcomes(self, mean: Any, deviation: Any) -> int:
        """One, so that a sum over outcomes passes over it."""
        return 1

    def inverse(self, u: Any, mean: Any, deviation: Any) -> Any:
        return mean + deviation * jax.scipy.special.ndtri(u)

    def log_prob(self, y: Any, mean: Any, deviation: Any) -> Any:
        return -0.5 * ((y - mean) / deviation) ** 2 - jnp.log(deviation) - 0.5 * np.log(2 * np.pi)
