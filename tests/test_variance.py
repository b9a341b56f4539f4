"""How much estimators vary, on the programs of their papers and by what the papers say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend import draws
from descend.routes import enumerate, score, triples
from descend.routes.numbers import stratified

KEY = jax.random.key(3)


def falling(n):
    """The walk of arXiv:2210.08572: n steps up with chance exp(-position / p), else down; the end squared."""

    def f(p, key):
        step = lambda at, key: (at + 2 * draws.bernoulli(key, jnp.exp(-at / p)) - 1, None)  # noqa: E731
        return jax.lax.scan(step, 0.0, jax.random.split(key, n))[0] ** 2

    return f


def falling_mean(p, n):
    """Its mean, by the distribution over positions."""
    at, chance = np.arange(-n, n + 1), np.eye(2 * n + 1)[n]
    up = np.exp(-np.maximum(at, 0) / p)
    for _ in range(n):
        chance = np.roll(chance * up, 1) + np.roll(chance * (1 - up), -1)
    return chance @ at**2


def published(n, p, count, rng):
    """Single estimates by the score function and by the paper's triples, in forward mode and with pruning.

    A chance that grows turns only steps down into steps up, with weight (its derivative) / (chance of down). Each new
    alternative takes the place of the one before it with probability by weight; alternatives go on by the same numbers.
    """
    at, other = np.zeros(count), np.zeros(count)
    pushed, weight = np.zeros(count), np.zeros(count)
    for _ in range(n):
        u, up = rng.random(count), np.exp(-at / p)
        slope, down = up * at / p**2, u >= up
        pushed += np.where(down, -slope / np.where(down, 1 - up, 1), slope / up)
        new = np.where(down, slope / np.where(down, 1 - up, 1), 0)
        weight += new
        taken = rng.random(count) * weight < new
        other = np.where(taken, at + 1, other + np.where(u >= np.exp(-other / p), -1, 1))
        at = at + np.where(down, -1, 1)
    return at**2 * pushed, weight * (other**2 - at**2)


def spread(route, f, x, count=4000):
    """Estimates by different keys."""
    g = route(f)
    return np.asarray(jax.jit(jax.vmap(lambda key: jax.grad(g)(x, key=key)))(jax.random.split(KEY, count)))


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 50])
def test_triples_vary_as_little_as_published(n):
    """The figure of arXiv:2210.08572 on its random walk: deviations with p = 2 n, where f is the end squared.

    Its authors' estimator, run here, has a variance 27 (n = 20) and 65 (n = 50) times below the score function's.
    """
    p, rng = 2.0 * n, np.random.default_rng(0)
    scored, theirs = published(n, p, 100_000, rng)
    truth = (falling_mean(p + 1e-3, n) - falling_mean(p - 1e-3, n)) / 2e-3
    for estimates in (scored, theirs):
        assert abs(estimates.mean() - truth) < 4 * estimates.std() / np.sqrt(len(estimates))
    ours = spread(triples(samples=8), falling(n), p)
    plain = spread(score(samples=8, leave_one_out=False), falling(n), p)
    assert abs(ours.mean() - truth) < 4 * ours.std() / np.sqrt(len(ours))
    factor = scored.var() / theirs.var()
    assert factor > 20
    assert plain.var() / ours.var() > factor
    with_mean = spread(score(samples=8), falling(n), p)  # "score function with control variate" in the figure
    assert with_mean.var() > 2 * ours.var()


@pytest.mark.slow
def test_local_sums_are_as_sure_as_published():
    """Titsias and Lazaro-Gredilla (2015): the expectation over the one variable of a parameter is exact.

    So each entry of the gradient varies less than by the score function on the same number of runs, as every
    Rao-Blackwellized estimate does, and not at all where f is a sum of functions of single draws.
    """
    x = jnp.array([0.5, -1.0, 0.2, 1.5, 0.0, -0.3])
    weights = jnp.array([1.0, -2.0, 0.5, 3.0, 1.5, -1.0])
    coins = lambda x, key: draws.bernoulli(key, jax.nn.sigmoid(x))  # noqa: E731
    paired = lambda x, key: (coins(x, key) @ weights - 1) ** 2  # noqa: E731
    single = lambda x, key: jnp.sum(jnp.exp(coins(x, key) * weights))  # noqa: E731
    local = enumerate(limit=12, samples=4)
    assert np.all(spread(local, paired, x).var(0) < spread(score(samples=4), paired, x).var(0))
    exact = jax.grad(lambda x: jax.nn.sigmoid(x) @ (jnp.exp(weights) - 1))(x)
    np.testing.assert_allclose(spread(local, single, x, 50), np.broadcast_to(exact, (50, 6)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("runs", [1, 8, 17, 2**16])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_numbers_are_uniform_and_those_of_a_run_independent(runs, dtype):
    keys = jax.random.split(KEY, 3000)

    def two(key):
        (numbers,) = stratified(key, [(runs, 2)], dtype)
        return jnp.stack([numbers(0), numbers(runs - 1)])

    found = np.asarray(jax.jit(jax.vmap(two))(keys), float).reshape(len(keys), -1)
    assert np.all((found > 0) & (found < 1))
    assert np.all(abs(found.mean(0) - 0.5) < 4 * np.sqrt(1 / 12 / len(keys)))
    assert np.all(abs(found.var(0) - 1 / 12) < 4 * np.sqrt(1 / 180 / len(keys)))
    for i, j in ((0, 1), (2, 3), (0, 3)):  # different entries, in one run and in two
        assert abs(np.corrcoef(found[:, i], found[:, j])[0, 1]) < 4 / np.sqrt(len(keys))


def test_runs_fill_intervals():
    """Each entry is a permutation of intervals; the mean of x over 17 runs varies 17^2 times less than over one."""

    def numbers(key):
        many, single = stratified(key, [(17, 3), (8, 1)], jnp.float64)
        return jax.vmap(many)(jnp.arange(17)), jax.vmap(single)(jnp.arange(8))

    many, single = jax.jit(jax.vmap(numbers))(jax.random.split(KEY, 500))
    np.testing.assert_array_equal(np.sort(np.floor(many * 17), 1), np.broadcast_to(np.arange(17)[:, None], many.shape))
    np.testing.assert_array_equal(np.sort(np.floor(single * 8), 1)[..., 0], np.broadcast_to(np.arange(8), (500, 8)))
    assert many.mean(1).var() < 1.3 / 12 / 17**3
    product = np.asarray(many[..., 0] * many[..., 1]).mean(1)  # what entries make together is no worse than independent
    assert product.var() < 17 / 16 * (1 / 9 - 1 / 16) / 17
