"""Clinics, grids, buses, farms: rules of thumb with numbers in them."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.label import case, over
from tests.corpus.tools import clamp, rms

rng = np.random.default_rng(301)
PATIENTS = jnp.asarray(rng.normal(size=(30, 3)))
SICK = jnp.asarray((rng.normal(size=30) + PATIENTS[:, 0] > 0.2).astype(float))
SUN = jnp.asarray(np.clip(np.sin(np.linspace(-1.0, 7.0, 24)), 0.0, None))
LOAD = jnp.asarray(rng.uniform(0.2, 0.9, 24))
STOPS = jnp.asarray(np.sort(rng.uniform(0.0, 5.0, 10)))
FIELDS = jnp.asarray(rng.normal(size=(8, 2)))
YIELD = jnp.asarray(rng.uniform(0.5, 1.5, 8))
DOSES = jnp.asarray([0.0, 0.5, 1.0, 2.0])
SPEEDS = jnp.asarray(rng.uniform(0.3, 1.4, 16))
B2, B3, B4, B8 = (rng.normal(size=n) for n in (2, 3, 4, 8))


@case(B3)
def triage(w):
    """The ten with the highest score are seen today."""
    score = PATIENTS @ w
    limit = jnp.sort(score)[-10]
    seen = score >= limit  #: flat
    return -jnp.sum(seen * SICK) / 10 + 0.02 * jnp.sum(w**2)


@case(np.array([0.6, 0.4]))
def battery_on_a_roof(x):
    """Charges from what is left over, and gives what is missing."""
    size, panels = jnp.exp(x[0] - 0.5), 1.0 + x[1] ** 2

    def hour(stored, now):
        sun, load = now
        stored = stored + panels * sun - load
        bought = jnp.maximum(-stored, 0.0)  #: kinked
        stored = jnp.clip(stored, 0.0, size)  #: kinked
        return stored, bought

    _, bought = jax.lax.scan(hour, jnp.asarray(0.2), (SUN, LOAD))
    return jnp.sum(bought) + 0.3 * size + 0.4 * panels + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, -0.3]))
def dose_steps(x):
    need = 2.0 * jax.nn.sigmoid(x[0] + PATIENTS[:, 1])
    step = jnp.argmin(jnp.abs(need[:, None] - DOSES[None]), axis=1)  #: flat
    given = DOSES[step]
    return jnp.mean((given - 0.9) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.9, 0.2]))
def fine_for_speed(x):
    """A fine per whole tenth above the limit."""
    over_limit = jnp.maximum(SPEEDS * x[0] - 0.8, 0.0)
    fine = (over_limit // 0.1) * 0.2  #: flat
    return jnp.sum(fine) / 16 + jnp.mean(1.0 / (0.5 + x[0] ** 2)) + 0.1 * x[1] ** 2


@case(np.array([0.4, 0.6]))
def insurance(x):
    """A deductible, a share, and a ceiling."""
    claims = jnp.exp(0.8 * PATIENTS[:, 2] + 0.1 * x[1])
    paid = jnp.where(claims < 1.0 + x[0], 0.0, 0.8 * (claims - 1.0 - x[0]))  #: kinked
    paid = jnp.minimum(paid, 1.0)  #: kinked
    return jnp.mean(paid) + 0.3 * x[0] ** 2 + 0.1 * x[1] ** 2


@case(0.5 * B2)
def field_by_field(x):
    """Each field belongs to the nearer of two farms, whose prices differ."""
    first, second = x, -x
    nearer = jnp.sum((FIELDS - first) ** 2, axis=1) < jnp.sum((FIELDS - second) ** 2, axis=1)
    cost = jnp.where(nearer, 1.0 + jnp.sum((FIELDS - first) ** 2, axis=1), 1.2 + x[0] ** 2)  #: jumps
    return jnp.mean(cost * YIELD) + 0.1 * jnp.sum(x**2)


@case(np.array([0.3, 0.5]))
def all_must_hold(x):
    """A bonus if every shift is long enough."""
    hours = 0.5 + jax.nn.sigmoid(x[0] + jnp.linspace(-0.5, 0.5, 5))
    fine = jnp.all(hours > 0.9)  #: jumps
    return jnp.sum(hours) - fine * (0.5 + 0.1 * x[1]) + 0.1 * jnp.sum(x**2)


@case(np.array([0.3, 0.5]))
def any_may_fail(x):
    hours = 0.5 + jax.nn.sigmoid(x[0] + jnp.linspace(-0.5, 0.5, 5))
    failed = jnp.any(hours < 0.9)  #: flat
    return 2.0 * failed + 0.1 * (x[0] - 1.0) ** 2 + 0.1 * x[1] ** 2


@case(B8)
def median_of_fields(x):
    return jnp.median(x * YIELD) + 0.1 * jnp.sum((x - 0.3) ** 2)  #: kinked


@case(0.5 * B8, "smooth")
def sorted_by_yield(x):
    """Planted in the order of the data, whatever x is."""
    order = jnp.argsort(-YIELD)
    return jnp.sum(jnp.cumsum(x[order]) ** 2) / 8 + 0.1 * jnp.sum((x - 0.2) ** 2)


@case(np.array([0.4, 0.9]))
def bus_catches_up(x):
    """A bus that is early waits until its time."""
    pace = jax.nn.softplus(x[0])

    def stop(clock, due):
        clock = clock + 0.4 * pace + 0.05 * x[1]
        held = clock < due
        clock = jax.lax.select(held, due, clock)  #: kinked
        return clock, clock - due

    _, late = jax.lax.scan(stop, jnp.asarray(0.0), STOPS)
    return jnp.mean(late**2) + 0.2 / pace + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.4]), "smooth")
def late_squared(x):
    """Only the part above zero, squared."""
    late = 0.5 * STOPS * jnp.exp(x[0]) - 1.0 - x[1]
    return jnp.mean(jnp.where(late > 0, late, 0.0) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.4]), "smooth")
def noise_level(x):
    """Root mean square, with the guard that keeps zero away."""
    s = jnp.sin(3.0 * STOPS + x[0]) * x[1]
    return rms(s - 0.3) + 0.1 * jnp.sum(x**2)


@case(np.array([0.8, 0.3]), helpers=(clamp,))
def capped_generator(x):
    out = clamp(LOAD * (1.0 + x[0]) - 0.2 * x[1], None, 0.9)
    return jnp.mean((out - LOAD) ** 2) * 5 + 0.1 * jnp.sum(x**2)


@case(np.array([0.7, 0.2]))
def staged_boilers(x):
    """Each stage that runs costs its start; the last one follows the load."""
    demand = LOAD * (1.0 + x[0])
    stages = jnp.ceil(demand / 0.4)  #: flat
    return 0.2 * jnp.mean(stages) + 0.3 * jnp.mean(demand**2) - jnp.mean(demand) + 0.1 * x[1] ** 2


@case(np.array([0.4, 0.3]))
def infected_until_none(x):
    """Weeks until fewer than a tenth are ill."""

    def ill(state):
        share, weeks = state
        return (share > 0.1) & (weeks < 40)  #: flat

    def week(state):
        share, weeks = state
        return share * (0.7 + 0.2 * jnp.tanh(x[0])), weeks + 1

    _, weeks = jax.lax.while_loop(ill, week, (jnp.asarray(0.9), 0))
    return 0.1 * weeks + 0.5 * x[0] ** 2 - x[0] + 0.1 * x[1] ** 2


@case(np.array([0.4, 0.3]))
def switch_of_tariffs(x):
    """Three tariffs by the use; each is a function."""
    use = jnp.exp(x[0]) * 0.8 + 0.1 * x[1] ** 2
    which = (use > 1.0).astype(int) + (use > 1.6).astype(int)
    bill = jax.lax.switch(which, [lambda u: 0.4 * u, lambda u: 0.3 + 0.2 * u, lambda u: 0.1 + 0.4 * u], use)  #: jumps
    return bill - jnp.log(use) + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(2, start=np.array([0.5, 0.3]))))
def ambulance_calls(x, *, key):
    """Calls come as they come; the second one waits if the first is not over."""
    gaps = jax.random.exponential(key, (10,))  #: stochastic
    service = jax.nn.softplus(x[0])

    def call(busy, gap):
        busy = jnp.maximum(busy - gap, 0.0)  #: kinked
        return busy + service, busy

    _, waits = jax.lax.scan(call, jnp.asarray(0.0), gaps)
    return jnp.mean(waits) + 1.0 / service + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(2, start=np.array([0.2, 0.3]))))
def choice_of_route(x, *, key):
    """One of three routes is drawn by its appeal."""
    route = jax.random.categorical(key, jnp.array([-3.0, 3.0, 1.0]) * x[0])  #: stochastic #: flat
    return jnp.array([1.0, 0.4, 0.7])[route] + 0.2 * (x[0] - 0.5) ** 2 + 0.1 * x[1] ** 2


@case(B4, "smooth")
def normalized_weights(x):
    w = jnp.abs(x) ** 2 + 0.1
    w = w / jnp.sum(w)
    return jnp.sum(w * jnp.log(w)) + jnp.sum((w - 0.2) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.3]), "smooth")
def closed_form_decay(x):
    """A linear system in closed form, by eigenvalues of a fixed matrix."""
    a = jnp.array([[-0.6, 0.2], [0.3, -0.5]])
    end = jax.scipy.linalg.expm(a * (1.0 + x[0] ** 2)) @ jnp.stack([1.0, x[1]])
    return jnp.sum((end - 0.3) ** 2) + 0.1 * jnp.sum(x**2)


@case(B3)
def row_by_row(w):  #: black-box
    total = 0.0
    for row in np.asarray(PATIENTS[:5]):
        total += float(row @ np.asarray(w)) ** 2
    return total
