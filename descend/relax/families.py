"""Families of soft steps: each is the distribution function of a symmetric density.

All have the slope 1/4 at 0, so that one temperature means one steepness: they differ in their tails only. Steepness
parameters in the literature do not compare across families; the slopes at 0 do.

Source: Petersen et al., "Monotonic Differentiable Sorting Networks", ICLR 2022, for the comparison of sigmoids.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np


class Family(Protocol):
    """A soft step. `z` is an array of floats in units of the temperature; results have its shape and dtype."""

    @property
    def support(self) -> float:
        """The step is exactly 0 or 1 beyond plus or minus this; infinity if nowhere."""
        ...

    @property
    def light(self) -> bool:
        """Whether the ramp tends to max(z, 0): the tails have a mean."""
        ...

    def cdf(self, z: Any) -> Any:
        """The step: increasing from 0 to 1, with cdf(-z) = 1 - cdf(z) and slope 1/4 at 0."""
        ...

    def odd(self, z: Any) -> Any:
        """2 cdf(z) - 1, accurate around 0."""
        ...

    def pdf(self, z: Any) -> Any:
        """The derivative of the step."""
        ...

    def ramp(self, z: Any) -> Any:
        """The integral of the step: up to a constant max(z, 0), with ramp(z) - ramp(-z) = z."""
        ...

    def quantile(self, p: float) -> float:
        """A z with cdf(z) >= p, for p in [1/2, 1): the inverse, or the end of the support."""
        ...

    def tail(self, z: Any) -> Any:
        """The ramp where z <= 0, perhaps minus infinity: what rounding adds to a corner at the distance -z from it.

        Because ramp(z) = max(z, 0) + ramp(-|z|).
        """
        return self.ramp(jnp.maximum(z, -1e18))  # a square of it is finite, and tails vanish


@dataclass(frozen=True)
class Logistic(Family):
    """The sigmoid: smooth, exponential tails."""

    support: float = np.inf
    light: bool = True

    def cdf(self, z: Any) -> Any:
        """1 / (1 + exp(-z))."""
        return jax.nn.sigmoid(z)

    def odd(self, z: Any) -> Any:
        """tanh(z / 2)."""
        return jnp.tanh(z / 2)

    def pdf(self, z: Any) -> Any:
        """cdf(z) cdf(-z)."""
        return jax.nn.sigmoid(z) * jax.nn.sigmoid(-z)

    def ramp(self, z: Any) -> Any:
        """log(1 + exp(z)), which tends to max(z, 0)."""
        return _softplus(z)

    def quantile(self, p: float) -> float:
        """log(p / (1 - p))."""
        return float(np.log(p) - np.log1p(-p))

    def tail(self, z: Any) -> Any:
        """log(1 + exp(z)), as it stands: exp(z) does not overflow."""
        return jnp.log1p(jnp.exp(z))


@jax.custom_jvp
def _softplus(z: Any) -> Any:
    """log(1 + exp(z)) at half the time of `jax.nn.softplus`, whose cases for NaN are not needed here."""
    return jnp.maximum(z, 0) + jnp.log1p(jnp.exp(-jnp.abs(z)))


@_softplus.defjvp
def _softplus_jvp(primals: Any, tangents: Any) -> Any:
    return _softplus(*primals), jax.nn.sigmoid(primals[0]) * tangents[0]


@dataclass(frozen=True)
class Gaussian(Family):
    """The normal distribution function: smooth, the lightest tails of those without bounds."""

    support: float = np.inf
    light: bool = True
    scale: float = float(np.sqrt(2 * np.pi) / 4)  # the standard density is 1 / sqrt(2 pi) at 0

    def cdf(self, z: Any) -> Any:
        """Phi(scale z)."""
        return jax.scipy.special.ndtr(self.scale * z)

    def odd(self, z: Any) -> Any:
        """erf(scale z / sqrt 2)."""
        return jax.scipy.special.erf(self.scale / np.sqrt(2).item() * z)

    def pdf(self, z: Any) -> Any:
        """exp(-(scale z)^2 / 2) / 4."""
        return jnp.exp(-((self.scale * z) ** 2) / 2) / 4

    def ramp(self, z: Any) -> Any:
        """z cdf(z) + pdf(z) / scale^2, which tends to max(z, 0)."""
        return z * self.cdf(z) + self.pdf(z) / self.scale**2

    def quantile(self, p: float) -> float:
        """The normal quantile over the scale."""
        from scipy.special import ndtri

        return float(ndtri(p)) / self.scale


@dataclass(frozen=True)
class Cauchy(Family):
    """The arctangent: smooth, tails so heavy that far arguments keep a gradient, and that its ramp has no limit."""

    support: float = np.inf
    light: bool = False
    scale: float = np.pi / 4

    def cdf(self, z: Any) -> Any:
        """The angle whose cotangent is -scale z, over pi: accurate in both tails."""
        z = jnp.clip(z, -1e18, 1e18)  # squares stay finite, and with them the derivative
        return jnp.arctan2(jnp.ones_like(z), -self.scale * z) / np.pi

    def odd(self, z: Any) -> Any:
        """2 arctan(scale z) / pi."""
        return jnp.arctan(self.scale * z) * (2 / np.pi)

    def pdf(self, z: Any) -> Any:
        """1 / (4 (1 + (scale z)^2))."""
        return 1 / (4 * (1 + (self.scale * z) ** 2))

    def ramp(self, z: Any) -> Any:
        """z cdf(z) - log(1 + (scale z)^2) / (2 pi scale): falls without end in both directions from max(z, 0)."""
        return z * self.cdf(z) - jnp.log1p((self.scale * z) ** 2) / (2 * np.pi * self.scale)

    def quantile(self, p: float) -> float:
        """tan(pi (p - 1/2)) / scale."""
        return float(np.tan(np.pi * (p - 0.5))) / self.scale


@dataclass(frozen=True)
class Polynomial(Family):
    """The quintic step: twice continuously differentiable, and exact outside its support."""

    support: float = 3.75
    light: bool = True

    def cdf(self, z: Any) -> Any:
        """6 t^5 - 15 t^4 + 10 t^3 with t = 1/2 + z / (2 support), held at 0 and 1."""
        t = jnp.clip(0.5 + z / (2 * self.support), 0, 1)
        return t**3 * (10 + t * (6 * t - 15))

    def odd(self, z: Any) -> Any:
        """u (15 - 10 u^2 + 3 u^4) / 8 with u = z / support, held at -1 and 1."""
        u = jnp.clip(z / self.support, -1, 1)
        return u * (15 - 10 * u**2 + 3 * u**4) / 8

    def pdf(self, z: Any) -> Any:
        """(1 - u^2)^2 / 4 with u = z / support."""
        return (1 - jnp.clip(z / self.support, -1, 1) ** 2) ** 2 / 4

    def ramp(self, z: Any) -> Any:
        """The integral of `cdf` from minus infinity: exactly max(z, 0) outside the support."""
        t = jnp.clip(0.5 + z / (2 * self.support), 0, 1)
        inside = 2 * self.support * t**4 * (2.5 + t * (t - 3))
        return inside + jnp.maximum(z - self.support, 0)

    def quantile(self, p: float) -> float:
        """The end of the support, or 0 for p = 1/2."""
        return 0.0 if p <= 0.5 else self.support


@dataclass(frozen=True)
class Box(Family):
    """The straight step of a uniform density: continuous with kinks; sorting and ranking by it take n log n."""

    support: float = 2.0
    light: bool = True

    def cdf(self, z: Any) -> Any:
        """1/2 + z / 4, held at 0 and 1."""
        return jnp.clip(0.5 + z / 4, 0, 1)

    def odd(self, z: Any) -> Any:
        """z / 2, held at -1 and 1."""
        return jnp.clip(z / 2, -1, 1)

    def pdf(self, z: Any) -> Any:
        """1/4 inside the support, else 0."""
        return jnp.where(jnp.abs(z) < 2, 0.25, 0.0).astype(jnp.result_type(z))

    def ramp(self, z: Any) -> Any:
        """(z + 2)^2 / 8 inside the support, max(z, 0) outside."""
        return jnp.clip(z + 2, 0, 4) ** 2 / 8 + jnp.maximum(z - 2, 0)

    def quantile(self, p: float) -> float:
        """4 (p - 1/2)."""
        return 4 * (p - 0.5)


logistic = Logistic()
gaussian = Gaussian()
cauchy = Cauchy()
polynomial = Polynomial()
box = Box()


def odds(family: Family, distance: Any) -> Any:
    """The weight of a value that lies `distance` (not negative) from the one wanted, against weight 1 for that one.

    cdf(-d) / cdf(d): between two values this is the family's soft comparison; for the logistic family exp(-d).
    """
    return family.cdf(-distance) / family.cdf(distance)


def worst_leak(family: Family) -> float:
    """The largest z (1 - cdf(z)) over z >= 0: what a blend of two values loses, in temperatures."""
    return worst_pull(family, 1)


def worst_pull(family: Family, others: int) -> float:
    """How far, in temperatures, `others` values with weights `odds` can draw a mean from the value wanted.

    The largest m z o(z) / (1 + m o(z)) over z: at the worst all lie equally far, because each sees the same
    stationarity condition. For the logistic family this is W(m / e), of Lambert's function. Searched for on a grid,
    and rounded up by 0.1 %.
    """
    if others <= 0:
        return 0.0
    z = np.linspace(0, family.support, 4001) if np.isfinite(family.support) else np.geomspace(1e-3, 1e6, 16001)
    with jax.ensure_compile_time_eval():
        weight = others * np.asarray(odds(family, jnp.asarray(z)), np.float64)
    return float(np.max(z * weight / (1 + weight))) * 1.001
