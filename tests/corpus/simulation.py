"""Simulators: steps in time, events, policies with thresholds, early exit."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.helpers import rk4, roll_out
from tests.corpus.label import case, over

rng = np.random.default_rng(11)
DEMAND = jnp.asarray(rng.uniform(0.2, 1.0, 30))
WEATHER = jnp.asarray(rng.normal(size=40)) * 0.5
ARRIVALS = jnp.asarray(rng.uniform(0.3, 1.5, 20))
CURRENT = jnp.asarray(rng.uniform(0.2, 0.5, 40))


@case(np.array([1.0, 3.0]))
def reorder_policy(x):
    """Order up to a level whenever the stock falls below another."""

    def day(stock, demand):
        short = stock < x[0]
        stock = jnp.where(short, x[1], stock)  #: jumps
        stock = stock - demand
        return stock, stock**2

    _, costs = jax.lax.scan(day, jnp.asarray(2.0), DEMAND)
    return jnp.mean(costs)


@case(np.array([0.4, 0.3]))
def order_count(x):
    def day(stock, demand):
        order = jnp.where(stock < x[0], 1.0, 0.0)  #: flat
        return stock + order - demand * 0.5, order

    _, orders = jax.lax.scan(day, jnp.asarray(2.0), DEMAND)
    return jnp.sum(orders)


@case(np.array([0.7, 0.2]))
def waiting_time(x):
    def customer(wait, gap):
        wait = jnp.maximum(wait + x[0] + x[1] - gap, 0.0)  #: kinked
        return wait, wait

    _, waits = jax.lax.scan(customer, 0.0, ARRIVALS)
    return jnp.mean(waits) + (x[0] - 1) ** 2 + x[1] ** 2


@case(np.array([1.0, 0.3]))
def bouncing_ball(x):
    def step(_, state):
        height, speed = state
        speed = speed - 0.05 * 9.81
        height = height + 0.05 * speed
        below = height < 0
        speed = jnp.where(below, -0.8 * speed, speed)  #: jumps
        height = jnp.where(below, -height, height)  #: kinked
        return height, speed

    height, speed = jax.lax.fori_loop(0, 40, step, (x[0], x[1]))
    return 9.81 * height + 0.5 * speed**2


@case(np.array([0.9, 1.1]))
def spike_count(x):
    def step(v, current):
        v = 0.9 * v + x[0] * current
        spike = (v > x[1]).astype(float)  #: flat
        return jnp.where(v > x[1], 0.0, v), spike

    _, spikes = jax.lax.scan(step, 0.0, CURRENT)
    return (jnp.sum(spikes) - 5.0) ** 2


@case(np.array([0.9, 1.1]))
def membrane_trace(x):
    def step(v, current):
        v = 0.9 * v + x[0] * current
        v = jnp.where(v > x[1], 0.0, v)  #: jumps
        return v, v

    _, trace = jax.lax.scan(step, 0.0, CURRENT)
    return jnp.mean((trace - 0.4) ** 2)


@case(np.array([2.0, 0.3]))
def thermostat(x):
    def step(state, outside):
        temperature, on = state
        on = jnp.where(temperature < 19.0, 1.0, jnp.where(temperature > 21.0, 0.0, on))  #: jumps
        temperature = temperature + 0.5 * (on * x[0] - x[1] * (temperature - 15.0 - outside))
        return (temperature, on), temperature

    _, path = jax.lax.scan(step, (jnp.asarray(20.0), jnp.asarray(1.0)), WEATHER)
    return jnp.mean((path - 20.0) ** 2)


@case(np.array([0.3, -0.2]), "smooth")
def pendulum_shooting(x):
    def slope(s):
        return jnp.stack([s[1], -jnp.sin(s[0])])

    path = jax.lax.fori_loop(0, 40, lambda _, s: rk4(slope, s, 0.05), x)
    return jnp.sum((path - jnp.array([1.0, 0.0])) ** 2)


@case(over(descend.Real(4, start=np.array([1.1, 0.4, 0.4, 0.1]), scale=0.1)), "smooth")
def predator_prey(p):
    def slope(s):
        return jnp.stack([s[0] * (p[0] - p[1] * s[1]), s[1] * (p[3] * s[0] - p[2])])

    def step(s, _):
        s = rk4(slope, s, 0.05)
        return s, s

    _, path = roll_out(step, jnp.array([5.0, 2.0]), jnp.arange(30))
    return jnp.mean((path[:, 0] - 4.0) ** 2)


@case(np.array([0.5, 0.2]))
def jobs_done(x):
    """Events until the clock runs out; only their number matters."""

    def event(state):
        clock, done = state
        return clock + 0.1 + jnp.exp(x[0] - 0.05 * done) * 0.2 + x[1] ** 2, done + 1

    _, done = jax.lax.while_loop(lambda s: s[0] < 5.0, event, (0.0, 0))  #: flat
    return 3.0 - 0.1 * done


@case(np.array([0.5, 0.2]))
def last_event(x):
    """Events until the clock runs out; the clock is the result."""

    def event(state):
        clock, count = state
        return clock + 0.3 + 0.1 * x[0] ** 2 + 0.05 * x[1], count + 1

    clock, _ = jax.lax.while_loop(lambda s: s[0] < 3.0, event, (0.0, 0))  #: jumps
    return clock + x[1] ** 2


@case(0.3 * rng.normal(size=12))
def stopped_early(x):
    def step(state, value):
        level, done = state
        level = jnp.where(done, level, level + value)  #: jumps
        return (level, done | (level > 0.8)), None

    (level, _), _ = jax.lax.scan(step, (0.0, jnp.asarray(False)), x)
    return level + 0.1 * jnp.sum(x**2)


@case(np.array([4.0, 5.0]), "smooth")
def projectile(v):
    height = 2.0
    disc = jnp.maximum(v[1] ** 2 + 2 * 9.81 * height, 1e-9)  # never near the bound
    time = (v[1] + jnp.sqrt(disc)) / 9.81
    return (v[0] * time - 7.0) ** 2


@case(np.array([0.5, 0.6]))
def first_passage(x):
    path = jnp.cumsum(x[0] * ARRIVALS) + x[1]
    when = jnp.argmax(path > 5.0)  #: flat
    return when.astype(float)


@case(np.array([0.4, 0.9]), "smooth")
def leaky_tanks(x):
    def step(levels, rain):
        flow = x[0] * levels
        return levels + rain * jnp.array([1.0, 0.0]) - flow + x[1] * jnp.roll(flow, 1) * jnp.array([0.0, 1.0]), flow[1]

    _, outflow = jax.lax.scan(step, jnp.ones(2), DEMAND)
    return jnp.mean((outflow - 0.4) ** 2)


@case(np.array([0.8, 0.5]))
def saturating_reservoir(x):
    def step(level, rain):
        level = level + rain - x[0] * level
        spill = jax.nn.relu(level - x[1])  #: kinked
        return level - spill, spill

    _, spills = jax.lax.scan(step, 0.3, DEMAND)
    return jnp.sum(spills) + jnp.sum(x**2)


@case(np.array([0.3, 0.2]), "smooth")
def schedule(x):
    """The branch depends on the step, not on the state."""

    def step(i, y):
        rate = jnp.where(i % 2 == 0, x[0], x[1])
        return jax.lax.cond(i > 5, lambda y: y * (1 - rate), lambda y: y - 0.1 * jnp.sin(y) + rate, y)

    return jax.lax.fori_loop(0, 10, step, jnp.asarray(1.0)) ** 2 + jnp.sum(x**2)
