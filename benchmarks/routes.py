"""What routes cost besides evaluations: `python benchmarks/routes.py`.

First the seconds of the first gradient (trace, compile, run) of every route, on a function of 100 numbers, beside that of
`jax.grad` on the same function in the same process. Then 1,000 lanes of a black box under `vmap`, beside one call of the
same NumPy function on all rows through a bare `jax.pure_callback`: the smallest of repeats, in turns.
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


def first_call(loss: Any) -> float:
    """Seconds from nothing to a gradient of `loss(x, key)`."""
    jax.clear_caches()
    started = time.perf_counter()
    jax.block_until_ready(jax.jit(jax.grad(loss))(jnp.full(100, 0.5), jax.random.key(0)))
    return time.perf_counter() - started


def black_boxes() -> None:
    """Prints the ratio of a vectorized black box to a bare callback."""
    norms = lambda x: np.sqrt(np.sum(np.asarray(x) ** 2, -1))  # noqa: E731
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1000, 100)))
    ours = jax.jit(jax.vmap(routes.black_box(norms, batched=True)))
    bare = jax.jit(lambda x: jax.pure_callback(norms, jax.ShapeDtypeStruct((1000,), x.dtype), x))
    best = {ours: np.inf, bare: np.inf}
    for _ in range(200):
        for run in best:
            started = time.perf_counter()
            jax.block_until_ready(run(x))
            best[run] = min(best[run], time.perf_counter() - started)
    times = f"{1e3 * best[ours]:.3f} ms, bare callback {1e3 * best[bare]:.3f} ms"
    print(f"black box, 1,000 lanes: {times}, ratio {best[ours] / best[bare]:.2f}")


def main() -> None:
    """One line a route, then the black box."""
    jax.config.update("jax_enable_x64", True)
    first_call(lambda x, key: jnp.sum(x))  # what JAX does once
    plain = {f: first_call(lambda x, key, f=f: f(x, key) if f is coins else f(x)) for f in (rosenbrock, coins)}
    for kind in routes.every():
        f = coins if kind.NEEDS.draws else rosenbrock
        # Few enough outcomes to sum over would be none for a hundred coins.
        g = (routes.enumerate(limit=200) if kind is routes.Enumerate else kind.example())(f)
        seconds = first_call(lambda x, key, g=g, r=g.route: g(x, key=key) if r.NEEDS.random else g(x))
        ratio = seconds / plain[f]
        print(f"{kind.name():18s} {seconds:6.2f} s   jax.grad {plain[f]:5.2f} s   ratio {ratio:5.1f}", flush=True)
    black_boxes()


if __name__ == "__main__":
    main()
