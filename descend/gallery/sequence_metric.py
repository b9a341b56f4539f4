"""Differentiability of Problems: a language model trained on its metric (an essay, 2024).

The essay predicts that scalable estimates of objectives without a derivative are what language models lack: they are
trained on cross-entropy because that can be differentiated, and judged by what they write. Here a tiny character model
writes three letters after two given ones, in the lines of a sonnet, and is judged by the edit distance between what it
samples and what stands there. The distance is a loop over comparisons and minima of letters that were drawn: `jax.grad`
gives exactly zero. It is trained on that distance itself by four routes:

- score: the score function with the mean of the other runs taken off, sequence by sequence;
- enumerate: each letter summed over its alphabet, the others drawn (Rao-Blackwellized), sequence by sequence;
- smooth: antithetic noise on all weights, about 1,400, by values of the whole batch only;
- spsa: two values of the whole batch, all weights at once.

The baseline is cross-entropy for the same units (a gradient counts 3, and a run of the model on the batch 1); Adam with
the same rate everywhere. Where several continuations stand behind the same letters, cross-entropy learns how frequent
each is and samples accordingly, while the metric asks for the one that is nearest to all: what is gained is that
difference between a likelihood and a decision, not a better model. Expected distances are measured by 32 samples for
each place of the text.
"""

import jax
import jax.numpy as jnp
import optax

from descend.domains import Real
from descend.draws import categorical
from descend.problem import Problem
from descend.routes import enumerate, score, smooth, spsa

PAPER = ""
SYSTEM = "S0"
WHY = "stochastic"
CLAIM = (
    "trained on the edit distance itself by score, samples are at least 0.05 of a sequence nearer to the text than "
    "after cross-entropy of the same units; by enumerate, smooth and spsa they are not"
)
SEEDS = 5
TEXT = (
    "shall i compare thee to a summers day thou art more lovely and more temperate rough winds do shake the darling "
    "buds of may and summers lease hath all too short a date sometime too hot the eye of heaven shines"
)
ALPHABET = sorted(set(TEXT))
GIVEN, LENGTH, UNITS, RATE = 2, 3, 6000, 0.1


def problem():
    """The mean edit distance of what the model writes, as one would first state it."""
    return Problem(lambda weights, *, key: whole(distance, weights, key), over=Real((3, len(ALPHABET), len(ALPHABET))))


def run(key):
    """Results are mean edit distances as a share of the length; ablated are those of the other routes."""
    first, later, judged = jax.random.split(key, 3)
    start = 0.1 * jax.random.normal(first, (3, len(ALPHABET), len(ALPHABET)))

    def trained(loss, units):
        gradient = jax.grad(loss)
        adam = optax.adam(RATE)

        def step(carry, key):
            weights, state = carry
            updates, state = adam.update(gradient(weights, key=key), state)
            return (optax.apply_updates(weights, updates), state), None

        keys = jax.random.split(later, max(1, UNITS // units))
        weights = jax.lax.scan(step, (start, adam.init(start)), keys)[0][0]
        return jnp.mean(jax.vmap(lambda k: whole(distance, weights, k))(jax.random.split(judged, 32)))

    each = lambda route: lambda weights, *, key: whole(route(distance), weights, key)  # noqa: E731
    batch = lambda route: route(lambda weights, *, key: whole(distance, weights, key))  # noqa: E731
    runs = LENGTH * len(ALPHABET)
    others = [
        trained(each(enumerate(limit=runs)), 1 + 3 * runs),
        trained(batch(smooth(sigma=0.1, samples=64)), 65),
        trained(batch(spsa(step=0.1)), 3),
    ]
    likelihood = lambda weights, *, key: jnp.mean(jax.vmap(lambda i: nats(weights, i))(places()))  # noqa: E731
    scored = trained(each(score(samples=16)), 1 + 3 * 16)
    return {"ours": scored, "ablated": jnp.stack(others), "naive": trained(likelihood, 3)}


def holds(ours, naive):
    return bool(naive.mean() - ours.mean() > 0.05)


def places():
    return jnp.arange(len(TEXT) - GIVEN - LENGTH + 1)


def letters():
    return jax.nn.one_hot(jnp.array([ALPHABET.index(letter) for letter in TEXT]), len(ALPHABET))


def whole(loss, weights, key):
    """The mean over all places of the text, each with draws of its own."""
    return jnp.mean(jax.vmap(lambda i, k: loss(weights, i, key=k))(places(), jax.random.split(key, len(places()))))


def logits(weights, last, before, position):
    """A model of two letters back, by how far it has written: 3 tables of letters by letters."""
    return last @ weights[0] + before @ weights[1] + position * (last @ weights[2])


def nats(weights, i):
    """Cross-entropy of the continuation at a place."""
    text = jax.lax.dynamic_slice_in_dim(letters(), i, GIVEN + LENGTH)
    scores = [logits(weights, text[t - 1], text[t - 2], (t - GIVEN) / LENGTH) for t in range(GIVEN, GIVEN + LENGTH)]
    return -sum(jnp.sum(text[GIVEN + t] * jax.nn.log_softmax(s)) for t, s in zip(range(LENGTH), scores, strict=True))


def written(weights, i, key):
    """One-hot letters that the model samples after those given at a place."""
    text = jax.lax.dynamic_slice_in_dim(letters(), i, GIVEN)
    before, last, drawn = text[0], text[1], []
    for t in range(LENGTH):
        letter = categorical(jax.random.fold_in(key, t), logits(weights, last, before, t / LENGTH))
        before, last = last, letter
        drawn.append(letter)
    return jnp.stack(drawn)


def distance(weights, i, *, key):
    """Levenshtein's distance between the sample and the text, as a share of the length."""
    wanted = jnp.argmax(jax.lax.dynamic_slice_in_dim(letters(), i + GIVEN, LENGTH), axis=1)
    found = jnp.argmax(written(weights, i, key), axis=1)
    row = [jnp.asarray(float(j)) for j in range(LENGTH + 1)]
    for a in range(LENGTH):
        above, row = row, [jnp.asarray(a + 1.0)]
        for b in range(LENGTH):
            change = above[b] + jnp.where(found[a] == wanted[b], 0.0, 1.0)
            row.append(jnp.minimum(change, 1 + jnp.minimum(above[b + 1], row[b])))
    return row[LENGTH] / LENGTH
