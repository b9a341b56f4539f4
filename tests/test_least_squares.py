"""Sums of squares: Gauss-Newton steps, chosen by reading the program; sums that NIST certified, from its starts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend import solvers
from descend.solvers.least_squares import residuals


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def boxbod():
    """NIST's BoxBOD, of higher difficulty, from start 1."""
    x, y = np.array([1.0, 2, 3, 5, 7, 10]), np.array([109.0, 149, 149, 191, 213, 224])
    model = lambda b: b[0] * (1 - jnp.exp(-b[1] * x))  # noqa: E731
    over = descend.Real(2, start=np.array([1.0, 1.0]))
    return descend.Problem(lambda b: jnp.sum((y - model(b)) ** 2), over), 1168.0088766


def mgh09():
    """Kowalik and Osborne's, of higher difficulty, from start 1."""
    x = np.array([4.0, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
    y = np.array([0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
    model = lambda b: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3])  # noqa: E731
    over = descend.Real(4, start=np.array([25.0, 39.0, 41.5, 39.0]))
    return descend.Problem(lambda b: jnp.mean(jnp.square(model(b) - y)) * 11.0, over), 3.0750560385e-4


def run(problem, solver):
    state = solver.init(problem, problem.domain.start(), jax.random.key(0))
    done = False
    while not done:
        state, progress = solver.step(problem, state)
        done = progress.done
    return progress


@pytest.mark.parametrize("make", [boxbod, mgh09])
def test_sums_that_nist_certified(make):
    problem, best = make()
    assert isinstance(descend.plan(problem).stages[0].solver, solvers.LeastSquares)
    progress = run(problem, solvers.LeastSquares())
    loss = float(problem.evaluate(jnp.asarray(progress.x)).loss)
    assert progress.loss == pytest.approx(loss, rel=1e-9) and loss == pytest.approx(best, rel=1e-7)


def test_bounds_and_a_constant():
    target = np.array([2.0, -1.0, 0.5])
    problem = descend.Problem(
        lambda x: 3.0 + jnp.sum((x - target) ** 2) + (x[0] * x[1]) ** 2, descend.Real(3, 0.0, [1.0, 1.0, 0.5])
    )
    read = residuals(problem)
    assert read is not None and read.constant == 3.0 and read.count == 4
    progress = run(problem, solvers.LeastSquares())
    np.testing.assert_allclose(progress.x, [1.0, 0.0, 0.5], atol=1e-7)
    fixed = descend.Problem(lambda x: jnp.sum((x - target) ** 2), descend.Real(3, 1.0, 1.0))
    assert np.array_equal(run(fixed, solvers.LeastSquares()).x, np.ones(3))


def test_residuals_that_end_in_nan_on_the_way():
    t = np.linspace(0, 1, 10)
    y = np.log(1 + 2 * t)
    over = descend.Real(start=np.array(0.1))
    progress = run(descend.Problem(lambda a: jnp.sum((jnp.log(1 + a * t) - y) ** 2), over), solvers.LeastSquares())
    assert progress.x == pytest.approx(2.0, abs=1e-9)


def test_it_is_for_sums_of_squares_only():
    problem = descend.Problem(lambda x: jnp.sum(x**4) - x[0], descend.Real(2))
    assert not any(isinstance(stage.solver, solvers.LeastSquares) for stage in descend.plan(problem).stages)
    with pytest.raises(ValueError, match="sum of squares"):
        descend.plan(problem, solver=solvers.LeastSquares())


def test_gradients_come_first_where_a_jacobian_costs_many():
    valley = descend.Problem(lambda x: jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), descend.Real(50))
    first, second, *_ = descend.plan(valley).stages
    assert isinstance(first.solver, solvers.QuasiNewton) and isinstance(second.solver, solvers.LeastSquares)


def test_parameters_of_a_fit_are_read_anew():
    """A problem that is restated is fitted to its new data, not to those that were read first."""
    t = np.linspace(0, 1, 8)
    fit = descend.Problem(lambda a, *, given: jnp.sum((jnp.exp(a * t) - given) ** 2), descend.Real(), given=np.exp(t))
    assert run(fit, solvers.LeastSquares()).x == pytest.approx(1.0, abs=1e-8)
    assert run(fit.at(np.exp(-2 * t)), solvers.LeastSquares()).x == pytest.approx(-2.0, abs=1e-8)
