"""Min-max problems: saddles known in closed form, where plain descent-ascent moves away."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import descend
from descend import solvers
from descend.inspection import certify
from descend.solvers.saddle import behavior, residual

A = np.random.default_rng(0).normal(size=(3, 3)) + 2 * np.eye(3)
B, C = np.array([1.0, -2.0, 0.5]), np.array([0.3, 0.1, -1.0])


def bilinear(v):
    return v["x"] @ A @ v["y"] + B @ v["x"] + C @ v["y"]


def run(solver, problem, segments=400):
    state = solver.init(problem, problem.domain.start(), jax.random.key(0))
    for _ in range(segments):
        state, progress = solver.step(problem, state)
        if progress.done:
            break
    return state, progress


def quick(problem, **settings):
    return descend.solve(problem, progress=False, budget=descend.Budget(seconds=60), **settings)


def test_a_bilinear_saddle_that_plain_steps_leave():
    problem = descend.Problem(bilinear, over={"x": descend.Real(3), "y": descend.Real(3)}, adversary=("y",))
    x, y = np.zeros(3), np.zeros(3)
    gradient = jax.jit(jax.grad(bilinear))
    away = []
    for _ in range(300):
        g = gradient({"x": jnp.asarray(x), "y": jnp.asarray(y)})
        x, y = x - 0.1 * np.asarray(g["x"]), y + 0.1 * np.asarray(g["y"])
        away.append(residual(problem, {"x": x, "y": y}))
    assert away[-1] > 10 * away[0]
    solution = quick(problem)
    assert solution.status == "optimal" and "saddle" in solution.certificate.note
    np.testing.assert_allclose(solution.x["y"], np.linalg.solve(A, -B), atol=1e-6)
    np.testing.assert_allclose(solution.x["x"], np.linalg.solve(A.T, -C), atol=1e-6)


def test_a_bounded_quadratic_game_is_that_of_a_complementarity_solver():
    """x'x/2 + x'Ay - y'y/2 + b'x in a box; the operator is linear and monotone: a linear complementarity problem."""
    problem = descend.Problem(
        lambda v: v["x"] @ v["x"] / 2 + bilinear(v) - v["y"] @ v["y"] / 2,
        over={"x": descend.Real(3, -0.4, 0.4), "y": descend.Real(3, -0.2, 0.2)},
        adversary="y",
    )
    matrix = np.block([[np.eye(3), A], [-A.T, np.eye(3)]])
    vector, high = np.concatenate([B, -C]), np.repeat([0.4, 0.2], 3)
    truth = scipy.optimize.least_squares(
        lambda z: z - np.clip(z - 0.1 * (matrix @ z + vector), -high, high),
        np.zeros(6),
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
    ).x
    for solver in (solvers.Extragradient(), solvers.ProximalPoint()):
        _, progress = run(solver, problem)
        assert progress.reason == "both gradients vanished"
        np.testing.assert_allclose(np.concatenate([progress.x["x"], progress.x["y"]]), truth, atol=1e-6)
    found = certify(problem, jax.tree.map(np.asarray, progress.x))
    assert found.evidence == "proved" and found.bound_multipliers.shape == (6,)


def test_the_largest_residual_of_a_regression_is_that_of_a_linear_program():
    generator = np.random.default_rng(1)
    rows, noise = generator.normal(size=(12, 2)), 0.3 * generator.normal(size=12)
    targets = rows @ np.array([1.0, -0.5]) + noise
    problem = descend.Problem(
        lambda v: jnp.sum(v["p"] * (rows @ v["w"] - targets) ** 2),
        over={"w": descend.Real(2), "p": descend.Simplex(12)},
        adversary=("p",),
    )
    found = scipy.optimize.linprog(
        [0, 0, 1],
        np.block([[rows, -np.ones((12, 1))], [-rows, -np.ones((12, 1))]]),
        np.concatenate([targets, -targets]),
        bounds=[(None, None)] * 3,
    )
    _, progress = run(solvers.ProximalPoint(), problem)
    assert progress.reason == "both gradients vanished"
    np.testing.assert_allclose(np.asarray(progress.x["w"]), found.x[:2], atol=1e-5)
    np.testing.assert_allclose(progress.loss, found.x[2] ** 2, rtol=1e-5)


def rotation(product):
    """A linear operator with L = 1 and rho = product: a rotation by more than a right angle."""
    cos, sin = -product, np.sqrt(1 - product**2)
    # F = (df/dx, -df/dy) = ((cos, -sin), (sin, cos)) (x, y)
    return lambda v: (cos * v["x"] ** 2 - cos * v["y"] ** 2) / 2 - sin * v["x"] * v["y"]


@pytest.mark.parametrize(("product", "explicit"), [(0.0, True), (0.1, True), (0.3, True), (0.6, False)])
def test_steps_follow_from_measured_comonotonicity(product, explicit):
    """With rho L below 1/2 explicit steps can converge; from there on none do, but implicit ones longer than 2 rho."""
    problem = descend.Problem(
        rotation(product), over={"x": descend.Real(start=1.0), "y": descend.Real(start=0.5)}, adversary=("y",)
    )
    state, progress = run(solvers.Extragradient(), problem)
    np.testing.assert_allclose([float(state.lipschitz), float(state.comonotone)], [1.0, product], atol=1e-6)
    assert (progress.reason == "both gradients vanished") == explicit
    assert explicit or "too far from monotone" in progress.reason
    _, progress = run(solvers.ProximalPoint(length=4.0), problem)
    assert progress.reason == "both gradients vanished"


def test_an_implicit_step_contracts_beyond_twice_the_comonotonicity():
    for product in (0.1, 0.25, 0.4):
        cos, sin = -product, np.sqrt(1 - product**2)
        matrix = np.array([[cos, -sin], [sin, cos]])
        size = lambda g, m=matrix: np.linalg.norm(np.linalg.inv(np.eye(2) + g * m), 2)  # noqa: E731
        assert size(1.9 * product) > 1 > size(2.1 * product)


def test_behavior_of_a_monotone_operator():
    move = jnp.array([1.0, 2.0])
    lipschitz, comonotone = behavior(move, 3 * move)
    assert float(lipschitz) == pytest.approx(3.0) and float(comonotone) == 0.0
    assert float(behavior(move, -3 * move)[1]) == pytest.approx(1 / 3)


def test_a_stationary_point_that_is_no_saddle_is_not_certified():
    """For max over x of what x should minimize, both gradients vanish at the wrong kind of point."""
    problem = descend.Problem(
        lambda v: -(v["x"] ** 2) + v["y"] ** 2 + 3 * v["x"] * v["y"],
        over={"x": descend.Real(), "y": descend.Real()},
        adversary=("y",),
    )
    found = certify(problem, {"x": np.zeros(()), "y": np.zeros(())})
    assert found.stationarity < 1e-9 and found.evidence == "none"


def test_what_is_refused():
    over = {"x": descend.Real(), "yy": descend.Real()}
    f = lambda v: v["x"] ** 2 - v["yy"] ** 2  # noqa: E731
    with pytest.raises(ValueError, match="did you mean 'yy'"):
        descend.Problem(f, over, adversary=("y",))
    with pytest.raises(ValueError, match="every variable"):
        descend.Problem(f, over, adversary=("x", "yy"))
    with pytest.raises(NotImplementedError, match="subject_to"):
        descend.Problem(f, over, adversary=("yy",), subject_to=[descend.at_most(lambda v: v["x"], 1.0)])
    with pytest.raises(ValueError, match="has an adversary"):
        descend.plan(descend.Problem(f, over, adversary=("yy",)), solver=solvers.Descent())
    with pytest.raises(ValueError, match="has no adversary"):
        descend.plan(descend.Problem(f, over), solver=solvers.Extragradient())
