"""An iteration as a function of its parameters, for routes that look at its steps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp


@dataclass(frozen=True, eq=False)
class Unroll:
    """The total loss of `length` steps of an iteration, as a function of its parameters.

    `Unroll(step, state, length)(theta)` is an ordinary function: `jax.grad` of it is backpropagation through time. A
    route that knows of it may treat the steps one by one.

    Attributes:
        step: `step(theta, state, t) -> (state, loss)`: one step, at time t (an int32), and what it costs.
        state: a pytree of arrays to start from, or a function of theta that makes it.
        length: how many steps.
    """

    step: Callable[[Any, Any, Any], tuple[Any, Any]]
    state: Any
    length: int

    def __post_init__(self) -> None:
        if not callable(self.step):
            raise TypeError(f"step must be a function (theta, state, t) -> (state, loss), got {self.step!r}")
        if not isinstance(self.length, int) or self.length < 1:
            raise ValueError(f"length must be a positive int, got {self.length!r}")

    def __call__(self, theta: Any) -> Any:
        return self.run(theta, self.start(theta), 0, self.length)[1]

    def start(self, theta: Any) -> Any:
        """The first state."""
        return self.state(theta) if callable(self.state) else self.state

    def run(self, theta: Any, state: Any, first: Any, count: int) -> tuple[Any, Any]:
        """The state after `count` steps from time `first`, and their total loss."""

        def body(state: Any, t: Any) -> Any:
            after, loss = self.step(theta, state, t)
            return jax.tree.map(lambda a, b: jnp.asarray(a, jnp.result_type(b)), after, state), loss

        state, losses = jax.lax.scan(body, state, first + jnp.arange(count, dtype=jnp.int32))
        return state, jnp.sum(losses)

    def windows(self, thetas: Callable[[Any], Any], count: int, size: int) -> Any:
        """The total loss of each of `count` windows of at most `size` steps, with parameters of their own.

        Args:
            thetas: gives the parameters of a window by its number, an int32.
            count: how many windows.
            size: steps in a window; the last takes what is left.
        """

        def body(state: Any, number: Any) -> Any:
            return self.run(thetas(number), state, number * size, size)

        whole = self.length // size
        state, losses = jax.lax.scan(body, self.start(thetas(jnp.int32(0))), jnp.arange(whole, dtype=jnp.int32))
        if whole == count:
            return losses
        rest = self.run(thetas(jnp.int32(whole)), state, whole * size, self.length - whole * size)[1]
        return jnp.append(losses, rest)
