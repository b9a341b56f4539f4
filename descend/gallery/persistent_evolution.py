"""Practical tradeoffs between memory, compute, and performance in learned optimizers (Metz et al., 2022).

Learned optimizers are meta-trained through long inner trainings, which are cut into windows. A gradient that sees only
the window in which it stands is biased: what a parameter does to later windows is left out. Persistent evolution
strategies draw a new mutation for each window, let each mutant go on from its own state, and credit the loss of a
window to the sum of all mutations so far: unbiased, with one window in memory. Of the paper this is the meta-training
only; the optimizers that it trains are not repeated.

Two unrolled problems of 100 steps in windows of 4. Influence balancing: a chain of 23 states in which a parameter helps
10 at first and hurts 13 later, so that its sign is seen only after many steps. A noisy quadratic with 8 curvatures from
1 to 0.01, followed in the mean: the learning rate and its decline, as logarithms, are to make the sum of losses small;
over a short horizon a faster decline is always better. Three numbers, all better if small: the relative error of the
mean of 2,000 pairs on influence balancing; log10 of its loss after 400 steps of Adam with 4 pairs each, over that after
as many exact gradients (at most 3); the same for the quadratic. The baselines are strategies that start every window
from the unmutated state, with as many pairs: ours without its key ingredient; and truncated backpropagation.
"""

import jax
import jax.numpy as jnp
import optax

from descend.domains import Real
from descend.problem import Problem
from descend.routes import Unroll, evolve, window

PAPER = "arXiv:2203.11860"
SYSTEM = 9
WHY = None  # the unrolled loss is smooth: what is at stake is what a window of it knows of the rest
CLAIM = (
    "persistent strategies are within 0.1 of the exact gradient where cut ones and truncated backpropagation err by "
    "more than 0.9, and end within 5 % of the loss that exact gradients reach, 10 times and 5 % below both of them"
)
SEEDS = 8
LENGTH, SIZE, SIGMA, STEPS, RATE, PAIRS, MANY = 100, 4, 0.1, 400, 0.05, 4, 2000
SCHEDULE = (-1.0, -3.0)


def problem():
    """The learning rate and its decline."""
    return Problem(quadratic(), over=Real(2, start=jnp.array(SCHEDULE)))


def run(key):
    """Shape (6,): bias, balance and schedule, against cut strategies and against truncated backpropagation."""
    first, later = jax.random.split(key)
    balance, start = influence(), jnp.array(0.5)
    exact = jax.grad(balance)(start)

    def numbers(method):
        bias = abs(jax.grad(method(balance, MANY))(start, key=first) / exact - 1)
        found = [bias]
        for f, at in ((balance, start), (quadratic(), jnp.array(SCHEDULE))):
            best = f(descended(f, lambda f, pairs: lambda x, *, key: f(x), at, later))
            excess = jnp.log10(f(descended(f, method, at, later)) / best)
            found.append(jnp.clip(jnp.nan_to_num(excess, nan=3.0), -3.0, 3.0))
        return jnp.stack(found)

    ours = numbers(lambda f, pairs: evolve(f, sigma=SIGMA, samples=2 * pairs, window=SIZE))
    backward = numbers(lambda f, pairs: lambda x, *, key: window(f, steps=SIZE)(x))
    return {"ours": jnp.concatenate([ours, ours]), "naive": jnp.concatenate([numbers(cut), backward])}


def holds(ours, naive):
    """Arguments have shape (seeds, 6)."""
    error, *excess = ours.mean(0)[:3]
    less = (naive - ours).mean(0)
    wrong = naive.mean(0)[[0, 3]].min() > 0.9 and less[[1, 4]].min() > 1 and less[[2, 5]].min() > 0.02
    return bool(error < 0.1 and max(excess) < 0.02 and wrong)


def influence():
    """The first of 23 states is to be 1; each moves halfway to the next one, and 13 are pushed the other way."""
    push = jnp.where(jnp.arange(23) < 10, 1.0, -1.0)

    def step(theta, state, t):
        state = (state + jnp.append(state[1:], 0.0)) / 2 + push * theta
        return state, (state[0] - 1) ** 2 / 2

    return Unroll(step, jnp.ones(23), LENGTH)


def quadratic():
    """Mean squares of 8 errors under gradient descent with noisy gradients."""
    curvature = jnp.geomspace(0.01, 1.0, 8)

    def step(theta, square, t):
        rate = jnp.exp(theta[0] + theta[1] * t / LENGTH)
        square = (1 - rate * curvature) ** 2 * square + rate**2 * curvature
        return square, curvature @ square / 2

    return Unroll(step, jnp.full(8, 10.0), LENGTH)


def cut(f, pairs):
    """Evolution strategies on the windows of f, each from the state that it has without mutation."""

    def windows(theta, here):
        def body(state, number):
            first = number * SIZE
            return f.run(here, state, first, SIZE)[0], f.run(theta, state, first, SIZE)[1]

        return jnp.sum(jax.lax.scan(body, f.start(here), jnp.arange(LENGTH // SIZE))[1])

    def routed(theta, *, key):
        here = jax.lax.stop_gradient(theta)
        return evolve(lambda theta: windows(theta, here), sigma=SIGMA, samples=2 * pairs)(theta, key=key)

    return routed


def descended(f, method, start, key):
    """The parameter after Adam with estimates of 4 pairs."""
    adam = optax.adam(optax.cosine_decay_schedule(RATE, STEPS))

    def step(carry, key):
        theta, state = carry
        updates, state = adam.update(jnp.nan_to_num(jax.grad(method(f, PAIRS))(theta, key=key)), state)
        return (optax.apply_updates(theta, updates), state), None

    return jax.lax.scan(step, (start, adam.init(start)), jax.random.split(key, STEPS))[0][0]
