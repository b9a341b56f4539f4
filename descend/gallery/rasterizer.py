"""Transforming a Non-Differentiable Rasterizer into a Differentiable One (Deliot, Heitz, Belcour, 2024).

A rasterizer decides for every pixel which triangle is in front: the derivative sees colors and never an edge. Two
pictures of randomly perturbed scenes give a gradient of their difference, but one whose noise grows with the number of
parameters. The system credits the change of a pixel only to the triangles that were seen there, known from a picture of
their numbers: few, however large the scene. That is the route `local`.

A photograph of 32 x 32 pixels is approached by 16 and by 128 opaque triangles with depths, 10 numbers each, that start
gray and at random places: 200 steps of Adam, one pair of pictures each, at the rate that is the best of 0.003, 0.01 and
0.03 for each method. Results are the final ratios of signal to noise, in units of 10 dB, against two baselines: every
pixel credited to all triangles, which is ours without its key ingredient, and `jax.grad`, exact for the colors and zero
for all else, for as many units; and the share of signal in the square of one gradient, in a scene of random colors: its
product with the mean of 160 independent ones that credit all triangles, whose noise has no consequence, over its own
square. The reference has what ours lacks: what a triangle hides or uncovers elsewhere is not credited to it. Not
repeated: textures, and scenes of millions.
"""

import jax
import jax.numpy as jnp
import optax

from descend.datasets import photograph
from descend.domains import Real
from descend.problem import Problem
from descend.routes import local, smooth

PAPER = "arXiv:2404.09758"
SYSTEM = 70
WHY = "jumps"
CLAIM = (
    "credit by pixel ends 1.5 dB or more above credit to all with 16 triangles, 3 dB with 128, and 1.5 dB above "
    "jax.grad; the share of signal in a gradient keeps 0.6 of its size from 16 to 128, where the other loses 0.6"
)
SEEDS = 5
SIDE, TRIANGLES, SIGMA, STEPS, RATE, PAIRS = 32, (16, 128), 0.03, 200, 0.01, 160


def problem():
    """How far the picture of 16 triangles is from the photograph."""
    start = scene(jax.random.key(0), 16)
    return Problem(lambda triangles: jnp.sum(errors(triangles)), over=Real(start.shape, start=start, scale=0.1))


def run(key):
    """Shape (6,): ratios for few and many triangles, against each baseline; signals for few and many."""
    total = lambda triangles: jnp.sum(errors(triangles))  # noqa: E731
    credited = local(errors, touched=seen, sigma=SIGMA, samples=2)
    ours = jax.grad(lambda x, *, key: jnp.sum(credited(x, key=key)))
    whole = jax.grad(smooth(total, sigma=SIGMA, samples=2))
    exact = lambda x, *, key: jax.grad(total)(x)  # noqa: E731
    ratios = [
        jnp.stack([fitted(gradient, jax.random.fold_in(key, count), count) for count in TRIANGLES])
        for gradient in (ours, whole, exact)
    ]
    near = jnp.stack([signals(ours, whole, jax.random.fold_in(key, 1000 + count), count) for count in TRIANGLES], 1)
    return {
        "ours": jnp.concatenate([ratios[0], ratios[0], near[0]]),
        "naive": jnp.concatenate([ratios[1], ratios[2], near[1]]),
    }


def holds(ours, naive):
    """Arguments have shape (seeds, 6)."""
    gain, kept = (ours - naive).mean(0)[:4], ours.mean(0)[5] / ours.mean(0)[4]
    lost = naive.mean(0)[5] / naive.mean(0)[4]
    return bool(gain[0] > 0.15 and gain[1] > 0.3 and gain[2:].min() > 0.15 and kept > 0.6 and lost < 0.4)


def fitted(gradient, key, count):
    adam = optax.adam(optax.cosine_decay_schedule(RATE, STEPS))

    def step(carry, key):
        triangles, state = carry
        updates, state = adam.update(gradient(triangles, key=key), state)
        return (optax.apply_updates(triangles, updates), state), None

    start = scene(key, count)
    triangles = jax.lax.scan(step, (start, adam.init(start)), jax.random.split(key, STEPS))[0][0]
    return -jnp.log10(jnp.sum(errors(triangles)))


def signals(ours, whole, key, count):
    """The share of the square of one gradient, of either kind, that is the smoothed gradient."""
    first, colors, many, few = jax.random.split(key, 4)
    triangles = scene(first, count)
    triangles = triangles.at[:, 7:].set(jax.random.uniform(colors, (count, 3), jnp.float32))

    def drawn(gradient, keys):
        return jax.lax.map(lambda k: gradient(triangles, key=k), keys, batch_size=10)

    reference, local = drawn(whole, jax.random.split(many, PAIRS)), drawn(ours, jax.random.split(few, PAIRS // 4))
    square = lambda each: jnp.mean(jnp.sum(each**2, axis=(1, 2)))  # noqa: E731
    signal = jnp.sum(reference[::2].mean(0) * reference[1::2].mean(0)) / square(reference)
    return jnp.stack([jnp.sum(local.mean(0) * reference.mean(0)) / square(local), signal])


def scene(key, count):
    """Triangles of random places and depths, gray: rows of three corners, a depth and a color, (count, 10)."""
    places, turns, depths = jax.random.split(key, 3)
    center = jax.random.uniform(places, (count, 1, 2), jnp.float32)
    angle = 2 * jnp.pi * (jax.random.uniform(turns, (count, 1), jnp.float32) + jnp.arange(3)[None] / 3)
    corners = center + 1.2 / count**0.5 * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=2)
    depth, gray = jax.random.uniform(depths, (count, 1), jnp.float32), jnp.full((count, 3), 0.5, jnp.float32)
    return jnp.concatenate([corners.reshape(count, 6), depth, gray], axis=1)


def rasterized(triangles):
    """For each pixel, the number of the triangle in front or -1, (pixels,), and its color, (pixels, 3)."""
    middle = (jnp.arange(SIDE, dtype=triangles.dtype) + 0.5) / SIDE
    y, x = (each.reshape(-1, 1) for each in jnp.meshgrid(middle, middle, indexing="ij"))
    corners = triangles[:, :6].T[:, None]

    def side(a, b):
        """On which side of the line from one corner to the next."""
        (ay, ax), (by, bx) = corners[2 * a : 2 * a + 2], corners[2 * b : 2 * b + 2]
        return (by - ay) * (x - ax) - (bx - ax) * (y - ay)

    sides = jnp.stack([side(0, 1), side(1, 2), side(2, 0)])
    inside = jnp.all(sides >= 0, axis=0) | jnp.all(sides <= 0, axis=0)
    front = jnp.argmin(jnp.where(inside, triangles[:, 6][None], jnp.inf), axis=1)
    covered = jnp.any(inside, axis=1)
    return jnp.where(covered, front, -1), jnp.where(covered[:, None], triangles[front, 7:], 0.5)


def seen(triangles):
    return rasterized(triangles)[0][:, None]


def errors(triangles):
    """What each pixel adds to the mean squared error, shape (pixels,)."""
    goal = jnp.asarray(photograph(SIDE).reshape(-1, 3), triangles.dtype)
    return jnp.mean((rasterized(triangles)[1] - goal) ** 2, axis=1) / len(goal)
