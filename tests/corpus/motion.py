"""Bodies that move, collide, stick and are steered."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.corpus.label import case

rng = np.random.default_rng(102)
ATOMS = jnp.asarray([[0.0, 0.0], [1.1, 0.1], [0.2, 1.2], [1.3, 1.3]])
WIND = jnp.asarray(0.3 * rng.normal(size=20))
GAINS = jnp.asarray([2.0, 1.2, 0.7, 0.4])
FORCE = 3.0 * jnp.sin(jnp.linspace(0.0, 9.0, 30))
V2, V4 = rng.normal(size=2), rng.normal(size=4)


@case(np.array([0.6, 0.3]))
def coulomb_block(x):
    """Coulomb friction against the direction of motion."""

    def step(v, f):
        v = v + 0.1 * (x[0] * f - 0.4 * x[1] ** 2 * jnp.sign(v))  #: flat
        return v, v

    _, speeds = jax.lax.scan(step, jnp.asarray(0.05), FORCE)
    return jnp.mean((speeds - 0.2) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 1.0]))
def end_stop(x):
    """A spring, and a stiffer one behind the stop."""

    def step(state, _):
        place, speed = state
        push = -x[1] * place - jnp.where(place > 0.3, 4.0 * (place - 0.3), 0.0)  #: kinked
        speed = 0.98 * speed + 0.1 * push
        return (place + 0.1 * speed, speed), place

    _, path = jax.lax.scan(step, (jnp.asarray(0.0), x[0]), None, length=25)
    return jnp.mean((path - 0.1) ** 2) + 0.1 * jnp.sum((x - 0.4) ** 2)


@case(V4, "smooth")
def quadratic_drag(x):
    """v |v| has a slope everywhere."""

    def step(v, gust):
        relative = v - gust
        return v + 0.1 * (x[0] - (0.2 + x[1] ** 2) * relative * jnp.abs(relative)), v

    _, speeds = jax.lax.scan(step, jnp.tanh(x[2]), WIND)
    return jnp.mean((speeds - 0.3) ** 2) + 0.1 * jnp.sum(x**2)


@case(0.3 * V2)
def cut_off_potential(x):
    """Energy of one more atom; beyond the radius nobody counts it."""
    r2 = jnp.sum((ATOMS - (x + 0.6)) ** 2, axis=1) + 0.3
    pair = 1.0 / r2**3 - 2.0 / r2**1.5
    return jnp.sum(jnp.where(r2 < 1.44, pair, 0.0)) + jnp.sum(x**2)  #: jumps


@case(0.3 * V2)
def shifted_potential(x):
    r = jnp.sqrt(jnp.sum((ATOMS - (x + 0.6)) ** 2, axis=1) + 0.3)
    edge = 1.0 / 1.2**6 - 2.0 / 1.2**3
    pair = 1.0 / r**6 - 2.0 / r**3 - edge
    return jnp.sum(jnp.where(r < 1.2, pair, 0.0)) + jnp.sum(x**2)  #: kinked


@case(np.array([0.4, 0.7]), "smooth")
def pendulum(x):
    def slope(state):
        return jnp.stack([state[1], -jnp.sin(state[0]) - 0.1 * x[1] ** 2 * state[1]])

    def step(_, state):
        a = slope(state)
        b = slope(state + 0.05 * a)
        return state + 0.1 * b

    end = jax.lax.fori_loop(0, 30, step, jnp.stack([x[0], 0.5 * x[1]]))
    return jnp.sum((end - 0.2) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.8]))
def scheduled_gain(x):
    """The gain comes from a table by speed; it jumps from row to row."""

    def step(speed, _):
        row = jnp.clip((2.0 * jnp.abs(speed)).astype(int), 0, 3)  #: jumps
        speed = speed + 0.1 * GAINS[row] * (x[0] + 1.0 - speed)
        return speed, speed

    _, speeds = jax.lax.scan(step, x[1], None, length=20)
    return jnp.mean((speeds - 1.2) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.6, 0.4]))
def integral_with_limits(k):
    def step(state, target):
        y, total = state
        error = target - y
        u = k[0] * error + k[1] * total
        bounded = jnp.clip(u, -0.5, 0.5)  #: kinked
        total = total + 0.2 * (error + bounded - u)
        y = 0.9 * y + 0.3 * bounded
        return (y, total), error**2

    _, errors = jax.lax.scan(step, (jnp.asarray(0.0), jnp.asarray(0.0)), jnp.where(jnp.arange(24) < 12, 1.0, -1.0))
    return jnp.mean(errors) + 0.05 * jnp.sum(k**2)


@case(np.array([0.5, -0.3]))
def relay(x):
    """On below the lower limit, off above the upper one, in between as it was."""
    lower, upper = x[0] - 0.2, x[0] + 0.2

    def step(state, outside):
        warm, on = state
        on = jnp.where(warm < lower, 1.0, jnp.where(warm > upper, 0.0, on))  #: flat
        warm = 0.8 * warm + 0.3 * on + 0.1 * outside
        return (warm, on), warm

    _, path = jax.lax.scan(step, (jnp.asarray(0.3), jnp.asarray(1.0)), WIND)
    return jnp.mean((path - 0.6) ** 2) + 0.02 * jnp.sum(x**2)


@case(0.3 * V2, "smooth")
def riccati(x):
    a = jnp.array([[1.0, 0.1], [0.0, 1.0]]) + 0.1 * x[0] * jnp.eye(2)
    b = jnp.array([[0.0], [0.1]])

    def back(p, _):
        gain = jnp.linalg.solve(jnp.eye(1) * jnp.exp(x[1]) + b.T @ p @ b, b.T @ p @ a)
        return jnp.eye(2) + a.T @ p @ (a - b @ gain), None

    p, _ = jax.lax.scan(back, jnp.eye(2), None, length=15)
    return 0.1 * jnp.trace(p) + jnp.sum(x**2)


@case(np.array([0.3, 0.2]), "smooth")
def discomfort(x):
    """|e|^1.5 has a slope at zero, and no curvature."""
    error = 0.8 * x[0] + 0.3 * FORCE * x[1] - 0.1
    return jnp.mean(jnp.abs(error) ** 1.5) + 0.1 * jnp.sum(x**2)
