"""The laws of a hard layer."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.laws.domain_probe import UNOPTIMIZED
from descend.layers import Layer

PROBES = 12
STEP = 1e-5  # of finite differences, in float64


def check_layer(layer: Layer, key: Any = 0) -> None:
    """Checks that a layer obeys the contract of `descend.layers.Layer`, at JAX's present precision.

    Random probes of fixed number: a layer that passes may still be wrong elsewhere; one that fails is wrong.

    Args:
        layer: an instance.
        key: an int or a JAX key that the probes are drawn from.

    Raises:
        TypeError: if it is not a `Layer`.
        AssertionError: for the first broken law, naming it.
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"check_layer takes an instance of descend.layers.Layer, got {layer!r}")
    keys = jax.random.split(numerics.as_key(key), PROBES)
    inputs = [tuple(jnp.asarray(a, jnp.result_type(float)) for a in layer.probe(k)) for k in keys]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *inputs)
    wide = jnp.result_type(float) == np.float64

    def everything(inputs: tuple[Any, ...], key: jax.Array) -> dict[str, Any]:
        value = layer(*inputs)
        direction = tuple(jax.random.normal(jax.random.fold_in(key, i), a.shape, a.dtype) for i, a in enumerate(inputs))
        _, forward = jax.jvp(layer, inputs, direction)
        again, pull = jax.vjp(layer, *inputs)
        weight = jax.random.normal(jax.random.fold_in(key, 99), jnp.shape(value), value.dtype)
        ends = [layer(*(a + s * STEP * d for a, d in zip(inputs, direction, strict=True))) for s in (-1, 1)]
        backward = sum(jnp.vdot(g, d) for g, d in zip(pull(weight), direction, strict=True))
        found = {
            "value": value,
            "again": again,
            "violation": layer.violation(inputs, value),
            "forward": jnp.vdot(weight, forward),
            "backward": backward,
            "difference": jnp.vdot(weight, ends[1] - ends[0]) / (2 * STEP),
            # Where the sides differ a kink lies between them, and the derivative is that of one side.
            "sides": jnp.vdot(weight, ends[1] - value) / STEP - jnp.vdot(weight, value - ends[0]) / STEP,
        }
        if layer.projects:
            found["twice"] = layer(value)
        return found

    together = jax.tree.map(np.asarray, jax.jit(jax.vmap(everything), compiler_options=UNOPTIMIZED)(stacked, keys))
    for index, one in enumerate(inputs):
        row = {name: answer[index] for name, answer in together.items()}
        _check_row(layer, one, row, wide)
    if layer.projects:
        _check_projection(np.asarray(stacked[0]), together["value"], wide)
    alone = jax.jit(partial(layer), compiler_options=UNOPTIMIZED)(*inputs[0])
    _same(alone, together["value"][0], 1e-9 if wide else 1e-4, "jit: alone and under vmap the values differ")


def _check_row(layer: Layer, inputs: tuple[Any, ...], row: dict[str, Any], wide: bool) -> None:
    size = max(1.0, float(np.max(np.abs(row["value"]), initial=0.0)))
    allowed = layer.accuracy * size if wide else max(layer.accuracy, 1e-4 * (layer.accuracy > 0)) * size
    assert row["violation"] <= allowed, f"holds: violated by {row['violation']:.3g} at {inputs}"
    if layer.projects:
        _same(row["twice"], row["value"], 1e-7 if wide else 1e-3, "idempotent: the value is changed again")
    scale = max(1.0, abs(float(row["forward"])))
    gap = abs(float(row["forward"]) - float(row["backward"]))
    assert gap <= (1e-8 if wide else 1e-3) * scale, f"transposed: jvp and vjp differ by {gap:.3g}"
    if wide and abs(float(row["sides"])) <= 1e-3 * scale:
        off = abs(float(row["forward"]) - float(row["difference"]))
        assert off <= 1e-4 * scale, f"derivative: off from finite differences by {off:.3g} at {inputs}"


def _check_projection(points: np.ndarray, values: np.ndarray, wide: bool) -> None:
    """Each value is nearer to its point than any other value is, and distances do not grow."""
    slack = 1e-7 if wide else 1e-3
    for i, (x, z) in enumerate(zip(points, values, strict=True)):
        for y, w in zip(points[i + 1 :], values[i + 1 :], strict=True):
            assert np.linalg.norm(x - z) <= np.linalg.norm(x - w) + slack, "nearest: another value is nearer"
            assert np.linalg.norm(z - w) <= np.linalg.norm(x - y) + slack, "non-expansive: a distance grows"


def _same(a: Any, b: Any, tolerance: float, what: str) -> None:
    off = np.max(np.abs(np.asarray(a) - np.asarray(b)), initial=0.0)
    assert off <= tolerance * max(1.0, float(np.max(np.abs(b), initial=0.0))), f"{what} (by {off:.3g})"
