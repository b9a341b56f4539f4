"""The laws of a route."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend import draws, numerics
from descend.routes import Route

KEYS = 1000  # draws that an expectation is tested with
Z = 4.0  # standard errors that a mean may be off


class Result(NamedTuple):
    """What the probe function returns: a NamedTuple with a scalar, a vector and an integer."""

    loss: Any
    vector: Any
    count: Any


def _probe(x: dict[str, Any], factor: float = 1.0, *, twice: bool = False) -> Result:
    """A smooth function of a tree with an integer leaf: cubic in `a`, bilinear in `a` and `b`, with a static flag."""
    a, b = x["a"], x["b"]
    loss = factor * jnp.sum(a**3) + b * jnp.sum(a**2) + x["n"]
    return Result(2 * loss if twice else loss, jnp.stack([a[0] * b, a[1] ** 2]), x["n"] + 1)


def _scalar(x: Any) -> Any:
    """A smooth function of a vector."""
    return jnp.sum(x**3) + jnp.sum(x) ** 2


def _drawn(x: Any, key: Any = 0) -> Any:
    """A function that draws three coins, for the routes that see draws; its mean is `_drawn_mean`."""
    return _scalar(x) + jnp.sum(draws.bernoulli(key, jax.nn.sigmoid(x)) * x**2)


def _drawn_mean(x: Any) -> Any:
    return _scalar(x) + jnp.sum(jax.nn.sigmoid(x) * x**2)


def _step(x: Any) -> Any:
    """A staircase with one step, at 0."""
    return jnp.sum(jnp.where(x > 0, 1.0, 0.0))


def _box(x: Any) -> float:
    """A function that cannot be traced."""
    return float(np.sum(np.asarray(x, np.float64) ** 2))


@dataclass
class Subject:
    """The route under test, with what several laws look at computed once.

    Attributes:
        make: f -> g.
        route: the settings.
        key: for draws.
        scale: a typical size for arguments.
    """

    make: Callable[[Callable[..., Any]], Callable[..., Any]]
    route: Route
    key: jax.Array
    scale: float

    def options(self, key: Any = None) -> dict[str, Any]:
        """The key as keyword, where the route draws."""
        return {"key": self.key if key is None else key} if self.route.NEEDS.random else {}

    @property
    def scalar(self) -> Callable[..., Any]:
        """The function of a vector that the route is tried on: one that draws, if the route is for such."""
        return _drawn if self.route.NEEDS.draws else _scalar

    @property
    def mean(self) -> Callable[..., Any]:
        """The mean of `scalar` over keys."""
        return _drawn_mean if self.route.NEEDS.draws else _scalar

    @property
    def rtol(self) -> float:
        """What is equal up to rounding."""
        return 1e-9 if jax.config.jax_enable_x64 else 2e-4  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def vector(self) -> Any:
        """Where `_scalar` is looked at."""
        return self.scale * jnp.array([0.5, -1.0, 1.5])

    @property
    def tree(self) -> dict[str, Any]:
        """Where `_probe` is looked at."""
        return {"a": self.vector, "b": jnp.asarray(0.7 * self.scale), "n": jnp.asarray(3)}

    @cached_property
    def probed(self) -> Callable[..., Any]:
        """Value, both modes of the derivative and their directions, of `_probe`, in one program."""
        g: Callable[..., Any] = self.make(_probe)

        def run(x: dict[str, Any], key: Any) -> dict[str, Any]:
            call = lambda a, b: g({"a": a, "b": b, "n": x["n"]}, 1.5, twice=True, **self.options(key))[:2]  # noqa: E731
            point, along = (x["a"], x["b"]), (jnp.array([1.0, 2.2, 3.7]), jnp.asarray(-1.3))
            value, pull = jax.vjp(call, *point)
            ahead = jax.jvp(call, point, along)[1]
            back = [pull((one, rest)) for one, rest in _units(value)]
            return {"value": value, "forward": ahead, "reverse": [sum(map(jnp.vdot, rows, along)) for rows in back]}

        return run

    @cached_property
    def once(self) -> dict[str, Any]:
        """`probed` at one point, compiled."""
        return jax.jit(self.probed)(self.tree, self.key)


def check_route(
    route: Callable[[Callable[..., Any]], Callable[..., Any]], key: Any = 0, laws: Sequence[str] | None = None
) -> None:
    """Checks that a route obeys the contract of routes, and really breaks what it says it breaks.

    The laws: `value` (bit for bit f's, in trees, with and without key), `modes` (forward and reverse derivatives
    agree), `transforms` (`jit`, `vmap`, `scan`, `checkpoint` and plain calls agree), `closures` (what f closes over is
    differentiated, under `jit` and inside `scan`), `nested` (the route of the route), `key`, `empty` (nothing to
    differentiate), `gives` (the derivative is what `GIVES` says, by means over 1000 keys within 4 standard errors),
    `curvature` (so is the second derivative), `black_box` (it takes one, or refuses where it says so).

    The settings under test should be cheap: about 10^5 evaluations are made.

    Args:
        route: a `Route`, or a function f -> g that returns a route of f (where a setting must fit f).
        key: an int or a JAX key.
        laws: the names of the laws to check. Default: all, which takes some seconds, most of them compilation.

    Raises:
        ValueError: for a law that does not exist.
        AssertionError: naming the law that is broken, or that is kept though declared broken.
    """
    made = route(_scalar)
    settings = getattr(made, "route", None)
    if not isinstance(settings, Route):
        raise AssertionError(f"{route!r} must give functions with a `route`, got {made!r}")
    sigma = getattr(settings, "sigma", 1.0)
    subject = Subject(route, settings, numerics.as_key(key), float(sigma) if np.ndim(sigma) == 0 else 1.0)
    known = {name.removeprefix("_law_"): law for name, law in globals().items() if name.startswith("_law_")}
    if unknown := set(laws or ()) - set(known):
        raise ValueError(f"there is no law {sorted(unknown)}; there are {sorted(known)}")
    if unknown := set(settings.BREAKS) - set(known):
        raise AssertionError(f"{settings} declares broken laws that do not exist: {unknown}; there are {sorted(known)}")
    for name in known if laws is None else laws:
        law = known[name]
        try:
            law(subject)
        except Exception as error:
            if name not in settings.BREAKS:
                raise AssertionError(f"{settings} breaks the law {name!r}: {error}") from error
        else:
            if name in settings.BREAKS:
                raise AssertionError(f"{settings} keeps the law {name!r}, which it declares broken")


def _law_value(s: Subject) -> None:
    f, g, x = _probe, s.make(_probe), s.tree
    _same(g(x, 1.5, twice=True, **s.options()), f(x, 1.5, twice=True), "value with key")
    _same(g(x, 1.5, twice=True), f(x, 1.5, twice=True), "value without key")
    compiled = jax.jit(lambda x: (g(x, 1.5, twice=True), f(x, 1.5, twice=True)))(x)
    _same(compiled[0], compiled[1], "value in jit")
    _same(s.once["value"], compiled[1][:2], "value beside its derivative")
    noisy = lambda x, *, key: jnp.sum(x * jax.random.normal(key, x.shape))  # noqa: E731
    drawn, wanted = jax.jit(lambda x: (s.make(noisy)(x, key=s.key), noisy(x, key=s.key)))(s.vector)
    _same(drawn, wanted, "value of a random function")


def _law_modes(s: Subject) -> None:
    ahead = jnp.concatenate([jnp.ravel(part) for part in s.once["forward"]])
    _close(ahead, jnp.stack(s.once["reverse"]), s, "forward against reverse mode")
    assert bool(jnp.any(ahead != 0)), "the derivative is zero"


def _law_transforms(s: Subject) -> None:
    grad = lambda x, key: jax.value_and_grad(s.make(s.scalar))(x, **s.options(key))  # noqa: E731
    points = jnp.broadcast_to(s.vector, (4, 2, 3)) * jnp.arange(1.0, 5.0).reshape(4, 1, 1)
    keys = jax.random.split(s.key, (4, 2))
    compiled = jax.jit(jax.checkpoint(grad))
    single = [[compiled(points[i, j], keys[i, j]) for j in range(2)] for i in range(4)]
    stack = lambda results: jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)  # noqa: E731
    stacked = stack([stack(row) for row in single])
    scanned = lambda *xs: jax.lax.scan(lambda _, x: (None, grad(*x)), None, xs)[1]  # noqa: E731
    _close(jax.jit(jax.vmap(scanned))(points, keys), stacked, s, "vmap of a scan against single calls in jit")
    _close(grad(points[0, 0], keys[0, 0]), single[0][0], s, "a plain call against jit")


def _law_closures(s: Subject) -> None:
    x = s.vector

    def loss(p: Any, factors: Any) -> Any:
        def body(total: Any, i: Any) -> Any:
            return total + s.make(lambda x: (i + 1) * p * jnp.sum(x**2))(x, **s.options()), None

        return jax.lax.scan(body, 0.0, jnp.arange(3))[0] + s.make(lambda x: p * jnp.sum(factors * x))(x, **s.options())

    def train(p: Any) -> Any:  # linear in p: its slope is the estimated gradient
        step = lambda y, _: (y + jax.grad(s.make(lambda y: p * jnp.sum(y**2)))(y, **s.options()), None)  # noqa: E731
        return jnp.sum(jax.lax.scan(step, x, None, length=1)[0])

    slope, (end, drift) = jax.jit(lambda p, n: (jax.grad(loss)(p, n), jax.value_and_grad(train)(p)))(1.7, 2)
    truth = 6 * jnp.sum(x**2) + 2 * jnp.sum(x)
    _close(slope, truth, s, "derivative by what f closes over, in a scan under jit(grad)")
    _close(drift, (end - jnp.sum(x)) / 1.7, s, "derivative of a descent step by what f closes over")


def _law_nested(s: Subject) -> None:
    twice = s.make(s.make(s.scalar))
    _same(twice(s.vector), s.scalar(s.vector), "value of the route of a route")
    _mean(
        s,
        lambda x, key: jax.grad(twice)(x, **s.options(key)),
        s.vector,
        _expected(s),
        "gradient of the route of a route",
    )


def _law_key(s: Subject) -> None:
    grad = lambda *given: jax.value_and_grad(s.make(s.scalar))(s.vector, **dict(given))[1]  # noqa: E731
    try:
        grad()
        if not s.route.NEEDS.random:
            return
    except ValueError as error:
        assert "key" in str(error), f"the error without a key does not ask for one: {error}"
    else:
        raise AssertionError("NEEDS says that the derivative draws, but it needs no key")
    compiled = jax.jit(lambda key: grad(("key", key)))
    first, *others = (compiled(key) for key in [s.key, *jax.random.split(s.key, 8)])
    _close(first, grad(("key", s.key)), s, "two gradients with one key")
    assert any(bool(jnp.any(first != other)) for other in others), "every key gives the same gradient"


def _law_empty(s: Subject) -> None:
    g = s.make(lambda x, n: jnp.sum(x) + n)
    grad = jax.grad(lambda x: g(x, 2, **s.options()))(jnp.zeros((0, 3)))
    assert grad.shape == (0, 3), f"the gradient by an array of shape (0, 3) has shape {grad.shape}"
    whole = s.make(lambda n: n + 1)
    _same(jax.jit(lambda n: whole(n, **s.options()))(3), 4, "value of a function of integers")


def _law_gives(s: Subject) -> None:
    _mean(s, lambda x, key: jax.grad(s.make(s.scalar))(x, **s.options(key)), s.vector, _expected(s), "gradient")
    if s.route.GIVES == "unbiased-for-smoothed":
        x = s.vector / 2
        density = jnp.exp(-0.5 * (x / s.scale) ** 2) / (s.scale * np.sqrt(2 * np.pi))
        _mean(s, lambda x, key: jax.grad(s.make(_step))(x, **s.options(key)), x, density, "gradient of a step")


def _law_curvature(s: Subject) -> None:
    truth = jax.hessian(s.mean)(s.vector)
    _mean(s, lambda x, key: jax.hessian(s.make(s.scalar))(x, **s.options(key)), s.vector, truth, "Hessian", 0.2)


def _law_black_box(s: Subject) -> None:
    if s.route.GIVES == "surrogate":
        return  # the derivative is another function's, which must be traceable
    g = s.make(_box)
    assert g(np.ones(3)) == 3.0, "value of a black box"
    try:
        grads = jax.jit(jax.vmap(lambda x: jax.grad(g)(x, **s.options())))(s.scale * jnp.eye(3))
    except TypeError:
        assert s.route.NEEDS.traceable, "it refuses a black box, though NEEDS says that it takes one"
        return
    assert not s.route.NEEDS.traceable, "it takes a black box, though NEEDS says that it must be traceable"
    traced = jax.jit(jax.vmap(lambda x: jax.grad(s.make(lambda x: jnp.sum(x**2)))(x, **s.options())))
    _close(grads, traced(s.scale * jnp.eye(3)), s, "gradient of a black box against the same function in JAX")


def _expected(s: Subject) -> Any:
    """The mean gradient of `scalar` that `GIVES` promises: Gaussian noise adds 3 sigma^2 to the cubic's."""
    exact = jax.grad(s.mean)(s.vector)
    return exact + 3 * s.scale**2 if s.route.GIVES == "unbiased-for-smoothed" else exact


