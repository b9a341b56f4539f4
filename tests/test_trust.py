"""The trust of gradient estimates against closed forms."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import descend
from descend.findings import Trust
from descend.routes import forward, smooth, straight_through

KEY = jax.random.key(0)
X = jnp.linspace(-1.0, 1.0, 3)


def weights(n):
    return jnp.linspace(1.0, 3.0, n)


def quadratic(x):
    return jnp.sum(weights(x.size) * x**2) / 2 + jnp.sum(x)


def step(x):
    return jnp.where(x > 0, 1.0, 0.0)


def staircase(x):
    return jnp.sum(jnp.round(3 * x))


def coin(p, *, key):
    return jax.random.bernoulli(key, p) * 1.0


# --- standard errors ------------------------------------------------------------------------------------------------


def smoothed_quadratic(n, samples):
    """The pairs' differences are linear in the noise: variance (n + 1) |g|^2 / K."""
    truth = {"cosine": 1 / math.sqrt(1 + (n + 1) / (samples // 2)), "bias": 0.0}
    return quadratic, smooth(sigma=0.2, samples=samples), jnp.linspace(-1.0, 1.0, n), truth


def smoothed_sine():
    """E cos(x) sin(su) u / s = cos(x) exp(-s^2/2); E sin(su)^2 u^2 = (1 - (1 - 4s^2) exp(-2s^2)) / 2."""
    s = 0.7
    squared_mean, square = math.exp(-(s**2)), (1 - (1 - 4 * s * s) * math.exp(-2 * s * s)) / (2 * s * s)
    truth = {"cosine": math.sqrt(squared_mean / (squared_mean + (square - squared_mean) / 2)), "bias": 0.0}
    return jnp.sin, smooth(sigma=s, samples=4), jnp.array(0.5), truth


def smoothed_step():
    """One pair gives |u| / 2s where |su| > x: mean phi(a) / s, square (a phi(a) + 1 - Phi(a)) / 2s^2, a = x / s."""
    s, a = 0.5, 1.0
    mean, square = stats.norm.pdf(a) / s, (a * stats.norm.pdf(a) + stats.norm.sf(a)) / (2 * s * s)
    truth = {"cosine": mean / math.sqrt(mean**2 + (square - mean**2) / 2), "bias": 0.0}
    return step, smooth(sigma=s, samples=4), jnp.array(0.5), truth


def tilted():
    """Rademacher tangents of another linear function: E|e|^2 = |w|^2 (1 + (n - 1) / k), and a bias."""
    x, k = jnp.linspace(-1.0, 1.0, 5), 16
    g = np.asarray(weights(5) * x + 1)
    w = g + np.array([1.5, -1.0, 1.0, -1.5, 0.8])
    truth = {
        "cosine": w @ g / math.sqrt(w @ w * (1 + 4 / k) * (g @ g)),
        "bias": np.linalg.norm(w - g) / np.linalg.norm(g),
    }
    biased = lambda f: forward(straight_through(f, lambda x: jnp.sum(jnp.asarray(w) * x)), tangents=k)  # noqa: E731
    return quadratic, biased, x, truth


def coverage(case, repetitions):
    """For each number, the share of its 95 % intervals that hold the truth; and the verdicts."""
    f, route, x, truth = case
    measured = descend.value_and_trust(f, via=route)
    keys = jax.random.split(jax.random.key(7), repetitions)
    trust = jax.jit(jax.vmap(lambda key: measured(x, key=key)[2]))(keys)
    trust = jax.tree.map(np.asarray, trust)
    covered = {
        name: float(np.mean(abs(getattr(trust, name) - true) <= 1.96 * getattr(trust, f"{name}_se")))
        for name, true in truth.items()
    }
    return covered, [Trust(*row).verdict for row in zip(*trust, strict=True)]


@pytest.mark.laws
@pytest.mark.parametrize(
    "case",
    [smoothed_quadratic(3, 8), smoothed_quadratic(20, 16), smoothed_sine(), smoothed_step(), tilted()],
    ids=["quadratic", "more dimensions", "sine", "step", "biased"],
)
def test_intervals_cover(case):
    covered, verdicts = coverage(case, 600)
    assert 0.92 <= covered["cosine"] <= 0.98
    if case[3]["bias"] > 0:
        assert 0.92 <= covered["bias"] <= 0.98
        assert verdicts.count("biased") > 0.99 * len(verdicts)
    else:  # wider than needed, as documented
        assert covered["bias"] >= 0.95
        assert verdicts.count("unbiased") > 0.99 * len(verdicts)


@pytest.mark.slow
def test_intervals_cover_a_step():
    covered, verdicts = coverage(smoothed_step(), 200)
    assert 0.95 - 4 * math.sqrt(0.05 * 0.95 / 200) <= covered["cosine"] < 1.0
    assert verdicts.count("unbiased") >= 196


def test_numbers_have_closed_forms():
    f, route, x, truth = smoothed_quadratic(3, 8)
    value, gradient, trust = descend.value_and_trust(f, via=route, estimates=400)(x, key=KEY)
    assert value == f(x)
    np.testing.assert_allclose(gradient, jax.grad(route(f))(x, key=KEY), rtol=1e-12)
    noise = math.sqrt((3 + 1) / 4)
    assert abs(trust.cosine - truth["cosine"]) < 4 * trust.cosine_se < 0.1
    assert abs(trust.noise / noise - 1) < 0.15
    # cosine^2 of a mean of N is 1 / (1 + noise^2 / N).
    assert abs(trust.samples / (noise**2 * 0.81 / 0.19) - 1) < 0.3
    assert trust.verdict == "unbiased"


# --- verdicts -------------------------------------------------------------------------------------------------------


def test_plain_gradients():
    measured = descend.value_and_trust(quadratic)
    value, gradient, trust = measured(X)
    assert value == quadratic(X) and np.array_equal(gradient, jax.grad(quadratic)(X))
    assert trust.verdict == "exact" and trust.samples == 1


def test_in_float32():
    with jax.enable_x64(False):
        assert descend.value_and_trust(quadratic)(X.astype(jnp.float32))[2].verdict == "exact"


def test_many_dimensions():
    """Central differences give way to random directions."""
    trust = descend.value_and_trust(quadratic)(jnp.linspace(-1.0, 1.0, 200))[2]
    assert trust.verdict == "unbiased"
    assert abs(trust.cosine - 1) <= 4 * trust.cosine_se < 0.1


def test_a_biased_route():
    """The staircase rises by 3 per unit: the surrogate's slope is off by a third."""
    route = straight_through(surrogate=lambda x: 4 * jnp.sum(x))
    trust = descend.value_and_trust(staircase, via=route, scale=1 / 3)(X)[2]
    assert trust.verdict == "biased"
    np.testing.assert_allclose(trust.bias, 1 / 3, rtol=1e-6)


def orbit(x):
    return jnp.mean(jax.lax.scan(lambda z, _: (x[1] * z * (1 - z),) * 2, x[0], None, 300)[1])


@pytest.mark.parametrize(
    ("f", "via", "x", "why"),
    [
        (staircase, None, X + 1 / 6, "the estimate is zero, and the value changes"),
        (lambda x: jnp.sum(0 * x), None, X, "the estimate is zero, and the value does not change"),
        (lambda x: 1e17 + quadratic(x), None, X, "less over the distance than they are rounded"),
        (quadratic, straight_through(surrogate=lambda x: -quadratic(x)), X, "uphill"),
        (lambda x: jnp.sum(jnp.log(x)), None, -X - 2, "not finite"),
        (lambda x: jnp.sum(jnp.floor(1000 * x)) % 2, smooth(sigma=0.1), X, "no slope shows through the noise"),
        (orbit, None, jnp.array([0.3, 3.8]), "Lyapunov"),
    ],
    ids=["flat", "constant", "rounding", "uphill", "nan", "parity", "chaos"],
)
def test_refused(f, via, x, why):
    trust = descend.value_and_trust(f, via=via)(x, key=1)[2]
    assert trust.verdict == "refused" and why in trust.why


def test_more_dimensions_than_paid_for():
    x = jnp.ones(20000)
    poor = descend.value_and_trust(quadratic, via=smooth(samples=2), estimates=4)(x)[2]
    assert poor.verdict == "refused" and "more dimensions than directions" in poor.why


@pytest.mark.parametrize(("error", "why"), [(11.0, "more dimensions than directions"), (1.0, "times as steep")])
def test_the_mean_of_a_few_noisy_estimates_is_long_and_says_nothing_of_steepness(error, why):
    found = descend.Trust(
        cosine=3e-3, cosine_se=2e-3, bias=12.0, bias_se=error, noise=300.0, samples=np.inf, gain=12.0, resolution=0.0,
        signal=100.0,
    )  # fmt: skip
    assert found.verdict == "refused" and why in found.why


def test_a_coin():
    """Plain differentiation of a coin says nothing; the smoothed one is right, and noisy."""
    assert descend.value_and_trust(coin)(0.3)[2].verdict == "refused"
    value, _, trust = descend.value_and_trust(coin, via=smooth(), estimates=200)(0.3, key=1)
    assert value == coin(0.3, key=jax.random.key(1))
    assert trust.verdict == "unbiased" and trust.noise > 1


# --- calls ----------------------------------------------------------------------------------------------------------


def test_arguments():
    def f(x, y, power=2.0, shape="sum"):
        assert power > 1  # concrete
        return getattr(jnp, shape)(x["a"] ** power) * y

    x = {"a": X + 2}
    _, (by_x, by_y), trust = descend.value_and_trust(f, argnums=(0, 1))(x, 2.0, power=3.0, shape="prod")
    np.testing.assert_allclose(by_x["a"], jax.grad(f)(x, 2.0, 3.0, "prod")["a"])
    np.testing.assert_allclose(by_y, jnp.prod(x["a"] ** 3))
    assert trust.verdict in ("exact", "biased") and trust.bias < 0.01


def test_a_black_box():
    def box(x):
        return float(np.sum(np.asarray(x) ** 2))

    as_squares = straight_through(surrogate=lambda x: jnp.sum(x**2))
    _, gradient, trust = descend.value_and_trust(box, via=as_squares)(X)
    assert trust.verdict == "exact" and gradient.shape == (3,)

    def failing(x):
        raise OSError("no license")

    with pytest.raises(OSError, match="no license"):
        descend.value_and_trust(descend.routes.black_box(failing), via=as_squares)(X)


def test_transformations():
    measured = descend.value_and_trust(quadratic, via=forward(), estimates=4)
    points, keys = jnp.stack([X, 2 * X]), jax.random.split(KEY, 2)
    together = jax.jit(jax.vmap(lambda x, key: measured(x, key=key)))(points, keys)
    for i in range(2):
        alone = measured(points[i], key=keys[i])
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-9), together, alone)


def test_bad_input():
    measured = descend.value_and_trust(quadratic)
    with pytest.raises(TypeError, match="real floating arguments, got int"):
        measured(jnp.arange(3))
    with pytest.raises(TypeError, match="argnums=1"):
        descend.value_and_trust(quadratic, argnums=1)(X)
    with pytest.raises(TypeError, match="scalar"):
        descend.value_and_trust(lambda x: x)(X)
    with pytest.raises(TypeError, match="function and a route"):
        descend.value_and_trust(quadratic, via=3)  # pyright: ignore
    with pytest.raises(ValueError, match="at least 4"):
        descend.value_and_trust(quadratic, estimates=3)
    with pytest.raises(ValueError, match="scale must be a positive number"):
        descend.value_and_trust(quadratic, scale=-1.0)
    with pytest.raises(ValueError, match="its sigma"):
        descend.value_and_trust(quadratic, via=smooth(), scale=0.1)
    with pytest.raises(ValueError, match="sigma must be positive"):
        descend.value_and_trust(quadratic, via=smooth(sigma=0.0))


def test_values_that_fail_are_counted_and_said():
    """A fifth of what the route draws is NaN: left out of the gradient, and said."""
    cliff = float(stats.norm.ppf(0.8)) * 0.5
    f = lambda x: jnp.where(x[0] > cliff, jnp.nan, jnp.sum(x * jnp.array([0.0, 1.0])))  # noqa: E731
    _, gradient, trust = descend.value_and_trust(f, via=smooth(sigma=0.5, samples=64))(jnp.zeros(2), key=KEY)
    assert np.all(np.isfinite(gradient)) and trust.verdict == "unbiased"
    assert abs(trust.failed - 0.2) < 4 * math.sqrt(0.2 * 0.8 / 256)
    assert "of the values drawn are not finite and were left out" in trust.why
    whole = descend.value_and_trust(quadratic, via=smooth(sigma=0.5, samples=16))(X, key=KEY)[2]
    assert whole.failed == 0 and "finite" not in whole.why


# --- what the derivative does not see -------------------------------------------------------------------------------


def cliffs(x):
    """A slope of 0.6 x, and steps of 1/3 whose squares are many times as high."""
    steps = jnp.round(3 * x)
    return 0.3 * jnp.sum(x**2) + jnp.sum(steps**2)


def sawtooth(x):
    return jnp.sum(x - jnp.floor(7 * x) / 7)


def beside(x):
    """Its jump lies uphill."""
    use = jnp.sum(x**2)
    return jnp.where(use < 1.2, use, use - 3.0)


def followed(x):
    """A staircase with a slope of its own."""
    return jnp.sum(x + jax.lax.stop_gradient(jnp.round(100 * x) / 100 - x))


AT = jnp.array([0.55, 0.73, -0.3])


@pytest.mark.parametrize(("f", "line", "word"), [(cliffs, 2, "is flat"), (sawtooth, 1, "jumps"), (step, 1, "is flat")])
def test_a_derivative_that_does_not_see_a_jump_is_refused_with_its_line(f, line, word):
    x = AT if f is not step else jnp.array(0.4)
    trust = descend.value_and_trust(f)(x)[2]
    assert trust.verdict == "refused" and float(trust.unseen) > 0.3
    assert f"{word} at test_trust.py:{f.__code__.co_firstlineno + line}" in trust.why


def test_the_distance_to_a_jump_is_told():
    # Down the slope of 0.6 x, the first coordinate to come to a half step (0.5) is that at 0.55.
    g = 0.6 * AT
    distance = float(0.05 / (g[0] / jnp.linalg.norm(g)))
    nearest = float(descend.value_and_trust(cliffs)(AT)[2].nearest)
    assert distance <= nearest <= distance + 0.3 / 32 + 1e-6


def test_jumps_that_a_descent_does_not_meet_are_no_reason():
    assert descend.value_and_trust(beside)(AT)[2].verdict == "exact"
    assert descend.value_and_trust(followed, scale=0.1)(AT)[2].verdict in ("exact", "biased")
    smoothed = descend.value_and_trust(cliffs, via=smooth(sigma=0.3, samples=400))(AT)[2]
    assert smoothed.verdict == "unbiased" and float(smoothed.unseen) == 0


def test_what_is_not_seen_is_told_under_jit_and_vmap_and_not_where_nothing_can_be_read():
    trust = jax.jit(jax.vmap(descend.value_and_trust(cliffs, estimates=4)))(jnp.stack([AT, AT + 1]))[2]
    assert bool(jnp.all(trust.unseen > 0.3)) and bool(jnp.all(trust.line >= 0))

    @jax.custom_vjp
    def reverse(x):
        return jnp.sum(jnp.floor(x)) + jnp.sum(x**2)

    reverse.defvjp(lambda x: (reverse(x), x), lambda x, g: (2 * g * x,))
    assert float(descend.value_and_trust(reverse)(AT)[2].unseen) == 0


def test_a_kink_within_the_distance_is_named():
    trust = descend.value_and_trust(lambda x: jnp.sum(jnp.abs(x)))(jnp.array([0.002, 0.5, -0.3]))[2]
    assert trust.verdict == "biased" and "is kinked at test_trust.py" in trust.why
