"""Every soft operation against its laws; families, order and selection against independent truth."""

import dataclasses
import importlib
import pkgutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from descend import relax
from descend.laws import check_relaxation
from descend.relax import Law, Operation, operation

MODULES = [importlib.import_module(f"descend.relax.{m.name}") for m in pkgutil.iter_modules(relax.__path__)]
OPERATIONS = {name: part for module in MODULES for name, part in vars(module).items() if isinstance(part, Operation)}
FAMILIES = [relax.logistic, relax.gaussian, relax.cauchy, relax.polynomial, relax.box, relax.reciprocal, relax.optimal]
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=17)
EDGES = jnp.array([1.0, 2.0, jnp.inf, -jnp.inf])


@dataclasses.dataclass(frozen=True)
class PlainBox:
    """The box step without being the box: takes the general path."""

    support: float = 2.0
    light: bool = True

    def __getattr__(self, name: str) -> Any:
        return getattr(relax.box, name)


def test_the_operations_are_found_and_public():
    assert len(OPERATIONS) > 20
    assert {name for name in relax.__all__ if isinstance(getattr(relax, name), Operation)} == set(OPERATIONS)


QUICK = {"clip", "heaviside", "logical_and", "sort", "top_k"}  # one of each kind in every run
LAWS = [n if n in QUICK else pytest.param(n, marks=pytest.mark.laws) for n in sorted(OPERATIONS)]


@pytest.mark.parametrize("name", LAWS)
def test_laws(name):
    check_relaxation(OPERATIONS[name])


def test_laws_refuse_what_breaks_them():
    def make(hard=jnp.sign, gap=lambda x, *, temperature: 2.0, laws=tuple(relax.sign.laws), soft=None):
        def sign(x, *, temperature):
            return relax.sign(x, temperature=temperature)

        return operation(hard=hard, gap=gap, sample=relax.sign.sample, laws=laws)(soft or sign)

    def flat(x, *, temperature):
        return jax.lax.stop_gradient(relax.sign(x, temperature=temperature))

    check_relaxation(make())
    for match, broken in {
        "gap is exceeded": make(gap=lambda x, *, temperature: 0.01),
        "limit is missed": make(hard=lambda x: jnp.sign(x - 0.5)),
        "finite differences": make(soft=flat),
        "not soft": make(soft=lambda x, *, temperature: jnp.sign(x)),
        "breaks what it declares": make(laws=(*relax.sign.laws, Law.SHIFT_INVARIANT)),
        "keeps what it does not declare": make(laws=(Law.MONOTONE,)),
    }.items():
        broken.__name__ = "broken"
        with pytest.raises(AssertionError, match=match):
            check_relaxation(broken)


def test_a_doubly_stochastic_operation_is_recognized():
    @operation(
        hard=lambda x: jnp.stack([x[0] < x[1], x[0] >= x[1]])[jnp.array([[0, 1], [1, 0]])].astype(x.dtype),
        gap=lambda *_, temperature: 1.0,
        sample=lambda key: (jax.random.normal(key, (2,)),),
        laws=(Law.DOUBLY_STOCHASTIC, Law.ROW_STOCHASTIC, Law.SHIFT_INVARIANT, Law.PERMUTATION_EQUIVARIANT),
    )
    def swap(x: Any, *, temperature: Any) -> Any:
        p = relax.logistic.cdf((jnp.asarray(x, float) if x.dtype.kind == "i" else x)[::-1] / temperature)
        p = relax.logistic.cdf((x[1] - x[0]) / temperature + 0 * p[0])
        return jnp.stack([jnp.stack([p, 1 - p]), jnp.stack([1 - p, p])])

    check_relaxation(swap)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: type(f).__name__)
