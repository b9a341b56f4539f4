"""GD doesn't make the cut: three ways that non-differentiability affects training (Kumar, 2024).

A gradient method that is run on kinks as if they were not there is another method: with a constant step it chatters in
a band around every kink instead of settling on it. The second of the paper's ways is the paradox of the LASSO: with a
fixed step, a larger penalty on the absolute values of the weights makes them larger. Once the penalty lambda is more
than the data's slope, each weight jumps between both sides of zero in steps of rate times lambda, so that the sum of
absolute values is about (rate lambda / 2) per weight: linear in lambda, and no weight is zero, whatever is pruned.

Random sparse regression, 100 rows and 300 weights of which 10 are not zero; lambda is 0.1, 1 and 10; 2,000 steps of one
rate, half of that at which the smooth part alone would diverge. Naive follows `jax.grad` of the whole; ours takes the
kink out of it and applies its proximal map (ISTA). Reported are the ratios of the sums of absolute values from each
lambda to the next larger, and the share of weights that are not zero at lambda = 1. The first and third ways (rates
of convergence, and the sharpness at the edge of stability, of which the versions of the paper say different things)
are not repeated.
"""

import jax
import jax.numpy as jnp

from descend.domains import Real
from descend.problem import Problem

PAPER = "arXiv:2401.08426"
SYSTEM = 16
WHY = "kinked"
CLAIM = (
    "with the proximal map the sum of absolute values falls by over 10 % from each lambda to the next and over 90 % of "
    "the weights are zero; with jax.grad it falls by less, then rises to more than twice, and none is zero"
)
SEEDS = 10
ROWS, WEIGHTS, STEPS, LAMBDAS = 100, 300, 2000, (0.1, 1.0, 10.0)


def problem():
    x, y = example(jax.random.key(0))
    return Problem(lambda w: data(w, x, y) + jnp.sum(jnp.abs(w)), over=Real(WEIGHTS))


def run(key):
    x, y = example(key)
    rate = 0.5 * ROWS / jnp.linalg.norm(x, 2) ** 2
    lambdas = jnp.array(LAMBDAS)

    def plain(w, penalty):
        return w - rate * jax.grad(lambda w: data(w, x, y) + penalty * jnp.sum(jnp.abs(w)))(w)

    def proximal(w, penalty):
        w = w - rate * jax.grad(data)(w, x, y)
        return jnp.sign(w) * jnp.maximum(jnp.abs(w) - rate * penalty, 0.0)

    def judged(step):
        start = 0.1 * jax.random.normal(jax.random.fold_in(key, 1), (WEIGHTS,))
        end = lambda penalty: jax.lax.fori_loop(0, STEPS, lambda _, w: step(w, penalty), start)  # noqa: E731
        found = jax.vmap(end)(lambdas)
        sums = jnp.sum(jnp.abs(found), axis=1)
        ratios = sums[1:] / jnp.maximum(sums[:-1], 1e-9)
        return jnp.append(ratios, jnp.mean(found[1] != 0))

    return {"ours": judged(proximal), "naive": judged(plain)}


def holds(ours, naive):
    """Arguments have shape (seeds, 3)."""
    falls = (ours[:, :2].mean(0) < 0.9).all() and ours[:, 2].mean() < 0.1
    less, rises, left = naive.mean(0)
    return bool(falls and less > 0.9 and rises > 2 and left == 1)


def data(w, x, y):
    return jnp.mean((x @ w - y) ** 2) / 2


def example(key):
    inputs, weights, noise = jax.random.split(key, 3)
    true = jnp.where(jnp.arange(WEIGHTS) < 10, 3 * jax.random.normal(weights, (WEIGHTS,)), 0.0)
    x = jax.random.normal(inputs, (ROWS, WEIGHTS))
    return x, x @ true + 0.1 * jax.random.normal(noise, (ROWS,))
