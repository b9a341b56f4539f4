"""A thousand small constrained problems at once: `python benchmarks/batch.py`.

The problem of Hock and Schittkowski's number 71 (four bounded variables, an equality, an inequality) with a thousand
different right-hand sides and objectives. Ours is `jax.vmap` of `InteriorPoint().program(problem)`; beside it a loop
over native solvers, which get compiled value, gradient, Jacobian and Hessian. All is compiled before it is timed; what
that takes is printed. Answers must agree. The loops solve the first hundred of the problems. Times are of the
processor and for a problem: the smallest of several repeats, the sides taking turns.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

import descend
from descend.solvers import InteriorPoint

COUNT, LOOPED, REPEATS = 1000, 100, 2
START = np.array([1.0, 5.0, 5.0, 1.0])


def objective(x, *, given):
    return given["weight"] * x[0] * x[3] * (x[0] + x[1] + x[2]) + x[2]


def product(x, *, given):
    return jnp.prod(x) / given["product"]


def square(x, *, given):
    return x @ x / given["square"]


def many():
    rng = np.random.default_rng(0)
    return {
        "weight": rng.uniform(0.5, 2.0, COUNT),
        "product": rng.uniform(20.0, 26.0, COUNT),
        "square": rng.uniform(38.0, 45.0, COUNT),
    }


def by_vmap(given):
    one = jax.tree.map(lambda a: a[0], given)
    conditions = [descend.at_least(product, 1.0), descend.equal(square, 1.0)]
    problem = descend.Problem(objective, descend.Real(4, 1.0, 5.0, start=START), subject_to=conditions, given=one)
    run = jax.jit(jax.vmap(InteriorPoint().program(problem), in_axes=(None, 0)))

    def solve():
        reached = jax.block_until_ready(run(START, given))
        return np.asarray(reached.loss), np.asarray(reached.converged)

    return solve


def functions():
    """Compiled value, gradient, constraints, Jacobian and Lagrangian Hessian of (x, given)."""
    both = lambda x, g: jnp.stack([product(x, given=g) - 1, square(x, given=g) - 1])  # noqa: E731
    value = lambda x, g: objective(x, given=g)  # noqa: E731
    lagrangian = lambda x, g, v, s: s * value(x, g) + v @ both(x, g)  # noqa: E731
    return (
        jax.jit(jax.value_and_grad(value)), jax.jit(both), jax.jit(jax.jacrev(both)), jax.jit(jax.hessian(lagrangian))
    )  # fmt: skip


def by_slsqp(given):
    value, both, rows, _ = functions()

    def solve_one(g):
        conditions = [
            {"type": "ineq", "fun": lambda x: np.asarray(both(x, g))[0], "jac": lambda x: np.asarray(rows(x, g))[0]},
            {"type": "eq", "fun": lambda x: np.asarray(both(x, g))[1], "jac": lambda x: np.asarray(rows(x, g))[1]},
        ]
        found = scipy.optimize.minimize(
            lambda x: tuple(np.asarray(a) for a in value(x, g)), START, jac=True, method="SLSQP",
            bounds=[(1.0, 5.0)] * 4, constraints=conditions, options={"ftol": 1e-12},
        )  # fmt: skip
        return found.fun, found.success

    return lambda: tuple(np.array(c) for c in zip(*[solve_one(g) for g in rows_of(given)], strict=True))


def by_ipopt(given):
    import cyipopt

    value, both, rows, hessian = functions()
    lower = np.tril_indices(4)

    class Calls:
        def __init__(self, g):
            self.g = g

        def objective(self, x):
            return float(value(x, self.g)[0])

        def gradient(self, x):
            return np.asarray(value(x, self.g)[1])

        def constraints(self, x):
            return np.asarray(both(x, self.g))

        def jacobian(self, x):
            return np.asarray(rows(x, self.g)).ravel()

        def hessianstructure(self):
            return lower

        def hessian(self, x, multipliers, factor):
            return np.asarray(hessian(x, self.g, multipliers, factor))[lower]

    def solve_one(g):
        native = cyipopt.Problem(4, 2, problem_obj=Calls(g), lb=[1.0] * 4, ub=[5.0] * 4, cl=[0.0, 0.0], cu=[2e19, 0.0])
        for name, option in {"print_level": 0, "sb": "yes", "tol": 1e-9}.items():
            native.add_option(name, option)
        _, info = native.solve(START)
        return info["obj_val"], info["status"] in (0, 1)

    return lambda: tuple(np.array(c) for c in zip(*[solve_one(g) for g in rows_of(given)], strict=True))


def rows_of(given):
    return [{name: float(column[i]) for name, column in given.items()} for i in range(LOOPED)]


def main():
    jax.config.update("jax_enable_x64", True)
    given = many()
    sides = {"vmap of InteriorPoint": by_vmap, "loop over SLSQP": by_slsqp, "loop over IPOPT": by_ipopt}
    solvers, answers, best = {}, {}, {}
    for name, make in sides.items():
        began = time.process_time()
        try:
            solvers[name] = make(given)
            answers[name] = solvers[name]()
        except ImportError:
            print(f"{name}: not installed")
            continue
        spent, done = time.process_time() - began, answers[name][1]
        print(f"{name}: first call {spent:.2f} s, {np.sum(done)} of {len(done)} converged", flush=True)
    for _ in range(REPEATS):
        for name, solve in solvers.items():
            began = time.process_time()
            count = len(solve()[0])
            best[name] = min(best.get(name, np.inf), (time.process_time() - began) / count)
    ours, reference = best["vmap of InteriorPoint"], answers["vmap of InteriorPoint"]
    for name, seconds in best.items():
        values, done = answers[name]
        both = done & reference[1][: len(done)]
        apart = np.max(abs(values - reference[0][: len(values)])[both])
        print(
            f"{name}: {1e3 * seconds:.3f} ms a problem, {seconds / ours:.1f} times ours; values differ by {apart:.1e}"
        )


if __name__ == "__main__":
    main()
