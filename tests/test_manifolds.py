"""Curved sets: projections against independent truths, tangents against finite differences, known solutions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import descend
from descend import Acyclic, LowRank, PositiveDefinite, Sphere, Stiefel, solvers
from descend.domains.manifold import Geometry
from descend.inspection import certify

CURVED = [Sphere(4), Stiefel(4, 2), PositiveDefinite(3), LowRank(4, 3, 2)]


def test_projections_are_the_nearest_members():
    generator = np.random.default_rng(0)
    for domain in (Sphere(5), Stiefel(4, 2), PositiveDefinite(3), LowRank(4, 3, 2)):
        for seed in range(5):
            x = 2 * generator.normal(size=domain.shape)
            distance = np.linalg.norm(x - domain.project(x))
            others = [domain.project(domain.project(x) + s * generator.normal(size=x.shape)) for s in (1e-3, 0.1, 1.0)]
            others += [np.asarray(domain.sample(jax.random.key(seed)))]
            assert all(np.linalg.norm(x - other) >= distance - 1e-9 for other in others)
    polar = Stiefel(4, 2).project(np.asarray(x := generator.normal(size=(4, 2))))
    np.testing.assert_allclose(polar, scipy.linalg.polar(x)[0], atol=1e-12)


@pytest.mark.parametrize("n", [3, 4])
def test_the_nearest_acyclic_matrix_by_enumeration(n):
    generator = np.random.default_rng(1)
    for _ in range(10):
        x = generator.normal(size=(n, n))
        kept = max(sum(x[a, b] ** 2 for a, b in itertools.combinations(o, 2)) for o in itertools.permutations(range(n)))
        np.testing.assert_allclose(np.sum(Acyclic(n).project(x) ** 2), kept, rtol=1e-12)


def test_many_nodes_keep_a_member_and_most_of_the_weight():
    generator = np.random.default_rng(2)
    domain = Acyclic(30)
    order = generator.permutation(30)
    member = np.triu(generator.normal(size=(30, 30)), 1)[np.ix_(order, order)]
    np.testing.assert_array_equal(domain.project(member), member)
    noisy = domain.project(member + 0.05 * generator.normal(size=(30, 30)))
    assert np.sum((noisy - member) ** 2) < 0.02 * np.sum(member**2)
    assert domain.cyclicity(member, s=100.0) == pytest.approx(0.0, abs=1e-9)


def test_cyclicity_is_positive_on_cycles_and_its_gradient_as_documented():
    domain, x = Acyclic(3), np.array([[0.0, 0.5, 0], [0, 0, 0.4], [0.3, 0, 0]])
    assert domain.cyclicity(x) > 1e-4 and domain.cyclicity(10 * x) == np.inf
    expected = 2 * np.linalg.inv(np.eye(3) - x * x).T * x
    np.testing.assert_allclose(jax.grad(domain.cyclicity)(jnp.asarray(x)), expected, atol=1e-12)


@pytest.mark.parametrize("domain", CURVED, ids=repr)
def test_steps_agree_with_tangents_to_first_order(domain):
    x, v = np.asarray(domain.sample(jax.random.key(1))), np.random.default_rng(3).normal(size=domain.shape)
    v = domain.tangent(x, v)
    np.testing.assert_allclose(domain.tangent(x, v), v, atol=1e-12)
    errors = [np.linalg.norm(domain.retract(x, t * v) - x - t * v) for t in (1e-2, 1e-3)]
    assert errors[1] <= max(errors[0] / 50, 1e-12)
    assert domain.contains(domain.retract(x, 0.3 * v))


@pytest.mark.parametrize("domain", CURVED, ids=repr)
def test_the_riemannian_gradient_is_the_derivative_along_a_step(domain):
    generator = np.random.default_rng(4)
    x, g, v = np.asarray(domain.sample(jax.random.key(2))), *generator.normal(size=(2, *domain.shape))
    v, t = domain.tangent(x, v), 1e-6
    slope = (np.sum(g * domain.retract(x, t * v)) - np.sum(g * domain.retract(x, -t * v))) / (2 * t)
    gradient = domain.gradient(x, g)
    np.testing.assert_allclose(domain.inner(x, gradient, v), slope, atol=1e-5 * max(1.0, abs(slope)))
    np.testing.assert_allclose(domain.tangent(x, gradient), gradient, atol=1e-12 * abs(gradient).max())


def test_transport_of_covariances_is_an_isometry():
    domain = PositiveDefinite(4)
    x, y = (np.asarray(domain.sample(jax.random.key(k))) for k in (0, 1))
    u, v = (domain.tangent(x, a) for a in np.random.default_rng(5).normal(size=(2, 4, 4)))
    there = [domain.transport(x, y, a) for a in (u, v)]
    np.testing.assert_allclose(domain.inner(y, *there), domain.inner(x, u, v), rtol=1e-10)


def test_projection_of_covariances_differentiates_where_eigenvalues_are_equal():
    domain = PositiveDefinite(3, lower=0.5)
    v = np.random.default_rng(6).normal(size=(3, 3))
    for x in (np.diag([2.0, 2.0, -1.0]), np.eye(3)):
        found = jax.jvp(domain.project, (jnp.asarray(x),), (jnp.asarray(v),))[1]
        step = 1e-6
        truth = (domain.project(x + step * v) - domain.project(x - step * v)) / (2 * step)
        np.testing.assert_allclose(found, truth, atol=1e-6)


@pytest.mark.parametrize("domain", [Stiefel(4, 2), LowRank(4, 3, 2), Acyclic(4)], ids=repr)
def test_charts_cover_what_is_near(domain):
    x = np.asarray(domain.sample(jax.random.key(3)))
    basis, move = domain.chart(x)
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-10)
    np.testing.assert_allclose(move(np.zeros(domain.size)), x, atol=1e-12)
    near = domain.retract(x, 1e-4 * domain.tangent(x, np.random.default_rng(7).normal(size=domain.shape)))
    missed = near - x - ((near - x).ravel() @ basis.T @ basis).reshape(x.shape)
    assert np.linalg.norm(missed) < 1e-2 * np.linalg.norm(near - x)


def test_low_rank_factors():
    for depth in (2, 3, 5):
        domain = LowRank(4, 5, 2, depth=depth)
        x = np.asarray(domain.sample(jax.random.key(0)))
        factors = domain.factors(x)
        assert len(factors) == depth and [f.shape for f in factors][:: depth - 1] == [(4, 2), (2, 5)]
        np.testing.assert_allclose(domain.product(factors), x, atol=1e-12)


def test_construction_refuses():
    for make, word in [
        (lambda: Sphere(0), "at least 1"), (lambda: Sphere(2.5), "whole number"), (lambda: Stiefel(2, 3), "between 1"),
        (lambda: PositiveDefinite(2, lower=0.0), "positive"), (lambda: LowRank(2, 3, 3), "rank between"),
        (lambda: LowRank(2, 3, 1, depth=1), "depth"), (lambda: Acyclic("a"), "whole number"),
        (lambda: Geometry([descend.Real(2, 0.0, 1.0)]), "neither"),
    ]:  # fmt: skip
        with pytest.raises((TypeError, ValueError), match=word):
            make()


# Solutions

A = np.random.default_rng(8).normal(size=(8, 8))
A = A + A.T


def quick(problem, **settings):
    return descend.solve(problem, progress=False, budget=descend.Budget(seconds=60), **settings)


@pytest.mark.slow
def test_the_rayleigh_quotient_is_certified():
    problem = descend.Problem(lambda x: x @ A @ x, over=Sphere(8))
    solution = quick(problem)
    assert solution.status == "local" and solution.plan[0].startswith("1. RiemannianQuasiNewton")
    np.testing.assert_allclose(solution.value, np.linalg.eigvalsh(A)[0], rtol=1e-10)
    # Another eigenvector is stationary, and no minimum.
    saddle = certify(problem, np.linalg.eigh(A)[1][:, 3])
    assert saddle.stationarity < 1e-6 and saddle.evidence == "none" and "curvature is negative" in saddle.note


@pytest.mark.slow
def test_leading_eigenvectors_on_frames_next_to_a_free_variable():
    weights = np.array([2.0, 1.0])
    problem = descend.Problem(
        lambda x: jnp.sum((A @ x["q"]) * x["q"] * weights[None]) + jnp.sum((x["t"] - 3) ** 2),
        over={"q": Stiefel(8, 2), "t": descend.Real(2)},
    )
    solution = quick(problem)
    values = np.linalg.eigvalsh(A)
    assert solution.status == "local"
    np.testing.assert_allclose(solution.value, 2 * values[0] + values[1], rtol=1e-9)
    np.testing.assert_allclose(solution.x["t"], 3, atol=1e-6)


@pytest.mark.slow
def test_a_constraint_on_a_manifold():
    problem = descend.Problem(lambda x: x @ A @ x, over=Sphere(8), subject_to=[descend.equal(lambda x: x[0], 0.0)])
    solution = quick(problem)
    assert solution.usable and "AugmentedLagrangian" in solution.plan[0]
    np.testing.assert_allclose(solution.value, np.linalg.eigvalsh(A[1:, 1:])[0], rtol=1e-5)


def test_the_karcher_mean_balances_its_logarithms():
    def spread(x, *, given):
        root = jnp.linalg.cholesky(x)

        def squared(m):
            half = jnp.linalg.solve(root, jnp.linalg.solve(root, m).T)
            return jnp.sum(jnp.log(jnp.linalg.eigvalsh((half + half.T) / 2)) ** 2)

        return jnp.mean(jax.vmap(squared)(given))

    def matrices(seed):
        bases = np.random.default_rng(seed).normal(size=(4, 3, 3))
        return np.stack([b @ b.T + 0.1 * np.eye(3) for b in bases])

    solver = solvers.RiemannianQuasiNewton()
    problem = descend.Problem(spread, over=PositiveDefinite(3), given=matrices(0))
    for seed in range(20):
        problem = problem.at(matrices(seed))
        state = solver.init(problem, problem.domain.start(), jax.random.key(0))
        for _ in range(20):
            state, progress = solver.step(problem, state)
            if progress.done:
                break
        half = scipy.linalg.inv(scipy.linalg.sqrtm(np.asarray(progress.x)))
        total = sum(scipy.linalg.logm(half @ m @ half) for m in matrices(seed))
        # The last steps change the loss by less than rounding, and half of these searches end there without slopes.
        assert progress.reason == "gradient vanished" and abs(total).max() < 1e-6, seed


@pytest.mark.slow
def test_a_saddle_of_the_low_rank_approximation_is_left():
    problem = descend.Problem(lambda x: jnp.sum((x - A) ** 2), over=LowRank(8, 8, 2))
    solution = quick(problem)
    assert solution.status == "local"
    np.testing.assert_allclose(solution.value, np.sum(np.linalg.svd(A)[1][2:] ** 2), rtol=1e-8)


def test_riemannian_steps_refuse_bounds():
    problem = descend.Problem(lambda x: jnp.sum(x**2), over=descend.Real(2, 0.0, 1.0))
    with pytest.raises(ValueError, match="on manifolds"):
        descend.plan(problem, solver=solvers.RiemannianQuasiNewton())
