"""Chaos, draws, pictures, competitions, sound, queues of people and lights."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.label import case, over

rng = np.random.default_rng(5170)
KEY = jax.random.PRNGKey(12)
SEEN = jnp.asarray(rng.uniform(0.1, 0.9, 60))
PIXELS = jnp.asarray(rng.uniform(size=64))
WANTED = jnp.asarray([0.1, 0.15, 0.25, 0.25, 0.15, 0.1])
PICTURES = jnp.asarray(rng.normal(size=(4, 1, 8, 8)))
LABELS = jnp.asarray([0.3, 1.1, 0.6, 0.9])
BOXES = jnp.asarray([[0.0, 0.0, 1.2, 1.0], [0.5, 0.4, 1.6, 1.5], [-0.6, 0.3, 0.5, 1.1]])
OVERLAPS = np.triu(rng.uniform(size=(7, 7)) < 0.4, 1)
OVERLAPS = jnp.asarray(OVERLAPS | OVERLAPS.T)
TRAIN = jnp.asarray(rng.normal(size=(12, 8)))
VALID = jnp.asarray(rng.normal(size=(12, 8)))
TRUE = np.array([1.2, -0.8, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0])
Y_TRAIN = jnp.asarray(np.asarray(TRAIN) @ TRUE + 0.9 * rng.normal(size=12))
Y_VALID = jnp.asarray(np.asarray(VALID) @ TRUE + 0.9 * rng.normal(size=12))
ROWS = jnp.asarray(rng.normal(size=(40, 3)))
SALES = jnp.asarray(np.sin(np.asarray(ROWS)[:, 0]) + 0.5 * np.asarray(ROWS)[:, 1] + 0.2 * rng.normal(size=40))
WIDE = jnp.asarray(rng.normal(size=(25, 29)))
SIDES = jnp.asarray(np.sign(rng.normal(size=25)))
CROWD = jnp.asarray(np.concatenate([rng.normal(size=(12, 2)) + c for c in ([0, 0], [1.8, 0.5], [0.4, 2.0])]))
TONE = jnp.asarray(rng.uniform(0.5, 2.5, 9))
GAUGE = jnp.asarray(rng.normal(size=20))
MISSING = jnp.asarray(rng.uniform(size=20) < 0.3)
SONG = jnp.asarray([0.1, 0.7, 1.0, 0.4, -0.5, -0.9, -0.3])
FLOWS = jnp.asarray([1.0, 1.3, 1.1, 1.6, 1.4])
TILES = jnp.asarray(rng.integers(1, 6, (8, 8)).astype(float))
FLOORS = [2.4, 0.5, 2.2, 4.1, 1.0]
CARS = jnp.asarray(np.cumsum(rng.exponential(0.9, 14)))
LOUD = jnp.asarray(np.abs(np.sin(np.arange(14) / 1.3)) * np.repeat(rng.uniform(0.4, 1.6, 7), 2))
WORDS = jnp.asarray(rng.normal(size=(5, 5)))
CURRENT = jnp.asarray(rng.uniform(0.1, 0.6, 40))
WAVE = jnp.asarray(0.7 * np.sin(np.arange(60) / 6.0))
SITES = jnp.asarray([[30.0, 4.0, 3.0], [5.0, 25.0, 6.0], [2.0, 7.0, 28.0]])
C3, C5, C6, C7, C10, C16 = (rng.normal(size=n) for n in (3, 5, 6, 7, 10, 16))


@case(np.array([0.8, 0.2]))
def insect_years(x):
    """A population that overshoots, fitted to sixty years of counts."""
    r = 3.7 + 0.25 * jax.nn.sigmoid(x[0])

    def year(n, _):
        n = r * n * (1.0 - n)
        return n, n

    _, path = jax.lax.scan(year, 0.2 + 0.2 * jax.nn.sigmoid(x[1]), None, length=60)  #: chaotic
    return jnp.mean((path - SEEN) ** 2) + 0.01 * jnp.sum(x**2)


def swing(state):
    a, b, da, db = state
    d = a - b
    bottom = 2.0 - jnp.cos(d) ** 2
    dda = -jnp.sin(d) * (da**2 * jnp.cos(d) + db**2) - 2.0 * 9.8 * jnp.sin(a) + 9.8 * jnp.sin(b) * jnp.cos(d)
    ddb = jnp.sin(d) * (2.0 * da**2 + db**2 * jnp.cos(d)) + 2.0 * 9.8 * (jnp.sin(a) * jnp.cos(d) - jnp.sin(b))
    return jnp.stack([da, db, dda / bottom, ddb / bottom])


def rk4(state, dt):
    k1 = swing(state)
    k2 = swing(state + 0.5 * dt * k1)
    k3 = swing(state + 0.5 * dt * k2)
    k4 = swing(state + dt * k3)
    return state + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)


@case(np.array([2.0, 2.6]))
def double_pendulum(x):
    """Let go from high up; where is the lower bob after a while?"""
    start = jnp.concatenate([x, jnp.zeros(2)])
    end = jax.lax.fori_loop(0, 600, lambda _, s: rk4(s, 0.02), start)  #: chaotic
    return jnp.cos(end[0]) + jnp.cos(end[1]) + 0.1 * jnp.sum(x**2)


@case(np.array([0.3, -0.4, 0.2]), "smooth")
def weak_convection(x):
    """Lorenz' equations where they come to rest."""
    rho, sigma = 7.0 + 2.0 * jnp.tanh(x[0]), 9.0 + jnp.tanh(x[1])

    def step(_, s):
        a, b, c = s
        return s + 0.01 * jnp.stack([sigma * (b - a), a * (rho - c) - b, a * b - 8.0 / 3.0 * c])

    end = jax.lax.fori_loop(0, 500, step, jnp.stack([1.0 + 0.0 * x[2], 1.5 + 0.3 * jnp.tanh(x[2]), 5.0 + 0.0 * x[2]]))
    return jnp.sum((end - jnp.array([4.0, 4.0, 6.0])) ** 2) / 10.0 + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(2, start=np.array([0.3, 0.5]))))
