"""Unlocking the Potential of Difficulty Prior in RL-based Multimodal Reasoning (Chen et al., 2025).

GRPO samples a group of answers to each prompt and credits each answer with its reward less the mean of the group, over
the deviation. A group in which all are right or all are wrong says nothing, so that prompts of middling difficulty
dominate: the gradient is as long as sqrt(p (1 - p)), where p is the share of right answers. The system counts on
difficulty in advance: it drops the prompts of which the base policy gets all or none right, weighs the credit of each
group by a falling function of its p, here exp(1/2 - p) over its mean in the batch, and trains in a second stage on
what is still solved at most a quarter of the time.

A verifier of toys: strings of 1 to 8 pairs of digits are to be added modulo 10, and all sums must be right; the policy
is a small network, the same for each pair, whose base gets a pair right half the time. Every method has 40 steps with
64 groups of 8 answers, and the best of three rates of Adam; the answers that it takes to choose prompts are free.
Scored is the exact probability of a right answer to 1,000 new strings of 3 pairs or more. Ours is the weighting alone;
the baselines are GRPO and the whole recipe. Third, the squared correlation of the mean length of a group's gradient
with sqrt(p (1 - p)) over 96 strings at the base policy, against that with p.

The weighting pays. The choice of prompts does not reproduce: what the base never solves is solved later, and is worth
more than what is saved, although the choice is free. Where tokens are nearly always right (0.8) the law of the length
is gone as well. The constants of the weights are not those of the paper, which were not to be had; hints, and language
models, are not repeated.
"""

import jax
import jax.numpy as jnp
import optax
from jax.nn import log_softmax, one_hot, relu, softmax

from descend.domains import Weights
from descend.draws import categorical
from descend.problem import Problem

PAPER = "arXiv:2505.13261"
SYSTEM = 87
WHY = "stochastic"
CLAIM = (
    "weighting groups by exp(1/2 - p) ends 0.015 or more above GRPO in right answers to new strings and 0.05 above the "
    "whole recipe, whose choice of prompts does not pay; sqrt(p (1 - p)) explains 0.9 of the length of a gradient"
)
SEEDS = 5
BASE, LONGEST, HIDDEN, START = 10, 8, 48, 0.5
GROUP, BATCH, STEPS, POOL, RATES = 8, 64, 40, 512, (2e-2, 4e-2, 8e-2)


def problem():
    """The share of 32 strings that a sampled answer gets right."""
    weights, (pairs, length) = network(jax.random.key(0)), strings(jax.random.key(1), 32)

    def share(weights, *, key):
        drawn = categorical(key, logits(weights, pairs))
        right = jnp.argmax(drawn, axis=2) == sums(pairs)
        return jnp.mean(jnp.all(right | ~within(length), axis=1).astype(float))

    return Problem(share, over=Weights(weights), sense="max")


def run(key):
    """Shape (3,): against GRPO, against the whole recipe, and the law of the length."""
    first, pool, training, judged, looked = jax.random.split(key, 5)
    weights, prompts = base(first), strings(pool, POOL)

    def plain(weigh, rate):
        return trained(weights, prompts, jnp.ones(POOL), training, STEPS, rate, weigh)

    def recipe(rate):
        """Drop, train for three quarters of the time, keep the hard ones, train for the rest."""
        keys = jax.random.split(looked, 4)
        share = answers(weights, prompts, keys[0])[1].mean(0)
        some, early = (share > 0) & (share < 1), STEPS * 3 // 4
        middle = trained(weights, prompts, some, keys[1], early, rate, harder)
        share = answers(middle, prompts, keys[2])[1].mean(0)
        hard = (share > 0) & (share <= 0.25)
        kept = jnp.where(jnp.any(hard), hard, some)
        return trained(middle, prompts, kept, keys[3], STEPS - early, rate, harder)

    best = lambda train: jnp.max(jnp.stack([score(train(rate), judged) for rate in RATES]))  # noqa: E731
    weighted = best(lambda rate: plain(harder, rate))
    law, other = lengths(weights, judged)
    return {
        "ours": jnp.stack([weighted, weighted, law]),
        "naive": jnp.stack([best(lambda rate: plain(jnp.ones_like, rate)), best(recipe), other]),
    }


def holds(ours, naive):
    """Arguments have shape (seeds, 3)."""
    plain, recipe, law = (ours - naive).mean(0)
    return bool(plain > 0.015 and recipe > 0.05 and law > 0.05 and ours.mean(0)[2] > 0.9)


def harder(share):
    return jnp.exp(0.5 - share)