def _mean(s: Subject, estimate: Callable[..., Any], x: Any, truth: Any, what: str, share: float = 1.0) -> None:
    """That the mean of the estimates over keys is the truth (for a declared bias: that they are finite)."""
    count = max(2, int(KEYS * share)) if s.route.NEEDS.random else 2
    drawn = np.asarray(jax.jit(jax.vmap(estimate, (None, 0)))(x, jax.random.split(s.key, count)), np.float64)
    assert np.all(np.isfinite(drawn)), f"{what}: not finite"
    if s.route.GIVES == "biased":
        return
    size = np.max(np.abs(truth)) + np.max(np.abs(drawn))
    off = np.abs(drawn.mean(0) - np.asarray(truth))
    allowed = Z * drawn.std(0, ddof=1) / np.sqrt(count) + s.rtol * size
    assert np.all(off <= allowed), f"{what}: mean {drawn.mean(0)} over {count} keys, expected {truth}"
    if s.route.GIVES in ("exact", "surrogate"):
        assert np.all(drawn.std(0) <= s.rtol * size), f"{what}: varies with the key"


def _units(value: Any) -> list[Any]:
    """The unit cotangents of a scalar and a vector."""
    one, zeros = jnp.ones_like(value[0]), jnp.zeros_like(value[1])
    return [(one, zeros)] + [(0 * one, row) for row in jnp.eye(len(zeros), dtype=zeros.dtype)]


def _same(found: Any, wanted: Any, what: str) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(wanted), f"{what}: {found}, expected {wanted}"
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert np.array_equal(a, b, equal_nan=True), f"{what}: {found}, expected {wanted}"


def _close(found: Any, wanted: Any, s: Subject, what: str) -> None:
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        atol = s.rtol * (1 + float(np.max(np.abs(b), initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=s.rtol, atol=atol, err_msg=what)
