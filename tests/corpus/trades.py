"""From an econometrician, a game studio, a robot lab, a chip house, a desk, and some who look at genes and stars."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tests.corpus.label import case

rng = np.random.default_rng(8841)
GROWTH = jnp.asarray(0.6 * rng.normal(size=40))
HOURS = jnp.asarray(rng.normal(size=(30, 2)))
WORKED = jnp.asarray(np.maximum(0.8 * np.asarray(HOURS)[:, 0] + 0.3 + 0.7 * rng.normal(size=30), 0.0))
LOADS = jnp.asarray(np.sin(np.arange(24) / 3.0) + 0.4 * rng.normal(size=24))
QUARTERS = jnp.asarray(np.convolve(rng.normal(size=40), np.ones(4) / 4, "valid"))
TARGETS = jnp.asarray(rng.uniform(0.5, 6.0, 12))
ARMOR = jnp.asarray(rng.uniform(0.1, 0.6, 12))
WAYPOINTS = [0.9, -1.4, 0.5, 1.2, -0.6]
NETS = [(0, 1, 2), (1, 3), (2, 4, 5), (0, 5), (3, 4)]
PRICES = jnp.asarray(np.cumsum(rng.normal(size=50)) * 0.3 + 5.0)
MONTHLY = jnp.asarray(0.05 * rng.normal(size=(36, 4)) + 0.004)
READS = jnp.asarray(rng.poisson(2.0, 48).astype(float) + 4.0 * (rng.uniform(size=48) < 0.12))
TRACE = jnp.asarray(rng.normal(size=30))
BASES = [2, 0, 3, 3, 0, 1, 0]
OTHERS = [2, 1, 0, 3, 2, 1, 3]
CODONS = jnp.asarray(rng.integers(0, 3, 18))
STOPS = [(1.0, 1.3, 2.0), (0.7, 2.9, 3.2), (1.2, 3.2, 4.7), (0.6, 5.6, 5.9), (0.9, 5.0, 7.2)]
NIGHTS = jnp.asarray(np.sort(rng.uniform(0.0, 30.0, 25)))
VELOCITY = jnp.asarray(np.sin(np.asarray(NIGHTS) * 1.2) + 0.1 * rng.normal(size=25))
CURVE = jnp.linspace(-2.0, 2.0, 41)
FLUX = jnp.asarray(-0.5 * (np.abs(np.linspace(-2.0, 2.0, 41)) < 0.9) + 0.05 * rng.normal(size=41))
OUTSIDE = jnp.asarray(0.3 * np.sin(np.arange(40) / 5.0) + 0.1 * rng.normal(size=40))
BOARD = jnp.asarray(rng.normal(size=(3, 3, 3, 4)))
REF_READS = jnp.asarray(rng.integers(0, 12, 25).astype(float))
ALT_READS = jnp.asarray(rng.integers(0, 12, 25).astype(float))
GENOTYPE = jnp.asarray(rng.integers(0, 3, 25))
HILLS = jnp.asarray(rng.uniform(0.0, 2.0, (9, 9)))
BURST = np.sin(np.arange(60) / 2.0) * np.exp(-((np.arange(60) - 35) ** 2) / 90.0)
ECHO = jnp.asarray(BURST + 0.1 * rng.normal(size=60))
DOWNHILL = jnp.asarray(0.9 * np.sin(np.arange(25) / 2.5))
OBSTACLES = jnp.asarray([[0.7, 0.9], [2.1, 0.2], [3.2, 1.1]])
B2, B3, B4, B8, B10, B12 = (rng.normal(size=n) for n in (2, 3, 4, 8, 10, 12))


@case({"low": np.array(0.7), "high": np.array(0.2), "cut": np.array(0.1)})
def two_regimes(p):
    """Growth follows the quarter before by one slope above the cut and by another below."""
    last, now = GROWTH[:-1], GROWTH[1:]
    slope = jnp.where(last > p["cut"], p["high"], p["low"])  #: jumps
    return jnp.mean((now - slope * last) ** 2) + 0.1 * sum(v**2 for v in p.values())


@case(np.array([0.5, -0.2, 0.3, -0.3]), "smooth")
def hours_worked(b):
    """Tobit: who did not work at all is a mass at zero."""
    mean = HOURS @ b[:2] + b[2]
    scale = 0.3 + jax.nn.softplus(b[3])
    zero = jax.scipy.stats.norm.logcdf(-mean / scale)
    positive = jax.scipy.stats.norm.logpdf(WORKED, mean, scale)
    return -jnp.mean(jnp.where(WORKED <= 0.0, zero, positive)) + 0.05 * jnp.sum(b**2)


@case(np.array([0.8, 0.2, 0.1]))
def load_forecast(b):
    """Too little power is four times as dear as too much."""
    hour = jnp.arange(24.0)
    forecast = b[0] * jnp.sin(hour / 3.0) + b[1] * jnp.cos(hour / 3.0) + b[2]
    error = LOADS - forecast
    pinball = jnp.maximum(0.8 * error, -0.2 * error)  #: kinked
    return jnp.mean(pinball) + 0.05 * jnp.sum(b**2)


@case(np.array([0.05, 0.4]))
def longest_recession(x):
    """The longest run of quarters below a rate."""

    def quarter(carry, growth):
        run, longest = carry
        run = jnp.where(growth * jax.nn.softplus(x[1]) < x[0], run + 1, 0)  #: flat
        return (run, jnp.maximum(longest, run)), None

    (_, longest), _ = jax.lax.scan(quarter, (0, 0), QUARTERS)
    return 0.1 * longest + 0.2 * jnp.sum((x - 0.5) ** 2)


def falloff(distance):
    return jnp.interp(distance, jnp.array([0.0, 1.5, 3.0, 5.0]), jnp.array([1.6, 1.4, 0.6, 0.3]))  #: kinked


def through_armor(raw, armor):
    return jnp.maximum(raw - armor, 0.2 * raw)  #: kinked


def hit(position, power):
    return through_armor(power * falloff(position), ARMOR)


@case(np.array([0.6, 0.9]), helpers=(falloff, through_armor))
def shots_at_range(x):
    """Balancing a rifle: what it does at the distances people really shoot from."""
    position = TARGETS * jnp.exp(0.6 * (x[1] - 0.9))
    damage = hit(position, jax.nn.softplus(x[0]))
    return jnp.mean((damage - 0.5) ** 2) - 0.3 * jnp.mean(damage) + 0.1 * jnp.sum(x**2)


@case(np.array([-0.3, 0.4]))
def sprinting(x):
    """Runs while there is breath left, walks until some is back; downhill it comes back sooner."""
    run, walk = 1.2 + jax.nn.softplus(x[0]), 0.8 * jax.nn.sigmoid(x[1])

    def frame(state, down):
        breath, way = state
        pace = jnp.where(breath > 0.05, run, walk)  #: jumps
        breath = jnp.minimum(breath + 0.15 * (1.2 + down - pace), 1.0)  #: kinked
        return (breath, way + 0.1 * pace), breath

    (_, way), breaths = jax.lax.scan(frame, (jnp.asarray(0.9), jnp.asarray(0.0)), DOWNHILL)
    return (way - 3.0) ** 2 + 0.5 * jnp.mean(breaths) + 0.1 * jnp.sum(x**2)


@case(np.array([0.9, 0.3]))
def heading_error(x):
    """A turn is never more than half a circle; the error is squared."""
    cost = 0.0
    heading = x[0]
    for wanted in WAYPOINTS:
        error = 2.0 * (wanted - heading)
        error = (error + jnp.pi) % (2.0 * jnp.pi) - jnp.pi  #: kinked
        cost = cost + error**2
        heading = heading + 0.3 * x[1]
    return 0.1 * cost + 0.1 * jnp.sum(x**2)


@case(np.array([1.1, 0.5]))
def servo(k):
    """The command may only change so fast, and the motor does not move for little."""

    def tick(state, wanted):
        angle, command = state
        change = jnp.clip(k[0] * (wanted - angle) - command, -0.35, 0.35)  #: kinked
        command = command + change
        torque = jnp.where(jnp.abs(command) < 0.2, 0.0, command)  #: jumps
        angle = angle + 0.5 * jax.nn.sigmoid(k[1]) * torque
        return (angle, command), (angle - wanted) ** 2

    _, costs = jax.lax.scan(tick, (jnp.asarray(0.0), jnp.asarray(0.0)), LOADS)
    return jnp.mean(costs) + 0.1 * jnp.sum(k**2)


def snapped(width):
    return 0.25 * jnp.round(4.0 * width)  #: flat


@case(0.5 * B8, helpers=(snapped,))
def gate_widths(x):
    """A chain of inverters, drawn on a grid of a quarter."""
    width = 1.0 + snapped(jax.nn.softplus(x))
    load = jnp.append(width[1:], 4.0)
    return jnp.sum(load / width) + 0.1 * jnp.sum(width) + 0.1 * jnp.sum(x**2)


def latest(times):
    return jnp.max(jnp.stack(times))  #: kinked


@case(0.4 * B8, helpers=(latest,))
def static_timing(x):
    """When the last signal arrives; wider gates are faster, and heavier for the one before."""
    delay = jnp.exp(-0.5 * x) + 0.1 * jnp.roll(jnp.exp(0.5 * x), -1)
    feeds = {2: (0, 1), 3: (1,), 4: (2, 3), 5: (0, 2), 6: (3, 5), 7: (4, 6)}
    at = {0: delay[0], 1: delay[1]}
    for gate, inputs in feeds.items():
        at[gate] = latest([at[i] for i in inputs]) + delay[gate]
    return latest([at[7], at[4] + 1.5]) + 0.1 * jnp.sum(x**2)


def half_perimeter(pins):
    return jnp.sum(jnp.max(pins, axis=0) - jnp.min(pins, axis=0))  #: kinked


def overlap(a, b):
    room = 0.9 - jnp.abs(a - b)  #: kinked
    shared = jnp.maximum(room, 0.0)  #: kinked
    return shared[0] * shared[1]


@case(0.6 * B12, helpers=(half_perimeter, overlap))
def placed_cells(x):
    """Six cells: short wires, and nothing on top of anything."""
    xy = x.reshape(6, 2)
    wires = sum(half_perimeter(xy[jnp.array(net)]) for net in NETS)
    crowd = sum(overlap(xy[i], xy[j]) for i in range(6) for j in range(i))
    return 0.2 * wires + 2.0 * crowd + 0.05 * jnp.sum(x**2)


@case(np.array([0.5, 0.2]))
def crossover(x):
    """Long while the fast average is above the slow one, short while it is below."""

    def average(share):
        return jax.lax.scan(lambda m, p: (m + share * (p - m),) * 2, PRICES[0], PRICES)[1]

    fast, slow = average(jax.nn.sigmoid(x[0])), average(jax.nn.sigmoid(x[1] - 2.0))
    position = jnp.sign(fast - slow)  #: flat
    turnover = jnp.mean(jnp.abs(jnp.diff(position)))
    gain = jnp.mean(position[:-1] * jnp.diff(PRICES))
    return -gain + 0.1 * turnover + 0.1 * jnp.sum(x**2)


def call_price(vol):
    d = 0.5 * vol
    return jax.scipy.stats.norm.cdf(d) - jax.scipy.stats.norm.cdf(-d)


@case(np.array([0.2, -0.3]), "smooth")
def implied_volatility(x):
    """Newton until the price is met."""
    price = 0.08 + 0.25 * jax.nn.sigmoid(x[0] + 0.3 * x[1])

    def newton(state):
        vol, _ = state
        return vol - (call_price(vol) - price) / jax.scipy.stats.norm.pdf(0.5 * vol), vol

    guess = (jnp.asarray(0.4), jnp.asarray(1.0))
    vol, _ = jax.lax.while_loop(lambda s: jnp.abs(s[0] - s[1]) > 1e-10, newton, guess)  #: nested
    return (vol - 0.3) ** 2 + 0.1 * jnp.sum(x**2)


@case(0.5 * B4)
def mean_drawdown(x):
    """How far below the highest so far, on the average."""
    weights = jax.nn.softmax(x)
    wealth = jnp.cumprod(1.0 + MONTHLY @ weights)
    peak = jax.lax.cummax(wealth)  #: kinked
    return 5.0 * jnp.mean(1.0 - wealth / peak) - jnp.log(wealth[-1]) + 0.05 * jnp.sum(x**2)


@case(np.array([1.0, -0.8, -0.5]))
def global_alignment(x):
    """Needleman and Wunsch, one cell at a time."""
    match, mismatch, gap = x
    row = [gap * j for j in range(len(OTHERS) + 1)]
    for i, a in enumerate(BASES):
        fresh = [gap * (i + 1)]
        for j, b in enumerate(OTHERS):
            pair = row[j] + (match if a == b else mismatch)
            fresh.append(jnp.maximum(jnp.maximum(pair, row[j + 1] + gap), fresh[j] + gap))  #: kinked
        row = fresh
    return -0.3 * row[-1] + 0.3 * jnp.sum((x - jnp.array([1.0, -1.0, -0.5])) ** 2)


class Hmm(NamedTuple):
    """Emissions of two states and how they stay."""

    emit: jax.Array
    stay: jax.Array


@case(0.5 * rng.normal(size=8))
def coding_or_not(x):
    """The best explanation of a strand by two states."""
    model = Hmm(jax.nn.log_softmax(x[:6].reshape(2, 3), axis=1), x[6:])
    move = jnp.stack([jax.nn.log_sigmoid(model.stay), jax.nn.log_sigmoid(-model.stay)], axis=1)
    move = jnp.stack([move[0], move[1, ::-1]])

    def read(score, codon):
        score = jnp.max(score[:, None] + move, axis=0)  #: kinked
        return score + model.emit[:, codon], None

    score, _ = jax.lax.scan(read, jnp.zeros(2), CODONS)
    return -0.2 * jnp.max(score) + 0.1 * jnp.sum(x**2)  #: kinked


@case(np.array([0.3, 2.6]))
def called_peaks(x):
    """How many separate stretches are covered above a level."""
    width = 0.5 + jax.nn.softplus(x[0])
    kernel = jax.nn.softmax(-((jnp.arange(9.0) - 4.0) ** 2) / (2.0 * width**2))
    cover = jnp.convolve(READS, kernel, mode="same")
    above = cover > x[1]  #: flat
    begins = above & ~jnp.roll(above, 1)
    return (jnp.sum(begins) / 4.0 - 1.0) ** 2 + 0.05 * jnp.sum(x**2)


@case(np.array([0.4, 0.2, 0.5]))
def binned_qualities(x):
    """Qualities come in five bins; each bin has its rate of errors."""
    quality = 10.0 + 25.0 * jax.nn.sigmoid(TRACE * jnp.exp(0.3 * x[0]) + x[1])
    bin_ = jnp.digitize(quality, jnp.array([15.0, 20.0, 25.0, 30.0]))  #: jumps
    error = jnp.array([0.3, 0.12, 0.05, 0.02, 0.005])[bin_]
    variant = jax.nn.sigmoid(x[2] + 0.5 * TRACE)
    seen = variant * (1.0 - error) + (1.0 - variant) * error
    return -jnp.mean(jnp.log(seen)) + 0.1 * jnp.sum(x**2)


@case({"share": np.array([0.3, -0.2, 0.4]), "speed": np.array(0.4)})
def trucks_and_overtime(plan):
    """Whole trucks, and hours beyond eight that are paid for."""
    volume = jnp.sum(jnp.exp(plan["share"]) * jnp.array([1.5, 2.5, 2.0]))
    trucks = jnp.ceil(volume / 1.5)  #: flat
    hours = 9.0 * jnp.exp(-0.4 * plan["speed"]) + 0.5 * jnp.tanh(plan["share"][0])
    overtime = jnp.maximum(hours - 8.0, 0.0)  #: kinked
    return 0.4 * trucks + 1.2 * overtime + 0.3 * (jnp.sum(plan["share"] ** 2) + plan["speed"] ** 2)


@case(np.array([0.1, 0.3]))
def windows_of_delivery(x):
    """Waits where it is early, is fined where it is late."""
    speed, clock = jnp.exp(0.4 * x[0]), x[1]
    cost = 0.0
    for miles, opens, closes in STOPS:
        clock = clock + miles / speed
        begin = jnp.maximum(clock, opens)  #: kinked
        cost = cost + 0.2 * (begin - clock)
        cost = cost + jnp.where(begin > closes, 0.5 + (begin - closes), 0.0)  #: jumps
        clock = begin + 0.4
    return cost + 0.2 * speed**2 + 0.1 * jnp.sum(x**2)


def eccentric(mean, e):
    """Kepler's equation by ten rounds of Newton."""

    def newton(_, angle):
        return angle - (angle - e * jnp.sin(angle) - mean) / (1.0 - e * jnp.cos(angle))

    return jax.lax.fori_loop(0, 10, newton, mean)


