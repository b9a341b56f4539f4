"""A filter that lets a controller do what it wants as long as it is safe."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.layers.layer import Layer
from descend.layers.polytope import nearest


class BarrierFilter(Layer):
    """The nearest control u to the wanted one that keeps barriers from falling too fast, within bounds.

    For dx/dt = drift(x) + effect(x) u it holds db/dt >= -rate b(x) for every barrier b: then b stays positive for ever
    if it starts so. With `sampled` the same is asked of the next state x' = drift(x) + effect(x) u of a sampled system:
    b(x') >= (1 - rate) b(x), to first order in u: exactly, if the barriers are affine.

    Args:
        barriers: a differentiable function of the state of shape (n,), to an array of shape (m,): positive where safe.
        drift: of the state, to shape (n,).
        effect: of the state, to shape (n, k).
        rate: positive; at most 1 for a sampled system.
        lower, upper: bounds of the control, shape (k,).
        states: n.
        sampled: whether `drift` and `effect` give the next state instead of its derivative.

    Raises:
        ValueError: if the rate or a bound is wrong.

    Where bounds and barriers contradict each other there is no safe control, and `violation` says so of the answer:
    choose barriers that the bounds can keep.

    Source: Ames, Xu, Grizzle and Tabuada, "Control barrier function based quadratic programs for safety critical
        systems" (2017).
    """

    accuracy = 1e-7

    def __init__(
        self,
        barriers: Callable[[Any], Any],
        drift: Callable[[Any], Any],
        effect: Callable[[Any], Any],
        rate: float,
        lower: Any,
        upper: Any,
        states: int,
        *,
        sampled: bool = False,
    ):
        self.barriers, self.drift, self.effect, self.rate, self.sampled = barriers, drift, effect, float(rate), sampled
        self.states = states
        self.lower, self.upper = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
        if not 0 < self.rate <= (1.0 if sampled else np.inf):
            raise ValueError(f"rate must be positive, and at most 1 for a sampled system, got {rate}")
        if self.lower.ndim != 1 or self.lower.shape != self.upper.shape or not np.all(self.lower <= self.upper):
            raise ValueError(f"the bounds of the control must be arrays of one shape (k,), got {lower}, {upper}")

    def __repr__(self) -> str:
        return f"BarrierFilter({len(self.lower)} controls)"

    def conditions(self, x: Any) -> tuple[Any, Any]:
        """G and h of the conditions G u <= h on the control at the state x, bounds included."""
        low, high = jnp.asarray(self.lower, x.dtype), jnp.asarray(self.upper, x.dtype)
        drift, effect = self.drift(x), self.effect(x)
        here, at = self.barriers(x), drift if self.sampled else x
        there = self.barriers(at)
        slopes = jax.jacfwd(self.barriers)(at)
        room = there - (1 - self.rate) * here if self.sampled else slopes @ drift + self.rate * here
        eye = jnp.eye(len(low), dtype=x.dtype)
        return jnp.concatenate([-slopes @ effect, eye, -eye]), jnp.concatenate([room, high, -low])

    def __call__(self, x: Any, u: Any) -> jax.Array:
        """x: the state, shape (n,). u: the wanted control, shape (k,)."""
        x, u = jnp.asarray(x), jnp.asarray(u)
        G, h = self.conditions(x)
        # The last digit of a bound is held by clipping.
        return jnp.clip(nearest(u, G, h), jnp.asarray(self.lower, u.dtype), jnp.asarray(self.upper, u.dtype))

    def violation(self, inputs: tuple[Any, ...], value: Any) -> Any:
        G, h = self.conditions(inputs[0])
        return jnp.max(jnp.maximum(G @ value - h, 0.0), initial=0.0)

    def probe(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """A state near zero and a control that is often unsafe."""
        state, control = jax.random.split(key)
        return 0.3 * jax.random.normal(state, (self.states,)), 3 * jax.random.normal(control, self.lower.shape)


EXAMPLES = (
    # A cart between two walls that stay out of reach of its speed.
    BarrierFilter(
        lambda x: jnp.stack([1 - x[0] - x[1], 1 + x[0] + x[1]]),
        lambda x: jnp.stack([x[1], 0.0 * x[1]]),
        lambda x: jnp.array([[0.0], [1.0]], x.dtype),
        rate=1.0,
        lower=[-8.0],
        upper=[8.0],
        states=2,
    ),
    BarrierFilter(
        lambda x: jnp.stack([1 - x[0] - x[1], 1 + x[0] + x[1]]),
        lambda x: jnp.stack([x[0] + 0.1 * x[1], x[1]]),
        lambda x: jnp.array([[0.005], [0.1]], x.dtype),
        rate=0.2,
        lower=[-30.0],
        upper=[30.0],
        states=2,
        sampled=True,
    ),
)
