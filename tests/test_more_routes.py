"""Noises, designs and controls, evolution strategies, windows, checkpoints, local credit, fits to values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend import routes
from descend.laws import check_route
from descend.routes import (
    GaussianProcess,
    Persistent,
    Unroll,
    centered_ranks,
    evolve,
    forward,
    gaussian,
    laplace,
    local,
    neighbors,
    orthogonal,
    quasi_random,
    rademacher,
    remat,
    smooth,
    sphere,
    surrogate,
    window,
)

KEY = jax.random.key(0)


def cubic(x):
    return jnp.sum(x**3) + jnp.sum(x) ** 2


X = np.array([0.5, -1.0, 1.5])
SLOPE = 3 * X**2 + 2 * X.sum()


def drawn(g, x, keys=1000):
    return np.asarray(jax.jit(jax.vmap(lambda key: jax.grad(g)(x, key=key)))(jax.random.split(jax.random.key(1), keys)))


def agrees(samples, truth):
    return bool(np.all(np.abs(samples.mean(0) - truth) < 4 * samples.std(0, ddof=1) / np.sqrt(len(samples)) + 1e-9))


# --- smooth and forward -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "variance"),
    [
        ({"noise": laplace, "design": quasi_random}, 1.0),
        ({"noise": sphere, "design": orthogonal}, 3 / 5),  # of an entry in the ball of radius sqrt(n): n / (n + 2)
    ],
    ids=str,
)
def test_noises_blur_as_they_say(settings, variance):
    g = smooth(cubic, sigma=0.5, samples=12, **settings)
    assert agrees(drawn(g, X), SLOPE + 3 * 0.25 * variance)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [gaussian, laplace, sphere], ids=repr)
@pytest.mark.parametrize("design", [routes.independent, quasi_random, orthogonal], ids=repr)
def test_every_noise_in_every_design(noise, design):
    if design == orthogonal and not noise.round:
        with pytest.raises(ValueError, match="need a round noise"):
            smooth(noise=noise, design=design)
        return
    g = smooth(cubic, sigma=0.5, samples=12, noise=noise, design=design)
    assert agrees(drawn(g, X), SLOPE + 3 * 0.25 * (3 / 5 if noise is sphere else 1))
    draws = np.concatenate(
        [design.draw(noise, KEY, b, 3 if design == orthogonal else 1, 3, float) for b in range(3000)]
    )
    np.testing.assert_allclose(draws.mean(0), 0, atol=0.06)
    np.testing.assert_allclose(draws.T @ draws / len(draws), np.eye(3), atol=0.1)


@pytest.mark.laws
@pytest.mark.parametrize(
    "settings",
    [{"design": orthogonal}, {"design": quasi_random}, {"control": jnp.sum}],
    ids=["orthogonal", "quasi_random", "control"],
)
def test_laws_of_designs(settings):
    route = smooth(sigma=0.5, samples=6, **settings)
    check_route(route, laws=("modes", "transforms", "gives", "key", "empty") if "control" not in settings else ("key",))


@pytest.mark.slow
def test_orthogonal_directions_are_exact_for_linear_functions():
    """Of a linear function 2 n samples on a sphere give the gradient; independent ones leave an error."""
    w = jnp.array([1.0, -2.0, 3.0, 0.5])
    exact = jax.grad(smooth(lambda x: w @ x, samples=8, noise=sphere, design=orthogonal))(jnp.zeros(4), key=KEY)
    loose = jax.grad(smooth(lambda x: w @ x, samples=8))(jnp.zeros(4), key=KEY)
    np.testing.assert_allclose(exact, w, rtol=1e-9)
    assert np.max(np.abs(loose - w)) > 0.1


def test_controls_keep_the_mean_and_take_out_the_variance():
    guess = lambda x: (SLOPE + 0.1) @ x  # noqa: E731
    for route, blur in [(smooth, 3 * 0.01), (forward, 0.0)]:
        plain, helped = drawn(route(cubic), X, 300), drawn(route(cubic, control=guess), X, 300)
        assert agrees(helped, SLOPE + blur)
        assert helped.var(0).sum() < plain.var(0).sum() / 50


# --- evolve -----------------------------------------------------------------------------------------------------------


def leaky(theta, state, t):
    """A state that forgets; the loss of a step depends on recent steps."""
    state = 0.5 * state + theta[0] + 0.1 * t * theta[1]
    return state, jnp.sum(state**2)


@pytest.mark.slow
def test_persistent_strategies_are_unbiased_and_vary_less():
    f = Unroll(leaky, jnp.zeros(2), 40)
    theta = jnp.array([0.3, -0.2])
    truth = jax.grad(f)(theta)
    persistent = drawn(evolve(f, sigma=1e-3, samples=2, window=4), theta, 3000)
    whole = drawn(evolve(f, sigma=1e-3, samples=2), theta, 3000)
    assert agrees(persistent, truth)
    assert agrees(whole, truth)
    # Truncation without the memory of past mutations is what persistence corrects.
    truncated = jax.grad(window(f, steps=1))(theta)
    assert np.max(np.abs(truncated / truth - 1)) > 0.1
    with pytest.raises(TypeError, match="takes an Unroll"):
        jax.grad(evolve(cubic, window=3))(X, key=KEY)


def remembering(theta, s, t):
    s = 0.9 * s + theta * jnp.array([1.0, 0.5])
    return s, jnp.sum((s - 2.0) ** 2)


REMEMBERING = Unroll(remembering, jnp.zeros(2), 12)


def persisted(theta, key, forget=False):
    """The gradient that one unroll of three windows sums to; truncated where what was before a window is forgotten."""
    strategy = Persistent(REMEMBERING, sigma=0.1, samples=8, window=4)

    def window(state, key):
        _, gradient, state = strategy.step(theta, state, key)
        return (state._replace(sums=0 * state.sums) if forget else state), gradient

    state, parts = jax.lax.scan(window, strategy.init(theta), jax.random.split(key, 3))
    return parts.sum(0), state.time


def test_persistent_strategies_go_on_between_calls():
    """The parts of an unroll sum to its gradient: values are quadratic, so that noise moves no mean."""
    theta = jnp.array([0.1, 0.3])
    keys = jax.random.split(KEY, 4000)
    drawn, time = jax.jit(jax.vmap(lambda key: persisted(theta, key)))(keys)
    off, error = drawn.mean(0) - jax.grad(REMEMBERING)(theta), drawn.std(0) / np.sqrt(len(keys))
    assert np.all(abs(off) < 4 * error) and not np.any(time)
    forgot = jax.jit(jax.vmap(lambda key: persisted(theta, key, forget=True)[0]))(keys)
    assert np.all(abs(forgot.mean(0) - jax.grad(REMEMBERING)(theta)) > 10 * forgot.std(0) / np.sqrt(len(keys)))


@pytest.mark.slow
def test_persistent_strategies_train():
    """Steps between windows end at the optimum of the whole unroll; truncated ones end elsewhere."""
    strategy = Persistent(REMEMBERING, sigma=0.05, samples=64, window=2)

    @jax.jit
    def train(forget):
        def one(both, key):
            theta, state = both
            _, gradient, state = strategy.step(theta, state, key)
            state = state._replace(sums=jnp.where(forget, 0, state.sums))
            return (theta - 5e-4 * gradient, state), theta

        begin = jnp.zeros(2), strategy.init(jnp.zeros(2))
        return jax.lax.scan(one, begin, jax.random.split(KEY, 6000))[1][3000:].mean(0)

    slope = jax.grad(REMEMBERING)
    curvature = jax.hessian(REMEMBERING)(jnp.zeros(2))
    best = -jnp.linalg.solve(curvature, slope(jnp.zeros(2)))
    above = [REMEMBERING(train(forget)) - REMEMBERING(best) for forget in (False, True)]
    assert above[0] < 0.1 * above[1], above


@pytest.mark.slow
def test_guides_and_shaping():
    guided = drawn(
        evolve(lambda x: jnp.sum(x**2), guide=lambda x: jnp.stack([x, x**2]), samples=2), jnp.arange(1.0, 21.0)
    )
    plain = drawn(evolve(lambda x: jnp.sum(x**2), samples=2), jnp.arange(1.0, 21.0))
    cosine = lambda g: np.mean(g @ np.arange(1, 21) / np.linalg.norm(g, axis=1) / np.linalg.norm(np.arange(1, 21)))  # noqa: E731
    assert cosine(guided) > 1.5 * cosine(plain)
    assert evolve(guide=jnp.sum).GIVES == evolve(shaping=centered_ranks).GIVES == "biased"
    outlier = lambda x: jnp.sum(x) + jnp.where(x[0] > 0.1, jnp.inf, 0.0)  # noqa: E731
    slope = jax.grad(evolve(outlier, shaping=centered_ranks, samples=200))(jnp.zeros(3), key=KEY)
    assert np.all(np.isfinite(slope))
    assert np.all(slope > 0)
    with pytest.raises(ValueError, match="ranks the values of a scalar"):
        jax.jvp(lambda x: evolve(lambda x: x, shaping=centered_ranks)(x, key=KEY), (X,), (X,))


# --- window and remat -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_windows_follow_the_lyapunov_exponent():
    """The logistic map: at r = 3.9 derivatives explode and are cut; at 3.2 they do not and nothing is."""
    f = Unroll(lambda r, s, t: (r * s * (1 - s), s), jnp.array(0.3), 200)
    slope = jax.jit(jax.grad(window(f)))
    assert abs(jax.grad(f)(3.9)) > 1e20
    assert abs(slope(3.9)) < 1e4
    np.testing.assert_allclose(slope(3.2), jax.grad(f)(3.2), rtol=1e-12)
    clipped = jax.grad(window(f, clip=1.0))(3.9)
    assert abs(clipped) < 200
    ahead = jax.jvp(window(f, clip=1.0), (3.9,), (1.0,))[1]
    np.testing.assert_allclose(ahead, clipped, rtol=1e-9)


def test_a_window_cuts_where_it_says():
    """Two steps a window: by hand, the state is a constant at every second step."""

    def by_hand(theta):
        state, total = jnp.ones(2), 0.0
        for t in range(7):
            state = jax.lax.stop_gradient(state) if t % 2 == 0 and t else state
            state, loss = leaky(theta, state, t)
            total += loss
        return total

    theta = jnp.array([0.3, -0.2])
    found = jax.grad(window(Unroll(leaky, jnp.ones(2), 7), steps=2))(theta)
    np.testing.assert_allclose(found, jax.grad(by_hand)(theta), rtol=1e-12)


def test_remat_is_exact_in_little_memory():
    def long(x, length=1000):
        step = lambda s, t: (jnp.tanh(s * x + jnp.sin(s)), s[:2] * t)  # noqa: E731
        end, seen = jax.lax.scan(step, x, jnp.arange(float(length)), reverse=True)
        return jnp.sum(end) + jnp.sum(seen) * 1e-3

    x = jnp.linspace(0.1, 1, 3)
    np.testing.assert_allclose(jax.jit(jax.grad(remat(long)))(x), jax.jit(jax.grad(long))(x), rtol=1e-10)

    def scratch(f):
        total = lambda x: jnp.sum(jax.lax.scan(lambda s, t: (jnp.sin(s * x), None), x, None, length=4096)[0])  # noqa: E731
        compiled = jax.jit(jax.grad(f(total))).lower(jax.ShapeDtypeStruct((1000,), float)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert scratch(remat) < scratch(lambda f: f) / 50


# --- local ------------------------------------------------------------------------------------------------------------


def test_local_credit_does_not_pay_for_the_others():
    """A row of cells, each seeing two numbers of its own: the noise of an entry does not grow with their number."""

    def cells(x):
        return jnp.floor(4 * x[:, 0]) * x[:, 1]

    def spread(n, **settings):
        x = jnp.full((n, 2), 0.5)
        g = local(cells, sigma=0.3, samples=2, **settings)
        total = lambda x, key: jnp.sum(g(x, key=key))  # noqa: E731
        return drawn(total, x, 100)[:, 0].std(0).mean()

    rows = lambda x: jnp.arange(len(x))[:, None]  # noqa: E731
    mask = lambda x: jnp.repeat(jnp.eye(len(x), dtype=bool), 2, axis=1)  # noqa: E731
    few, many = spread(4, touched=rows), spread(64, touched=rows)
    assert many < 1.5 * few
    np.testing.assert_allclose(spread(4, touched=mask), few)
    assert spread(64) > 3 * many
    slopes = drawn(
        lambda x, key: jnp.sum(local(cells, sigma=0.3, touched=rows)(x, key=key)), jnp.full((1, 2), 0.5), 2000
    )
    whole = drawn(smooth(lambda x: jnp.sum(cells(x)), sigma=0.3, samples=2), jnp.full((1, 2), 0.5), 2000)
    assert np.all(np.abs(slopes.mean(0) - whole.mean(0)) < 5 * (slopes.std(0) + whole.std(0)) / np.sqrt(2000))
    assert local(directions=rademacher).directions is rademacher
    with pytest.raises(ValueError, match="touched must give"):
        jax.jvp(
            lambda x: local(cells, touched=lambda x: x[:3] > 0)(x, key=KEY), (jnp.ones((4, 2)),), (jnp.ones((4, 2)),)
        )


# --- neighbors and surrogate ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_neighbors_ask_for_nothing_new():
    """A slope of three of thirty numbers, from 60 noisy evaluations: the penalty finds it, least squares does not."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 30)) * 0.3
    w = np.zeros(30)
    w[:3] = 2.0, -1.0, 3.0
    values = points @ w + 0.1 * rng.normal(size=60)
    calls = []

    def f(x):
        calls.append(x)
        return jnp.sum(x)

    slopes = [jax.grad(neighbors(f, past=(points, values), k=25, penalty=p))(np.zeros(30)) for p in (0.0, 0.02)]
    assert len(calls) <= 4  # traced, never evaluated
    errors = [np.linalg.norm(s - w) for s in slopes]
    assert errors[1] < errors[0] / 1.5
    assert np.sum(np.abs(slopes[1]) > 1e-9) < 15
    exact = jax.grad(neighbors(f, past=(points, points @ w), k=60))(np.zeros(30))
    np.testing.assert_allclose(exact, w, atol=1e-6)
    with pytest.raises(TypeError, match="needs past="):
        neighbors(f)
    with pytest.raises(ValueError, match="past has points of 30 numbers"):
        jax.grad(neighbors(f, past=(points, values)))(np.zeros(3))


