"""Polygons, distances, games on boards, sound."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.corpus.label import case

rng = np.random.default_rng(105)
CLOUD = jnp.asarray(rng.normal(size=(12, 2)))
CORNERS = jnp.asarray([[1.0, 0.1], [0.3, 1.1], [-0.9, 0.6], [-0.6, -0.8], [0.5, -0.9]])
TONE = jnp.sin(jnp.linspace(0.0, 20.0, 40)) + 0.2 * jnp.asarray(rng.normal(size=40))
CLOCK = jnp.linspace(0.0, 2.0, 40)
RINGS = jnp.asarray([0.2, 0.5, 0.9, 1.4])
POINTS = jnp.asarray([50.0, 20.0, 10.0, 5.0, 0.0])
PAYOFF = jnp.asarray([[1.0, -1.0, 0.2], [-0.5, 0.8, 0.1], [0.3, 0.1, -0.6], [-0.8, 0.2, 0.6]])
TRUMPS = jnp.asarray([3.0, 0.0, 4.0, 1.0])
T2, T3, T4, T10 = (rng.normal(size=n) for n in (2, 3, 4, 10))


@case(0.5 * T2, "smooth")
def squared_distance_to_a_segment(p):
    """The foot is clipped to the ends, but the squared distance to a convex set has a slope everywhere."""
    a, b = jnp.array([-0.5, 0.2]), jnp.array([0.6, -0.1])
    t = jnp.clip((p - a) @ (b - a) / ((b - a) @ (b - a)), 0.0, 1.0)
    return jnp.sum((p - a - t * (b - a)) ** 2) + 0.1 * jnp.sum(p**2)


@case(T10, "smooth")
def polygon_area(x):
    """Five corners pulled about, never so far that they turn round."""
    p = CORNERS + 0.05 * jnp.tanh(x.reshape(5, 2))
    q = jnp.roll(p, -1, axis=0)
    area = 0.5 * jnp.abs(jnp.sum(p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]))
    return (area - 1.5) ** 2 + 0.1 * jnp.sum(x**2)


@case(np.array([0.2, 0.8]))
def points_inside(x):
    radius = 0.5 + x[1] ** 2
    inside = jnp.sum((CLOUD - x[0]) ** 2, axis=1) < radius  #: flat
    return -jnp.sum(inside) / 12 + 0.3 * radius


@case(0.4 * T2)
def farthest_point(p):
    distances = jnp.sqrt(jnp.sum((CLOUD - p) ** 2, axis=1) + 1e-3)
    far = jnp.argmax(distances)
    return distances[far] + 0.1 * jnp.sum(p**2)  #: kinked


@case(T4)
def snapped_to_grid(x):
    p = 0.25 * jnp.rint(x / 0.25)  #: flat
    return jnp.sum((p[:2] - 0.3) ** 2) + jnp.abs(p[2] - p[3])


@case(T3)
def union_of_balls(x):
    a = jnp.sqrt(jnp.sum((x - 0.5) ** 2) + 0.01) - 0.4
    b = jnp.sqrt(jnp.sum((x + 0.5) ** 2) + 0.01) - 0.3
    return jnp.minimum(a, b) ** 3 + 0.2 * jnp.sum(x**2)  #: kinked


@case(T3, "smooth")
def blended_union_of_balls(x):
    a = jnp.sqrt(jnp.sum((x - 0.5) ** 2) + 0.01) - 0.4
    b = jnp.sqrt(jnp.sum((x + 0.5) ** 2) + 0.01) - 0.3
    return -0.2 * jax.nn.logsumexp(jnp.stack([-a / 0.2, -b / 0.2])) + 0.2 * jnp.sum(x**2)


@case(0.6 * T2)
def darts(x):
    ring = jnp.searchsorted(RINGS, jnp.hypot(x[0], x[1] + 0.1))  #: flat
    return -POINTS[ring] / 50


@case(0.5 * T4)
def worst_reply(x):
    mixed = jax.nn.softmax(x)
    return jnp.max(mixed @ PAYOFF) + 0.1 * jnp.sum(x**2)  #: kinked


@case(T4, "smooth")
def season_ratings(x):
    """Ratings from a season in which everybody met everybody."""
    against = x[:, None] - x[None, :]
    expected = 1 / (1 + 10 ** (-against / 2))
    points = jnp.sum(jnp.where(jnp.eye(4, dtype=bool), 0.0, expected), axis=1)
    return jnp.sum((points - jnp.array([2.5, 1.5, 1.0, 1.0])) ** 2) + 0.05 * jnp.sum(x**2)


@case(np.array([0.4, -0.2]))
def tit_for_tat(x):
    """Two players with thresholds on how the other has behaved of late."""

    def turn(state, _):
        trust_a, trust_b = state
        a = trust_b > x[0]  #: flat
        b = trust_a > x[1]  #: flat
        pay = 3.0 * b - 1.0 * a
        return (0.7 * trust_a + 0.3 * a, 0.7 * trust_b + 0.3 * b), pay

    _, pays = jax.lax.scan(turn, (jnp.asarray(0.3), jnp.asarray(0.5)), None, length=12)
    return -jnp.mean(pays)


@case(0.5 * T4)
def best_card(x):
    """The value of the card that is played is what the players disagree about."""
    played = jnp.argmax(TRUMPS + 3.0 * x)
    worth = x**2 + jnp.array([0.0, 1.0, 2.0, 3.0])
    return worth[played] + 0.3 * jnp.sum(x**2)  #: jumps


@case(np.array([0.3, 0.5]))
def sign_changes(x):
    s = TONE * jnp.exp(-CLOCK * x[1] ** 2) + x[0]
    signs = jnp.sign(s)  #: flat
    return jnp.sum(jnp.abs(jnp.diff(signs))) / 10 + 0.1 * jnp.sum(x**2)


@case(np.array([0.9, 0.1]))
def overdriven(x):
    out = jnp.clip((1.0 + x[0] ** 2) * TONE + x[1], -1.0, 1.0)  #: kinked
    return jnp.mean((out - jnp.tanh(TONE)) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([1.0, 0.2]))
def gate(x):
    """Silence below a level."""
    quiet = jnp.abs(TONE) < 0.3 * x[0] ** 2
    out = jnp.where(quiet, 0.0, TONE * (1 + x[1]))  #: jumps
    return jnp.mean((out - TONE) ** 2) + 0.1 * jnp.sum((x - 0.5) ** 2)


@case(np.array([0.7, 0.3]), "smooth")
def spectrum(x):
    """Power at low frequencies: a complex transform and its squared size."""
    s = TONE * jnp.exp(-x[0] * CLOCK) + x[1] * jnp.sinc(CLOCK - 1.0)
    power = jnp.abs(jnp.fft.rfft(s)) ** 2
    low = jnp.where(jnp.arange(power.size) < 6, power, 0.0)
    return jnp.sum(low) / 100 + 0.1 * jnp.sum(x**2)
