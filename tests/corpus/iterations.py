"""Loops: chaos, growth, and inner problems that are solved on the way."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.helpers import newton, rk4, soft_threshold
from tests.corpus.label import case, over

rng = np.random.default_rng(16)
WEIGHTS = jnp.asarray(rng.normal(size=(12, 12))) * 3.0 / np.sqrt(12)
COST = jnp.asarray(rng.uniform(size=(4, 4)))
LINKS = jnp.asarray(rng.uniform(size=(5, 5)))
DESIGN = jnp.asarray(rng.normal(size=(8, 3)))
SEEN = jnp.asarray(rng.normal(size=8))


@case(over(descend.Real(2, start=np.array([3.9, 0.3]), scale=0.02)))
def population_model(x):
    def year(n, _):
        n = x[0] * n * (1 - n)
        return n, n

    _, path = jax.lax.scan(year, 0.2 + 0.1 * x[1] ** 2, None, length=150)  #: chaotic
    return jnp.mean(path)


@case(over(descend.Real(2, start=np.array([3.2, 0.3]), scale=0.02)), "smooth")
def settled_population(x):
    def year(n, _):
        n = 0.9 * x[0] * n * (1 - n)
        return n, n

    _, path = jax.lax.scan(year, 0.2 + 0.1 * x[1] ** 2, None, length=150)
    return jnp.mean(path) + 0.1 * jnp.sum(x**2)


@case(over(descend.Real(3, start=np.array([10.0, 28.0, 2.667]), scale=0.1)))
def lorenz(p):
    def slope(s):
        return jnp.stack([p[0] * (s[1] - s[0]), s[0] * (p[1] - s[2]) - s[1], s[0] * s[1] - p[2] * s[2]])

    def step(s, _):
        s = rk4(slope, s, 0.02)
        return s, s[2]

    _, z = jax.lax.scan(step, jnp.array([1.0, 1.0, 20.0]), None, length=1000)  #: chaotic
    return jnp.mean(z)


@case(over(descend.Real(2, start=np.array([1.39, 0.3]), scale=0.01)))
def henon(p):
    def step(_, s):
        return 1 - p[0] * s[0] ** 2 + s[1], p[1] * s[0]

    end, _ = jax.lax.fori_loop(0, 100, step, (0.1, 0.1))  #: chaotic
    return end**2


@case(0.3 * rng.normal(size=12))
def wild_network(x):
    h, _ = jax.lax.scan(lambda h, _: (jnp.tanh(WEIGHTS @ h + 0.1), None), x, None, length=120)  #: chaotic
    return jnp.sum(h**2)


@case(0.3 * rng.normal(size=12), "smooth")
def tame_network(x):
    h, _ = jax.lax.scan(lambda h, _: (jnp.tanh(0.2 * WEIGHTS @ h + 0.1), None), x, None, length=120)
    return jnp.sum(h**2) + jnp.sum(x**2)


@case(np.array([0.5, 0.2]))
def unstable_growth(x):
    end = jax.lax.fori_loop(0, 80, lambda _, y: 1.4 * y + x[1], x[0])  #: chaotic
    return jnp.log1p(end**2) + x[1] ** 2


@case(np.array([0.5, 0.2]), "smooth")
def damped_spring(x):
    def step(s, _):
        return jnp.stack([s[0] + 0.05 * s[1], s[1] - 0.05 * (4 * s[0] + 0.5 * s[1])]), s[0]

    end, path = jax.lax.scan(step, x, None, length=200)
    return jnp.sum(path**2) + jnp.sum(end**2)


@case(np.array([0.4, 0.6]), "smooth")
def running_totals(x):
    return jax.lax.fori_loop(0, 500, lambda i, s: s + jnp.sin(i * x[0]) * x[1] / 500, 0.0) + jnp.sum(x**2)


@case(np.array([1.5, 0.4]), "smooth", helpers=(newton,))
def implicit_curve(x):
    y = newton(lambda y: y**3 + y * (1 + x[1] ** 2) - x[0], 0.5)
    return y**2 + jnp.sum(x**2)


@case(np.array([0.6, 0.4]), "smooth")
def equilibrium(x):
    def go_on(state):
        new, old = state
        return jnp.max(jnp.abs(new - old)) > 1e-9

    def improve(state):
        y, _ = state
        return jnp.cos(0.6 * y + x), y

    y, _ = jax.lax.while_loop(go_on, improve, (jnp.cos(x), jnp.zeros(2)))  #: nested
    return jnp.sum(y**2) + jnp.sum(x**2)


@case(np.array([1.5, 0.4]))
def bisected(x):
    def halve(state):
        low, high = state
        middle = (low + high) / 2
        right = middle**3 + middle < x[0] + x[1] ** 2  #: flat
        return jnp.where(right, middle, low), jnp.where(right, high, middle)

    low, high = jax.lax.while_loop(lambda s: s[1] - s[0] > 1e-6, halve, (0.0, 4.0))  #: nested
    return (low + high) / 2


@case(0.3 * rng.normal(size=4), "smooth")
def transport_plan(x):
    kernel = jnp.exp(-COST / 0.3)
    target = jax.nn.softmax(x)

    def improve(state):
        u, _, i = state
        v = 0.25 / (kernel.T @ u)
        new = target / (kernel @ v)
        return new, jnp.max(jnp.abs(new * (kernel @ v) - u * (kernel @ v))), i + 1

    u, _, _ = jax.lax.while_loop(  #: nested
        lambda s: (s[1] > 1e-9) & (s[2] < 1000), improve, (jnp.ones(4), 1.0, 0)
    )
    v = 0.25 / (kernel.T @ u)
    return jnp.sum(u[:, None] * kernel * v[None] * COST) + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.2]), "smooth")
def page_rank(x):
    links = jnp.exp(x[0] * LINKS) + x[1] ** 2
    links = links / links.sum(0, keepdims=True)

    def improve(state):
        rank, _ = state
        return 0.85 * links @ rank + 0.03, rank

    rank, _ = jax.lax.while_loop(  #: nested
        lambda s: jnp.linalg.norm(s[0] - s[1], ord=1) > 1e-8, improve, (jnp.ones(5) / 5, jnp.zeros(5))
    )
    return -rank[0] + jnp.sum(x**2)


@case(np.array([0.3, 0.5]), "smooth")
def keplers_equation(x):
    """A fixed number of steps: unrolled, nothing to converge to a tolerance."""

    def improve(_, e):
        return e - (e - 0.3 * jnp.sin(e) - x[0]) / (1 - 0.3 * jnp.cos(e))

    return jax.lax.fori_loop(0, 8, improve, x[0]) ** 2 + x[1] ** 2


@case(np.array([0.2, 0.5]), helpers=(soft_threshold,))
def sparse_inner_fit(x):
    def improve(state):
        w, _ = state
        w_new = soft_threshold(w - 0.05 * DESIGN.T @ (DESIGN @ w - SEEN * (1 + x[1])), 0.05 * jnp.exp(x[0]))
        return w_new, w

    w, _ = jax.lax.while_loop(  #: nested
        lambda s: jnp.max(jnp.abs(s[0] - s[1])) > 1e-10, improve, (jnp.zeros(3), jnp.ones(3))
    )
    return jnp.sum((DESIGN @ w - 0.5) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([0.4, 0.5, 0.1]), "smooth")
def direct_solve(x):
    m = jnp.eye(3) * 4 + jnp.outer(x, x)
    return jnp.sum(jnp.linalg.solve(m, jnp.ones(3) + x) ** 2) + jnp.sum(x**2)


@case(np.array([0.4, 0.5, 0.1]), "smooth")
def gradient_solve(x):
    m = jnp.eye(3) * 4 + jnp.outer(x, x)
    y, _ = jax.scipy.sparse.linalg.cg(lambda v: m @ v, jnp.ones(3) + x)
    return jnp.sum(y**2) + jnp.sum(x**2)


@case(np.array([0.37, 0.1]))
def tent(x):
    def step(y, _):
        return jnp.where(y < 0.5, 1.9 * y, 1.9 * (1 - y)), None  #: kinked

    y, _ = jax.lax.scan(step, jax.nn.sigmoid(x[0]), None, length=18)  #: chaotic
    return y + x[1] ** 2
