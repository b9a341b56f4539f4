"""Programs that state their draws, and the routes through them, against sums over all outcomes done by hand."""

import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from descend import draws
from descend.laws import check_route
from descend.routes import (
    GumbelSoftmax,
    Rebar,
    StraightThroughGumbel,
    enumerate,
    relaxed,
    score,
    triples,
)

KEY = jax.random.key(0)
sigmoid = special.expit


def slope(mean, x, h=1e-5):
    """The derivative of a mean that is computed exactly."""
    return (mean(x + h) - mean(x - h)) / (2 * h)


# --- programs of one number, and their means --------------------------------------------------------------------------


def coins(x, key):
    """Two coins, a third whose chance depends on them, a branch."""
    first, second = jax.random.split(key)
    b = draws.bernoulli(first, jax.nn.sigmoid(x + jnp.array([0.0, 1.0])))
    c = draws.bernoulli(second, jax.nn.sigmoid(b[0] - x * b[1]))
    return jnp.where(c > 0.5, b[0] + 3 * b[1], x**2) + jnp.floor(b[0] + c)


def coins_mean(x):
    total = 0.0
    for b0, b1, c in itertools.product((0, 1), repeat=3):
        p = sigmoid(x), sigmoid(x + 1), sigmoid(b0 - x * b1)
        chance = np.prod([q if y else 1 - q for q, y in zip(p, (b0, b1, c), strict=True)])
        total += chance * ((b0 + 3 * b1 if c else x**2) + np.floor(b0 + c))
    return total


def successes(x, key):
    return jnp.where(draws.binomial(key, 10, jax.nn.sigmoid(x)) > 4, x, 2.0)


def successes_mean(x):
    tail = stats.binom(10, sigmoid(x)).sf(4)
    return x * tail + 2 * (1 - tail)


def waiting(x, key):
    return jnp.minimum(draws.geometric(key, jax.nn.sigmoid(x)), 6.0) ** 2


def waiting_mean(x):
    k = np.arange(1, 400)
    return np.sum(stats.geom(sigmoid(x)).pmf(k) * np.minimum(k, 6.0) ** 2)


def arrivals(x, key):
    """A number of events, and thinned ones of them."""
    first, second = jax.random.split(key)
    n = draws.poisson(first, jnp.exp(x))
    return jnp.sqrt(draws.binomial(second, n, jax.nn.sigmoid(x)) + n)


def arrivals_mean(x):
    total = 0.0
    for n in range(40):
        k = np.arange(n + 1)
        total += stats.poisson(np.exp(x)).pmf(n) * np.sum(stats.binom(n, sigmoid(x)).pmf(k) * np.sqrt(k + n))
    return total


def walk(x, key):
    """Six steps up or down, more likely back to the middle; the square of the end."""

    def step(at, key):
        up = draws.bernoulli(key, jax.nn.sigmoid(x - 0.3 * at))
        return jax.lax.cond(up > 0.5, lambda: at + 1, lambda: at - 1), at

    end, seen = jax.lax.scan(step, 0.0, jax.random.split(key, 6))
    return end**2 + jnp.max(seen)


def walk_mean(x):
    total = 0.0
    for steps in itertools.product((-1, 1), repeat=6):
        at, chance, seen = 0, 1.0, [0]
        for step in steps:
            up = sigmoid(x - 0.3 * at)
            chance *= up if step > 0 else 1 - up
            at += step
            seen.append(at)
        total += chance * (at**2 + max(seen[:-1]))
    return total


