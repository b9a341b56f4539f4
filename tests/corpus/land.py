"""Water, snow, crops, herds, houses and power, as those who plan them write it down."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.label import case, over

rng = np.random.default_rng(4711)
TEMPERATURES = jnp.asarray(1.0 + 0.8 * np.sin(np.linspace(0.0, 5.0, 40)) + 0.3 * rng.normal(size=40))
FALL = jnp.asarray(rng.gamma(0.9, 0.4, 40))
FROSTS = jnp.asarray(rng.normal(0.1, 0.5, 12))
STAGES = jnp.asarray([0] * 10 + [1] * 20 + [2] * 10)
USE = jnp.asarray(rng.uniform(0.05, 0.25, 30))
CONTACTS = jnp.asarray(rng.uniform(0.2, 0.6, (3, 3)))
RISK = jnp.asarray(rng.normal(size=(12, 3)))
HARM = jnp.asarray(rng.uniform(0.2, 1.0, 12))
GROWTH = jnp.asarray(rng.uniform(0.1, 0.5, 25))
SUN = jnp.asarray(np.clip(np.sin(np.linspace(-0.8, 4.0, 24)), 0.0, None))
LOAD = jnp.asarray(rng.uniform(0.2, 0.8, 24))
SITES = jnp.asarray(rng.normal(size=(9, 2)))
READINGS = jnp.asarray(rng.uniform(0.2, 1.5, 3))
SIZES = jnp.asarray(rng.uniform(0.5, 1.5, 9))
ZONES = jnp.asarray([0, 1, 1, 2, 0, 2, 2, 1, 0])
WINDS = jnp.asarray(rng.uniform(0.6, 2.4, 24))
FUEL = jnp.asarray(rng.uniform(0.0, 1.0, (8, 8)))
INFLOW = jnp.asarray(rng.uniform(0.3, 1.4, 20))
L2, L3, L5, L6 = (rng.normal(size=n) for n in (2, 3, 5, 6))


class Tank(NamedTuple):
    level: jax.Array
    valve: jax.Array


@case(np.array([0.3, 0.4]))
def ripe_on(x):
    """Warmth above a base adds up; the crop is cut on the day when it has had enough."""
    warmth = jnp.cumsum(jnp.maximum(TEMPERATURES - x[0], 0.0))
    day = jnp.searchsorted(warmth, 8.0 + x[1])  #: flat
    return 0.05 * day + 0.2 * jnp.sum((x - 0.5) ** 2)


@case(np.array([0.3, 0.6]))
def frost_nights(x):
    """Each night colder than the cover holds off takes a fifth of what stands."""

    def night(standing, low):
        standing = standing * jnp.where(low + 0.5 * x[0] < 0.0, 0.8, 1.0)  #: jumps
        return standing, None

    standing, _ = jax.lax.scan(night, 1.0 + x[1] ** 2, FROSTS)
    return (standing - 1.0) ** 2 + 0.1 * x[0] ** 2


@case(np.array([0.5, 0.3]), "smooth")
def growth_stages(x):
    """The stage goes by the calendar."""
    grow = [lambda m: m * (1.0 + 0.05 * x[0]), lambda m: m + 0.05 * jnp.exp(-m), lambda m: m - 0.02 * x[1] * m]

    def day(mass, stage):
        mass = jax.lax.switch(stage, grow, mass)
        return mass, mass

    _, masses = jax.lax.scan(day, jnp.asarray(0.3), STAGES)
    return jnp.mean((masses - 0.8) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.9]))
def float_valve(x):
    """Opens when the tank is low, closes when it is high; what is above the rim runs off."""

    def hour(tank, use):
        valve = jnp.where(tank.level < 0.4, 1.0, jnp.where(tank.level > 0.8, 0.0, tank.valve))  #: jumps
        level = tank.level + 0.3 * jnp.exp(0.5 * x[0]) * valve - use
        level = jnp.minimum(level, x[1])  #: kinked
        return Tank(level, valve), level

    _, levels = jax.lax.scan(hour, Tank(jnp.asarray(0.6), jnp.asarray(0.0)), USE)
    return jnp.mean((levels - 0.7) ** 2) + 0.1 * jnp.sum((x - 0.5) ** 2)


@case(np.array([0.9, 0.4]), "smooth")
def quadratic_melt(x):
    """Nothing melts below freezing, and little just above it."""
    warm = TEMPERATURES - x[0]
    melt = jnp.where(warm > 0.0, 0.4 * warm**2, 0.0)
    return jnp.mean((jnp.cumsum(melt) / 10 - x[1]) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.2, 0.1]))
def snowpack(x):
    """What falls below freezing lies until it melts."""

    def day(pack, weather):
        warm, fall = weather[0] - 1.0 + x[1], weather[1]
        snow = jnp.where(warm < 0.0, fall, 0.0)  #: flat
        melt = jnp.minimum(pack + snow, 0.5 * jnp.exp(0.5 * x[0]) * jnp.maximum(warm, 0.0))  #: kinked
        return pack + snow - melt, melt

    _, melts = jax.lax.scan(day, jnp.asarray(0.5), (TEMPERATURES, FALL))
    return jnp.sum(melts**2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.2, 0.1]))
def hospital_beds(x):
    """Three groups that meet each other; beds are few, and the worst day counts as well."""
    meet = CONTACTS * 2.0 * jax.nn.sigmoid(-x[0])

    def day(state, _):
        well, ill = state
        new = well * jnp.einsum("ij,j->i", meet, ill)
        ill = ill + new - 0.2 * ill
        without = jax.nn.relu(jnp.sum(ill) - 0.7 * jnp.exp(0.3 * x[1]))  #: kinked
        return (well - new, ill), (jnp.sum(ill), without)

    start = jnp.full(3, 0.95), jnp.full(3, 0.05)
    _, (ill, without) = jax.lax.scan(day, start, None, length=30)
    return jnp.max(ill) + jnp.mean(without) + 0.1 * jnp.sum((x - 0.3) ** 2)  #: kinked


@case(L3)
def vaccinated_first(w):
    """Doses for a third of the villages, by a score."""
    _, first = jax.lax.top_k(RISK @ w, 4)  #: flat
    return -jnp.sum(HARM[first]) + 0.05 * jnp.sum(w**2)


@case(np.array([0.3, 0.4]))
def quarantine(x):
    """Whole days at home, each at a price; afterwards what is left of the illness is passed on."""
    days = jnp.round(6.0 * jax.nn.sigmoid(x[0])).astype(int)  #: flat
    shed = jnp.exp(-0.2 * (1.0 + x[1] ** 2) * jnp.arange(12.0))
    passed = jnp.where(jnp.arange(12) < days, 0.0, shed)  #: jumps
    return jnp.sum(passed) + 0.2 * days + 0.1 * jnp.sum(x**2)


@case(np.array([0.6, 0.5]))
def coppice(x):
    """Cut down to the stump whenever the stand is worth it."""

    def year(carry, growth):
        stand, sold = carry
        cut = stand > 0.8 + x[0] ** 2  #: jumps
        sold = sold + jnp.where(cut, (0.5 + x[1]) * stand, 0.0)  #: jumps
        stand = jnp.where(cut, 0.2, stand * (1.0 + growth))
        return (stand, sold), None

    (stand, sold), _ = jax.lax.scan(year, (jnp.asarray(0.3), jnp.asarray(0.0)), GROWTH)
    return 0.1 * (sold + stand - 4.0) ** 2 + 0.1 * jnp.sum(x**2)


@case({"open": np.float64(0.6), "gain": np.float64(1.0)})
def greenhouse_vent(p):
    """The vent opens in proportion, as far as it goes."""

    def hour(air, sun):
        vent = jnp.clip(p["gain"] * (air - p["open"]) / 0.4, 0.0, 1.0)  #: kinked
        air = air + 0.5 * sun - 0.2 * air - 0.3 * vent * air
        return air, air

    _, path = jax.lax.scan(hour, jnp.asarray(0.5), SUN)
    return jnp.mean((path - 0.7) ** 2) + 0.05 * (p["open"] - 0.5) ** 2 + 0.05 * p["gain"] ** 2


@case(np.array([0.6, 0.3]))
def heat_pump(x):
    """The data sheet knows five temperatures."""
    lift = x[0] + 0.5 * TEMPERATURES
    worth = jnp.interp(lift, jnp.array([0.0, 0.5, 1.0, 1.5, 2.0]), jnp.array([5.0, 4.2, 3.1, 2.5, 1.8]))  #: kinked
    return jnp.mean(x[1] ** 2 / worth) + jnp.mean(1.0 / worth) + 0.1 * jnp.sum((x - 0.8) ** 2)


@case(np.array([0.5, 0.2]))
def tilted_panel(x):
    """Light from behind does not count."""
    hour = jnp.linspace(-2.0, 2.0, 24)
    light = jnp.maximum(jnp.cos(hour - x[1]) * jnp.sin(0.6 + x[0]) - 0.2, 0.0)  #: kinked
    return -jnp.mean(light) + 0.1 * jnp.sum(x**2)


@case(np.array([0.7, 0.3]))
def battery_wear(x):
    """It ages by how often it turns and by what goes through."""
    power = LOAD - jnp.exp(x[0] - 0.7) * SUN
    turns = jnp.sum(jnp.diff(jnp.sign(power)) != 0)  #: flat
    through = jnp.sum(jnp.abs(power))  #: kinked
    return 0.02 * turns + 0.05 * (1.0 + x[1] ** 2) * through + 0.1 * jnp.sum(x**2)


@case(L3, "smooth")
def heat_network(x):
    """Pressure lost in a ring of pipes goes with the flow times its size."""
    width = jnp.exp(0.3 * x)
    matrix = jnp.diag(width + jnp.roll(width, 1)) - 0.5 * jnp.roll(jnp.eye(3), 1, axis=0) + 2.0 * jnp.eye(3)
    head = jnp.linalg.solve(matrix, jnp.array([1.0, -0.4, 0.2]) + 0.1 * x)
    flow = head - jnp.roll(head, 1)
    return jnp.sum(flow * jnp.abs(flow)) + 0.2 * jnp.sum(x**2)


@case(np.array([0.3, -0.2]), "smooth")
def rough_pipe(x):
    """The friction of a pipe by Colebrook's formula, repeated until it stands still."""
    rough, speed = 0.02 * jnp.exp(0.3 * x[0]), 2e4 * jnp.exp(0.5 * x[1])

    def moved(state):
        return jnp.abs(state[0] - state[1]) > 1e-10

    def improve(state):
        return -2.0 * jnp.log10(rough / 3.7 + 2.51 * state[0] / speed), state[0]

    root, _ = jax.lax.while_loop(moved, improve, (jnp.asarray(5.0), jnp.asarray(0.0)))  #: nested
    return 30.0 / root**2 + 0.1 * jnp.sum(x**2)


