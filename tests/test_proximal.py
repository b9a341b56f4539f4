"""Proximal gradient steps against optimality conditions and another solver."""

import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend import solvers

RNG = np.random.default_rng(0)


def test_the_lasso_satisfies_its_conditions():
    rows, targets, weight = RNG.normal(size=(40, 100)), RNG.normal(size=40), 5.0
    penalty = lambda x: weight * jnp.sum(jnp.abs(x))  # noqa: E731
    shrunk = lambda x, step: jnp.sign(x) * jnp.maximum(jnp.abs(x) - weight * step, 0)  # noqa: E731
    problem = descend.Problem(lambda x: jnp.sum((rows @ x - targets) ** 2) / 2 + penalty(x), over=descend.Real(100))
    found = descend.solve(problem, solver=solvers.ProximalGradient(penalty, shrunk), budget=descend.Budget(seconds=20))
    force, used = rows.T @ (targets - rows @ found.x), found.x != 0
    assert 5 < used.sum() < 95  # zeros are exact
    np.testing.assert_allclose(force[used], weight * np.sign(found.x[used]), atol=1e-6)
    assert np.max(np.abs(force[~used])) < weight
    assert found.trace.evaluations[-1] < 10_000


@pytest.mark.parametrize("domain", [descend.Simplex(30), descend.domains.Hypersimplex(30, k=4)], ids=str)
def test_it_is_what_convex_domains_get(domain):
    factor, slope = RNG.normal(size=(10, 30)), RNG.normal(size=30)
    loss = lambda x: jnp.sum((factor @ x) ** 2) / 2 + slope @ x + jnp.sum(x**4)  # noqa: E731
    problem = descend.Problem(loss, over=domain)
    plan = descend.plan(problem)
    assert isinstance(plan.stages[0].solver, solvers.ProximalGradient)
    found = descend.solve(plan, budget=descend.Budget(seconds=20))
    assert found.status in ("local", "optimal")
    upper = None if isinstance(domain, descend.Simplex) else 1.0
    stated = descend.Problem(
        loss,
        over=descend.Real(30, lower=0.0, upper=upper, start=domain.start()),
        subject_to=descend.equal(jnp.sum, float(np.sum(domain.start()))),
    )
    other = descend.solve(stated, solver=solvers.SLSQP(), budget=descend.Budget(seconds=20))
    assert found.value <= other.value + 1e-7


def test_momentum_is_dropped_where_the_loss_rises():
    """On a quadratic of condition 1,000; momentum that is kept takes seven times as long."""
    curves = 20 * np.geomspace(1e-3, 1.0, 20)
    least = 0.05 + 0.02 * np.sin(np.arange(20))
    least /= least.sum()
    problem = descend.Problem(lambda x: jnp.sum(curves * (x - least) ** 2), over=descend.Simplex(20))
    found = descend.solve(problem, solver=solvers.ProximalGradient(), budget=descend.Budget(evaluations=5000))
    assert found.status == "optimal" and found.evaluations < 4000
    np.testing.assert_allclose(found.x, least, atol=1e-6)


def test_sets_that_are_not_convex_are_refused():
    problem = descend.Problem(jnp.sum, over=descend.Sphere(3))
    with pytest.raises(ValueError, match="convex domain"):
        descend.solve(problem, solver=solvers.ProximalGradient())
    with pytest.raises(TypeError, match="prox"):
        solvers.ProximalGradient(nonsmooth=jnp.sum)
