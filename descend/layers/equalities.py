"""Linear equalities that hold exactly."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.layers.layer import Layer


class Equalities(Layer):
    """The nearest z to y with A z = b: conservation laws, budgets, interface conditions.

    The pseudo-inverse of A is computed once, in NumPy; a call costs two products with matrices, and a correction that
    takes the residual down to rounding. Dependent rows do no harm.

    Args:
        A: shape (m, n).
        b: shape (m,).

    Raises:
        ValueError: if shapes do not fit, a number is not finite, or the equalities contradict each other.
    """

    projects = True

    def __init__(self, A: Any, b: Any):
        self.A, self.b = np.asarray(A, np.float64), np.asarray(b, np.float64)
        if self.A.ndim != 2 or self.b.shape != self.A.shape[:1]:
            raise ValueError(
                f"Equalities needs A of shape (m, n) and b of shape (m,), got {self.A.shape}, {self.b.shape}"
            )
        if not (np.isfinite(self.A).all() and np.isfinite(self.b).all()):
            raise ValueError("Equalities needs finite numbers")
        self.inverse = np.linalg.pinv(self.A)
        left = abs(self.A @ (self.inverse @ self.b) - self.b).max(initial=0.0)
        if left > 1e-9 * max(1.0, abs(self.b).max(initial=0.0)):
            raise ValueError(f"the equalities contradict each other: at best one is missed by {left:.2g}")

    def __repr__(self) -> str:
        return f"Equalities({self.A.shape[0]} of {self.A.shape[1]} numbers)"

    def __call__(self, y: Any) -> jax.Array:
        """y of shape (n,)."""
        y = jnp.asarray(y)
        A, b, inverse = (jnp.asarray(part, y.dtype) for part in (self.A, self.b, self.inverse))
        for _ in range(2):
            y = y - inverse @ (A @ y - b)
        return y

    def violation(self, inputs: tuple[Any, ...], value: Any) -> Any:
        A, b = jnp.asarray(self.A, value.dtype), jnp.asarray(self.b, value.dtype)
        return jnp.max(jnp.abs(A @ value - b), initial=0.0)

    def probe(self, key: jax.Array) -> tuple[jax.Array]:
        return (3 * jax.random.normal(key, (self.A.shape[1],)),)


EXAMPLES = (
    Equalities([[1.0, 1.0, 1.0]], [1.0]),
    Equalities([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0], [1.0, 3.0, -1.0]], [1.0, 0.5, 1.5]),
)