def test_families(family):
    z = jnp.array([-50.0, -3.1, -1.2, -0.3, 0.4, 1.7, 3.3, 60.0])
    np.testing.assert_allclose(family.cdf(z) + family.cdf(-z), 1, atol=1e-14)
    np.testing.assert_allclose(family.odd(z), 2 * family.cdf(z) - 1, atol=1e-14)
    np.testing.assert_allclose(jax.vmap(jax.grad(family.cdf))(z), family.pdf(z), atol=1e-13)
    np.testing.assert_allclose(jax.vmap(jax.grad(family.ramp))(z), family.cdf(z), atol=1e-13)
    np.testing.assert_allclose(family.ramp(z) - family.ramp(-z), z, atol=1e-12)
    assert float(family.pdf(jnp.zeros(()))) == pytest.approx(0.25)
    assert np.all(np.diff(family.cdf(z)) >= 0)
    for p in (0.5, 0.8, 0.999):
        assert float(family.cdf(jnp.asarray(family.quantile(p)))) >= p - 1e-12
    if np.isfinite(family.support):
        assert float(family.cdf(jnp.asarray(family.support))) == 1
    assert family.light == (float(family.ramp(jnp.asarray(-1e6))) > -1e-3)


def test_the_pull_of_the_logistic_family_is_that_of_lambert():
    families = importlib.import_module("descend.relax.families")
    for others in (1, 9, 1000):
        expected = scipy.special.lambertw(others / np.e).real
        assert expected <= families.worst_pull(relax.logistic, others) <= 1.002 * expected


@pytest.mark.laws
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: type(f).__name__)
def test_every_family_has_the_gap_and_the_gradient(family):
    """The laws look at the default family; this at all, for the operations that differ most."""
    weights, direction, step = RANDOM.normal(size=17), RANDOM.normal(size=17), 1e-5
    calls = {"sort": (), "rank": (), "max": (), "floor": (), "trunc": (), "clip": (-1.0, 0.5), "maximum": (0.1,)}

    @jax.jit
    def everything(x, temperature):
        return {n: OPERATIONS[n](x, *args, temperature=temperature, family=family) for n, args in calls.items()}

    @jax.jit
    @jax.value_and_grad
    def both(x):
        results = everything(x, 0.3).values()
        return sum(k * (jnp.sum(weights * y) if y.ndim else 2 * y) for k, y in enumerate(results, 1))

    for temperature in (0.05, 0.3):
        for name, soft in everything(X, temperature).items():
            gap = OPERATIONS[name].gap(X, *calls[name], temperature=temperature, family=family)
            assert np.max(np.abs(soft - OPERATIONS[name].hard(X, *calls[name])) - gap) <= 1e-9, name
    difference = (both(X + step * direction)[0] - both(X - step * direction)[0]) / (2 * step)
    np.testing.assert_allclose(both(X)[1] @ direction, difference, rtol=1e-5)
    assert abs(difference) > 1e-2


@pytest.mark.parametrize("temperature", [1e-3, 0.05, 1.0, 20.0])
def test_the_fast_path_is_the_definition(temperature):
    """Windows in n log n against n^2 comparisons and bisection."""
    x = np.concatenate([X, X[:3], X[:1] + 1e-9])
    for op in (relax.sort, relax.rank):
        slow = op(x, temperature=temperature, family=PlainBox())
        np.testing.assert_allclose(op(x, temperature=temperature), slow, rtol=1e-9, atol=1e-9)


@pytest.mark.laws
def test_softness_is_that_of_the_distribution_whatever_n():
    many = np.repeat(X, 8)
    np.testing.assert_allclose(
        (relax.rank(many, temperature=0.2) - 0.5) / 8, np.repeat(relax.rank(X, temperature=0.2) - 0.5, 8), rtol=1e-9
    )
    worst = [np.abs(relax.sort(RANDOM.normal(size=n), temperature=0.1)).max() for n in (10, 1000)]
    assert worst[1] < 5
    ones = relax.sort(np.ones(1000), temperature=0.1)
    assert np.max(np.abs(ones - 1)) <= relax.sort.gap(np.ones(1000), temperature=0.1) <= 0.2


def test_ties_share():
    np.testing.assert_allclose(relax.rank(np.ones(4), temperature=0.1), 2.5)
    np.testing.assert_allclose(relax.rank.hard(np.array([3.0, 1, 3, 2])), scipy.stats.rankdata([3, 1, 3, 2]))
    gradient = jax.jacobian(lambda x: relax.sort(x, temperature=0.1))(np.ones(4))
    np.testing.assert_allclose(gradient, np.full((4, 4), 0.25), atol=1e-12)
    np.testing.assert_allclose(relax.argmax(np.ones(4), temperature=0.1), 0.25)


