"""Taylor's law tells right derivatives from wrong ones, by a slope and not by a tolerance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend.laws import check_derivative, remainder

X = jnp.array([0.3, -1.2, 2.0])


def cubic(x):
    return jnp.sum(x**3) + x[0] * x[1]


def slope(off=0.0, scale=1.0, second=None):
    f = lambda x: scale * cubic(x)  # noqa: E731
    linear = lambda x, dx: (1 + off) * scale * (3 * x**2 + jnp.array([x[1], x[0], 0])) @ dx  # noqa: E731
    return remainder(f, X, linear, second, key=3)


def test_the_slope_is_two_for_the_derivative_and_one_for_any_other():
    found = slope()
    assert float(found.slope) == pytest.approx(2, abs=0.02) and float(found.decades) == pytest.approx(3, abs=0.01)
    for off in (1.0, 1e-3, 1e-5):
        assert float(slope(off).slope) == pytest.approx(1, abs=0.1)
    for scale in (1e-12, 1e12):
        assert float(slope(scale=scale).slope) == pytest.approx(2, abs=0.02)
        assert float(slope(1e-3, scale).slope) == pytest.approx(1, abs=0.02)


def test_the_slope_is_three_with_the_second_derivative():
    second = lambda x, dx: 6 * x @ dx**2 + 2 * dx[0] * dx[1]  # noqa: E731
    assert float(slope(second=second).slope) == pytest.approx(3, abs=0.02)
    assert float(slope(second=lambda x, dx: 0.99 * second(x, dx)).slope) < 2.1


def test_trees_and_rules_of_the_users_own():
    @jax.custom_vjp
    def scaled(x, factor):
        return jnp.sin(x) * factor

    scaled.defvjp(
        lambda x, c: (scaled(x, c), (x, c)), lambda r, g: (g * jnp.cos(r[0]) * r[1], jnp.sum(g * jnp.sin(r[0])))
    )
    f = lambda t: {"y": scaled(t["x"], t["c"]), "z": t["c"] ** 2}  # noqa: E731
    check_derivative(f, {"x": X, "c": jnp.asarray(2.0)})
    scaled.defvjp(lambda x, c: (scaled(x, c), (x, c)), lambda r, g: (g * jnp.cos(r[0]), jnp.sum(g * jnp.sin(r[0]))))
    with pytest.raises(AssertionError, match=r"slope 1\.\d\d over 3\.0 decades"):
        check_derivative(f, {"x": X, "c": jnp.asarray(2.0)})


def test_linear_kinked_and_narrow():
    check_derivative(lambda x: 3 * x, X)
    with pytest.raises(AssertionError, match=r"slope 1\.00"):
        check_derivative(lambda x: jnp.sum(jnp.abs(x)), jnp.zeros(3))
    with pytest.raises(AssertionError, match="not the derivative"):
        check_derivative(lambda x: jnp.sum(jnp.round(x)), 0.5 * jnp.ones(3))
    with pytest.raises(ValueError, match="need float64, got float32"):
        remainder(cubic, np.ones(3, np.float32))
