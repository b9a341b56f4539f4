"""Plans, prices, filters and machines: what operations, desks and labs compute."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.label import case, over

rng = np.random.default_rng(702)
WORK = jnp.asarray(rng.uniform(0.4, 1.6, 7))
URGENCY = jnp.asarray(rng.uniform(0.3, 1.2, 7))
TOWNS = jnp.asarray(rng.normal(size=(6, 2)))
SIZE = jnp.asarray([3, 2, 4, 1, 5, 2])
WORTH = jnp.asarray([2.5, 1.4, 3.2, 0.9, 3.6, 1.7])
AGREED = jnp.asarray(rng.uniform(0.2, 1.0, (3, 3)))
ORDERS = jnp.asarray([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
RETURNS = jnp.asarray(0.04 * rng.normal(size=(30, 4)) + 0.005)
HOLDING = jnp.asarray([0.3, 0.1, 0.4, 0.2])
SHOCKS = jnp.asarray(rng.normal(size=(40, 5)))
DEPTH = jnp.asarray([0.4, 0.7, 0.5, 1.1, 0.9, 1.5])
QUOTE = jnp.asarray([10.0, 10.1, 10.3, 10.4, 10.8, 11.2])
WAGES = jnp.asarray(rng.uniform(0.3, 2.6, 16))
SOLD = jnp.asarray(rng.uniform(0.2, 1.8, 20))
BIDS = jnp.asarray(np.sort(rng.uniform(0.0, 1.5, (25, 4)), axis=1))
COUPON_DATES = jnp.arange(1.0, 9.0) * 0.5
VOTES = jnp.asarray([0.1, 0.4, -0.2, 0.6])
SEEN = jnp.asarray(np.cumsum(0.3 * rng.normal(size=24)) + 1.5 * (rng.uniform(size=24) < 0.15))
GUST = jnp.asarray(0.5 * rng.normal(size=25))
DAILY = jnp.asarray(rng.normal(size=30))
ROADS = jnp.asarray([[0, 1], [0, 2], [1, 2], [1, 3], [2, 3], [3, 4], [2, 4]])
PARCELS = jnp.asarray(rng.uniform(0.25, 0.7, 9))
PRICE = jnp.asarray(rng.uniform(0.3, 1.5, 20))
CALLS = jnp.asarray(rng.uniform(0.5, 1.8, 10))
A2, A3, A4, A6, A7 = (rng.normal(size=n) for n in (2, 3, 4, 6, 7))


@case(0.6 * A7)
def smith_rule(x):
    """Ordered by weight per time; two neighbors that tie may change places for nothing."""
    time = WORK * jnp.exp(0.4 * x)
    order = jnp.argsort(-URGENCY / time)
    job = jnp.stack([time, URGENCY], axis=1)[order]  #: kinked
    return jnp.mean(job[:, 1] * jnp.cumsum(job[:, 0])) + 0.1 * jnp.sum(x**2)


@case(0.6 * A7)
def shortest_first(x):
    """Ordered by the time as it is guessed; it takes as long as it takes."""
    order = jnp.argsort(WORK + 0.4 * x)
    time = 0.5 * URGENCY + (0.3 * x) ** 2
    done = jnp.cumsum(time[order])  #: jumps
    return jnp.mean(done) + 0.05 * jnp.sum(x**2)


@case(0.3 * np.concatenate([A6, A6[::-1]]))
def nearest_town_next(x):
    """A tour that always goes on to the nearest town not yet seen."""
    p = TOWNS + x.reshape(6, 2)
    d = jnp.sqrt(jnp.sum((p[:, None] - p[None]) ** 2, axis=-1) + 1e-4)

    def move(state, _):
        here, seen, length = state
        there = jnp.argmin(jnp.where(seen, jnp.inf, d[here]))
        return (there, seen.at[there].set(True), length + d[here, there]), None  #: jumps

    seen = jnp.zeros(6, bool).at[0].set(True)
    (last, _, length), _ = jax.lax.scan(move, (0, seen, jnp.asarray(0.0)), None, length=5)
    return length + d[last, 0] + 0.5 * jnp.sum(x**2)  #: jumps


@case(0.4 * A6, thorough=("unbounded",))
def sorted_into_the_sack(x):
    """By worth per size while it fits."""
    worth = WORTH * jnp.exp(0.5 * x)
    order = jnp.argsort(-worth / SIZE)
    fits = jnp.cumsum(SIZE[order]) <= 9
    return -jnp.sum(jnp.where(fits, worth[order], 0.0)) + 0.5 * jnp.sum(x**2)  #: jumps


@case(0.4 * A6, thorough=("unbounded",))
def sack_by_table(x):
    """The exact knapsack: the best for every capacity, one thing after another."""
    worth = WORTH * jnp.exp(0.5 * x)

    def consider(best, thing):
        size, value = thing
        room = jnp.arange(10) >= size
        taken = best[jnp.maximum(jnp.arange(10) - size, 0)] + value
        return jnp.where(room, jnp.maximum(best, taken), best), None  #: kinked

    best, _ = jax.lax.scan(consider, jnp.zeros(10), (SIZE, worth))
    return -best[9] + 0.5 * jnp.sum(x**2)


@case(0.5 * A3)
def best_of_all_matchings(x):
    """Three people, three tasks, all six ways."""
    cost = AGREED + 0.5 * x[:, None] * jnp.array([[1.0, 0.0, -1.0]])
    totals = jnp.sum(cost[jnp.arange(3)[None], ORDERS], axis=1)
    return jnp.min(totals) + 0.3 * jnp.sum(x**2)  #: kinked


@case(A4)
def no_small_trades(w):
    """Trades below a limit are not made; the others cost by their size."""
    wanted = 0.3 * w - HOLDING
    trade = jnp.where(jnp.abs(wanted) > 0.15, wanted, 0.0)  #: jumps
    held = HOLDING + trade
    risk = 30.0 * jnp.var(RETURNS @ held) - jnp.mean(RETURNS @ held)
    return risk + 0.01 * jnp.sum(jnp.abs(trade)) + 0.3 * jnp.sum((held - 0.2) ** 2) + 0.01 * jnp.sum(w**2)


@case(np.array([0.1, 0.25]))
def butterfly(x):
    """Long the wings, short the body twice."""
    end = jnp.exp(x[0] + x[1] * SHOCKS[:, 0])
    wing = jax.nn.relu(end - 0.8) + jax.nn.relu(end - 1.4)  #: kinked
    body = jax.nn.relu(end - 1.1)  #: kinked
    return jnp.mean(wing - 2.0 * body) + 0.5 * jnp.sum((x - 0.2) ** 2)


@case(np.array([0.05, 0.3]))
def knocked_in(x):
    path = jnp.exp(jnp.cumsum(x[0] / 5 + x[1] * SHOCKS / np.sqrt(5.0), axis=1))
    high = jnp.max(path, axis=1)
    alive = (high > 1.3).astype(float)  #: jumps
    payoff = jnp.clip(1.1 - path[:, -1], 0.0)  #: kinked
    return jnp.mean(alive * payoff) + jnp.mean(path[:, -1] ** 2) * 0.1 + jnp.sum((x - 0.2) ** 2)


@case(np.array([0.02, 0.35]))
def exercised_by_regression(x):
    """Least squares on the paths tells what waiting is worth; who exercises is decided by it."""
    path = jnp.exp(jnp.cumsum(x[0] / 5 + x[1] * SHOCKS / np.sqrt(5.0), axis=1))
    cash = jax.nn.relu(1.1 - path[:, -1])  #: kinked
    for t in (3, 2, 1):
        s = path[:, t]
        basis = jnp.stack([jnp.ones(40), s, s**2], axis=1)
        fitted = basis @ jnp.linalg.solve(basis.T @ basis + 1e-6 * jnp.eye(3), basis.T @ cash)
        now = 1.1 - s
        cash = jnp.where((now > 0.0) & (now > fitted), now, 0.98 * cash)  #: jumps
    return -jnp.mean(cash) + jnp.sum((x - 0.2) ** 2)


@case(np.array([0.4, 0.3]))
def market_order(x):
    """Eats through the book level by level."""
    amount = 2.0 * jax.nn.softplus(x[0])
    before = jnp.cumsum(DEPTH) - DEPTH
    filled = jnp.clip(amount - before, 0.0, DEPTH)  #: kinked
    paid = filled @ (QUOTE - 10.0)
    return paid - 0.4 * amount + 0.2 * jnp.sum(x**2)


@case(np.array([0.6, 0.2]))
def limit_orders(x):
    """Filled where the limit is at or above the quote; how much they lose is fixed."""
    limit = 10.0 + x[0] + 0.1 * x[1]
    done = limit >= QUOTE  #: flat
    return -jnp.sum(done * DEPTH) + 0.5 * (limit - 10.0) ** 2 + 0.1 * x[1] ** 2


@case(np.array([0.9, 0.3]))
def tax_and_allowance(x):
    """A schedule without steps, an allowance that ends at once, and a credit that is phased out."""
    income = WAGES * jax.nn.softplus(x[0] + 0.5)
    tax = jnp.interp(income, jnp.array([0.0, 0.8, 1.6, 4.0]), jnp.array([0.0, 0.04, 0.28, 1.3]))  #: kinked
    allowance = jnp.where(income < 1.0, 0.2 + 0.1 * x[1], 0.0)  #: jumps
    credit = jnp.maximum(0.3 - 0.2 * income, 0.0)  #: kinked
    return jnp.mean(tax - allowance - credit) + 0.2 * jnp.sum((x - 0.5) ** 2)


@case(np.array([0.7, 0.4]))
def backlog_and_stock(x):
    """A base stock; what is missing is delivered later and costs more."""
    level = x[0] - jnp.cumsum(SOLD - jnp.mean(SOLD)) + 0.1 * x[1]
    cost = jnp.where(level >= 0.0, 0.2 * level, -0.9 * level)  #: kinked
    return jnp.mean(cost) + 0.1 * jnp.sum(x**2)


@case(np.array([1.2, 0.3]))
def ordered_in_batches(x):
    """Whole batches up to a base stock; the stock itself is never anything but what was counted."""

    def day(stock, sold):
        batches = jnp.ceil(jnp.maximum(x[0] - stock, 0.0) / 0.8)  #: flat
        stock = stock + 0.8 * batches - sold
        return stock, 0.3 * batches + jnp.where(stock > 0.0, 0.2 * stock, -0.8 * stock)

    _, costs = jax.lax.scan(day, jnp.asarray(1.0), SOLD)
    return jnp.mean(costs) + 0.1 * jnp.sum(x**2)


@case(np.array([0.7]))
def reserve_price(x):
    """The second bid is paid, but no less than the reserve; below it nothing is sold."""
    top, second = BIDS[:, -1], BIDS[:, -2]
    paid = jnp.maximum(second, x[0])  #: kinked
    revenue = jnp.where(top >= x[0], paid, 0.1)  #: jumps
    return -jnp.mean(revenue) + 0.1 * x[0] ** 2


@case(over(descend.Real(2, start=np.array([0.4, 0.2]))))
def who_joins_the_queue(x, *, key):
    """A customer joins by chance, the more gladly the shorter the line is."""
    u = jax.random.uniform(key, (15,))  #: stochastic

    def arrive(load, chance):
        joins = chance < jax.nn.sigmoid(x[0] - load)  #: flat
        load = jax.nn.relu(load + 0.6 * joins - 0.4)
        return load, load

    _, loads = jax.lax.scan(arrive, jnp.asarray(0.5), u)
    return jnp.mean(loads) - 0.5 * jax.nn.sigmoid(x[0]) + 0.1 * jnp.sum(x**2)


@case(np.array([0.8, 0.3]))
def when_to_replace(x):
    """Value iteration until it rests: keep the machine, or pay for a new one."""
    upkeep = jnp.linspace(0.1, 1.5, 6) * (1.0 + 0.2 * x[1])
    price = 0.5 + jax.nn.softplus(x[0])

    def improve(state):
        v, _ = state
        keep = upkeep + 0.8 * jnp.append(v[1:], v[-1])
        renew = price + upkeep[0] + 0.8 * v[1]
        return jnp.minimum(keep, renew), v  #: kinked

    v, _ = jax.lax.while_loop(  #: nested
        lambda s: jnp.max(jnp.abs(s[0] - s[1])) > 1e-8, improve, (jnp.zeros(6), jnp.ones(6))
    )
    return v[0] - 0.8 * price + 0.2 * jnp.sum(x**2)


@case(np.array([0.6, 0.9]))
def where_it_lands(v):
    """Steps until below the ground, then back along the last step to the ground itself."""

    def fly(state):
        _, (px, py, vx, vy) = state
        now = (px, py, vx, vy)
        return now, (px + 0.2 * vx, py + 0.2 * vy, vx - 0.04 * vx * jnp.abs(vx), vy - 0.3)

    start = (jnp.asarray(0.0), jnp.asarray(1.0), 1.0 + v[0], v[1])
    (x0, y0, _, _), (x1, y1, _, _) = jax.lax.while_loop(lambda s: s[1][1] > 0.0, fly, (start, start))  #: kinked
    share = y0 / (y0 - y1)
    return (x0 + share * (x1 - x0) - 2.0) ** 2 + 0.1 * jnp.sum(v**2)


@case(np.array([-0.5, 0.2]))
def filter_with_a_gate(x):
    """A measurement too far from what is expected is left out."""
    q, r = 0.1 * jnp.exp(x[0]), 0.2 * jnp.exp(x[1])

    def update(state, z):
        m, p = state
        p = p + q
        surprise = z - m
        trusted = surprise**2 < 4.0 * (p + r)
        gain = jnp.where(trusted, p / (p + r), 0.0)  #: jumps
        return (m + gain * surprise, (1.0 - gain) * p), surprise**2

    _, errors = jax.lax.scan(update, (jnp.asarray(0.0), jnp.asarray(0.5)), SEEN)
    return jnp.mean(errors) + 0.1 * jnp.sum(x**2)


@case(np.array([-0.5, 0.2]), "smooth")
def steady_filter(x):
    """The gain at which the filter settles, then the filter."""
    q, r = 0.1 * jnp.exp(x[0]), 0.2 * jnp.exp(x[1])

    def improve(state):
        p, _ = state
        return p + q - p**2 / (p + r), p

    p, _ = jax.lax.while_loop(lambda s: jnp.abs(s[0] - s[1]) > 1e-10, improve, (r, 2.0 * r + 1.0))  #: nested
    gain = p / (p + r)
    _, errors = jax.lax.scan(lambda m, z: (m + gain * (z - m), (z - m) ** 2), jnp.asarray(0.0), SEEN)
    return jnp.mean(errors) + 0.1 * jnp.sum(x**2)


@case(np.array([0.3, 0.6]), "smooth")
def hertzian_contact(x):
    """Two balls: the force is the overlap to the power of three halves."""

    def step(state, _):
        gap, speed = state
        speed = speed + 0.05 * 20.0 * jnp.maximum(0.3 - gap, 0.0) ** 1.5
        return (gap + 0.05 * speed, speed), None

    (gap, speed), _ = jax.lax.scan(step, (0.5 + 0.1 * x[0], -x[1]), None, length=25)
    return (gap - 0.8) ** 2 + 0.1 * speed**2 + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.4]))
def sliding_with_limited_grip(x):
    """Friction grows with the speed up to a limit."""

    def step(speed, gust):
        grip = jnp.clip(2.0 * speed, -0.3 * jnp.exp(x[0]), 0.3 * jnp.exp(x[0]))  #: kinked
        speed = speed + 0.2 * (2.0 * gust + x[1] - grip)
        return speed, speed

    _, speeds = jax.lax.scan(step, jnp.asarray(0.1), GUST)
    return jnp.mean((speeds - 0.2) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.9, 0.4]))
def gears_with_hysteresis(x):
    """Up above one speed, down below another; each gear pulls in its own way."""
    pulls = [lambda v: 1.2 - 0.9 * v, lambda v: 0.9 - 0.4 * v, lambda v: 0.7 - 0.2 * v]

    def step(state, gust):
        v, gear = state
        up, down = v > x[0], v < x[1]
        gear = jnp.clip(gear + up.astype(int) - down.astype(int), 0, 2)
        v = v + 0.2 * (jax.lax.switch(gear, pulls, v) + 0.5 * gust)  #: jumps
        return (v, gear), v

    _, speeds = jax.lax.scan(step, (0.3 + 0.1 * x[1], 0), GUST)
    return jnp.mean((speeds - 1.2) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.8, 0.1]))
def controller_with_dead_band(k):
    """Inside the band nothing is done; outside, what is beyond its edge counts."""

    def step(y, gust):
        e = 0.3 - y
        band = 0.05 + 0.2 * jax.nn.softplus(k[1])
        beyond = jnp.where(jnp.abs(e) < band, 0.0, e - band * jnp.sign(e))  #: kinked
        y = 0.9 * y + 0.5 * k[0] * beyond + 0.4 * gust
        return y, e**2 + 0.1 * beyond**2

    _, costs = jax.lax.scan(step, jnp.asarray(0.0), GUST)
    return jnp.mean(costs) + 0.1 * jnp.sum(k**2)


@case(np.array([0.6, 1.1]))
def charge_between_prices(x):
    """Charges below one price and sells above another, a fixed amount at a time."""
    sell = x[1] < PRICE  #: flat
    buy = x[0] > PRICE  #: flat
    flow = 0.2 * (buy.astype(float) - sell.astype(float))

    def hour(stored, change):
        stored = jnp.clip(stored + change, 0.0, 1.0)
        return stored, stored

    _, path = jax.lax.scan(hour, jnp.asarray(0.5), flow)
    return jnp.sum(flow * PRICE) + jnp.mean((path - 0.5) ** 2) + 0.2 * jnp.sum((x - 0.8) ** 2)


@case(0.5 * A4)
def seats(x):
    """Nine seats by highest averages."""
    share = jax.nn.softmax(VOTES + x)
    quotient = share[:, None] / jnp.arange(1.0, 10.0)[None]
    _, won = jax.lax.top_k(quotient.reshape(-1), 9)  #: flat
    held = jnp.bincount(won // 9, length=4)
    return jnp.sum((held / 9.0 - jnp.array([0.1, 0.2, 0.3, 0.4])) ** 2) + 0.01 * jnp.sum(x**2)


@case(np.array([2.2, 0.4]))
def coupons_until_maturity(x):
    """A coupon counts if it is due by then."""
    rate = 0.1 * jax.nn.softplus(x[1])
    due = jnp.where(x[0] >= COUPON_DATES, 0.05 * jnp.exp(-rate * COUPON_DATES), 0.0)  #: jumps
    return -jnp.sum(due) - jnp.exp(-rate * x[0]) + 0.05 * jnp.sum((x - 1.0) ** 2)


@case(0.5 * A4)
def long_the_winners(x):
    """Weights by rank; only the order of the signal matters."""
    signal = jnp.mean(RETURNS[:15], axis=0) * 20.0 + x
    rank = jnp.argsort(jnp.argsort(signal)) - 1.5  #: flat
    return -jnp.mean(RETURNS[15:] @ (rank / 4.0)) * 10.0 + 0.02 * jnp.sum(x**2)


@case(np.array([-1.0, -0.5, -1.0]), "smooth")
def volatility_with_leverage(x):
    """Falls raise the variance more than rises; which days fell is known."""
    a, g, b = jax.nn.sigmoid(x[0]) * 0.3, jax.nn.sigmoid(x[1]) * 0.3, jax.nn.sigmoid(x[2]) * 0.5

    def day(v, r):
        v = 0.2 + (a + jnp.where(r < 0.0, g, 0.0)) * r**2 + b * v
        return v, 0.5 * (jnp.log(v) + r**2 / v)

    _, nll = jax.lax.scan(day, jnp.asarray(1.0), DAILY)
    return jnp.mean(nll) + 0.05 * jnp.sum(x**2)


@case(np.array([0.4, 0.3]))
def volatility_target(x):
    """Exposure is capped; the cap binds on calm days."""
    share = jax.nn.sigmoid(x[1])

    def day(v, r):
        exposure = jnp.minimum(0.8 * jax.nn.softplus(x[0]) / jnp.sqrt(v), 1.0)  #: kinked
        return share * v + (1.0 - share) * r**2, exposure * (0.1 + r)

    _, gains = jax.lax.scan(day, jnp.asarray(1.0), DAILY)
    return jnp.mean((gains - 0.2) ** 2) + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(2, start=np.array([0.6, 0.3]))))
def failures_in_a_year(x, *, key):
    """Times between failures are drawn until the year is over; only their number costs."""

    def before_the_end(state):
        clock, count, _ = state
        return (clock < 4.0) & (count < 40)  #: flat

    def fail(state):
        clock, count, key = state
        key, draw = jax.random.split(key)
        gap = jax.random.exponential(draw) * jnp.exp(0.5 * x[0])  #: stochastic
        return clock + gap, count + 1, key

    _, count, _ = jax.lax.while_loop(before_the_end, fail, (jnp.asarray(0.0), 0, key))
    return 0.2 * count + 0.3 * x[0] ** 2 + 0.1 * x[1] ** 2


class Cart(NamedTuple):
    """Where it is and how fast."""

    place: jax.Array
    speed: jax.Array


@case({"push": np.array(0.7), "loss": np.array(0.3)})
def cart_against_a_wall(p):
    """Thrown back with a part of its speed."""

    def roll(cart):
        return Cart(cart.place + 0.2 * cart.speed, cart.speed + 0.1)

    def bounce(cart):
        return Cart(cart.place - 0.1 * cart.speed, -jax.nn.sigmoid(p["loss"]) * cart.speed)

    def step(cart, _):
        cart = jax.lax.cond(cart.place > 1.0, bounce, roll, cart)  #: jumps
        return cart, cart.place

    _, path = jax.lax.scan(step, Cart(jnp.asarray(0.0), p["push"]), None, length=16)
    return jnp.mean((path - 0.6) ** 2) + 0.1 * (p["push"] ** 2 + p["loss"] ** 2)


@case(np.array([0.6, -0.8]))
def accepted_steps(x):
    """Descent that keeps a step only if it helps, and learns its rate from that."""

    def height(w):
        return w**4 - w**2 + 0.3 * w

    def step(state, _):
        w, rate = state
        trial = w - rate * (4.0 * w**3 - 2.0 * w + 0.3)
        good = height(trial) < height(w)
        rate = jnp.where(good, 1.3 * rate, 0.4 * rate)  #: jumps
        return (jnp.where(good, trial, w), rate), None  #: jumps

    (w, _), _ = jax.lax.scan(step, (jnp.tanh(x[0]) + 0.3, jnp.exp(x[1])), None, length=4)
    return height(w) + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(2, start=np.array([3.0, 0.2]), scale=0.02)))
def overshooting_fish(x):
    """Ricker's stock with a growth rate of three."""

    def year(n, _):
        n = n * jnp.exp(x[0] * (1.0 - n)) + 0.001 * x[1] ** 2
        return n, n

    _, path = jax.lax.scan(year, jnp.asarray(0.4), None, length=120)  #: chaotic
    return jnp.mean(path**2)


