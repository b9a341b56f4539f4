"""Matrix Calculus (for Machine Learning and Beyond) (Bright, Edelman, Johnson, 2025).

The course writes a derivative as a linear operator on small changes, df = f'(x)[dx], for functions of matrices, of
eigenvalues, of solutions of equations, and gives the rule for each. Here 25 of the rules are written down in closed
form, and each is judged by Taylor's law: at a random point and direction, what f(x + dx) leaves after f(x) + f'(x)[dx]
must shrink with the square of dx.

A result is the slope for each rule, over three decades of steps. Ablated: the same rules, each off by one part in
1,000, which is less than the relative tolerance of PyTorch's `gradcheck` by default, so that it accepts all of them;
the slopes are 1. Naive: Taylor's remainder without the linear term, which is what is left with no derivative at all.
A slope shows errors down to about one in 1e6; a central difference with the right step and a tolerance of 1e-6 would
too: what is saved is the choice of both.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve, expm, sqrtm

from descend.domains import Real
from descend.laws import remainder
from descend.problem import Problem

PAPER = "arXiv:2501.14787"
SYSTEM = 47
WHY = None  # the rules are those of smooth functions: what is hard is to get them right
CLAIM = (
    "each of 25 rules has a Taylor remainder of slope 2 within 0.02, and of slope 1 if it is off by one part in 1,000"
)
SEEDS = 5
N = 4
OFF = 1e-3
DECADES = 2.99


def problem():
    """Fit of a covariance matrix by its Cholesky factor: log det and inverse, the course's own example."""
    sample = np.cov(np.random.default_rng(0).normal(size=(N, 50)))

    def likelihood(factor):
        sigma = factor @ factor.T + 0.1 * jnp.eye(N)
        return jnp.linalg.slogdet(sigma)[1] + jnp.trace(jnp.linalg.solve(sigma, sample))

    return Problem(likelihood, over=Real((N, N), start=np.eye(N)))


def spectral(f, slope):
    """f of the eigenvalues of a symmetric matrix, and its derivative by divided differences."""

    def value(s):
        w, q = jnp.linalg.eigh(s)
        return q * f(w)[None] @ q.T

    def rule(s, ds):
        w, q = jnp.linalg.eigh(s)
        gap = w[:, None] - w[None]
        divided = (f(w)[:, None] - f(w)[None]) / jnp.where(gap == 0, 1, gap)
        return q @ (jnp.where(gap == 0, slope(w)[:, None], divided) * (q.T @ ds @ q)) @ q.T

    return value, rule


def vectors(s):
    return jnp.linalg.eigh(s)[1]


def leading(s):
    return vectors(s)[:, -1] * jnp.sign(vectors(s)[0, -1])


def leading_rule(s, ds):
    w, q = jnp.linalg.eigh(s)
    return q[:, :-1] @ (q[:, :-1].T @ ds @ leading(s) / (w[-1] - w[:-1]))


def cholesky_rule(s, ds):
    lower = jnp.linalg.cholesky(s)
    inside = jnp.linalg.solve(lower, jnp.linalg.solve(lower, ds).T)
    return lower @ (jnp.tril(inside) - jnp.diag(jnp.diag(inside)) / 2)


def projection(a):
    return a @ jnp.linalg.solve(a.T @ a, a.T)


def projection_rule(a, da):
    half = (jnp.eye(len(a)) - projection(a)) @ da @ jnp.linalg.pinv(a)
    return half + half.T


def flow(step, state):
    """Forty steps of the classical Runge-Kutta method over one unit of time."""

    def rk4(_, u):
        h = 1 / 40
        a = step(u)
        b = step(jax.tree.map(lambda x, k: x + h / 2 * k, u, a))
        c = step(jax.tree.map(lambda x, k: x + h / 2 * k, u, b))
        d = step(jax.tree.map(lambda x, k: x + h * k, u, c))
        return jax.tree.map(lambda x, *k: x + h / 6 * (k[0] + 2 * k[1] + 2 * k[2] + k[3]), u, a, b, c, d)

    return jax.lax.fori_loop(0, 40, rk4, state)


def pendulum(u):
    return jnp.stack([u[1], -jnp.sin(u[0])])


def variational_rule(u, du):
    def both(state):
        u, du = state
        return pendulum(u), jnp.stack([du[1], -jnp.cos(u[0]) * du[0]])

    return flow(both, (u, du))[1]


def root(p):
    """The real x with x^3 + p x = 1, for p > 0, by Newton's method."""
    return jax.lax.fori_loop(0, 60, lambda _, x: x - (x**3 + p * x - 1) / (3 * x**2 + p), jnp.ones_like(p))


def root_rule(x, dx):
    """By the implicit function theorem."""
    at = root(1 + x**2)
    return -at * 2 * x * dx / (3 * at**2 + 1 + x**2)


inv, det, norm, solve, svd = jnp.linalg.inv, jnp.linalg.det, jnp.linalg.norm, jnp.linalg.solve, jnp.linalg.svd
softmax = jax.nn.softmax
unit = lambda x: x / norm(x)  # noqa: E731