@case(np.array([0.7, 0.3]))
def standard_operation(x):
    """All of it while there is little, what is asked for while it lasts, and what does not fit."""
    asked, room = x[0], 0.5 + x[1] ** 2

    def month(stored, inflow):
        water = stored + inflow
        out = jnp.select([water < asked, water < asked + room], [water, asked], water - room)  #: kinked
        return water - out, out

    _, out = jax.lax.scan(month, jnp.asarray(0.3), INFLOW)
    return jnp.mean((out - 0.8) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([1.0, 0.2]))
def water_bill(x):
    """Three blocks, each with a price for all of the use."""
    use = INFLOW * x[0]
    blocks = [lambda u: 0.3 * u, lambda u: 0.5 * u, lambda u: 0.9 * u]
    bill = jnp.piecewise(use, [use < 0.6, (use >= 0.6) & (use < 1.0)], blocks)  #: jumps
    return jnp.mean(bill) + 0.5 * (x[0] - 1.2) ** 2 + 0.1 * x[1] ** 2


@case(np.array([0.4, 0.3]), "smooth")
def flood_wave(x):
    """Reach by reach, each a storage that is linear in what comes and goes."""
    late = 0.5 * jax.nn.sigmoid(x[0])

    def reach(_, flow):
        def hour(i, out):
            return out.at[i].set(late * flow[i] + late * flow[i - 1] + (1 - 2 * late) * out[i - 1])

        return jax.lax.fori_loop(1, 20, hour, flow)

    flow = jax.lax.fori_loop(0, 3, reach, INFLOW * (1.0 + 0.2 * x[1]))
    return jnp.mean((flow - 0.8) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.2]))
