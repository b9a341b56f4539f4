"""Vehicles, arms, radios, vessels and matches: what engineers, chemists and players compute."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.label import case, over

rng = np.random.default_rng(815)
SLOPES = jnp.asarray(0.1 * rng.normal(size=30))
RATIOS = jnp.asarray([1.6, 1.1, 0.7])
CORNERS = jnp.asarray(rng.uniform(0.4, 1.5, 16))
NOISE = jnp.asarray(rng.uniform(0.1, 1.2, 8))
CODES = jnp.asarray(rng.normal(size=16) + 1j * rng.normal(size=16))
SQUARE = jnp.asarray([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
SENT = jnp.asarray(rng.integers(0, 4, 32))
TRACK = jnp.asarray(np.cumsum(0.3 * rng.normal(size=(20, 2)), axis=0))
MASTS = jnp.asarray([[0.5, 0.5], [-0.6, 0.3], [0.2, -0.8]])
ANGLES = jnp.asarray(rng.uniform(-1.5, 1.5, 8))
STRENGTHS = jnp.asarray(rng.normal(size=(8, 2)))
LEVELS = jnp.asarray(rng.uniform(0.0, 1.0, 15))
HEIGHTS = jnp.asarray(rng.uniform(0.0, 1.0, (9, 9)))
TURNED = jnp.asarray(np.linalg.qr(rng.normal(size=(3, 3)))[0])
WEIGHTS = jnp.asarray(rng.normal(size=(7, 3)))
C2, C3, C4, C6, C8 = (rng.normal(size=n) for n in (2, 3, 4, 6, 8))


@case(np.array([0.8, 0.3]))
def gearbox(x):
    """The gear goes by the speed."""

    def second(speed, slope):
        gear = jnp.digitize(speed, jnp.array([0.5, 0.9]))  #: jumps
        speed = speed + 0.1 * (RATIOS[gear] * x[0] - 0.5 * speed - slope)
        return speed, speed

    _, speeds = jax.lax.scan(second, 0.4 + 0.1 * x[1], SLOPES)
    return jnp.mean((speeds - 0.9) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.4, 0.5]))
def braking(x):
    """Until it stands; the last step begins with hardly any speed and adds hardly any way."""

    def brake(state):
        far, speed = state
        return far + 0.2 * speed, speed - 0.2 * (0.5 + x[0] ** 2)

    far, _ = jax.lax.while_loop(lambda s: s[1] > 0.0, brake, (jnp.asarray(0.0), 1.0 + x[1] ** 2))  #: kinked
    return (far - 1.0) ** 2 + 0.1 * jnp.sum(x**2)


@case(np.array([0.2, 0.4]))
def lap(x):
    """No faster than the corner allows, nor than the car gets by then."""

    def corner(speed, limit):
        reached = jnp.sqrt(speed**2 + 0.4 * jnp.exp(0.5 * x[0]))
        speed = jnp.minimum(reached, limit * jnp.exp(0.3 * x[1]))  #: kinked
        return speed, 1.0 / speed

    _, times = jax.lax.scan(corner, jnp.asarray(0.5), CORNERS)
    return jnp.mean(times) + 0.1 * jnp.sum(x**2)


@case(np.array([2.0, 0.9]))
def bearing(q):
    """Where the hand of an arm with two links is seen from its base."""
    east = jnp.cos(q[0]) + jnp.cos(q[0] + q[1])
    north = jnp.sin(q[0]) + jnp.sin(q[0] + q[1])
    angle = jnp.arctan2(north, east)  #: jumps
    return (angle - 2.5) ** 2 + 0.1 * jnp.sum(q**2)


@case(np.array([-0.7, 0.4]), "smooth")
def there_and_back(x):
    """Into polar coordinates, turned, and out of them."""
    far, angle = jnp.linalg.norm(x), jnp.arctan2(x[1], x[0]) + 0.3
    place = far * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
    return jnp.sum((place - jnp.array([0.2, 0.5])) ** 2) + 0.1 * jnp.sum(x**4)


@case(np.array([0.5, 0.4]))
def dexterity(q):
    """How well an arm moves in its worst direction; stretched out it does not."""

    def hand(q):
        total = jnp.cumsum(q)
        return jnp.stack([jnp.sum(jnp.cos(total)), jnp.sum(jnp.sin(total))])

    worst = jnp.linalg.svd(jax.jacfwd(hand)(q), compute_uv=False)[-1]  #: kinked
    return -worst + 0.1 * jnp.sum((hand(q) - 1.0) ** 2) + 0.1 * jnp.sum(q**2)


@case(C3, "smooth")
def stiffness(x):
    """Of all modes together, whatever their order."""
    k = jnp.diag(jnp.exp(0.3 * x)) + 0.2 * jnp.outer(x, x)
    return jnp.sum(1.0 / (0.5 + jnp.linalg.eigvalsh(k))) + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.2, 0.9]))
def softest_mode(x):
    """Three springs along fixed axes that are not those of the table."""
    k = TURNED @ jnp.diag(x) @ TURNED.T
    return -jnp.linalg.eigvalsh(k)[0] + 0.3 * jnp.sum((x - 0.5) ** 2)  #: kinked


@case(C8 * 0.7)
def phase_shifters(x):
    """Eight antennas with a few phases each."""
    phase = jnp.round(x / (jnp.pi / 4)) * (jnp.pi / 4)  #: flat
    field = jnp.sum(jnp.exp(1j * (phase + ANGLES)))
    return -(jnp.abs(field) ** 2) / 64 + 0.02 * jnp.sum(x**2)


@case(over(descend.Real(2, start=np.array([-0.3, 0.2]))))
def symbol_errors(x, *, key):
    """Four symbols through noise, each taken for the nearest."""
    noise = 0.6 * jax.random.normal(key, (32, 2))  #: stochastic
    got = SQUARE[SENT] * jnp.exp(x[0]) + 0.3 * x[1] + noise
    taken = jnp.argmin(jnp.sum((got[:, None] - SQUARE[None]) ** 2, axis=-1), axis=1)  #: flat
    return jnp.mean(taken != SENT) + 0.1 * jnp.exp(x[0]) + 0.1 * jnp.sum(x**2)


@case(np.array([0.3, 0.4]), "smooth")
def water_filling(x):
    """The best rate over eight channels; power goes where the noise is below a common level."""
    noise = NOISE * jnp.exp(0.3 * x[1] * ANGLES)
    budget = 1.0 + x[0] ** 2
    level = jnp.min((budget + jnp.cumsum(jnp.sort(noise))) / jnp.arange(1.0, 9.0))
    power = jnp.maximum(level - noise, 0.0)
    return -jnp.sum(jnp.log1p(power / noise)) + jnp.sum(x**2)


@case(0.5 * C6, "smooth")
def out_of_band(x):
    """The fourth power of what is in each bin."""
    bins = jnp.fft.fft(jnp.concatenate([x, jnp.zeros(6)]))
    return jnp.mean(jnp.abs(bins) ** 4) / 10 + 0.1 * jnp.sum((x - 0.3) ** 2)


@case(0.5 * C8)
def crest_factor(x):
    """The highest power of a signal over its mean."""
    tone = jnp.fft.ifft(CODES * jnp.exp(1j * jnp.repeat(x, 2)), n=32)
    power = jnp.abs(tone) ** 2
    return jnp.max(power) / jnp.mean(power) / 4 + 0.05 * jnp.sum(x**2)  #: kinked


@case(np.array([0.4, 0.3]))
def modulation(x):
    """Bits per symbol by the quality of the channel."""
    quality = jnp.exp(x[0] - NOISE) + 0.3 * x[1] ** 2
    bits = jnp.array([0.0, 1.0, 2.0, 4.0])[jnp.searchsorted(jnp.array([0.5, 0.8, 1.1]), quality)]  #: flat
    return -jnp.mean(bits) / 4 + 0.1 * jnp.exp(x[0]) + 0.1 * jnp.sum(x**2)


@case(0.4 * C2)
def fair_mast(place):
    """A mast is put where the worst heard of the users hears the best."""

    def rate(user):
        return jnp.log2(1.0 + 1.0 / (0.1 + jnp.sum((user - place) ** 2)))

    return -jnp.min(jax.vmap(rate)(TRACK)) + 0.1 * jnp.sum(place**2)  #: kinked


@case(np.array([0.3, 0.2]))
def handover(x):
    """Stays with a mast until another is heard better by a margin."""
    masts = MASTS + jnp.stack([x, -x, jnp.zeros(2)])

    def moment(serving, place):
        heard = 1.0 / (0.2 + jnp.sum((masts - place) ** 2, axis=1))
        best = jnp.argmax(heard)
        serving = jnp.where(heard[best] > 1.2 * heard[serving], best, serving)
        return serving, heard[serving]  #: jumps

    _, heard = jax.lax.scan(moment, 0, TRACK)
    return -jnp.mean(jnp.log1p(heard)) + 0.1 * jnp.sum(x**2)


@case(np.array([0.3, 0.4]))
def titration(x):
    """The acidity at which charges balance, by fifty halvings."""

    def halve(_, ends):
        low, high = ends
        middle = 0.5 * (low + high)
        acid = middle + jnp.exp(0.5 * x[0]) * middle / (1.0 + middle) < 1.0 + x[1] ** 2  #: flat
        return jnp.where(acid, middle, low), jnp.where(acid, high, middle)

    low, _ = jax.lax.fori_loop(0, 50, halve, (jnp.asarray(0.0), jnp.asarray(30.0)))
    return low + 0.1 * jnp.sum(x**2)


@case(np.array([0.3, 0.4]), "smooth")
def never_used_up(x):
    """A share of what is left reacts at each step; the guard has nothing to do."""

    def step(state, _):
        fuel, made = state
        burnt = 0.3 * jax.nn.sigmoid(x[0] + made) * fuel
        fuel = jnp.maximum(fuel - burnt, 0.0)
        return (fuel, made + burnt), fuel

    _, fuel = jax.lax.scan(step, (0.5 + x[1] ** 2, jnp.asarray(0.0)), None, length=25)
    return jnp.mean((fuel - 0.3) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.3]))
def stages_of_a_column(x):
    """Stage by stage until it is pure enough; how many that takes."""
    better = 1.4 + x[0] ** 2

    def impure(state):
        return state[0] > 0.05  #: flat

    def stage(state):
        vapor, n = state
        return vapor / (better - (better - 1.0) * vapor), n + 1

    _, n = jax.lax.while_loop(impure, stage, (jnp.asarray(0.95), 0))
    return 0.05 * n + 0.2 * x[0] ** 2 + 0.1 * x[1] ** 2


@case(np.array([0.9, 0.6, 0.8]))
def limiting_reagent(x):
    made = jnp.min(jnp.abs(x) / jnp.array([2.0, 1.0, 1.5]))  #: kinked
    return -made + 0.1 * jnp.sum((x - 0.4) ** 2)


@case(C8)
def knockout(x):
    """The stronger goes on, and wins what it is worth."""

    def play(a, b):
        return jnp.where(a > b, a, b)  #: kinked

    prize = 0.0
    left = x
    while left.shape[0] > 1:
        left = play(left[0::2], left[1::2])
        prize = prize + 0.1 * jnp.sum(left)
    return -prize + 0.1 * jnp.sum(x**2)


@case(np.array([0.2, 0.3]))
def league_table(x):
    """Three points for a win and one for a draw, which is when hardly anything is between them."""
    lead = STRENGTHS @ x
    points = jnp.select([lead > 0.3, lead > -0.3], [3, 1], 0)  #: flat
    return -jnp.mean(points) + 0.2 * jnp.sum(x**2)


@case(0.6 * C6)
def judges(x):
    """Six marks, of which the best and the worst are struck out."""
    marks = jnp.sort(x)[1:-1]  #: kinked
    return (jnp.mean(marks) - 0.5) ** 2 + 0.1 * jnp.sum(x**2)


@case(np.array([0.7, 0.4]))
def rating_of_a_player(x):
    """Beginners move faster than masters."""

    def match(rating, won):
        speed = jnp.where(rating < 0.9, 0.4, 0.1)  #: jumps
        rating = rating + speed * (won - jax.nn.sigmoid(rating - x[1]))
        return rating, rating

    _, path = jax.lax.scan(match, x[0], jnp.asarray([1, 1, 0, 1, 1, 0, 1, 1, 1, 0.0]))
    return jnp.mean((path - 1.0) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([3.0, 2.5]))
def javelin(v):
    """Flown until it is below the ground, and the last step only as far as the ground."""

    def fly(state):
        far, high, up = state[:3]
        return far + 0.15 * v[0], high + 0.15 * up, up - 0.15 * 9.81, far, high

    start = jnp.asarray(0.0), jnp.asarray(0.5), v[1], jnp.asarray(0.0), jnp.asarray(0.5)
    far, high, _, before, above = jax.lax.while_loop(lambda s: s[1] > 0.0, fly, start)  #: kinked
    landed = before + (far - before) * above / (above - high)
    return 0.1 * (landed - 2.0) ** 2 + 0.01 * jnp.sum(v**2)


@case(np.array([0.3, -0.2]), "smooth")
def time_trial(x):
    """Drag goes against the air, from wherever it comes."""
    wind = 0.5 * STRENGTHS[:, 0] + 0.2 * x[1]

    def leg(speed, wind):
        air = speed - wind
        speed = speed + 0.1 * (1.0 + 0.2 * jnp.tanh(x[0]) - air * jnp.abs(air))
        return speed, speed

    _, speeds = jax.lax.scan(leg, jnp.asarray(0.1), wind)
    return jnp.mean((speeds - 0.6) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([2.0, 1.5]), "smooth")
def chirp(x):
    """The phase of a signal, put together again."""
    t = jnp.linspace(0.0, 1.0, 40)
    signal = jnp.exp(1j * (x[0] * t + 2.0 * x[1] * t**2))
    phase = jnp.unwrap(jnp.angle(signal))
    return jnp.mean((phase - 2.5 * t) ** 2) + 0.1 * jnp.sum(x**2)


@case(0.7 * C4)
def straight_through(x):
    """Rounded forward, and not rounded backward."""

    @jax.custom_jvp
    def whole(y):
        return jnp.round(2.0 * y) / 2.0  #: jumps

    whole.defjvp(lambda primals, tangents: (whole(*primals), tangents[0]))
    return jnp.sum((whole(x) - 0.6) ** 2) + 0.1 * jnp.sum(x**2)


@case(0.7 * C4, "smooth")
def rule_of_its_own(x):
    """A soft threshold whose derivative is written by hand, for numbers that are large."""

    @jax.custom_jvp
    def soft(y):
        return jnp.maximum(y, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(y)))

    soft.defjvp(lambda primals, tangents: (soft(*primals), jax.nn.sigmoid(primals[0]) * tangents[0]))
    return jnp.sum(soft(3.0 * x)) + 0.5 * jnp.sum(x**2)


@case(np.array([0.6, -0.3]))
def frozen_gain(x):
    """Divided by a spread that counts as given."""
    heard = jnp.sin(3.0 * LEVELS + x[0]) + x[1] * LEVELS
    spread = jax.lax.stop_gradient(jnp.std(heard) + 0.1)  #: flat
    return jnp.mean((heard / spread - 0.5) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.4, 0.2]))
def sheepdogs(x):
    """Whoever is too near to the dog runs, and the others graze."""

    def react(sheep):
        away = sheep - x
        near = jnp.sum(away**2) < 0.8
        return jax.lax.cond(near, lambda: sheep + 0.5 * away, lambda: 0.95 * sheep)  #: jumps

    herd = jax.vmap(react)(TRACK)
    return jnp.mean(jnp.sum(herd**2, axis=1)) + 0.1 * jnp.sum(x**2)


@case(0.4 * C3)
def slope_of_a_network(x):
    """How steep a small network is, of which each unit is on or off."""

    def network(z):
        return jnp.sum(jax.nn.relu(WEIGHTS @ z - 0.1))  #: flat

    steep = jax.grad(network)(x)
    return 0.05 * jnp.sum(steep**2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.4, 0.7]))
def whole_turns(x):
    """As many turns as a number comes to, each of which tightens."""
    turns = jnp.floor(4.0 * jnp.exp(0.3 * x[0])).astype(int)
    tight = jax.lax.fori_loop(0, turns, lambda _, s: 0.8 * s + 0.2 * x[1] ** 2, jnp.asarray(1.0))  #: jumps
    return (tight - 0.4) ** 2 + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.3]))
def first_alarms(x):
    """The times of the first three readings above a level."""
    when = jnp.nonzero(LEVELS + 0.1 * x[1] > x[0], size=3, fill_value=15)[0]  #: flat
    return jnp.sum(when) / 10 + 0.5 * jnp.sum((x - 0.4) ** 2)


@case(0.5 * C8)
def boarding(x):
    """In the order of one thing, paid by another."""
    _, paid = jax.lax.sort((x[:4], x[4:] ** 2), num_keys=1)  #: jumps
    return jnp.sum(paid * jnp.arange(4.0)) / 3 + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.3]))
def rounds_survived(x):
    """Rounds before the first blow that goes through the armor."""
    armor = 0.3 + x[0] - 0.02 * jnp.arange(15.0) * x[1] ** 2
    held = armor > 0.5 + 0.4 * LEVELS  #: flat
    rounds = jnp.sum(jnp.cumprod(held))
    return 0.1 * rounds + 0.5 * jnp.sum((x - 0.3) ** 2)


@case(np.array([3.4, 4.3]))
def height_of_a_path(x):
    """From here to there over a map with a grid."""
    steps = jnp.linspace(0.0, 1.0, 6)[:, None] * (x - 2.0) + 2.0
    height = jax.scipy.ndimage.map_coordinates(HEIGHTS, list(steps.T), order=1, mode="nearest")  #: kinked
    return jnp.mean(height) + 0.1 * jnp.sum((x - 4.0) ** 2)


@case(np.array([0.5, -0.3]), "smooth")
def calibration_line(x):
    """A table whose entries happen to lie on a line."""
    grid = jnp.linspace(-40.0, 40.0, 33)
    read = jnp.interp(x[0] + 2.0 * LEVELS * x[1], grid, 3.0 * grid - 1.0)
    return jnp.mean((read - 1.0) ** 2) / 9 + 0.1 * jnp.sum(x**2)


@case(0.6 * C4, "smooth")
def change_given(x):
    """Coins and what remains, put together again."""
    coins, rest = jnp.divmod(x, 0.3)
    whole = 0.3 * coins + rest
    return jnp.sum(jnp.cos(whole)) + 0.3 * jnp.sum(whole**2)


@case(np.array([0.6, 0.2]))
def off_course(x):
    """The angle between where it goes and where it should."""
    goes = jnp.stack([jnp.cos(x[0]), jnp.sin(x[0])])
    should = jnp.stack([jnp.cos(0.8 * x[1]), jnp.sin(0.8 * x[1])])
    angle = jnp.arccos(jnp.clip(goes @ should, -1.0, 1.0))  #: kinked
    return angle + 0.2 * jnp.sum(x**2)


@case(0.5 * C3)
def rectified_twice(x):
    """Layers that are computed again in the backward pass."""

    @jax.checkpoint
    def layer(z, shift):
        return jax.nn.relu(WEIGHTS[:3] @ z + shift)  #: kinked

    return jnp.sum((layer(layer(x, 0.1), -0.2) - 0.5) ** 2) + 0.1 * jnp.sum(x**2)


@case(C4, "smooth")
def sine_within_limits(x):
    return jnp.sum(jax.lax.clamp(-1.0, jnp.sin(2.0 * x), 1.0) ** 2) + 0.2 * jnp.sum((x - 0.4) ** 2)


@case(over(descend.Real(3, start=0.5 * C3)))
def loot(x, *, key):
    """Which prize is drawn, from the sums of their chances."""
    edges = jnp.cumsum(jax.nn.softmax(x))
    which = jnp.sum(edges < jax.random.uniform(key, (16, 1)), axis=1)  #: stochastic #: flat
    return -jnp.mean(jnp.array([0.1, 0.4, 1.0, 1.0])[which]) + 0.05 * jnp.sum(x**2)


@case(np.array([0.3, 0.2]))
def mean_of_the_valid(x):
    """Readings below a level are thrown away."""
    read = jnp.exp(STRENGTHS @ x)
    kept = jnp.where(read > 0.9, read, jnp.nan)  #: jumps
    return (jnp.nanmean(kept) - 1.0) ** 2 + 0.2 * jnp.sum(x**2)


@case(0.5 * C6, "smooth")
def either_order(x):
    """The larger of two products that are the same."""
    a, b = x[:3], x[3:]
    return jnp.maximum(a @ b, b @ a) + jnp.sum(x**2)


@case(C2)
def gray_code(x):
    """The bits of a position on a disc."""
    place = jnp.floor(16.0 * jax.nn.sigmoid(x)).astype(int)  #: flat
    code = place ^ (place >> 1)
    ones = sum((code >> k) & 1 for k in range(4))
    return jnp.sum(ones) / 4 + 0.1 * jnp.sum(x**2)


@dataclasses.dataclass(frozen=True)
class Drone:
    lift: float = 0.4
    battery: float = 1.2


MODEL = Drone()


@case(np.array([1.1, 0.5, 0.4]))
def drone(x):
    """Whole parcels, a detour around a field, and no more than the battery gives."""
    parcels = jnp.floor(x[0] / MODEL.lift)  #: flat
    way = 1.0 + x[1] ** 2
    way = jnp.where(x[1] + x[2] > 1.1, way + 0.5 * x[2], way)  #: jumps
    reach = jnp.minimum(way * (1.0 + x[2] ** 2), MODEL.battery)  #: kinked
    return (reach - 1.0) ** 2 + way / 4 - 0.1 * parcels + 0.2 * jnp.sum(x**2)


@case(C6)
def occupied_cells(x):
    """A ball in each place, counted by cells."""
    cell = jnp.clip(jnp.floor(x + 3.0).astype(int), 0, 5)  #: flat
    cells = jnp.zeros(6).at[cell].add(1.0)
    return jnp.sum(cells**2) / 6 + 0.1 * jnp.sum(x**2)


@case(np.array([0.6, 0.3]))
def elevator(x):
    """It stops at whole floors and is paid by the way."""
    stop = jnp.round(3.0 * jax.nn.sigmoid(x[0] + STRENGTHS[:, 0]))  #: flat
    wish = 3.0 * jax.nn.sigmoid(x[1] + STRENGTHS[:, 1])
    walk = jnp.abs(stop - wish)  #: kinked
    return jnp.mean(walk) + 0.1 * jnp.sum(x**2)


@case(np.array([0.4, 0.3]))
def tire(x):
    """The force of a tire from its slip, up to what the road gives."""

    def moment(speed, turn):
        slip = (turn * (1.0 + x[0]) - speed) / 0.4
        force = jnp.sign(slip) * jnp.minimum(jnp.abs(slip), 0.5 + x[1] ** 2)  #: kinked
        return speed + 0.2 * force, force

    speed, forces = jax.lax.scan(moment, jnp.asarray(0.2), CORNERS)
    return (speed - 1.0) ** 2 + 0.1 * jnp.mean(forces**2) + 0.1 * jnp.sum(x**2)
