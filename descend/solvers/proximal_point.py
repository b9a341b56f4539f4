"""Saddles of min-max problems by implicit steps."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from descend.problem import Problem
from descend.solvers.saddle import operator
from descend.solvers.segments import strong
from descend.solvers.solver import Needs, Progress, Solver

NEWTON = 12  # iterations for one implicit step
SMALLEST, LARGEST = 1e-8, 1e8  # step lengths


class ProximalPointState(NamedTuple):
    """The iterate, in units of the domain's scale, and the step length."""

    z: jax.Array
    length: jax.Array
    residual: jax.Array
    failures: jax.Array  # implicit steps in a row that could not be solved
    total: jax.Array


@dataclass(frozen=True, repr=False)
class ProximalPoint(Solver):
    """z+ = P(z - g F(z+)), where F is the gradient with the adversary's part negated, solved by Newton's method.

    It converges for g > 2 rho, where rho is the comonotonicity of F (see `Extragradient`): also where no explicit step
    does. The length doubles when a step is solved and is cut to a quarter when it is not. Memory n^2, time n^3 a Newton
    iteration.

    It is done when max|z - P(z - F(z))| <= `tolerance`.

    Args:
        length: the first g, in units of the domain's scale.
        tolerance: on the residual; 0 chooses 1e-9 in float64, 1e-5 in float32.

    Source: Rockafellar (1976); Gorbunov, Taylor, Horvath and Gidel, arXiv:2210.13831, for g > 2 rho.
    """

    length: float = 1.0
    tolerance: float = 0.0
    NEEDS: ClassVar[Needs] = Needs(
        gradient=True, true_gradient=True, continuous=True, deterministic=True, unconstrained=True, adversary=True
    )

    def init(self, problem: Problem, start: Any, key: jax.Array) -> ProximalPointState:
        z = jnp.asarray(problem.domain.ravel(start) / problem.domain.scale, jnp.result_type(float))
        none = jnp.zeros((), jnp.int32)
        return strong(
            ProximalPointState(z, jnp.asarray(self.length, z.dtype), jnp.asarray(jnp.inf, z.dtype), none, none)
        )

    def step(self, problem: Problem, state: ProximalPointState) -> tuple[ProximalPointState, Progress]:
        segment = problem.compiled(("proximal point", self), lambda: self._build(problem))
        state, x, loss, iterations = segment(state, problem.inputs)
        solved = float(state.residual) <= (self.tolerance or (1e-9 if jnp.finfo(state.z.dtype).bits >= 64 else 1e-5))
        reason = "both gradients vanished" if solved else ""
        if not solved and int(state.failures) > 12:
            reason = "implicit steps cannot be solved"
        units = 3 * int(iterations) * (1 + problem.domain.size)
        signals = {"saddle residual": float(state.residual), "step": float(state.length)}
        return state, Progress(x, float(loss), units, bool(reason), reason, not solved, signals)

    def _build(self, problem: Problem) -> Any:
        scale = jnp.asarray(problem.domain.scale)

        def segment(state: ProximalPointState, inputs: Any) -> tuple[Any, ...]:
            play, project = operator(problem, inputs)
            z, eps = state.z, jnp.finfo(state.z.dtype).eps

            def apart(w: jax.Array) -> tuple[jax.Array, jax.Array]:
                gap = w - project(z - state.length * play(w))
                return gap, gap

            def newton(carry: tuple) -> tuple:
                count, w, gap, _ = carry
                slopes, _ = jax.jacfwd(apart, has_aux=True)(w)
                w = w - jnp.linalg.solve(slopes, gap)
                new, _ = apart(w)
                return count + 1, w, new, jnp.sqrt(jnp.sum(new**2))

            def going(carry: tuple) -> jax.Array:
                count, w, _, size = carry
                return (
                    (count < NEWTON) & (size > 100 * eps * (1 + jnp.max(jnp.abs(w), initial=0.0))) & jnp.isfinite(size)
                )

            gap, _ = apart(z)
            size = jnp.sqrt(jnp.sum(gap**2))
            count, w, _, left = jax.lax.while_loop(going, newton, (jnp.zeros((), jnp.int32), z, gap, size))
            moved = project(w)
            good = jnp.isfinite(left) & (left <= 1e-3 * size + 1e3 * eps)
            z = jnp.where(good, moved, z)
            length = jnp.clip(jnp.where(good, 2 * state.length, state.length / 4), SMALLEST, LARGEST)
            residual = jnp.max(jnp.abs(z - project(z - play(z))), initial=0.0)
            failures = jnp.where(good, 0, state.failures + 1).astype(jnp.int32)
            x = problem.domain.unravel(z * scale.astype(z.dtype))
            state = ProximalPointState(z, length, residual, failures, state.total + 1)
            return strong(state), x, problem.bind(inputs).evaluate(x).loss, count + 1

        return jax.jit(segment)