@case(np.array([0.1, 0.5, -0.3, 0.4, 0.2, -0.2, 0.6]))
def shortest_road(x):
    """Bellman's rounds over seven roads between five towns."""
    length = jax.nn.softplus(x)
    table = jnp.full((5, 5), 50.0).at[ROADS[:, 0], ROADS[:, 1]].set(length)
    start = jnp.full(5, 50.0).at[0].set(0.0)

    def relax(_, d):
        return jnp.minimum(d, jnp.min(d[:, None] + table, axis=0))  #: kinked

    d = jax.lax.fori_loop(0, 5, relax, start)
    return -d[4] + 0.2 * jnp.sum(x**2)


@case(np.array([0.1, -0.2]), thorough=("unbounded",))
def first_bin_with_room(x):
    """Parcels go to the first bin that still holds them; uneven bins are dear."""
    parcels = PARCELS * jnp.exp(0.3 * x[0]) + 0.02 * x[1] * jnp.arange(9.0)

    def put(load, size):
        where = jnp.argmax(load + size <= 1.0)
        return load.at[where].add(size), None  #: jumps

    load, _ = jax.lax.scan(put, jnp.zeros(9), parcels)
    return -jnp.mean(load**2) + 0.2 * jnp.sum(x**2)


@case(np.array([1.1, 0.4]))
def staffing_over_days(x):
    """Day by day: overtime for what is above the plan, a call-out fee if it is far above."""

    def day(calls):
        above = jax.nn.relu(calls - x[0])  #: kinked
        fee = jax.lax.cond(calls > x[0] + 0.3, lambda: 0.3 + 0.1 * x[1] ** 2, lambda: 0.0)  #: jumps
        return 1.5 * above + fee

    return jnp.mean(jax.lax.map(day, CALLS)) + 0.5 * x[0] + 0.1 * jnp.sum(x**2)