@pytest.mark.slow
@pytest.mark.parametrize("family", [relax.box, relax.polynomial], ids=lambda f: type(f).__name__)
def test_infinities_keep_their_places(family):
    settings = {"temperature": 0.1, "family": family}
    np.testing.assert_array_equal(relax.sort(EDGES, **settings), [-np.inf, 1, 2, np.inf])
    np.testing.assert_array_equal(relax.rank(EDGES, **settings), [2, 3, 4, 1])
    np.testing.assert_array_equal(relax.top_k(EDGES, 2, **settings).values, [np.inf, 2])
    np.testing.assert_array_equal(relax.max(-EDGES, **settings), np.inf)
    np.testing.assert_array_equal(relax.median(EDGES, **settings), 1.5)
    for name in ("round", "floor", "absolute", "sign", "heaviside"):
        np.testing.assert_array_equal(OPERATIONS[name](EDGES[2:], **settings), OPERATIONS[name].hard(EDGES[2:]))
    np.testing.assert_array_equal(relax.clip(EDGES, 0.0, 1.5, **settings)[2:], [1.5, 0])
    for op in (relax.sort, relax.rank):
        assert np.all(np.isfinite(jax.grad(lambda x, op=op: jnp.sum(op(x, **settings)[1:3]))(EDGES)))


