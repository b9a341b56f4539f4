"""Soft sort, rank and top-k, forward and backward, beside softjax: `python benchmarks/sorting.py [n ...]`.

Both sides run in one process, in turns, jitted, in float32; the figure is the minimum of repeats. The ratio is theirs
over ours: above 1, ours is faster. The relaxations differ (softjax projects on the permutahedron, here values are
blurred by a box), so that equal temperatures are not equal softness. softjax needs Python 3.12.
"""

import importlib
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from descend import relax

REPEATS = 30
TEMPERATURE = 0.1


def ours() -> dict[str, Callable[[Any], Any]]:
    """Name -> operation."""
    return {
        "sort": partial(relax.sort, temperature=TEMPERATURE),
        "rank": partial(relax.rank, temperature=TEMPERATURE),
        "top-k": lambda x: relax.top_k(x, 5, temperature=TEMPERATURE).values,
    }


def theirs() -> dict[str, Callable[[Any], Any]]:
    """Name -> the peer's operation with its fastest method; nothing if it is not installed."""
    try:
        peer = importlib.import_module("softjax")
    except ImportError as error:
        print(f"softjax is missing ({error}): only our own times follow")
        return {}
    fast = {"method": "fast_soft_sort", "mode": "c0", "softness": TEMPERATURE}
    return {
        "sort": partial(peer.sort, **fast),
        "rank": partial(peer.rank, **fast),
        "top-k": lambda x: peer.top_k(x, 5, method="softsort", softness=TEMPERATURE)[0],
    }


def prepare(operation: Callable[[Any], Any], x: Any) -> tuple[Callable[[], Any], float, float]:
    """A compiled run of value and gradient, the seconds to compile it, and the megabytes that it needs besides."""
    started = time.perf_counter()
    compiled = jax.jit(jax.value_and_grad(lambda x: jnp.sum(jnp.cos(operation(x))))).lower(x).compile()
    seconds = time.perf_counter() - started
    memory = compiled.memory_analysis()
    return lambda: jax.block_until_ready(compiled(x)), seconds, memory.temp_size_in_bytes / 1e6 if memory else 0.0


def measure(run: Callable[[], Any]) -> float:
    """Milliseconds of one run."""
    started = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - started)


def main(sizes: list[int]) -> None:
    """Prints one line an operation and size."""
    mine, peer = ours(), theirs()
    for n in sizes:
        x = jax.random.normal(jax.random.key(0), (n,), jnp.float32)
        for name in mine:
            sides = [prepare(side[name], x) for side in (mine, peer) if name in side]
            times = [min(measure(side[0]) for _ in range(3)) for side in sides]
            for _ in range(REPEATS):
                times = [min(best, measure(side[0])) for best, side in zip(times, sides, strict=True)]
            text = [
                f"{ms:.3f} ms (compile {side[1]:.1f} s, {side[2]:.2f} MB)"
                for ms, side in zip(times, sides, strict=True)
            ]
            line = f"{name:6} n={n:6}  ours {text[0]}"
            print(f"{line}  softjax {text[1]}  ratio {times[1] / times[0]:.2f}" if len(text) > 1 else line, flush=True)


if __name__ == "__main__":
    main([int(n) for n in sys.argv[1:]] or [100, 1000, 10_000])