@case(np.array([0.4, 0.6]), "smooth")
def leaky_average(x):
    """A linear recursion by prefixes, and a power by squaring; nothing is compared but counters."""
    keep = jax.nn.sigmoid(x[0])

    def join(left, right):
        return left[0] * right[0], left[1] * right[0] + right[1]

    _, level = jax.lax.associative_scan(join, (jnp.full(30, keep), (1.0 - keep) * DAILY))
    power = jax.lax.fori_loop(0, 3, lambda i, p: jnp.where(i % 2 == 0, p * p, p * keep), 0.5 + 0.1 * x[1] ** 2)
    return jnp.mean((level - 0.2) ** 2) + power + 0.1 * jnp.sum((x - 0.3) ** 2)


@case(np.array([0.3, 0.7]))
def utility_of_two_goods(x):
    """Powers of amounts that nothing keeps positive."""
    spent = 0.4 * x[0] + 0.3 * x[1]
    return spent + 0.1 * jnp.sum(x**2) - jnp.sum(x**0.5)  #: non-finite


@case(np.array([0.5, 0.4]), "smooth")
def seasonal_prices(x):
    """Lookups by the calendar, interpolation in time that is fixed, and a floor that is far below."""
    month = jnp.arange(30) % 12
    season = jnp.interp(month.astype(float), jnp.array([0.0, 4.0, 11.0]), jnp.array([1.0, 0.6, 1.1]))
    price = jnp.maximum(season * jnp.exp(0.3 * x[0] + 0.02 * jnp.tanh(x[1]) * DAILY), 1e-3)
    demand = jnp.select([month < 3, month < 9], [1.2, 0.8], 1.0) / price
    return jnp.mean(price * demand - 0.4 * demand) * -1.0 + 0.2 * jnp.sum(x**2)


@case(over(descend.Real(3, start=np.array([0.0, 0.6, 1.0]), lower=0.0, upper=1.0)), "constrained")
def water_for_three_fields(x):
    """What is above the pump's capacity has to be bought; two fields start at a bound."""
    bought = jnp.maximum(jnp.sum(x) - 1.5, 0.0)  #: kinked
    return 2.0 * bought + jnp.sum((x - 0.7) ** 2)


@case(np.array([0.4, 0.3]))
def stamped_by_weight(x):
    """Postage by a table of weights, and a surcharge for what is thick."""
    weight = jnp.exp(0.5 * x[0] + 0.3 * DAILY[:8])
    postage = jnp.array([0.8, 1.0, 1.6, 2.7])[jnp.searchsorted(jnp.array([0.8, 1.2, 1.8]), weight)]  #: flat
    thick = jax.nn.relu(weight - 1.0 - 0.3 * x[1])  #: kinked
    return jnp.mean(postage) + jnp.mean(thick) - jnp.mean(weight) + 0.2 * jnp.sum(x**2)
