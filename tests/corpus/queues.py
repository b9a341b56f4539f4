"""Customers, machines, orders and shifts."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.label import case, over

rng = np.random.default_rng(103)
GAPS = jnp.asarray(rng.exponential(1.0, 14))
SERVICE = jnp.asarray(rng.exponential(0.8, 14))
ARRIVALS = jnp.cumsum(GAPS)
JOBS = jnp.asarray(rng.uniform(0.3, 1.5, 7))
WEIGHTS = jnp.asarray(rng.uniform(0.2, 1.0, 7))
DUE = jnp.asarray(rng.uniform(1.0, 5.0, 7))
DEMAND = jnp.asarray(rng.poisson(4.0, 16).astype(float))
U2, U3, U7 = rng.normal(size=2), rng.normal(size=3), rng.normal(size=7)


@case(np.array([0.1, 0.6]))
def two_counters(x):
    """The next customer goes to whichever counter is free first."""
    pace = jax.nn.softplus(x[0])

    def customer(free, job):
        arrival, work = job
        free = jnp.sort(free)  #: kinked
        begin = jnp.maximum(arrival, free[0])  #: kinked
        done = begin + 6.0 * pace * work
        return jnp.stack([done, free[1]]), begin - arrival

    _, waits = jax.lax.scan(customer, jnp.zeros(2), (ARRIVALS, SERVICE))
    return jnp.mean(waits) + 0.5 / pace + 0.1 * jnp.sum(x**2)


@case(np.array([0.4, 0.3]))
def impatient(x):
    """Whoever would wait too long leaves at once."""
    pace = jax.nn.softplus(x[0])

    def customer(load, job):
        gap, work = job
        load = jnp.maximum(load - gap, 0.0)  #: kinked
        load = jnp.where(load < 0.8, load + pace * work, load)  #: jumps
        return load, load

    _, loads = jax.lax.scan(customer, jnp.asarray(0.0), (GAPS, SERVICE))
    return jnp.mean(loads) + (x[0] - 1.0) ** 2 + 0.1 * x[1] ** 2


@case(np.array([0.4, 0.3]), "smooth")
def erlang_loss(x):
    """The recursion of Erlang's B, for eight lines."""
    offered = 2.0 + jax.nn.softplus(x[0])
    inverse = jax.lax.fori_loop(1, 9, lambda k, b: 1.0 + b * k / offered, jnp.asarray(1.0))
    return 5.0 / inverse + 0.1 * (offered - 3.0) ** 2 + 0.1 * x[1] ** 2


@case(np.array([0.4, 0.2]))
def finite_buffer(x):
    def tick(level, work):
        level = jnp.minimum(level + work * x[0], 1.0)  #: kinked
        level = jnp.maximum(level - 0.3 - 0.1 * x[1] ** 2, 0.0)  #: kinked
        return level, level

    _, levels = jax.lax.scan(tick, jnp.asarray(0.2), SERVICE)
    return jnp.mean((levels - 0.4) ** 2) + 0.1 * jnp.sum((x - 0.6) ** 2)


@case(np.array([0.7, 0.5]))
def arrivals_in_a_day(x):
    """How many come before closing; nothing else of them matters."""

    def open_still(state):
        clock, count = state
        return (clock < 6.0) & (count < 14)  #: flat

    def next_one(state):
        clock, count = state
        return clock + GAPS[count] * jnp.exp(-x[0]), count + 1

    _, count = jax.lax.while_loop(open_still, next_one, (jnp.asarray(0.0), 0))
    return -0.3 * count + jnp.sum(x**2)


@case(U7)
def by_priority(x):
    order = jnp.argsort(-x)  #: flat
    done = jnp.cumsum(JOBS[order])
    return jnp.sum(WEIGHTS[order] * done) + 0.01 * jnp.sum(x**2)


@case(np.array([0.2, 0.1]))
def lateness(x):
    speed = jnp.exp(x[0])
    done = jnp.cumsum(JOBS / speed)
    late = jnp.maximum(done - DUE, 0.0)  #: kinked
    return jnp.sum(WEIGHTS * late) + 0.5 * speed + jnp.sum(x**2)


@case(np.array([0.3, 0.9]))
def late_jobs(x):
    done = jnp.cumsum(JOBS * jnp.exp(-x[0]))
    late = done > DUE  #: flat
    return jnp.mean(late) + 0.2 * jnp.exp(x[0]) + x[1] ** 2


@case(0.2 * U7)
def list_scheduling(x):
    """Each job to the machine with the least work so far."""
    times = JOBS * jnp.exp(x)

    def assign(loads, time):
        chosen = jnp.argmin(loads)
        return loads.at[chosen].add(time), None  #: kinked

    loads, _ = jax.lax.scan(assign, jnp.zeros(3), times)
    return jnp.max(loads) + 0.3 * jnp.sum(x**2)  #: kinked


@case(np.array([4.0, 9.0]))
def stock_policy(x):
    """Order up to a level when the stock falls below another."""

    def day(stock, demand):
        stock = jnp.maximum(stock - demand, 0.0)  #: kinked
        low = stock < x[0]  #: jumps
        cost = jnp.where(low, 2.0, 0.0) + 0.1 * stock
        stock = jnp.where(low, x[1], stock)  #: jumps
        return stock, cost

    _, costs = jax.lax.scan(day, jnp.asarray(7.0), DEMAND)
    return jnp.mean(costs) + 0.01 * jnp.sum((x - 6.0) ** 2)


@case(over(descend.Real(2, start=np.array([0.3, 0.5]))), "smooth")
def simulated_demand(x, *, key):
    demand = jnp.exp(0.3 * jax.random.normal(key, (20,)) + x[0])  #: stochastic
    return jnp.mean((demand - jax.nn.softplus(x[1])) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.35, 0.8]))
def round_robin(x):
    """What is left of the slice in which a job ends."""
    work = JOBS * (0.5 + x[1] ** 2)
    left = work % 0.4  #: jumps
    return jnp.mean(left) + 0.2 * jnp.sum((x - 0.5) ** 2)
