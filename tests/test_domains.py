"""Domains: the laws on every class, projections and moves against independent truths, and what construction refuses."""

import importlib
import inspect
import itertools
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import LinearConstraint, linear_sum_assignment, minimize

from descend import domains
from descend.domains import (
    Binary,
    Birkhoff,
    Choice,
    Domain,
    Hypersimplex,
    Integer,
    Permutation,
    Product,
    Real,
    Simplex,
    Subset,
    Weights,
)
from descend.laws import check_domain

MODULES = [importlib.import_module(f"descend.domains.{m.name}") for m in pkgutil.iter_modules(domains.__path__)]
CLASSES = {
    found
    for module in MODULES
    for _, found in inspect.getmembers(module, inspect.isclass)
    if issubclass(found, Domain) and not inspect.isabstract(found)
}
EXAMPLES = [example for module in MODULES for example in getattr(module, "EXAMPLES", ())]
# Manifolds take long to compile: their laws run with `make laws`.
FLAT = sorted((c for c in CLASSES if not issubclass(c, domains.Manifold)), key=lambda c: c.__name__)
FIRST = [next(e for e in EXAMPLES if type(e) is c) for c in FLAT]


@pytest.mark.parametrize("example", FIRST, ids=repr)
def test_laws_on_every_class(example):
    check_domain(example)


@pytest.mark.laws
@pytest.mark.parametrize("example", [e for e in EXAMPLES if e not in FIRST], ids=repr)
def test_laws_on_every_example(example):
    check_domain(example, key=1)


@pytest.mark.laws
@pytest.mark.parametrize("example", EXAMPLES, ids=repr)
def test_laws_in_float32(example):
    with jax.enable_x64(False):
        if isinstance(example, Integer) and abs(example.upper).max(initial=0.0) > 2**24:
            # Documented: every larger float32 is whole. What is declared broken must break.
            with pytest.raises(AssertionError, match="NumPy and JAX agree"):
                check_domain(example, key=2)
        else:
            check_domain(example, key=2)


def test_every_class_is_exported():
    assert {c.__name__ for c in CLASSES} <= set(domains.__all__)


# Projections


def quadratic_program(point, matrix, target, upper):
    """The nearest x to a point with matrix @ x = target and 0 <= x <= upper, by SciPy."""
    answer = minimize(
        lambda x: 0.5 * np.sum((x - point) ** 2),
        np.full(len(point), target[0] / len(point) if len(target) == 1 else 1 / np.sqrt(len(point))),
        jac=lambda x: x - point,
        bounds=[(0.0, upper)] * len(point),
        constraints=LinearConstraint(matrix, target, target),
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    return answer.x


@pytest.mark.parametrize("domain", [Simplex(6), Hypersimplex(6, 2), Hypersimplex(6, 5)], ids=repr)
def test_capped_projection_is_that_of_a_quadratic_program(domain):
    for seed in range(8):
        point = np.random.default_rng(seed).normal(size=6) * [0.3, 1.0, 3.0][seed % 3]
        truth = quadratic_program(point, np.ones((1, 6)), [float(domain.k)], 1.0)
        np.testing.assert_allclose(domain.project(point), truth, atol=1e-6)


def test_capped_projection_by_enumeration_of_the_active_sets():
    """Every entry is 0, 1 or free; the nearest feasible of the 3^n candidates is the projection."""
    generator = np.random.default_rng(0)
    for n, k in [(4, 1), (4, 2), (5, 3)]:
        point = generator.normal(size=n)
        best, distance = None, np.inf
        for kinds in itertools.product((0.0, 1.0, None), repeat=n):
            free = np.array([kind is None for kind in kinds])
            x = np.array([0.0 if kind is None else kind for kind in kinds])
            if free.any():
                x[free] = point[free] - (point[free].sum() - (k - x.sum())) / free.sum()
            if abs(x.sum() - k) < 1e-12 and x.min() > -1e-12 and x.max() < 1 + 1e-12:
                gap = np.sum((x - point) ** 2)
                best, distance = (x, gap) if gap < distance else (best, distance)
        np.testing.assert_allclose(Hypersimplex(n, k).project(point), best, atol=1e-13)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6, 1e15, 1e300])