def photons_by_thinning(x, *, key):
    """Candidates at a constant rate, kept with a chance; their number is what counts."""
    rate = jax.nn.sigmoid(x[0] + x[1] * jnp.sin(jnp.arange(60.0) / 8.0))
    u = jax.random.uniform(key, (60,))  #: stochastic
    kept = u < rate  #: flat
    return (jnp.mean(kept) - 0.3) ** 2 * 4.0 + 0.1 * jnp.sum(x**2)


@case(0.4 * rng.normal(size=20), "smooth")
def frozen_dropout(x):
    """The same units are dropped each time."""
    keep = jax.random.bernoulli(KEY, 0.8, (5,))
    hidden = jnp.tanh(ROWS @ x[:15].reshape(3, 5))
    hidden = jnp.where(keep, hidden / 0.8, 0.0)
    return jnp.mean((hidden @ x[15:] - SALES) ** 2) + 0.02 * jnp.sum(x**2)


@case(np.array([-0.3, 0.4]))
def tuned_sampler(x):
    """A Metropolis chain, always with the same random numbers."""

    def logp(z):
        return -0.5 * (z - x[1]) ** 2 - 0.1 * z**4

    def move(z, key):
        a, b = jax.random.split(key)
        trial = z + jnp.exp(x[0]) * jax.random.normal(a)
        z = jnp.where(jnp.log(jax.random.uniform(b)) < logp(trial) - logp(z), trial, z)  #: jumps
        return z, z

    _, chain = jax.lax.scan(move, jnp.asarray(0.1), jax.random.split(KEY, 20))
    return (jnp.mean(chain) - 0.3) ** 2 + 0.2 * jnp.mean(chain**2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.4, -0.3, 0.1, 0.6]))
