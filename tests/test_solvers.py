"""The laws on every solver in the folder, and answers known from elsewhere."""

import importlib
import inspect
import pkgutil
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend import solvers
from descend.laws import check_solver
from descend.solvers import AskTell, Solver, ipopt


def every_solver() -> list[type]:
    modules = [importlib.import_module(m.name) for m in pkgutil.iter_modules(solvers.__path__, "descend.solvers.")]
    found = {
        kind
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Solver | AskTell) and not inspect.isabstract(kind)
    }
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", every_solver(), ids=lambda kind: kind.__name__)
def test_laws(kind):
    if kind is solvers.Ipopt and not ipopt.installed():
        pytest.skip("needs descend[ipopt]")
    check_solver(kind.example())


def test_a_solver_that_does_nothing_breaks_the_laws():
    class Idle(solvers.Descent):
        def step(self, problem, state):
            return state, solvers.Progress(problem.domain.start(), 0.0, 1)

    with pytest.raises(AssertionError, match="progress"):
        check_solver(Idle())


def test_a_solver_with_hidden_state_breaks_the_laws():
    class Hidden(solvers.Descent):
        count: ClassVar = [0]

        def step(self, problem, state):
            self.count[0] += 1
            state, progress = super().step(problem, state)
            return state._replace(z=state.z + self.count[0]), progress

    with pytest.raises(AssertionError, match="pure"):
        check_solver(Hidden())


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def run(solver, problem, segments=300, start=None):
    state = solver.init(problem, problem.domain.start() if start is None else start, jax.random.key(0))
    units = 0
    for _ in range(segments):
        state, progress = solver.step(problem, state)
        units += progress.units
        if progress.done:
            break
    return np.asarray(problem.domain.ravel(progress.x), np.float64), progress, units


def test_quasi_newton_takes_no_more_evaluations_than_scipy():
    from scipy.optimize import minimize

    problem = descend.Problem(rosenbrock, over=descend.Real(50))
    x, progress, units = run(solvers.QuasiNewton(), problem)
    value_and_grad = jax.jit(jax.value_and_grad(rosenbrock))
    peer = minimize(
        lambda v: [np.asarray(a, float) for a in value_and_grad(v)],
        np.zeros(50),
        jac=True,
        method="L-BFGS-B",
        options={"maxcor": 20, "ftol": 0, "gtol": 1e-9, "maxiter": 9999, "maxfun": 9999},
    )
    np.testing.assert_allclose(x, 1.0, atol=1e-7)
    assert progress.reason == "gradient vanished" and units <= 1.2 * 3 * peer.nfev


def test_bounded_quasi_newton_stops_at_the_bounds():
    target = np.linspace(-2, 2, 9)
    problem = descend.Problem(lambda x: jnp.sum((x - target) ** 2), over=descend.Real(9, -1, 1))
    x, _, _ = run(solvers.BoundedQuasiNewton(), problem)
    np.testing.assert_allclose(x, np.clip(target, -1, 1), atol=1e-9)


@pytest.mark.parametrize("inner", [solvers.BoundedQuasiNewton(), solvers.Descent()], ids=repr)
def test_augmented_lagrangian_on_hock_schittkowski_71(inner):
    problem = descend.Problem(
        lambda x: x[0] * x[3] * (x[0] + x[1] + x[2]) + x[2],
        over=descend.Real(4, 1, 5, start=[1, 5, 5, 1]),
        subject_to=[
            descend.at_least(lambda x: jnp.prod(x), 25.0, name="product"),
            descend.equal(lambda x: jnp.sum(x**2), 40.0, name="norm"),
        ],
    )
    solver = solvers.AugmentedLagrangian(inner)
    x, _, _ = run(solver, problem)
    np.testing.assert_allclose(x, [1.0, 4.74299963, 3.82114998, 1.37940829], atol=1e-6)
    assert problem.violation(problem.evaluate(x).constraints) < 1e-8


def test_descent_on_a_simplex_matches_the_projection():
    point = np.array([0.9, 0.5, -0.3, 0.1])
    problem = descend.Problem(lambda x: jnp.sum((x - point) ** 2), over=descend.Simplex(4))
    x, _, _ = run(solvers.Descent(), problem)
    np.testing.assert_allclose(x, [0.7, 0.3, 0.0, 0.0], atol=1e-5)


def test_descent_steps_back_from_a_cliff():
    # The logarithm is not finite beyond the wall that the minimum leans on.
    problem = descend.Problem(lambda x: jnp.sum(x - jnp.log(x) / 100), over=descend.Real(3, start=1.0))
    x, _, _ = run(solvers.Descent(learning_rate=0.3), problem)
    np.testing.assert_allclose(x, 0.01, atol=1e-3)


def test_units_of_a_routed_gradient():
    from descend.solvers.descent import units

    problem = descend.Problem(rosenbrock, over=descend.Real(10))
    assert units(problem) == 3
    assert units(problem.via(descend.routes.smooth(samples=20))) == 21


def test_settings_print_as_typed():
    assert repr(solvers.Descent(learning_rate=0.1)) == "Descent(learning_rate=0.1)"
    assert repr(solvers.AugmentedLagrangian(solvers.QuasiNewton())) == "AugmentedLagrangian(inner=QuasiNewton())"