def lives(board):
    """One step of the Game of Life on a board whose outside is dead."""
    padded = np.pad(board, 1) if isinstance(board, np.ndarray) else jnp.pad(board, 1)
    near = sum(padded[1 + i : 4 + i, 1 + j : 4 + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j)
    xp = np if isinstance(board, np.ndarray) else jnp
    return xp.where((near == 3) | ((near == 2) & (board > 0.5)), 1.0, 0.0)


def life(x, key):
    """A random board of 3 x 3, two steps; how many live."""
    board = draws.bernoulli(key, jax.nn.sigmoid(x), (3, 3))
    return jnp.sum(lives(lives(board)))


def life_mean(x):
    boards = np.array(list(itertools.product((0.0, 1.0), repeat=9))).reshape(-1, 3, 3)
    p = sigmoid(x)
    chance = np.prod(np.where(boards > 0.5, p, 1 - p), (1, 2))
    return sum(c * lives(lives(b)).sum() for c, b in zip(chance, boards, strict=True))


def labels(x, key):
    """Two labels, the second by the first."""
    first, second = jax.random.split(key)
    table = jnp.array([[0.0, 1.0, -1.0], [0.5, 0.0, 2.0], [1.0, 1.0, -2.0]])
    one = draws.categorical(first, x * jnp.array([1.0, 0.0, -1.0]))
    two = draws.categorical(second, one @ table * x)
    return one @ jnp.array([1.0, 2.0, 4.0]) * (two @ jnp.array([3.0, -1.0, 1.0])) + x * two[0]


def labels_mean(x):
    table = np.array([[0.0, 1.0, -1.0], [0.5, 0.0, 2.0], [1.0, 1.0, -2.0]])
    first = special.softmax(x * np.array([1.0, 0.0, -1.0]))
    total = 0.0
    for i in range(3):
        second = special.softmax(table[i] * x)
        total += first[i] * second @ (np.array([1.0, 2.0, 4.0])[i] * np.array([3.0, -1.0, 1.0]) + x * np.eye(3)[0])
    return total


def tickets(x, key):
    """How many of three win, and how many of as many again; whether both are even."""
    first, second, third = jax.random.split(key, 3)
    won = draws.binomial(first, 3, jax.nn.sigmoid(x))
    again = draws.binomial(second, 3, jax.nn.sigmoid(x - won))
    paid = draws.bernoulli(third, jax.nn.sigmoid(won - again))
    return jnp.where((won % 2 == 0) & (again % 2 == 0), 3.0, won * again) + paid * x


def tickets_mean(x):
    total = 0.0
    for won, again in itertools.product(range(4), repeat=2):
        chance = stats.binom(3, sigmoid(x)).pmf(won) * stats.binom(3, sigmoid(x - won)).pmf(again)
        paid = sigmoid(won - again)
        total += chance * ((3.0 if won % 2 == 0 and again % 2 == 0 else won * again) + paid * x)
    return total


PROGRAMS = {
    program.__name__: (program, mean)
    for program, mean in [
        (coins, coins_mean),
        (successes, successes_mean),
        (waiting, waiting_mean),
        (arrivals, arrivals_mean),
        (walk, walk_mean),
        (life, life_mean),
        (labels, labels_mean),
        (tickets, tickets_mean),
    ]
}


# --- programs that are continuous between the outcomes of their draws -------------------------------------------------


def squared_vote(x, key):
    b = draws.bernoulli(key, jax.nn.sigmoid(x * jnp.array([1.0, -0.5, 2.0])))
    return (b @ jnp.array([1.0, 2.0, -1.0]) - x) ** 2


def chained(x, key):
    first, second = jax.random.split(key)
    b = draws.bernoulli(first, jax.nn.sigmoid(x))
    return jnp.sin(b + 2 * draws.bernoulli(second, jax.nn.sigmoid(x * b - 0.5))) * x


def drift(x, key):
    """`walk` in arithmetic."""

    def step(at, key):
        at = at + 2 * draws.bernoulli(key, jax.nn.sigmoid(x - 0.3 * at)) - 1
        return at, at

    return jax.lax.scan(step, 0.0, jax.random.split(key, 5))[0] ** 2


def log_label(x, key):
    return jnp.log(1 + draws.categorical(key, x * jnp.array([1.0, 0.0, -1.0, 2.0])) @ jnp.array([0.5, 3.0, 1.0, 7.0]))


CONTINUOUS = (squared_vote, chained, drift, log_label, labels)
LIMITS = {
    "coins": 7,
    "walk": 18,
    "life": 18,
    "labels": 8,
    "tickets": 10,
}  # below all outcomes together, above those one by one
X = 0.4


def estimates(route, program, count=4000):
    """Gradients by different keys."""
    g = route(program)
    return np.asarray(
        jax.jit(jax.vmap(lambda key: jax.grad(g)(X, key=key)))(jax.random.split(jax.random.key(3), count))
    )


def z_score(drawn, truth):
    return abs(drawn.mean() - truth) / (drawn.std(ddof=1) / np.sqrt(len(drawn)))


# --- the families -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_samples_have_their_distribution():
    keys, count = jax.random.split(jax.random.key(5), 6), 20_000
    p, rate = 0.3, 3.5
    for found, wanted in [
        (draws.bernoulli(keys[0], p, (count,)), stats.bernoulli(p)),
        (draws.binomial(keys[1], 7, p, (count,)), stats.binom(7, p)),
        (draws.geometric(keys[2], p, (count,)), stats.geom(p)),
        (draws.poisson(keys[3], rate, (count,)), stats.poisson(rate)),
        (draws.categorical(keys[4], jnp.log(jnp.array([0.2, 0.5, 0.3])), count).argmax(-1), None),
        (draws.Binomial().sample(keys[5], jnp.full(count, 7.0), jnp.full(count, p)), stats.binom(7, p)),
    ]:
        pmf = (lambda k: np.array([0.2, 0.5, 0.3])[k]) if wanted is None else wanted.pmf
        values = np.arange(int(np.max(found)) + 1)
        expected, seen = pmf(values) * count, np.bincount(np.asarray(found, int), minlength=len(values))
        often = expected > 20
        assert np.all(np.abs(seen - expected)[often] < 4.5 * np.sqrt(expected[often]))


def test_log_probabilities():
    k = np.arange(1.0, 8.0)
    for family, parameters, wanted in [
        (draws.Binomial(), (9.0, 0.3), stats.binom(9, 0.3).logpmf),
        (draws.Geometric(), (0.3,), stats.geom(0.3).logpmf),
        (draws.Poisson(), (2.5,), stats.poisson(2.5).logpmf),
        (draws.Normal(), (1.0, 2.0), stats.norm(1, 2).logpdf),
    ]:
        np.testing.assert_allclose(family.log_prob(k, *(jnp.full(7, p) for p in parameters)), wanted(k), rtol=1e-10)
    assert draws.Bernoulli().log_prob(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])).tolist() == [-np.inf, -np.inf]


