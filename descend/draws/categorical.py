"""One of several labels."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from descend import numerics
from descend.draws.family import Family, Jump, uniform
from descend.draws.stated import stated


def categorical(key: Any, logits: Any, shape: Any = None) -> jax.Array:
    """A label as a one-hot vector: label i with probability softmax(logits)_i.

    Args:
        key: an int or a JAX key.
        logits: scores, labels last.
        shape: of the sample without the labels, to which logits are broadcast. Default: that of logits.

    Returns:
        0.0 and 1.0, labels last. `jnp.argmax(sample, -1)` is the label; `sample @ table` looks a value up in a way that
        all routes can follow.

    Raises:
        ValueError: if logits is a scalar.
    """
    logits = jnp.asarray(logits, jnp.result_type(float, logits))
    if not logits.ndim:
        raise ValueError("categorical takes logits with labels last, got a scalar")
    if shape is not None:
        logits = jnp.broadcast_to(logits, (*((shape,) if isinstance(shape, int) else shape), logits.shape[-1]))
    sample = Categorical().sample(numerics.as_key(key), jax.lax.stop_gradient(logits))
    return stated(sample, logits, family=Categorical())


@dataclass(frozen=True)
class Categorical(Family):
    """The family of `categorical`."""

    events = (1, 1)

    def inverse(self, u: Any, logits: Any) -> Any:
        """In the order of the labels, so that a small change of logits changes few of them, and to a neighbor."""
        total = jnp.cumsum(jax.nn.softmax(logits, -1), -1)
        label = jnp.sum(u[..., None] * total[..., -1:] >= total[..., :-1], -1)
        return jax.nn.one_hot(label, logits.shape[-1], dtype=logits.dtype)

    def log_prob(self, y: Any, logits: Any) -> Any:
        scores = jax.nn.log_softmax(logits, -1)
        return jnp.sum(jnp.where(y > 0.5, scores, 0), -1)

    def outcomes(self, logits: Any) -> int:
        return logits.shape[-1]

    def outcome(self, index: Any, logits: Any) -> Any:
        return jax.nn.one_hot(index, logits.shape[-1], dtype=logits.dtype)

    def jump(self, u: Any, y: Any, logits: Any) -> Jump:
        """Another label by the same probabilities: E over pairs of (dl_i - dl_y) (f(i) - f(y)) / 2."""
        chances = jax.nn.softmax(logits, -1)
        others = jnp.where(y > 0.5, -jnp.inf, jax.nn.log_softmax(logits, -1))
        left = 1 - jnp.sum(chances * y, -1)
        picked = self.inverse(u, jnp.where(jnp.isfinite(others.max(-1, keepdims=True)), others, 0.0))
        other = jnp.where(left[..., None] > 0, picked, y)
        factor = jax.lax.stop_gradient(left)[..., None] * (other - y) / 2
        return Jump(other, jnp.sum(jnp.where(factor != 0, factor * logits, 0), -1))

    def noise(self, key: jax.Array, logits: Any) -> Any:
        return -jnp.log(-jnp.log(uniform(key, logits.shape, logits.dtype)))

    def hard(self, noise: Any, logits: Any) -> Any:
        return jax.nn.one_hot(jnp.argmax(logits + noise, -1), logits.shape[-1], dtype=logits.dtype)

    def soft(self, temperature: Any, noise: Any, logits: Any) -> Any:
        return jax.nn.softmax((logits + noise) / temperature, -1)

    def noise_given(self, key: jax.Array, y: Any, logits: Any) -> Any:
        """Gumbel noise given its argmax: the maximum is free, the others are truncated by it (Tucker et al., 2017)."""
        rest = -jnp.log(uniform(key, logits.shape, logits.dtype))  # exponentials
        scores = jax.nn.log_softmax(logits, -1)
        top = jnp.sum(y * rest, -1, keepdims=True)
        perturbed = jnp.where(y > 0.5, -jnp.log(top), -jnp.log(rest * jnp.exp(-scores) + top))
        return perturbed - scores
