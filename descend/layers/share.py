"""Numbers between 0 and 1 whose weighted sum is given."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.layers.layer import Layer

HALVINGS = 80  # of an interval around the offset, which end below rounding


class Share(Layer):
    """z = sigmoid(y + offset), with the one offset for which weights @ z = total: a volume, a budget of parts.

    The derivative is that of the implicit function theorem: a change of y that moves all entries alike changes nothing.
    Unlike the projection, every entry keeps a slope. Time O(n), with HALVINGS passes.

    Args:
        weights: positive, shape (n,).
        total: strictly between 0 and the sum of the weights.

    Raises:
        ValueError: if a weight is not positive and finite, or the total cannot be reached.

    Source: Hoyer, Sohl-Dickstein and Greydanus, "Neural reparameterization improves structural optimization" (2019).
    """

    def __init__(self, weights: Any, total: float):
        self.weights, self.total = np.asarray(weights, np.float64), float(total)
        if self.weights.ndim != 1 or not (np.isfinite(self.weights).all() and (self.weights > 0).all()):
            raise ValueError("Share needs positive weights of shape (n,)")
        if not 0 < self.total < self.weights.sum():
            raise ValueError(f"Share needs a total between 0 and {self.weights.sum():g}, got {total}")

    def __repr__(self) -> str:
        return f"Share({self.total:g} of {self.weights.sum():g})"

    def __call__(self, y: Any) -> jax.Array:
        """y of shape (n,)."""
        y = jnp.asarray(y)
        weights = jnp.asarray(self.weights, y.dtype)
        excess = lambda offset, y: weights @ jax.nn.sigmoid(y + offset) - self.total  # noqa: E731
        fixed = jax.lax.stop_gradient(y)
        share = self.total / self.weights.sum()
        middle = float(np.log(share / (1 - share)))  # the offset where all entries are zero

        def halve(_: Any, ends: tuple[Any, Any]) -> tuple[Any, Any]:
            center = (ends[0] + ends[1]) / 2
            above = excess(center, fixed) > 0
            return jnp.where(above, ends[0], center), jnp.where(above, center, ends[1])

        low, high = jax.lax.fori_loop(0, HALVINGS, halve, (middle - fixed.max(), middle - fixed.min()))
        root = (low + high) / 2
        # A step of Newton's method at the root hardly moves it, and has the derivative of the implicit function.
        slope = jax.lax.stop_gradient(jax.grad(excess)(root, fixed))
        return jax.nn.sigmoid(y + root - excess(root, y) / jnp.maximum(slope, jnp.finfo(y.dtype).tiny))

    def violation(self, inputs: tuple[Any, ...], value: Any) -> Any:
        outside = jnp.max(jnp.maximum(-value, value - 1), initial=0.0)
        return jnp.maximum(outside, jnp.abs(jnp.asarray(self.weights, value.dtype) @ value - self.total))

    def probe(self, key: jax.Array) -> tuple[jax.Array]:
        return (3 * jax.random.normal(key, self.weights.shape),)


EXAMPLES = (Share([1.0, 2.0, 0.5, 1.0], 1.2), Share(np.full(30, 0.1), 0.3))