B = np.arange(1.0, 1 + N) / N
UPPER = np.tri(N).T
MATRIX, VECTOR, TALL, POSITIVE = (N, N), (N,), (N + 2, N), None
RULES = {  # name: (where, f, f')
    "square": (MATRIX, lambda a: a @ a, lambda a, da: a @ da + da @ a),
    "cube": (MATRIX, lambda a: a @ a @ a, lambda a, da: da @ a @ a + a @ da @ a + a @ a @ da),
    "inverse": (MATRIX, inv, lambda a, da: -inv(a) @ da @ inv(a)),
    "determinant": (MATRIX, det, lambda a, da: det(a) * jnp.trace(solve(a, da))),
    "log determinant": (MATRIX, lambda a: jnp.linalg.slogdet(a)[1], lambda a, da: jnp.trace(solve(a, da))),
    "norm": (MATRIX, norm, lambda a, da: jnp.sum(a * da) / norm(a)),
    "nuclear norm": (MATRIX, lambda a: svd(a)[1].sum(), lambda a, da: jnp.sum((svd(a)[0] @ svd(a)[2]) * da)),
    "singular values": (MATRIX, lambda a: svd(a)[1], lambda a, da: jnp.diag(svd(a)[0].T @ da @ svd(a)[2].T)),
    "Kronecker square": (MATRIX, lambda a: jnp.kron(a, a), lambda a, da: jnp.kron(da, a) + jnp.kron(a, da)),
    "linear system": (MATRIX, lambda a: solve(a, B), lambda a, da: -solve(a, da @ solve(a, B))),
    "adjoint": (MATRIX, lambda a: B @ solve(a, B), lambda a, da: -solve(a.T, B) @ da @ solve(a, B)),
    "exponential": (POSITIVE, expm, spectral(jnp.exp, jnp.exp)[1]),
    "square root": (POSITIVE, lambda s: sqrtm(s).real, spectral(jnp.sqrt, lambda w: 0.5 / jnp.sqrt(w))[1]),
    "eigenvalues": (POSITIVE, jnp.linalg.eigvalsh, lambda s, ds: jnp.diag(vectors(s).T @ ds @ vectors(s))),
    "leading eigenvector": (POSITIVE, leading, leading_rule),
    "Cholesky factor": (POSITIVE, jnp.linalg.cholesky, cholesky_rule),
    "Gaussian quadratic form": (
        POSITIVE,
        lambda s: B @ cho_solve(cho_factor(s), B),
        lambda s, ds: -solve(s, B) @ ds @ solve(s, B),
    ),
    "quadratic form": (VECTOR, lambda x: x @ UPPER @ x, lambda x, dx: x @ (UPPER + UPPER.T) @ dx),
    "softmax": (VECTOR, softmax, lambda x, dx: softmax(x) * (dx - softmax(x) @ dx)),
    "log sum exp": (VECTOR, jax.nn.logsumexp, lambda x, dx: softmax(x) @ dx),
    "direction": (VECTOR, unit, lambda x, dx: (dx - unit(x) * (unit(x) @ dx)) / norm(x)),
    "convolution": (VECTOR, lambda x: jnp.convolve(x, x), lambda x, dx: 2 * jnp.convolve(x, dx)),
    "root": (VECTOR, lambda x: root(1 + x**2), root_rule),
    "flow": (VECTOR, lambda x: flow(pendulum, x[:2]), lambda x, dx: variational_rule(x[:2], dx[:2])),
    "projection": (TALL, projection, projection_rule),
}


def place(where, numbers):
    """A point made of random numbers, and the projection on the space of changes: symmetric matrices stay symmetric."""
    if where is POSITIVE:
        a = numbers.reshape(MATRIX)
        return a @ a.T + jnp.eye(N), lambda s: (s + s.T) / 2
    return numbers.reshape(where) + (3 * jnp.eye(N) if where == MATRIX else 0), lambda x: x


def slopes(points, directions, off):
    """The slope of each rule with its linear term times `off`."""

    def slope(where, f, rule, point, direction):
        size = math.prod(where or MATRIX)
        at, inside = place(where, point[:size])
        linear = lambda x, dx: off * rule(inside(x), inside(dx))  # noqa: E731
        found = remainder(lambda x: f(inside(x)), at, linear, along=direction[:size].reshape(at.shape))
        return jnp.where(found.decades > DECADES, found.slope, 0)

    return jnp.stack([slope(*rule, *at) for *at, rule in zip(points, directions, RULES.values(), strict=True)])


def run(key):
    points, directions = jax.random.normal(key, (2, len(RULES), math.prod(TALL)))
    offs = jnp.array([1.0, 1 + OFF, 0.0])
    ours, ablated, naive = jax.vmap(slopes, in_axes=(None, None, 0))(points, directions, offs)
    return {"ours": ours, "ablated": ablated, "naive": naive}


def holds(ours, naive):
    """Arguments have shape (seeds, rules)."""
    return bool(np.abs(ours - 2).max() < 0.02 and np.abs(naive - 1).max() < 0.02)
