"""The barrier problem of an interior-point method and its Newton step: everything traceable."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.problem import Problem
from descend.solvers.distances import Distances, inside, positive
from descend.solvers.factorization import factor, solve
from descend.solvers.flat import Flat

HALVINGS = 30  # of a step
SHIFTS = 40  # of the Hessian, each eight times the last, until it is positive definite where it must be
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
        loss, constraints, *_ = self.problem.evaluate(self.problem.domain.unravel(x * scale))
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
        x = jnp.where(self.fixed, self.pinned, inside(z, self.lower, self.upper)).astype(z.dtype)
        _, values = self.both(x)
        s = inside(values[self.i], self.floor, self.ceiling)
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
        equal_rows, signed_rows = rows[self.e] * kept[None], rows[self.i] * kept[None]
        # The Newton system, with slacks and the bounds' multipliers eliminated.
        dx = Distances(x, self.lower, self.upper)
        ds = Distances(s, self.floor, self.ceiling)
        stiff, stiff_s = dx.stiffness(state.low, state.high), ds.stiffness(state.below, state.above)
        off_e, off_i = c[self.e] - self.target, c[self.i] - s
        gx = gradient + equal_rows.T @ state.equal + signed_rows.T @ state.signed - dx.push(mu)
        gs = -state.signed - ds.push(mu)
        matrix = hessian + jnp.diag(stiff) + signed_rows.T @ (stiff_s[:, None] * signed_rows)
        matrix = jnp.where(kept[:, None] & kept, matrix, 0.0) + jnp.diag(jnp.where(kept, 0.0, 1.0))
        right = jnp.where(kept, -gx - signed_rows.T @ (stiff_s * off_i + gs), 0.0)
        n = len(x)
        solution, shift = self._newton(matrix, equal_rows, jnp.concatenate([right, -off_e]), state)
        move, move_equal = solution[:n], solution[n:]
        move_s = signed_rows @ move + off_i
        move_signed = stiff_s * move_s + gs
        low, high = dx.multipliers(mu, state.low, state.high, move)
        below, above = ds.multipliers(mu, state.below, state.above, move_s)
        tau = jnp.maximum(0.99, 1 - mu)
        longest = jnp.minimum(dx.longest(move, tau), ds.longest(move_s, tau))
        pulls = ((state.low, low), (state.high, high), (state.below, below), (state.above, above))
        dual = jnp.min(jnp.stack([positive(value, step, tau) for value, step in pulls]))
        # The merit function and its slope along the step.
        violation = jnp.sum(jnp.abs(off_e)) + jnp.sum(jnp.abs(off_i))
        slope = (gradient - dx.push(mu)) @ move - ds.push(mu) @ move_s
        curved = jnp.maximum(move @ (matrix @ move) + shift * (move @ move), 0.0)
        need = (slope + curved / 2) / jnp.maximum(0.9 * violation, 1e-300)
        weight = jnp.where(violation > 1e-12, jnp.maximum(state.weight, need), state.weight)

        def merit(x: Any, s: Any) -> Any:
            loss, c = self.both(x)
            logs = Distances(x, self.lower, self.upper).logs() + Distances(s, self.floor, self.ceiling).logs()
            off = jnp.sum(jnp.abs(c[self.e] - self.target)) + jnp.sum(jnp.abs(c[self.i] - s))
            return loss - mu * logs + weight * off

        here = merit(x, s)
        expected = slope - weight * violation
        rounding = 10 * jnp.finfo(x.dtype).eps * (jnp.abs(here) + jnp.abs(loss))

        def short(carry: tuple) -> Any:
            _, count, good = carry
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
            below=ds.near(state.below, state.s - self.floor, mu),
            above=ds.near(state.above, self.ceiling - state.s, mu),
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
        dx = Distances(state.x, self.lower, self.upper)
        ds = Distances(state.s, self.floor, self.ceiling)
        pulls = jnp.concatenate([state.low, state.high, state.below, state.above])
        force = jnp.concatenate([state.equal, state.signed, pulls, jnp.zeros(1, total.dtype)])
        size = jnp.maximum(1.0, jnp.mean(jnp.abs(force)) / 100)
        parts = [
            jnp.where(self.fixed, 0.0, total) / size, balance / size, c[self.e] - self.target, c[self.i] - state.s,
            dx.gaps(state.low, state.high, mu) / size, ds.gaps(state.below, state.above, mu) / size,
        ]  # fmt: skip
        return jnp.max(jnp.abs(jnp.concatenate([*parts, jnp.zeros(1, total.dtype)])))

    def _newton(self, matrix: Any, rows: Any, right: Any, state: Iterate) -> tuple[Any, Any]:
        """The solution of the Newton system, and what was added to the Hessian.

        The shift is right when the system has as many negative eigenvalues as there are equalities: then the curvature
        is positive where they leave room.
        """
        n, k = len(matrix), len(rows)
        size = jnp.maximum(1e-8, jnp.max(jnp.abs(matrix)))
        corner = -1e-10 * jnp.sqrt(state.barrier) * jnp.eye(k, dtype=matrix.dtype)
        whole = jnp.block([[matrix, rows.T], [rows, corner]])
        leading = jnp.where(jnp.arange(n + k) < n, 1.0, 0.0).astype(matrix.dtype)
        # The least first shift, times eight as often as needed.
        first = jnp.maximum(jnp.maximum(state.shift / 3, 1e-8 * size), 1e-10)

        def at(count: Any) -> tuple[Any, Any, Any, Any]:
            shift = jnp.where(count == 0, 0.0, first * 8.0 ** (count - 1)).astype(matrix.dtype)
            system = whole + shift * jnp.diag(leading)
            lower, diagonal = factor(system)
            good = jnp.all(jnp.isfinite(diagonal)) & (jnp.sum(diagonal < 0) == k) & jnp.all(diagonal != 0)
            step = solve(lower, diagonal, right)
            step = step + solve(lower, diagonal, right - system @ step)  # what no pivoting lost
            return step, shift, good & jnp.all(jnp.isfinite(step)), count

        def bad(carry: tuple) -> Any:
            *_, good, count = carry
            return ~good & (count < SHIFTS)

        step, shift, *_ = jax.lax.while_loop(bad, lambda carry: at(carry[3] + 1), at(jnp.zeros((), jnp.int32)))
        return step, shift
