"""The finite-scale gradient: what a function does over a distance, in place of what it does at a point."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from descend import routes
from descend.inspection.moments import significance

WIDTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
"""The widths tried, in units of max(1, rms of the point)."""

SIGNIFICANT = 4.0
"""Standard deviations that the squared length of a gradient must be above 0 to count as one."""


class Reference(NamedTuple):
    """Independent draws of a finite-scale gradient.

    Attributes:
        draws: (L, n), or (1, n) where it is known exactly.
        width: the distance, in units of the argument; 0 where the reference is a derivative.
        signal: the significance of its length at each width that was tried.
        units: evaluations spent.
        said: what it is, in a few words.
    """

    draws: Any
    width: float
    signal: dict[float, float]
    units: int
    said: str

    @property
    def length(self) -> float:
        """That of the gradient, from the unbiased square; 0 where that comes out negative."""
        total, count = self.draws.sum(0), len(self.draws)
        own = np.sum(self.draws**2)
        square = float(total @ total - own) / (count * (count - 1)) if count > 1 else float(own)
        return max(0.0, square) ** 0.5

    @property
    def informative(self) -> bool:
        """Whether there is a gradient at all."""
        return not self.signal or max(self.signal.values()) > SIGNIFICANT


def exact(gradient: Any, said: str) -> Reference:
    """A gradient that is known."""
    return Reference(np.asarray(gradient)[None], 0.0, {}, 0, said)


def finite_scale(
    f: Callable[..., Any], x: Any, key: jax.Array, *, widths: tuple[float, ...], evaluations: int, draws: int = 32
) -> Reference:
    """The gradient of E f(x + w u) with standard normal u, at the first width w through which there is one.

    Every width that is tried costs `evaluations`. Where no width shows a gradient the widest is returned, and
    `informative` is False.

    Args:
        f: `f(x, key)`, a function of a vector to a scalar.
        x: the vector.
        key: a JAX key.
        widths: in increasing order.
        evaluations: of f at each width, in all draws together; rounded up to a pair for each draw.
        draws: independent estimates, L.
    """
    samples = max(2, evaluations // draws)

    @jax.jit
    def estimate(x: Any, width: Any, key: Any) -> Any:
        return jax.grad(routes.Smooth(sigma=width, samples=samples)(f))(x, key=key)

    signal: dict[float, float] = {}
    rows = np.zeros((0, np.size(x)))
    for index, width in enumerate(widths):
        keys = jax.random.split(jax.random.fold_in(key, index), draws)
        with routes.reraised():
            rows = np.stack([np.asarray(estimate(x, width, k)) for k in keys])
        rows = rows[np.isfinite(rows).all(1)] if not np.isfinite(rows).all() else rows
        scaled = rows / (np.max(np.abs(rows), initial=0.0) or 1.0)
        signal[width] = float(significance(scaled @ scaled.T))
        if signal[width] > SIGNIFICANT and np.count_nonzero(rows.any(1)) >= 8:
            break
    spent = len(signal) * draws * (2 * ((samples + 1) // 2) + 1)
    said = f"the gradient seen through noise of {width:.3g}, from {draws * samples:,} evaluations"
    return Reference(rows, float(width), signal, spent, said)


def over_draws(f: Callable[..., Any], x: Any, key: jax.Array, evaluations: int, draws: int = 32) -> Reference:
    """The gradient of the mean of f over its stated draws, by the score function: unbiased, whatever f is."""
    samples = max(2, evaluations // (3 * draws))
    estimate = jax.jit(jax.grad(routes.Score(samples=samples)(f)))
    rows = np.stack([np.asarray(estimate(x, key=each)) for each in jax.random.split(key, draws)])
    said = f"the gradient of the mean over its draws, from {draws * samples:,} runs"
    return Reference(rows, 0.0, {}, draws * (1 + 3 * samples), said)
