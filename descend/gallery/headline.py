"""Differentiability of Problems (an essay, 2024).

The essay asks which problems gradients can be had for. One problem of each class, solved with the same budget of
evaluations by following `jax.grad` as it is (L-BFGS where smooth, else Adam; a fixed quadratic penalty for constraints;
the relaxed problem, rounded at the end, for discrete variables; nothing for a black box) and by `descend.solve` with
nothing chosen by hand. `benchmarks/headline.py` adds CMA-ES. Every seed starts from another point. A problem's number
is its final loss plus 100 times its violation: smaller is better.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

import descend

PAPER = "essay S0"
SYSTEM = "S0"
WHY = "flat"
CLAIM = (
    "the median loss of descend is at most 2 % above that of jax.grad in each of 7 classes, and 10 % or more below it "
    "where the derivative is zero, misses the sampling, ignores constraints or does not exist"
)
SEEDS = 5
N = 50
BUDGET = 8_000  # for descend, which ends with the segment of work that spends it, up to a third more:
OTHERS = 10_500  # so the others get that much
PENALTY = 10  # the best of 10, 100, 1000 and 10000 for the constrained problem
WRONG = ("flat", "stochastic", "constrained", "black box")  # where the derivative is zero, biased or missing
TIE = 0.02  # relative difference of median losses that counts as a tie

_random = np.random.default_rng(0)
ROWS = _random.normal(size=(300, N))
TRUTH = _random.normal(size=N)
LABELS = np.sign(ROWS @ TRUTH + _random.normal(size=300))
HEIGHTS = ROWS @ TRUTH + _random.normal(size=300) * np.where(_random.random(300) < 0.3, 20, 0.1)
CUTS = np.triu(_random.normal(size=(N, N)), 1)


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def absolute_errors(w):
    return jnp.mean(jnp.abs(ROWS @ w - HEIGHTS))


def mistakes(w):
    return jnp.mean(jnp.sign(ROWS @ w) != LABELS)


def cut(side):
    return -side @ CUTS @ (1 - side) - (1 - side) @ CUTS @ side


def shifts(x, *, key):
    """Workers who each show up with probability sigmoid(x): wages for all, and a price for each one missing from 30."""
    present = jax.random.uniform(key, (N,)) < jax.nn.sigmoid(x)
    return 0.02 * jnp.sum(jax.nn.sigmoid(x)) + jnp.maximum(0, 30 - jnp.sum(present))


def ladder(x):
    return jnp.sum((x - 1) ** 4) + jnp.sum(x**2) / 10


def stations(x):
    """Twenty jobs through a line of machines of integer speed, simulated job after job in NumPy."""
    speed, free = 1 + np.floor(np.abs(x)), np.zeros(N)
    for job in range(20):
        work = (1 + (job * np.arange(N)) % 7) / speed
        done = np.cumsum(work)
        free = done + np.maximum.accumulate(free - (done - work))  # a machine waits for the job, and for the last one
    return float(free[-1] + 0.3 * np.sum(np.abs(x)))


REAL = descend.Real(N)
PROBLEMS = {
    "smooth": lambda: descend.Problem(rosenbrock, over=REAL),
    "kinked": lambda: descend.Problem(absolute_errors, over=REAL),
    "flat": lambda: descend.Problem(mistakes, over=REAL),
    "discrete": lambda: descend.Problem(cut, over=descend.Binary(N)),
    "stochastic": lambda: descend.Problem(shifts, over=REAL),
    "constrained": lambda: descend.Problem(
        ladder,
        over=REAL,
        subject_to=[
            descend.at_most(lambda x: jnp.sum(x**2), N / 4, name="material"),
            descend.equal(lambda x: jnp.stack([x[0] * x[1], x[-1] * x[-2]]), 1.0, name="ends"),
        ],
    ),
    "black box": lambda: descend.Problem(stations, over=REAL),
}


def problem():
    return PROBLEMS["flat"]()


@functools.cache
def stated(name):
    """The problem of a class: made once, so that seeds share what is compiled."""
    return PROBLEMS[name]()


@functools.cache
def planned(name, solver=None):
    return descend.plan(stated(name), solver=solver)


@functools.cache
def followed(name):
    """Compiled: from a start and a key to where `jax.grad` leads, on the relaxed problem with penalties."""
    problem = stated(name)
    hull = problem.domain.relax()

    def penalized(x, key):
        evaluation = problem.evaluate(x, key=key)
        excess = map(lambda c, v: jnp.sum(c.residual(v) ** 2), problem.subject_to, evaluation.constraints)
        return evaluation.loss + PENALTY * sum(excess)

    def adam(start, key):
        steps = OTHERS // 3
        method = optax.adam(optax.cosine_decay_schedule(0.1, steps))

        def step(carry, key):
            x, state = carry
            updates, state = method.update(jax.grad(penalized)(x, key), state)
            return (hull.project(x + updates), state), None

        return jax.lax.scan(step, (start, method.init(start)), jax.random.split(key, steps))[0][0]

    def lbfgs(start, key):
        objective = lambda x: penalized(x, key)  # noqa: E731
        method = optax.lbfgs()

        def step(carry):
            x, state, units = carry
            value, grad = optax.value_and_grad_from_state(objective)(x, state=state)
            updates, state = method.update(grad, state, x, value=value, grad=grad, value_fn=objective)
            return x + updates, state, units + 3 * optax.tree.get(state, "num_linesearch_steps")

        def going(carry):
            return (carry[2] < OTHERS) & (jnp.abs(optax.tree.get(carry[1], "grad")).max() > 1e-9) | (carry[2] == 0)

        return jax.lax.while_loop(going, step, (start, method.init(start), 0))[0]

    return jax.jit(lbfgs if problem.objective in (rosenbrock, ladder) else adam)


def solved(name, start, key, solver=None):
    limit = descend.Budget(seconds=None, evaluations=OTHERS if solver else BUDGET)
    return descend.solve(planned(name, solver), start=start, key=key, budget=limit)


METHODS = {
    "jax.grad": lambda name, start, key: start if stated(name).black_box else followed(name)(start, key),
    "descend": lambda name, start, key: solved(name, start, key).x,
}


def score(problem, x):
    """Loss, averaged over 1,000 draws where it is random, plus 100 times the violation."""
    if problem.black_box:
        return float(problem.evaluate(x).loss)

    def build():
        keys = jax.random.split(jax.random.key(99), 1000 if problem.random else 1)
        return jax.jit(lambda x: jax.vmap(lambda key: problem.evaluate(x, key=key))(keys))

    evaluations = problem.compiled("score", build)(x)
    constraints = jax.tree.map(lambda value: value.mean(0), evaluations.constraints)
    return float(evaluations.loss.mean() + 100 * problem.violation(constraints))


def begin(name, key):
    """A random member to start from."""
    domain = stated(name).domain
    return domain.round(np.asarray(domain.sample(jax.random.fold_in(key, list(PROBLEMS).index(name))), np.float64))


def loss(key, method, name):
    x = METHODS[method](name, begin(name, key), key)
    return score(stated(name), stated(name).domain.round(np.asarray(x, np.float64)))


def run(key):
    return {
        "ours": np.array([loss(key, "descend", name) for name in PROBLEMS]),
        "naive": np.array([loss(key, "jax.grad", name) for name in PROBLEMS]),
    }


def holds(ours, naive):
    """Arguments have shape (seeds, classes)."""
    ours, naive = np.median(ours, axis=0), np.median(naive, axis=0)
    size = np.maximum(np.abs(naive), 1e-6)
    wrong = [list(PROBLEMS).index(name) for name in WRONG]
    return bool(np.all(ours <= naive + TIE * size) and np.all((ours < naive - 0.1 * size)[wrong]))