@case(np.array([0.1, -0.5, 0.4, 0.2, 0.3]), "smooth")
def radial_velocity(x):
    """A planet by the swing of its star; all angles are brought into one turn first."""
    period, e = 5.0 * jnp.exp(0.1 * x[0]), 0.5 * jax.nn.sigmoid(x[1])
    mean = (2.0 * jnp.pi * (NIGHTS - x[2]) / period) % (2.0 * jnp.pi)
    angle = eccentric(mean, e)
    true = 2.0 * jnp.arctan2(jnp.sqrt(1.0 + e) * jnp.sin(angle / 2.0), jnp.sqrt(1.0 - e) * jnp.cos(angle / 2.0))
    swing = jnp.exp(0.3 * x[3]) * (jnp.cos(true + x[4]) + e * jnp.cos(x[4]))
    return jnp.mean((VELOCITY - swing) ** 2) + 0.05 * jnp.sum(x**2)


@case(np.array([0.1, 0.3, -0.2, 0.4]))
def transit(x):
    """A trapezoid: the star dims, rests, and brightens."""
    half, edge = 0.9 + 0.2 * jnp.tanh(x[1]), 0.35 + 0.1 * jnp.tanh(x[2])
    away = jnp.abs(CURVE - 0.4 * jnp.tanh(x[0]))
    dip = jnp.clip((half - away) / edge + 0.5, 0.0, 1.0)  #: kinked
    return 5.0 * jnp.mean((FLUX + jax.nn.softplus(x[3]) * dip) ** 2) + 0.05 * jnp.sum(x**2)