def loot_table(x):
    """Forty chests, opened with a fixed seed."""
    item = jax.random.categorical(KEY, x, shape=(40,))  #: flat
    value = jnp.array([1.0, 0.3, 2.5, 0.1])[item]
    return (jnp.mean(value) - 1.2) ** 2 + 0.05 * jnp.sum(x**2)


@case(0.5 * C10)
def small_network(x):
    """One filter, a ReLU, a pool, a mean."""
    kernel, bias = x[:9].reshape(1, 1, 3, 3), x[9]
    seen = jax.lax.conv_general_dilated(PICTURES, kernel, (1, 1), "VALID") + bias
    seen = jax.nn.relu(seen)  #: kinked
    pooled = jax.lax.reduce_window(seen, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")  #: kinked
    out = jnp.mean(pooled, axis=(1, 2, 3))
    return jnp.mean((out - LABELS) ** 2) + 0.05 * jnp.sum(x**2)


@case({"center": np.array([0.3, 0.5]), "size": np.array([0.1, -0.1])})
def overlap_of_boxes(p):
    """One box against three, by shared over joint area."""
    half = 0.5 * jnp.exp(p["size"])
    lo, hi = p["center"] - half, p["center"] + half
    a = jnp.maximum(lo, BOXES[:, :2])  #: kinked
    b = jnp.minimum(hi, BOXES[:, 2:])  #: kinked
    side = jnp.maximum(b - a, 0.0)  #: kinked
    shared = side[:, 0] * side[:, 1]
    area = jnp.prod(BOXES[:, 2:] - BOXES[:, :2], axis=1)
    joint = 4.0 * half[0] * half[1] + area - shared
    return -jnp.mean(shared / joint) + 0.05 * (jnp.sum(p["center"] ** 2) + jnp.sum(p["size"] ** 2))


@case(0.5 * C7)
def boxes_suppressed(x):
    """The best box first; whatever overlaps one that is kept is dropped."""
    score = jax.nn.sigmoid(x)
    order = jnp.argsort(-score)
    kept = jnp.zeros(7, bool)
    for i in range(7):
        me = order[i]
        kept = kept.at[me].set(~jnp.any(kept & OVERLAPS[me]))
    return -0.3 * jnp.sum(jnp.where(kept, score * jnp.linspace(0.4, 1.6, 7), 0.0)) + 0.1 * jnp.sum(x**2)  #: jumps


@case(np.array([0.9, 0.1]))
def equalized(x):
    """The histogram of a picture after gain and offset, against one that is wanted."""
    bright = x[0] * PIXELS + x[1]
    counts, _ = jnp.histogram(bright, bins=jnp.linspace(0.0, 1.2, 7))  #: flat
    return 5.0 * jnp.sum((counts / 64.0 - WANTED) ** 2) + 0.1 * jnp.sum((x - 0.5) ** 2)


@case(np.array([0.2, -0.4]))
def stopped_by_patience(x):
    """Training goes on while it helps on what was held out; then the weights are looked at."""
    rate, decay = 0.25 * jnp.exp(0.3 * x[0]), 0.05 * jnp.exp(x[1])

    def held_out(w):
        return jnp.mean((VALID @ w - Y_VALID) ** 2)

    def train(state):
        w, _, k = state
        slope = 2.0 * TRAIN.T @ (TRAIN @ w - Y_TRAIN) / 12.0 + decay * w
        return w - rate * slope, w, k + 1

    def helps(state):
        return (held_out(state[0]) < held_out(state[1])) & (state[2] < 50)

    first = train((jnp.zeros(8), jnp.zeros(8), 0))
    w, _, _ = jax.lax.while_loop(helps, train, first)  #: jumps
    return jnp.sum((w - TRUE) ** 2) + 0.1 * jnp.sum(x**2)


@case({"cut": np.array([0.2, -0.3, 0.4]), "left": np.array([-0.4, -0.1, 0.2]), "right": np.array([0.5, 0.3, -0.2])})
def three_stumps(p):
    """A little boosting: each feature is cut once."""
    guess = sum(jnp.where(ROWS[:, j] < p["cut"][j], p["left"][j], p["right"][j]) for j in range(3))  #: jumps
    return jnp.mean((guess - SALES) ** 2) + 0.05 * sum(jnp.sum(v**2) for v in p.values())


@case(np.array([0.2, 0.1, 1.5, 0.3, 0.3, 1.6]))
def lloyd(x):
    """Clusters by three rounds from given centers; how tight they are in the end."""

    def squared(centers):
        return jnp.sum((CROWD[:, None] - centers[None]) ** 2, axis=-1)

    def round_(centers, _):
        mine = jnp.argmin(squared(centers), axis=1)  #: flat
        total = jax.ops.segment_sum(CROWD, mine, 3)
        count = jnp.maximum(jax.ops.segment_sum(jnp.ones(36), mine, 3), 1.0)
        return total / count[:, None], None

    centers, _ = jax.lax.scan(round_, x.reshape(3, 2), None, length=2)
    return jnp.mean(jnp.min(squared(centers), axis=1)) + 0.05 * jnp.sum(x**2)


@case(0.5 * C3)
def nearest_customers(x):
    """Five like it, by a distance whose weights are learned."""
    weight = jnp.exp(x)

    def guess(row):
        apart = jnp.sum(weight * (ROWS[20:] - row) ** 2, axis=1)
        _, near = jax.lax.top_k(-apart, 5)  #: flat
        return jnp.mean(SALES[20:][near])

    return jnp.mean((jax.vmap(guess)(ROWS[:20]) - SALES[:20]) ** 2) + 0.05 * jnp.sum(x**2)


@case(np.concatenate([C3, [0.2]]))
def hardest_six(x):
    """Only the six rows that go worst are trained on."""
    loss = (ROWS @ x[:3] + x[3] - SALES) ** 2
    worst, _ = jax.lax.top_k(loss, 6)  #: kinked
    return jnp.mean(worst) + 0.05 * jnp.sum(x**2)


@case(0.6 * C5)
def grid_straight_through(x):
    """Weights on a grid of a half, with a gradient as if they were not."""
    grid = jnp.round(2.0 * x) / 2.0  #: jumps
    w = x + jax.lax.stop_gradient(grid - x)
    return jnp.mean((jnp.tanh(ROWS @ w[:3] + w[3]) * w[4] - SALES) ** 2) + 0.05 * jnp.sum(x**2)


@case(0.7 * C6, "smooth")
def by_hand_softmax(x):
    """The largest is taken off first, and taken to be constant."""
    logits = ROWS @ x.reshape(3, 2) @ jnp.array([[1.0, -0.5, 0.2], [0.3, 0.8, -1.0]])
    top = jax.lax.stop_gradient(jnp.max(logits, axis=1, keepdims=True))
    chance = jnp.exp(logits - top)
    chance = chance / jnp.sum(chance, axis=1, keepdims=True)
    return -jnp.mean(jnp.log(chance[jnp.arange(40), jnp.arange(40) % 3])) + 0.05 * jnp.sum(x**2)


@case(0.4 * C16 + 0.1)
def loudness_of_bins(x):
    """Sixteen samples whose spectrum should look like another."""
    magnitude = jnp.abs(jnp.fft.rfft(x))  #: kinked
    return jnp.mean((magnitude - TONE) ** 2) + 0.05 * jnp.sum(x**2)


@case(np.array([0.4, 0.5]))
def fringe_phase(x):
    """A phase that is read off modulo a turn."""
    turn = jnp.exp(1j * (3.0 * x[0] * jnp.linspace(0.3, 1.5, 12) + x[1]))
    phase = jnp.angle((1.0 + 0.2 * jnp.tanh(x[1])) * turn)  #: jumps
    return 0.2 * jnp.mean((phase - 0.8) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, -0.3]), "smooth")
