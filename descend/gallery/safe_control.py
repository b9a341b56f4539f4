"""Safe neural control by a filter (a talk on constraints, 2024).

The talk's example of what descent on networks cannot promise is a controller that obeys limits. A layer can: it
changes what a network wants as little as needed to keep barriers positive, at every state, trained or not.

A mass on a line is pushed to targets, of which many lie beyond the walls at -1 and 1; its speed must stay within 1 as
well. Barriers are 1 -+ p, 1 -+ v and 1 -+ (p + v), which bounded pushes can keep. A result is first the share of
roll-outs, from states inside the barriers, in which a limit is passed by more than 1e-6, then log10 of the mean squared
distance from the target. Ours is a network trained through `layers.BarrierFilter`; ablated is the same network without
the filter; naive is trained with a penalty on what is passed, the lowest share of four weights. A larger weight does
not settle it: the penalty sees the states of the training, and a smooth network turns back late. With 5 seeds the
difference was not confirmed (z of 3.2): trainings with a penalty end differently.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from descend.constraints import between
from descend.domains import Real
from descend.layers import BarrierFilter
from descend.problem import Problem

PAPER = "talk S4"
SYSTEM = "S4"
WHY = "constrained"
CLAIM = (
    "through the filter no limit is passed in 100,000 roll-outs (16,000 unless full=True), where penalized training "
    "passes one in more than 1 % at best, and the distance from the target is no larger"
)
SEEDS = 8
ROLLOUTS, STEPS, STEP, PUSH = 2000, 20, 0.2, 2.0
UPDATES, BATCH, HIDDEN = 150, 32, 16
WEIGHTS = (1.0, 10.0, 100.0, 1000.0)
MOVE, EFFECT = np.array([[1.0, STEP], [0.0, 1.0]]), np.array([[STEP**2 / 2], [STEP]])
SIDES = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # p, v and p + v, each at most 1 in size


def barriers(x):
    return jnp.concatenate([1 - SIDES @ x, 1 + SIDES @ x])


FILTER = BarrierFilter(
    barriers, lambda x: MOVE @ x, lambda x: jnp.asarray(EFFECT, x.dtype), 0.5, [-PUSH], [PUSH], 2, sampled=True
)


def problem():
    """Pushes that bring the mass from rest to a target beyond the wall, which it must not pass."""

    def path(pushes):
        return jax.lax.scan(lambda x, u: (MOVE @ x + EFFECT[:, 0] * u,) * 2, jnp.array([0.0, 0.9]), pushes)[1]

    far = lambda pushes: jnp.mean((path(pushes)[:, 0] - 1.3) ** 2)  # noqa: E731
    return Problem(far, Real(STEPS, -PUSH, PUSH), [between(path, -1.0, 1.0)])


def run(key, *, full=False):
    begin, learning, trial = jax.random.split(key, 3)
    start, tests = network(begin), situations(trial, 100_000 // SEEDS if full else ROLLOUTS)
    safe = lambda x, u: FILTER(x, u)  # noqa: E731
    free = lambda x, u: u  # noqa: E731
    ours = trained(start, safe, 0.0, learning)
    punished = jax.lax.map(
        lambda weight: tried(trained(start, free, weight, learning), free, tests), jnp.array(WEIGHTS)
    )
    return {
        "ours": tried(ours, safe, tests),
        "ablated": tried(ours, free, tests),
        "naive": punished[jnp.argmin(punished[:, 0])],
    }


def holds(ours, naive):
    """Arguments have shape (seeds, 2)."""
    return bool(ours[:, 0].max() == 0 and naive[:, 0].mean() > 0.01 and (ours - naive)[:, 1].mean() < 0)


def network(key):
    first, second = jax.random.split(key)
    return {
        "in": jax.random.normal(first, (3, HIDDEN)),
        "bias": jnp.zeros(HIDDEN),
        "out": jax.random.normal(second, (HIDDEN, 1)) / HIDDEN**0.5,
    }


def situations(key, count):
    """States inside all barriers and targets, of shape (count, 3)."""
    place, goal = jax.random.split(key)
    sums, speeds = 2 * jax.random.uniform(place, (2, count)) - 1
    states = jnp.stack([jnp.clip(sums - speeds, -1, 1), speeds], axis=1)
    return jnp.concatenate([states, 3 * jax.random.uniform(goal, (count, 1)) - 1.5], axis=1)


def driven(w, guard, situation):
    """The states of one roll-out, shape (STEPS, 2)."""
    state, target = situation[:2], situation[2]

    def step(x, _):
        wish = jnp.tanh(jnp.append(x, target) @ w["in"] + w["bias"]) @ w["out"]
        x = MOVE @ x + EFFECT @ guard(x, PUSH * jnp.tanh(wish))
        return x, x

    return jax.lax.scan(step, state, length=STEPS)[1]


def scored(w, guard, situation):
    """By how much a limit is passed at most, what a penalty sees of that, and the mean squared distance."""
    states = driven(w, guard, situation)
    over = jnp.maximum(jnp.abs(states) - 1, 0)
    return jnp.max(over), jnp.mean(over**2), jnp.mean((states[:, 0] - situation[2]) ** 2)


def trained(w, guard, weight, key):
    adam = optax.adam(optax.cosine_decay_schedule(0.02, UPDATES))

    def loss(w, batch):
        _, over, distance = jax.vmap(lambda s: scored(w, guard, s))(batch)
        return jnp.mean(distance + weight * over)

    def step(carry, key):
        w, state = carry
        updates, state = adam.update(jax.grad(loss)(w, situations(key, BATCH)), state)
        return (optax.apply_updates(w, updates), state), None

    return jax.lax.scan(step, (w, adam.init(w)), jax.random.split(key, UPDATES))[0][0]


def tried(w, guard, tests):
    passed, _, distance = jax.lax.map(lambda s: scored(w, guard, s), tests, batch_size=500)
    return jnp.stack([jnp.mean(passed > 1e-6), jnp.log10(jnp.mean(distance))])