def dried_wells(x):
    """The water table around a pump; a well that is above it is dry."""
    fall = x[0] * jnp.linspace(0.2, 1.6, 8)
    table = jnp.sqrt(jnp.maximum(1.0 - fall, 0.0))  #: non-finite #: kinked
    return -jnp.mean(table) + 0.3 * jnp.sum((x - 0.4) ** 2)


@case(np.array([0.7, 0.3]), "smooth")
def seasons(x):
    """The part of the year that has passed, and what the sun makes of it."""
    passed = jnp.mod(x[0] * jnp.linspace(0.0, 4.0, 30) + 0.1 * x[1], 1.0)
    return jnp.mean(jnp.cos(2 * jnp.pi * passed) * jnp.linspace(0.5, 1.0, 30)) + 0.1 * jnp.sum(x**2)


@case(L6, "smooth")
def layers_by_depth(x):
    """The order of the layers does not matter to their weight."""
    depth = jnp.sort(x)
    return jnp.sum(jnp.cosh(0.5 * depth)) + 0.1 * jnp.sum(depth) ** 2


@case(np.array([0.9, 0.2]), "smooth")
def net_metering(x):
    """What is sold is paid as what is bought."""
    net = LOAD - x[0] * SUN + 0.1 * x[1]
    bought, sold = jax.nn.relu(net), jax.nn.relu(-net)
    return 0.3 * jnp.sum(bought - sold) + 0.4 * jnp.sum((x - 0.5) ** 2)


