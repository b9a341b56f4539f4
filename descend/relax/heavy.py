"""Families of soft steps with tails of 1/z: with them, and no lighter ones, a soft swap of two values is monotone.

Besides `cauchy`, which is smooth. All have the slope 1/4 at 0. What a swap loses, in temperatures: 1 for `reciprocal`,
4 / pi^2 for `cauchy`, 1/4 for `optimal`, and 0.28 for `logistic`, which is not monotone.

Source: Petersen, Borgelt, Kuehne and Deussen, "Monotonic Differentiable Sorting Networks", ICLR 2022
(arXiv:2203.09630).
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from descend.relax.families import Family


@dataclass(frozen=True)
class Reciprocal(Family):
    """The softsign: z / (2 + |z|) between -1 and 1, once continuously differentiable."""

    support: float = np.inf
    light: bool = False

    def cdf(self, z: Any) -> Any:
        """1 / (2 + |z|) in the lower tail, and 1 minus that in the upper."""
        tail = 1 / (2 + jnp.abs(z))
        return jnp.where(z > 0, 1 - tail, tail)

    def odd(self, z: Any) -> Any:
        """z / (2 + |z|)."""
        z = jnp.clip(z, -1e30, 1e30)  # infinity over infinity
        return z / (2 + jnp.abs(z))

    def pdf(self, z: Any) -> Any:
        """1 / (2 + |z|)^2."""
        return (1 / (2 + jnp.abs(z))) ** 2

    def ramp(self, z: Any) -> Any:
        """max(z, 0) - log(1 + |z| / 2): falls without end in both directions from max(z, 0)."""
        return jnp.maximum(z, 0) - jnp.log1p(jnp.abs(z) / 2)

    def quantile(self, p: float) -> float:
        """1 / (1 - p) - 2."""
        return 1 / (1 - p) - 2


@dataclass(frozen=True)
class Optimal(Family):
    """Straight up to 3/4, then 1 - 1 / (4 z): of all monotone steps with slopes up to 1/4, its swap loses least.

    A swap loses z cdf(-z). With that slope it is at least z / 2 - z^2 / 4, which is 1/4 at z = 1, and if the swap is
    monotone it never falls.
    """

    support: float = np.inf
    light: bool = False

    def cdf(self, z: Any) -> Any:
        """1/2 + z / 4 for |z| <= 1, and 1 / (4 |z|) away from 0 or 1 beyond."""
        tail = 1 / (4 * jnp.maximum(jnp.abs(z), 1))
        return jnp.where(jnp.abs(z) <= 1, 0.5 + jnp.clip(z, -1, 1) / 4, jnp.where(z > 0, 1 - tail, tail))

    def odd(self, z: Any) -> Any:
        """z / 2 for |z| <= 1, sign(z) (1 - 1 / (2 |z|)) beyond."""
        tail = jnp.sign(z) * (1 - 1 / (2 * jnp.maximum(jnp.abs(z), 1)))
        return jnp.where(jnp.abs(z) <= 1, jnp.clip(z, -1, 1) / 2, tail)

    def pdf(self, z: Any) -> Any:
        """1/4 for |z| <= 1, 1 / (4 z^2) beyond."""
        return (1 / jnp.maximum(jnp.abs(z), 1)) ** 2 / 4

    def ramp(self, z: Any) -> Any:
        """(z + z^2 / 4) / 2 for |z| <= 1; max(z, 0) - 3/8 - log(|z|) / 4 beyond: falls without end from max(z, 0)."""
        far = jnp.maximum(jnp.abs(z), 1)
        inside = jnp.clip(z, -1, 1)
        beyond = jnp.maximum(z, 0) - 0.375 - jnp.log(far) / 4
        return jnp.where(jnp.abs(z) <= 1, (inside + inside**2 / 4) / 2, beyond)

    def quantile(self, p: float) -> float:
        """4 (p - 1/2) up to p = 3/4, 1 / (4 (1 - p)) above."""
        return 4 * (p - 0.5) if p <= 0.75 else 1 / (4 * (1 - p))


reciprocal = Reciprocal()
optimal = Optimal()
