"""Hard layers: the laws on every example, and answers known from elsewhere."""

import importlib
import inspect
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import LinearConstraint, minimize

from descend import layers
from descend.laws import check_layer
from descend.layers import BarrierFilter, Box, Dirichlet, DivergenceFree, Equalities, Layer, Polytope, nearest

MODULES = [importlib.import_module(f"descend.layers.{m.name}") for m in pkgutil.iter_modules(layers.__path__)]
EXAMPLES = [example for module in MODULES for example in getattr(module, "EXAMPLES", ())]
KINDS = {
    found
    for module in MODULES
    for _, found in inspect.getmembers(module, inspect.isclass)
    if issubclass(found, Layer) and not inspect.isabstract(found)
}
FIRST = [next(e for e in EXAMPLES if type(e) is kind) for kind in sorted(KINDS, key=lambda kind: kind.__name__)]


@pytest.mark.parametrize("layer", FIRST, ids=repr)
def test_laws(layer):
    check_layer(layer)


@pytest.mark.laws
@pytest.mark.parametrize("layer", EXAMPLES, ids=repr)
@pytest.mark.parametrize("wide", [True, False])
def test_laws_on_every_example(layer, wide):
    with jax.enable_x64(wide):
        check_layer(layer, key=1)


def test_every_layer_is_exported():
    assert {kind.__name__ for kind in KINDS} <= set(layers.__all__)


def test_a_soft_layer_breaks_the_laws():
    class Soft(Box):
        def __call__(self, y):
            return jnp.tanh(y) * 1.01

    class Wrong(Box):
        def __call__(self, y):
            return jax.lax.stop_gradient(super().__call__(y)) + 0.5 * (y - jax.lax.stop_gradient(y))

    with pytest.raises(AssertionError, match="holds"):
        check_layer(Soft(-1.0, 1.0))
    with pytest.raises(AssertionError, match="derivative"):
        check_layer(Wrong(-1.0, 1.0))


def test_the_nearest_point_is_that_of_a_quadratic_program():
    generator = np.random.default_rng(0)
    program = jax.jit(nearest)
    for _ in range(8):
        G, h, y = generator.normal(size=(7, 4)), generator.uniform(0.1, 1, 7), 2 * generator.normal(size=4)
        A, b = generator.normal(size=(1, 4)), np.zeros(1)
        truth = minimize(
            lambda z, y=y: 0.5 * np.sum((z - y) ** 2),
            np.zeros(4),
            jac=lambda z, y=y: z - y,
            constraints=[LinearConstraint(G, -np.inf, h), LinearConstraint(A, b, b)],
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 300},
        ).x
        np.testing.assert_allclose(program(y, G, h, A, b), truth, atol=1e-6)


def test_the_nearest_point_differentiates_in_its_conditions():
    generator = np.random.default_rng(1)
    G, h, y = generator.normal(size=(5, 3)), generator.uniform(0.1, 1, 5), 3 * generator.normal(size=3)
    directions = [generator.normal(size=a.shape) for a in (y, G, h)]
    weight = generator.normal(size=3)
    score = jax.jit(lambda y, G, h: weight @ nearest(y, G, h))
    move = lambda t: score(*(a + t * d for a, d in zip((y, G, h), directions, strict=True)))  # noqa: E731
    truth = (move(1e-6) - move(-1e-6)) / 2e-6
    gradients = jax.grad(score, (0, 1, 2))(*map(jnp.asarray, (y, G, h)))
    found = sum(float(jnp.vdot(g, d)) for g, d in zip(gradients, directions, strict=True))
    assert abs(truth) > 1e-2 and found == pytest.approx(float(truth), rel=1e-5)


def test_a_boundary_value_is_exact_and_a_field_has_no_sources():
    field = Dirichlet(lambda x: jnp.sin(7 * x[0]) * 1e6, [0.0, 0.0], [1.0, 1.0], lambda x: x[0] ** 2)
    for x in ([0.0, 0.3], [1.0, 0.7], [0.4, 0.0], [0.9, 1.0]):
        assert float(field(jnp.asarray(x))) == x[0] ** 2
    flow = DivergenceFree(lambda x: x[0] ** 2 * x[1], 2)
    np.testing.assert_allclose(flow(jnp.array([2.0, 3.0])), [4.0, -12.0])


def test_a_filtered_controller_never_hits_the_wall():
    """A sampled double integrator whose controller wants to run into the wall at 1."""
    layer = layers.barrier.EXAMPLES[1]
    step = jnp.array([[0.005], [0.1]])

    def roll(start, gain, filtered):
        def advance(x, _):
            wanted = jnp.array([gain])
            u = layer(x, wanted) if filtered else jnp.clip(wanted, -30.0, 30.0)
            x = layer.drift(x) + step @ u
            return x, jnp.min(layer.barriers(x))

        return jnp.min(jax.lax.scan(advance, start, None, 40)[1])

    starts = jax.random.uniform(jax.random.key(0), (50, 2), minval=-0.4, maxval=0.4)
    gains = jax.random.uniform(jax.random.key(1), (50,), minval=-30, maxval=30)
    worst = lambda filtered: jax.jit(jax.vmap(lambda s, g: roll(s, g, filtered)))(starts, gains)  # noqa: E731
    assert float(worst(True).min()) >= -1e-9
    assert float(worst(False).min()) < -1


def test_construction_refuses():
    for make, word in [
        (lambda: Equalities(np.ones((2, 2)), [0.0, 1.0]), "contradict"),
        (lambda: Equalities(np.ones(2), [0.0]), "shape"),
        (lambda: Box(1.0, 0.0), "lower <= upper"), (lambda: Polytope([[1.0], [-1.0]], [0.0, -1.0]), "contradict"),
        (lambda: Polytope(np.ones((2, 1)), [1.0]), "shape"), (lambda: Dirichlet(abs, [0.0], [0.0]), "lower < upper"),
        (lambda: DivergenceFree(abs, 4), "2 or 3"),
        (lambda: BarrierFilter(abs, abs, abs, 0.0, [0.0], [1.0], 1), "rate"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=word):
            make()
