"""More programs like those of `programs.py`, to enlarge the sample: written before any was run, and all kept.

One differs from what was written first: `chosen_sensors` chooses seven of 24, not eight, because XLA does not finish
compiling its softened lookup for eight.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from programs import CLASS, GRADE, LABEL, MARGIN, RARE, ROWS, program

rng = np.random.default_rng(11)
PAIRS = jnp.asarray(rng.integers(0, 200, size=(150, 2)))
SAME = CLASS[PAIRS[:, 0]] == CLASS[PAIRS[:, 1]]
ORDERS = jnp.asarray(rng.uniform(0.2, 1.0, size=(20, 5)))
WORTH = jnp.asarray(rng.uniform(0.5, 4.0, size=(40, 20)))
ARRIVALS = jnp.asarray(np.cumsum(rng.exponential(0.5, size=30)))
CURRENT = jnp.asarray(rng.uniform(0.0, 1.0, size=(24, 20)))
SUPPORT = jnp.asarray(rng.normal(0.0, 0.4, size=(30, 7)))
RAIN = jnp.asarray(rng.uniform(0.0, 0.6, size=30))
SENSORS = jnp.asarray(rng.normal(size=(24, 4)))
SKILL = jnp.asarray(rng.uniform(size=(10, 4)))


@program(27)
def prototypes(w):
    """Each example is called by the nearest of three prototypes."""
    distance = jnp.sum((ROWS[:, None, :9] - w.reshape(3, 9)[None]) ** 2, axis=2)
    return jnp.mean(jnp.argmin(distance, axis=1) != CLASS)


@program(21)
def abstaining(w):
    """An error costs one, an answer withheld a fifth."""
    score = ROWS @ w[:20]
    silent = jnp.abs(score) < jnp.exp(w[20])
    return jnp.mean(jnp.where(silent, 0.2, 1.0 * (score * LABEL < 0)))


@program(45)
def hash_codes(w):
    """Five bits for each example; those of one class should agree, those of two differ in three."""
    bits = jnp.sign(ROWS[:, :9] @ w.reshape(9, 5))
    apart = jnp.sum(bits[PAIRS[:, 0]] != bits[PAIRS[:, 1]], axis=1)
    return jnp.mean((apart - jnp.where(SAME, 0, 3)) ** 2)


@program(20)
def equal_groups(w):
    """Scores cut at fixed marks; as many as possible in each group of the same grade."""
    group = jnp.clip(jnp.floor(ROWS @ w + 2.5), 0, 4)
    return jnp.mean(group != GRADE)


@program(20)
def false_alarms_first(w):
    """How many ordinary examples score above the best rare one, and above the median rare one."""
    score = ROWS @ w
    rare = jnp.sort(jnp.where(RARE, score, -jnp.inf))[::-1]
    ahead = jnp.sum((score > rare[0]) & ~RARE) + jnp.sum((score > rare[jnp.sum(RARE) // 2]) & ~RARE)
    return ahead / 10


@program(22)
def rounded_rules(w):
    """Weights in halves, and a rounded result that is compared with the rounded truth."""
    called = jnp.round((ROWS @ (jnp.round(2 * w[:20]) / 2)) * w[20] + w[21])
    return jnp.mean(jnp.abs(called - jnp.round(MARGIN)))


@program(24)
def renewals(x):
    """A machine that is older fails more often; renewing it costs as much as six months of age."""

    def month(age, order):
        renewed = order > 0.5
        age = jnp.where(renewed, 0.0, age + 1.0)
        return age, jnp.where(renewed, 3.0, 0.0) + 0.08 * age**2

    return jnp.mean(lax.scan(month, 2.0, x)[1])


@program(20)
def price_list(x):
    """Prices end on a full half; customers buy what is worth it to them."""
    price = jnp.round(2 * jax.nn.softplus(x)) / 2
    return -jnp.sum((price <= WORTH) * (price - 0.4)) / 40


@program(20)
def pallets(x):
    """Deliveries moved between neighbors in time; each begun pallet costs."""
    share = jax.nn.sigmoid(x)[:, None]
    now = ORDERS * share
    later = jnp.roll(ORDERS * (1 - share), 1, axis=0)
    return jnp.mean(jnp.ceil(jnp.sum(now + later, axis=1))) + 0.05 * jnp.mean(jnp.sum(later, axis=1))


@program(12)
def departures(x):
    """Buses leave at full minutes of a timetable; whoever comes waits for the next one, or goes home."""
    leaves = jnp.sort(jnp.round(20 * jax.nn.sigmoid(x)))
    next_one = jnp.searchsorted(leaves, ARRIVALS)
    wait = jnp.where(next_one < 12, leaves[jnp.minimum(next_one, 11)] - ARRIVALS, 5.0)
    return jnp.mean(wait)


@program(20)
def spikes_wanted(x):
    """A neuron that fires above one and is reset; it should fire three times for each of the inputs."""
    weight = jax.nn.softplus(x)

    def step(v, i):
        v = 0.9 * v + i
        fires = v > 1.0
        return jnp.where(fires, 0.0, v), fires

    count = lambda i: jnp.sum(lax.scan(step, 0.0, 0.3 * weight * i)[1])  # noqa: E731
    return jnp.mean((jax.vmap(count)(CURRENT) - 3 - jnp.arange(24) % 3) ** 2)


@program(30)
def districts(x):
    """Where to campaign: a district is won above one half of its opinions."""
    effort = 4.0 * jax.nn.softmax(x)
    won = jnp.mean(SUPPORT + effort[:, None] > 0.1, axis=1) > 0.5
    return -jnp.sum(won) / 30


@program(30)
def watering(x):
    """The pump gives half a unit or nothing; plants suffer below a mark."""

    def day(moisture, now):
        order, rain = now
        moisture = 0.8 * moisture + 0.3 * rain + jnp.where(order > 0, 0.25, 0.0)
        return moisture, (moisture < 0.45) * 1.0 + 0.6 * (moisture > 0.9) + 0.25 * (order > 0)

    return jnp.mean(lax.scan(day, 0.5, (x, RAIN))[1])


@program(24)
def chosen_sensors(x):
    """The seven sensors with the largest marks; the volume of what they leave uncertain."""
    _, chosen = lax.top_k(x, 7)
    seen = SENSORS[chosen]
    return -jnp.linalg.slogdet(seen.T @ seen + 0.1 * jnp.eye(4))[1]


@program(40)
def crews(x):
    """Each of ten workers does the job with the largest mark; a job needs two, and is done as well as its best."""
    job = jnp.argmax(x.reshape(10, 4), axis=1)
    mine = job[:, None] == jnp.arange(4)
    best = jnp.max(jnp.where(mine, SKILL, 0.0), axis=0)
    return -jnp.sum(jnp.where(jnp.sum(mine, axis=0) >= 2, best, 0.0))


@program(30)
def runs_of_shifts(x):
    """Not more than four shifts in a row, at least eighteen in all, and few changes."""
    on = x > 0

    def day(run, works):
        run = jnp.where(works, run + 1, 0)
        return run, run > 4

    tired = jnp.sum(lax.scan(day, 0, on)[1])
    return tired + 0.5 * jnp.maximum(18 - jnp.sum(on), 0) + 0.1 * jnp.sum(on[1:] != on[:-1])