def test_capped_projection_is_feasible_at_every_scale(scale):
    point = scale * np.random.default_rng(3).normal(size=1000)
    for k in (1, 2, 500, 999):
        x = Hypersimplex(1000, k).project(point)
        assert x.min() >= 0 and x.max() <= 1
        assert abs(x.sum() - k) < 1e-11
    infinite = Hypersimplex(4, 2).project(np.array([np.inf, 0.0, -np.inf, 0.0]))
    np.testing.assert_allclose(infinite, [1.0, 0.5, 0.0, 0.5])


def test_birkhoff_projection_is_that_of_a_quadratic_program():
    rows = np.kron(np.eye(3), np.ones((1, 3)))
    columns = np.kron(np.ones((1, 3)), np.eye(3))
    for seed in range(8):
        point = np.random.default_rng(seed).normal(size=(3, 3))
        truth = quadratic_program(point.ravel(), np.vstack([rows, columns])[:5], np.ones(5), 1.0)
        np.testing.assert_allclose(Birkhoff(3).project(point).ravel(), truth, atol=1e-6)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0, 1e6])
def test_birkhoff_projection_is_optimal(scale):
    """y is the projection of x when no vertex lies ahead of y in the direction x - y: an assignment problem."""
    generator = np.random.default_rng(1)
    for n in (2, 5, 20):
        for draw in (
            generator.normal(size=(n, n)),
            generator.integers(-3, 4, (n, n)),
            generator.standard_cauchy((n, n)),
        ):
            x = scale * draw
            y = Birkhoff(n).project(x)
            assert y.min() >= 0
            assert max(abs(y.sum(0) - 1).max(), abs(y.sum(1) - 1).max()) < 1e-12
            ahead = x - y
            gain = ahead[linear_sum_assignment(ahead, maximize=True)].sum() - np.sum(ahead * y)
            assert gain <= 1e-11 * max(1.0, abs(x).max())


