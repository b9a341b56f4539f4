"""A module of small things that somebody keeps beside a project."""

import jax.numpy as jnp


def bucket(value, width):
    """The lower edge of the bucket."""
    return jnp.floor(value / width) * width  #: flat


def clamp(value, low, high):
    if low is not None:
        value = jnp.where(value < low, low, value)
    if high is not None:
        value = jnp.where(value > high, high, value)  #: kinked
    return value


def rms(values):
    return jnp.sqrt(jnp.mean(values**2) + 1e-9)


def first_order_lag(signal, share):
    out = [signal[0]]
    for value in signal[1:]:
        out.append(out[-1] + share * (value - out[-1]))
    return jnp.stack(out)