@case({"kp": np.array(1.2), "ki": np.array(0.6)})
def valve_anti_windup(k):
    """The integral rests while the valve is at its end."""

    def tick(state, load):
        level, integral = state
        error = 1.0 - level
        raw = k["kp"] * error + k["ki"] * integral
        valve = jnp.clip(raw, 0.0, 1.0)  #: kinked
        integral = jnp.where(raw == valve, integral + 0.4 * error, integral)  #: jumps
        level = level + 0.3 * (1.3 * valve - 0.6 * level + load)
        return (level, integral), error**2

    _, errors = jax.lax.scan(tick, (jnp.asarray(0.2), jnp.asarray(0.0)), OUTSIDE)
    return jnp.mean(errors) + 0.05 * (k["kp"] ** 2 + k["ki"] ** 2)


@case(np.array([0.6, 0.3, 0.5]))
def two_sided_thermostat(x):
    """On below the lower mark, off above the upper one, as it was in between."""
    low, high = x[0] - 0.2 * jax.nn.softplus(x[1]), x[0] + 0.2 * jax.nn.softplus(x[1])

    def minute(state, outside):
        warm, on = state
        on = (warm < low) | (on & (warm < high))
        heat = jnp.where(on, jax.nn.softplus(x[2]), 0.0)  #: jumps
        warm = warm + 0.3 * (heat + outside - 0.7 * warm)
        return (warm, on), (warm - 0.6) ** 2 + 0.1 * heat

    _, costs = jax.lax.scan(minute, (jnp.asarray(0.3), False), OUTSIDE)
    return jnp.mean(costs) + 0.05 * jnp.sum(x**2)