@pytest.mark.slow
def test_models_know_that_directions_overlap():
    """Twice as many samples as numbers: a fit has the slope, an average has half of it as noise."""
    x = jnp.linspace(-1, 1, 20)
    wave = lambda x: jnp.sum(jnp.sin(3 * x))  # noqa: E731
    truth = 3 * jnp.cos(3 * x)
    error = lambda route: np.linalg.norm(jax.grad(route(wave))(x, key=KEY) - truth) / np.linalg.norm(truth)  # noqa: E731
    assert error(surrogate(sigma=1e-3, samples=44)) < 1e-3
    assert error(smooth(sigma=1e-3, samples=44)) > 0.3
    few = lambda route: abs(jax.grad(route(lambda x: jnp.sin(3 * x)))(0.0, key=KEY) - 3)  # noqa: E731
    assert few(surrogate(sigma=0.5, samples=20, model=GaussianProcess())) < 0.02
    assert few(surrogate(sigma=0.5, samples=20)) > 0.2


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": 0.0}, "sigma"),
        ({"samples": 0}, "samples"),
        ({"window": 5}, "window must divide the length 12, got 5"),
    ],
)
def test_bad_settings_of_persistent_strategies(settings, message):
    with pytest.raises(ValueError, match=message):
        Persistent(REMEMBERING, **settings)


