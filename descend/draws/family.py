"""What routes need to know of a distribution."""

import abc
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics


class Jump(NamedTuple):
    """An alternative to a sample, for derivatives by differences.

    The mean over samples y and alternatives of `d hook * (f(other) - f(y))` is the derivative of E f along a change of
    the parameters.

    Attributes:
        other: another outcome, of y's shape.
        hook: a function of the parameters, one number for each element of the batch; what it holds fixed has no
            derivative.
    """

    other: Any
    hook: Any


class Family(abc.ABC):
    """A distribution with parameters as arrays. Members are frozen dataclasses, equal where their settings are.

    All arrays have the shape batch + event, with the same batch; elements of the batch are independent.

    Attributes:
        events: number of event axes of the sample and of each parameter.
        continuous: the sample has a pathwise derivative, and neither outcomes nor jumps.
    """

    events: ClassVar[tuple[int, ...]]
    continuous: ClassVar[bool] = False

    def sample(self, key: jax.Array, *parameters: Any) -> Any:
        """A sample: what `inverse` makes of uniform numbers."""
        first = parameters[0]
        batch = first.shape[: first.ndim - self.events[1]]
        return self.inverse(uniform(key, batch, first.dtype), *parameters)

    @abc.abstractmethod
    def inverse(self, u: Any, *parameters: Any) -> Any:
        """The sample that belongs to uniform numbers, one for each element: monotone in them and in the parameters.

        So programs run twice with the same numbers make the same choices where their parameters are nearly the same,
        and numbers that fill (0, 1) evenly make samples that do.
        """

    @abc.abstractmethod
    def log_prob(self, y: Any, *parameters: Any) -> Any:
        """The log of the probability, or of its density, for each element of the batch."""

    def prob(self, y: Any, *parameters: Any) -> Any:
        """The probability of each element."""
        return jnp.exp(self.log_prob(y, *parameters))

    def outcomes(self, *parameters: Any) -> int | None:
        """How many values an element can take, if that is known from the shapes; else None."""
        return None

    def outcome(self, index: Any, *parameters: Any) -> Any:
        """The sample that has this index, an int array of the batch's shape, below `outcomes`."""
        raise NotImplementedError(f"{type(self).__name__} has no finite list of outcomes")

    def jump(self, u: Any, y: Any, *parameters: Any) -> Jump:
        """An alternative to each element of a sample, by further uniform numbers where there are several."""
        raise NotImplementedError(f"{type(self).__name__} has no alternatives")

    def noise(self, key: jax.Array, *parameters: Any) -> Any:
        """Noise e, independent of the parameters, such that `hard(e, *parameters)` is a sample."""
        raise NotImplementedError(f"{type(self).__name__} has no relaxation: use routes.score or routes.triples")

    def hard(self, noise: Any, *parameters: Any) -> Any:
        """The sample that the noise makes."""
        raise NotImplementedError

    def soft(self, temperature: Any, noise: Any, *parameters: Any) -> Any:
        """A differentiable stand-in for `hard`, which it tends to as the temperature goes to 0."""
        raise NotImplementedError

    def noise_given(self, key: jax.Array, y: Any, *parameters: Any) -> Any:
        """Noise from its distribution given that it made y: differentiable in the parameters."""
        raise NotImplementedError


def prepared(key: Any, shape: Any, *parameters: Any) -> tuple[jax.Array, list[Any]]:
    """A key, and scalar parameters as float arrays of one shape: their common one, or the one asked for."""
    dtype = jnp.result_type(float, *parameters)
    arrays = [jnp.asarray(p, dtype) for p in parameters]
    shape = np.broadcast_shapes(*(a.shape for a in arrays)) if shape is None else tuple(np.atleast_1d(shape))
    return numerics.as_key(key), [jnp.broadcast_to(a, shape) for a in arrays]


def uniform(key: jax.Array, shape: Any, dtype: Any) -> jax.Array:
    """Uniform numbers that are neither 0 nor 1."""
    info = jnp.finfo(dtype)
    return jnp.clip(jax.random.uniform(key, shape, dtype), info.tiny, 1 - info.epsneg)
