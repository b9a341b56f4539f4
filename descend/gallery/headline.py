"""Differentiability of Problems (essay, 2024): which problems gradients can be had for, and at what price.

One problem of each class, solved three ways with the same budget of evaluations: by following `jax.grad` as it is (L-BFGS
where smooth, else Adam; a fixed quadratic penalty for constraints; the relaxed problem, rounded at the end, for discrete
variables; nothing for a black box), by `descend.solve` with nothing chosen by hand, and by CMA-ES. Every seed starts from
another point. A problem's number is its final loss plus 100 times its violation: smaller is better.
"""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from descend import solvers

PAPER = "essay S0"
SYSTEM = "S0"
WHY = "flat"
CLAIM = "descend wins or ties against jax.grad in every class, by far where the derivative is zero, biased or missing"
SEEDS = 5
N = 50
BUDGET = 30_000
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
    """A stiff chain, to be held up at both ends with little material."""
    return jnp.sum((x - 1) ** 4) + jnp.sum(x**2) / 10


def stations(x):
    """Twenty jobs through machines of integer speed, simulated event by event in NumPy."""
    speed, free = 1 + np.floor(np.abs(x)), np.zeros(N)
    for job in range(20):
        ready = 0.0
        for machine in range(N):
            free[machine] = ready = max(free[machine], ready) + (1 + (job * machine) % 7) / speed[machine]
    return float(ready + 0.3 * np.sum(np.abs(x)))


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


def descended(problem, start, key):
    return descend.solve(problem, start=start, key=key, budget=LIMIT).x


def evolved(problem, start, key):
    return descend.solve(problem, start=start, key=key, budget=LIMIT, solver=solvers.CMA()).x


def differentiated(problem, start, key):
    """The point that `jax.grad` alone leads to, or the start where there is no gradient."""
    if problem.black_box:
        return start
    domain, conditions = problem.domain, problem.subject_to

    def penalized(x, **given):
        evaluation = problem.evaluate(x, **given)
        excess = [jnp.sum(c.residual(v) ** 2) for c, v in zip(conditions, evaluation.constraints, strict=True)]
        return evaluation.loss + 100 * sum(excess)

    objective = (lambda x, *, key: penalized(x, key=key)) if problem.random else (lambda x: penalized(x))
    plain = descend.Problem(objective, over=domain.relax().over)
    exact = problem.objective in (rosenbrock, ladder)
    solver = solvers.QuasiNewton() if exact else solvers.Descent()
    return domain.round(descend.solve(plain, start=start, key=key, budget=LIMIT, solver=solver).x)


LIMIT = descend.Budget(seconds=None, evaluations=BUDGET)
METHODS = {"jax.grad": differentiated, "descend": descended, "CMA-ES": evolved}


def score(problem, x):
    """Loss, averaged over 1,000 draws where it is random, plus 100 times the violation."""
    keys = jax.random.split(jax.random.key(99), 1000 if problem.random else 1)
    if problem.black_box:
        return float(problem.evaluate(x).loss)
    evaluations = jax.vmap(lambda key: problem.evaluate(jax.tree.map(jnp.asarray, x), key=key))(keys)
    constraints = jax.tree.map(lambda value: value.mean(0), evaluations.constraints)
    return float(evaluations.loss.mean() + 100 * problem.violation(constraints))


def losses(key, method, classes=tuple(PROBLEMS)):
    """The final loss in each class."""
    found = []
    for index, name in enumerate(classes):
        problem = PROBLEMS[name]()
        start = problem.domain.round(np.asarray(problem.domain.sample(jax.random.fold_in(key, index)), np.float64))
        found.append(score(problem, METHODS[method](problem, start, key)))
    return np.array(found)


def run(key):
    return {"ours": losses(key, "descend"), "naive": losses(key, "jax.grad")}


def holds(ours, naive):
    """Arguments have shape (seeds, classes)."""
    ours, naive = np.median(ours, axis=0), np.median(naive, axis=0)
    size = np.maximum(np.abs(naive), 1e-6)
    at_least_tied = np.all(ours <= naive + TIE * size)
    wrong = [list(PROBLEMS).index(name) for name in ("flat", "stochastic", "black box")]
    return bool(at_least_tied and np.all((ours < naive - 0.1 * size)[wrong]))
