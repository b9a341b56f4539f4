"""Questions that other libraries answer wrongly, and bad input: what the routes say."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend import draws, routes
from descend.routes import black_box, enumerate, finite, identity, smooth, straight_through, triples

KEY = jax.random.key(0)


def test_a_coin_has_the_slope_of_its_chance():
    """d/dp E bernoulli(p) is 1, where `jax.random.bernoulli` gives 0."""
    coin = lambda p, key: draws.bernoulli(key, p)  # noqa: E731
    assert jax.grad(lambda p: jnp.float64(jax.random.bernoulli(KEY, p)))(0.3) == 0
    for route in (enumerate(), triples()):
        np.testing.assert_allclose(jax.grad(route(coin))(0.3, key=KEY), 1.0)


def test_rounding_sign_and_argmax_have_slopes():
    x = jnp.array([0.2, -0.4, 0.9])
    argmax = lambda x: jnp.array([1.0, 2.0, 4.0]) @ jax.nn.one_hot(jnp.argmax(x), 3)  # noqa: E731
    for f in (lambda x: jnp.sum(jnp.round(x)), lambda x: jnp.sum(jnp.sign(x)), argmax):
        assert not np.any(jax.grad(f)(x))
        assert np.any(jax.grad(smooth(f, sigma=0.5))(x, key=KEY))
    np.testing.assert_array_equal(jax.grad(lambda x: jnp.sum(straight_through(jnp.round, identity)(x)))(x), np.ones(3))


def test_both_modes_of_a_black_box_and_its_curvature():
    """Values only: forward, reverse, batched, and Hessian-vector products; the host is called once for all lanes."""
    sizes = []

    def cubes(x):
        sizes.append(len(x))
        return np.sum(x**3, -1)

    g = finite(black_box(cubes, batched=True), step=1e-3)
    x, v = jnp.array([0.5, -1.0, 1.5]), jnp.array([1.0, 2.0, 3.0])
    product = jax.jit(lambda x: jax.jvp(jax.grad(g), (x,), (v,))[1])(x)
    np.testing.assert_allclose(product, 6 * x * v, rtol=1e-4)
    sizes.clear()
    batch = jnp.stack([x, 2 * x, 3 * x])
    slopes = jax.jit(jax.vmap(jax.grad(g)))(batch)
    np.testing.assert_allclose(slopes, 3 * batch**2, rtol=1e-4)
    assert sizes == [9, 9] or sizes == [18]  # both sides of three coordinates of three points


def test_one_failure_in_a_thousand():
    """One lane raises: with `catch` it is NaN and left out; without, the user's exception arrives."""

    def fragile(x):
        if x[0] > 1.05:
            raise ArithmeticError("overflow")
        return float(x[0])

    points = jnp.linspace(0.0, 1.06, 1000)[:, None]
    values = jax.jit(jax.vmap(black_box(fragile, catch=ArithmeticError)))(points)
    assert np.isnan(values).sum() == (np.asarray(points)[:, 0] > 1.05).sum() > 0
    slope = jax.grad(smooth(black_box(fragile, catch=ArithmeticError), samples=200))(jnp.ones(1), key=KEY)
    assert np.isfinite(slope[0])
    with pytest.raises(ArithmeticError, match="overflow"):
        jax.grad(smooth(fragile, samples=200))(jnp.ones(1), key=KEY)


def test_what_is_no_number_is_left_alone():
    """Integer arguments and results, empty arrays, and calls without a gradient."""
    f = lambda x, n: {"loss": jnp.sum(x**2) * n, "count": n}  # noqa: E731
    for route in (finite(), smooth(samples=4)):
        options = {"key": KEY} if route.NEEDS.random else {}
        found = route(f)(jnp.arange(3.0), 2, **options)
        assert found["count"] == 2
        slope = jax.grad(lambda x, r=route, o=options: r(f)(x, 2, **o)["loss"])(jnp.arange(3.0))
        assert slope.shape == (3,)
        empty = jax.grad(lambda x, r=route, o=options: r(f)(x, 2, **o)["loss"])(jnp.zeros((0, 2)))
        assert empty.shape == (0, 2)
        with pytest.raises(TypeError, match="int"):
            jax.grad(route(lambda x: jnp.sum(x)))(jnp.arange(3), **options)
    with pytest.raises(TypeError, match="returned"):
        black_box(lambda x: "words")(jnp.ones(2))