def test_two_by_two_birkhoff_has_a_closed_form():
    (a, b), (c, d) = point = np.array([[0.3, -0.2], [0.9, 0.4]])
    p = np.clip((a + d - b - c + 2) / 4, 0, 1)
    np.testing.assert_allclose(Birkhoff(2).project(point), [[p, 1 - p], [1 - p, p]], atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("domain", [Hypersimplex(5, 2), Simplex(3, shape=2), Birkhoff(4)], ids=repr)
def test_projection_differentiates(domain):
    point, direction, weight = np.random.default_rng(5).normal(size=(3, *domain.shape))
    score = lambda x: jnp.sum(weight * domain.project(x))  # noqa: E731
    step = 1e-6
    truth = (score(point + step * direction) - score(point - step * direction)) / (2 * step)
    assert abs(truth) > 1e-3
    gradient = jax.grad(score)(jnp.asarray(point))
    _, forward = jax.jvp(score, (jnp.asarray(point),), (jnp.asarray(direction),))
    np.testing.assert_allclose([np.sum(gradient * direction), forward], truth, rtol=1e-7)


# Rounding


@pytest.mark.parametrize("domain", [Integer(2, -1, 2), Binary(4), Choice(3, 2), Subset(6, 3), Permutation(4)], ids=repr)
def test_rounding_gives_the_nearest_member(domain):
    everyone = np.stack(list(domain.members()))
    for point in np.random.default_rng(7).normal(size=(20, *domain.shape)):
        squares = ((everyone - point) ** 2).reshape(len(everyone), -1).sum(1)
        np.testing.assert_array_equal(domain.round(point), everyone[np.argmin(squares)])


def test_black_boxes_keep_whole_numbers_that_float32_cannot_hold():
    domain = Integer(2, 0, 2**40)
    x = np.array([2.0**30 + 1, 5.0])
    with jax.enable_x64(False):
        np.testing.assert_array_equal(domain.round(x), x)
        near = domain.neighbors(x, jax.random.key(0), 200)
    moved = np.abs(near - x)
    assert np.all(near % 1 == 0) and np.sum(moved == 1) > 100


def test_lists_and_whole_numbers_are_points():
    assert Subset(3, 1).contains([0, 1, 0]) and Subset(3, 1).contains(np.array([0, 1, 0]))
    assert Real(2, 0.0, 1.0).contains(np.array([0, 1]))
    assert not Binary(3).contains([0, 1])
    assert Simplex(2).project(np.array([3, 0], np.float32)).dtype == np.float64


# Starts and moves


def test_starts():
    np.testing.assert_array_equal(Integer(2, -2, 3).start(), [0, 0])
    np.testing.assert_array_equal(Integer(2, 1, 10, start=[3, 4]).start(), [3, 4])
    np.testing.assert_array_equal(Binary(3).start(), [0, 0, 0])
    np.testing.assert_array_equal(Choice(["a", "b"]).start(), [1, 0])
    np.testing.assert_array_equal(Subset(4, 2).start(), [1, 1, 0, 0])
    np.testing.assert_array_equal(Permutation(2).start(), np.eye(2))
    np.testing.assert_allclose(Simplex(4).start(), 0.25)
    np.testing.assert_array_equal(Integer(2, -2, 3, start=1).relax().start(), [1, 1])


def uniform(counts, total, cells):
    """The z-score of Pearson's statistic for a uniform distribution over cells."""
    expected = total / cells
    statistic = sum((c - expected) ** 2 / expected for c in counts) + (cells - len(counts)) * expected
    return (statistic - (cells - 1)) / np.sqrt(2 * (cells - 1))


def tally(stack):
    return np.unique(stack.reshape(len(stack), -1), axis=0, return_counts=True)


@pytest.mark.parametrize(
    "domain, x, cells",
    [
        (Subset(6, 2), [1, 0, 0, 1, 0, 0], 8),
        (Choice(5), [0, 0, 1, 0, 0], 4),
        (Integer(3, -9, 9), [0, 0, 0], 6),
        (Binary(5), [0, 1, 0, 1, 1], 5),
    ],
    ids=repr,
)
def test_smallest_moves_are_equally_likely(domain, x, cells):
    x = np.array(x, float)
    near = domain.neighbors(x, jax.random.key(11), 8000)
    size = np.abs(near - x).sum(1)
    smallest = near[size == size.min()]
    assert len(smallest) > 4000
    assert abs(uniform(tally(smallest)[1], len(smallest), cells)) < 4


def test_permutations_move_every_pair_alike():
    near = Permutation(4).neighbors(np.eye(4), jax.random.key(2), 8000)
    moved = (np.diagonal(near, axis1=1, axis2=2) == 0).sum(1)
    swaps = near[moved == 2]
    counts = tally(swaps)[1]
    assert len(counts) == 6
    # Of the 6 pairs 3 are adjacent (every move swaps them) and 2 are one apart (a reversal swaps them, too).
    share = 0.5 + 0.25 * (3 / 6 + 2 / 6) + 0.25 * 3 / 6
    assert abs(len(swaps) / 8000 - share) < 4 * np.sqrt(share * (1 - share) / 8000)
    assert counts.min() / 8000 > 0.08
    assert set(moved) == {2, 3, 4}


def test_moves_reach_every_member():
    """A walk along neighbors visits a small set entirely: none of its parts is closed."""
    for domain in (Integer(2, 0, 4), Binary(4), Choice(3, 2), Subset(5, 2), Permutation(4)):
        x, seen = domain.start(), set()
        for index in range(40):
            near = domain.neighbors(x, jax.random.key(index), 64)
            seen.update(tuple(one.ravel()) for one in near)
            x = near[index]
        assert len(seen) == domain.cardinality


def test_integer_moves_have_all_sizes():
    steps = np.abs(Integer((), 0, 1000).neighbors(np.array(0.0), jax.random.key(3), 4000))
    assert 0.7 < np.mean(steps == 1) < 0.85  # three quarters, and the log-uniform steps below 2
    assert np.mean(steps > 30) > 0.08 and steps.max() > 500


@pytest.mark.slow
@pytest.mark.parametrize(
    "domain", [Simplex(2), Hypersimplex(4, 2), Birkhoff(2), Real((), 0.0, 1.0, scale=10.0)], ids=repr
)
def test_moves_leave_a_vertex(domain):
    vertex = domain.project(10.0 * np.arange(domain.size, dtype=float).reshape(domain.shape))
    near = domain.neighbors(vertex, jax.random.key(4), 500)
    assert np.all(np.abs(near - vertex).reshape(500, -1).max(1) > 1e-6)


def test_product_moves_only_what_can_move():
    domain = Product({"a": Subset(2, 2), "b": Binary(2), "c": Real(3, 1.0, 1.0)})
    near = domain.neighbors(domain.start(), jax.random.key(0), 50)
    assert np.all(near["b"].sum(1) > 0)
    np.testing.assert_array_equal(near["a"], np.ones((50, 2)))


# Samples


def test_samples_of_finite_sets_are_uniform():
    for domain in (Integer(2, 0, 2), Choice(3, 2), Subset(5, 2), Permutation(3)):
        draws = np.asarray(jax.jit(jax.vmap(domain.sample))(jax.random.split(jax.random.key(6), 6000)))
        assert abs(uniform(tally(draws)[1], 6000, domain.cardinality)) < 4


def test_samples_of_the_simplex_are_uniform():
    """Entries of the flat Dirichlet distribution have mean 1/n and variance (n - 1) / (n^2 (n + 1))."""
    draws = np.asarray(jax.vmap(Simplex(4).sample)(jax.random.split(jax.random.key(8), 20000)))[:, 0]
    variance = 3 / (16 * 5)
    assert abs(draws.mean() - 0.25) < 4 * np.sqrt(variance / 20000)
    assert abs(draws.var() / variance - 1) < 0.05


# Labels and trees


def test_labels():
    choice = Choice(["adam", "sgd", "lion"], shape=2)
    member = choice.encode(["lion", "adam"])
    np.testing.assert_array_equal(member, [[0, 0, 1], [1, 0, 0]])
    assert list(choice.decode(member)) == ["lion", "adam"]
    assert Choice([(1, 2), "x"]).decode(np.array([1.0, 0.0])) == (1, 2)
    assert Choice(3).decode(jnp.array([0.1, 0.2, 0.7])) == 2
    assert Choice(3).labels == (0, 1, 2)
    with pytest.raises(ValueError, match="'adm' is not a label"):
        choice.encode(["adm", "sgd"])
    with pytest.raises(ValueError, match="takes labels of shape"):
        choice.encode(["sgd"])


def test_weights_move_relative_to_each_leaf():
    tree = {"big": np.full(400, 100.0), "small": np.full(400, 0.01), "zero": np.zeros(400)}
    domain = Weights(tree)
    near = domain.neighbors(domain.start(), jax.random.key(0), 200)
    spread = {name: np.sqrt(np.mean((near[name] - tree[name]) ** 2)) for name in tree}
    assert abs(spread["big"] / spread["small"] / 1e4 - 1) < 0.02
    whole = np.sqrt((100.0**2 + 0.01**2) / 3)
    assert abs(spread["zero"] / spread["big"] / (whole / 100) - 1) < 0.02


def test_weights_keep_the_tree():
    domain = Weights([jnp.ones((2, 1), jnp.float32), {"b": jnp.zeros((), jnp.bfloat16)}])
    start = domain.start()
    assert start[0].shape == (2, 1) and start[1]["b"].shape == () and start[0].dtype == np.float64
    assert not domain.contains([np.ones((1, 2)), {"b": np.zeros(())}])
    with pytest.raises(ValueError):
        domain.contains([np.ones((2, 1))])


# What construction refuses, and how domains print


@pytest.mark.parametrize(
    "build, error, words",
    [
        (lambda: Subset(3, 4), ValueError, "k between 0 and n=3, got 4"),
        (lambda: Subset(3, -1), ValueError, "k between 0 and n=3, got -1"),
        (lambda: Subset(0, 0), ValueError, "n of at least 1"),
        (lambda: Subset(3, 1.5), TypeError, "k=1.5"),
        (lambda: Hypersimplex(2, 3), ValueError, "Hypersimplex needs k"),
        (lambda: Simplex(0), ValueError, "Simplex needs n of at least 1"),
        (lambda: Permutation(0), ValueError, "Permutation needs n of at least 1"),
        (lambda: Birkhoff(2.0), TypeError, "n=2.0"),
        (lambda: Integer(2, 3, 1), ValueError, "empty domain: lower 3 exceeds upper 1"),
        (lambda: Integer(2, 0.5, 3), ValueError, "whole bounds, got lower=0.5"),
        (lambda: Integer(2, 0, np.inf), ValueError, "finite bounds, got upper=inf"),
        (lambda: Integer(2, None, 3), ValueError, "finite bounds, got lower=None"),
        (lambda: Integer(2, 0, 1e300), ValueError, "2\\*\\*53"),
        (lambda: Integer(2, 0, 3, start=0.5), ValueError, "start must be whole"),
        (lambda: Integer(2, [0, 0, 0], 3), ValueError, "does not broadcast"),
        (lambda: Binary(-1), ValueError, "negative"),
        (lambda: Choice([]), ValueError, "at least one option"),
        (lambda: Choice(0), ValueError, "at least one option"),
        (lambda: Choice(["a", "b", "a"]), ValueError, "'a' twice"),
        (lambda: Choice("abc"), TypeError, "the string 'abc'"),
        (lambda: Choice([[1], [2]]), TypeError, "hashable"),
        (lambda: Choice(2.5), TypeError, "got 2.5"),
        (lambda: Weights({}), ValueError, "at least one array"),
        (lambda: Weights({"layers": [{"n": np.arange(3)}]}), TypeError, "int64 at layers.0.n"),
        (lambda: Weights({"act": abs}), TypeError, "builtin_function_or_method at act"),
        (lambda: Weights({"w": np.array([np.nan])}), ValueError, "infinity at w"),
    ],
)
def test_refusals_name_the_thing(build, error, words):
    with pytest.raises(error, match=words) as caught:
        build()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "Real()",
        "Real(3)",
        "Real((2, 3), 0, 1)",
        "Real((), -1, 1)",
        "Real(3, lower=0)",
        "Real(3, upper=2)",
        "Integer(4, 0, 9)",
        "Binary()",
        "Binary((2, 2))",
        "Choice(4)",
        "Choice(['a', 'b'], shape=3)",
        "Choice(4, shape=(2, 3))",
        "Subset(20, k=5)",
        "Hypersimplex(4, k=2, shape=3)",
        "Permutation(3)",
        "Birkhoff(3)",
        "Simplex(3)",
        "Simplex(3, shape=(2, 2))",
    ],
)
def test_a_domain_prints_as_one_types_it(text):
    assert repr(eval(text, vars(domains))) == text