@pytest.mark.slow
def test_small_and_empty():
    for op in (relax.sort, relax.rank, relax.floor, relax.heaviside, relax.argsort):
        assert op(np.zeros(0), temperature=0.1).size == 0
    assert relax.sort(np.zeros((3, 0)), temperature=0.1).shape == (3, 0)
    assert relax.sort(np.array([2.0]), temperature=0.1) == relax.max(np.array([2.0]), temperature=0.1) == 2
    assert relax.rank(np.array([2.0]), temperature=0.1) == 1
    assert relax.median(np.array([2.0]), temperature=0.1) == 2
    assert relax.top_k(X, 0, temperature=0.1).values.shape == (0,)
    np.testing.assert_allclose(relax.top_k(X, 17, temperature=1e-6).values, np.sort(X)[::-1])
    for k in (18, -1):
        with pytest.raises(ValueError, match="k must be between 0 and the 17 values"):
            relax.top_k(X, k, temperature=0.1)
    with pytest.raises(TypeError, match=r"k must be a whole number .*, got 1\.5"):
        relax.top_k(X, 1.5, temperature=0.1)
    for op in (relax.max, relax.argmax, relax.median):
        with pytest.raises(ValueError, match="empty"):
            op(np.zeros(0), temperature=0.1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        relax.quantile(X, 1.5, temperature=0.1)
    with pytest.raises(TypeError, match="sort needs temperature="):
        relax.sort(X)
    with pytest.raises(TypeError, match="real numbers"):
        relax.sort(X + 1j, temperature=0.1)
    with pytest.raises(ValueError, match="light tails"):
        relax.clip(X, 0.0, temperature=0.1, family=relax.cauchy)


@pytest.mark.laws
def test_axes_and_quantiles_are_those_of_numpy():
    grid = RANDOM.normal(size=(4, 5))
    cold = {"temperature": 1e-7}
    for axis in (0, -1):
        np.testing.assert_allclose(relax.sort(grid, axis=axis, **cold), np.sort(grid, axis), atol=1e-9)
        np.testing.assert_allclose(relax.median(grid, axis=axis, **cold), np.median(grid, axis), atol=1e-9)
        np.testing.assert_allclose(relax.max(grid, axis=axis, **cold), np.max(grid, axis), atol=1e-9)
    np.testing.assert_allclose(relax.quantile(X, 0.37, **cold), np.quantile(X, 0.37), atol=1e-9)
    rows = relax.argsort(X, [0, 16], temperature=1e-7)
    np.testing.assert_array_equal(np.argmax(rows, -1), [np.argmin(X), np.argmax(X)])


def test_take_is_linear_weights_between_entries():
    table = RANDOM.normal(size=(6, 2))
    np.testing.assert_allclose(relax.take(table, np.array([2.0, -3.0, 9.0]), temperature=1e-3), table[[2, 0, 5]])
    np.testing.assert_allclose(relax.take(table, 2.5, temperature=1e-3), (table[2] + table[3]) / 2)
    table[4] = np.inf
    assert np.all(np.isfinite(relax.take(table, 1.2, temperature=0.3)))


def test_where_drops_the_side_that_is_not_finite():
    def f(x):
        return relax.where(relax.heaviside(x, temperature=0.1), jnp.log(x), 5.0)

    assert f(-1.0) == 5 and jnp.isnan(relax.where(0.9, jnp.nan, 5.0))
    gradient = jax.grad(lambda p: relax.where(p, jnp.inf, 5.0))(0.3)
    assert gradient == 0
    np.testing.assert_allclose(jax.grad(relax.where)(0.3, 2.0, 5.0), -3)


def test_ten_thousand_values_without_a_square_array():
    """Forward and backward; what is compiled holds less than 200 arrays of length n."""
    n = 10_000
    x = jnp.asarray(RANDOM.normal(size=n), jnp.float32)

    def loss(x):
        ordered, ranks = relax.sort(x, temperature=0.1), relax.rank(x, temperature=0.1)
        top = relax.top_k(x, 5, temperature=0.1).values
        return jnp.sum(ordered) + jnp.sum(ranks * jnp.sin(x)) / n + jnp.sum(top), (ordered, ranks)

    compiled = jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(x).compile()
    memory = compiled.memory_analysis()
    assert memory is not None and memory.temp_size_in_bytes < 200 * 4 * n < 4 * n * n / 10
    (_, (ordered, ranks)), gradient = jax.tree.map(np.asarray, compiled(x))
    assert abs(np.sum(ranks, dtype=np.float64) / (n * (n + 1) / 2) - 1) < 1e-5
    assert np.all(np.isfinite(gradient)) and np.std(gradient) > 0.1
    assert np.all(np.abs(ordered - np.sort(x)) <= 0.2 + 1e-5) and np.all(np.diff(ordered) >= -1e-5)


def test_isolated_values_are_exact_in_float32():
    x = jnp.asarray(RANDOM.permutation(10_000), jnp.float32)
    np.testing.assert_array_equal(relax.sort(x, temperature=0.1), np.arange(10_000))
    np.testing.assert_array_equal(relax.rank(x, temperature=0.1), x + 1)


@pytest.mark.parametrize(
    "family",
    [relax.logistic, *(pytest.param(f, marks=pytest.mark.laws) for f in (relax.gaussian, relax.polynomial))],
    ids=lambda f: type(f).__name__,
)
def test_the_slopes_of_corners_are_those_of_the_values(family):
    """Of their own derivative rules, by every operand and the temperature, also at a tie; and the curvature."""

    def corners(v):
        how = {"temperature": v[2], "family": family}
        parts = relax.maximum(v[0], v[1], **how), relax.clip(v[0], v[1], v[1] + 1.3, **how), relax.absolute(v[0], **how)
        return sum((i + 1.0) * part for i, part in enumerate(parts))

    @jax.jit
    def measured(at):
        steps = 1e-5 * jnp.eye(3)
        up, down = (jax.vmap(jax.value_and_grad(corners))(at[None] + sign * steps) for sign in (1, -1))
        differences = jax.tree.map(lambda a, b: (a - b) / 2e-5, up, down)
        return jax.grad(corners)(at), jax.jacfwd(jax.grad(corners))(at), *differences

    for point in ((0.4, 0.1, 0.2), (0.1, 0.1, 0.3), (-2.0, 0.5, 0.15), (2.7, 0.2, 0.4)):
        slope, curvature, slope_seen, curvature_seen = measured(jnp.array(point))
        np.testing.assert_allclose(slope, slope_seen, atol=1e-7)
        np.testing.assert_allclose(curvature, curvature_seen, atol=1e-5)


@pytest.mark.parametrize("x", [np.inf, -300.0])
def test_far_from_a_corner_slopes_are_hard_ones(x):
    for soft, hard in (
        (lambda x: relax.maximum(x, 0.5, temperature=0.1), lambda x: jnp.maximum(x, 0.5)),
        (lambda x: relax.clip(x, -1.0, 1.0, temperature=0.1), lambda x: jnp.clip(x, -1.0, 1.0)),
        (lambda x: relax.absolute(x, temperature=0.1), jnp.abs),
    ):
        np.testing.assert_allclose(soft(x), hard(x))
        np.testing.assert_allclose(jax.grad(soft)(x), jax.grad(hard)(x))
    assert relax.maximum(x, x, temperature=0.1) == x or np.isfinite(x)
