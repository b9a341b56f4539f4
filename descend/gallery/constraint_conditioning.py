"""Reparametrization and barriers spoil the conditioning (a talk on constraints, 2024).

The talk says of two usual ways to keep a variable positive in gradient descent, to square it and to add a barrier, that
both mess up the conditioning of the problem, and that classical methods do better. Measured on convex quadratics of 20
variables that must not be negative: condition number 10, ten bounds active at the minimizer, three of those with
multiplier zero, everything else drawn by seed.

A result is four numbers, all log10. The first is the number of steps to within 1e-4 of the minimizer, at most 200,000:
ours is gradient descent with projection and the step 1/L, naive descends in u with x = u^2, the best of four steps. The
others are the condition numbers of the Hessians that a method meets for an accuracy mu of 1e-2, 1e-4 and 1e-6: ours is
that of the free variables, naive that at the minimizer of the logarithmic barrier with weight mu. Where a multiplier is
zero the Hessian in u is singular, so that its descent has no linear rate at all.
"""

import jax
import jax.numpy as jnp
import numpy as np

from descend.domains import Real
from descend.problem import Problem

PAPER = "talk S4"
SYSTEM = "S4"
WHY = "constrained"
CLAIM = (
    "projected descent takes less than 100 steps where descent in squared variables takes more than 100 times as many, "
    "and the condition number of the barrier grows as 1 / mu within 5 % where that of the free variables is below 10"
)
SEEDS = 10
N, ACTIVE, WEAK = 20, 10, 3
TOLERANCE, MOST = 1e-4, 200_000
WEIGHTS = (1e-2, 1e-4, 1e-6)
POSITIVE = Real(N, lower=0.0)


def quadratic(key):
    """A matrix of condition number 10, a linear term, and the minimizer over x >= 0."""
    turn, inside, forces = jax.random.split(key, 3)
    q = jnp.linalg.qr(jax.random.normal(turn, (N, N)))[0]
    a = (q * jnp.logspace(0, 1, N)[None]) @ q.T
    free = jnp.arange(N) >= ACTIVE
    x = jnp.where(free, jax.random.uniform(inside, (N,), minval=0.5, maxval=1.5), 0)
    force = jax.random.uniform(forces, (N,), minval=0.5, maxval=1.5)
    return a, jnp.where(free | (jnp.arange(N) < WEAK), 0, force) - a @ x, x


def problem():
    a, c, _ = quadratic(jax.random.key(0))
    return Problem(lambda x: x @ a @ x / 2 + c @ x, over=POSITIVE)


def steps(step, start, seen, x):
    """How often `step` is taken until `seen` of the state is near x."""
    far = lambda state: ~(jnp.max(jnp.abs(seen(state) - x)) < TOLERANCE)  # noqa: E731
    go_on = lambda carry: (carry[1] < MOST) & far(carry[0])  # noqa: E731
    return jax.lax.while_loop(go_on, lambda carry: (step(carry[0]), carry[1] + 1), (start, 0))[1]


def barrier(a, c):
    """The Hessians at the minimizers of x a x / 2 + c x - mu sum(log x), by Newton's method from one to the next."""

    def newton(_, carry):
        x, mu = carry
        move = -jnp.linalg.solve(a + jnp.diag(mu / x**2), a @ x + c - mu / x)
        longest = jnp.min(jnp.where(move < 0, -x / move, jnp.inf))
        return x + jnp.minimum(1, 0.9 * longest) * move, mu

    x, hessians = jnp.ones(N), []
    for mu in WEIGHTS:
        x, _ = jax.lax.fori_loop(0, 60, newton, (x, mu))
        hessians.append(a + jnp.diag(mu / x**2))
    return jnp.stack(hessians)


def run(key):
    a, c, x = quadratic(key)
    slope = lambda x: a @ x + c  # noqa: E731
    projected = steps(lambda x: POSITIVE.project(x - slope(x) / 10), jnp.ones(N), lambda x: x, x)

    def squared(rate):
        return steps(lambda u: u - rate * 2 * u * slope(u * u), jnp.ones(N), lambda u: u * u, x)

    best = jnp.min(jax.vmap(squared)(jnp.array([0.003, 0.01, 0.02, 0.04])))
    free = jnp.full(len(WEIGHTS), jnp.linalg.cond(a[ACTIVE:, ACTIVE:]))
    return {
        "ours": jnp.log10(jnp.append(projected, free)),
        "naive": jnp.log10(jnp.append(best, jax.vmap(jnp.linalg.cond)(barrier(a, c)))),
    }


def holds(ours, naive):
    """Arguments have shape (seeds, 4)."""
    growth = (naive[:, 3] - naive[:, 1]) / 4
    few = ours[:, 0].max() < 2 and (naive[:, 0] - ours[:, 0]).min() > 2
    return bool(few and np.abs(growth - 1).max() < 0.05 and ours[:, 1:].max() <= 1)