def strings(key, count):
    """Pairs of digits, (count, LONGEST, 2), and how many of them count, (count,)."""
    digits, length = jax.random.split(key)
    pairs = jax.random.randint(digits, (count, LONGEST, 2), 0, BASE)
    return pairs, jax.random.randint(length, (count,), 1, LONGEST + 1)


def sums(pairs):
    return jnp.sum(pairs, axis=-1) % BASE


def within(length):
    return jnp.arange(LONGEST)[None] < length[:, None]


def network(key):
    he, (a, b) = jax.nn.initializers.he_normal(), jax.random.split(key)
    return he(a, (2 * BASE, HIDDEN), jnp.float32), he(b, (HIDDEN, BASE), jnp.float32)


def logits(weights, pairs):
    flat = one_hot(pairs, BASE, dtype=jnp.float32).reshape(-1, 2 * BASE)
    return (relu(flat @ weights[0]) @ weights[1]).reshape(*pairs.shape[:-1], BASE)


def base(key):
    """Taught on all pairs until the mean probability of the right sum is START."""
    pairs = jnp.stack(jnp.divmod(jnp.arange(BASE**2), BASE), axis=1)
    right = one_hot(sums(pairs), BASE, dtype=jnp.float32)
    adam = optax.adam(3e-3)

    def step(carry):
        weights, state = carry
        loss = lambda weights: -jnp.mean(jnp.sum(right * log_softmax(logits(weights, pairs)), axis=1))  # noqa: E731
        updates, state = adam.update(jax.grad(loss)(weights), state)
        return optax.apply_updates(weights, updates), state

    weak = lambda carry: jnp.mean(jnp.sum(right * softmax(logits(carry[0], pairs)), axis=1)) < START  # noqa: E731
    weights = network(key)
    return jax.lax.while_loop(weak, step, (weights, adam.init(weights)))[0]


def log_probability(weights, prompts, drawn):
    """Of answers, (answers, prompts, LONGEST), to each prompt: (answers, prompts)."""
    pairs, length = prompts
    each = jnp.take_along_axis(log_softmax(logits(weights, pairs))[None], drawn[..., None], axis=3)[..., 0]
    return jnp.sum(jnp.where(within(length)[None], each, 0), axis=2)


def answers(weights, prompts, key):
    """A group of answers to each prompt, and whether each is right."""
    pairs, length = prompts
    drawn = jax.random.categorical(key, logits(weights, pairs)[None], shape=(GROUP, *pairs.shape[:2]))
    right = (drawn == sums(pairs)[None]) | ~within(length)[None]
    return drawn, jnp.all(right, axis=2).astype(jnp.float32)


def gradient(weights, prompts, key, weigh):
    drawn, right = answers(weights, prompts, key)
    share = right.mean(0)
    credit = (right - share[None]) / (right.std(0) + 1e-4)[None] * (weigh(share) / weigh(share).mean())[None]
    return jax.grad(lambda weights: -jnp.mean(credit * log_probability(weights, prompts, drawn)))(weights)


def trained(weights, prompts, chosen, key, steps, rate, weigh):
    adam = optax.adam(rate)

    def step(carry, key):
        weights, state = carry
        which, drawn = jax.random.split(key)
        rows = jax.random.choice(which, POOL, (BATCH,), p=chosen / jnp.sum(chosen))
        updates, state = adam.update(gradient(weights, [each[rows] for each in prompts], drawn, weigh), state)
        return (optax.apply_updates(weights, updates), state), None

    return jax.lax.scan(step, (weights, adam.init(weights)), jax.random.split(key, steps))[0][0]


def probability(weights, prompts):
    return jnp.exp(log_probability(weights, prompts, sums(prompts[0])[None])[0])


def score(weights, key):
    """The mean probability of a right answer to new strings of 3 pairs or more."""
    prompts = strings(key, 1000)
    return jnp.mean(probability(weights, prompts), where=prompts[1] >= 3)


def lengths(weights, key):
    """Squared correlations of the mean length of the gradient of a group with sqrt(p (1 - p)) and with p."""
    prompts = strings(key, 96)

    def length(row):
        one = [each[row][None] for each in prompts]
        keys = jax.random.split(jax.random.fold_in(key, row), 32)
        drawn = jax.vmap(lambda k: gradient(weights, one, k, jnp.ones_like))(keys)
        return jnp.mean(jnp.sqrt(sum(jnp.sum(each**2, axis=(1, 2)) for each in drawn)))

    p, found = probability(weights, prompts), jax.lax.map(length, jnp.arange(96))
    square = lambda x: jnp.corrcoef(x, found)[0, 1] ** 2  # noqa: E731
    return square(jnp.sqrt(p * (1 - p))), square(p)