def gaps_in_the_gauge(x):
    """What is missing is NaN and left out."""
    model = x[0] * jnp.sin(jnp.arange(20.0) / 3.0) + x[1]
    residual = jnp.where(MISSING, jnp.nan, GAUGE - model)
    return jnp.nanmean(residual**2) + 0.05 * jnp.sum(x**2)


def warped(cost):
    """The cheapest way through a table, from corner to corner."""
    table = {}
    for i in range(6):
        for j in range(7):
            before = [table[p] for p in ((i - 1, j), (i, j - 1), (i - 1, j - 1)) if p in table]
            best = functools.reduce(jnp.minimum, before) if before else 0.0  #: kinked
            table[i, j] = cost[i, j] + best
    return table[5, 6]


@case(np.array([0.9, 0.3, 0.1]), helpers=(warped,))
def sung_along(x):
    """A melody against another, whoever is faster."""
    mine = x[0] * jnp.sin(jnp.arange(6.0) * (0.8 + 0.3 * x[1])) + x[2]
    cost = jnp.abs(mine[:, None] - SONG[None])  #: kinked
    return 0.2 * warped(cost) + 0.1 * jnp.sum(x**2)


@case(np.array([-0.5, 0.2, -0.3, 0.1]), "smooth")
def substitution_rates(x):
    """Three letters that change into each other along a branch."""
    rate = jnp.exp(0.5 * x)
    q = jnp.zeros((3, 3)).at[0, 1].set(rate[0]).at[1, 0].set(rate[1]).at[1, 2].set(rate[2]).at[2, 1].set(rate[3])
    q = q - jnp.diag(jnp.sum(q, axis=1))
    p = jax.scipy.linalg.expm(0.4 * q)
    return -jnp.sum(SITES * jnp.log(p)) / 110.0 + 0.05 * jnp.sum(x**2)


