"""Adam with one second moment for all coordinates, which a Euclidean projection after the step leaves correct."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class NormAdamState(NamedTuple):
    """Steps taken, the mean of the gradients, and the mean of their mean squares."""

    count: jax.Array
    mean: Any
    square: jax.Array


def norm_adam(
    learning_rate: Any, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Adam whose second moment is the mean over all coordinates.

    Adam divides each coordinate by its own scale. Projecting such a step in the Euclidean norm onto a set that is not a
    box moves the fixed point away from the solution: x = P(x - D g) with a matrix D is not the optimality condition
    x = P(x - a g). With a common scale it is.

    Args:
        learning_rate: a float or an optax schedule; about the root-mean-square step of a coordinate.
        b1: decay of the mean gradient.
        b2: decay of the mean square.
        eps: added to the root of the second moment.

    Source: Adam, Kingma & Ba (2015), with the scalar second moment of AdaGrad-Norm, Ward, Wu & Bottou (2019).
    """

    def init(params: Any) -> NormAdamState:
        mean = jax.tree.map(jnp.zeros_like, params)
        dtype = jnp.result_type(*jax.tree.leaves(params))
        return NormAdamState(jnp.zeros((), jnp.int32), mean, jnp.zeros((), dtype))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, NormAdamState]:
        count = state.count + 1
        size = sum(leaf.size for leaf in jax.tree.leaves(updates))
        square = sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(updates)) / max(size, 1)
        mean = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mean, updates)
        square = b2 * state.square + (1 - b2) * square
        divisor = (1 - b1**count) * (jnp.sqrt(square / (1 - b2**count)) + eps)
        updates = jax.tree.map(lambda m: (m / divisor).astype(m.dtype), mean)
        return updates, NormAdamState(count, mean, square.astype(state.square.dtype))

    return optax.chain(optax.GradientTransformation(init, update), optax.scale_by_learning_rate(learning_rate))