@case(np.array([0.2, -0.3, 0.1, 0.4]), "smooth")
def lqr_weights(x):
    """Riccati's recursion run for long, then the loop it gives."""
    a, b = jnp.array([[1.0, 0.1], [-0.2, 0.95]]), jnp.array([[0.0], [0.3]])
    q, r = jnp.diag(jnp.exp(x[:2])), jnp.exp(x[2]).reshape(1, 1)

    def gain(p):
        return jnp.linalg.solve(r + b.T @ p @ b, b.T @ p @ a)

    p = jax.lax.fori_loop(0, 40, lambda _, p: q + a.T @ p @ (a - b @ gain(p)), q)
    loop = a - b @ gain(p)
    _, path = jax.lax.scan(lambda s, _: (loop @ s, s), jnp.array([1.0, x[3]]), None, length=20)
    return jnp.mean(path**2) + 0.05 * jnp.sum(x**2)


def ours(values):
    return jnp.max(values, axis=-1)  #: kinked


def theirs(values):
    return jnp.min(values, axis=-1)  #: kinked


@case(0.7 * B4, helpers=(ours, theirs))
def three_plies(w):
    """Our move, theirs, ours: the position is worth what it leads to."""
    leaves = jnp.tanh(BOARD @ w)
    return (ours(theirs(ours(leaves))) - 0.1) ** 2 * 2.0 + 0.1 * jnp.sum(w**2)


