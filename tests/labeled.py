"""Small objectives in the style of users, each marked with what stands in the way of its gradient.

A comment `#: word` marks the line that a finding of that word must name. Words about the whole objective are given to
the decorator. Truth is what the formulas say, not what the library answers.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import descend

CASES: list["Case"] = []
LINES = {"flat", "kinked", "jumps", "non-finite", "stochastic", "black-box"}  # words whose place is a line


@dataclasses.dataclass
class Case:
    """A function, where to look at it, and what is true of it: (word, line or None)."""

    function: Callable[..., Any]
    stated: Any  # a point, or a function -> Problem
    words: set[str]
    only_thorough: set[str]
    lines: set[tuple[str, int]]

    def found(self, thorough: bool, key: int = 1) -> descend.Findings:
        if callable(self.stated):
            return descend.inspect(self.stated(self.function), key=key, thorough=thorough)
        return descend.inspect(self.function, at=self.stated, key=key, thorough=thorough)

    def expected(self, thorough: bool) -> set[str]:
        return self.words | (self.only_thorough if thorough else set())


def marked(function: Callable) -> set[tuple[str, int]]:
    source, first = inspect.getsourcelines(function)
    return {(w, first + i) for i, text in enumerate(source) for w in re.findall(r"#: ([\w-]+)", text)}


def case(
    stated: Any, *words: str, thorough: tuple[str, ...] = (), helpers: tuple[Callable, ...] = ()
) -> Callable[[Callable], Callable]:
    def register(function: Callable) -> Callable:
        marks = set[tuple[str, int]]().union(*map(marked, (function, *helpers)))
        CASES.append(Case(function, stated, {*words, *(w for w, _ in marks)}, set(thorough), marks))
        return function

    return register


def over(domain: Any, *subject_to: Any, **settings: Any) -> Callable:
    return lambda f: descend.Problem(f, domain, subject_to, **settings)


rng = np.random.default_rng(0)
A = jnp.asarray(rng.normal(size=(40, 10)))
LABELS = jnp.asarray(rng.integers(0, 3, 50))
X = jnp.asarray(rng.normal(size=(50, 4)))
TABLE = jnp.asarray(rng.normal(size=9))
AFFINE = jnp.asarray(rng.normal(size=(6, 3)))
P3, P10, P100 = rng.normal(size=3), rng.normal(size=10), rng.normal(size=100)

# --- smooth, however it looks


@case(np.array([-1.2, 1.0]), "smooth")
def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


@case(P10, "smooth")
def softplus(x):
    return jnp.sum(jax.nn.softplus(3 * x)) + jnp.sum(x**2)


@case(P10, "smooth")
def signed_square(x):
    return jnp.sum(x * jnp.abs(x) + x**4)


@case(P10, "smooth")
def huber(x):
    size = jnp.abs(x)
    return jnp.sum(jnp.where(size < 0.5, 0.5 * x**2, 0.5 * (size - 0.25)))


@case(P3, "smooth")
def equal_sides(x):
    return jnp.sum(jnp.where(x > 0, x**2, x * x))


@case(P3, "smooth")
def meeting_to_second_order(x):
    return jnp.sum(jnp.where(x > 0, x**3, -(x**3)) + x**2)


@case(P3, "smooth")
def steep(x):
    return jnp.sum(jnp.tanh(1000 * x) + 0.01 * x**2)


@case(P3 + 1, "smooth")
def norm(x):
    return jnp.linalg.norm(x) + jnp.sum(jnp.exp(-(x**2)))


@case(P10, "smooth")
def cross_entropy(x):
    logits = x.reshape(5, 2)
    return -jnp.mean(jax.nn.log_softmax(logits)[:, 0]) + 0.1 * jnp.sum(x**2)


@case(P100, "smooth")
def coupled(x):
    return jnp.sum(x**2) + jnp.sum(jnp.sin(x[1:] * x[:-1]))


@case(P3, "smooth")
def unused_rounding(x):
    count = jnp.sum(jnp.round(x))
    del count
    return jnp.sum(jnp.cos(x) + x**2)


@case(P3, "smooth")
def squared_size(x):
    return jnp.sum(jnp.abs(x) ** 2 + jnp.exp(x))


@case(P3, "smooth")
def guard(x):
    y = jnp.where(jnp.isnan(x), 0.0, x)
    return jnp.sum(y**2 + jnp.cos(y))


@case(P3, "smooth")
def far_clip(x):
    return jnp.sum(jnp.clip(jax.nn.sigmoid(x), 1e-12, 1.0) + x**2)


@case(P3, "smooth")
def indexed(x):
    total = 0.0
    for i in range(3):
        total = total + x[i] ** 2 * x[i - 1] + x[i] ** 4
    return total


@case(P3, "smooth")
def iterated(x):
    return jnp.sum(jax.lax.fori_loop(0, 10, lambda i, y: jnp.sin(y) + x, x) + x**2)


@case(P3 + 3, "smooth")
def determinant(x):
    m = jnp.outer(x, x) + jnp.diag(jnp.exp(x) + 1)
    return jnp.linalg.slogdet(m)[1] + jnp.sum(x**2)


@case(P3, "smooth")
def quadratic_hinge(x):
    return jnp.sum(jax.nn.relu(1 - x) ** 2) + jnp.sum((x + 1) ** 2)


@case(P3, "smooth")
def safe_division(x):
    r = x[0] / jnp.where(x[1] ** 2 + 1 == 0, 1.0, x[1] ** 2 + 1)
    return r**2 + jnp.sum(x**2)


# --- kinked


@case(P10)
def lasso(x):
    fit = jnp.sum((A @ x) ** 2)
    return fit + jnp.sum(jnp.abs(x))  #: kinked


@case(P10)
def relu_net(x):
    hidden = jax.nn.relu(A @ x - 0.1)  #: kinked
    return jnp.sum((hidden - 1) ** 2)


@case(P3)
def largest_affine(x):
    return jnp.max(AFFINE @ x) + 5 * jnp.sum(x**2)  #: kinked


@case(P3)
def clipped(x):
    y = jnp.clip(x, -0.5, 0.5)  #: kinked
    return jnp.sum((y - 0.2) ** 2) + jnp.sum(x**4)


@case(P10)
def upper_quantile(x):
    q = jnp.quantile(x, 0.8)  #: kinked
    return q + jnp.sum(x**2)


@case(P10)
def middle(x):
    return jnp.median(x) ** 2 + jnp.sum(x**2)  #: kinked


@case(P10)
def trimmed(x):
    order = jnp.sort(x)  #: kinked
    return jnp.sum(order[2:-2] ** 2) + jnp.sum(x**2) * 0.1


@case(P3)
def meeting_branch(x):
    y = jnp.where(x > 0.1, x, 3 * x - 0.2)  #: kinked
    return jnp.sum(y**2 + x**2)


@case(P3)
def conditional(x):
    z = jax.lax.cond(x[0] > 0, lambda v: v[0] * 2, lambda v: v[0] * 5, x)  #: kinked
    return z + jnp.sum(x**2)


@case(P3)
def masked(x):
    positive = (x > 0) * x  #: kinked
    return jnp.sum(positive) + jnp.sum(x**2)


@case(P10)
def scanned(x):
    def step(level, inflow):
        level = jnp.maximum(level + inflow, 0.0)  #: kinked
        return level, level**2

    _, cost = jax.lax.scan(step, 0.5, x)
    return jnp.sum(cost) + jnp.sum(x**2)


@case(P3)
def distance_to_grid(x):
    return jnp.sum(jnp.abs(x - jnp.round(x))) + jnp.sum(x**2)  #: kinked


# --- flat


@case(P3)
def floors(x):
    steps = jnp.floor(3 * x)  #: flat
    return jnp.sum(steps**2)


@case(P10)
def signs(x):
    return jnp.sum(jnp.sign(x))  #: flat


@case(0.1 * rng.normal(size=(4, 3)))
def accuracy(w):
    logits = X @ w
    predicted = jnp.argmax(logits, axis=1)  #: flat
    return -jnp.mean(predicted == LABELS)


@case(P10)
def counted(x):
    return jnp.sum(x > 0.3)  #: flat


@case(P3)
def lookup(x):
    i = jnp.clip(jnp.floor(2 * x[0]).astype(int) + 4, 0, 8)  #: flat
    return TABLE[i]


@case(P10)
def sparse(x):
    fit = jnp.sum((A @ x) ** 2)
    support = jnp.sum(jnp.abs(x) > 0.2)  #: flat
    return fit + 3.0 * support


@case(P3)
def quantized(x):
    w = jnp.round(4 * x) / 4  #: flat
    return jnp.sum((w - 0.3) ** 2)


@case(P10)
def ranks(x):
    r = jnp.argsort(jnp.argsort(x))  #: flat
    return jnp.sum(r * jnp.arange(10.0))


@case(P3)
def step_cost(x):
    return jnp.sum(jnp.where(x > 0, 2.0, -1.0))  #: flat


@case(P3)
def int_steps(x):
    k = (5 * x).astype(int)  #: flat
    return jnp.sum(k * k) * 0.1


@case(P3)
def floor_division(x):
    return jnp.sum((x // 0.4) ** 2)  #: flat


@case(P3)
def stopped(x):
    frozen = jax.lax.stop_gradient(x)  #: flat
    return jnp.sum(frozen**2)


@case(P3)
def searched(x):
    where = jnp.searchsorted(jnp.linspace(-2.0, 2.0, 9), x)  #: flat
    return jnp.sum(where.astype(float) ** 2)


@case(P10)
def elections(x):
    def vote(total, value):
        total = total + jnp.where(value > 0, 1, 0)  #: flat
        return total, None

    total, _ = jax.lax.scan(vote, 0, x)
    return total * 1.0


# --- jumps


@case(P3)
def modulo(x):
    return jnp.sum(jnp.mod(x, 0.7))  #: jumps


@case(P3)
def sawtooth(x):
    return jnp.sum(x - jnp.floor(x)) + 0.1 * jnp.sum(x**2)  #: jumps


@case(P3)
def open_branch(x):
    y = jnp.where(x > 0.1, x**2, x**2 + 1)  #: jumps
    return jnp.sum(y)


@case(P3)
def cond_jump(x):
    return jax.lax.cond(x[0] > 0, lambda v: jnp.sum(v**2), lambda v: jnp.sum(v**2) + 1, x)  #: jumps


@case(P10)
def paired_sort(x):
    cost = x[:5]
    value = x[5:] ** 2
    chosen = value[jnp.argsort(cost)]  #: jumps
    return jnp.sum(chosen * jnp.arange(5.0)) + jnp.sum(cost**2)


@case(P3)
def bouncing(x):
    def step(state):
        level, count = state
        return level * 0.5, count + 1

    level, _ = jax.lax.while_loop(lambda s: s[0] > 1.0, step, (jnp.sum(x**2) + 1.5, 0))  #: jumps
    return level + jnp.sum(x**2)


@case(P3)
def tariff(x):
    use = jnp.sum(x**2)
    rate = use > 1.0  #: jumps
    return use + use * rate


# --- random


@case(over(descend.Real(3, start=P3)), "smooth")
def reparametrized(x, *, key):
    noise = jax.random.normal(key, (3,))  #: stochastic
    return jnp.sum((x + 0.3 * noise) ** 2)


@case(over(descend.Real(3, start=0.2 * P3)))
def bernoulli(x, *, key):
    draws = jax.random.bernoulli(key, jax.nn.sigmoid(x))  #: stochastic #: flat
    return jnp.sum(draws * 1.0)


@case(over(descend.Real(5, start=P10[:5])), "smooth")
def dropout(x, *, key):
    keep = jax.random.bernoulli(key, 0.5, (5,))  #: stochastic
    return jnp.sum(jnp.where(keep, x, 0.0) ** 2) + jnp.sum(x**2)


@case(P3, "smooth")
def fixed_key(x):
    noise = jax.random.normal(jax.random.key(3), (3,))
    return jnp.sum((x + noise) ** 2)


@case(P3, "smooth")
def hidden_state(x):
    return jnp.sum(x**2) + np.random.default_rng().normal()  #: stochastic


# --- not finite


@case(over(descend.Real(3, lower=0.1, upper=5.0)), "smooth")
def nan_outside(x):
    return jnp.sum(x - jnp.log(x))


@case(np.array([0.4, 0.3, 0.5]))
def log_barrier(x):
    return jnp.sum(x) - 0.1 * jnp.sum(jnp.log(x))  #: non-finite


@case(np.zeros(3))
def norm_at_zero(x):
    return jnp.linalg.norm(x) + jnp.sum((x - 1) ** 2)  #: non-finite


@case(P3)
def hidden_nan(x):
    root = jnp.sqrt(x)  #: non-finite
    y = jnp.where(x > 0, root, 0.0)  #: kinked
    return jnp.sum((y - 1) ** 2 + x**2)


# --- the shape of the objective


@case(P3, "smooth", thorough=("ill-conditioned",))
def narrow_valley(x):
    return x[0] ** 2 + 1e-4 * x[1] ** 2 + 1e-8 * (x[2] + 1) ** 2


@case(P10, "smooth", thorough=("underdetermined",))
def few_equations(x):
    return jnp.sum((A[:4] @ x - 1.0) ** 2)


@case(P3, "smooth", thorough=("underdetermined",))
def unused_variable(x):
    return (x[0] - 1) ** 2 + jnp.cos(x[1])


@case(P3, "smooth", thorough=("unbounded",))
def falling(x):
    return x[0] ** 2 + x[1] ** 2 - x[2]


@case(P3, "smooth")
def bounded_below(x):
    return jnp.exp(-x[0]) + x[1] ** 2 + jnp.exp(x[2] * 0.3)


# --- no route helps


@case(0.3 * rng.normal(size=24), thorough=("uninformative",))
def parity(x):
    bits = jnp.floor(10 * x)  #: flat
    return jnp.sum(bits) % 2 * 1.0


@case(P10, "uninformative")
def needle(x):
    return -jnp.where(jnp.sum((x - 5.0) ** 2) < 1e-4, 1.0, 0.0)


# --- black boxes


@case(P3)
def numpy_smooth(x):  #: black-box
    return float(np.sum(np.asarray(x) ** 2))


@case(P3)
def numpy_flat(x):  #: black-box #: flat
    return float(np.sum(np.round(3 * np.asarray(x)) ** 2))


@case(P3)
def numpy_noisy(x):  #: black-box #: stochastic
    return float(np.sum(np.asarray(x) ** 2) + np.random.default_rng().normal())


@case(P3)
def python_branch(x):  #: black-box
    return float(x[0] ** 2) if x[0] > 0 else float(3 * x[1] ** 2)


# --- domains and constraints


@case(over(descend.Real(3, lower=0.0)), "smooth", "constrained")
def at_the_bound(x):
    return jnp.sum((x - 1) ** 2)


@case(over(descend.Real(3), descend.at_most(lambda x: jnp.sum(x), -1.0)), "smooth", "constrained")
def violated(x):
    return jnp.sum((x - 1) ** 2)


@case(over(descend.Real(3), descend.at_most(lambda x: jnp.sum(x), 7.0)), "smooth")
def inactive(x):
    return jnp.sum((x - 1) ** 2)
