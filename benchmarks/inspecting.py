"""How fast a program is read and inspected, and how right the findings are on the labeled corpus.

    python benchmarks/inspecting.py [--corpus all | THEME...]

Static reading is pure Python; inspection compiles a few programs the first time, so that it is timed warm, on a problem
that was inspected before. Best of five: seconds on the clock and, in brackets, of the processor, which other work on
the machine does not stretch as much.
"""

import argparse
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

import descend
from descend.program import compat, structure
from descend.program.candidates import candidates
from descend.program.walk import walk

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
jax.config.update("jax_enable_x64", True)
REPEATS = 5


def best(run, repeats: int = REPEATS) -> str:
    """Seconds of the fastest repetition."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        run()
        found.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    wall, processor = (min(column) for column in zip(*found, strict=True))
    return f"{wall:.3f} s ({processor:.3f} s)"


def long_program(x):
    """About two thousand equations: branches, roundings, lookups and sums, unrolled by Python."""
    total = x[0]
    for i in range(125):
        total = jnp.sin(total) * x[i % 7] + jnp.maximum(x[(i + 1) % 7], 0.1 * total)
        total = total + jnp.where(total > 0.3, x[i % 5], 0.5 * total)
    return total


def typical(x):
    """A simulation in a loop, with a kink and a staircase."""

    def step(level, rain):
        level = jnp.maximum(0.9 * level + rain - x[1], 0.0)
        return level, jnp.round(4 * level) / 4

    level, doses = jax.lax.scan(step, x[0], jnp.linspace(0.0, 1.0, 50))
    return jnp.sum(doses) + level**2 + jnp.sum(x**2)


def speed() -> None:
    program = compat.trace(long_program, jnp.ones(7))
    equations = sum(1 for _ in walk(program.jaxpr))
    fresh = lambda: lambda x: long_program(x)  # noqa: E731  JAX remembers what it has traced
    print(f"a program of {equations} equations")
    print("  lines and candidates:", best(lambda: candidates(program, [True], [False])))
    print("  tracing it, which comes before:", best(lambda: compat.trace(fresh(), jnp.ones(7))))
    print("  structure, tracing included:", best(lambda: structure.read(fresh(), np.ones(7)), repeats=2))
    problem = descend.Problem(typical, descend.Real(3, start=np.array([0.5, 0.3, 0.1])))
    print("inspect of a typical objective")
    print("  cold:", best(lambda: descend.inspect(problem), repeats=1))
    print("  warm:", best(lambda: descend.inspect(problem)))
    print("  warm, quick part:", best(lambda: descend.inspect(problem, thorough=False)))


def corpus(themes: list[str]) -> None:
    from tests.corpus import CASES
    from tests.test_inspection import compare

    chosen = [c for c in CASES if "all" in themes or c.theme in themes]
    for thorough in (False, True):
        print("thorough" if thorough else "quick", "part, differences from the labels:")
        compare(chosen, thorough)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="*", default=[], metavar="THEME", help="files of tests/corpus, or all")
    arguments = parser.parse_args()
    speed()
    if arguments.corpus:
        corpus(arguments.corpus)
