"""What a smooth problem costs that needs none of this: `python benchmarks/smooth.py`.

The smooth row of the headline table (Rosenbrock's function of 50 variables, five random starts) by `descend.solve`, by
a hand-written loop around `optax.lbfgs`, and by SciPy's L-BFGS-B on a jitted `value_and_grad`. All in float64, to a
largest gradient entry of 1e-9. Evaluations are in units of one value, a gradient being 3, summed over the starts;
inspection is included. Seconds are those of the first call in a fresh process, compilation included, imports not: the
smallest of several processes. Inspecting, compiling and solving come first; the certificate, which the others do not
give, is listed beside. Warm calls solve from other starts with everything compiled.
"""

import json
import os
import subprocess
import sys
import time

REPEATS, STARTS, TOLERANCE, STEPS = 5, 5, 1e-9, 64


def starts():
    import numpy as np

    return np.random.default_rng(1).normal(size=(STARTS, 50))


def by_descend():
    import descend
    from descend.gallery.headline import rosenbrock

    problem = descend.Problem(rosenbrock, over=descend.Real(50))

    def solve(start):
        events = []
        solution = descend.solve(problem, start=start, callback=lambda event: events.append(event.seconds))
        return solution.x, solution.evaluations, events[-1]

    return solve


def by_optax():
    import jax
    import jax.numpy as jnp
    import optax

    from descend.gallery.headline import rosenbrock

    method = optax.lbfgs(memory_size=20)  # as many as descend keeps

    @jax.jit
    def chunk(x, state, calls):
        def step(carry):
            x, state, calls, count = carry
            value, grad = optax.value_and_grad_from_state(rosenbrock)(x, state=state)
            updates, state = method.update(grad, state, x, value=value, grad=grad, value_fn=rosenbrock)
            return x + updates, state, calls + optax.tree.get(state, "num_linesearch_steps"), count + 1

        def going(carry):
            _, state, _, count = carry
            norm = jnp.abs(optax.tree.get(state, "grad")).max()
            return (count < STEPS) & ((norm > TOLERANCE) | (carry[2] == 1))

        return jax.lax.while_loop(going, step, (x, state, calls, 0))[:3]

    def solve(start):
        x, calls = jnp.asarray(start), jnp.array(1)  # the first step evaluates its own start
        state = method.init(x)
        while True:
            x, state, calls = chunk(x, state, calls)
            if jnp.abs(optax.tree.get(state, "grad")).max() <= TOLERANCE:
                return x, 3 * int(calls), None

    return solve


def by_scipy():
    import jax
    import numpy as np
    import scipy.optimize

    from descend.gallery.headline import rosenbrock

    both = jax.jit(jax.value_and_grad(rosenbrock))

    def function(x):
        value, grad = both(x)
        return float(value), np.asarray(grad)

    def solve(start):
        options = {"maxcor": 20, "gtol": TOLERANCE, "ftol": 0.0, "maxiter": 10_000, "maxfun": 100_000}
        found = scipy.optimize.minimize(function, start, jac=True, method="L-BFGS-B", options=options)
        return found.x, 3 * found.nfev, None

    return solve


METHODS = {"descend": by_descend, "optax.lbfgs, by hand": by_optax, "scipy L-BFGS-B": by_scipy}


def measure(name):
    """One fresh process: imports, the first call, warm calls."""
    began = time.perf_counter()
    import jax

    jax.config.update("jax_enable_x64", True)
    import scipy.optimize  # noqa: F401

    from descend.gallery.headline import rosenbrock

    solve = METHODS[name]()
    points = starts()
    imported = time.perf_counter()
    answers = [solve(points[0])]
    first = time.perf_counter() - imported
    again = time.perf_counter()
    answers += [solve(point) for point in points[1:]]
    return {
        "imports": imported - began,
        "first": first,
        "uncertified": first if answers[0][2] is None else answers[0][2],
        "warm": (time.perf_counter() - again) / (STARTS - 1),
        "units": sum(units for _, units, _ in answers),
        "worst loss": max(float(rosenbrock(x)) for x, _, _ in answers),
    }


def main():
    rows = {name: [] for name in METHODS}
    for _ in range(REPEATS):  # in turn, so that a busy spell of the machine falls on all
        for name in METHODS:
            done = subprocess.run([sys.executable, __file__, name], check=True, capture_output=True, text=True)
            rows[name].append(json.loads(done.stdout.splitlines()[-1]))
    best = {name: {key: min(row[key] for row in found) for key in found[0]} for name, found in rows.items()}
    print(f"{'':22s} {'units':>7s} {'first call':>11s} {'certificate':>12s} {'warm call':>10s} {'worst loss':>11s}")
    for name, row in best.items():
        certificate = min(each["first"] - each["uncertified"] for each in rows[name])
        print(
            f"{name:22s} {row['units']:7d} {row['uncertified']:9.2f} s {certificate:10.2f} s "
            f"{row['warm']:8.4f} s {row['worst loss']:11.1e}"
        )
    ours, plain = best["descend"], best["optax.lbfgs, by hand"]
    print(f"\nunits: {ours['units'] / plain['units']:.2f} of the plain loop (at most 1.15)")
    print(f"first call: {ours['uncertified'] - plain['uncertified']:+.2f} s (at most +1)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        print(json.dumps(measure(sys.argv[1])))
    else:
        main()
