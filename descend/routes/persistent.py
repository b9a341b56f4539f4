"""Persistent evolution strategies a window at a time, for training loops that step between windows."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from descend import numerics
from descend.routes.route import integer
from descend.routes.unroll import Unroll
from descend.routes.widths import positive


class Persisted(NamedTuple):
    """What a training loop carries from window to window: a pytree of arrays.

    Attributes:
        states: the iteration's state of every mutant, with leading axes (pairs, 2).
        sums: of the mutations of each pair since its unroll began, (pairs, n), in units of sigma.
        time: the step at which the next window begins, an int32; 0 where an unroll begins.
    """

    states: Any
    sums: jax.Array
    time: jax.Array


@dataclass(frozen=True, eq=False)
class Persistent:
    """The gradient of an `Unroll`, estimated from one window of its steps after another.

    `evolve(Unroll(...), window=)` runs all windows for one gradient. Here each call of `step` runs the next one and
    gives its part of the gradient, so that parameters move between windows while the mutants go on; after the last
    window all begin again. With parameters that stay, the parts of one unroll sum to a gradient that is unbiased for
    the unrolled loss with noise that changes from window to window, and so carries what early steps do to late losses,
    which truncated unrolls lose. With parameters that move, it lags behind them by at most one unroll.

        strategy = Persistent(Unroll(inner_step, inner_state, 1000), sigma=0.1, samples=64, window=10)
        state = strategy.init(theta)
        loss, gradient, state = strategy.step(theta, state, key)  # as often as wanted, also in jit and scan

    Attributes:
        unroll: the iteration.
        sigma: standard deviation of the mutations, a positive scalar.
        samples: mutants; an odd number is rounded up to whole pairs, which mirror each other.
        window: steps a call, a divisor of `unroll.length`.

    Raises:
        ValueError: if a setting is out of range, or the window does not divide the length.
        TypeError: if `unroll` is none.

    Source:
        Vicol, Metz and Sohl-Dickstein, "Unbiased gradient estimation in unrolled computation graphs with persistent
        evolution strategies", arXiv:2112.13835, algorithm 2.
    """

    unroll: Unroll
    sigma: Any = 0.1
    samples: int = 64
    window: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.unroll, Unroll):
            raise TypeError(f"Persistent takes an Unroll(step, state, length), got {self.unroll!r}")
        positive("sigma", self.sigma)
        integer("samples", self.samples)
        integer("window", self.window)
        if self.unroll.length % self.window:
            raise ValueError(f"window must divide the length {self.unroll.length}, got {self.window}")

    @property
    def pairs(self) -> int:
        """The number of mirrored pairs."""
        return (self.samples + 1) // 2

    def init(self, theta: Any) -> Persisted:
        """The state before the first window, for parameters like theta, a pytree of floats."""
        flat, unravel = ravel_pytree(theta)
        start = jax.eval_shape(lambda v: self.unroll.start(unravel(v)), flat)
        states = jax.tree.map(lambda leaf: jnp.zeros((self.pairs, 2, *leaf.shape), leaf.dtype), start)
        return Persisted(states, jnp.zeros((self.pairs, flat.size), flat.dtype), jnp.zeros((), jnp.int32))

    def step(self, theta: Any, state: Persisted, key: Any) -> tuple[Any, Any, Persisted]:
        """The next window: its mean loss over mutants, its part of the gradient (like theta), the state after it.

        Pairs with a loss that is not finite are left out, until their unroll begins again; where none is left, loss and
        gradient are NaN. A gradient costs `samples` times `window` steps and keeps no history.
        """
        flat, unravel = ravel_pytree(theta)
        u = jax.random.normal(numerics.as_key(key), state.sums.shape, flat.dtype)
        moves = self.sigma * jnp.stack([u, -u], 1).astype(flat.dtype)

        def run(move: Any, before: Any) -> Any:
            mutant = unravel(flat + move)
            fresh = self.unroll.start(mutant)
            begin = jax.tree.map(lambda a, b: jnp.where(state.time == 0, a, b), fresh, before)
            return self.unroll.run(mutant, begin, state.time, self.window)

        states, losses = jax.vmap(jax.vmap(run))(moves, state.states)
        sums = jnp.where(state.time == 0, 0, state.sums) + u
        good = jnp.all(jnp.isfinite(losses), 1)
        count = jnp.where(jnp.any(good), good.sum(), jnp.nan)
        change = jnp.where(good, losses[:, 0] - losses[:, 1], 0) / 2
        gradient = (change @ sums / (self.sigma * count)).astype(flat.dtype)
        loss = jnp.where(good, losses.mean(1), 0).sum() / count
        time = (state.time + self.window) % self.unroll.length
        return loss, unravel(gradient), Persisted(states, sums, time)
