"""Perturbed argmax and rank, forward and backward, beside jaxopt and optax: `python benchmarks/perturbed.py [n ...]`.

All sides draw 100 Gaussian perturbations of float32 scores and are jitted; they run in one process, in turns, and the
figure is the minimum of repeats. The ratio is ours over the better peer: below 1, ours is faster. The peers return the
mean over perturbations; `routes.smooth` keeps the value and has the same derivative in expectation, from 50 antithetic
pairs, so that it draws half of the numbers.

Ours takes its argmax from `relax.argmax.hard` (two reductions that vectorize) and its ranks from NumPy's sort through
`routes.black_box`, in one call for all perturbations: XLA sorts on one CPU tens of times slower. The lines "same
operation" give all sides the operation in plain JAX. jaxopt is no dependency; it is skipped where it is missing.
"""

import importlib
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from descend import relax
from descend.routes import black_box, smooth

SAMPLES, REPEATS = 100, 40_000  # repeats, over n


def argmax(x: Any) -> Any:
    """One-hot, in plain JAX."""
    return jax.nn.one_hot(jnp.argmax(x), x.size, dtype=x.dtype)


def rank(x: Any) -> Any:
    """0 for the smallest, in plain JAX."""
    return jnp.argsort(jnp.argsort(x)).astype(x.dtype)


def host_rank(n: int) -> Callable[[Any], Any]:
    """`rank` by NumPy, for all rows at once."""

    def ranks(x: np.ndarray) -> np.ndarray:
        order = np.argsort(x.astype(np.float32), -1)
        found = np.empty(x.shape, np.float32)
        np.put_along_axis(found, order, np.broadcast_to(np.arange(x.shape[-1], dtype=np.float32), x.shape), -1)
        return found

    return black_box(ranks, jax.ShapeDtypeStruct((n,), jnp.float32), batched=True)


def peers(operation: Callable[[Any], Any]) -> dict[str, Callable[[Any, Any], Any]]:
    """Name -> perturbed operation of (x, key)."""
    noise = optax.perturbations.Normal()
    found = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = importlib.import_module("jaxopt.perturbations")
        found["jaxopt"] = theirs.make_perturbed_fun(operation, SAMPLES, 1.0, theirs.Normal())
    except ImportError as error:
        print(f"jaxopt is missing ({error})")
    made = optax.perturbations.make_perturbed_fun(operation, num_samples=SAMPLES, sigma=1.0, noise=noise)
    return {**found, "optax": lambda x, key: made(key, x)}


def compare(name: str, sides: dict[str, Callable[[Any, Any], Any]], n: int) -> None:
    """Prints the times of value and gradient, and the ratio."""
    x, key = jax.random.normal(jax.random.key(0), (n,), jnp.float32), jax.random.key(1)
    weights = jnp.cos(jnp.arange(n, dtype=x.dtype))
    runs, best = {}, dict.fromkeys(sides, np.inf)
    for side, perturbed in sides.items():
        loss = lambda x, key, perturbed=perturbed: jnp.vdot(weights, perturbed(x, key))  # noqa: E731
        runs[side] = jax.jit(jax.value_and_grad(loss)).lower(x, key).compile()
    for _ in range(max(10, REPEATS // n)):
        for side, run in runs.items():
            started = time.perf_counter()
            jax.block_until_ready(run(x, key))
            best[side] = min(best[side], time.perf_counter() - started)
    ratio = best["ours"] / min(seconds for side, seconds in best.items() if side != "ours")
    times = "  ".join(f"{side} {1e3 * seconds:8.3f} ms" for side, seconds in best.items())
    print(f"{name:24s} n={n:6d}  {times}  ratio {ratio:.2f}", flush=True)


def main(sizes: list[int]) -> None:
    """Four lines a size."""
    for n in sizes:
        for name, plain, ours in [("argmax", argmax, relax.argmax.hard), ("rank", rank, host_rank(n))]:
            for label, operation in [(name, ours), (f"{name}, same operation", plain)]:
                routed = smooth(operation, sigma=1.0, samples=SAMPLES)
                compare(label, {"ours": lambda x, key, g=routed: g(x, key=key), **peers(plain)}, n)


if __name__ == "__main__":
    main([int(n) for n in sys.argv[1:]] or [100, 1000, 10_000])