def test_draws_are_ordinary_numbers():
    """Plain derivatives are those of the samples: none through coins, pathwise through Gaussian ones."""
    f = lambda x: draws.bernoulli(0, x) + draws.normal(1, 2 * x, 3.0)  # noqa: E731
    assert jax.grad(f)(0.3) == 2.0
    keys = jax.random.split(KEY, 3)
    batch = jax.jit(jax.vmap(draws.categorical, (0, 1)))(keys, jnp.zeros((4, 3)))
    assert batch.shape == (3, 4)
    assert batch.sum() == 3
    assert draws.binomial(0, 5, jnp.full((2, 1), 0.5), (2, 3)).shape == (2, 3)
    with pytest.raises(ValueError, match="labels last"):
        draws.categorical(0, 1.0)
    with pytest.raises(TypeError, match="key must be"):
        draws.bernoulli("key", 0.5)


# --- routes -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["walk"])
def test_a_walk_is_unbiased(name):
    """Through a scan with a branch; `jax.grad` alone sees nothing of it."""
    program, mean = PROGRAMS[name]
    assert jax.grad(program)(X, KEY) == 0.0
    truth = slope(mean, X)
    np.testing.assert_allclose(jax.jit(jax.grad(enumerate(program)))(X, key=KEY), truth, rtol=1e-6)
    assert z_score(estimates(triples(), program), truth) < 4


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_estimators_are_unbiased(name):
    program, mean = PROGRAMS[name]
    truth = slope(mean, X)
    tried = [score(samples=2), score(samples=1), triples(), triples(alternatives=20)]
    if name in LIMITS:
        np.testing.assert_allclose(jax.jit(jax.grad(enumerate(program)))(X, key=KEY), truth, rtol=1e-6, atol=1e-9)
        tried.append(enumerate(limit=LIMITS[name]))
    for route in tried:
        assert z_score(estimates(route, program), truth) < 4, route


