"""Rates, games, schedules, text and search, written by people in a hurry."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.helpers import soft_threshold, toll
from tests.corpus.label import case, over

rng = np.random.default_rng(42)
TRIPS = jnp.asarray(rng.uniform(0.5, 20.0, 12))
SCORES = jnp.asarray(rng.normal(size=(9, 4)))
RELEVANT = jnp.asarray([1, 0, 0, 1, 0, 1, 0, 0, 0])
PARKING = jnp.asarray([2.0, 3.5, 5.0, 8.0, 12.0])
HOUSES = jnp.asarray(rng.normal(size=(7, 2)))
GUESTS = jnp.asarray(rng.uniform(size=(5, 5)))
E2, E3, E4, E5, E6 = (rng.normal(size=n) for n in (2, 3, 4, 5, 6))


@case(np.array([0.8, 1.2]))
def taxi_meter(x):
    """A base fare and so much for each whole kilometer begun."""
    begun = jnp.ceil(TRIPS * x[0])  #: flat
    return jnp.mean(x[1] * begun - 10.0) ** 2 * 0.01 + 0.1 * jnp.sum(x**2)


@case(np.array([0.9]))
def parking_fee(x):
    hours = 3.0 * jax.nn.softplus(x[0])
    slot = jnp.minimum(jnp.floor(hours).astype(int), 4)  #: flat
    return PARKING[slot] + (hours - 3.0) ** 2


@case(np.array([0.7, 0.4]))
def phone_plan(x):
    def bill(minutes):
        return jax.lax.cond(minutes > 6.0, lambda m: 20 + 0.5 * (m - 6.0), lambda m: 20 + 0 * m, minutes)  #: kinked

    used = 10 * jax.nn.sigmoid(x)
    return jnp.sum(jax.vmap(bill)(used)) - 3 * jnp.sum(used) + jnp.sum(x**2)


@case(np.array([0.7, 0.4]), helpers=(toll,), thorough=("unbounded",))
def commute(x):
    return toll(x[0] + 0.2 * x[1]) + x[1] ** 2


@case(E4)
def reciprocal_rank(w):
    s = SCORES @ w
    rank = 1 + jnp.sum(s[:, None] < s[None], axis=1)  #: flat
    return -jnp.max(jnp.where(RELEVANT == 1, 1.0 / rank, 0.0))


@case(E4)
def margin_ranking(w):  #: black-box
    """How many are picked is known to NumPy, and not to a tracer of JAX."""
    s = SCORES @ w
    gaps = s[RELEVANT == 1][:, None] - s[RELEVANT == 0][None]
    return jnp.mean(jax.nn.relu(1.0 - gaps)) + 0.05 * jnp.sum(w**2)


@case(E4, "smooth")
def listwise(w):
    s = SCORES @ w
    return -jnp.sum(RELEVANT * jax.nn.log_softmax(s)) + 0.05 * jnp.sum(w**2)


@case(E2)
def meeting_point(p):
    """Everyone walks along the streets."""
    walk = jnp.abs(HOUSES - p[None]).sum(1)  # whoever is farthest lives round the corner, not straight ahead
    return walk.max() + 0.05 * jnp.sum(p**2)  #: kinked


@case(E2, "smooth")
def meeting_by_air(p):
    return jnp.sum(jnp.hypot(HOUSES[:, 0] - p[0], 0.3) + jnp.sqrt((HOUSES[:, 1] - p[1]) ** 2 + 0.1))


@case(E5)
def seating(x):
    order = jnp.argsort(x)  #: flat
    return -sum(GUESTS[order[i], order[i + 1]] for i in range(4))


@case(E6)
def best_of_three(x):
    offers = x.reshape(2, 3) ** 2 + 0.1 * jnp.arange(3.0)[None]
    first, second = jax.lax.top_k(-offers, 2)[0].T  #: kinked
    return jnp.sum(-first + 0.3 * second) + 0.2 * jnp.sum(x**2)


@case(E3)
def dice_game(x):
    """Throw again while the points are below a limit."""
    throws = jnp.array([2.0, 5.0, 1.0, 6.0, 3.0, 4.0, 2.0, 6.0])

    def again(state):
        total, i = state
        return (total < 12 + 3 * x[0]) & (i < 8)  #: flat

    total, _ = jax.lax.while_loop(again, lambda s: (s[0] + throws[s[1]], s[1] + 1), (jnp.asarray(0.0), 0))
    return (total - 16.0) ** 2 + jnp.sum(x**2)


@case(np.array([0.6, -0.3]))
def thermostat_schedule(x):
    """Python chooses what to trace by the hour, JAX by the temperature."""
    warm, cost = jnp.asarray(0.2), 0.0
    for hour in range(6):
        target = x[0] if hour % 2 == 0 else x[0] + 0.3
        heat = jnp.clip(target - warm, 0.0, 0.4)  #: kinked
        warm = 0.8 * warm + heat + 0.05 * x[1]
        cost = cost + heat
    return cost + (warm - 0.7) ** 2 + 0.1 * jnp.sum(x**2)


@case(E6)
def longest_run(x):
    def day(state, v):
        run, longest = state
        run = jnp.where(v > 0.0, run + 1, 0)  #: flat
        return (run, jnp.maximum(longest, run)), None

    (_, longest), _ = jax.lax.scan(day, (0, 0), x)
    return -longest.astype(float)


@case(E6)
def exponential_backoff(x):
    """A doubling wait after each failure; failing depends on the load."""

    def attempt(wait, load):
        failed = load > 0.2
        wait = jnp.where(failed, 2 * wait, 0.5 * wait + 0.1 * load)  #: jumps
        return wait, wait

    _, waits = jax.lax.scan(attempt, jnp.asarray(0.3), x)
    return jnp.mean(waits) + 0.1 * jnp.sum(x**2)


@case(E3, helpers=(soft_threshold,))
def shrunk_weights(x):
    return jnp.sum((SCORES[:, :3] @ soft_threshold(x, 0.4) - 0.5) ** 2)


@case(np.array([0.3, 0.8]), "smooth")
def partial_application(x):
    discount = functools.partial(jnp.power, 0.9)
    weeks = jnp.arange(8.0)
    keep = jnp.where(weeks > 3, 1.0, 0.0)
    return jnp.sum(discount(weeks) * keep * (x[0] - 0.1 * weeks * x[1]) ** 2) + jnp.sum(x**2)


@case(E4, "smooth")
def cosine_similarity(x):
    a, b = x[:2] + jnp.array([3.0, 0.0]), x[2:] ** 2 + 1.0
    return -a @ b / jnp.maximum(jnp.linalg.norm(a) * jnp.linalg.norm(b), 1e-8) + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(2, start=np.array([0.4, 0.2]))))
def queue_of_chance(x, *, key):
    gaps = jax.random.exponential(key, (12,))  #: stochastic

    def customer(wait, gap):
        wait = jnp.maximum(wait + jax.nn.softplus(x[0]) - gap, 0.0)  #: kinked
        return wait, wait

    _, waits = jax.lax.scan(customer, jnp.asarray(0.0), gaps)
    return jnp.mean(waits) + (x[0] - 1) ** 2 + x[1] ** 2


@case(over(descend.Real(3, start=E3)))
def random_subset_size(x, *, key):
    taken = jax.random.bernoulli(key, jax.nn.sigmoid(x))  #: stochastic #: flat
    return (jnp.sum(taken) - 2.0) ** 2 + 0.1 * jnp.sum(x**2)
