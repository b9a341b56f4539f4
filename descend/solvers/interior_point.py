"""A primal-dual interior-point method, compiled: for smooth constrained problems, one or a thousand at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.problem import Problem
from descend.solvers.flat import Flat
from descend.solvers.segments import strong
from descend.solvers.solver import Needs, Progress, Solver

PUSH = 1e-2  # how far a start is kept from bounds, relative to their size and distance
HALVINGS = 30  # of a step
SHIFTS = 40  # of the Hessian, each ten times the last, until it is positive definite where it must be
LEAST = 1e-11  # barrier parameter


class Iterate(NamedTuple):
    """A point with its multipliers, in units of the scales.

    Attributes:
        x: variables, shape (n,).
        s: values of the inequalities that the point is to have, within their bounds, shape (k,).
        equal, signed: multipliers of equalities and inequalities.
        low, high: of the bounds on x; `below`, `above`: of those on s.
        barrier: the barrier parameter.
        shift: the last shift of the Hessian that was needed.
        weight: of the violation in the merit function.
        error: the optimality error, without barrier.
        steps: so far.
        failures: steps in a row that nothing could accept.
    """

    x: Any
    s: Any
    equal: Any
    signed: Any
    low: Any
    high: Any
    below: Any
    above: Any
    barrier: Any
    shift: Any
    weight: Any
    error: Any
    steps: Any
    failures: Any


class Reached(NamedTuple):
    """What a compiled run reached: a point shaped like `over`, its loss and violation, and whether it converged."""

    x: Any
    loss: Any
    violation: Any
    converged: Any
    steps: Any


@dataclass(frozen=True, repr=False)
class InteriorPoint(Solver):
    """Newton steps on the barrier problem, with exact derivatives and dense linear algebra, in one compiled loop.

    The Hessian is shifted until it is positive definite where the linearized equalities leave room; a step is accepted
    that lowers an l1 merit function or the optimality error. `program(problem)` is the whole run as a pure function of
    start and `given`, for `jax.vmap` and accelerators. A step costs a Hessian, a Jacobian and O((n + equalities)^3).

    Args:
        iterations: in one segment.
        most: iterations in all.
        tolerance: of the optimality error; 0 chooses 1e-9 in float64, 1e-5 in float32.

    Source: Waechter & Biegler (2006), without its filter and restoration; Nocedal & Wright, chapter 19.
    """

    iterations: int = 50
    most: int = 500
    tolerance: float = 0.0
    NEEDS: ClassVar[Needs] = Needs(gradient=True, true_gradient=True, continuous=True, deterministic=True, box=True)

    def init(self, problem: Problem, start: Any, key: jax.Array) -> Iterate:
        z = np.asarray(problem.domain.ravel(start), np.float64) / problem.domain.scale
        begin = problem.compiled("interior begin", lambda: jax.jit(lambda z, i: Barrier(problem.bind(i)).begin(z)))
        return strong(begin(jnp.asarray(z, jnp.result_type(float)), problem.inputs))

    def step(self, problem: Problem, state: Iterate) -> tuple[Iterate, Progress]:
        def build() -> Any:
            def segment(state: Iterate, inputs: Any) -> tuple[Iterate, Any, Any]:
                barrier = Barrier(problem.bind(inputs))
                state = strong(self._loop(barrier, state, self.iterations))
                return state, *barrier.seen(state.x)

            return jax.jit(segment)

        segment = problem.compiled(("interior point", self), build)
        before = int(state.steps)
        state, loss, _ = segment(state, problem.inputs)
        x = problem.domain.unravel(np.asarray(state.x, np.float64) * problem.domain.scale)
        x = problem.domain.project(x)
        taken, size = int(state.steps) - before, problem.domain.size
        error, reason = float(state.error), ""
        if error <= self._tolerance(state.x.dtype):
            reason = "optimality conditions hold"
        elif not np.isfinite(error):
            reason = "a value or derivative is not finite"
        elif int(state.failures) >= 3:
            reason = "no step is acceptable"
        elif int(state.steps) >= self.most:
            reason = f"{self.most} iterations"
        stalled = not error <= self._tolerance(state.x.dtype)
        units = max(1, taken) * (6 * size + 3 * (1 + len(state.s) + len(state.equal)))
        return state, Progress(x, float(loss), units, bool(reason), reason, stalled, {"optimality error": error})

    def program(self, problem: Problem) -> Callable[..., Reached]:
        """The whole run as a pure function (start, given=None) -> `Reached`.

        `start` is shaped like `over`; `given` replaces the problem's. It may be jitted, and mapped over either argument
        with `jax.vmap`: all runs then take as many steps as the longest.
        """

        def run(start: Any, given: Any = None) -> Reached:
            inputs = problem.inputs if given is None else problem.inputs._replace(given=given)
            barrier = Barrier(problem.bind(inputs))
            z = jnp.asarray(problem.domain.ravel(jax.tree.map(jnp.asarray, start)) / barrier.scale)
            state = self._loop(barrier, barrier.begin(z), self.most)
            loss, violation = barrier.seen(state.x)
            x = problem.domain.unravel(state.x * barrier.scale)
            return Reached(x, loss, violation, state.error <= self._tolerance(z.dtype), state.steps)

        return run

    def _tolerance(self, dtype: Any) -> float:
        return self.tolerance or (1e-9 if jnp.finfo(dtype).bits >= 64 else 1e-5)

    def _loop(self, barrier: "Barrier", state: Iterate, steps: int) -> Iterate:
        tolerance = self._tolerance(state.x.dtype)

        def going(carry: tuple) -> Any:
            count, state = carry
            more = (state.error > tolerance) & jnp.isfinite(state.error) & (state.failures < 3)
            return (count < steps) & more & (state.steps < self.most)

        return jax.lax.while_loop(going, lambda c: (c[0] + 1, barrier.advance(c[1], tolerance)), (0, state))[1]


class Barrier:
    """The barrier problem: everything traceable.

    Args:
        problem: over a box, bound to its inputs.
    """

    def __init__(self, problem: Problem):
        flat = Flat(problem)
        self.problem, self.shapes, self.scale = problem, flat.shapes, flat.scale
        lower, upper = (np.asarray(bound, np.float64) / flat.scale for bound in problem.domain.box or ())
        self.fixed = lower == upper
        self.lower, self.upper = np.where(self.fixed, -np.inf, lower), np.where(self.fixed, np.inf, upper)
        self.pinned = np.where(self.fixed, lower, 0.0)
        self.unit = flat.unit
        both = flat.lower == flat.upper
        self.e, self.i = np.flatnonzero(both), np.flatnonzero(~both)
        self.target = (flat.lower / flat.unit)[self.e]
        self.floor, self.ceiling = (flat.lower / flat.unit)[self.i], (flat.upper / flat.unit)[self.i]

    def both(self, x: Any) -> tuple[Any, Any]:
        """Loss and constraint values."""
        scale = jnp.asarray(self.scale, x.dtype)
        loss, constraints = self.problem.evaluate(self.problem.domain.unravel(x * scale))
        broad = [
            jnp.ravel(jnp.broadcast_to(c, s)).astype(x.dtype) for c, s in zip(constraints, self.shapes, strict=True)
        ]
        values = jnp.concatenate([jnp.zeros(0, x.dtype), *broad])
        return loss.astype(x.dtype), values / jnp.asarray(self.unit, x.dtype)

    def seen(self, x: Any) -> tuple[Any, Any]:
        """Loss, and the largest scaled violation of constraints."""
        loss, values = self.both(x)
        low, high = values[self.i] - self.floor, self.ceiling - values[self.i]
        sizes = [jnp.abs(values[self.e] - self.target), -low, -high, jnp.zeros(1, x.dtype)]
        return loss, jnp.max(jnp.concatenate(sizes))

    def begin(self, z: Any) -> Iterate:
        """The first iterate: the start, pushed into the interior."""
        x = jnp.where(self.fixed, self.pinned, _inside(z, self.lower, self.upper)).astype(z.dtype)
        _, values = self.both(x)
        s = _inside(values[self.i], self.floor, self.ceiling)
        one = lambda bound: jnp.where(np.isfinite(bound), 1.0, 0.0).astype(x.dtype)  # noqa: E731
        number = lambda value: jnp.asarray(value, x.dtype)  # noqa: E731
        zero = jnp.zeros((), jnp.int32)
        return Iterate(
            x, s, jnp.zeros(len(self.e), x.dtype), jnp.zeros(len(self.i), x.dtype), one(self.lower), one(self.upper),
            one(self.floor), one(self.ceiling), number(0.1), number(0.0), number(1.0), number(1e300), zero, zero,
        )  # fmt: skip

    def advance(self, state: Iterate, tolerance: float) -> Iterate:
        """One step."""
        x, s = state.x, state.s
        everything = lambda x: jnp.append(*self.both(x))  # noqa: E731
        values, rows = everything(x), jax.jacrev(everything)(x)
        loss, c, gradient, rows = values[0], values[1:], rows[0], rows[1:]
        multipliers = jnp.zeros_like(c).at[self.e].set(state.equal).at[self.i].set(state.signed)
        hessian = jax.hessian(lambda x: jnp.vdot(jnp.append(1.0, multipliers), everything(x)))(x)
        state = self._lowered(state, gradient, rows, c, tolerance)
        mu, kept = state.barrier, ~self.fixed
        equal_rows, signed_rows = rows[self.e] * kept, rows[self.i] * kept
        # The Newton system, with slacks and the bounds' multipliers eliminated.
        dx = _Distances(x, self.lower, self.upper)
        ds = _Distances(s, self.floor, self.ceiling)
        stiff, stiff_s = dx.stiffness(state.low, state.high), ds.stiffness(state.below, state.above)
        off_e, off_i = c[self.e] - self.target, c[self.i] - s
        gx = gradient + equal_rows.T @ state.equal + signed_rows.T @ state.signed - dx.push(mu)
        gs = -state.signed - ds.push(mu)
        matrix = hessian + jnp.diag(stiff) + signed_rows.T @ (stiff_s[:, None] * signed_rows)
        matrix = jnp.where(kept[:, None] & kept, matrix, 0.0) + jnp.diag(jnp.where(kept, 0.0, 1.0))
        right = jnp.where(kept, -gx - signed_rows.T @ (stiff_s * off_i + gs), 0.0)
        shift = self._shift(matrix, equal_rows, state.shift)
        n, k = len(x), len(self.e)
        system = jnp.block([
            [matrix + shift * jnp.eye(n, dtype=x.dtype), equal_rows.T],
            [equal_rows, -1e-10 * jnp.sqrt(mu) * jnp.eye(k, dtype=x.dtype)],
        ])  # fmt: skip
        solution = jnp.linalg.solve(system, jnp.concatenate([right, -off_e]))
        move, move_equal = solution[:n], solution[n:]
        move_s = signed_rows @ move + off_i
        move_signed = stiff_s * move_s + gs
        low, high = dx.multipliers(mu, state.low, state.high, move)
        below, above = ds.multipliers(mu, state.below, state.above, move_s)
        tau = jnp.maximum(0.99, 1 - mu)
        longest = jnp.minimum(dx.longest(move, tau), ds.longest(move_s, tau))
        dual = jnp.min(jnp.stack([
            _positive(a, b, tau) for a, b in ((state.low, low), (state.high, high), (state.below, below), (state.above, above))
        ]))  # fmt: skip
        # The merit function and its slope along the step.
        violation = jnp.sum(jnp.abs(off_e)) + jnp.sum(jnp.abs(off_i))
        slope = (gradient - dx.push(mu)) @ move - ds.push(mu) @ move_s
        curved = jnp.maximum(move @ (matrix @ move) + shift * move @ move, 0.0)
        need = (slope + curved / 2) / jnp.maximum(0.9 * violation, 1e-300)
        weight = jnp.where(violation > 1e-12, jnp.maximum(state.weight, need), state.weight)

        def merit(x: Any, s: Any) -> Any:
            loss, c = self.both(x)
            logs = _Distances(x, self.lower, self.upper).logs() + _Distances(s, self.floor, self.ceiling).logs()
            off = jnp.sum(jnp.abs(c[self.e] - self.target)) + jnp.sum(jnp.abs(c[self.i] - s))
            return loss - mu * logs + weight * off

        here = merit(x, s)
        expected = slope - weight * violation
        rounding = 10 * jnp.finfo(x.dtype).eps * (jnp.abs(here) + jnp.abs(loss))

        def short(carry: tuple) -> Any:
            length, count, good = carry
            return ~good & (count < HALVINGS)

        def halve(carry: tuple) -> Any:
            length, count, _ = carry
            value = merit(x + length * move, s + length * move_s)
            good = value <= here + 1e-4 * length * jnp.minimum(expected, 0.0) + rounding
            return jnp.where(good, length, length / 2), count + 1, good

        def moved(length: Any) -> Iterate:
            return state._replace(
                x=x + length * move, s=s + length * move_s, equal=state.equal + length * move_equal,
                signed=state.signed + length * move_signed, low=state.low + dual * low, high=state.high + dual * high,
                below=state.below + dual * below, above=state.above + dual * above, shift=shift, weight=weight,
                steps=state.steps + 1, failures=jnp.zeros_like(state.failures),
            )  # fmt: skip

        # A full step that lowers the optimality error is taken whatever the merit function says (Maratos).
        whole = moved(longest)
        better = self._error(whole, mu) <= 0.9 * self._error(state, mu)
        length, _, good = jax.lax.while_loop(short, halve, (longest, 0, better))
        finite = jnp.all(jnp.isfinite(solution))
        taken = jax.tree.map(lambda new, old: jnp.where(good & finite, new, old), moved(length), state)
        stuck = state._replace(shift=jnp.maximum(100 * shift, 1e-4), steps=state.steps + 1, failures=state.failures + 1)
        state = jax.tree.map(lambda a, b: jnp.where(good & finite, a, b), taken, stuck)
        state = state._replace(
            low=dx.near(state.low, state.x - self.lower, mu), high=dx.near(state.high, self.upper - state.x, mu),
            below=ds.near(state.below, state.s - self.floor, mu), above=ds.near(state.above, self.ceiling - state.s, mu),
        )  # fmt: skip
        return state._replace(error=self._error(state, 0.0))

    def _lowered(self, state: Iterate, gradient: Any, rows: Any, c: Any, tolerance: float) -> Iterate:
        """With a lower barrier, where the barrier problem is solved well enough."""
        mu, least = state.barrier, max(LEAST, tolerance / 10)
        solved = self._residual(state, mu, gradient, rows, c) <= 10 * mu
        lower = jnp.maximum(jnp.minimum(0.2 * mu, mu**1.5), least)
        return state._replace(barrier=jnp.where(solved, lower, mu))

    def _error(self, state: Iterate, mu: Any) -> Any:
        everything = lambda x: jnp.append(*self.both(x))  # noqa: E731
        values, rows = everything(state.x), jax.jacrev(everything)(state.x)
        return self._residual(state, mu, rows[0], rows[1:], values[1:])

    def _residual(self, state: Iterate, mu: Any, gradient: Any, rows: Any, c: Any) -> Any:
        """The largest violation of the conditions of the barrier problem, multipliers above 100 being scaled down."""
        total = gradient + rows[self.e].T @ state.equal + rows[self.i].T @ state.signed - state.low + state.high
        balance = -state.signed - state.below + state.above
        dx = _Distances(state.x, self.lower, self.upper)
        ds = _Distances(state.s, self.floor, self.ceiling)
        pulls = jnp.concatenate([state.low, state.high, state.below, state.above])
        force = jnp.concatenate([state.equal, state.signed, pulls, jnp.zeros(1, total.dtype)])
        size = jnp.maximum(1.0, jnp.mean(jnp.abs(force)) / 100)
        parts = [
            jnp.where(self.fixed, 0.0, total) / size, balance / size, c[self.e] - self.target, c[self.i] - state.s,
            dx.gaps(state.low, state.high, mu) / size, ds.gaps(state.below, state.above, mu) / size,
        ]  # fmt: skip
        return jnp.max(jnp.abs(jnp.concatenate([*parts, jnp.zeros(1, total.dtype)])))

    def _shift(self, matrix: Any, rows: Any, last: Any) -> Any:
        """What must be added to the diagonal for positive curvature on the null space of the rows."""
        size = jnp.maximum(1e-8, jnp.max(jnp.abs(matrix)))
        bent = 1e4 * size / jnp.maximum(1e-12, jnp.max(jnp.abs(rows), initial=0.0) ** 2) * (rows.T @ rows)
        eye = jnp.eye(len(matrix), dtype=matrix.dtype)

        def bad(carry: tuple) -> Any:
            shift, count = carry
            factor = jnp.linalg.cholesky(matrix + bent + (shift - 1e-14 * size) * eye)
            return ~jnp.all(jnp.isfinite(factor)) & (count < SHIFTS)

        def more(carry: tuple) -> Any:
            shift, count = carry
            first = jnp.maximum(jnp.maximum(last / 3, 1e-8 * size), 1e-10)
            return jnp.where(shift == 0, first, 8 * shift), count + 1

        return jax.lax.while_loop(bad, more, (jnp.zeros((), matrix.dtype), 0))[0]


class _Distances:
    """Distances of a point from its bounds, where there are some."""

    def __init__(self, x: Any, lower: np.ndarray, upper: np.ndarray):
        self.has_low, self.has_high = np.isfinite(lower), np.isfinite(upper)
        self.low = jnp.where(self.has_low, x - np.where(self.has_low, lower, 0.0), 1.0).astype(x.dtype)
        self.high = jnp.where(self.has_high, np.where(self.has_high, upper, 0.0) - x, 1.0).astype(x.dtype)

    def stiffness(self, low: Any, high: Any) -> Any:
        return low / self.low + high / self.high

    def push(self, mu: Any) -> Any:
        """Minus the gradient of the barrier."""
        return jnp.where(self.has_low, mu / self.low, 0.0) - jnp.where(self.has_high, mu / self.high, 0.0)

    def multipliers(self, mu: Any, low: Any, high: Any, move: Any) -> tuple[Any, Any]:
        """The steps of the bounds' multipliers."""
        down = jnp.where(self.has_low, mu / self.low - low - low / self.low * move, 0.0)
        up = jnp.where(self.has_high, mu / self.high - high + high / self.high * move, 0.0)
        return down, up

    def longest(self, move: Any, tau: Any) -> Any:
        """The longest step, at most 1, that keeps a share 1 - tau of every distance."""
        down = jnp.where(self.has_low & (move < 0), -tau * self.low / jnp.where(move < 0, move, 1.0), 1.0)
        up = jnp.where(self.has_high & (move > 0), tau * self.high / jnp.where(move > 0, move, 1.0), 1.0)
        return jnp.minimum(1.0, jnp.minimum(jnp.min(down, initial=1.0), jnp.min(up, initial=1.0)))

    def logs(self) -> Any:
        return jnp.sum(jnp.log(self.low)) + jnp.sum(jnp.log(self.high))

    def gaps(self, low: Any, high: Any, mu: Any) -> Any:
        """Multiplier times distance, less the barrier parameter."""
        down = jnp.where(self.has_low, low * self.low - mu, 0.0)
        up = jnp.where(self.has_high, high * self.high - mu, 0.0)
        return jnp.concatenate([down, up])

    def near(self, multiplier: Any, distance: Any, mu: Any) -> Any:
        """The multiplier, kept within a factor of mu / distance."""
        center = mu / jnp.where(jnp.isfinite(distance), distance, 1.0)
        return jnp.where(jnp.isfinite(distance), jnp.clip(multiplier, center / 1e10, center * 1e10), 0.0)


def _positive(value: Any, move: Any, tau: Any) -> Any:
    """The longest step, at most 1, that keeps the multipliers positive."""
    ratio = jnp.where(move < 0, -tau * value / jnp.where(move < 0, move, 1.0), 1.0)
    return jnp.minimum(1.0, jnp.min(ratio, initial=1.0))


def _inside(x: Any, lower: np.ndarray, upper: np.ndarray) -> Any:
    """x, pushed off its bounds."""
    has_low, has_high = np.isfinite(lower), np.isfinite(upper)
    low, high = np.where(has_low, lower, 0.0), np.where(has_high, upper, 0.0)
    width = np.where(has_low & has_high, PUSH * (high - low), np.inf)
    low = np.where(has_low, low + np.minimum(PUSH * np.maximum(1, abs(low)), width), -np.inf)
    high = np.where(has_high, high - np.minimum(PUSH * np.maximum(1, abs(high)), width), np.inf)
    return jnp.clip(x, low, high).astype(x.dtype)
