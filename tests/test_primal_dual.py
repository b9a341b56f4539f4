"""Training under constraints from minibatches, against the exact multiplier of a convex problem."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import descend
from descend import solvers
from descend.solvers.primal_dual import excess

ROWS, COLUMNS = 2000, 3


def biased(seed=0):
    """Rows of two groups with different rates, as arrays."""
    generator = np.random.default_rng(seed)
    group = generator.integers(0, 2, ROWS).astype(float)
    x = generator.normal(size=(ROWS, COLUMNS)) + 0.8 * group[:, None] * np.array([1.0, 0, 0])
    noise = generator.logistic(size=ROWS)
    label = (x @ np.array([1.0, -1.0, 0.5]) + 0.5 * group + noise > 0.5).astype(float)
    side = group / group.mean() - (1 - group) / (1 - group.mean())
    return {"x": x, "label": label, "side": side}


DATA = biased()


def loss(w, *, batch):
    score = batch["x"] @ w[:-1] + w[-1]
    return jnp.mean(jnp.logaddexp(0.0, score) - batch["label"] * score)


def gap(w, *, batch):
    """The difference of the mean predictions of the groups."""
    return jnp.mean(jax.nn.sigmoid(batch["x"] @ w[:-1] + w[-1]) * batch["side"])


def stated(batch_size):
    return descend.Problem(
        loss, descend.Real(COLUMNS + 1), [descend.between(gap, -0.02, 0.02)], data=DATA, batch_size=batch_size
    )


def exact():
    """The answer and the multiplier, by SLSQP on all rows."""
    value = jax.jit(lambda w: loss(w, batch=DATA))
    held = jax.jit(lambda w: gap(w, batch=DATA))
    slope, lean = jax.jit(jax.grad(value)), jax.jit(jax.grad(held))
    found = scipy.optimize.minimize(
        lambda w: float(value(w)),
        np.zeros(COLUMNS + 1),
        jac=lambda w: np.asarray(slope(w)),
        constraints={"type": "ineq", "fun": lambda w: 0.02 - float(held(w)), "jac": lambda w: -np.asarray(lean(w))},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    normal = np.asarray(lean(found.x))
    return float(found.fun), float(-np.asarray(slope(found.x)) @ normal / (normal @ normal))


def test_the_last_iterate_is_feasible_and_has_the_exact_multiplier():
    best, multiplier = exact()
    solver, problem = solvers.PrimalDual(steps=4000), stated(100)
    for seed in (0, 1):
        state = solver.init(problem, problem.domain.start(), jax.random.key(seed))
        done = False
        while not done:
            state, progress = solver.step(problem, state)
            done = progress.done
        last = np.asarray(progress.x)
        assert float(gap(last, batch=DATA)) - 0.02 <= 1e-3
        assert float(loss(last, batch=DATA)) <= best + 2e-3
        np.testing.assert_allclose(np.asarray(state.multipliers), [multiplier, 0.0], atol=0.05 * multiplier)


def test_the_last_iterate_is_led_back_to_the_constraints():
    """Few steps, so that the noise of the minibatches leaves a violation: unless it is led back on all rows."""
    violations = {}
    for restored in (True, False):
        solver, problem = solvers.PrimalDual(steps=200, restored=restored), stated(50)
        state, done = solver.init(problem, problem.domain.start(), jax.random.key(0)), False
        while not done:
            state, progress = solver.step(problem, state)
            done = progress.done
        np.testing.assert_allclose(np.asarray(state.z), np.asarray(progress.x), rtol=1e-5)
        violations[restored] = float(problem.violation(problem.evaluate(jnp.asarray(progress.x)).constraints))
    assert violations[True] <= 1e-6 < 1e-4 < violations[False]


def test_it_is_what_minibatches_under_constraints_get():
    plan = descend.plan(stated(100))
    assert isinstance(plan.stages[0].solver, solvers.PrimalDual)
    assert not isinstance(descend.plan(stated(None)).stages[0].solver, solvers.PrimalDual)


def test_excesses_have_a_row_for_each_finite_side():
    problem = descend.Problem(
        lambda x: jnp.sum(x),
        descend.Real(2),
        [
            descend.between(lambda x: x, [-1.0, 0.0], [1.0, np.inf], scale=2.0),
            descend.equal(lambda x: x[0], 3.0, scale=1.0),
        ],
    )
    values = problem.evaluate(jnp.array([2.0, -4.0])).constraints
    np.testing.assert_allclose(excess(problem, values, jnp.float64), [0.5, -1.5, 2.0, -1.0, 1.0])


@pytest.mark.slow
def test_solve_keeps_a_feasible_point():
    best, _ = exact()
    solution = descend.solve(stated(100), progress=False, budget=descend.Budget(seconds=60))
    assert solution.usable and solution.value <= best + 1e-3
