"""Stocks, jobs, routes and power, as their planners write them."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.corpus.label import case

rng = np.random.default_rng(31)
DEMAND = jnp.asarray(rng.gamma(4.0, 2.5, 26))
SAMPLES = jnp.asarray(rng.gamma(4.0, 2.5, 50))
WORK = jnp.asarray(rng.uniform(0.5, 2.0, 8))
DUE = jnp.asarray(rng.uniform(1.0, 8.0, 8))
LOAD = jnp.asarray(3 + rng.normal(size=12))
HOURS = jnp.asarray(rng.uniform(30.0, 50.0, 6))
CALLS = jnp.asarray(rng.normal(size=(12, 2)))
MONTHLY = jnp.asarray(rng.uniform(1.0, 2.0, 4))


@case(np.array([12.0, 30.0]))
def reorder_up_to(policy):
    """Order up to a level at or below another; what is not there is lost."""
    s, upto = policy[0], policy[1]

    def week(stock, demand):
        order = jnp.where(stock <= s, upto - stock, 0.0)  #: jumps
        sold = jnp.minimum(stock + order, demand)  #: kinked
        stock = stock + order - sold
        return stock, 0.5 * stock + 2.0 * (demand - sold)

    _, costs = jax.lax.scan(week, jnp.asarray(20.0), DEMAND)
    return jnp.mean(costs)


@case(np.array([9.0]))
def newsvendor(q):
    over = jnp.clip(q[0] - SAMPLES, 0)  #: kinked
    under = jnp.clip(SAMPLES - q[0], 0)  #: kinked
    return jnp.mean(1.0 * over + 4.0 * under)


@case(0.5 * rng.normal(size=7))
def first_free_machine(x):
    """Each job goes to the machine with the least load; a tie may go either way without harm."""

    def assign(loads, length):
        machine = jnp.argmin(loads)
        return loads.at[machine].add(length), None  #: kinked

    loads, _ = jax.lax.scan(assign, jnp.zeros(3), jnp.exp(x))
    return jnp.max(loads) + 0.05 * jnp.sum(x**2)  #: kinked


@case(rng.normal(size=8))
def total_tardiness(priority):
    order = jnp.argsort(-priority)  #: flat
    finish = jnp.cumsum(WORK[order])
    return jnp.sum(jnp.maximum(finish - DUE[order], 0.0))


@case(0.3 * rng.normal(size=12))
def peak_shaving(u):
    rate = jnp.clip(u, -0.5, 0.5)  #: kinked
    level = 1.0 + jnp.cumsum(rate)
    empty = jnp.sum(jnp.maximum(-level, 0) ** 2)
    return jnp.max(LOAD + rate) + 5 * empty + 0.1 * jnp.sum(u**2)  #: kinked


@case(np.array([0.5, 0.1, 0.9, 0.35]))
def unit_commitment(power):
    running = power > 0.2
    fuel = jnp.where(running, 0.4 + 2.0 * power, 0.0)  #: jumps
    return jnp.sum(fuel) + 10 * (jnp.sum(power) - 2.0) ** 2


@case(np.array([1.0, 0.8]), thorough=("unbounded",))
def overtime(x):
    hours = HOURS * x[0]
    pay = jnp.where(hours > 40, 40 + 1.5 * (hours - 40), hours)  #: kinked
    return x[1] * jnp.mean(pay) - 5 * jnp.sum(x) + jnp.sum(x**2) * 10


@case(np.array([11.0, 17.0]))
def trucks(tons):
    fleet = jnp.ceil(tons / 4.0)  #: flat
    return 3.0 * jnp.sum(fleet) + 0.1 * jnp.sum((tons - 15.0) ** 2)


@case(np.array([0.4, 0.9]), "smooth")
def monthly_prices(x):
    quarter = jnp.floor(jnp.arange(12) / 3).astype(int)
    price = MONTHLY[quarter]
    peak = jnp.where(jnp.arange(12) % 6 == 0, 1.5, 1.0)
    return jnp.sum(price * peak * jnp.exp(-x[0] * jnp.arange(12))) * x[1] ** 2 + jnp.sum(x**2)


@case(rng.normal(size=4))
def ambulances(x):
    stations = x.reshape(2, 2)
    d = jnp.linalg.norm(CALLS[:, None] - stations[None], axis=-1)
    nearest = d.min(axis=1)  #: kinked
    late = nearest > 1.0  #: flat
    return nearest.mean() + 0.3 * late.mean()


@case(np.array([0.8, 1.4]))
def jobs_before_closing(x):
    """A counter serves until closing time; the waiting time of the last customer is what counts."""
    arrivals = jnp.cumsum(jnp.asarray([0.3, 0.5, 0.2, 0.9, 0.4, 0.6, 0.3, 0.8, 0.1, 0.7, 0.4, 0.5]))

    def going(state):
        clock, i = state
        return (clock < 6.0) & (i < 12)

    def serve(state):
        clock, i = state
        begin = jnp.maximum(clock, arrivals[i])  #: kinked
        return begin + 0.2 * jnp.exp(x[0]) + 0.1 * x[1] ** 2, i + 1

    clock, _ = jax.lax.while_loop(going, serve, (jnp.asarray(0.0), 0))  #: jumps
    return clock + 0.1 * jnp.sum(x**2)


@case(rng.uniform(0.5, 1.5, 6))
def first_in_first_out(orders):
    """Stock of three ages; the oldest is sold first, and what is left of it is thrown away."""

    def day(shelf, order):
        need = 1.0
        left = []
        for age in (2, 1, 0):
            take = jnp.minimum(shelf[age], need)  #: kinked
            need = need - take
            left.append(shelf[age] - take)
        waste = left[0]
        return jnp.stack([order, left[2], left[1]]), 2.0 * waste + 3.0 * need

    _, costs = jax.lax.scan(day, jnp.array([0.4, 0.7, 0.2]), orders)
    return jnp.sum(costs) + 0.5 * jnp.sum((orders - 1.0) ** 2)


@case(np.array([2.5, 0.7]))
def setup_or_not(x):
    """Make it here with a set-up, or buy it: whichever is cheaper."""
    make = 3.0 + 0.5 * x[0] + x[1] ** 2
    buy = 1.8 * x[0]
    return jnp.where(make < buy, make, buy) + 0.1 * (x[0] - 3.0) ** 2  #: kinked


@case(np.array([0.6, 0.3]), thorough=("unbounded",))
def maintenance(x):
    """Age-based replacement: a machine is renewed once it is older than a limit."""

    def month(carry, _):
        age, cost = carry
        replace = age > 10.0 * x[0]
        cost = cost + jnp.where(replace, 4.0, 0.1 * age)  #: jumps
        age = jnp.where(replace, 0.0, age + 1.0 + 0.2 * x[1])  #: jumps
        return (age, cost), None

    (_, cost), _ = jax.lax.scan(month, (jnp.asarray(0.0), jnp.asarray(0.0)), None, length=36)
    return cost / 36