@pytest.mark.slow
@pytest.mark.parametrize("program", CONTINUOUS, ids=lambda program: program.__name__)
def test_rebar_is_unbiased_where_stand_ins_do_not_jump(program):
    truth = jax.jit(jax.grad(enumerate(program)))(X, key=KEY)
    for by in (Rebar(), Rebar(0.1), Rebar(scale=0.5)):
        assert z_score(estimates(relaxed(by=by), program), truth) < 4, by


@pytest.mark.slow
def test_rebar_misses_what_jumps_between_outcomes():
    """The control 1[b > 0.5] takes out all of the score function, and its derivative puts nothing back: it refuses."""
    jumps = lambda x, key: 1.0 * (draws.bernoulli(key, jax.nn.sigmoid(x)) > 0.5)  # noqa: E731
    assert not np.any(estimates(relaxed(by=Unchecked()), jumps, 100))
    assert z_score(estimates(score(samples=2), jumps), sigmoid(X) * (1 - sigmoid(X))) < 4
    with pytest.raises(TypeError, match=r"gt \(.*test_draws.py:\d+\) jumps: use routes.score"):
        jax.grad(relaxed(jumps, by=Rebar()))(X, key=KEY)


class Unchecked(Rebar):
    """What Rebar would give if it refused nothing."""

    def check(self, point):
        return


@pytest.mark.parametrize("name", ["coins", "walk", "life"])
def test_rebar_refuses_what_jumps(name):
    """Comparisons, `floor`, branches, in loops too; each is biased where it is not refused (below)."""
    with pytest.raises(TypeError, match="continuous between the outcomes"):
        jax.eval_shape(lambda x: jax.grad(relaxed(PROGRAMS[name][0], by=Rebar()))(x, key=KEY), X)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coins", "walk"])
def test_what_rebar_refuses_is_biased(name):
    program, mean = PROGRAMS[name]
    drawn = estimates(relaxed(by=Unchecked()), program)
    assert abs(drawn.mean() - slope(mean, X)) > 4 * drawn.std() / np.sqrt(len(drawn)) + 0.1


def test_rebar_takes_what_is_continuous():
    """Kinks, softmax and logsumexp have comparisons inside that never decide between two values of f."""

    def f(x, key):
        b = draws.bernoulli(key, jax.nn.sigmoid(x * jnp.ones(3)))
        bent = jax.nn.relu(b - 0.5) + jnp.abs(b - 0.3) + jnp.clip(b, 0.2, 0.7)
        return jax.nn.logsumexp(b) + jnp.max(bent) + jax.nn.softmax(b) @ jnp.arange(3.0) + (x > 0) * jnp.sum(b)

    jax.eval_shape(lambda x: jax.grad(relaxed(f, by=Rebar()))(x, key=KEY), X)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coins", "labels"])
def test_second_derivatives_are_unbiased(name):
    program, mean = PROGRAMS[name]
    truth = slope(lambda x: slope(mean, x, 1e-3), X, 1e-3)
    tried = [enumerate(), enumerate(limit=6), score(samples=4)]
    for route in [*tried, relaxed(by=Rebar())] if program in CONTINUOUS else tried:
        g = route(program)
        drawn = jax.jit(jax.vmap(lambda key, g=g: jax.grad(jax.grad(g))(X, key=key)))(jax.random.split(KEY, 4000))
        spread = drawn.std() / np.sqrt(4000)
        assert abs(drawn.mean() - truth) < 4 * spread + 1e-4, route
    with pytest.raises(TypeError, match="first derivatives only"):
        jax.grad(jax.grad(triples(program)))(X, key=KEY)