@jax.custom_vjp
def root(a, b):
    """Where c**3 + a c = b."""

    def halve(_, ends):
        lo, hi = ends
        c = 0.5 * (lo + hi)
        high = c**3 + a * c > b
        return jnp.where(high, lo, c), jnp.where(high, c, hi)

    lo, hi = jax.lax.fori_loop(0, 60, halve, (jnp.asarray(-8.0), jnp.asarray(8.0)))
    return 0.5 * (lo + hi)


def root_forward(a, b):
    c = root(a, b)
    return c, (a, c)


def root_backward(kept, push):
    a, c = kept
    slope = push / (3.0 * c**2 + a)
    return -c * slope, slope


root.defvjp(root_forward, root_backward)


@case(np.array([0.4, 0.7]), "smooth")
def equation_of_state(x):
    """The volume by bisection, its derivative by the implicit function theorem."""
    c = root(0.5 + jax.nn.softplus(x[0]), x[1] + 0.5)
    return (c - 0.8) ** 2 + 0.1 * jnp.sum(x**2)


@case(np.array([0.3, 0.5]))
def internal_rate(x):
    """The rate at which a project is worth nothing, by halving."""
    outlay = 3.0 + jax.nn.softplus(x[0])
    income = FLOWS * jnp.exp(0.3 * x[1])

    def worth(rate):
        return jnp.sum(income / (1.0 + rate) ** jnp.arange(1.0, 6.0)) - outlay

    def halve(_, ends):
        middle = jnp.mean(ends)
        return jnp.where(worth(middle) > 0.0, jnp.stack([middle, ends[1]]), jnp.stack([ends[0], middle]))  #: flat

    ends = jax.lax.fori_loop(0, 35, halve, jnp.array([-0.5, 3.0]))
    return (jnp.mean(ends) - 0.4) ** 2 + 0.1 * jnp.sum(x**2)


