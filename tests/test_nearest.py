"""Distances to kinks against arithmetic."""

import jax.numpy as jnp
import numpy as np
import pytest

from descend.program import nearest


def hinges(x):
    return jnp.sum(jnp.maximum(x - jnp.array([0.5, 2.0, -1.0]), 0.0))


@pytest.mark.parametrize(
    ("f", "direction", "distance"),
    [
        (hinges, [1.0, 0.0, 0.0], 0.4),
        (hinges, [0.0, 1.0, 0.0], 1.7),
        (hinges, [1.0, 10.0, 0.0], 0.17),
        (hinges, [-1.0, 0.0, 0.0], None),
        (lambda x: jnp.sum(jnp.floor(x)), [1.0, 0.0, 0.0], 0.9),
        (lambda x: jnp.sum(jnp.floor(x)), [-1.0, 0.0, 0.0], 0.1),
        (lambda x: jnp.where(x[0] + x[1] > 1.0, x[0], 2 * x[0]), [1.0, 1.0, 0.0], 0.3),
        (lambda x: jnp.sort(x)[0], [0.0, 0.0, -1.0], 0.1),
        (lambda x: jnp.sum(x**2), [1.0, 1.0, 1.0], None),
        (lambda x: jnp.sum(jnp.abs(x - 0.1)) + x[1], [1.0, 0.0, 0.0], None),  # starts on the kink
        (lambda x: jnp.sum(jnp.mod(x, 0.25)), [1.0, 0.0, 0.0], 0.15),
    ],
)
def test_distances(f, direction, distance):
    found = nearest.along(f, np.array([0.1, 0.3, 0.2]), np.array(direction), reach=2.0)
    if distance is None:
        assert found is None
    else:
        np.testing.assert_allclose(found.distance, distance, rtol=1e-12)
        assert found.place[0] == __file__


def test_trees_and_precision():
    def f(p):
        return jnp.abs(p["a"] - 1.0) + p["b"]

    found = nearest.along(f, {"a": np.float32(0.0), "b": np.float32(0.0)}, {"a": 2.0, "b": 1.0})
    np.testing.assert_allclose(found.distance, 0.5, rtol=1e-6)
    assert found.primitive == "abs"


def test_wrong_calls():
    with pytest.raises(ValueError, match="shaped like x"):
        nearest.along(hinges, np.ones(3), {"a": 1.0})
    with pytest.raises(ValueError, match="2 numbers"):
        nearest.along(hinges, np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="positive"):
        nearest.along(hinges, np.ones(3), np.ones(3), reach=0.0)