def test_triples_refuse_second_derivatives_of_what_depends_by_its_draws_alone():
    f = lambda x, key: draws.bernoulli(key, jax.nn.sigmoid(x * jnp.ones(2))).prod()  # noqa: E731
    with pytest.raises(TypeError, match="first derivatives only"):
        jax.eval_shape(lambda x: jax.grad(jax.grad(triples(f)))(x, key=KEY), X)


@pytest.mark.laws
@pytest.mark.parametrize("by", [GumbelSoftmax(0.5), Rebar(0.5)], ids=lambda by: type(by).__name__)
def test_laws_of_relaxations(by):
    check_route(relaxed(by=by))


def test_triples_are_exact_for_one_coin_and_do_not_grow_with_the_size_of_f():
    """f(1) - f(0) whatever the draw; the score function's spread is that of f."""
    f = lambda x, key: 1000 + 3 * draws.bernoulli(key, x)  # noqa: E731
    drawn = jax.jit(jax.vmap(lambda key: jax.grad(triples(f))(0.3, key=key)))(jax.random.split(KEY, 20))
    np.testing.assert_allclose(drawn, 3.0)
    assert estimates(score(samples=1, leave_one_out=False), lambda x, key: f(jax.nn.sigmoid(x), key), 100).std() > 100


@pytest.mark.slow
@pytest.mark.parametrize(
    ("route", "factor"),
    [
        (score(samples=8), 2),
        (triples(samples=8), 10),
        (triples(samples=8, alternatives=6), 20),
        (enumerate(limit=12, samples=8), 20),
    ],
    ids=str,
)
def test_better_estimators_vary_less(route, factor):
    """Leave-one-out, triples and local sums against the plain score function, at equal numbers of samples."""
    _, mean = PROGRAMS["walk"]
    program = lambda x, key: 5 + walk(x, key)  # noqa: E731
    plain = estimates(score(samples=8, leave_one_out=False), program).var()
    drawn = estimates(route, program)
    assert z_score(drawn, slope(mean, X)) < 4
    assert drawn.var() < plain / factor


@pytest.mark.slow
def test_rebar_varies_less_on_a_program_without_jumps():
    smooth = lambda x, key: 5 + drift(x, key)  # noqa: E731
    plain = estimates(score(samples=8, leave_one_out=False), smooth).var()
    assert estimates(relaxed(by=Rebar(), samples=8), smooth).var() < plain / 1.5


@pytest.mark.slow
def test_relaxations_lean_as_they_say():
    """f is linear in its draw, so that the straight-through estimate of d E f is right up to the relaxation's slope."""
    f = lambda x, key: 3 * draws.bernoulli(key, jax.nn.sigmoid(x))  # noqa: E731
    truth = 3 * sigmoid(X) * (1 - sigmoid(X))
    for by in (GumbelSoftmax(0.2), StraightThroughGumbel(0.2)):
        drawn = estimates(relaxed(by=by, samples=4), f)
        assert abs(drawn.mean() / truth - 1) < 0.1
    with pytest.raises(NotImplementedError, match=r"no relaxation: use routes\.score"):
        jax.grad(relaxed(arrivals))(X, key=KEY)


@pytest.mark.slow
def test_another_policys_draws_are_weighted():
    """At a behavior of other chances, on purpose."""
    truth = slope(coins_mean, X)
    off = estimates(score(samples=4, behavior=0.0), coins)
    assert z_score(off, truth) < 4
    assert score(behavior=0.0, clip=0.5).GIVES == "biased"


@pytest.mark.slow
def test_clipped_weights_lean_and_critics_do_not():
    truth = slope(coins_mean, X)
    assert z_score(estimates(score(samples=4, behavior=0.0, clip=0.5), coins), truth) > 4
    assert z_score(estimates(score(samples=1, baseline=lambda x, key: 100 * x), coins), truth) < 4


