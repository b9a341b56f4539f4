"""Descent on softened programs, beside `jax.grad` and the `smooth` route: `python benchmarks/soften.py [name ...]`.

Each program of `programs.py` is minimized from five random starts by Adam with the same step sizes: on the softened
program, its temperature falling a hundredfold (from 1 or from 0.2); on the program itself; and by `routes.smooth`, its
width falling a hundredfold (from 1 or from 0.3, 32 samples). After every step the hard program is evaluated,
and the best of its values is the score; the best setting of each method counts. Budgets are in units: a gradient counts
3, a value 1, a smoothed gradient one more than its samples.

A table row: the median score at the start, of `jax.grad` and smoothing at 8,000 units, of the softened program at
1,600; the target (the last but for 2 % of what was gained); the units, out of 100, 200, 400, ..., after which the
median is at the target, softened and smoothed. `cost` is the time of a softened value and gradient in those of a hard
value: where it exceeds 3, the units flatter.

`python benchmarks/soften.py cost` measures elementwise programs instead: the time softened over the time hard, jitted.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import descend

jax.config.update("jax_enable_x64", True)

import more_programs  # noqa: E402, F401 (adds to them)
from programs import PROGRAMS  # noqa: E402 (their data are of the type that is set above)

SEEDS = 5
SOFT_UNITS, OTHER_UNITS = 1600, 8000
BUDGETS = (*tuple(100 * 2**k for k in range(7)), OTHER_UNITS)
TEMPERATURES, WIDTHS, SAMPLES = (1.0, 0.2), (1.0, 0.3), (32,)
GAINED = 0.98


def descent(f: Callable[..., Any], gradient: Callable[..., Any]) -> Callable[..., Any]:
    """(starts, keys, width, steps) -> the best hard values on the way; `gradient(x, width, key)`, the width falling."""
    method = optax.scale_by_adam()

    def run(start: Any, key: Any, width: Any, steps: Any) -> Any:
        def step(i: Any, carry: Any) -> Any:
            x, state, best = carry
            done = i / steps
            g = gradient(x, width * 0.01**done, jax.random.fold_in(key, i))
            updates, state = method.update(jnp.nan_to_num(g), state)
            x = x - 0.1 * (0.1 + 0.45 * (1 + jnp.cos(jnp.pi * done))) * updates
            return x, state, jnp.minimum(best, f(x))

        return jax.lax.fori_loop(0, steps, step, (start, method.init(start), f(start)))[2]

    return jax.jit(jax.vmap(run, (0, 0, None, None)))


def medians(f: Callable[..., Any], n: int) -> dict[str, Any]:
    """The median at the start, and for each method budget -> median score of its best setting."""
    starts = jax.random.normal(jax.random.key(1), (SEEDS, n))
    keys = jax.random.split(jax.random.key(2), SEEDS)
    g = descend.soften(f, temperature=1.0, max_steps=12)
    settings: dict[str, list[tuple[Any, int, float]]] = {
        "soft": [],
        "plain": [(descent(f, lambda x, *_: jax.grad(f)(x)), 4, 1.0)],
        "smooth": [],
    }
    softened = descent(f, lambda x, t, _: jax.grad(g)(x, temperature=t))
    settings["soft"] = [(softened, 4, temperature) for temperature in TEMPERATURES]
    for samples in SAMPLES:
        route = descend.routes.smooth(samples=samples, sigma=1.0)
        gradient = lambda x, s, key, route=route: jax.grad(route.narrowed(s)(f))(x, key=key)  # noqa: E731
        run = descent(f, gradient)
        settings["smooth"] += [(run, 1 + samples, width) for width in WIDTHS]
    found: dict[str, Any] = {"start": float(jnp.median(jax.vmap(f)(starts))), "cost": cost(f, g, starts[0])}
    for name, runs in settings.items():
        budgets = [b for b in BUDGETS if b <= SOFT_UNITS or name != "soft"] if name != "plain" else [OTHER_UNITS]
        found[name] = {
            budget: min(float(jnp.median(run(starts, keys, width, budget // units))) for run, units, width in runs)
            for budget in budgets
        }
    return found


def timed(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - started


def ratio(slow: Callable[[], Any], fast: Callable[[], Any], repeats: int = 30) -> float:
    """Of the smallest times, measured in turns."""
    timed(slow), timed(fast)
    pairs = [(timed(slow), timed(fast)) for _ in range(repeats)]
    return min(p[0] for p in pairs) / min(p[1] for p in pairs)


def cost(f: Callable[..., Any], g: Callable[..., Any], x: Any) -> float:
    """A softened value and gradient over a hard value, for 64 points at once, so that dispatch does not count."""
    many = jnp.stack([x] * 64)
    hard, soft = jax.jit(jax.vmap(f)), jax.jit(jax.vmap(jax.value_and_grad(g)))
    return ratio(lambda: soft(many), lambda: hard(many))


def compare(names: list[str]) -> None:
    """Prints a line a program and the totals."""
    heads = ("start", "jax.grad", "smooth", "softened", "target", "units", "smooth", "cost")
    print(f"{'':24}" + "".join(f"{head:>10}" for head in heads))
    reached, ratios = 0, []
    for name in names:
        f, n = PROGRAMS[name]
        found = medians(lambda x, f=f: jnp.asarray(f(x), x.dtype), n)
        start, best = found["start"], found["soft"][SOFT_UNITS]
        target = start - GAINED * (start - best)
        units = {k: next((b for b, v in found[k].items() if v <= target), np.inf) for k in ("soft", "smooth")}
        alone = found["plain"][OTHER_UNITS] > target
        reached += alone
        ratios.append(units["smooth"] / units["soft"] if alone else 0.0)
        shown = (start, found["plain"][OTHER_UNITS], found["smooth"][OTHER_UNITS], best, target)
        text = "".join(f"{value:10.4g}" for value in (*shown, units["soft"], units["smooth"], found["cost"]))
        print(f"{name:24}{text}{'  reached by jax.grad' * (not alone)}", flush=True)
    shares = [sum(r >= bar for r in ratios) for bar in (1, 2, 5)]
    print(
        f"\nof {len(names)} programs, medians of {SEEDS} starts: not reached by jax.grad {reached}; of these smoothing "
        f"needs as many units or more for {shares[0]}, at least twice as many for {shares[1]}, 5 times for {shares[2]}"
    )


ELEMENTWISE = {
    "where": lambda x: jnp.where(x > 0.1, x**2, jnp.sin(x)),
    "floor, sign, abs": lambda x: jnp.floor(3 * x) * x + jnp.sign(x) + jnp.abs(x),
    "clip, maximum": lambda x: jnp.clip(x, -1, 1) * jnp.maximum(x, 0.5) + jnp.exp(-(x**2)),
    "logic, round": lambda x: ((x > 0) & (x < 1)) * jnp.tanh(x) + jnp.round(x),
    "nested where": lambda x: jnp.where(x > 1, jnp.log1p(jnp.exp(x)), jnp.where(x < -1, 0.0, x * jnp.cos(x))),
    "relu, sqrt": lambda x: jnp.sqrt(1 + jax.nn.relu(x - 0.3)) * jnp.tanh(x) + jnp.exp(-x * x) * jnp.sin(3 * x),
    "modulo": lambda x: jnp.mod(x, 0.7) * jnp.cos(x),
    "tariff": lambda x: jnp.select([x < 0, x < 0.5, x < 1], [0 * x, 2 * x, 3 * x - 0.5], 4 * x) + jnp.log1p(x**2),
}


def costs() -> None:
    """Prints the ratios for 30,000 entries in float32: a run is shorter than what a busy machine interrupts."""
    x = jax.random.normal(jax.random.key(0), (30_000,), jnp.float32)
    rows = []
    for name, entry in ELEMENTWISE.items():
        f = lambda x, entry=entry: jnp.sum(entry(x))  # noqa: E731
        g = descend.soften(f, temperature=0.1)
        pairs = [(jax.jit(g), jax.jit(f)), (jax.jit(jax.value_and_grad(g)), jax.jit(jax.value_and_grad(f)))]
        rows.append([ratio(lambda s=s: s(x), lambda h=h: h(x), 500) for s, h in pairs])
        print(f"{name:20} value {rows[-1][0]:5.2f}   value and gradient {rows[-1][1]:5.2f}", flush=True)
    means = np.exp(np.mean(np.log(rows), 0))
    print(f"{'geometric mean':20} value {means[0]:5.2f}   value and gradient {means[1]:5.2f}")


if __name__ == "__main__":
    if sys.argv[1:] == ["cost"]:
        costs()
    else:
        compare(sys.argv[1:] or list(PROGRAMS))