def test_a_key_used_by_the_function_is_not_used_again():
    """E of the gradient of x . e^2 is 1; directions drawn by f's own key would make it E e^4 = 3."""
    f = lambda x, *, key: x @ jax.random.normal(key, (3,)) ** 2  # noqa: E731
    g = jax.grad(smooth(f, samples=2))
    drawn = jax.jit(jax.vmap(lambda key: g(jnp.zeros(3), key=key)))(jax.random.split(KEY, 4000))
    assert np.all(abs(drawn.mean(0) - 1) < 4 * drawn.std(0) / np.sqrt(len(drawn)))


def test_side_effects_on_arguments_stay_with_the_function():
    """A black box that overwrites what it is given spoils neither the point nor the other values."""

    def spoils(x):
        value = float(np.sum(x**2))
        x[:] = np.nan
        return value

    x = np.array([0.5, -1.0])
    np.testing.assert_allclose(jax.grad(finite(spoils))(jnp.asarray(x)), 2 * x, rtol=1e-5)
    value, slope = jax.value_and_grad(smooth(spoils, samples=8))(jnp.asarray(x), key=KEY)
    assert value == 1.25 and np.all(np.isfinite(slope)) and np.all(np.isfinite(x))


def test_hidden_state_is_noticed_in_what_is_traced():
    """Another constant at each call leaves another program: evaluated twice, the line is said."""
    calls = []

    def drifting(x):
        calls.append(0)
        return jnp.sum(x**2) + 0.1 * len(calls)

    found = descend.inspect(drifting, at=jnp.ones(2)).about("stochastic")
    assert found and found[0].where["line"] == drifting.__code__.co_firstlineno + 2


@pytest.mark.parametrize("route", routes.every(), ids=lambda kind: kind.name())
def test_settings_out_of_range_are_refused(route):
    """Widths and counts of zero, below zero, and no number, of every route that has one with a default."""
    made = route.example()(lambda x: jnp.sum(x)).route
    for field in dataclasses.fields(route):
        default = field.default
        if isinstance(default, bool) or not isinstance(default, (int, float)) or not default > 0:
            continue
        for wrong in (-1, "many", np.nan, *([0] if field.name != "trust" else [])):  # no trust is a setting
            with pytest.raises((ValueError, TypeError), match=field.name):
                dataclasses.replace(made, **{field.name: wrong})


def test_a_flat_line_beside_draws_is_said():
    """The slope of a mean over draws is exact and still zero where something else is rounded: `why` names the line."""

    def profit(x, *, key):
        crates = jnp.round(x[1] / 6)
        return x[0] * draws.poisson(key, 20 * jnp.exp(-0.05 * x[0])) - 9 * crates

    found = descend.grad(profit, at=jnp.array([4.0, 14.0]))
    assert f"test_probes.py:{profit.__code__.co_firstlineno + 1} may be flat" in found.why
    counted = lambda x, *, key: jnp.sum(draws.bernoulli(key, jax.nn.sigmoid(x)) > 0.5) * x[0]  # noqa: E731
    assert "may be flat" not in descend.grad(counted, at=jnp.ones(2)).why


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (lambda x: "words", "returns str: it must return a real float"),
        (lambda x: None, "returns NoneType: it must return a real float"),
        (lambda x: jnp.sum(x > 0), "returns int64: make it a real float"),
        (lambda x: 1j * jnp.sum(x), "returns complex128: make it a real float"),
        (lambda x: x, "gradients are of scalars"),
    ],
)
def test_results_that_have_no_gradient_are_named(f, said):
    for call in (descend.grad, descend.compare_routes):
        with pytest.raises(TypeError, match=said):
            call(f, at=jnp.ones(2))
