"""Where other libraries answer with a wrong gradient and no warning: what is said here instead."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend.draws import bernoulli
from descend.routes import score, smooth

X = jnp.array([0.1, 0.9, 0.35, 0.6, 0.2])


@pytest.mark.slow
@pytest.mark.parametrize(
    "f",
    [
        lambda x: jnp.sum(jnp.round(3 * x)),
        lambda x: jnp.sum(jnp.sign(x - 0.3)),
        lambda x: jnp.array([1.0, 5.0, 2.0, 4.0, 3.0])[jnp.argmax(x)],
    ],
    ids=["round", "sign", "argmax"],
)
def test_a_gradient_that_is_zero_almost_everywhere(f):
    """Not zeros without a warning: the word, the line, and a route that has a slope."""
    assert not np.any(jax.grad(f)(X))
    found = descend.compare_routes(f, {"plain": None, "smooth": smooth(sigma=0.3)}, at=X, scale=0.3)
    assert found["plain"].verdict == "refused" and "the estimate is zero, and the value changes" in found["plain"].why
    assert found.best is found["smooth"]


@pytest.mark.slow
def test_a_perturbed_argmax_comes_with_its_error():
    """Two keys give two gradients: how far apart is stated, and how many samples a wanted cosine takes."""
    f = lambda x: jnp.arange(5.0) @ jax.nn.one_hot(jnp.argmax(x), 5)  # noqa: E731
    measured = descend.value_and_trust(f, via=smooth(sigma=0.5, samples=100), estimates=64)
    _, first, trust = measured(X, key=0)
    keys = jax.random.split(jax.random.key(5), 200)
    drawn = jax.vmap(lambda key: jax.grad(smooth(f, sigma=0.5, samples=100))(X, key=key))(keys)
    mean = drawn.mean(0)
    apart = np.sqrt(np.mean(np.sum((drawn[::2] - drawn[1::2]) ** 2, axis=1)))
    stated = np.sqrt(2) * trust.noise * np.linalg.norm(mean)
    assert first.shape == (5,) and abs(stated / apart - 1) < 0.2
    count = int(np.ceil(trust.samples_for(0.95)))
    groups = drawn[: 200 // count * count].reshape(-1, count, 5).mean(1)
    lengths = np.linalg.norm(groups, axis=1) * np.linalg.norm(mean)
    assert abs(np.mean(groups @ mean / lengths) - 0.95) < 0.04


def test_a_bernoulli_draw():
    """d/dp E = 1, not 0: by values for a draw of `jax.random`, exactly unbiased for one that is stated."""
    plain = lambda p, *, key: jax.random.bernoulli(key, p) * 1.0  # noqa: E731
    stated = lambda p, *, key: bernoulli(key, p)  # noqa: E731
    for f, route in ((plain, smooth(sigma=0.1)), (stated, score())):
        found = descend.compare_routes(f, {"plain": None, "route": route}, at=0.4, truth=1.0, estimates=200)
        assert found["plain"].verdict == "refused" and found["route"].verdict == "unbiased"


@pytest.mark.slow
def test_both_modes():
    """No `custom_vjp` that refuses a jvp: forward and reverse agree on every route chosen here."""
    f = lambda x: jnp.sum(jnp.round(3 * x))  # noqa: E731
    for route in (smooth(f, sigma=0.3), score(lambda p, *, key: jnp.sum(bernoulli(key, jax.nn.sigmoid(p))))):
        gradient = jax.grad(route)(X, key=0)
        _, ahead = jax.jvp(lambda x, route=route: route(x, key=0), (X,), (jnp.arange(5.0),))
        np.testing.assert_allclose(ahead, gradient @ jnp.arange(5.0), rtol=1e-9)


def test_ties_are_said_to_be_kinks():
    """Which element of Clarke's set an arbitrary vertex is, nobody knows: the word is said with the line."""
    g = descend.grad(lambda x: jnp.sort(x)[0], at=jnp.ones(4))
    assert "kinked" in g.findings.words and "subgradients" in g.why
    gradient = g(jnp.ones(4))
    assert jnp.all(gradient >= 0) and jnp.isclose(gradient.sum(), 1)
