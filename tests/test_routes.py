"""Routes against closed forms, and the machinery that they share."""

import dataclasses
import functools
import inspect
import pkgutil
import time
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import descend
from descend import routes
from descend.laws import check_route
from descend.routes import forward, gaussian, identity, rademacher, smooth, straight_through
from descend.routes.point import Point
from descend.routes.route import Needs, Route

KEY = jax.random.key(0)
MACHINERY = {
    *"black_box coloring directions drawn guarded noise numbers persistent".split(),
    *"point program redraw rewrite route unroll widths".split(),
}
CHEAP = ("value", "modes")


def means(gradient, keys: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Mean of a gradient over keys, and its standard error."""
    drawn = np.asarray(jax.jit(jax.vmap(gradient))(jax.random.split(jax.random.key(seed), keys)))
    return drawn.mean(0), drawn.std(0, ddof=1) / np.sqrt(keys)


def agrees(mean: np.ndarray, error: np.ndarray, truth: Any) -> bool:
    return bool(np.all(np.abs(mean - truth) < 4 * error))


# --- the laws -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", routes.every(), ids=lambda route: route.name())
def test_cheap_laws(route):
    check_route(route.example(), laws=CHEAP)


@pytest.mark.laws
@pytest.mark.parametrize("route", routes.every(), ids=lambda route: route.name())
def test_laws(route):
    check_route(route.example(), key=1)


@pytest.mark.laws
@pytest.mark.parametrize("route", routes.every(), ids=lambda route: route.name())
def test_laws_in_float32(route):
    with jax.enable_x64(False):
        check_route(route.example(), key=2)


@pytest.mark.laws
@pytest.mark.parametrize(
    "route", [smooth(sigma=0.5, samples=6, chunk=1), forward(tangents=4, directions=gaussian, chunk=2)], ids=repr
)
def test_laws_in_chunks(route):
    check_route(route)


def test_every_file_is_a_route_or_machinery():
    """The names that users type are those of the files."""
    files = {module.name for module in pkgutil.iter_modules(routes.__path__)}
    names = {route.name() for route in routes.every()}
    assert names == files - MACHINERY
    for name in names:
        assert inspect.isfunction(getattr(routes, name)), f"routes.{name} is not exported"
    assert {type(r) for r in (smooth(), forward(), straight_through(surrogate=identity))} <= set(routes.every())


@dataclasses.dataclass(frozen=True, repr=False)
class Halved(Route):
    """Plain differentiation times a factor: wrong unless it is 1."""

    factor: float = 0.5

    GIVES: ClassVar[str] = "exact"
    NEEDS: ClassVar[Needs] = Needs(traceable=True, random=False, units=lambda route, n: 3)

    def tangent(self, point: Point) -> tuple[Any, ...]:
        here = tuple(point.leaves[i] for i in point.moving)
        slopes = jax.jvp(lambda *leaves: point.plain(0, point.moved(leaves)), here, point.tangents)[1]
        return tuple(s if s.dtype == jax.dtypes.float0 else self.factor * s for s in slopes)


class Honest(Halved):
    BREAKS: ClassVar = {"gives": "it halves", "curvature": "it halves", "nested": "it halves"}


class Modest(Halved):
    BREAKS: ClassVar = {"modes": "said, but not so"}


class Vague(Halved):
    BREAKS: ClassVar = {"tidiness": "no such law"}


class Unhoisted(Halved):
    def closed_over(self, point: Point) -> None:
        return None


class Shifted(Halved):
    def __call__(self, f):
        g = super().__call__(lambda *args, **kwargs: jax.tree.map(lambda leaf: leaf + 1, f(*args, **kwargs)))
        return g


class Silent(Halved):
    NEEDS: ClassVar = Needs(traceable=False, random=False, units=lambda route, n: 3)


def test_laws_can_fail():
    check_route(Halved(1.0), laws=("value", "gives", "closures", "black_box", "key"))
    for route, law in [
        (Halved(), "gives"),
        (Halved(), "curvature"),
        (Halved(), "nested"),
        (Modest(1.0), "modes"),
        (Unhoisted(1.0), "closures"),
        (Shifted(1.0), "value"),
        (Silent(1.0), "black_box"),
    ]:
        with pytest.raises(AssertionError, match=f"the law '{law}'"):
            check_route(route, laws=[law])
    check_route(Honest(), laws=("gives", "curvature", "nested"))
    with pytest.raises(AssertionError, match="declares broken laws that do not exist"):
        check_route(Vague())
    with pytest.raises(ValueError, match="there is no law"):
        check_route(Halved(), laws=["tidy"])


# --- the contract ---------------------------------------------------------------------------------------------------


def test_a_route_prints_as_typed():
    assert repr(smooth(sigma=0.1, samples=64)) == "smooth(sigma=0.1, samples=64)"
    assert repr(forward(tangents=2)) == "forward(tangents=2, directions=rademacher)"
    assert repr(straight_through(surrogate=identity)) == "straight_through(surrogate=identity)"
    assert smooth(sigma=0.1) == smooth() != smooth(sigma=0.2)
    assert smooth(lambda x: x).route == smooth()
    assert smooth(sigma={"a": 0.2}).narrowed(0.5).sigma == {"a": 0.1}
    assert forward().narrowed(0.5) == forward()


def test_bad_settings_and_calls_are_told():
    for build, error, text in [
        (lambda: smooth(sigma=0.0), ValueError, "sigma must be positive"),
        (lambda: smooth(sigma={"a": -1.0}), ValueError, "sigma must be positive"),
        (lambda: smooth(samples=0), ValueError, "samples must be a positive int"),
        (lambda: smooth(samples=2.5), ValueError, "samples must be a positive int"),
        (lambda: forward(tangents=0), ValueError, "tangents must be a positive int"),
        (lambda: forward(directions="rademacher"), TypeError, "directions must be a function"),
        (lambda: straight_through(jnp.round), TypeError, "or surrogate="),
        (lambda: smooth(3.0), TypeError, "takes a function"),
        (lambda: jax.grad(smooth(jnp.sum))(jnp.ones(2)), ValueError, "needs key="),
        (lambda: jax.grad(smooth(jnp.sum))(jnp.ones(2), key="k"), TypeError, "key must be an int or a JAX key"),
        (lambda: jax.grad(smooth(jnp.sum, sigma={"a": 1.0}))(jnp.ones(2), key=0), ValueError, "tree like the argument"),
        (lambda: jax.grad(smooth(jnp.sum, sigma=np.ones(3)))(jnp.ones(2), key=0), ValueError, "does not fit"),
        (lambda: jax.grad(straight_through(jnp.sum, identity))(jnp.ones(2)), TypeError, "must return what f does"),
        (lambda: jax.grad(smooth(jnp.abs))(1.0 + 1j, key=0), TypeError, "real arguments|real-valued|real- valued"),
    ]:
        with pytest.raises(error, match=text):
            build()


def test_signatures_methods_flags_and_keys():
    class Model:
        scale = 2.0

        @smooth(samples=4)
        def loss(self, x, power=1, *, mode="sum"):
            """Doc."""
            return getattr(jnp, mode)(self.scale * x**power)

    assert str(inspect.signature(Model.loss)) == "(self, x, power=1, *, mode='sum', key=None)"
    assert Model.loss.__doc__ == "Doc."
    assert Model().loss(jnp.ones(3)) == 6.0
    assert Model().loss(2.0, 3, mode="max") == 16.0
    assert jax.grad(Model().loss)(jnp.ones(3), 2, key=KEY).shape == (3,)

    noisy = lambda x, key: jnp.sum(x * jax.random.normal(key, x.shape))  # noqa: E731
    x, g = jnp.ones(3), smooth(noisy, samples=4)
    assert g(x, KEY) == g(x, key=KEY) == noisy(x, KEY)
    np.testing.assert_array_equal(jax.grad(g)(x, KEY), jax.grad(g)(x, key=KEY))
    settled = smooth(functools.partial(noisy, key=jax.random.key(5)), samples=4)
    assert settled(x, key=KEY) == noisy(x, jax.random.key(5))
    for key in (0, jax.random.key(0), jax.random.PRNGKey(0)):
        np.testing.assert_array_equal(jax.grad(smooth(jnp.sum))(x, key=key), jax.grad(smooth(jnp.sum))(x, key=KEY))
    np.testing.assert_allclose(jax.jit(jax.grad(smooth(jnp.sum)))(x, key=0), jax.grad(smooth(jnp.sum))(x, key=KEY))


def test_only_what_is_differentiated_is_perturbed():
    """Were the data perturbed too, the indicator would be 1 only half of the time."""
    f = lambda x, data: jnp.where(data == 1.0, x**2, 0.0)  # noqa: E731
    g = smooth(f, sigma=0.5, samples=512)
    slope = jax.jit(jax.grad(g))(3.0, 1.0, key=KEY)
    assert slope == jax.grad(smooth(lambda x: x**2, sigma=0.5, samples=512))(3.0, key=KEY)
    assert 5 < slope < 7


def test_a_key_serves_routes_inside_routes():
    """With the same directions inside and outside the mean would be three times the gradient."""
    x = jnp.array([1.0, -2.0, 0.5])
    inner = forward(lambda x: jnp.sum(x**2), directions=gaussian)
    outer = forward(lambda x, *, key: inner(x, key=key), directions=gaussian)  # the lambda hides that inner is a route
    mean, error = means(lambda key: jax.grad(outer)(x, key=key), 4000)
    assert agrees(mean, error, 2 * x)


def test_problems_evaluate_through_routes():
    class Data(NamedTuple):
        factor: Any

    problem = descend.Problem(
        lambda x, *, given, key: given.factor * jnp.sum(jnp.floor(x["a"])) + x["b"] * jax.random.normal(key),
        over={"a": descend.Real(3), "b": descend.Real()},
        subject_to=[descend.at_most(lambda x: x["a"], 1.0)],
        given=Data(2.0),
    )
    routed = problem.via(smooth(sigma=1.0, samples=200))
    x = {"a": jnp.array([0.2, 1.7, -0.4]), "b": jnp.asarray(1.5)}

    def loss(x, factor, key):
        return routed.at(Data(factor)).evaluate(x, key=key).loss

    plain, found = problem.evaluate(x, key=KEY), jax.jit(lambda x: routed.evaluate(x, key=KEY))(x)
    assert jax.tree.structure(plain) == jax.tree.structure(found)
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(found), strict=True))
    keys = jax.random.split(KEY, 400)
    slopes, by_factor = jax.jit(jax.vmap(jax.grad(loss, (0, 1)), (None, None, 0)))(x, 2.0, keys)
    assert agrees(slopes["a"].mean(0), slopes["a"].std(0) / 20, 2.0)
    np.testing.assert_allclose(by_factor, jnp.sum(jnp.floor(x["a"])))


# --- smooth ---------------------------------------------------------------------------------------------------------


def test_smooth_sees_the_staircase():
    """E floor(x + sigma u) by Poisson summation; the derivative tends to 1 as sigma grows."""
    x, k = jnp.array([0.1, 0.5, 2.9]), np.arange(1, 20)
    stairs = lambda x: jnp.sum(jnp.floor(x))  # noqa: E731
    slope = lambda sigma, key: jax.grad(smooth(stairs, sigma=sigma, samples=33))(x, key=key)  # noqa: E731
    estimate = jax.jit(jax.vmap(slope, (None, 0)))
    for sigma in (0.2, 1.0):
        truth = 1 + 2 * np.cos(2 * np.pi * np.outer(x, k)) @ np.exp(-2 * (np.pi * sigma * k) ** 2)
        drawn = np.asarray(estimate(sigma, jax.random.split(KEY, 2000)))
        assert agrees(drawn.mean(0), drawn.std(0) / np.sqrt(2000), truth)
        if sigma == 1.0:
            np.testing.assert_allclose(truth, 1.0, atol=1e-6)
    assert not np.any(jax.grad(stairs)(x))


def test_smooth_of_abs_is_the_error_function():
    x = jnp.array([-0.3, 0.0, 0.2])
    sigma = jnp.array([0.1, 0.2, 0.3])
    g = smooth(lambda x: jnp.sum(jnp.abs(x)), sigma=sigma, samples=20)
    mean, error = means(lambda key: jax.grad(g)(x, key=key), 2000)
    assert agrees(mean, error, special.erf(x / (sigma * np.sqrt(2))))


@pytest.mark.slow
def test_sigma_takes_trees_prefixes_and_tracers():
    f = lambda x, y: jnp.sum(x["a"] ** 3) + x["b"][0] ** 3 + y**3  # noqa: E731
    x, y = {"a": jnp.ones(2), "b": [jnp.asarray(1.0)]}, 1.0
    for sigma, spreads in [
        (({"a": 0.5, "b": 0.2}, 0.1), (0.5, 0.2, 0.1)),
        ((0.3, 0.2), (0.3, 0.3, 0.2)),
    ]:
        g = smooth(f, sigma=sigma, samples=50)
        mean, error = means(lambda key, g=g: jnp.hstack(jax.tree.leaves(jax.grad(g, (0, 1))(x, y, key=key))), 1000)
        a, b, c = spreads
        assert agrees(mean, error, 3 + 3 * np.array([a, a, b, c]) ** 2)

    def annealed(x):
        step = lambda x, s: (x - 0.1 * jax.grad(smooth(jnp.sum, sigma=s))(x, key=0), None)  # noqa: E731
        return jax.lax.scan(step, x, jnp.array([1.0, 0.1]))[0]

    assert np.all(np.isfinite(jax.jit(jax.jacrev(annealed))(jnp.ones(2))))
    with pytest.raises(ValueError, match="keyword argument"):
        jax.grad(lambda y: smooth(f, sigma=({"a": 1.0, "b": 1.0}))(x, y=y, key=0))(y)


@pytest.mark.slow
def test_the_chunk_changes_no_draw():
    x = jnp.arange(3.0)
    f = lambda x: jnp.sum(jnp.floor(3 * x))  # noqa: E731
    whole, *parts = [jax.grad(smooth(f, samples=11, chunk=c))(x, key=KEY) for c in (None, 1, 3, 4)]
    for part in parts:
        np.testing.assert_allclose(part, whole, rtol=1e-12)


@pytest.mark.slow
def test_many_outputs_agree_with_their_sum():
    """600 outputs of 600 inputs are too many for a matrix: the other branch of `contract`."""
    f = lambda x: jnp.sin(x) * jnp.sum(x)  # noqa: E731
    x, along = jnp.linspace(0, 1, 600), jnp.cos(jnp.arange(600.0))
    for route in (smooth(samples=8, chunk=2), forward(tangents=4, chunk=2)):
        vector = lambda x, route=route: route(f)(x, key=KEY)  # noqa: E731
        total = lambda x, route=route: route(lambda x: jnp.sum(f(x)))(x, key=KEY)  # noqa: E731
        value, pull = jax.vjp(vector, x)
        wanted = jax.jit(jax.grad(total))(x)
        np.testing.assert_allclose(pull(jnp.ones(600))[0], wanted, rtol=1e-8, atol=1e-8)
        slope = jax.jvp(vector, (x,), (along,))[1]
        np.testing.assert_allclose(jnp.sum(slope), along @ wanted, rtol=1e-8)
        np.testing.assert_array_equal(value, f(x))


@pytest.mark.parametrize("outputs", [1, 2000])
def test_memory_is_flat_in_the_samples(outputs):
    def scratch(samples):
        f = lambda x: jnp.abs(x[:outputs]).cumsum()  # noqa: E731
        loss = lambda x: jnp.sum(smooth(f, samples=samples)(x, key=KEY) ** 2)  # noqa: E731
        compiled = jax.jit(jax.grad(loss)).lower(jax.ShapeDtypeStruct((50_000,), float)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    few, many = scratch(64), scratch(64 * 64)
    assert many < 1.1 * few + 1e5
    assert few < 100 * 8 * 2**20


def test_failed_samples_are_left_out():
    """Pairs with |u| > 2 fail, so the mean is that of a truncated normal: E[u^2 | |u| < 2] times the slope."""
    truth = 3 * (1 - 4 * stats.norm.pdf(2) / (2 * stats.norm.cdf(2) - 1))
    for bad in (jnp.nan, jnp.inf):
        g = smooth(lambda x, bad=bad: jnp.where(jnp.abs(x) > 0.2, bad, 3.0 * x), samples=100)
        mean, error = means(lambda key, g=g: jax.grad(g)(0.0, key=key), 1000)
        assert agrees(mean, error, truth)
        assert jnp.isnan(jax.jit(jax.grad(g))(10.0, key=KEY))
    # One entry of the value failing does not spoil the other.
    both = lambda x: jnp.stack([jnp.sqrt(x - 9), 2 * x])  # noqa: E731
    slopes = jax.jit(lambda x: jax.jvp(lambda x: smooth(both)(x, key=KEY), (x,), (1.0,))[1])
    root, line = slopes(-1.0)
    assert jnp.isnan(root)
    assert jnp.isfinite(line)


# --- forward --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("directions", "sign"), [(gaussian, 1), (rademacher, -1)])
@pytest.mark.parametrize("tangents", [1, 4])
def test_forward_has_the_variance_that_it_states(directions, sign, tangents):
    x = jnp.array([1.0, -2.0, 0.5, 3.0])
    route = forward(lambda x: jnp.sum(x**2), directions=directions, tangents=tangents)
    drawn = jax.jit(jax.vmap(lambda key: jax.grad(route)(x, key=key)))(jax.random.split(KEY, 100_000))
    slope = 2 * x
    stated = (jnp.sum(slope**2) + sign * slope**2) / tangents
    np.testing.assert_allclose(drawn.var(0), stated, rtol=0.05)
    np.testing.assert_allclose(drawn.var(0).sum(), (4 + sign) * jnp.sum(slope**2) / tangents, rtol=0.05)


def test_forward_differentiates_what_has_no_reverse_mode():
    def power(x):  # x^4, by a loop whose length is decided by a value
        return jax.lax.while_loop(lambda c: c[0] < 3 + jnp.abs(x), lambda c: (c[0] + 1, c[1] * x), (0.0, 1.0))[1]

    with pytest.raises(ValueError, match="Reverse-mode"):
        jax.grad(power)(0.9)
    np.testing.assert_allclose(jax.grad(forward(power))(0.9, key=KEY), 4 * 0.9**3)  # exact in one dimension


# --- straight_through -----------------------------------------------------------------------------------------------


def test_straight_through_takes_the_surrogate_in_everything():
    rounded = straight_through(jnp.round, identity)
    x = jnp.array([0.4, 1.6])
    np.testing.assert_array_equal(rounded(x), [0.0, 2.0])
    np.testing.assert_array_equal(jax.jacfwd(rounded)(x), np.eye(2))

    def loss(w, x):  # both close over w
        step = straight_through(lambda x: jnp.where(w * x > 0, 1.0, 0.0), lambda x: jax.nn.sigmoid(w * x))
        return jnp.sum(step(x))

    sigmoid = lambda w, x: jnp.sum(jax.nn.sigmoid(w * x))  # noqa: E731
    assert loss(2.0, x) == 2.0
    for argument in (0, 1):
        found = jax.jit(jax.grad(loss, argument))(2.0, x)
        np.testing.assert_allclose(found, jax.grad(sigmoid, argument)(2.0, x))
        np.testing.assert_allclose(jax.grad(loss, argument)(2.0, x), found)
    np.testing.assert_allclose(jax.hessian(loss)(2.0, x), jax.hessian(sigmoid)(2.0, x))


def test_straight_through_takes_black_boxes():
    counts = straight_through(lambda x: np.floor(np.asarray(x)) * 2.0, lambda x: 2 * x)
    value, pull = jax.vjp(jax.jit(counts), jnp.array([0.5, 1.5]))
    np.testing.assert_array_equal(value, [0.0, 2.0])
    np.testing.assert_array_equal(pull(jnp.ones(2))[0], [2.0, 2.0])


# --- speed ----------------------------------------------------------------------------------------------------------


def test_first_call_is_quick(capsys):
    """Printed, and bounded loosely: other work may share the machine."""
    g = smooth(lambda x: jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))
    start = time.perf_counter()
    jax.block_until_ready(jax.jit(jax.grad(g))(jnp.full(100, 0.5), key=KEY))
    seconds = time.perf_counter() - start
    with capsys.disabled():
        print(f"first gradient of smooth, 100 dimensions: {seconds:.2f} s")
    assert seconds < 20
