"""Saddles of min-max problems by two gradients a step."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from descend.problem import Problem
from descend.solvers.saddle import behavior, operator
from descend.solvers.segments import grown, steps_per_segment, strong
from descend.solvers.solver import Needs, Progress, Solver

CLOSE = 0.9  # the first step length, in units of 1 / L
LEAST = 0.05  # the second one, relative to the first, below which no second step is worth taking
FORGET = 0.995  # by which the measured constants shrink a step, so that a bad region is forgotten
LIMIT = 0.5  # of rho L, from which on no step lengths converge


class ExtragradientState(NamedTuple):
    """The iterate and what was measured; vectors are in units of the domain's scale."""

    z: jax.Array
    residual: jax.Array
    best: jax.Array
    best_residual: jax.Array
    lipschitz: jax.Array
    comonotone: jax.Array  # rho
    idle: jax.Array  # steps since the best residual fell by a tenth
    total: jax.Array


@dataclass(frozen=True, repr=False)
class Extragradient(Solver):
    """z~ = P(z - a F(z)), then z = P(z - b F(z~)), where F is the gradient with the adversary's part negated.

    The lengths follow from what pairs of iterates show: a = 0.9 / L with L the Lipschitz constant of F, and
    b = a - 2 rho with rho its comonotonicity, <F(u) - F(v), u - v> >= -rho |F(u) - F(v)|^2. With rho = 0 (convex in one
    side, concave in the other) that is the classical method; while 2 rho < a < 1 / L it still converges. Plain
    descent-ascent moves away from a bilinear saddle.

    It is done when max|z - P(z - F(z))| <= `tolerance`; it stalls when rho L reaches 1/2, or after `patience` steps
    in which that residual has not fallen by a tenth.

    Args:
        tolerance: on the residual; 0 chooses 1e-9 in float64, 1e-5 in float32.
        patience: in steps.

    Source: Korpelevich (1976); Gorbunov, Taylor, Horvath and Gidel, "Convergence of proximal point and
        extragradient-based methods beyond monotonicity: the case of negative comonotonicity", arXiv:2210.13831.
    """

    tolerance: float = 0.0
    patience: int = 3000
    NEEDS: ClassVar[Needs] = Needs(
        gradient=True, true_gradient=True, continuous=True, deterministic=True, unconstrained=True, adversary=True
    )

    def init(self, problem: Problem, start: Any, key: jax.Array) -> ExtragradientState:
        z = jnp.asarray(problem.domain.ravel(start) / problem.domain.scale, jnp.result_type(float))
        infinite, zero = jnp.asarray(jnp.inf, z.dtype), jnp.zeros((), z.dtype)
        none = jnp.zeros((), jnp.int32)
        return strong(ExtragradientState(z, infinite, z, infinite, zero, zero, none, none))

    def step(self, problem: Problem, state: ExtragradientState) -> tuple[ExtragradientState, Progress]:
        segment = problem.compiled(("extragradient", self), lambda: self._build(problem))
        before = int(state.total)
        state, x, loss = segment(state, problem.inputs)
        product = float(state.lipschitz * state.comonotone)
        solved = float(state.best_residual) <= self._tolerance(state.z.dtype)
        reason = ""
        if solved:
            reason = "both gradients vanished"
        elif product >= LIMIT:
            reason = f"too far from monotone: rho L is {product:.2g}, and no step converges from 0.5 on"
        elif int(state.idle) > self.patience:
            reason = "the residual stands still"
        signals = {
            "saddle residual": float(state.residual),
            "Lipschitz constant": float(state.lipschitz),
            "comonotonicity": -float(state.comonotone),
        }
        units = 3 * 2 * (int(state.total) - before)
        return state, Progress(x, float(loss), units, bool(reason), reason, not solved, signals)

    def _tolerance(self, dtype: Any) -> float:
        return self.tolerance or (1e-9 if jnp.finfo(dtype).bits >= 64 else 1e-5)

    def _build(self, problem: Problem) -> Any:
        scale = jnp.asarray(problem.domain.scale)
        full = steps_per_segment(problem, 6)

        def advance(state: ExtragradientState, inputs: Any) -> ExtragradientState:
            play, project = operator(problem, inputs)
            z = state.z
            here = play(z)
            size, tiny = jnp.sqrt(jnp.sum(here**2)), jnp.finfo(z.dtype).tiny
            # Nothing is known at first: a step that is short beside the scale of the variables measures L.
            first = jnp.where(state.lipschitz > 0, CLOSE / jnp.maximum(state.lipschitz, tiny), 0.01 / (size + tiny))
            ahead = project(z - first * here)
            there = play(ahead)
            lipschitz, comonotone = behavior(ahead - z, there - here)
            finite = jnp.all(jnp.isfinite(there)) & jnp.isfinite(lipschitz)
            lipschitz = jnp.where(finite, jnp.maximum(FORGET * state.lipschitz, lipschitz), 4 * state.lipschitz)
            comonotone = jnp.where(finite, jnp.maximum(FORGET * state.comonotone, comonotone), state.comonotone)
            # A first step that turned out too long is not followed: the next one knows.
            short = finite & (first * lipschitz <= 1.0)
            second = jnp.maximum(first - 2 * comonotone, LEAST * first)
            moved = project(z - second * there)
            residual = jnp.max(jnp.abs(z - project(z - here)), initial=0.0)
            residual = jnp.where(jnp.isfinite(residual), residual, jnp.inf)
            better = residual < state.best_residual
            fell = residual < 0.9 * state.best_residual
            return ExtragradientState(
                z=jnp.where(short & jnp.all(jnp.isfinite(moved)), moved, z),
                residual=residual,
                best=jnp.where(better, z, state.best),
                best_residual=jnp.where(better, residual, state.best_residual),
                lipschitz=lipschitz,
                comonotone=comonotone,
                idle=jnp.where(fell, 0, state.idle + 1).astype(jnp.int32),
                total=state.total + 1,
            )

        def segment(state: ExtragradientState, inputs: Any) -> tuple[ExtragradientState, Any, jax.Array]:
            def going(carry: tuple) -> jax.Array:
                count, steps, state = carry
                return (count < steps) & (state.best_residual > self._tolerance(state.z.dtype))

            body = lambda carry: (carry[0] + 1, carry[1], advance(carry[2], inputs))  # noqa: E731
            *_, state = jax.lax.while_loop(going, body, (0, grown(state.total, full), state))
            x = problem.domain.unravel(state.best * scale.astype(state.z.dtype))
            return strong(state), x, problem.bind(inputs).evaluate(x).loss

        return jax.jit(segment)