@case(np.array([-0.4, 0.3]))
def genotype_accuracy(x):
    """The likeliest of three genotypes against what is known."""
    e = 0.02 + 0.4 * jax.nn.sigmoid(x[0])
    alt = jnp.stack([e, 0.5 + 0.0 * e, 1.0 - e])
    score = ALT_READS[:, None] * jnp.log(alt) + REF_READS[:, None] * jnp.log(1.0 - alt)
    score = score + x[1] * jnp.array([1.0, 0.0, -1.0])
    called = jnp.argmax(score, axis=1)  #: flat
    return -jnp.mean(called == GENOTYPE) + 0.05 * jnp.sum(x**2)


@case(3.0 + 0.8 * B10)
def over_the_hills(x):
    """A track over a grid of heights, between the points of the grid by weights."""
    xy = 8.0 * jax.nn.sigmoid(0.3 * (x.reshape(5, 2) - 3.0))
    corner = jnp.floor(xy)  #: kinked
    part = xy - corner
    i, j = corner.astype(int).T
    u, v = part.T
    low = (1.0 - u) * HILLS[i, j] + u * HILLS[i + 1, j]
    high = (1.0 - u) * HILLS[i, j + 1] + u * HILLS[i + 1, j + 1]
    height = (1.0 - v) * low + v * high
    return jnp.sum(height) + 0.1 * jnp.sum((x - 3.0) ** 2)


