"""What routes cost besides evaluations: `python benchmarks/routes.py`.

First the seconds of the first gradient (trace, compile, run) of every route, on a function of 100 numbers, and that of
`jax.grad` on the same function in the same process: by the clock, and of processor time, which other work on the
machine disturbs less. Then 1,000 lanes of a black box under `vmap`, beside one call of the same NumPy function on all
rows through a bare `jax.pure_callback`: the smallest of repeats, in turns, for an almost free function and for one that
works.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend import draws, routes


def rosenbrock(x: Any) -> Any:
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def coins(x: Any, key: Any) -> Any:
    return jnp.sum(draws.bernoulli(key, jax.nn.sigmoid(x)) * x)


def first_call(loss: Any) -> tuple[float, float]:
    """Seconds from nothing to a gradient of `loss(x, key)`, by the clock and of processor time."""
    jax.clear_caches()
    started, used = time.perf_counter(), time.process_time()
    jax.block_until_ready(jax.jit(jax.grad(loss))(jnp.full(100, 0.5), jax.random.key(0)))
    return time.perf_counter() - started, time.process_time() - used


def black_boxes(name: str, function: Any) -> None:
    """Prints the ratio of a vectorized black box to a bare callback."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1000, 100)))
    ours = jax.jit(jax.vmap(routes.black_box(function, batched=True)))
    bare = jax.jit(lambda x: jax.pure_callback(function, jax.ShapeDtypeStruct((1000,), x.dtype), x))
    times: list[list[float]] = [[], []]
    for _ in range(200):
        for run, seconds in zip((ours, bare), times, strict=True):
            started = time.perf_counter()
            jax.block_until_ready(run(x))
            seconds.append(time.perf_counter() - started)
    mine, theirs = (1e3 * min(seconds) for seconds in times)
    print(f"black box, {name}: {mine:.3f} ms, bare callback {theirs:.3f} ms, ratio {mine / theirs:.2f}")


def main() -> None:
    """One line a route, then the black box."""
    jax.config.update("jax_enable_x64", True)
    first_call(lambda x, key: jnp.sum(x))  # what JAX does once
    plain = {f: first_call(lambda x, key, f=f: f(x, key) if f is coins else f(x)) for f in (rosenbrock, coins)}
    for kind in routes.every():
        f = coins if kind.NEEDS.draws else rosenbrock
        # Few enough outcomes to sum over would be none for a hundred coins.
        g = (routes.enumerate(limit=200) if kind is routes.Enumerate else kind.example())(f)
        seconds, used = first_call(lambda x, key, g=g, r=g.route: g(x, key=key) if r.NEEDS.random else g(x))
        clock, cpu = plain[f]
        print(f"{kind.name():18s} {seconds:6.2f} s ({used:5.2f} s cpu)   jax.grad {clock:5.2f} s ({cpu:5.2f} s cpu)")
    black_boxes("norms of 1,000 rows", lambda x: np.sqrt(np.sum(np.asarray(x) ** 2, -1)))
    black_boxes("medians of 1,000 rows", lambda x: np.median(np.asarray(x), -1))


if __name__ == "__main__":
    main()
