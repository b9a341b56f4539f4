"""Finite differences: steps from the noise, stencils, patterns; and simultaneous perturbation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from descend.routes import central, finite, five_point, one_sided, spsa
from descend.routes.coloring import coloring
from descend.routes.finite import measured_noise

KEY = jax.random.key(0)


def wave(x):
    return jnp.sum(jnp.sin(x) * x[0]) + jnp.prod(x)


@pytest.mark.slow
def test_the_step_follows_the_noise():
    """With noise of 1e-4 a step chosen for rounding errs by 10; the chosen one by about noise^(2/3)."""
    x = np.array([0.5, -1.0, 1.5])
    truth = jax.grad(wave)(x)
    np.testing.assert_allclose(jax.jit(jax.grad(finite(wave)))(x), truth, atol=1e-8)
    with jax.enable_x64(False):
        np.testing.assert_allclose(jax.grad(finite(wave))(jnp.asarray(x, jnp.float32)), truth, atol=3e-3)
    rng = np.random.default_rng(0)
    noisy = lambda x: float(np.sum(np.sin(x) * x[0]) + np.prod(x) + 1e-4 * rng.normal())  # noqa: E731
    errors = [np.max(np.abs(jax.grad(finite(noisy))(x) - truth)) for _ in range(10)]
    blind = [np.max(np.abs(jax.grad(finite(noisy, step=1e-6))(x) - truth)) for _ in range(10)]
    assert np.median(errors) < 0.02
    assert np.median(blind) > 10


def test_noise_is_measured():
    values = np.sin(1 + 1e-9 * np.arange(7))[:, None] + np.random.default_rng(1).normal(size=(7, 400)) * 1e-3
    assert abs(np.median(measured_noise(values)) / 1e-3 - 1) < 0.2


@pytest.mark.parametrize(("stencil", "order"), [(one_sided, 1), (central, 2), (five_point, 4)])
def test_stencils_have_their_order(stencil, order):
    error = lambda h: abs(jax.grad(finite(jnp.exp, step=h, stencil=stencil))(1.0) - np.e)  # noqa: E731
    assert abs(np.log2(error(0.1) / error(0.05)) - order) < 0.1


@pytest.mark.slow
def test_patterns_save_evaluations():
    n, calls = 40, []
    band = np.eye(n, dtype=bool) | np.eye(n, k=1, dtype=bool)

    def chain(x):
        calls.append(len(x))
        return x**2 + np.concatenate([x[1:] ** 3, np.zeros(1)])

    from descend.routes import black_box

    twin = black_box(chain, out=jax.ShapeDtypeStruct((n,), float))
    x = jnp.linspace(-1, 1, n)
    truth = np.diag(2 * x) + np.diag(3 * x[1:] ** 2, k=1)
    for pattern in (band, scipy.sparse.csr_matrix(band)):
        g = finite(twin, step=1e-5, pattern=pattern)
        calls.clear()
        np.testing.assert_allclose(jax.vjp(g, x)[1](jnp.ones(n))[0], truth.sum(0), atol=1e-8)
        assert len(calls) == 5  # the value, and two colors from both sides
    plain = jax.jit(jax.jacfwd(finite(twin, step=1e-5)))(x)
    np.testing.assert_allclose(plain, jax.jit(jax.jacrev(g))(x), atol=1e-8)
    np.testing.assert_allclose(plain, truth, atol=1e-8)
    with pytest.raises(ValueError, match=r"pattern must be of shape \(40, 40\)"):
        jax.jvp(finite(twin, pattern=band[:3]), (x,), (x,))


def test_colorings_are_proper():
    rng = np.random.default_rng(0)
    for density in (0.0, 0.05, 0.3):
        pattern = rng.random((30, 50)) < density
        found = coloring(pattern)
        for color in range(found.count):
            assert pattern[:, found.colors == color].sum(1).max(initial=0) <= 1
        assert found.count >= pattern.sum(1).max(initial=0)
    assert coloring(np.eye(9)).count == 1


def test_failed_values_give_nan_and_nothing_else():
    g = finite(lambda x: jnp.sum(jnp.sqrt(x)), step=1e-3)
    slope = jax.grad(g)(jnp.array([0.0, 4.0]))
    assert jnp.isnan(slope[0])
    np.testing.assert_allclose(slope[1], 0.25, rtol=1e-6)


@pytest.mark.slow
def test_many_columns_are_streamed():
    """600 outputs of 600 inputs are not kept."""
    f, x = (lambda x: jnp.cumsum(x**2)), jnp.linspace(0, 1, 600)
    value, pull = jax.vjp(finite(f, step=1e-5, chunk=77), x)
    np.testing.assert_allclose(pull(jnp.ones(600))[0], jax.vjp(f, x)[1](jnp.ones(600))[0], atol=1e-6)
    np.testing.assert_array_equal(value, f(x))


@pytest.mark.slow
def test_spsa_has_the_variance_that_it_states():
    x = jnp.array([1.0, -2.0, 0.5, 3.0])
    g = spsa(lambda x: jnp.sum(x**2), step=1e-3, pairs=2)
    drawn = jax.jit(jax.vmap(lambda key: jax.grad(g)(x, key=key)))(jax.random.split(KEY, 20_000))
    slope = 2 * x
    assert np.all(np.abs(drawn.mean(0) - slope) < 4 * drawn.std(0) / np.sqrt(20_000))
    np.testing.assert_allclose(drawn.var(0), (jnp.sum(slope**2) - slope**2) / 2, rtol=0.06)


def test_bad_settings_are_told():
    for build, error, text in [
        (lambda: finite(step=0.0), ValueError, "step must be positive"),
        (lambda: finite(step="small"), ValueError, "step must be positive"),
        (lambda: finite(stencil="central"), TypeError, "stencil must be a Stencil"),
        (lambda: finite(pattern=np.ones(3)), TypeError, "pattern must be a matrix"),
        (lambda: spsa(step=-1.0), ValueError, "step must be positive"),
        (lambda: spsa(pairs=0), ValueError, "pairs must be a positive int"),
    ]:
        with pytest.raises(error, match=text):
            build()
