"""Programs in the style of users that a derivative does not get through, each to be minimized over n numbers.

Learning with counted errors, planning with thresholds and tables, simulation with events: written as one would write
them without a thought of gradients. Data are drawn once, with a fixed seed.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

PROGRAMS: dict[str, tuple[Callable[[Any], Any], int]] = {}
"""Name -> the function and the number of its variables."""

rng = np.random.default_rng(5)
ROWS = jnp.asarray(rng.normal(size=(200, 20)))
TRUTH = jnp.asarray(rng.normal(size=20))
MARGIN = ROWS @ TRUTH + jnp.asarray(rng.normal(size=200))
LABEL = jnp.where(MARGIN > 0, 1, -1)
RARE = MARGIN > 3.5
CLASS = jnp.argmax(ROWS[:, :9] @ jnp.asarray(rng.normal(size=(9, 3))), 1)
GRADE = jnp.digitize(MARGIN, jnp.array([-4.0, -1.0, 1.0, 4.0]))
CITIES = jnp.asarray(rng.uniform(size=(12, 2)))
COSTS = jnp.asarray(rng.uniform(size=(12, 4)))
DEMAND = jnp.asarray(rng.gamma(2.0, 1.0, size=(30, 8)))
HOURS = jnp.asarray(rng.uniform(0, 10, size=24))
SIGNAL = jnp.asarray(np.sin(np.arange(40) / 4) + 0.3 * rng.normal(size=40))
TERRAIN = jnp.asarray(
    np.add.outer((np.arange(16) - 10) ** 2, (np.arange(16) - 5) ** 2) / 40 + rng.normal(size=(16, 16))
)
WEIGHTS, WORTH = jnp.asarray(rng.uniform(1, 3, size=24)), jnp.asarray(rng.uniform(1, 3, size=24))
EDGES = jnp.asarray(rng.integers(0, 12, size=(26, 2)))
TIMES, DUE = jnp.asarray(rng.uniform(0.5, 2, size=12)), jnp.asarray(rng.uniform(2, 14, size=12))
NOISE = jnp.asarray(rng.normal(size=(40, 20)))


def program(n: int) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    def enter(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        PROGRAMS[f.__name__] = (f, n)
        return f

    return enter


# --- learning


@program(20)
def mistakes(w):
    return jnp.mean((ROWS @ w) * LABEL < 0)


@program(21)
def balanced_mistakes(w):
    called = ROWS @ w[:20] > w[20]
    missed, wrong = jnp.sum(~called & RARE) / jnp.sum(RARE), jnp.sum(called & ~RARE) / jnp.sum(~RARE)
    return missed + wrong


@program(21)
def one_minus_f1(w):
    called = ROWS @ w[:20] + w[20] > 0
    hits, wrong, missed = jnp.sum(called & RARE), jnp.sum(called & ~RARE), jnp.sum(~called & RARE)
    return 1 - 2 * hits / (2 * hits + wrong + missed + 1e-9)


@program(27)
def classes(w):
    return jnp.mean(jnp.argmax(ROWS[:, :9] @ w.reshape(9, 3), axis=1) != CLASS)


@program(20)
def wrong_pairs(w):
    score, rare = ROWS[:60] @ w, RARE[:60]
    ahead = score[:, None] > score[None, :]
    return jnp.sum(~ahead & rare[:, None] & ~rare[None, :]) / (jnp.sum(rare) * jnp.sum(~rare))


@program(20)
def places_of_the_rare(w):
    place = jnp.argsort(jnp.argsort(-(ROWS @ w)))
    return jnp.sum(jnp.where(RARE, place, 0)) / jnp.sum(RARE)


@program(20)
def misses_among_the_first(w):
    _, first = lax.top_k(ROWS @ w, 25)
    return 25 - jnp.sum(RARE[first])


@program(20)
def quarters(w):
    kept = jnp.round(2 * w) / 2
    return jnp.mean((ROWS @ kept - MARGIN) ** 2)


@program(20)
def signs_only(w):
    return jnp.mean((ROWS @ jnp.sign(w) - MARGIN) ** 2)


@program(24)
def coarse_activations(w):
    hidden = jnp.round(jnp.clip(ROWS[:, :5] @ w[:20].reshape(5, 4), -2, 2))
    return jnp.mean((hidden @ w[20:] - MARGIN) ** 2)


@program(48)
def step_network(w):
    hidden = jnp.heaviside(ROWS[:, :5] @ w[:40].reshape(5, 8), 0.5)
    return jnp.mean((hidden @ w[40:] - MARGIN) ** 2)


@program(29)
def decision_tree(w):
    bits = (ROWS[:, :7] @ w[:21].reshape(7, 3) > 0).astype(int)
    leaf = bits @ jnp.array([4, 2, 1])
    return jnp.mean((w[21:][leaf] - MARGIN) ** 2)


@program(24)
def grades(w):
    called = jnp.digitize(ROWS @ w[:20], jnp.cumsum(jnp.exp(w[20:])) - 4)
    return jnp.mean(jnp.abs(called - GRADE))


@program(20)
def inliers(w):
    return -jnp.mean(jnp.abs(ROWS @ w - MARGIN) < 0.7)


@program(20)
def few_features(w):
    return jnp.mean((ROWS[:, :20] @ w - MARGIN) ** 2) + 0.5 * jnp.sum(jnp.abs(w) > 0.2)


@program(20)
def rules(w):
    a, b, c = ROWS[:, :6] @ w[:6], ROWS[:, 6:12] @ w[6:12], ROWS[:, 12:18] @ w[12:18]
    said = jnp.where(a > w[18], 1, jnp.where(b > w[19], 1, jnp.where(c > 0, -1, 1)))
    return jnp.mean(said != LABEL)


@program(60)
def committee(w):
    votes = jnp.sum(ROWS @ w.reshape(20, 3) > 0, axis=1)
    return jnp.mean(jnp.where(votes >= 2, 1, -1) != LABEL)


@program(21)
def unequal_treatment(w):
    called = ROWS @ w[:20] > w[20]
    group = ROWS[:, 3] > 0
    rate = lambda mask: jnp.sum(called & mask) / jnp.sum(mask)  # noqa: E731
    return jnp.mean(called != (LABEL > 0)) + jnp.abs(rate(group) - rate(~group))


@program(20)
def spikes(w):
    def step(level, drive):
        level = 0.8 * level + drive
        fires = level > 1.0
        return jnp.where(fires, 0.0, level), fires

    _, fired = lax.scan(step, 0.0, NOISE @ w / 3)
    return jnp.mean(jnp.abs(jnp.cumsum(fired) - jnp.cumsum(SIGNAL > 0.8)))


# --- planning


@program(24)
def tariff(x):
    use = jnp.abs(x)
    price = jnp.array([1.0, 1.6, 2.5, 4.0])[jnp.searchsorted(jnp.array([0.5, 1.0, 1.5]), use)]
    return jnp.sum(use * price) + 3 * jnp.abs(jnp.sum(use) - 20)


@program(30)
def fixed_charges(x):
    shipped = jnp.abs(x)
    return jnp.sum(2.0 * (shipped > 0.1) + 0.3 * shipped**2) + 2 * (jnp.sum(shipped) - 15) ** 2 / 15


@program(16)
def reorder_points(p):
    low, up_to = jnp.abs(p[:8]), jnp.abs(p[:8]) + jnp.abs(p[8:]) * 3

    def day(stock, wanted):
        orders = stock < low
        cost = 4.0 * orders + 0.3 * stock + 5.0 * jnp.maximum(wanted - stock, 0)
        return jnp.maximum(jnp.where(orders, up_to, stock) - wanted, 0), cost

    return jnp.mean(lax.scan(day, jnp.full(8, 3.0), DEMAND)[1])


@program(16)
def batches(x):
    size = 0.5 + jnp.abs(x)
    lots = jnp.ceil(5.0 / size)
    return jnp.sum(lots * (1 + 0.2 * jnp.arange(16) / 16) + 0.5 * lots * size)


@program(12)
def tardiness(x):
    order = jnp.argsort(x)
    done = jnp.cumsum(TIMES[order])
    return jnp.sum(jnp.maximum(done - DUE[order], 0)) + 0.5 * jnp.sum(done > DUE[order])


@program(12)
def tour(x):
    path = CITIES[jnp.argsort(x)]
    return jnp.sum(jnp.sqrt(jnp.sum((path - jnp.roll(path, 1, axis=0)) ** 2, axis=1) + 1e-12))


@program(24)
def knapsack(x):
    picked = x > 0.5
    return -jnp.sum(WORTH * picked) + 5 * jnp.maximum(jnp.sum(WEIGHTS * picked) - 20, 0)


@program(48)
def assignments(x):
    chosen = jnp.argmax(x.reshape(12, 4), axis=1)
    load = jnp.bincount(chosen, length=4)
    return jnp.sum(COSTS[jnp.arange(12), chosen]) + 0.3 * jnp.sum((load - 3) ** 2)


@program(12)
def facilities(x):
    is_open = x > 0
    apart = jnp.sqrt(jnp.sum((CITIES[:, None] - CITIES[None]) ** 2, -1) + 1e-9)
    reach = jnp.min(jnp.where(is_open[None, :], apart, 2.0), axis=1)
    return jnp.sum(reach) + 0.25 * jnp.sum(is_open)


@program(8)
def timetable(x):
    leaves = jnp.sort(5 + 2.5 * x)
    nth = jnp.searchsorted(leaves, HOURS)
    wait = jnp.where(nth < 8, leaves[jnp.clip(nth, 0, 7)] - HOURS, 6.0)
    return jnp.mean(wait)


@program(36)
def coloring(x):
    color = jnp.argmax(x.reshape(12, 3), axis=1)
    return jnp.sum((color[EDGES[:, 0]] == color[EDGES[:, 1]]) & (EDGES[:, 0] != EDGES[:, 1]))


@program(20)
def cuts(x):
    length = 1 + jnp.abs(x)
    pieces = (10 / length).astype(int)
    return jnp.sum(10 - pieces * length) + 0.2 * jnp.abs(jnp.sum(pieces) - 60)


@program(20)
def discounts(x):
    lots = jnp.abs(x) * 3
    tier = jnp.clip(lots.astype(int) // 2, 0, 2)
    price = lambda k, q: lax.switch(k, [lambda q: 3 * q, lambda q: 2 * q + 1, lambda q: 1.5 * q + 1.5], q)  # noqa: E731
    return jnp.sum(jax.vmap(price)(tier, lots)) + 2 * jnp.abs(jnp.sum(lots) - 70)


@program(24)
def rosters(x):
    staff = jnp.round(jnp.abs(x) * 2)
    needed = 2 + 2 * jnp.sin(jnp.arange(24) / 4) ** 2
    return jnp.sum(staff) + 4 * jnp.sum(jnp.maximum(needed - staff, 0))


@program(20)
def taxes(x):
    income = 2 + x
    bracket = jnp.sum(income[:, None] > jnp.array([1.0, 2.0, 3.0]), axis=1)
    rate = jnp.array([0.0, 0.1, 0.25, 0.4])[bracket]
    return -jnp.sum(income * (1 - rate)) + 0.1 * jnp.sum(income**2)


# --- simulation and signals


@program(10)
def pulses(x):
    period, duty = 2 + jnp.abs(x[:5]), jax.nn.sigmoid(x[5:])
    at = jnp.arange(40.0)[:, None]
    on = jnp.mod(at, period) < duty * period
    return jnp.mean((jnp.sum(on, axis=1) - 2.5 - 1.5 * SIGNAL) ** 2)


@program(12)
def thermostat(p):
    low, high = 18 + p[:6], 20 + p[6:]

    def minute(state, outside):
        heat, burns = state
        burns = jnp.where(heat < low, 1, jnp.where(heat > high, 0, burns))
        heat = heat + 0.6 * burns - 0.05 * (heat - outside)
        return (heat, burns), jnp.abs(heat - 21) * 0.2 + 0.3 * burns

    start = (jnp.full(6, 19.0), jnp.zeros(6, int))
    return jnp.mean(lax.scan(minute, start, 10 + 3 * SIGNAL)[1])


@program(20)
def bounces(x):
    def drop(height):
        return lax.while_loop(lambda s: s[0] > 0.3, lambda s: (s[0] * 0.6, s[1] + 1), (height, 0))[1]

    counts = jax.vmap(drop)(1 + x**2)
    return jnp.sum((counts - 5) ** 2)


@program(40)
def crossings(x):
    changes = jnp.sum(jnp.sign(x[1:]) != jnp.sign(x[:-1]))
    return jnp.mean((x - SIGNAL) ** 2) + 0.05 * changes


@program(40)
def histogram(x):
    counts = jnp.bincount(jnp.digitize(x, jnp.array([-1.5, -0.5, 0.5, 1.5])), length=5)
    return jnp.sum((counts - jnp.array([2, 16, 4, 16, 2])) ** 2)


@program(40)
def dither(x):
    def step(error, value):
        shown = jnp.round(value + error)
        return value + error - shown, shown

    shown = lax.scan(step, 0.0, x)[1]
    smooth = jnp.convolve(shown, jnp.ones(4) / 4, mode="same")
    return jnp.mean((smooth - SIGNAL) ** 2)


@program(20)
def traffic_lights(x):
    def cross(time, offset):
        phase = jnp.mod(time + 4 * offset, 8.0)
        wait = jnp.where(phase < 4, 0.0, 8 - phase)
        return time + 3.0 + wait, wait

    return jnp.sum(lax.scan(cross, 0.0, x)[1])


@program(30)
def path(x):
    row, column = jnp.clip(8 + 3 * x[:15], 0, 15).astype(int), jnp.clip(8 + 3 * x[15:], 0, 15).astype(int)
    return jnp.sum(TERRAIN[row, column])


@program(24)
def queue(x):
    gaps = jnp.abs(x) + 0.1

    def arrive(free, gap_and_time):
        _, now = gap_and_time
        begins = jnp.maximum(free, now)
        return begins + 0.9, begins - now > 0.5

    late = lax.scan(arrive, 0.0, (gaps, jnp.cumsum(gaps)))[1]
    return jnp.sum(late) + 0.6 * jnp.sum(gaps)


@program(20)
def stop_losses(x):
    stop, take = -0.3 - jnp.abs(x[:10]), 0.3 + jnp.abs(x[10:])
    walks = jnp.cumsum(0.3 * NOISE[:, :10] + 0.01, axis=0)

    def day(state, price):
        held, gain = state
        leaves = held & ((price < stop) | (price > take))
        return (held & ~leaves, jnp.where(leaves, price, gain)), None

    (held, gain), _ = lax.scan(day, (jnp.ones(10, bool), jnp.zeros(10)), walks)
    return -jnp.sum(jnp.where(held, walks[-1], gain))


@program(30)
def switches(x):
    on = x > 0
    started = jnp.sum(on[1:] & ~on[:-1])
    served = jnp.sum(jnp.where(on, jnp.abs(SIGNAL[:30]), 0))
    return 0.4 * jnp.sum(on) + 0.3 * started - served


@program(20)
def clocks(x):
    ticks = jnp.floor(3 * x + jnp.arange(20) / 20)
    return jnp.sum((ticks - jnp.arange(20) % 5) ** 2) / 20


@program(20)
def iterations(x):
    """How many steps of a damped iteration each start needs, by its damping."""

    def solve(rate):
        step = lambda s: (s[0] - jax.nn.sigmoid(rate) * (s[0] - jnp.cos(s[0])), s[1] + 1)  # noqa: E731
        return lax.while_loop(lambda s: (jnp.abs(s[0] - jnp.cos(s[0])) > 0.05) & (s[1] < 10), step, (3.0, 0))[1]

    return jnp.mean(jax.vmap(solve)(x - 2))


@program(18)
def state_machine(x):
    def step(state, logits):
        move = jnp.argmax(logits)
        state = (state + jnp.array([1, 2, 4])[move]) % 7
        return state, jnp.array([0.0, 3.0, -1.0, 2.0, -2.0, 1.0, 4.0])[state]

    return jnp.sum(lax.scan(step, 0, x.reshape(6, 3))[1])
