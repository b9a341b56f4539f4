"""Simulations and decisions, written down quickly."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.label import case, over
from tests.corpus.tools import bucket

rng = np.random.default_rng(202)
DEMANDS = jnp.asarray(rng.uniform(0.1, 1.2, 15))
TRAFFIC = jnp.asarray(rng.uniform(0.2, 1.0, 18))
PLACES = jnp.asarray(rng.normal(size=(9, 2)))
PRICES = jnp.asarray(rng.uniform(0.5, 2.0, 24))
WORTH = jnp.asarray(rng.uniform(0.2, 1.0, 6))
FARE = jnp.asarray([1.0, 1.6, 2.1, 3.5])
E1, E2, E4, E6 = (rng.normal(size=n) for n in (1, 2, 4, 6))


@case(np.array([0.6, 0.5]))
def traffic_light(x):
    """Cars wait in the red part of a cycle whose length is chosen."""
    cycle = 1.0 + x[0] ** 2
    phase = jnp.mod(jnp.cumsum(TRAFFIC), cycle)  #: jumps
    red = 0.5 * cycle
    wait = jnp.maximum(red - phase, 0.0)  #: kinked
    return jnp.mean(wait) + 0.2 * jnp.sum((x - 0.4) ** 2)


@case(np.array([0.4, 0.2]))
def reservoir(x):
    def month(level, rain):
        level = level + rain - 0.4 - 0.2 * x[1]
        spill = jax.nn.relu(level - jnp.exp(x[0]))  #: kinked
        return level - spill, spill

    level, spills = jax.lax.scan(month, jnp.asarray(0.8), DEMANDS)
    return jnp.mean(spills) + 0.1 * (level - 1.0) ** 2 + 0.05 * jnp.exp(2 * x[0]) + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.9]))
def charge_when_cheap(x):
    """Buys a fixed amount in each hour whose price is below a limit."""
    cheap = x[1] > PRICES  #: flat
    bought = jnp.sum(jnp.where(cheap, 0.25, 0.0))
    return jnp.sum(jnp.where(cheap, 0.25 * PRICES, 0.0)) + (bought - 2.0) ** 2 + 0.1 * x[0] ** 2


@case(np.array([0.7, 0.9]))
def charge_by_rate(x):
    """The same with an amount that is chosen too."""
    bought = jnp.where(x[1] > PRICES, 0.3 * x[0], 0.0)  #: jumps
    return jnp.sum(bought * PRICES) + (jnp.sum(bought) - 2.0) ** 2 + 0.1 * jnp.sum(x**2)


@case(0.4 * E2)
def nearest_depot(p):
    depots = jnp.stack([p, -p, jnp.array([0.3, 0.9])])
    d = jnp.sum((PLACES[:, None] - depots[None]) ** 2, axis=2)
    return jnp.mean(jnp.min(d, axis=1)) + 0.1 * jnp.sum(p**2)  #: kinked


@case(E6)
def greedy_knapsack(x):
    order = jnp.argsort(-x)  #: flat
    fits = jnp.cumsum(WORTH[order]) < 2.0
    return -jnp.sum(jnp.where(fits, WORTH[order] ** 2, 0.0)) + 0.01 * jnp.sum(x**2)


@case(0.5 * E4)
def second_price(b):
    """The winner pays the second bid; everybody's worth is known."""
    bids = jax.nn.softplus(b)
    top = jax.lax.top_k(bids, 2)[0]  #: kinked
    return -top[1] + 0.3 * jnp.sum((bids - 0.8) ** 2)


@case(np.array([0.3, 0.4]))
def zones(x):
    far = 2.0 * jax.nn.sigmoid(x[0] + DEMANDS)
    zone = jnp.digitize(far, jnp.array([1.0, 1.2, 1.4]))  #: flat
    return -jnp.mean(FARE[zone]) + 0.5 * (x[0] - 0.2) ** 2 + x[1] ** 2


