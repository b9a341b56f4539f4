"""`descend.grad` against `jax.grad` where that is right, and against closed forms where it is not."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend.draws import bernoulli, normal, poisson
from descend.routes import smooth

KEY = jax.random.key(0)
X = jnp.array([0.1, 0.9, 0.35])


def quadratic(x):
    return jnp.sum(x**2 * jnp.arange(1.0, x.size + 1))


def rounded(x):
    return jnp.sum(jnp.round(3 * x))


def signs(x):
    return jnp.sum(jnp.sign(x - 0.3))


def largest(x):
    return jnp.array([1.0, 5.0, 2.0])[jnp.argmax(x)]


def coin(p, *, key):
    return jax.random.bernoulli(key, p) * 1.0


def parity(x):
    return jnp.sum(jnp.floor(1000 * x)) % 2


def means(g, x, keys=2000):
    """Mean and standard error of a gradient over keys."""
    drawn = jax.jit(jax.vmap(lambda key: g(x, key=key)))(jax.random.split(jax.random.key(5), keys))
    drawn = np.asarray(drawn).reshape(keys, -1)
    return drawn.mean(0), drawn.std(0, ddof=1) / math.sqrt(keys)


# --- what is chosen -------------------------------------------------------------------------------------------------


def test_smooth_functions_get_jax():
    g, plain = descend.grad(quadratic, at=X), jax.grad(quadratic)
    assert g.route is None and g.findings.words == {"smooth"} and "agrees" in g.why
    assert np.array_equal(g(X), plain(X))
    assert str(jax.make_jaxpr(g)(X)) == str(jax.make_jaxpr(plain)(X))
    value, gradient = descend.value_and_grad(quadratic, at=X)(2 * X)
    assert value == quadratic(2 * X) and np.array_equal(gradient, plain(2 * X))


@pytest.mark.parametrize("f", [rounded, signs, largest])
def test_flat_functions_get_a_slope(f):
    assert not np.any(jax.grad(f)(X))
    g = descend.grad(f, at=X)
    assert isinstance(g.route, descend.routes.Smooth) and "flat" in g.findings.words and "flat" in g.why
    mean, error = means(g, X)
    assert np.linalg.norm(mean) > 10 * np.linalg.norm(error)
    if f is signs:  # the slope of sum 2 Phi((x - 0.3) / sigma) - 1
        z = (np.asarray(X) - 0.3) / g.route.sigma
        np.testing.assert_array_less(
            abs(mean - 2 * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) / g.route.sigma), 4 * error
        )
    value, gradient = descend.value_and_grad(f, at=X)(X, key=KEY)
    assert value == f(X) and np.array_equal(gradient, g(X, key=KEY))


def test_a_coin():
    """d/dp E[coin] = 1; smoothing by sigma loses what leaves [0, 1], Phi(-p / sigma)."""
    assert jax.grad(coin)(0.4, key=KEY) == 0
    g = descend.grad(coin, at=0.4)
    assert g.route is not None and "sampling" in g.why
    mean, error = means(g, 0.4)
    assert abs(mean[0] - 1) < 3.5 * error[0] < 0.2


def test_few_stated_outcomes_are_summed_over():
    """Exact, whatever the key."""

    def stated(p, *, key):
        return bernoulli(key, p)

    g = descend.grad(stated, at=0.4)
    assert isinstance(g.route, descend.routes.Enumerate) and "2 outcomes, exactly" in g.why
    np.testing.assert_allclose([g(0.4, key=0), g(0.4, key=1)], 1.0, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_many_stated_outcomes_get_the_route_of_least_variance(offset):
    """d/dx E (y - 3)^2 for a Poisson y of rate x is 2 x - 5; all unbiased routes were tried, and the best is taken."""

    def events(x, *, key):
        return offset + (poisson(key, x) - 3) ** 2

    g = descend.grad(events, at=2.0)
    assert isinstance(g.route, descend.routes.Triples), g.why
    tried = g.why.split("each: ")[1]
    assert "triples" in tried and "score" in tried
    mean, error = means(g, 2.0)
    assert abs(mean[0] + 1) < 4 * error[0] < 0.5
    other = jax.grad(descend.routes.score(events, samples=16))
    assert error[0] < means(other, 2.0)[1][0]


def test_normal_draws_are_left_to_the_score_function():
    """The others differentiate them pathwise: zero here, where the slope of E is the normal density at 0."""

    def above(x, *, key):
        return 1.0 * (normal(key, x) > 0)

    g = descend.grad(above, at=0.0)
    assert isinstance(g.route, descend.routes.Score) and "states its draws" in g.why
    mean, error = means(g, 0.0)
    assert abs(mean[0] - 1 / math.sqrt(2 * math.pi)) < 4 * error[0] < 0.1


@pytest.mark.slow
def test_chaos_is_measured():
    """A sine map in a scan: what is taken has the length of what values do, and both cosines are said."""

    def orbit(x):
        step = lambda z, _: (z := jnp.sin(x[0] * z) + 0.3, z)  # noqa: E731
        return jnp.mean(jax.lax.scan(step, 0.3, None, length=200)[1] ** 2) + x[1] ** 2

    at = jnp.array([3.9, 0.5])
    g = descend.grad(orbit, at=at)
    assert "chaotic" in g.findings.words and "cosine" in g.why
    assert isinstance(g.route, (descend.routes.Window, descend.routes.Smooth))
    assert abs(jax.grad(orbit)(at)[0]) > 1e6  # what it is not
    gradient = g(at, key=KEY)
    assert np.linalg.norm(gradient) < 100


def test_a_random_function_that_passes_its_derivative():
    def noisy(x, *, key):
        return jnp.sum((x + 0.1 * jax.random.normal(key, x.shape)) ** 2)

    g = descend.grad(noisy, at=X)
    assert g.route is None
    assert np.array_equal(g(X, key=KEY), jax.grad(noisy)(X, key=KEY))
    with pytest.raises(ValueError, match="noisy is random: pass key="):
        g(X)


def test_jumps_and_kinks():
    jumping = descend.grad(lambda x: jnp.sum(x % 1.0), at=X)
    assert jumping.route is not None and "jumps" in jumping.why
    kinked = descend.grad(lambda x: jnp.sum(abs(x)), at=X)
    assert kinked.route is None and "kinked" in kinked.why and np.array_equal(kinked(-X), -jnp.ones(3))


def test_a_black_box():
    """Differences where they are affordable, else noise; a step in the values is blurred in any number of them."""

    def box(x):
        return float(np.sum(np.asarray(x) ** 2))

    few = descend.grad(box, at=X, samples=16)
    assert isinstance(few.route, descend.routes.Finite) and "black-box, and has few numbers" in few.why
    np.testing.assert_allclose(few(X), 2 * X, rtol=1e-5)
    g = descend.grad(box, at=X, samples=4)
    assert isinstance(g.route, descend.routes.Smooth) and "differences would take more" in g.why
    mean, error = means(g, X, 300)
    np.testing.assert_array_less(abs(mean - 2 * np.asarray(X)), 4 * error)
    stepped = descend.grad(lambda x: float(np.sum(np.round(3 * np.asarray(x)))), at=X, samples=16)
    assert isinstance(stepped.route, descend.routes.Smooth), stepped.why


@pytest.mark.parametrize(
    ("f", "at", "reason"),
    [
        (parity, X, "no gradient shows through noise"),
        (lambda x: jnp.where(jnp.all(abs(x - 7) < 1e-6), 1.0, 0.0), X, "no gradient shows through noise"),
        (lambda x: jnp.sum(jnp.log(x)), -X, "the value is not finite"),
        (lambda x: jnp.sum(jnp.sqrt(x)), 0 * X, "the derivative is not finite"),
    ],
    ids=["parity", "needle", "value", "derivative"],
)
def test_refused(f, at, reason):
    with pytest.raises(descend.GradientRefusedError, match=reason):
        descend.grad(f, at=at)


# --- without at= ----------------------------------------------------------------------------------------------------


def test_reading_alone():
    g = descend.grad(quadratic)
    assert np.array_equal(g(X), jax.grad(quadratic)(X)) and "read, not probed" in g.why
    assert np.array_equal(jax.jit(jax.vmap(g))(jnp.stack([X, X]))[1], jax.grad(quadratic)(X))
    for f in (rounded, signs, largest, parity):
        with pytest.raises(descend.GradientRefusedError, match=r"test_auto\.py:\d+: .* give at="):
            descend.grad(f)(X)
        with pytest.raises(descend.GradientRefusedError, match="give at="):
            jax.jit(descend.grad(f))(X)
    with pytest.raises(descend.GradientRefusedError, match="give at="):
        descend.grad(lambda x: float(x[0]))(X)
    with pytest.raises(descend.GradientRefusedError, match="lt may leave coin"):
        descend.grad(coin)(0.3, key=KEY)


def test_reading_sees_what_is_asked():
    """Another flag is another program, and only differentiated arguments count."""

    def f(x, y, flat=False):
        return jnp.sum(jnp.round(x) if flat else x**2) + jnp.sum(jnp.round(y))

    g = descend.grad(f)
    assert np.array_equal(g(X, X), 2 * X)
    with pytest.raises(descend.GradientRefusedError):
        g(X, X, flat=True)
    with pytest.raises(descend.GradientRefusedError):
        descend.grad(f, 1)(X, X)


# --- calls ----------------------------------------------------------------------------------------------------------


def test_keys():
    g = descend.grad(rounded, at=X)
    with pytest.raises(ValueError, match="draws: pass key= to the gradient"):
        g(X)
    assert np.array_equal(g(X, key=0), g(X, key=jax.random.key(0)))
    settled = descend.grad(rounded, at=X, key=0)
    assert np.array_equal(settled(X), g(X, key=0)) and np.array_equal(settled(X, key=1), g(X, key=1))

    def by_position(x, key):
        return jnp.sum(jnp.round(3 * x)) + jax.random.normal(key)

    assert np.array_equal(descend.grad(by_position, at=X)(X, KEY), descend.grad(by_position, at=X)(X, key=KEY))


def test_arguments():
    def f(x, y, scale=1.0, *, name="a"):
        return scale * jnp.sum(x[name] ** 2) * jnp.sum(jnp.round(3 * y))

    x = {"a": X}
    plain = descend.grad(f, at=(x, 2 * X))
    assert plain.route is None
    assert np.array_equal(plain(x, X, scale=2.0)["a"], jax.grad(f)(x, X, scale=2.0)["a"])
    both = descend.grad(f, argnums=(0, 1), at=(x, 2 * X))
    assert both.route is not None
    by_x, by_y = both(x, X, name="a", key=KEY)
    assert by_x["a"].shape == by_y.shape == (3,) and np.any(by_y)
    last = descend.grad(f, argnums=1, at=(x, 2 * X))
    np.testing.assert_array_equal(last(x, X, key=KEY), jax.grad(smooth(f, sigma=last.route.sigma), 1)(x, X, key=KEY))
    partial = descend.grad(functools.partial(f, x), at=2 * X)
    assert partial(X, key=KEY).shape == (3,)


def test_auxiliary_results():
    """As `jax.grad` arranges them, plain or routed, with or without a key of f's own."""

    def plain(x):
        return quadratic(x), {"sum": jnp.sum(x), "n": x.size}

    def stepped(x):
        return rounded(x), {"sum": jnp.sum(x), "n": x.size}

    def noisy(x, *, key):
        return rounded(x) + jax.random.normal(key), jax.random.normal(key)

    for g in (descend.grad(plain, has_aux=True, at=X), descend.grad(plain, 0, True)):
        jax.tree.map(np.testing.assert_array_equal, g(X), jax.grad(plain, has_aux=True)(X))
    gradient, aux = descend.grad(stepped, has_aux=True, at=X, key=0)(X)
    assert aux["n"] == 3 and aux["sum"] == jnp.sum(X)
    np.testing.assert_array_equal(gradient, descend.grad(rounded, at=X, key=0)(X))
    (value, aux), gradient = jax.jit(descend.value_and_grad(noisy, has_aux=True, at=X))(X, key=KEY)
    assert value == noisy(X, key=KEY)[0] and aux == noisy(X, key=KEY)[1] and np.any(gradient)
    with pytest.raises(TypeError, match=r"quadratic must return a pair"):
        descend.grad(quadratic, has_aux=True, at=X)