@case(L6)
def gauges_moved(x):
    """Each field believes the nearest gauge."""
    apart = SITES[:, None] - 0.7 * x.reshape(3, 2)[None]
    nearest = jnp.argmin(jnp.sum(apart**2, axis=-1), axis=1)  #: flat
    return jnp.var(READINGS[nearest] * SIZES) + 0.02 * jnp.sum(x**2)


@case(np.array([0.2, 0.3]), "smooth")
def kriging(x):
    """The variance that is left at a place, by a Cholesky factor."""
    apart = jnp.sum((SITES[:, None] - SITES[None]) ** 2, axis=-1)
    near = jnp.exp(-apart * jnp.exp(0.3 * x[0])) + 0.2 * jnp.eye(9)
    seen = jnp.exp(-jnp.sum((SITES - x) ** 2, axis=1) * jnp.exp(0.3 * x[0]))
    half = jax.scipy.linalg.solve_triangular(jnp.linalg.cholesky(near), seen, lower=True)
    return 1.0 - jnp.sum(half**2) + 0.05 * jnp.sum(x**2)


@case(np.array([0.4, 0.3]))
def nitrate_standard(x):
    """Nine of ten samples must be below; the limit is on that one."""
    found = HARM * jnp.exp(-x[0] * RISK[:, 0]) + x[1] * RISK[:, 1]
    return (jnp.percentile(found, 90.0) - 0.5) ** 2 + 0.1 * jnp.sum(x**2)  #: kinked


@case(over(descend.Real(2, start=np.array([0.3, 0.4]))))
def calves(x, *, key):
    """Each cow has a calf or none."""
    born = jax.random.bernoulli(key, jax.nn.sigmoid(x[0]), (20,))  #: stochastic #: flat
    return (0.1 * jnp.sum(born) - 1.5) ** 2 + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(2, start=np.array([0.1, 0.4]))), "smooth")
def storms(x, *, key):
    """Each week a storm, whose size is drawn."""
    storm = jnp.exp(0.5 * x[0]) * jax.random.exponential(key, (20,))  #: stochastic

    def week(level, fall):
        level = 0.5 * level + 0.2 * fall + 0.1 * x[1]
        return level, level

    _, levels = jax.lax.scan(week, jnp.asarray(0.3), storm)
    return jnp.mean((levels - 0.6) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.2, 0.1]))