# The laws can fail: each of these breaks one


class Square(Domain):
    """A correct domain, [-1, 1]^2, written as a user would."""

    shape = (2,)

    def start(self):
        return np.zeros(2)

    def sample(self, key):
        return jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)

    def contains(self, x, tolerance=None):
        if x.shape != (2,):
            return False
        return ((abs(x) <= 1 + 1e-6) & (abs(x) < np.inf)).all()

    def project(self, x):
        return x.clip(-1.0, 1.0)

    def neighbors(self, x, key, count=8):
        draw = jax.random.uniform(key, (count, 2), minval=0.1, maxval=0.9)
        draw = np.asarray(draw, np.float64) if isinstance(x, np.ndarray) else draw
        return x[None] - draw * (x[None] + (x[None] < 0) - (x[None] >= 0))


class Corners(Square):
    """The four corners of the square."""

    discrete, convex, cardinality = True, False, 4

    def start(self):
        return np.ones(2)

    def sample(self, key):
        return self.round(super().sample(key))

    def contains(self, x, tolerance=None):
        return super().contains(x) & (abs(x) > 1 - 1e-6).all()

    def project(self, x):
        return self.round(x)

    def round(self, x):
        return (x > 0) * 2.0 - 1.0

    def neighbors(self, x, key, count=8):
        flips = jnp.array([[-1.0, 1.0], [1.0, -1.0]])[jax.random.randint(key, (count,), 0, 2)]
        return x[None] * (np.asarray(flips, np.float64) if isinstance(x, np.ndarray) else flips)

    def relax(self):
        return Square()

    def members(self):
        return iter([np.array([a, b]) for a in (-1.0, 1.0) for b in (-1.0, 1.0)])