@case(rng.uniform(0.5, 7.0, 10))
def route_on_tiles(x):
    """Five corners of a way over tiles that cost what is written on them."""
    corners = x.reshape(5, 2)
    share = jnp.linspace(0.0, 1.0, 6)[:, None, None]
    way = (corners[:-1] + share * (corners[1:] - corners[:-1])).reshape(-1, 2)
    tile = jnp.clip(jnp.floor(way).astype(int), 0, 7)  #: flat
    toll = TILES[tile[:, 0], tile[:, 1]]
    return jnp.mean(toll) + 0.05 * jnp.sum(jnp.diff(corners, axis=0) ** 2) + 0.01 * jnp.sum((x - 4.0) ** 2)


@case(np.array([1.3, 3.4]))
def two_elevators(x):
    """Whichever is nearer goes, and stays where it was called to."""
    place, waited = x, 0.0
    for call in FLOORS:
        away = jnp.abs(place - call)  #: kinked
        waited = waited + jnp.min(away)  #: kinked
        place = place.at[jnp.argmin(away)].set(call)  #: jumps
    return 0.3 * waited + 0.1 * jnp.sum((x - 2.0) ** 2)


class Light(NamedTuple):
    """How long the whole cycle takes, and the red of it."""

    cycle: np.ndarray
    red: np.ndarray


@case(Light(np.array(2.4), np.array(0.9)))
def red_light(light):
    """Cars wait for what is left of the red."""
    phase = CARS % light.cycle  #: jumps
    wait = jnp.maximum(light.red - phase, 0.0)  #: kinked
    return jnp.mean(wait) + 0.1 * (light.cycle - 2.0) ** 2 + 0.2 * (light.red - 1.2) ** 2


@case(0.2 * rng.normal(size=30))
def soft_margin(x):
    margin = SIDES * (WIDE @ x[:29] + x[29])
    return jnp.mean(jax.nn.relu(1.0 - margin)) + 0.05 * jnp.sum(x**2)  #: kinked


@case(np.array([0.25, 0.3]))
def what_is_left(x):
    """Two goods are bought; the third gets the rest."""
    rest = 1.0 - x[0] - x[1]
    return -jnp.log(rest) + jnp.sum((x - 0.4) ** 2)  #: non-finite


@case(np.array([0.1, 0.0002, 0.3]), "smooth", thorough=("ill-conditioned",))
def unscaled_features(x):
    """The floor area in square feet, the number of rooms, and a constant."""
    area = 1500.0 + 600.0 * ROWS[:, 0]
    rooms = 3.0 + ROWS[:, 1]
    return jnp.mean((x[0] * rooms + x[1] * area + x[2] - SALES) ** 2)


@case(np.array([0.3, 0.6]))
def two_beams(x):
    """The stiffest mode of two beams that do not touch."""
    chain = 2.0 * jnp.eye(3) - jnp.eye(3, k=1) - jnp.eye(3, k=-1)
    stiff = jax.scipy.linalg.block_diag(jnp.exp(x[0]) * chain, jnp.exp(x[1]) * (chain - 0.5 * jnp.eye(3)))
    return jnp.linalg.eigvalsh(stiff)[-1] + jnp.sum(x**2)  #: kinked


@case(np.array([0.2, -0.4, 0.3]))
def knee_compressor(x):
    """Quick when it gets louder, slow when it gets softer; above the knee the gain is cut."""
    rise, fall = 0.6 + 0.3 * jnp.tanh(x[0]), 0.1 + 0.09 * jnp.tanh(x[1])

    def sample(level, loud):
        loud = loud + 0.4 * x[2] * level
        level = jnp.where(loud > level, level + rise * (loud - level), level + fall * (loud - level))  #: kinked
        return level, level

    _, levels = jax.lax.scan(sample, jnp.asarray(0.3), LOUD)
    excess = jnp.maximum(levels - 0.5 - 0.2 * x[0], 0.0)  #: kinked
    return jnp.mean((levels - 0.8 * excess - 0.2) ** 2) + 0.1 * jnp.sum(x**2)


