"""Ways to say how soft, and how long: a wanted gap, schedules, and rounds measured on the hard program."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.program import compat
from descend.relax.rewriting.rounds import most_rounds

GRID = np.geomspace(1e-9, 1e6, 181)  # twelve a decade


@dataclass(frozen=True)
class Gap:
    """A temperature wanted by its effect: `soften(f, temperature=Gap(0.01, at=(x,)))`.

    The softest of a grid (12 temperatures a decade, 1e-9 to 1e6) for which, there and at all that are colder, the
    softened value lies within `size` of the hard one at a point. It is measured once, when `soften` is called.

    Args:
        size: the wanted distance of any number in the result, positive.
        at: the arguments, as a tuple, or one argument that is not a tuple. They must be concrete.
    """

    size: float
    at: Any

    def __post_init__(self) -> None:
        if not self.size > 0:
            raise ValueError(f"a wanted gap must be positive, got {self.size}")

    def temperature(self, softened: Any) -> float:
        """The temperature for a softened function.

        Raises:
            ValueError: where no temperature is cold enough: the point lies at a jump.
        """
        args = self.at if isinstance(self.at, tuple) else (self.at,)

        def worst(temperature: Any) -> Any:
            gaps = jax.tree.leaves(softened.gap(*args, temperature=temperature))
            return jnp.max(jnp.stack([jnp.max(g, initial=0.0) for g in gaps])) if gaps else jnp.zeros(())

        gaps = np.asarray(jax.jit(lambda ts: jax.lax.map(worst, ts))(jnp.asarray(GRID)))
        close = np.logical_and.accumulate(gaps <= self.size)
        if not close.any():
            raise ValueError(
                f"no temperature brings {softened.hard.__name__} within {self.size} of its hard value there"
            )
        return float(GRID[np.flatnonzero(close)[-1]])


@dataclass(frozen=True)
class Rounds:
    """A bound on loops measured on the hard program: `soften(f, ..., max_steps=Rounds(at=(x,)))`.

    Args:
        at: the arguments, as a tuple, or one argument that is not a tuple. They must be concrete.
        times: how many times the most rounds that a loop takes there the soft loops may take; rounded up.
    """

    at: Any
    times: float = 2.0

    def max_steps(self, f: Callable[..., Any]) -> int:
        """The bound for a function: at least 1."""
        args = self.at if isinstance(self.at, tuple) else (self.at,)
        leaves, tree = jax.tree.flatten(args)
        program = compat.trace(lambda *leaves: f(*jax.tree.unflatten(tree, leaves)), *leaves)
        rounds = jax.jit(lambda *leaves: most_rounds(program, leaves)[1])(*leaves)
        return max(1, math.ceil(self.times * int(rounds)))


def geometric(start: float, stop: float, steps: int) -> Callable[[Any], Any]:
    """A schedule: step -> temperature, from `start` at step 0 to `stop` at `steps` and beyond, by equal factors.

    The step may be traced. Any other function of the step is a schedule as well, those of optax for instance:
    `g(x, temperature=schedule(step))`.

    Raises:
        ValueError: for temperatures that are not positive, or fewer than 1 steps.
    """
    if not (start > 0 and stop > 0 and steps >= 1):
        raise ValueError(f"geometric needs positive temperatures and steps >= 1, got {start}, {stop}, {steps}")
    return lambda step: start * (stop / start) ** jnp.clip(jnp.asarray(step, float) / steps, 0, 1)