@pytest.mark.slow
def test_a_users_domain_passes():
    check_domain(Square())
    check_domain(Corners())


def through_jax(method):
    return lambda self, x: np.asarray(method(self, jnp.asarray(x)), np.float64)


BREAKS = {
    "gives a start, samples, a size and a scale": (Square, {"scale": np.ones(3)}),
    "unravel is its inverse": (Square, {"unravel": lambda self, v: v[::-1]}),
    "ravel gives a vector of length size": (Square, {"ravel": lambda self, x: x[None]}),
    "jit and vmap agree with eager": (
        Square,
        {"contains": lambda self, x, tolerance=None: x.shape == (2,) and bool(abs(x).max() <= 1 + 1e-6)},
    ),
    "JAX in gives JAX out": (
        Square,
        {"project": lambda self, x: x.clip(-1, 1) if isinstance(x, jax.core.Tracer) else np.clip(np.asarray(x), -1, 1)},
    ),
    "start is a member": (Square, {"start": lambda self: np.full(2, 3.0)}),
    "start is a member, in NumPy float64": (Square, {"start": lambda self: np.zeros(2, np.float32)}),
    "Samples are members": (Square, {"sample": lambda self, key: 9 * jax.random.normal(key, (2,))}),
    "and depend on the key": (Square, {"sample": lambda self, key: jnp.zeros(2)}),
    "round gives members": (Square, {"round": lambda self, x: x}),
    "and keeps members": (Square, {"round": lambda self, x: x.clip(-1.0, 1.0) / 2}),
    "even for NaN and infinities": (Corners, {"round": lambda self, x: (x > 0) * 1.0 - (x <= 0) * 1.0}),
    "project gives members": (Square, {"project": lambda self, x: 1.5 * x, "round": lambda self, x: x.clip(-1.0, 1.0)}),
    "keeps members, and is the same": (
        Square,
        {"project": lambda self, x: x.clip(-1.0, 1.0) * 0.9, "round": lambda self, x: x.clip(-1.0, 1.0)},
    ),
    "the same as round for a discrete domain": (Corners, {"project": lambda self, x: (x > 0.5) * 2.0 - 1.0}),
    "non-expansive where the set is convex": (Corners, {"convex": True}),
    "project gives the nearest member": (Square, {"project": lambda self, x: x / abs(x).max().clip(1.0)}),
    "contains is False for what project moves": (
        Square,
        {"contains": lambda self, x, tolerance=None: abs(x).sum() >= 0},
    ),
    "for NaN and infinity": (Square, {"contains": lambda self, x, tolerance=None: ~(abs(x) > 1.000001).any()}),
    "and for another shape": (
        Square,
        {"contains": lambda self, x, tolerance=None: ((abs(x) <= 1 + 1e-6) & (abs(x) < np.inf)).all()},
    ),
    "untouched by JAX's precision": (
        Square,
        {
            "project": lambda self, x: (
                through_jax(Square.project)(self, x) if isinstance(x, np.ndarray) else x.clip(-1, 1)
            )
        },
    ),
    "NumPy and JAX agree": (
        Square,
        {"round": lambda self, x: x.clip(-1, 1) * (1.0 if isinstance(x, np.ndarray) else 1 - 1e-7)},
    ),
    "neighbors are members": (
        Square,
        {"neighbors": lambda self, x, key, count=8: x[None] + np.arange(1.0, 1 + count)[:, None]},
    ),
    "that differ from x": (Square, {"neighbors": lambda self, x, key, count=8: x[None] + np.zeros((count, 1))}),
    "as many as asked for": (Square, {"neighbors": lambda self, x, key, count=8: Square().neighbors(x, key, 3)}),
    "drawn from the key": (
        Square,
        {"neighbors": lambda self, x, key, count=8: Square().neighbors(x, jax.random.key(0), count)},
    ),
    "relax gives a continuous domain": (Corners, {"relax": lambda self: self}),
    "that contains the members": (Corners, {"relax": lambda self: Simplex(2)}),
    "members lists the set": (Corners, {"cardinality": 5}),
    "all distinct": (Corners, {"members": lambda self: iter([np.ones(2)] * 4)}),
    "scale is positive": (Square, {"scale": np.array([1.0, -1.0])}),
    "its clipping is the projection": (Square, {"box": (np.zeros(2), np.ones(2))}),
}