def test_bad_settings_are_told():
    for build, error, text in [
        (lambda: smooth(noise="gaussian"), TypeError, "noise must be one such as"),
        (lambda: smooth(design=None), TypeError, "design must be one such as"),
        (lambda: smooth(control=1.0), TypeError, "control must be a function"),
        (lambda: evolve(trust=2.0), ValueError, "trust must be between 0 and 1"),
        (lambda: evolve(window=2, shaping=centered_ranks), ValueError, "neither with guide nor"),
        (lambda: evolve(sigma=0.0), ValueError, "sigma must be positive"),
        (lambda: window(steps=0), ValueError, "steps must be a positive int"),
        (lambda: window(growth=1.0), ValueError, "growth must be above 1"),
        (lambda: remat(branching=1), ValueError, "branching must be at least 2"),
        (lambda: local(samples=0), ValueError, "samples must be a positive int"),
        (lambda: surrogate(model="linear"), TypeError, "model must be one such as"),
        (lambda: GaussianProcess(length=-1.0), ValueError, "length must be positive"),
        (lambda: neighbors(past=(1, 2), penalty=-1.0), ValueError, "penalty must not be negative"),
        (lambda: Unroll(leaky, 0.0, 0), ValueError, "length must be a positive int"),
        (lambda: Unroll(None, 0.0, 1), TypeError, "step must be a function"),
    ]:
        with pytest.raises(error, match=text):
            build()
