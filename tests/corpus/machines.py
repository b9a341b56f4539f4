"""Contacts, actuators, converters and trackers."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.corpus.label import case

rng = np.random.default_rng(32)
SIGNAL = jnp.asarray(np.sin(np.linspace(0, 9, 40)) + 0.2 * rng.normal(size=40))
OBSTACLES = jnp.asarray(np.array([[2.0, 0.5], [3.0, -1.0], [4.0, 1.5]]))
DISTURBANCE = jnp.asarray(0.3 * rng.normal(size=30))
TAPS = jnp.asarray([0.1, 0.2, 0.4, 0.2, 0.1])


@case(np.array([0.8, 0.1]))
def penalty_contact(x):
    """A ball on a stiff floor, by semi-implicit Euler."""

    def step(state, _):
        height, speed = state
        force = jnp.where(height < 0.0, -50.0 * height, 0.0)  #: kinked
        speed = speed + 0.02 * (force - 9.81)
        return (height + 0.02 * speed, speed), None

    (height, speed), _ = jax.lax.scan(step, (x[0], x[1]), None, length=30)
    return height**2 + 0.01 * speed**2


@case(np.array([0.7, 0.4]))
def sliding_block(x):
    def step(state, _):
        p, v = state
        friction = -0.3 * jnp.sign(v)  #: flat
        v = v + 0.1 * (x[0] - 0.8 * p + friction)
        return (p + 0.1 * v, v), p

    _, path = jax.lax.scan(step, (jnp.asarray(0.0), x[1]), None, length=25)
    return jnp.mean((path - 0.5) ** 2)


@case(np.array([0.4, 0.3, 0.2, 0.6]))
def gripper(x):
    """The object follows the hand once it is close enough."""

    def step(state, _):
        hand, thing = state
        hand = hand + 0.1 * (x[:2] - hand)
        near = jnp.sum((hand - thing) ** 2) < 0.05
        thing = jax.lax.cond(near, lambda: thing + 0.5 * (hand - thing), lambda: thing)  #: jumps
        return (hand, thing), None

    (_, thing), _ = jax.lax.scan(step, (jnp.zeros(2), x[2:]), None, length=20)
    return jnp.sum((thing - 0.5) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 1.1]))
def joint_limits(q):
    q = jnp.clip(q, -1.0, 1.0)  #: kinked
    tip = jnp.array([jnp.cos(q[0]) + jnp.cos(q[0] + q[1]), jnp.sin(q[0]) + jnp.sin(q[0] + q[1])])
    return jnp.sum((tip - jnp.array([1.0, 1.2])) ** 2)


@case(np.array([0.9, 0.4]))
def eight_bit(x):
    """A gain before a converter, and the error behind it."""
    code = jnp.clip(jnp.round(127 * x[0] * SIGNAL), -128, 127)  #: flat
    return jnp.mean((code / 127 - SIGNAL) ** 2) + (x[1] - 0.4) ** 2


@case(np.array([0.3, 0.2]))
def delta_sigma(x):
    """One bit from an integrator: nothing of the input passes but its timing."""

    def tick(acc, u):
        bit = jnp.where(acc >= 0, 1.0, -1.0)  #: flat
        return acc + x[0] * u + x[1] - bit, bit

    _, bits = jax.lax.scan(tick, jnp.asarray(0.1), SIGNAL)
    return jnp.mean((jnp.convolve(bits, TAPS, mode="same") - 0.5 * SIGNAL) ** 2)


@case(rng.normal(size=12))
def despike(s):
    padded = jnp.pad(s, 1, mode="edge")
    around = jnp.median(jnp.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)  #: kinked
    clean = jnp.where(jnp.abs(s - around) > 0.8, around, s)  #: jumps
    return jnp.sum((clean - 0.2) ** 2) + 0.05 * jnp.sum(s**2)


@case(rng.normal(size=12))
def zero_crossings(s):
    return jnp.sum(jnp.diff(jnp.sign(s)) != 0).astype(float)  #: flat


@case(np.array([0.3, 3.0, 0.8]))
def compressor(x):
    level = jnp.abs(x[2] * SIGNAL) + 1e-3  #: kinked
    over = jnp.log(level) - jnp.log(x[0] ** 2 + 0.1)
    gain = jnp.exp(-jnp.maximum(over, 0.0) * (1 - 1 / (1 + x[1] ** 2)))  #: kinked
    return jnp.mean((gain * level - 0.4) ** 2) + 0.01 * jnp.sum(x**2)


@case(np.array([0.4, -0.2, 0.9]))
def schmitt_trigger(x):
    """On above one level, off below another, in between as before."""

    def sample(on, s):
        on = (s > x[0]) | (on & (s > x[1]))  #: jumps
        return on, on * x[2] * s

    _, out = jax.lax.scan(sample, False, SIGNAL)
    return jnp.mean((out - 0.5) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([2.0, 0.8]))
def anti_windup(k):
    """The integrator stands still while the actuator is saturated."""

    def step(state, w):
        y, integral = state
        error = 1.0 - y
        wanted = k[0] * error + k[1] * integral
        u = jnp.clip(wanted, -1.5, 1.5)  #: kinked
        integral = jnp.where(jnp.abs(wanted) > 1.5, integral, integral + 0.1 * error)  #: jumps
        y = y + 0.1 * (u - y + w)
        return (y, integral), error**2 + 0.01 * u**2

    _, cost = jax.lax.scan(step, (jnp.asarray(0.0), jnp.asarray(0.0)), DISTURBANCE)
    return jnp.sum(cost)


@case(np.array([2.8, 0.5]))
def wrapped_heading(x):
    """The error is wrapped to half a turn; squared, both ends are worth the same."""
    error = (x[0] - 0.5 + jnp.pi) % (2 * jnp.pi) - jnp.pi  #: kinked
    return error**2 + x[1] ** 2


@case(rng.normal(size=5), "smooth")
def smoothstep(x):
    t = jnp.clip((x + 0.5) / 1.5, 0.0, 1.0)
    return jnp.sum(t * t * (3 - 2 * t)) + 0.1 * jnp.sum(x**2)


@case(np.array([0.1, 0.2]))
def range_finder(x):
    """The first obstacle that a ray meets; far away if none."""
    direction = jnp.array([jnp.cos(x[0]), jnp.sin(x[0])])
    along = OBSTACLES @ direction
    miss = jnp.sum(OBSTACLES**2, axis=1) - along**2
    hit = (miss < 0.36) & (along > 0)
    ranges = jnp.where(hit, along, 10.0)  #: jumps
    return (jnp.min(ranges) - 3.0) ** 2 + x[1] ** 2  # no two obstacles are ever hit at one distance


@case(np.array([1.27, 0.4]))
def stepper_motor(x):
    steps = jnp.floor(x[0] / 0.05)  #: flat
    return (steps * 0.05 - 1.0) ** 2 + (x[1] - steps * 0.01) ** 2


@case(np.array([3.0, 4.0]))
def landing_place(v):
    """Integrated until the ball is below the ground: where it is then."""

    def fly(s):
        x, y, vx, vy = s
        drag = 0.02 * jnp.sqrt(vx**2 + vy**2 + 1e-6)
        return x + 0.05 * vx, y + 0.05 * vy, vx - 0.05 * drag * vx, vy - 0.05 * (9.81 + drag * vy)

    x, *_ = jax.lax.while_loop(lambda s: s[1] >= 0.0, fly, (0.0, 0.5, v[0], v[1]))  #: jumps
    return (x - 3.0) ** 2 + 0.01 * jnp.sum(v**2)


@case(rng.normal(size=6), "smooth")
def unit_quaternions(x):
    a = jnp.concatenate([x[:3], jnp.ones(1)])
    b = jnp.concatenate([x[3:], jnp.ones(1)])
    a, b = a / jnp.linalg.norm(a), b / jnp.linalg.norm(b)
    return 1 - jnp.dot(a, b) ** 2 + 0.05 * jnp.sum(x**2)


@case(np.array([0.7, 0.2]))
def relay_count(x):
    """How often a heater is switched."""

    def minute(state, w):
        warm, on = state
        on = jnp.where(warm < 0.4, True, jnp.where(warm > 0.6, False, on))  #: jumps
        warm = warm + 0.1 * (x[0] * on - 0.4 * warm) + 0.02 * w
        return (warm, on), on

    (warm, _), on = jax.lax.scan(minute, (0.5 + x[1], True), DISTURBANCE)
    return jnp.sum(on[1:] != on[:-1]) + 10 * (warm - 0.5) ** 2
