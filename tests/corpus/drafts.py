"""Simulations, prices, games and motion, as they are written for a seminar or a first draft."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.label import case, over

rng = np.random.default_rng(31337)
DEMAND = jnp.asarray(rng.gamma(2.0, 0.35, 25))
ARRIVE = jnp.asarray(np.cumsum(rng.exponential(0.4, 25)))
WORK = jnp.asarray(rng.exponential(0.7, 25))
HARD = jnp.asarray(rng.integers(0, 2, 25).astype(float))
OUTSIDE = jnp.asarray(0.3 + 0.2 * np.sin(np.linspace(0.0, 6.0, 50)))
RETURNS = jnp.asarray(rng.normal(0.01, 0.06, (40, 3)))
RIVALS = jnp.asarray(rng.uniform(0.1, 1.2, (20, 3)))
VALUES = jnp.asarray(rng.uniform(0.3, 1.4, 20))
PATTERNS = jnp.asarray(rng.choice([-1.0, 1.0], (2, 8)))
HEBB = (PATTERNS.T @ PATTERNS) * (1.0 - jnp.eye(8)) / 6.0
CORRUPT = PATTERNS[0].at[jnp.array([1, 4])].multiply(-1.0)
PRIZES = jnp.asarray([0.0, 0.2, 0.5, 2.0])
CLOUD = jnp.asarray(rng.normal(size=(9, 2)))
SHAPE = jnp.asarray(rng.normal(size=(7, 2)))
TIDE_T = jnp.linspace(0.0, 5.0, 30)
TIDE = jnp.asarray(np.cos(2.2 * np.linspace(0.0, 5.0, 30)) + 0.2 * rng.normal(size=30))
EDGES = [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4)]
TOWARDS = jnp.asarray(rng.uniform(-3.0, 3.0, 4))
CURRENT = jnp.asarray(rng.uniform(0.0, 0.6, 30))


@case({"low": np.float64(0.7), "high": np.float64(1.6)})
def order_up_to(p):
    """Below the low mark it is filled up to the high one, and each order has its price."""

    def day(stock, demand):
        order = jnp.where(stock < p["low"], p["high"] - stock, 0.0)  #: jumps
        setup = jnp.where(order > 0.0, 0.3, 0.0)  #: flat
        sold = jnp.minimum(stock + order, demand)  #: kinked
        left = stock + order - sold
        return left, 0.1 * left + 0.8 * (demand - sold) + setup

    _, costs = jax.lax.scan(day, jnp.asarray(1.0), DEMAND)
    return jnp.mean(costs) + 0.05 * (p["low"] ** 2 + p["high"] ** 2)


@case(np.array([0.2, 0.4]))
def two_clerks(x):
    """Whoever is free first serves the next; hard cases take longer."""
    rate = jnp.exp(x[0])

    def customer(free, job):
        arrive, work, hard = job
        start = jnp.maximum(arrive, free[0])  #: kinked
        free = jnp.sort(free.at[0].set(start + work * (1.0 + x[1] ** 2 * hard) / rate))  #: kinked
        return free, start - arrive

    _, waits = jax.lax.scan(customer, jnp.zeros(2), (ARRIVE, WORK, HARD))
    return jnp.mean(waits) + 0.2 * rate + 0.1 * jnp.sum((x - 0.5) ** 2)


@case(np.array([0.8, 0.3]))
def bang_bang_heater(x):
    """Heats when it is colder than asked for; minutes in the cold are counted."""
    power = jax.nn.softplus(x[1])

    def minute(temp, outside):
        heat = jnp.where(temp < x[0], power, 0.0)  #: jumps
        temp = temp + 0.1 * (outside - temp) + 0.15 * heat
        return temp, (temp, heat)

    _, (temps, heats) = jax.lax.scan(minute, jnp.asarray(0.4), OUTSIDE)
    cold = jnp.mean(temps < 0.7)  #: flat
    return cold + 0.5 * jnp.mean(heats) + 0.1 * jnp.sum((x - 0.5) ** 2)


@case(np.array([0.6, 0.2]))
def ball_on_a_spring_floor(x):
    """The floor pushes back by how deep it is pressed."""
    stiff = 30.0 * jnp.exp(0.3 * x[1])

    def step(state, _):
        y, v = state
        push = stiff * jax.nn.relu(-y)  #: kinked
        v = v + 0.03 * (push - 2.0 - 0.3 * v)
        return (y + 0.03 * v, v), y

    (y, _), _ = jax.lax.scan(step, (0.3 + 0.3 * x[0] ** 2, jnp.asarray(0.0)), None, length=50)
    return (y - 0.2) ** 2 + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.3]))
def cushion(x):
    """A ball on a table with one cushion; it loses some of its speed there."""
    pos, speed = jnp.array([0.0, 0.0]), jnp.stack([1.0 + x[0] ** 2, x[1]])
    for _ in range(20):
        pos = pos + 0.1 * speed
        speed = 0.99 * speed
        speed = jnp.where((pos[0] > 1.0) & (speed[0] > 0.0), speed * jnp.array([-0.8, 0.9]), speed)  #: jumps
    return jnp.sum((pos - jnp.array([0.4, 0.5])) ** 2) + 0.1 * jnp.sum(x**2)


@case({"p": np.float64(1.2), "i": np.float64(0.6)})
def saturated_pi_loop(gains):
    """A saturated actuator; the integral stands still when it gets near that."""

    def step(state, _):
        y, integral = state
        error = 1.0 - y
        raw = gains["p"] * error + gains["i"] * integral
        u = jnp.clip(raw, -1.0, 1.0)  #: kinked
        integral = jnp.where(jnp.abs(raw) < 0.9, integral + 0.3 * error, integral)  #: jumps
        y = y + 0.2 * (1.4 * u - 0.8 * y)
        return (y, integral), error

    _, errors = jax.lax.scan(step, (jnp.asarray(0.0), jnp.asarray(0.0)), None, length=30)
    return jnp.mean(errors**2) + 0.02 * (gains["p"] ** 2 + gains["i"] ** 2)


@case(np.array([0.2, 0.5]))
def paid_off(x):
    """The same sum each month and the interest; the last one is not cut short."""
    sum_a_month = 0.1 + 0.2 * jax.nn.sigmoid(x[0])

    def owed(state):
        return state[0] > 0.0

    def month(state):
        debt, paid = state
        return debt - sum_a_month, paid + sum_a_month + 0.02 * debt

    _, paid = jax.lax.while_loop(owed, month, (1.0 + 0.5 * x[1] ** 2, jnp.asarray(0.0)))  #: jumps
    return 0.3 * paid + 0.2 * jnp.sum((x - 0.3) ** 2)


@case(np.array([0.3, 0.6]))
def cool_enough(x):
    """Minutes until it can be drunk."""
    loss = 0.04 * jnp.exp(0.5 * x[0])

    def blow(state):
        temp, minutes = state
        return temp - loss * (temp - 0.2), minutes + 1

    start = 1.0 + 0.3 * x[1] ** 2, 0
    _, minutes = jax.lax.while_loop(lambda s: s[0] > 0.6, blow, start)  #: flat
    return 0.03 * minutes + 0.2 * jnp.sum((x - 0.2) ** 2)


@case(over(descend.Real(3, start=np.array([-0.5, 0.1, 0.9]))))
def up_and_out_call(x, *, key):
    """Knocked out when the path gets to the barrier."""
    vol = 0.3 * jnp.exp(0.3 * x[0])
    noise = jax.random.normal(key, (12, 8))  #: stochastic
    paths = jnp.exp(jnp.cumsum(0.4 * vol * noise, axis=1))
    payoff = jax.nn.relu(paths[:, -1] - 0.9 - 0.2 * x[1])  #: kinked
    alive = jnp.where(jnp.max(paths, axis=1) < 1.0 + 0.5 * x[2] ** 2, payoff, 0.0)  #: jumps
    return 4.0 * (jnp.mean(alive) - 0.1) ** 2 + 0.1 * jnp.sum(x**2)


def sealed_bid(bid, rivals, value):
    top = jnp.max(rivals)
    return jnp.where(bid > top, value - bid, 0.0)  #: jumps


@case(np.array([0.5, 0.2]), helpers=(sealed_bid,))
def first_price(x):
    """The winner pays what he bids."""
    won = jax.vmap(sealed_bid)(x[0] * VALUES + 0.1 * x[1], RIVALS, VALUES)
    return -jnp.mean(won) + 0.1 * jnp.sum((x - 0.4) ** 2)


@case(np.array([0.5, 0.2]))
def vickrey(x):
    """The winner pays what the next one bid, so his own bid does not show."""

    def auction(bid, rivals, value):
        top = jnp.max(rivals)
        return jnp.where(bid > top, value - top, 0.0)  #: flat

    won = jax.vmap(auction)(x[0] * VALUES + 0.1 * x[1], RIVALS, VALUES)
    return -jnp.mean(won) + 0.1 * jnp.sum((x - 0.4) ** 2)


@case(np.array([0.4, -0.2, 0.3]))
def worst_drawdown(w):
    wealth = jnp.exp(jnp.cumsum(RETURNS @ (2.0 * w)))
    peak = jax.lax.associative_scan(jnp.maximum, wealth)  #: kinked
    worst = jnp.max(1.0 - wealth / peak)  #: kinked
    return worst - 0.3 * jnp.log(wealth[-1]) + 0.2 * jnp.sum(w**2)


@case(0.5 * rng.normal(size=7))
def cheapest_way(x):
    """The costs of roads are to be chosen; everybody takes the cheapest way from 0 to 4."""
    cost = jax.nn.softplus(x)
    matrix = jnp.full((5, 5), 50.0)
    for k, (i, j) in enumerate(EDGES):
        matrix = matrix.at[i, j].set(cost[k]).at[j, i].set(cost[k])

    def relax(_, dist):
        return jnp.minimum(dist, jnp.min(dist[:, None] + matrix, axis=0))  #: kinked

    dist = jax.lax.fori_loop(0, 5, relax, jnp.full(5, 50.0).at[0].set(0.0))
    return -0.5 * dist[4] + 0.1 * jnp.sum(x**2)


@case({"weights": np.array([0.7, 1.4, 2.2]), "basket": np.float64(1.7), "way": np.float64(0.8)})
def postage(p):
    """By started kilos and the way; nothing above a sum."""
    kilos = jnp.ceil(p["weights"])  #: flat
    price = 0.1 * jnp.sum(kilos) + 0.2 * p["way"] ** 2
    price = jnp.where(p["basket"] + 0.2 * p["way"] > 2.0, 0.0, price)  #: jumps
    return price + 0.1 * (jnp.sum(p["weights"] ** 2) + (p["basket"] - 1.5) ** 2 + p["way"] ** 2)


@case(over(descend.Real(2, start=np.array([0.2, 0.5]))))
def arrivals_by_thinning(x, *, key):
    """Candidates at the highest rate, of which some are kept."""
    when, who = jax.random.split(key)
    times = jnp.cumsum(jax.random.exponential(when, (40,))) / 4.0  #: stochastic
    rate = 4.0 * jax.nn.sigmoid(x[0] + x[1] * jnp.sin(times))
    kept = 4.0 * jax.random.uniform(who, (40,)) < rate  #: stochastic #: flat
    return 0.02 * (jnp.sum(jnp.where(kept, jnp.exp(-0.1 * times), 0.0)) - 8.0) ** 2 + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(4, start=np.array([0.5, 0.2, -0.3, -0.6]))))
def slot_machine(x, *, key):
    reels = jax.random.categorical(key, x, shape=(30,))  #: stochastic #: flat
    return -jnp.mean(PRIZES[reels]) + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(3, start=np.array([0.3, 0.5, -0.8]))), "smooth")
def mean_reverting(x, *, key):
    """A path driven by noise, one draw a step."""

    def step(level, k):
        shock = jax.random.normal(k)  #: stochastic
        level = level + 0.1 * jnp.exp(0.3 * x[0]) * (x[1] - level) + 0.3 * jnp.exp(x[2]) * shock
        return level, level

    _, path = jax.lax.scan(step, jnp.asarray(0.0), jax.random.split(key, 20))
    return jnp.mean((path - 0.4) ** 2) + 0.1 * jnp.sum(x**2)


@case(rng.uniform(0.0, 2.0, (4, 2)))
def periodic_springs(place):
    """Springs between all pairs in a box that goes on at its other side."""
    apart = place[:, None] - place[None]
    apart = apart - 2.0 * jnp.round(apart / 2.0)  #: kinked
    return jnp.sum((jnp.sum(apart**2, axis=-1) - 0.5) ** 2) / 16.0 + 0.05 * jnp.sum((place - 1.0) ** 2)


@case(np.array([0.4, 1.2, -1.0, 0.8]), "smooth")
def attitude(x):
    """A quaternion is made of length one and its first entry made positive; then it turns points."""
    q = x / jnp.linalg.norm(x)
    q = jnp.where(q[0] < 0.0, -q, q)
    w, v = q[0], q[1:]
    points = jnp.stack([CLOUD[:, 0], CLOUD[:, 1], 0.5 * CLOUD[:, 0] * CLOUD[:, 1]], axis=1)
    across = 2.0 * jnp.cross(v[None], points)
    turned = points + w * across + jnp.cross(v[None], across)
    return jnp.mean((turned[:, :2] - 0.8 * CLOUD[:, ::-1]) ** 2) + 0.05 * jnp.sum(x**2)


@case(np.array([-1.0, 0.3, 1.3, -0.4]), "smooth")
def bar_through_points(x):
    """Squares of distances to a bar with two ends."""
    a, b = x[:2], x[2:]
    along = b - a
    t = jnp.clip((CLOUD - a) @ along / (along @ along + 1e-9), 0.0, 1.0)
    nearest = a + t[:, None] * along
    return jnp.mean(jnp.sum((CLOUD - nearest) ** 2, axis=1)) + 0.1 * jnp.sum(x**2)


@case(np.array([0.9, -1.2, 0.7, 1.4]))
def headings(turns):
    heading = jnp.cumsum(turns)
    off = jnp.mod(heading - TOWARDS + jnp.pi, 2.0 * jnp.pi) - jnp.pi  #: kinked
    return jnp.mean(off**2) + 0.1 * jnp.sum(turns**2)


@case(np.array([0.7, 0.2, 0.1]), "smooth")
def tides(x):
    """The hour of a tide starts again and again."""
    period = 2.0 * jnp.pi / (1.5 + jnp.exp(0.5 * x[0]))
    hour = jnp.fmod(TIDE_T + 3.0 + jnp.tanh(x[1]), period)
    level = (1.0 + x[2] ** 2) * jnp.cos(2.0 * jnp.pi * hour / period)
    return jnp.mean((level - TIDE) ** 2) + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(3, start=np.array([1.0, 2.0, 20.0]), scale=0.5)))
def weather(start):
    """Three numbers and where they are after a while."""

    def step(s, _):
        x, y, z = s
        s = s + 0.02 * jnp.stack([10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z])
        return s, s[2]

    _, heights = jax.lax.scan(step, start, None, length=800)  #: chaotic
    return jnp.mean((heights[-50:] - 20.0) ** 2) / 100.0


@case(0.3 * rng.normal(size=8))
def associative_memory(threshold):
    """What is recalled from a pattern with two errors."""

    def update(_, spins):
        return jnp.where(HEBB @ spins > threshold, 1.0, -1.0)  #: flat

    spins = jax.lax.fori_loop(0, 4, update, CORRUPT)
    return 1.0 - jnp.mean(spins * PATTERNS[0]) + 0.1 * jnp.sum(threshold**2)


@case({"capital": np.float64(0.6), "labor": np.float64(0.8)})
def workshop(p):
    made = p["capital"] ** 0.4 * p["labor"] ** 0.6  #: non-finite
    return -made + 0.5 * (p["capital"] ** 2 + p["labor"] ** 2)


@case(np.array([0.8, 0.5]))
def spiking_neuron(x):
    """Leaks, fires and is set back; the derivative of the firing is a made-up one."""

    @jax.custom_jvp
    def spike(v):
        return (v > 1.0).astype(float)  #: jumps

    spike.defjvp(
        lambda primals, tangents: (spike(*primals), tangents[0] / (1.0 + 5.0 * jnp.abs(primals[0] - 1.0)) ** 2)
    )

    def step(v, current):
        v = (0.7 + 0.2 * jnp.tanh(x[1])) * v + x[0] * current
        fired = spike(v)
        return v - fired, fired

    _, train = jax.lax.scan(step, jnp.asarray(0.0), CURRENT)
    return (jnp.mean(train) - 0.1) ** 2 * 20.0 + 0.1 * jnp.sum(x**2)


@case(np.array([0.4, 0.3, -0.2]))
def hausdorff(x):
    """How far two shapes are apart at the worst place, seen from both."""
    c, s = jnp.cos(x[0]), jnp.sin(x[0])
    moved = SHAPE @ jnp.array([[c, s], [-s, c]]) + x[1:]
    d2 = jnp.sum((moved[:, None] - CLOUD[None]) ** 2, axis=-1)
    there = jnp.max(jnp.min(d2, axis=1))  #: kinked
    back = jnp.max(jnp.min(d2, axis=0))  #: kinked
    return 0.3 * (there + back) + 0.1 * jnp.sum(x**2)


@case(np.array([1.1, 0.6, 2.3]))
def parking(hours):
    """Started quarters of an hour, and no more than for a day."""
    started = hours // 0.25 + 1.0  #: flat
    fee = jnp.minimum(0.1 * started, 1.6)
    return jnp.mean(fee) + 0.1 * jnp.sum((hours - 1.5) ** 2)


@case(np.array([0.4, 0.9]))
def hot_hours(x):
    """Degrees above a limit, a fine for each hour above another, and half a table of prices."""
    temp = x[0] + x[1] * jnp.sin(jnp.linspace(0.0, 6.0, 25))
    above = jnp.mean(jnp.maximum(temp - 0.6, 0.0))  #: kinked
    fine = jnp.mean(jnp.heaviside(temp - 0.9, 0.5))  #: flat
    price = jnp.interp(temp[5], jnp.array([-1.0, 0.5, 1.2, 3.0]), jnp.array([0.2, 0.3, 0.9, 1.0]))  #: kinked
    return above + fine + price + 0.1 * jnp.sum((x - 0.3) ** 2)


@case({"mean": np.array([0.2, -0.3]), "log_std": np.array([-0.2, 0.1])}, "smooth")
def common_numbers(p):
    """Draws with a key that is always the same; a table says which coordinate counts."""
    z = jax.random.normal(jax.random.key(7), (16, 2))
    y = p["mean"] + jnp.exp(p["log_std"]) * z
    counted = y[jnp.arange(16), jnp.asarray([0, 1] * 8)]
    kept = jnp.round(counted)
    del kept
    return jnp.mean(jnp.sinc(0.5 * counted)) + 0.1 * jnp.sum(p["mean"] ** 2) + 0.1 * jnp.sum(p["log_std"] ** 2)