def test_transformations():
    g = descend.value_and_grad(rounded, at=X, samples=16)
    alone = g(X, key=KEY)
    for other in (
        jax.jit(g)(X, key=KEY),
        jax.tree.map(lambda a: a[0], jax.vmap(lambda x: g(x, key=KEY))(X[None])),
        jax.tree.map(lambda a: a[0], jax.lax.scan(lambda c, k: (c, g(X, key=k)), 0, KEY[None])[1]),
    ):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), alone, other)


def test_it_descends():
    """A flat loss with a plateau at every point is minimized by plain steps."""
    loss = lambda x: jnp.sum(jnp.floor(5 * x) ** 2)  # noqa: E731
    g = descend.grad(loss, at=3 * X)
    x, _ = jax.lax.scan(lambda x, key: (x - 0.005 * g(x, key=key), None), 3 * X, jax.random.split(KEY, 300))
    assert loss(x) < 0.1 * loss(3 * X)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: descend.grad(3, at=X), TypeError, "expected a function"),
        (lambda: descend.grad(quadratic, at=jnp.arange(3)), TypeError, "real floating arguments, got int"),
        (lambda: descend.grad(quadratic, at=3), TypeError, "write 3.0 for 3"),
        (lambda: descend.grad(quadratic, 1, at=X), TypeError, "argnums=1"),
        (lambda: descend.grad(quadratic, "x", at=X), TypeError, "argnums must be an int or a tuple of ints"),
        (lambda: descend.grad(quadratic, (0, 1.5)), TypeError, "argnums must be an int or a tuple of ints"),
        (lambda: descend.grad(lambda x: x, at=X), TypeError, "gradients are of scalars"),
        (lambda: descend.grad(lambda x: {"a": x[0]}, at=X), TypeError, "gradients are of scalars"),
        (lambda: descend.grad(jnp.argmax, at=X), TypeError, "make it a real float"),
        (lambda: descend.grad(lambda x, y: jnp.sum(x * y), at=X), TypeError, r"tuple of positional arguments \(x, y\)"),
        (lambda: descend.grad(lambda x: x @ jnp.ones(4), at=X), TypeError, "same shape"),
        (lambda: descend.grad(quadratic, at=X * math.nan), ValueError, "NaN or infinity"),
        (lambda: descend.grad(quadratic, at=X, key="a"), TypeError, "key must be an int"),
        (lambda: descend.grad(rounded, at=X, samples=0), ValueError, "samples must be a positive int"),
        (lambda: jax.jit(lambda x: descend.grad(quadratic, at=x)(x))(X), TypeError, "at must be concrete"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
