"""`descend.grad` beside `jax.grad` on smooth functions: `python benchmarks/grad.py` prints seconds a call and ratios.

On a smooth function `descend.grad` is `jax.grad`: compiled, both are the same program; called eagerly, a few
microseconds of Python are added to some hundred. Sides are interleaved, the minimum of the rounds is taken, and the
first call (inspection and compilation) stands beside them.
"""

import time

import jax
import jax.numpy as jnp

import descend

ROUNDS, ROUND = 15, 0.02  # and seconds a round


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def network(p, x, y):
    return jnp.mean((jnp.tanh(x @ p["in"] + p["bias"][None]) @ p["out"] - y) ** 2)


def example():
    keys = jax.random.split(jax.random.key(0), 4)
    shapes = ((64, 128), (128,), (256, 64), (256,))
    weights, out, x, y = (jax.random.normal(k, s) / 8 for k, s in zip(keys, shapes, strict=True))
    return {"in": weights, "bias": jnp.zeros(128), "out": out}, x, y


def seconds(sides, args):
    """For each side, the least mean time of a call over interleaved rounds."""
    best = dict.fromkeys(sides, float("inf"))
    jax.block_until_ready([side(*args) for side in sides.values()])
    began = time.perf_counter()
    jax.block_until_ready(sides["jax.grad"](*args))
    calls = max(1, round(ROUND / (time.perf_counter() - began)))
    for _ in range(ROUNDS):
        for name, side in sides.items():
            began = time.perf_counter()
            for _ in range(calls):
                out = side(*args)
            jax.block_until_ready(out)
            best[name] = min(best[name], (time.perf_counter() - began) / calls)
    return best


def main():
    jax.config.update("jax_enable_x64", True)
    cases = [
        ("Rosenbrock, 100 numbers", rosenbrock, (jnp.linspace(-1.0, 1.0, 100),)),
        ("a network of 8,448", network, example()),
    ]
    for name, f, args in cases:
        at = args[0] if len(args) == 1 else args
        plain = jax.grad(f)
        began = time.perf_counter()
        ours = descend.grad(f, at=at)
        jax.block_until_ready(ours(*args))
        first = time.perf_counter() - began
        same = str(jax.make_jaxpr(ours)(*args)) == str(jax.make_jaxpr(plain)(*args))
        print(f"{name}: {ours.why}")
        print(f"  the program is {'the same' if same else 'ANOTHER'}; inspection and first call {first:.2f} s")
        sides = {"jax.grad": plain, "at=": ours, "without at=": descend.grad(f)}
        for kind, wrap in (("jit", jax.jit), ("eager", lambda g: g)):
            best = seconds({name: wrap(side) for name, side in sides.items()}, args)
            ratios = ", ".join(f"{n} {best[n] / best['jax.grad']:.3f}" for n in sides if n != "jax.grad")
            print(f"  {kind:6s} jax.grad {1e6 * best['jax.grad']:8.1f} us; as a ratio: {ratios}")


if __name__ == "__main__":
    main()
