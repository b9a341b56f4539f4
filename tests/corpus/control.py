"""Controllers, geometry, paths."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.corpus.helpers import soft_threshold, toll
from tests.corpus.label import case

rng = np.random.default_rng(12)
G2, G3, G8, G10 = (rng.normal(size=n) for n in (2, 3, 8, 10))
OBSTACLES = jnp.asarray(rng.normal(size=(4, 2)))
PLANT = jnp.array([[1.0, 0.1], [-0.1, 0.95]])


@case(0.3 * G2, "smooth")
def linear_feedback(k):
    def step(s, _):
        u = -k @ s
        s = PLANT @ s + jnp.array([0.0, 0.1]) * u
        return s, s @ s + 0.1 * u**2

    _, cost = jax.lax.scan(step, jnp.array([1.0, -0.5]), None, length=30)
    return jnp.sum(cost)


@case(G2)
def bang_bang(k):
    def step(s, _):
        u = jnp.sign(k @ s)  #: flat
        s = PLANT @ s - jnp.array([0.0, 0.1]) * u
        return s, s @ s

    _, cost = jax.lax.scan(step, jnp.array([1.0, -0.5]), None, length=30)
    return jnp.sum(cost)


@case(3 * G2)
def saturated(k):
    def step(s, _):
        u = jnp.clip(k @ s, -1.0, 1.0)  #: kinked
        s = PLANT @ s - jnp.array([0.0, 0.1]) * u
        return s, s @ s + 0.1 * u**2

    _, cost = jax.lax.scan(step, jnp.array([1.0, -0.5]), None, length=20)
    return jnp.sum(cost)


@case(G8)
def dead_zone(u):
    moved = jnp.where(jnp.abs(u) < 0.5, 0.0, u)  #: jumps
    return jnp.sum((moved - 1.0) ** 2)


@case(G8, helpers=(soft_threshold,))
def soft_dead_zone(u):
    return jnp.sum((soft_threshold(u, 0.5) - 1.0) ** 2)


@case(np.array([0.7, 0.2, -0.4, 0.9]))
def rate_limited(u):
    def step(y, target):
        y = y + jnp.clip(target - y, -0.3, 0.3)  #: kinked
        return y, y

    _, path = jax.lax.scan(step, 0.0, u)
    return jnp.sum((path - 0.5) ** 2) + 0.1 * jnp.sum(u**2)


@case(G10, "smooth")
def keep_apart(x):
    """Hinges squared: the slope does not jump."""
    p = x.reshape(5, 2)
    gaps = p[:, None] - p[None]
    distance = jnp.sqrt(jnp.sum(gaps**2, -1) + jnp.eye(5))
    return jnp.sum(jax.nn.relu(1.5 - distance) ** 2) + 0.1 * jnp.sum(x**2)


@case(G2)
def clearance(p):
    nearest = jnp.min(jnp.linalg.norm(OBSTACLES - p[None], axis=1))  #: kinked
    return -nearest + 0.3 * jnp.sum(p**2)


@case(np.array([0.4, 0.5]), thorough=("unbounded",), helpers=(toll,))
def toll_road(x):
    return jnp.sum(jax.vmap(toll)(x)) + x[0] ** 2


@case(np.array([0.8, -0.6]))
def heading(p):
    angle = jnp.arctan2(p[1], p[0])  #: jumps
    return (angle - 0.5) ** 2 + 0.1 * jnp.sum(p**2)


@case(np.array([0.1, 0.1, 0.9, 0.8]))
def box_overlap(b):
    low = jnp.maximum(b[:2], 0.3)  #: kinked
    high = jnp.minimum(b[2:], 1.0)  #: kinked
    sides = jnp.maximum(high - low, 0.0)  #: kinked
    inter = sides[0] * sides[1]
    return -inter + 0.1 * jnp.sum(b**2)


@case(G10)
def path_length(x):
    steps = jnp.abs(jnp.diff(x.reshape(5, 2), axis=0))
    return jnp.sum(jnp.max(steps, axis=1)) + 0.1 * jnp.sum(x**2)  #: kinked


@case(0.5 * G3)
def gear(x):
    speed = x[0] ** 2 + jnp.exp(x[1])
    ratio = jnp.select([speed < 1.0, speed < 2.0], [3.0, 2.0], 1.0)  #: jumps
    return ratio * speed + x[2] ** 2


@case(np.array([0.7]))
def battery(u):
    charge = jnp.where(u > 0, 0.9 * u, u / 0.9)  #: kinked
    return jnp.sum((charge - 0.1) ** 2 + 0.5 * charge)


@case(G3, "smooth")
def quaternion(v):
    q = jnp.concatenate([jnp.ones(1), v])
    w, x, y, z = q / jnp.linalg.norm(q)
    return (1 - 2 * (y**2 + z**2)) + 2 * (x * y - w * z) + 0.5 * jnp.sum(v**2)