@case(np.array([0.8, 0.5]))
def until_the_tank_is_empty(x):
    """Drives on while there is fuel; how far is what counts."""

    def has_fuel(state):
        fuel, _, i = state
        return (fuel > 0.0) & (i < 15)

    def drive(state):
        fuel, far, i = state
        return fuel - DEMANDS[i] * (0.2 + x[1] ** 2), far + jnp.sqrt(x[1] ** 2 + 0.1), i + 1

    _, far, _ = jax.lax.while_loop(has_fuel, drive, (1.0 + x[0] ** 2, jnp.asarray(0.0), 0))  #: jumps
    return 0.1 * (far - 4.0) ** 2 + 0.1 * jnp.sum(x**2)


@case(np.array([0.3, 0.8]), helpers=(bucket,))
def priced_by_the_bucket(x):
    sold = 1.0 / (1.0 + jnp.exp(x[0] - DEMANDS))
    return -jnp.sum(bucket(sold, 0.1) * (1.0 + x[0])) + jnp.sum((x - 0.5) ** 2)


@case(np.array([0.6, 0.3]), "smooth")
def heat_rod(x):
    """Explicit steps, the ends held by .at[].set."""
    u = jnp.zeros(12).at[0].set(x[0])

    def step(u, _):
        u = u.at[1:-1].add(0.2 * (u[2:] - 2 * u[1:-1] + u[:-2]) + 0.01 * x[1] ** 2)
        return u.at[-1].set(0.3), None

    u, _ = jax.lax.scan(step, u, None, length=30)
    return jnp.sum((u - 0.3) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.4, 0.6]), "smooth")
def odd_and_even_days(x):
    """Branches by the day, which no variable decides."""

    def day(stock, i):
        stock = jax.lax.cond(i % 2 == 0, lambda s: s + 0.3 * x[0], lambda s: 0.9 * s, stock)
        stock = jnp.where(i > 5, stock - 0.05 * x[1], stock)
        return stock, stock

    _, stocks = jax.lax.scan(day, jnp.asarray(1.0), jnp.arange(10))
    return jnp.mean((stocks - 1.2) ** 2) + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(2, start=np.array([0.4, 0.2]))))
def random_breakdowns(x, *, key):
    """A machine works or does not; the repair is quicker the more is spent."""
    broken = jax.random.bernoulli(key, 0.3, (10,))  #: stochastic
    out = jnp.where(broken, 1.0 / (1.0 + jnp.exp(x[0])), 0.0)
    return jnp.mean(jnp.maximum(out - 0.35, 0.0)) + 0.1 * jnp.exp(x[0]) + 0.1 * jnp.sum(x**2)  #: kinked


@case(over(descend.Real(2, start=np.array([0.4, 0.2]))))
def sampled_customers(x, *, key):
    wish = jax.random.normal(key, (12,))  #: stochastic
    buys = wish * 0.5 + 1.0 > x[0]  #: flat
    return -jnp.mean(buys) * 1.5 + 0.2 * (x[0] - 0.5) ** 2 + 0.1 * x[1] ** 2


@case(np.array([0.3, -0.2]))
def two_thresholds(x):
    """The inside of a band counts with its height."""
    s = jnp.sin(jnp.linspace(0.0, 6.0, 25) + x[0]) + x[1]
    inside = jnp.logical_and(s > -0.3, s < 0.6)
    return jnp.mean(jnp.where(inside, (s + 1.0) ** 2, 0.0)) + 0.1 * jnp.sum(x**2)  #: jumps


@case(E4, "smooth")
def symmetric_matrix_root(x):
    a = jnp.array([[2.0, 0.3], [0.3, 1.5]]) + 0.2 * jnp.tanh(x[:2])[:, None] * jnp.tanh(x[:2])[None, :]
    low = jnp.linalg.cholesky(a)
    return jnp.sum(jnp.linalg.solve(low, x[2:] + 1.0) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.3, 0.5]))
def longest_wait(x):
    """A prefix maximum by associative scan."""
    finished = jnp.cumsum(DEMANDS) * jnp.exp(0.2 * x[0]) - 0.5 * jnp.arange(15.0) * x[1]
    behind = jax.lax.associative_scan(jnp.maximum, finished)  #: kinked
    return jnp.mean(behind - finished) + 0.1 * jnp.sum(x**2)


@case(E1)
def coin_in_numpy(x):  #: black-box
    rounds = 0
    money = 1.0 + float(x[0]) ** 2
    for price in np.asarray(PRICES):
        if money > price:
            money, rounds = money - 0.3 * float(price), rounds + 1
    return money + 0.1 * rounds
