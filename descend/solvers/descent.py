"""First-order descent: any optax transformation, projected onto the domain."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from descend.domains import Domain
from descend.optimizers import norm_adam
from descend.problem import Problem
from descend.routes.route import Route
from descend.solvers.segments import steps_per_segment, strong
from descend.solvers.solver import Needs, Progress, Solver


class DescentState(NamedTuple):
    """The iterate and what steers it; vectors are in units of the domain's scale."""

    z: jax.Array
    optimizer: Any
    key: jax.Array
    step: jax.Array  # what updates are multiplied by; cut when progress stops
    best: jax.Array
    best_loss: jax.Array
    last_gradient: jax.Array
    level: jax.Array  # the lowest segment mean of the loss so far
    stalls: jax.Array
    cuts: jax.Array


@dataclass(frozen=True, repr=False)
class Descent(Solver):
    """Follow a gradient, or a route's estimate of one.

    Steps are taken in units of the domain's `scale` and projected onto its convex hull. When the mean loss of a segment
    has not improved for `patience` segments, steps are cut to a third and the iterate returns to the best point;
    after `cuts` cuts the solver is done. What a route blurs is cut together with the steps (`Route.narrowed`), so that
    a smoothed problem is sharpened on the way. A step from a point with a non-finite loss or gradient is not taken: the
    iterate returns to the best point with half the step.

    Args:
        learning_rate: of Adam, in units of the domain's scale.
        optimizer: a transformation to use instead of Adam (of `norm_adam` on a domain that is not a box);
            `learning_rate` is then ignored.
        patience: segments without progress before a cut.
        cuts: cuts before the solver is done.

    Source: Kingma & Ba (2015) for Adam; Polyak (1990) for the averaged iterate that is reported under noise.
    """

    learning_rate: float = 0.05
    optimizer: optax.GradientTransformation | None = None
    patience: int = 5
    cuts: int = 4
    NEEDS: ClassVar[Needs] = Needs(gradient=True, continuous=True, unconstrained=True)

    def init(self, problem: Problem, start: Any, key: jax.Array) -> DescentState:
        domain = problem.domain
        z = jnp.asarray(domain.ravel(start) / domain.scale)
        infinite, none = jnp.asarray(jnp.inf, z.dtype), jnp.zeros((), jnp.int32)
        return strong(
            DescentState(
                z,
                self._optimizer(problem).init(z),
                key,
                jnp.ones((), z.dtype),
                z,
                infinite,
                jnp.zeros_like(z),
                infinite,
                none,
                none,
            )
        )

    def restart(self, problem: Problem, state: DescentState) -> DescentState:
        """The state after the parameters of the problem's merit changed: stale values are forgotten."""
        infinite = jnp.full_like(state.best_loss, jnp.inf)
        return state._replace(best=state.z, best_loss=infinite, level=infinite, stalls=jnp.zeros_like(state.stalls))

    def step(self, problem: Problem, state: DescentState) -> tuple[DescentState, Progress]:
        segment, steps = problem.compiled(("descent", self), lambda: self._build(problem))
        state, x, loss, norm, agreement = segment(state, problem.inputs)
        done = int(state.cuts) > self.cuts
        signals = {"gradient norm": float(norm), "agreement": float(agreement), "step": float(state.step)}
        reason = "steps became too small" * done
        return state, Progress(x, float(loss), steps * units(problem), done, reason, done, signals)

    def _optimizer(self, problem: Problem) -> optax.GradientTransformation:
        if self.optimizer is not None:
            return self.optimizer
        return adam_for(problem.domain.relax(), self.learning_rate)

    def _build(self, problem: Problem) -> tuple[Any, int]:
        hull = problem.domain.relax()
        scale = jnp.asarray(problem.domain.scale)
        noisy = problem.random or problem.batch_size is not None
        optimizer = self._optimizer(problem)

        def point(z: jax.Array) -> Any:
            return hull.unravel(z * scale.astype(z.dtype))

        def advance(state: DescentState, inputs: Any) -> tuple[DescentState, tuple[Any, ...]]:
            bound = problem.bind(inputs)
            if isinstance(problem.route, Route):
                bound = bound.via(problem.route.narrowed(state.step))
            key, draw, rows = jax.random.split(state.key, 3)
            batch = minibatch(bound, rows)
            loss, gradient = jax.value_and_grad(lambda z: bound.evaluate(point(z), key=draw, batch=batch).loss)(state.z)
            finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient))
            gradient = jnp.where(finite, gradient, 0.0)
            better = finite & (loss < state.best_loss)
            best = jnp.where(better, state.z, state.best)
            updates, moments = optimizer.update(gradient, state.optimizer, state.z)
            moved = hull.ravel(hull.project(point(state.z + state.step * updates))) / scale.astype(state.z.dtype)
            keep = lambda new, old: jnp.where(finite, new, old)  # noqa: E731
            cosine = jnp.vdot(gradient, state.last_gradient) / jnp.maximum(
                jnp.linalg.norm(gradient) * jnp.linalg.norm(state.last_gradient), jnp.finfo(gradient.dtype).tiny
            )
            state = state._replace(
                z=keep(moved, best),
                optimizer=jax.tree.map(keep, moments, state.optimizer),
                key=key,
                step=keep(state.step, state.step / 2),
                best=best,
                best_loss=jnp.where(better, loss, state.best_loss),
                last_gradient=gradient,
            )
            return state, (loss, state.z, jnp.linalg.norm(gradient), cosine)

        steps = steps_per_segment(problem, units(problem))

        def segment(state: DescentState, inputs: Any) -> tuple[Any, ...]:
            def body(carry: tuple, _: None) -> tuple:
                state, mean = carry
                state, (loss, z, norm, cosine) = advance(state, inputs)
                return (state, mean + z / steps), (loss, norm, cosine)

            entered = state._replace(best_loss=jnp.full_like(state.best_loss, jnp.inf)) if noisy else state
            (state, mean), (loss, norm, cosine) = jax.lax.scan(body, (entered, jnp.zeros_like(state.z)), None, steps)
            level = jnp.where(jnp.isfinite(jnp.nanmean(loss)), jnp.nanmean(loss), jnp.inf)
            # Under noise a segment mean counts as progress only beyond its own standard error.
            margin = jnp.nanstd(loss) / jnp.sqrt(steps) if noisy else 1e-6 * jnp.abs(level)
            progress = level < state.level - margin
            stalls = jnp.where(progress, 0, state.stalls + 1)
            cut = stalls > self.patience
            state = state._replace(
                level=jnp.minimum(level, state.level),
                stalls=jnp.where(cut, 0, stalls),
                step=jnp.where(cut, state.step / 3, state.step),
                cuts=state.cuts + cut,
                z=jnp.where(cut & (not noisy), state.best, state.z),
            )
            reported = mean if noisy else state.best
            current = level if noisy else loss[-1]
            return state, hull.project(point(reported)), current, jnp.nanmean(norm), jnp.nanmean(cosine)

        return jax.jit(segment), steps


def adam_for(hull: Domain, learning_rate: float) -> optax.GradientTransformation:
    """Adam on a box, where projection acts on each coordinate alone; on other sets the form that projection allows."""
    return optax.adam(learning_rate) if hull.box is not None else norm_adam(learning_rate)


def minibatch(problem: Problem, key: jax.Array) -> Any:
    """`batch_size` random rows of the data, or None for all of them."""
    if problem.batch_size is None or problem.batch_size >= problem.rows:
        return None
    rows = jax.random.randint(key, (problem.batch_size,), 0, problem.rows)
    return jax.tree.map(lambda a: a[rows], problem.data)


def units(problem: Problem) -> int:
    """What one value with its gradient costs, in units of one value."""
    needs = getattr(problem.route, "NEEDS", None)
    return 3 if needs is None else needs.units(problem.route, problem.domain.size)