@pytest.mark.slow
def test_what_cannot_be_done_is_told():
    endless = lambda x, key: jax.lax.while_loop(  # noqa: E731
        lambda c: c[0] < 2, lambda c: (c[0] + draws.bernoulli(c[1], x), jax.random.split(c[1])[0]), (0.0, key)
    )[0]
    for call, error, text in [
        (lambda: jax.grad(enumerate(arrivals))(X, key=KEY), TypeError, "outcomes without a known end"),
        (lambda: jax.grad(enumerate(walk, limit=5))(X, key=KEY), ValueError, "12 outcomes, more than limit=5"),
        (lambda: jax.jvp(triples(endless), (X,), (1.0,)), TypeError, "key"),
        (lambda: jax.jvp(lambda x: triples(endless)(x, key=KEY), (X,), (1.0,)), TypeError, "unknown number of times"),
        (lambda: score(samples=0), ValueError, "samples must be a positive int"),
        (lambda: score(clip=-1.0), ValueError, "clip must be positive"),
        (lambda: score(baseline=3.0), TypeError, "baseline must be a function"),
        (lambda: relaxed(by="gumbel"), TypeError, "by must be a relaxation"),
        (lambda: GumbelSoftmax(0.0), ValueError, "temperature must be positive"),
        (lambda: triples(alternatives=0), ValueError, "alternatives must be a positive int"),
        (lambda: jax.grad(score(coins))(X), TypeError, "key"),
        (lambda: jax.grad(score(lambda x: draws.bernoulli(0, x)))(X), ValueError, "needs key="),
    ]:
        with pytest.raises(error, match=text):
            call()
    # Loops of unknown length are no obstacle to the score function.
    through = jax.jvp(lambda x: score(endless, samples=2)(x, key=KEY), (X,), (1.0,))[1]
    assert np.isfinite(through)


@pytest.mark.slow
def test_failed_runs_are_left_out():
    """A fifth of the runs fail, whatever x: the others tell, in reverse mode too."""

    def f(x, key):
        fails = draws.bernoulli(jax.random.fold_in(key, 1), 0.2)
        return jnp.where(fails > 0.5, jnp.nan, draws.bernoulli(key, x)) * x

    always = lambda x, key: jnp.where(draws.bernoulli(key, x) < 2, jnp.nan, x)  # noqa: E731
    for route in (score(samples=50), triples(samples=50)):
        spoiled, lost = jax.jit(lambda x, r=route: (jax.grad(r(f))(x, key=KEY), jax.grad(r(always))(x, key=KEY)))(0.3)
        assert np.isfinite(spoiled), route
        assert np.isnan(lost), route


@pytest.mark.slow
def test_memory_is_flat_in_the_samples():
    def scratch(samples):
        f = lambda x, key: jnp.sum(draws.bernoulli(key, jax.nn.sigmoid(x)) * x).cumsum()[0]  # noqa: E731
        loss = lambda x: score(f, samples=samples)(x, key=KEY)  # noqa: E731
        compiled = jax.jit(jax.grad(loss)).lower(jax.ShapeDtypeStruct((50_000,), float)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    # One chunk needs no loop, so what a loop carries, a dozen vectors, is no growth; from there on nothing may grow.
    one, few, many = scratch(64), scratch(64 * 64), scratch(64 * 64 * 16)
    assert few < one + 20 * 8 * 50_000
    assert many < 1.1 * few + 1e5


def test_first_call_is_quick(capsys):
    f = lambda x, key: jnp.sum(draws.bernoulli(key, jax.nn.sigmoid(x)) * x)  # noqa: E731
    start = time.perf_counter()
    jax.block_until_ready(jax.jit(jax.grad(score(f)))(jnp.full(100, 0.5), key=KEY))
    seconds = time.perf_counter() - start
    with capsys.disabled():
        print(f"first gradient of score, 100 dimensions: {seconds:.2f} s")
    assert seconds < 20
