"""UPGrad against torchjd's on its shapes: the largest difference, and the time.

    python benchmarks/upgrad.py

Needs `torch` and `torchjd`. Both sides regularize the Gramian by 1e-4, torchjd's default; ratios of the best of several
runs, interleaved.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np

from descend.optimizers import upgrad

SHAPES = ((2, 3), (3, 3), (5, 10), (10, 100), (16, 1000), (32, 10_000))
DRAWS, REPEATS = 10, 7


def seconds(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main():
    try:
        import torch
        from torchjd.aggregation import UPGrad
    except ImportError as error:
        raise SystemExit(f"this comparison needs torch and torchjd: {error}") from None
    aggregate = jax.jit(lambda jacobian: upgrad(jacobian, ridge=1e-4))
    theirs = UPGrad()
    print(f"{'shape':>14} {'difference':>12} {'their time / ours':>18}")
    for shape in SHAPES:
        generator, apart, ratios = np.random.default_rng(0), 0.0, []
        for _ in range(DRAWS):
            jacobian = generator.normal(size=shape).astype(np.float32)
            mine, other = np.asarray(aggregate(jnp.asarray(jacobian))), theirs(torch.tensor(jacobian)).numpy()
            apart = max(apart, float(abs(mine - other).max() / max(abs(other).max(), 1e-30)))
        here, there = jnp.asarray(jacobian), torch.tensor(jacobian)
        ours, peers = [], []
        for _ in range(REPEATS):
            ours.append(seconds(lambda j=here: aggregate(j).block_until_ready()))
            peers.append(seconds(lambda j=there: theirs(j)))
        ratios.append(min(peers) / min(ours))
        print(f"{shape!s:>14} {apart:>12.2g} {ratios[0]:>18.2f}")


if __name__ == "__main__":
    main()
