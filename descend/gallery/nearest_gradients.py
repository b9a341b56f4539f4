"""Nearest Neighbour Based Estimates of Gradients: Sharp Nonasymptotic Bounds (Ausset, Clemencon, Portier, 2021).

Where a function was only ever measured, with noise, at points that somebody else chose, its gradient at x is the slope
of a line through the nearest of them. In many dimensions the neighbors are far and few, but where the gradient has few
entries that are not zero, the LASSO finds them: the error depends on their number, and only by its logarithm on the
dimension. `routes.neighbors` is that estimate as a route: no new evaluation is made.

A function of 40 variables of which 3 matter, uniform in a cube, noise of deviation 0.3. The error is that of the
gradient at 32 new points, relative to its length, from the 60 nearest of 250 and of 2,000 points. Ablated: the same
fit without the penalty, by least squares. Naive: the derivative of the Nadaraya-Watson average, with the best of four
widths for each number of points. The uses in the paper beyond the estimate (descent, variable selection against random
forests, disentanglement) are not repeated.
"""

import jax
import jax.numpy as jnp

from descend.domains import Real
from descend.problem import Problem
from descend.routes import neighbors

PAPER = "arXiv:2006.15043"
SYSTEM = 117
WHY = None  # the function is smooth, and its derivative not to be had: only measurements of it are
CLAIM = (
    "the penalized local fit has a relative error below 0.4 with 250 and with 2,000 points, where least squares has "
    "more, and the derivative of the kernel average at least 0.2 more than it"
)
SEEDS = 10
VARIABLES, NOISE, COUNTS, NEAREST, PENALTY = 40, 0.3, (250, 2000), 60, 0.03


def problem():
    return Problem(lambda x: truth(x), over=Real(VARIABLES, -1.0, 1.0))


def run(key):
    """Relative errors, shape (2,): from few points and from many."""
    found = [errors(jax.random.fold_in(key, count), count) for count in COUNTS]
    return {name: jnp.stack([each[name] for each in found]) for name in found[0]}


def holds(ours, naive):
    """Arguments have shape (seeds, 2)."""
    return bool((ours.mean(0) < 0.4).all() and ((naive - ours).mean(0) > 0.2).all())


def errors(key, count):
    places, noise, new = jax.random.split(key, 3)
    points = jax.random.uniform(places, (count, VARIABLES), minval=-1, maxval=1)
    values = jax.vmap(truth)(points) + NOISE * jax.random.normal(noise, (count,))
    at = jax.random.uniform(new, (32, VARIABLES), minval=-0.7, maxval=0.7)
    exact = jax.vmap(jax.grad(truth))(at)

    def off(gradient):
        found = jax.vmap(gradient)(at)
        return jnp.mean(jnp.linalg.norm(found - exact, axis=1)) / jnp.mean(jnp.linalg.norm(exact, axis=1))

    def fitted(penalty):
        return off(jax.grad(neighbors(truth, past=(points, values), k=NEAREST, penalty=penalty)))

    def average(x, width):
        weights = jax.nn.softmax(-jnp.sum((points - x[None]) ** 2, axis=1) / (2 * width**2))
        return weights @ values

    kernels = [off(lambda x, width=width: jax.grad(average)(x, width)) for width in (0.3, 0.5, 0.8, 1.2)]
    return {"ours": fitted(PENALTY), "ablated": fitted(0.0), "naive": jnp.min(jnp.stack(kernels))}


def truth(x):
    return 2 * jnp.sin(x[0]) + x[1] * (1 + x[2]) + 0.5 * x[2] ** 2