@case(np.array([0.3, 0.8, -0.4, 0.2]))
def matched_filter(x):
    """A template against the stretch of the echo at which it should be."""
    delay = (50.0 * jax.nn.sigmoid(x[0])).astype(int)  #: jumps
    stretch = jax.lax.dynamic_slice(ECHO, (delay,), (8,))
    template = x[1] * jnp.sin(jnp.arange(8.0) / 2.0) + x[2] * jnp.cos(jnp.arange(8.0) / 2.0) + x[3]
    return -jnp.mean(stretch * template) + 0.1 * jnp.sum(x**2)


@case(rng.uniform(0.0, 1.0, 10), "smooth")
def keep_a_distance(x):
    """Five waypoints; what comes too near an obstacle is pushed by the square of how much."""
    free = x.reshape(5, 2) + jnp.arange(5.0)[:, None] * 0.6
    way = jnp.concatenate([jnp.zeros((1, 2)), free, jnp.array([[4.0, 1.0]])])
    apart = jnp.sqrt(jnp.sum((way[:, None] - OBSTACLES[None]) ** 2, axis=-1) + 0.05)
    near = jnp.maximum(0.9 - apart, 0.0)
    return jnp.sum(near**2) + 0.2 * jnp.sum(jnp.diff(way, axis=0) ** 2)


def smoothstep(t):
    t = jnp.clip(t, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@case(np.array([0.2, 0.5]), "smooth")
def fading_lights(x):
    """Lights that fade in and out between two distances."""
    distance = jnp.abs(jnp.arange(12.0) / 3.0 - 5.0)
    begin, length = x[0] + 1.5, 0.8 + jax.nn.softplus(x[1])
    light = 1.0 - smoothstep((distance - begin) / length)
    return jnp.mean((light - 0.4) ** 2) + 0.1 * jnp.sum(x**2)


@case(0.6 * B3 + 0.3)
def cautious_descent(x):
    """Six steps of a method whose steps are cut to a length."""
    radius = 0.15 + 0.1 * jax.nn.sigmoid(x[2])

    def slope(w):
        return jnp.stack([2.0 * w[0] + 0.6 * w[1] - 1.0, 0.6 * w[0] + 1.2 * w[1] + w[1] ** 3])

    w = x[:2]
    for _ in range(6):
        step = 0.4 * slope(w)
        length = jnp.sqrt(jnp.sum(step**2) + 1e-4)
        w = w - step * jnp.minimum(1.0, radius / length)  #: kinked
    return jnp.sum((w - jnp.array([0.5, 0.1])) ** 2) + 0.05 * jnp.sum(x**2)