def wildfire(x):
    """Fire goes on to where it is dry enough."""
    dry = FUEL + 0.3 * x[0] + 0.2 * x[1] * jnp.linspace(-1.0, 1.0, 8)

    def step(_, fire):
        near = sum(jnp.roll(fire, shift, axis) for shift in (1, -1) for axis in (0, 1))
        return jnp.where((near > 0.5) & (dry > 0.4), 1.0, fire)  #: flat

    fire = jax.lax.fori_loop(0, 10, step, jnp.zeros((8, 8)).at[4, 4].set(1.0))
    return jnp.mean(fire) + 0.1 * jnp.sum((x - 0.3) ** 2)


@case(L3)
def best_crop(x):
    """The crop that earns the most is grown."""
    earned = jnp.array([0.5, 0.4, 0.6]) + 0.5 * x
    best = jnp.argmax(earned)
    return -earned[best] + 0.2 * jnp.sum(x**2)  #: kinked


@case(L5, "smooth")
def ground_cover(x):
    """A share between none and all."""
    cover = jnp.clip(1.0 - jnp.exp(-0.5 * x**2), 0.0, 1.0)
    return jnp.sum((cover - 0.4) ** 2) + 0.1 * jnp.sum((x - 0.5) ** 2)


@case(np.array([0.2, 0.4]))
def turbine(x):
    """Cubic up to the rated power, and stopped in a gale."""
    wind = WINDS * jnp.exp(0.2 * x[0])
    power = jnp.clip((wind / 1.4) ** 3, 0.0, 1.0)  #: kinked
    power = jnp.where(wind > 2.1, 0.0, power)  #: jumps
    return -jnp.mean(power) * (1.0 + 0.1 * x[1]) + 0.1 * jnp.sum(x**2)


@case(np.array([0.2, 0.4]), "smooth")
def parcels(x):
    """Summed up by owner; who owns what is known."""
    crop = SIZES * jax.nn.sigmoid(SITES @ x)
    owned = jax.ops.segment_sum(crop, ZONES, num_segments=3)
    return jnp.sum((owned - 1.5) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.2, 0.4]))
def soil_classes(x):
    """Summed up by wetness, which depends."""
    wet = jax.nn.sigmoid(SITES @ x)
    group = jnp.floor(4.0 * wet).astype(int)
    total = jax.ops.segment_sum(wet * SIZES, group, num_segments=4)  #: jumps
    return jnp.sum(total**2) / 9 + 0.1 * jnp.sum(x**2)


@case(np.array([0.2, 0.4]))
def leaf_sizes(x):
    """Sorted into boxes and compared with last year."""
    size = 2.0 * jax.nn.sigmoid(SITES @ x + 0.1)
    counts, _ = jnp.histogram(size, bins=jnp.linspace(0.0, 2.0, 6))  #: flat
    return jnp.sum((counts - jnp.array([1, 2, 3, 2, 1])) ** 2) / 9 + 0.1 * jnp.sum(x**2)


@case(np.array([0.4, 0.3]))
def room_comfort(x):
    """Within two tenths nobody complains."""

    @jax.jit
    def complaints(warm):
        return jax.nn.relu(jnp.abs(warm - 0.6) - 0.2)  #: kinked

    def hour(warm, sun):
        warm = 0.7 * warm + 0.2 * sun + 0.2 * x[0]
        return warm, complaints(warm)

    _, said = jax.lax.scan(hour, 0.5 * x[1], SUN)
    return jnp.mean(said) + 0.1 * jnp.sum(x**2)


@case(np.array([0.9, 0.4]))
def gates_of_a_dam(x):
    """As many gates as are needed, each open by the same share."""
    flow = INFLOW * jnp.exp(0.3 * x[0])
    gates = jnp.ceil(flow / 0.4)  #: flat
    return jnp.mean((flow / gates - 0.3) ** 2) + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(2, start=np.array([3.3, 0.5]), scale=0.02)))
def pest_outbreaks(x):
    """As many of them as the year before lets live."""

    def year(n, _):
        n = n * jnp.exp(x[0] * (1.0 - n))
        return n, n

    _, path = jax.lax.scan(year, 0.5 + 0.1 * x[1], None, length=100)  #: chaotic
    return jnp.mean(path**2)
