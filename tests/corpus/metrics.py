"""Scores of models, and losses that stand in for them."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.label import case, over

rng = np.random.default_rng(104)
ROWS = jnp.asarray(rng.normal(size=(40, 3)))
HITS = jnp.asarray((rng.normal(size=40) + ROWS[:, 0] > 0).astype(float))
CLASSES = jnp.asarray(rng.integers(0, 3, 40))
GAIN = jnp.asarray([3.0, 0.0, 1.0, 2.0, 0.0, 0.0, 1.0, 0.0])
DOCUMENTS = jnp.asarray(rng.normal(size=(8, 3)))
FEATURE = jnp.asarray(np.sort(rng.normal(size=25)))
TARGET = jnp.asarray(np.tanh(2 * np.sort(rng.normal(size=25))))
R3, R9 = rng.normal(size=3), rng.normal(size=9)


@case(R9)
def top_1_error(w):
    guess = jnp.argmax(ROWS @ w.reshape(3, 3), axis=1)  #: flat
    return jnp.mean(guess != CLASSES)


@case(R3, "smooth")
def focal_loss(w):
    p = jax.nn.sigmoid(ROWS @ w)
    p_true = jnp.where(HITS == 1, p, 1 - p)
    return -jnp.mean((1 - p_true) ** 2 * jnp.log(p_true + 1e-6)) + 0.1 * jnp.sum(w**2)


@case(R3)
def discounted_gain(w):
    order = jnp.argsort(-(DOCUMENTS @ w))  #: flat
    dcg = jnp.sum(GAIN[order] / jnp.log2(jnp.arange(8) + 2.0))
    return 1.0 - dcg / 6.0 + 0.01 * jnp.sum(w**2)


@case(R3)
def pairs_out_of_order(w):
    s = ROWS @ w
    wrong = (s[:, None] <= s[None, :]) & (HITS[:, None] > HITS[None, :])  #: flat
    return jnp.sum(wrong) / jnp.sum(HITS[:, None] > HITS[None, :])


@case(R9)
def multiclass_hinge(w):
    s = ROWS @ w.reshape(3, 3)
    true = jax.nn.one_hot(CLASSES, 3)
    rival = jnp.max(s - 10.0 * true, axis=1)  #: kinked
    margin = 1.0 + rival - jnp.sum(s * true, axis=1)
    return jnp.mean(jax.nn.relu(margin)) + 0.1 * jnp.sum(w**2)  #: kinked


@case(R3)
def soft_f_score(w):
    """Counts of hard decisions; the threshold is at zero."""
    said = jnp.where(ROWS @ w > 0, 1.0, 0.0)  #: flat
    hits = jnp.sum(said * HITS)
    return 1.0 - 2.0 * hits / (jnp.sum(said) + jnp.sum(HITS))


@case(np.array([0.1, -0.6, 0.7]))
def split_at(x):
    """One split; the two leaves are free."""
    guess = jnp.where(x[0] > FEATURE, x[1], x[2])  #: jumps
    return jnp.mean((guess - TARGET) ** 2) + 0.01 * jnp.sum(x**2)


@case(R3)
def calibration(w):
    """Mean confidence against the share of hits, bin by bin."""
    p = jax.nn.sigmoid(ROWS @ w)
    bins = jnp.clip((5 * p).astype(int), 0, 4)
    gap = jax.ops.segment_sum(p - HITS, bins, 5)  #: jumps
    return jnp.sum(jnp.abs(gap)) / 40 + 0.1 * jnp.sum(w**2)  #: kinked


@case(R3)
def quantile_loss(w):
    e = HITS - ROWS @ w
    return jnp.mean(jnp.where(e > 0, 0.8 * e, -0.2 * e)) + 0.1 * jnp.sum(w**2)  #: kinked


@case(R3, "smooth")
def huber_by_hand(w):
    """The two pieces of Huber's loss meet with equal slopes."""
    e = HITS - ROWS @ w
    small = jnp.abs(e) < 0.5
    return jnp.mean(jnp.where(small, 0.5 * e**2, 0.5 * (jnp.abs(e) - 0.25))) + 0.1 * jnp.sum(w**2)


@case(0.5 * R3)
def clipped_training(x):
    """A few steps of training with clipped gradients, as a function of rate, decay and clip."""
    rate, decay, limit = jnp.exp(x - 1.0)

    def step(w, _):
        g = ROWS.T @ (ROWS @ w - HITS) / 40 + 0.1 * decay * w
        g = g * jnp.minimum(1.0, 0.3 * limit / jnp.sqrt(jnp.sum(g**2) + 1e-12))  #: kinked
        return w - rate * g, None

    w, _ = jax.lax.scan(step, jnp.ones(3), None, length=8)
    return jnp.mean((ROWS @ w - HITS) ** 2) + 0.01 * jnp.sum(x**2)


@case(over(descend.Real(3, start=R3)), "smooth")
def mixup(w, *, key):
    share = jax.random.beta(key, 2.0, 2.0, (40, 1))  #: stochastic
    rows = share * ROWS + (1 - share) * ROWS[::-1]
    hits = share[:, 0] * HITS + (1 - share[:, 0]) * HITS[::-1]
    return jnp.mean((rows @ w - hits) ** 2)


@case(R3)
def trimmed_error(w):
    squares = (ROWS @ w - HITS) ** 2
    kept = jnp.sort(squares)[:30]  #: kinked
    return jnp.mean(kept) + 0.05 * jnp.sum(w**2)
