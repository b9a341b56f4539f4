"""Softened programs against their hard selves and against finite differences; what stays hard; what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import descend
from descend import relax
from tests.softenable import PROGRAMS, TABLE, X, nothing

TEMPERATURES = (1.0, 0.2, 0.02, 1e-3, 1e-7)
STEP = 1e-5
DIRECTION = np.array([0.3, -0.7, 0.5, 0.2])
QUICK = {"counts", "masked_logarithm", "branches", "machine", "halving"}  # in every run


def measured(f, x=X, **settings):
    """Hard value, soft values by temperature, and the derivative at 0.2: by differences, by jvp and by grad."""
    g = descend.soften(f, temperature=0.2, max_steps=12, **settings)
    temperatures = jnp.array([*TEMPERATURES, 0.2, 0.2])
    points = jnp.stack([x] * len(TEMPERATURES) + [x + STEP * DIRECTION, x - STEP * DIRECTION])

    @jax.jit
    def everything(x):
        values = lax.map(lambda at: g(at[0], temperature=at[1]), (points, temperatures))
        return f(x), values, jax.jvp(g, (x,), (DIRECTION,))[1], jax.grad(g)(x) @ DIRECTION

    hard, values, pushed, pulled = map(np.asarray, everything(jnp.asarray(x)))
    return hard, values[: len(TEMPERATURES)], (values[-2] - values[-1]) / (2 * STEP), pushed, pulled


@pytest.mark.parametrize(
    "f",
    [f if f.__name__ in QUICK else pytest.param(f, marks=pytest.mark.laws) for f in PROGRAMS],
    ids=lambda f: f.__name__,
)
def test_values_tend_to_the_hard_ones_and_gradients_are_those_of_the_soft_values(f):
    hard, soft, difference, pushed, pulled = measured(f)
    assert soft[-1] == pytest.approx(hard, abs=1e-6)
    assert abs(soft[-2] - hard) <= abs(soft[0] - hard) + 1e-9 and abs(soft[-2] - hard) < 0.05
    assert pushed == pytest.approx(difference, rel=1e-4, abs=1e-4)
    assert pulled == pytest.approx(difference, rel=1e-4, abs=1e-4)
    assert f is nothing or abs(difference) > 1e-3  # something flows


@pytest.mark.laws
@pytest.mark.parametrize("family", [relax.gaussian, relax.cauchy, relax.polynomial], ids=lambda f: type(f).__name__)
@pytest.mark.parametrize("f", [f for f in PROGRAMS if f.__name__ in QUICK], ids=lambda f: f.__name__)
def test_every_family(f, family):
    hard, soft, difference, _, pulled = measured(f, family=family)
    assert soft[-1] == pytest.approx(hard, abs=1e-5)
    assert pulled == pytest.approx(difference, rel=1e-4, abs=1e-4)


def test_a_family_of_bounded_support_is_exact_once_every_decision_is_settled():
    def f(x):
        return jnp.sum(jnp.where(x > 0.1, jnp.floor(x), x**2)) + TABLE[jnp.argmax(x), 1]

    margin = 0.11  # of 0.21 > 0.1; the largest two are 0.24 apart, and 0.83 is 0.17 from a whole number
    for family in (relax.polynomial, relax.box):
        g = descend.soften(f, temperature=0.99 * margin / family.support, family=family)
        np.testing.assert_allclose(g(X), f(X), rtol=1e-12)
        assert g.gap(X, temperature=0.3) > 1e-3


def test_what_does_not_depend_on_the_arguments_stays_hard():
    data = jnp.array([0.1, -0.2, 0.3, 0.05])

    def f(x, d):
        return jnp.sum(jnp.floor(3 * data) * x) + jnp.sum(jnp.where(d > 0.06, x, 2 * x)) + jnp.sum(d > 0.06)

    both = descend.soften(f, temperature=1.0)
    first = descend.soften(f, temperature=1.0, argnums=0)
    assert first(X, data) == f(X, data) and first.gap(X, d=data) == 0
    assert abs(both(X, data) - f(X, data)) > 0.1
    assert jnp.all(jax.grad(first, 1)(X, data) == 0) and jnp.any(jax.grad(both, 1)(X, data) != 0)
    whole = descend.soften(lambda n: jnp.sum(n > 1), temperature=1.0)(jnp.arange(4))
    assert whole.dtype.kind == "i" and whole == 2  # integers are not softened


def test_a_straight_through_of_the_users_and_custom_rules_are_left_alone():
    @jax.custom_jvp
    def rounded(x):
        return jnp.round(x)

    rounded.defjvp(lambda p, t: (rounded(*p), t[0]))

    @jax.custom_vjp
    def signed(x):
        return jnp.sign(x)

    signed.defvjp(lambda x: (jnp.sign(x), None), lambda _, ct: (3 * ct,))
    idiom = lambda x: x + lax.stop_gradient(jnp.round(x) - x)  # noqa: E731
    for f, slope in ((rounded, 1), (idiom, 1), (signed, 3)):
        g = descend.soften(lambda x, f=f: jnp.sum(f(x)), temperature=0.5)
        assert g(X) == jnp.sum(f(X)) and np.all(jax.grad(g)(X) == slope)
    smoothed = descend.routes.straight_through(jnp.round, descend.routes.identity)
    assert np.all(jax.grad(descend.soften(lambda x: jnp.sum(smoothed(x)), temperature=0.5))(X) == 1)
    # Where integers that are softened go in, there is nothing to be left alone.
    counted = descend.soften(lambda x: jnp.sum(rounded(jnp.sum(x > 0))), temperature=0.5)
    assert np.any(jax.grad(counted)(X) != 0)


def test_straight_through_has_the_hard_value_and_the_soft_derivative():
    def f(x):
        return {"a": jnp.sum(jnp.floor(3 * x) * x), "n": jnp.sum(x > 0)}

    g, h = descend.soften(f, temperature=0.3), descend.straight_through(f, temperature=0.3)
    assert h(X)["a"] == f(X)["a"] and h(X)["n"].dtype == f(X)["n"].dtype
    first = lambda function: lambda x: function(x)["a"]  # noqa: E731
    np.testing.assert_allclose(jax.jit(jax.grad(first(h)))(X), jax.grad(first(g))(X))
    np.testing.assert_allclose(jax.jvp(first(h), (X,), (DIRECTION,))[1], jax.jvp(first(g), (X,), (DIRECTION,))[1])
    sharp = descend.straight_through(temperature=0.3).narrowed(0.1)(f)
    np.testing.assert_allclose(jax.grad(first(sharp))(X), jax.grad(first(g.at(0.03)))(X))
    with pytest.raises(TypeError, match="not both"):
        descend.straight_through(f, jnp.round, temperature=0.3)


@pytest.mark.slow
def test_trees_vmap_types_and_keywords():
    def f(p, *, scale=1.0, name="a", n=3):
        steps = jnp.where(p["w"] > p["b"], p["w"], -1)[:n]
        return {name: jnp.sum(steps) * scale, "over": p["w"] > p["b"]}

    g = descend.soften(f, temperature=0.1)
    for dtype in (jnp.float32, jnp.float64):
        p = {"w": jnp.asarray(X, dtype), "b": jnp.asarray(0.3, dtype)}
        out = g(p, scale=jnp.asarray(2.0, dtype), name="total", n=2)
        assert out["total"].dtype == dtype and out["over"].dtype == dtype and out["over"].shape == (4,)
        assert jax.tree.map(jnp.shape, jax.grad(lambda p: g(p)["a"])(p)) == {"w": (4,), "b": ()}
    many = jax.vmap(lambda w: g({"w": w, "b": 0.3})["a"])(jnp.stack([X, X + 1]))
    np.testing.assert_allclose(many[1], g({"w": X + 1, "b": 0.3})["a"])


def test_mixed_types():
    def heat(x):
        def step(carry, value):
            level, burns = carry
            burns = jnp.where(level < value, 1, jnp.where(level > 0.7, 0, burns))
            level = level + (0.6 * burns).astype(jnp.float32) - 0.3
            return (level, burns), level

        return jnp.sum(lax.scan(step, (jnp.float32(0), 0), x)[1])

    g = jax.jit(descend.soften(heat, temperature=0.1))
    assert g(X).dtype == jnp.float32 and g(X, temperature=1e-6) == pytest.approx(float(heat(X)), rel=1e-5)
    mixed = descend.soften(lambda x: jnp.sum(x.astype(jnp.float32) > 0) + jnp.sum(x > 0), temperature=0.1)
    assert mixed(X) == pytest.approx(2 * float(descend.soften(lambda x: jnp.sum(x > 0), temperature=0.1)(X)), rel=1e-5)


def test_relaxed_draws_keep_the_derivative_of_the_expectation():
    """d/dp E[bernoulli(p)] = 1, which jax.grad gives as 0; the bias at this width is that of the ends of [0, 1]."""
    p, width = 0.4, 0.03
    g = descend.soften(
        lambda p: jnp.mean(jax.random.bernoulli(jax.random.key(0), p, (20_000,)) * 1.0), temperature=width
    )
    slope = float(jax.jit(jax.grad(g))(p))
    spread = np.sqrt(1 / (6 * width) / 20_000)  # of the mean of the logistic density at uniform draws
    assert abs(slope - 1) < 4 * spread


def over_keys(f, x, count, **settings):
    """The mean gradient of the softened f over so many keys, and its standard error."""
    g = descend.soften(f, argnums=0, **settings)
    keys = jax.random.split(jax.random.key(3), count)
    slopes = np.asarray(jax.jit(jax.vmap(lambda k: jax.grad(lambda x: g(x, k))(x)))(keys))
    return slopes.mean(0), slopes.std(0) / np.sqrt(count)


def test_a_draw_that_is_compared_with_a_parameter_and_then_chooses_has_the_derivative_of_the_expectation():
    """E = s (x^2 + 1) + (1 - s)(3 - x) with s = sigmoid(x), which a step in u leaves out but for its own sides."""

    def f(x, key):
        won = jax.random.uniform(key, (16,)) < jax.nn.sigmoid(x)
        return jnp.mean(jnp.where(won, x**2 + 1, 3 - x))

    x, s = 0.3, 1 / (1 + np.exp(-0.3))
    true = s * (1 - s) * (x**2 + 1 - (3 - x)) + s * 2 * x - (1 - s)
    mean, error = over_keys(f, x, 4000, temperature=0.02)
    assert abs(mean - true) < 4 * error and error < 0.05 < abs(true - (s * 2 * x - (1 - s)))


def test_stated_draws_are_scored():
    """Also where what is drawn decides, and chooses what is drawn next: E by enumeration."""

    def f(p, key):
        first, second = jax.random.split(key)
        a = descend.draws.bernoulli(first, p[0])
        b = descend.draws.bernoulli(second, jnp.where(a > 0.5, p[1], p[0] * p[1]))
        return jnp.where(a + b > 1.5, 5.0, a - 2 * b) + p[1] ** 2

    p = jnp.array([0.4, 0.7])

    def expected(p):
        of = lambda a, b: jnp.where(a + b > 1.5, 5.0, a - 2 * b) + p[1] ** 2  # noqa: E731
        q = [p[0] * p[1], p[1]]
        weight = lambda a, b: jnp.where(a, p[0], 1 - p[0]) * jnp.where(b, q[a], 1 - q[a])  # noqa: E731
        return sum(weight(a, b) * of(a, b) for a in (0, 1) for b in (0, 1))

    mean, error = over_keys(f, p, 4000, temperature=0.1)
    assert np.all(abs(mean - jax.grad(expected)(p)) < 4 * error) and np.all(error < 0.2)
    assert descend.soften(f, argnums=0, temperature=0.1)(p, jax.random.key(1)) == f(p, jax.random.key(1))
    keys = jax.random.split(jax.random.key(0), 3)
    looped = lambda p: lax.scan(lambda c, k: (c + descend.draws.bernoulli(k, p), None), 0.0, keys)[0]  # noqa: E731
    with pytest.raises(NotImplementedError, match=r"routes\.score"):
        descend.soften(looped, temperature=0.1)(0.4)


def test_temperature_by_gap_and_schedule():
    f = lambda x: jnp.sum(jnp.floor(3 * x))  # noqa: E731
    g = descend.soften(f, temperature=relax.Gap(0.01, at=X))
    assert g.gap(X) <= 0.01 < g.gap(X, temperature=2 * g.temperature)
    schedule = relax.geometric(1.0, 0.01, 10)
    np.testing.assert_allclose([schedule(0), schedule(5), schedule(10), schedule(99)], [1, 0.1, 0.01, 0.01])
    annealed = jax.jit(jax.vmap(lambda step: g.gap(X, temperature=schedule(step))))(jnp.arange(11))
    assert annealed[-1] < 1e-3 < annealed[0]
    with pytest.raises(ValueError, match="no temperature"):
        descend.soften(lambda x: jnp.sum(x > 0), temperature=relax.Gap(0.01, at=np.zeros(2)))
    for bad in (lambda: relax.Gap(-1.0, at=X), lambda: relax.geometric(1.0, 0.0, 5)):
        with pytest.raises(ValueError, match="positive"):
            bad()


def test_rounds_are_measured_on_the_hard_program():
    def halvings(x):
        one = lambda v: lax.while_loop(lambda s: s[0] > 0.1, lambda s: (s[0] / 2, s[1] + 1), (v, 0))[1]  # noqa: E731
        many = lax.scan(lambda c, v: (c + lax.cond(v > 0, one, lambda _: 0, v), None), 0, x)[0]
        return many + jnp.sum(jax.vmap(lambda v: one(8 * v))(x))

    x = jnp.array([0.15, 0.3, 0.7])  # 8 x 0.7 = 5.6 takes 6 halvings to 0.0875
    g = descend.soften(halvings, temperature=1e-5, max_steps=relax.Rounds(at=x, times=1))
    assert g.max_steps == 6 and g(x) == pytest.approx(float(halvings(x)))
    assert relax.Rounds(at=x).max_steps(halvings) == 12 and relax.Rounds(at=x).max_steps(jnp.sum) == 1


def test_bad_settings():
    for bad in (0.0, -1.0, np.nan, np.inf, np.ones(2)):
        with pytest.raises(ValueError, match="temperature of soften"):
            descend.soften(jnp.floor, temperature=bad)
        with pytest.raises(ValueError, match="temperature of soften"):
            descend.soften(jnp.floor, temperature=1.0)(X, temperature=bad)
    with pytest.raises(TypeError, match="positive number"):
        descend.soften(jnp.floor, temperature="cold")
    with pytest.raises(TypeError, match="takes a function"):
        descend.soften(3, temperature=1.0)
    with pytest.raises(TypeError, match="family must be one of"):
        descend.soften(jnp.floor, temperature=1.0, family="logistic")
    with pytest.raises(ValueError, match="max_steps"):
        descend.soften(jnp.floor, temperature=1.0, max_steps=-1)
    with pytest.raises(ValueError, match="argnums"):
        descend.soften(jnp.floor, temperature=1.0, argnums=1)(X)
    with pytest.raises(TypeError, match="argument named temperature"):
        descend.soften(lambda x, temperature: x, temperature=1.0)


def test_what_cannot_be_softened_is_said_in_one_line_with_the_users_own():
    def unbounded(x):
        return lax.while_loop(lambda s: s > 0.1, lambda s: s / 2, jnp.sum(x**2))

    def by_value(x):
        return x[0] if x[0] > 0 else x[1]

    def shifted(x):
        return (5 * x).astype(int) << 1

    def called(x):
        return jax.pure_callback(lambda v: v, jax.ShapeDtypeStruct((4,), float), x)

    def lexical(x):
        return jnp.lexsort((x, jnp.round(x)))

    for f, error, words in (
        (unbounded, NotImplementedError, "max_steps="),
        (by_value, TypeError, "jnp.where"),
        (shifted, NotImplementedError, "shift_left"),
        (called, NotImplementedError, "pure_callback"),
        (lexical, NotImplementedError, "several keys"),
    ):
        line = f.__code__.co_firstlineno + 1
        with pytest.raises(error, match=words) as raised:
            descend.soften(f, temperature=0.1)(X)
        assert f"test_soften.py:{line}" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.slow
def test_small_and_odd_input(capfd):
    one = lambda f: descend.soften(f, temperature=1e-6)(np.array([0.6]))  # noqa: E731
    assert one(lambda x: jnp.sort(x)[0] + jnp.argsort(x)[0] + jnp.argmax(x) + jnp.median(x)) == pytest.approx(1.2)
    assert one(lambda x: lax.top_k(x, 0)[0]).shape == (0,)
    with pytest.raises(ValueError, match="top_k"):
        one(lambda x: lax.top_k(x, 2)[0])
    assert one(lambda x: jnp.where(x > 0, x, jnp.nan))[0] == 0.6 and np.isnan(
        one(lambda x: jnp.where(x > 1, x, jnp.nan))[0]
    )
    huge = jnp.iinfo(jnp.int64).max
    assert one(lambda x: jnp.where(x > 0, huge, 0) > 5)[0] == 1
    assert one(lambda x: jnp.minimum(jnp.where(x > 0, 7, huge), 9))[0] == 7
    half = descend.soften(lambda x: jnp.sum(x > 0), temperature=0.1)(np.zeros(3))
    assert half == 1.5  # at a tie, one half of each

    def noisy(x):
        jax.debug.print("seen {}", jnp.sum(x > 0))
        return jnp.sum(x > 0)

    assert one(noisy) == 1
    jax.effects_barrier()
    assert "seen 1" in capfd.readouterr().out
    assert descend.soften(lambda: 3.0, temperature=1.0)() == 3
    for f in (jnp.sqrt, jnp.log, lambda x: x**0.5, jnp.arccosh):
        dropped = descend.soften(lambda x, f=f: jnp.sum(jnp.where(x > 1, f(x), 0)), temperature=0.3)
        assert np.isfinite(jax.grad(dropped)(-2 * X)).all()


def test_the_edges_of_programs():
    """Nothing to loop over, nothing in an array, NaN and huge constants, complex numbers, rules within rules."""
    x = np.array([0.3, 0.1])
    soft = lambda f: descend.soften(f, temperature=1e-6)  # noqa: E731

    def deep(n):
        @jax.custom_vjp
        def f(x):
            return deep(n - 1)(x) if n else jnp.floor(3 * x)

        f.defvjp(lambda x: (f(x), x), lambda x, ct: (ct,))
        return f

    for f, slope in (
        (lambda x: jnp.sum(lax.fori_loop(0, 0, lambda _, y: jnp.floor(y), x)), [1, 1]),
        (lambda x: lax.scan(lambda c, v: (c + (v > 0), None), 0.0, x[:0])[0] + x[0], [1, 0]),
        (lambda x: jnp.sum(jnp.sort(x[:0])) + jnp.sum(x[:0] > 0) + x[1], [0, 1]),
        (lambda x: jnp.sum(jnp.where(jnp.array([1.0, jnp.nan]) > 0.5, x, x**2)), [1, 0.2]),
        (lambda x: jnp.sum(jnp.maximum(x, -1e308)) + jnp.sum(jnp.where(x > 0.2, 1e300, 0.0)) * 1e-300, [1, 1]),
        (lambda x: jnp.real((1 + 2j) * x[0]) * (x[1] > 0), [1, 0]),
        (lambda x: jnp.sum(deep(4)(x)), [1, 1]),
    ):
        g = soft(f)
        np.testing.assert_allclose(g(x), f(jnp.asarray(x)))
        np.testing.assert_allclose(jax.grad(g)(x), slope, atol=1e-9)


def test_a_cold_choice_of_many_branches_has_a_finite_derivative():
    """Weights of branches that are out of the question are too faint in float32 to divide by."""
    branches = (jnp.sin, jnp.cos, jnp.square, jnp.negative)
    f = lambda logits, x: jax.lax.switch(jnp.argmax(logits), branches, x)  # noqa: E731
    soft = descend.soften(f, temperature=0.05, argnums=0)
    logits = 6 * jax.random.normal(jax.random.key(0), (500, 4), jnp.float32)
    slopes = jax.jit(jax.vmap(jax.grad(soft), (0, None)))(logits, jnp.float32(0.7))
    assert slopes.dtype == jnp.float32 and np.all(np.isfinite(slopes))
