"""Kinked problems as one would write them: what `descend.solve` says of them, beside solvers that do not see kinks.

    python benchmarks/kinks.py [SEED]

Each problem is drawn from the seed. Printed is how far each solver's value is above the best known one (relative to the
start's distance from it), with seconds from a cold start; and the status that descend claims.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

import descend

SECONDS = 60.0


def problems(random):
    """Name, problem: unconstrained or in a box, so that every peer can take them."""
    a, w = random.normal(size=(200, 20)), random.normal(size=20)
    b = a @ w + random.standard_t(1.5, size=200)
    label = np.sign(a @ w + random.normal(size=200))
    signal = np.repeat(random.normal(size=4) * 2, 25) + 0.3 * random.normal(size=100)
    price, start = 40 + 20 * random.normal(size=24), 20.0
    first, shift, last = random.normal(size=(12, 4)), random.normal(size=12), random.normal(size=12)
    demand, cost = random.poisson(20, size=(300, 5)).astype(float), np.arange(1.0, 6.0)
    free = descend.Real(20)

    def tilted(x):
        rest = b - a @ x
        return jnp.mean(jnp.where(rest >= 0, 0.9 * rest, -0.1 * rest))

    def battery(power):
        level = start - jnp.cumsum(jnp.where(power > 0, power / 0.95, power * 0.95))
        over = jnp.maximum(level - 40, 0) + jnp.maximum(-level, 0)
        return 100 * jnp.sum(over) + 0.8 * jnp.sum(jnp.abs(power)) - price @ power

    def lines(x):
        return jnp.max(a[:40, :10] @ x + b[:40]) + jnp.sum(x**2) / 10

    def queue(x):
        """Service rates of five machines in a row, which hold what they cannot serve at once."""

        def step(level, arrival):
            level = jnp.maximum(level + arrival - x, 0.0)
            return level, jnp.sum(level)

        _, held = jax.lax.scan(step, jnp.zeros(5), demand[:12] / 10)
        return jnp.mean(held) + cost @ x

    return {
        "least absolute deviations": descend.Problem(lambda x: jnp.sum(jnp.abs(a @ x - b)), free),
        "quantile regression": descend.Problem(tilted, free),
        "lasso": descend.Problem(lambda x: jnp.sum((a @ x - b) ** 2) / 2 + 30 * jnp.sum(jnp.abs(x)), free),
        "support vectors": descend.Problem(
            lambda x: jnp.sum(x**2) / 2 + jnp.sum(jax.nn.relu(1 - label * (a @ x))), free
        ),
        "total variation": descend.Problem(
            lambda x: jnp.sum((x - signal) ** 2) / 2 + jnp.sum(jnp.abs(jnp.diff(x))), descend.Real(100)
        ),
        "the worst of 40": descend.Problem(lines, descend.Real(10)),
        "battery, penalized": descend.Problem(battery, descend.Real(24, -10.0, 10.0)),
        "machines in a row": descend.Problem(queue, descend.Real(5, 0.0, 5.0)),
        "newsvendor": descend.Problem(
            lambda q: cost @ q - 2.5 * jnp.mean(jnp.minimum(q[None], demand) @ cost), descend.Real(5, 0.0, 60.0)
        ),
        "network over a box": descend.Problem(
            lambda x: last @ jnp.maximum(first @ x + shift, 0), descend.Real(4, -1.0, 1.0)
        ),
    }


def peers(problem):
    """Name, value and seconds of solvers that take the function and its derivative, or its values, as they are."""
    domain, start = problem.domain, np.asarray(problem.domain.start(), np.float64).ravel()
    box = list(zip(*(np.asarray(side).ravel() for side in domain.box), strict=True))
    value = jax.jit(problem.objective)
    slope = jax.jit(jax.value_and_grad(problem.objective))
    both = lambda x: tuple(np.asarray(each, np.float64) for each in slope(x))  # noqa: E731

    def minimize(method, function, jac):
        options = {"maxiter": 5000} if method != "Nelder-Mead" else {"maxfev": 20_000}
        return scipy.optimize.minimize(function, start, jac=jac, method=method, bounds=box, options=options).fun

    def cma():
        import cma

        low, high = (np.asarray(side).ravel() for side in domain.box)
        bounds = [low if np.isfinite(low).all() else None, high if np.isfinite(high).all() else None]
        settings = {"verbose": -9, "seed": 1, "maxfevals": 20_000, "bounds": bounds}
        return cma.fmin2(lambda x: float(value(x)), start, 0.5, settings)[1].result.fbest

    runs = {
        "L-BFGS-B": lambda: minimize("L-BFGS-B", both, True),
        "SLSQP": lambda: minimize("SLSQP", both, True),
        "Nelder-Mead": lambda: minimize("Nelder-Mead", lambda x: float(value(x)), None),
        "CMA-ES": cma,
    }
    for name, run in runs.items():
        began = time.perf_counter()
        yield name, float(run()), time.perf_counter() - began


def main(seed=0):
    jax.config.update("jax_enable_x64", True)
    for name, problem in problems(np.random.default_rng(seed)).items():
        began = time.perf_counter()
        solution = descend.solve(problem, budget=descend.Budget(seconds=SECONDS), progress=False)
        rows = [(f"descend: {solution.status}", solution.value, time.perf_counter() - began), *peers(problem)]
        best = min(value for _, value, _ in rows)
        size = float(problem.objective(problem.domain.start())) - best
        cells = [f"{who} {(value - best) / size:.1e} in {seconds:.1f} s" for who, value, seconds in rows]
        print(f"{name}: " + "; ".join(cells), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