@pytest.mark.slow
@pytest.mark.parametrize("law", BREAKS)
def test_a_broken_domain_fails(law):
    base, parts = BREAKS[law]
    broken = type("Broken", (base,), parts)()
    with pytest.raises(AssertionError, match="breaks a law") as caught:
        check_domain(broken)
    said = str(caught.value)
    assert law in said, said


def test_check_domain_takes_instances():
    with pytest.raises(TypeError, match="takes an instance"):
        check_domain(Real)  # pyright: ignore


def test_linear_conditions_hold_for_members_and_for_nothing_else():
    whole = Product({"a": Simplex(4, shape=2), "b": Subset(5, 2), "c": Permutation(3), "d": Real(2, -1.0, 3.0)}).relax()
    stated = whole.polyhedron
    for key in jax.random.split(jax.random.key(0), 5):
        x = np.asarray(whole.ravel(whole.sample(key)), np.float64)
        assert np.allclose(stated.rows @ x, stated.values, atol=1e-6)
        assert np.all((x >= stated.lower - 1e-6) & (x <= stated.upper + 1e-6))
    # As many conditions as the hull has lost dimensions: a sum for each point, rows and columns but one.
    assert np.linalg.matrix_rank(stated.rows.toarray()) == 2 + 1 + 5
    assert Product(Permutation(3)).polyhedron is None