@case(0.6 * C5)
def greedy_words(x):
    """Always the likeliest word next; how likely is the sentence?"""
    chance = jax.nn.log_softmax(WORDS + x[None, :] + 0.5 * x[:, None] * jnp.arange(5.0)[None], axis=1)

    def say(word, _):
        following = jnp.argmax(chance[word])
        return following, chance[word, following]  #: jumps

    _, heard = jax.lax.scan(say, 0, None, length=5)
    return -0.2 * jnp.sum(heard) + 0.2 * jnp.sum(x**2)


@dataclasses.dataclass(frozen=True)
class Neuron:
    """What is fixed."""

    threshold: float = 1.0
    robust: bool = False
    steps: int = 40


@case(np.array([0.4, 0.3]))
def leaky_neuron(x, cell=Neuron()):
    """Charges, fires, and starts again from below."""
    leak, gain = jax.nn.sigmoid(1.5 + x[0]), jax.nn.softplus(x[1])

    def tick(v, current):
        v = leak * v + gain * current
        v = jnp.where(v > cell.threshold, v - 1.2 * cell.threshold, v)  #: jumps
        return v, v

    _, trace = jax.lax.scan(tick, jnp.asarray(0.0), CURRENT[: cell.steps])
    if cell.robust:
        trace = jnp.abs(trace)
    return jnp.mean((trace - 0.3) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.6, 0.1]))
def one_bit_converter(x):
    """A loop that turns a wave into ones and minus ones; afterwards it is filtered."""

    def tick(state, wave):
        total, smooth = state
        bit = jnp.sign(total)  #: flat
        total = total + x[0] * wave + x[1] - bit
        smooth = 0.8 * smooth + 0.2 * bit
        return (total, smooth), (smooth - wave) ** 2

    _, errors = jax.lax.scan(tick, (jnp.asarray(0.1), jnp.asarray(0.0)), WAVE)
    return jnp.mean(errors) + 0.1 * jnp.sum((x - 0.5) ** 2)


@case(np.array([0.5, 0.4]))
def time_to_settle(x):
    """The last moment at which it is more than five percent off."""
    damping, pace = 0.1 + 0.5 * jax.nn.sigmoid(x[0]), 1.0 + jax.nn.softplus(x[1])
    t = jnp.linspace(0.0, 12.0, 240)
    wd = pace * jnp.sqrt(1.0 - damping**2)
    swing = jnp.cos(wd * t) + damping * pace / wd * jnp.sin(wd * t)
    outside = jnp.abs(jnp.exp(-damping * pace * t) * swing) > 0.05  #: flat
    settled = jnp.max(jnp.where(outside, jnp.arange(240), 0)) / 20.0
    return 0.2 * settled + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(4, start=np.array([0.2, -0.1, 0.3, 0.1]))), "smooth")
def minibatch(x, *, key):
    """Eight rows of forty."""
    some = jax.random.choice(key, 40, (8,), replace=False)  #: stochastic
    return jnp.mean((jnp.tanh(ROWS[some] @ x[:3]) + x[3] - SALES[some]) ** 2) + 0.05 * jnp.sum(x**2)


@case(np.array([0.3, 0.2, -0.4]), "smooth")
def weekly_totals(x):
    """Days are put into weeks by rounding down; the limit on a week is far away."""
    week = jnp.floor(jnp.arange(20) / 7.0).astype(int)
    day = jax.nn.softplus(x[0] + x[1] * GAUGE + x[2] * jnp.cos(jnp.arange(20.0)))
    total = jax.ops.segment_sum(day, week, 3)
    worst = jnp.max(jnp.append(0.01 * total, 50.0))
    return jnp.sum((total - jnp.array([5.0, 6.0, 4.0])) ** 2) / 20.0 + 0.01 * worst + 0.05 * jnp.sum(x**2)
