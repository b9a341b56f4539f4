"""One problem in one process: `python cutest_child.py WHERE SECONDS SOLVER...` prints a JSON line for each solver.

The peers get compiled functions: value, gradient, dense Hessian, constraints, their Jacobian, the Lagrangian's Hessian.
Their compilation is not counted. descend compiles for itself: its first solve is counted with it ("cold"), is held to
the time limit and is the one whose answer is judged; the second solve of the same problem gives the "warm" time.
Times are seconds of the processor, which other processes disturb less than the wall clock; limits are by the clock.
"""

import json
import sys
import time
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from cutest_judge import judge
from cutest_sample import Case, load

jax.config.update("jax_enable_x64", True)
warnings.simplefilter("ignore")


class LateError(Exception):
    """The time is up."""


class Functions:
    """The compiled functions of a problem; each call looks at the clock."""

    def __init__(self, case: Case, seconds: float):
        self.case, self.seconds, self.until = case, seconds, np.inf
        f, c = case.objective, lambda x: jnp.concatenate(case.constraints(x))
        self.m = case.equalities + case.inequalities
        self.both = self._timed(jax.jit(jax.value_and_grad(f)))
        self.value = self._timed(jax.jit(f))
        self.hessian = self._timed(jax.jit(jax.hessian(f)))
        self.constraints = self._timed(jax.jit(c))
        self.jacobian = self._timed(jax.jit(jax.jacrev(c)))
        self.lagrangian = self._timed(jax.jit(jax.hessian(lambda x, v, s: s * f(x) + v @ c(x))))

    def _timed(self, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            if time.monotonic() > self.until:
                raise LateError
            return jax.tree.map(np.asarray, function(*arguments))

        return call

    def compile(self) -> None:
        x, self.until = self.case.start, np.inf
        self.both(x), self.value(x), self.hessian(x)
        if self.m:
            self.constraints(x), self.jacobian(x), self.lagrangian(x, np.zeros(self.m), 1.0)

    def at(self, x: np.ndarray) -> Any:
        k = self.case.equalities
        gradient = self.both(x)[1]
        c, rows = (self.constraints(x), self.jacobian(x)) if self.m else (np.zeros(0), np.zeros((0, x.size)))
        return gradient, c[:k], rows[:k], c[k:], rows[k:]


def ipopt(f: Functions) -> tuple[np.ndarray, bool]:
    import cyipopt

    return _interior(f, cyipopt)


def pounce(f: Functions) -> tuple[np.ndarray, bool]:
    import pounce as package

    return _interior(f, package)


def _interior(f: Functions, package: Any) -> tuple[np.ndarray, bool]:
    case, n = f.case, f.case.start.size
    tril = np.tril_indices(n)

    class Callbacks:
        def objective(self, x: Any) -> float:
            return float(f.value(x))

        def gradient(self, x: Any) -> Any:
            return f.both(x)[1]

        def constraints(self, x: Any) -> Any:
            return f.constraints(x) if f.m else np.zeros(0)

        def jacobian(self, x: Any) -> Any:
            return f.jacobian(x).ravel() if f.m else np.zeros(0)

        def jacobianstructure(self) -> Any:
            return tuple(a.ravel() for a in np.indices((f.m, n)))

        def hessianstructure(self) -> Any:
            return tril

        def hessian(self, x: Any, multipliers: Any, factor: Any) -> Any:
            return (f.lagrangian(x, np.asarray(multipliers), factor) if f.m else factor * f.hessian(x))[tril]

    upper = np.concatenate([np.zeros(case.equalities), np.full(case.inequalities, 2e19)])
    problem = package.Problem(
        n=n, m=f.m, problem_obj=Callbacks(), lb=np.maximum(case.lower, -2e19), ub=np.minimum(case.upper, 2e19),
        cl=np.zeros(f.m), cu=upper,
    )  # fmt: skip
    for name, value in {"print_level": 0, "tol": 1e-8, "max_iter": 3000, "max_wall_time": f.seconds}.items():
        problem.add_option(name, value)
    problem.add_option("sb", "yes")
    x, info = problem.solve(case.start)
    return np.asarray(x), int(info["status"]) in (0, 1)


def _scipy(f: Functions, method: str, options: dict[str, Any], hessians: bool = False) -> tuple[np.ndarray, bool]:
    case, constraints = f.case, []
    if f.m:
        k = case.equalities
        if method == "SLSQP":
            constraints = [
                {"type": kind, "fun": lambda x, p=part: f.constraints(x)[p], "jac": lambda x, p=part: f.jacobian(x)[p]}
                for kind, part, size in (("eq", slice(0, k), k), ("ineq", slice(k, None), f.m - k))
                if size
            ]
        else:
            upper = np.concatenate([np.zeros(k), np.full(f.m - k, np.inf)])
            constraints = scipy.optimize.NonlinearConstraint(
                f.constraints, 0.0, upper, jac=f.jacobian, hess=lambda x, v: f.lagrangian(x, v, 0.0)
            )
    bounds = None if case.kind == "unconstrained" else scipy.optimize.Bounds(case.lower, case.upper)
    more = {"hess": f.hessian} if hessians else {}
    found = scipy.optimize.minimize(
        lambda x: tuple(f.both(x)), case.start, jac=True, method=method, bounds=bounds, constraints=constraints,
        options=options, **more,
    )  # fmt: skip
    return found.x, bool(found.success)


def slsqp(f: Functions) -> tuple[np.ndarray, bool]:
    return _scipy(f, "SLSQP", {"ftol": 1e-14, "maxiter": 3000})


def trust_constr(f: Functions) -> tuple[np.ndarray, bool]:
    options = {"gtol": 1e-7, "xtol": 1e-12, "barrier_tol": 1e-9, "maxiter": 10_000}
    return _scipy(f, "trust-constr", options, hessians=True)


def lbfgsb(f: Functions) -> tuple[np.ndarray, bool] | None:
    if f.m:
        return None
    return _scipy(f, "L-BFGS-B", {"gtol": 1e-7, "ftol": 0.0, "maxiter": 15_000, "maxfun": 100_000})


def optimistix_bfgs(f: Functions) -> Any:
    if f.case.kind != "unconstrained":
        return None
    import optimistix

    def run(x: Any) -> Any:
        method = optimistix.BFGS(rtol=1e-8, atol=1e-8)
        found = optimistix.minimise(lambda y, _: f.case.objective(y), method, x, max_steps=10_000, throw=False)
        return found.value, found.result == optimistix.RESULTS.successful

    program = jax.jit(run)
    jax.block_until_ready(program(f.case.start))
    began = time.process_time()
    x, done = jax.block_until_ready(program(f.case.start))
    return np.asarray(x), bool(done), time.process_time() - began, {}


def descend(f: Functions) -> Any:
    import descend as library

    case, k = f.case, f.case.equalities
    over = library.Real(case.start.size, case.lower, case.upper, start=case.start)
    conditions = []
    if k:
        conditions.append(library.equal(lambda x: case.constraints(x)[0], 0.0, name="equalities"))
    if case.inequalities:
        conditions.append(library.at_least(lambda x: case.constraints(x)[1], 0.0, name="inequalities"))
    problem = library.Problem(case.objective, over, subject_to=conditions)

    def solve() -> tuple[Any, float]:
        began = time.process_time()
        answer = library.solve(problem, budget=library.Budget(seconds=f.seconds), progress=False)
        return answer, time.process_time() - began

    answer, cold = solve()
    told = {"status": str(answer.status), "cold": cold, "note": answer.certificate.note, "message": answer.message}
    told |= {"units": answer.evaluations, "log": [line for _, line in answer.trace.log], "plan": answer.plan}
    warm = cold if answer.seconds > f.seconds / 2 else solve()[1]
    x = np.full(case.start.size, np.nan) if answer.x is None else np.asarray(answer.x, np.float64)
    return x, answer.status in ("local", "optimal"), warm, told


SOLVERS = {
    "descend": descend, "ipopt": ipopt, "pounce": pounce, "slsqp": slsqp, "trust-constr": trust_constr,
    "l-bfgs-b": lbfgsb, "optimistix-bfgs": optimistix_bfgs,
}  # fmt: skip


def main(where: str, seconds: float, names: list[str]) -> None:
    def say(**fields: Any) -> None:
        print(json.dumps(fields), flush=True)

    say(begin="load")
    case = load(where)
    say(name=case.name, kind=case.kind, stratum=case.stratum, n=case.start.size, m=case.equalities + case.inequalities)
    functions = Functions(case, seconds)
    for name in names:
        if name != "descend":
            say(begin="compile")
            functions.compile()
        say(begin=name)
        began = time.process_time()
        functions.until = time.monotonic() + seconds
        try:
            found = SOLVERS[name](functions)
        except LateError:
            say(solver=name, error="late")
            continue
        except Exception as error:
            say(solver=name, error=f"{type(error).__name__}: {error}"[:200])
            continue
        spent = time.process_time() - began
        functions.until = np.inf
        if found is None:
            continue
        x, claims, warm, told = (*found, *(spent, {})[len(found) - 2 :])
        violation, good = judge(x, functions.at, case.lower, case.upper)
        value = float(functions.value(x))
        say(solver=name, value=value, violation=violation, kkt=good, claims=claims, seconds=warm, **told)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
