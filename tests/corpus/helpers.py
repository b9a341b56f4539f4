"""Functions that the corpus calls from other files, as users keep them."""

import jax
import jax.numpy as jnp


def soft_threshold(value, level):
    size = jnp.abs(value) - level
    return jnp.sign(value) * jnp.maximum(size, 0.0)  #: kinked


def lots(amount, size):
    return size * jnp.round(amount / size)  #: flat


def rk4(slope, state, step):
    a = slope(state)
    b = slope(state + 0.5 * step * a)
    c = slope(state + 0.5 * step * b)
    d = slope(state + step * c)
    return state + step / 6 * (a + 2 * b + 2 * c + d)


def toll(amount):
    return jnp.where(amount > 0.5, amount + 0.25, amount)  #: jumps


def roll_out(step, start, inputs):
    return jax.lax.scan(step, start, inputs)


def newton(residual, guess):
    def go_on(y):
        return jnp.abs(residual(y)) > 1e-10

    def improve(y):
        return y - residual(y) / jax.grad(residual)(y)

    return jax.lax.while_loop(go_on, improve, guess)  #: nested
