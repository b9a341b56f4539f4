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
from descend.solvers.segments import grown, steps_per_segment, strong
from descend.solvers.solver import Needs, Progress, Solver


class Window(NamedTuple):
    """Running means over the steps since the last judgement."""

    steps: jax.Array
    known: jax.Array  # how many of their losses were finite
    loss: jax.Array  # the mean of these
    spread: jax.Array  # the sum of squared deviations from it
    z: jax.Array  # the mean iterate


class DescentState(NamedTuple):
    """The iterate and what steers it; vectors are in units of the domain's scale."""

    z: jax.Array
    optimizer: Any
    key: jax.Array
    step: jax.Array  # what updates are multiplied by; cut when progress stops
    best: jax.Array
    best_loss: jax.Array
    last_gradient: jax.Array
    window: Window
    average: jax.Array  # the mean iterate of the last whole window
    level: jax.Array  # the lowest mean loss of a window so far
    stalls: jax.Array
    cuts: jax.Array
    steps: jax.Array  # since the last restart
    total: jax.Array


@dataclass(frozen=True, repr=False)
class Descent(Solver):
    """Follow a gradient, or a route's estimate of one.

    Steps are taken in units of the domain's `scale` and projected onto its convex hull. Progress is judged once in
    `window` steps: when the mean loss has not improved for `patience` windows, steps are cut to a third and the iterate
    returns to the best point; after `cuts` cuts the solver is done. What a route blurs is cut together with the steps
    (`Route.narrowed`), so that a smoothed problem is sharpened on the way. A step from a point with a non-finite loss
    or gradient is not taken: the iterate returns to the best point with half the step.

    Args:
        learning_rate: of Adam, in units of the domain's scale.
        optimizer: a transformation to use instead of Adam (of `norm_adam` on a domain that is not a box);
            `learning_rate` is then ignored.
        window: steps between two judgements.
        patience: windows without progress before a cut.
        cuts: cuts before the solver is done.

    Source: Kingma & Ba (2015) for Adam; Polyak (1990) for the averaged iterate that is reported under noise.
    """

    learning_rate: float = 0.05
    optimizer: optax.GradientTransformation | None = None
    window: int = 128
    patience: int = 5
    cuts: int = 4
    NEEDS: ClassVar[Needs] = Needs(gradient=True, continuous=True, unconstrained=True)

    def init(self, problem: Problem, start: Any, key: jax.Array) -> DescentState:
        domain = problem.domain
        z = jnp.asarray(domain.ravel(start) / domain.scale)
        infinite, none = jnp.asarray(jnp.inf, z.dtype), jnp.zeros((), jnp.int32)
        return strong(
            DescentState(
                z=z,
                optimizer=self._optimizer(problem).init(z),
                key=key,
                step=jnp.ones((), z.dtype),
                best=z,
                best_loss=infinite,
                last_gradient=jnp.zeros_like(z),
                window=_empty(z),
                average=z,
                level=infinite,
                stalls=none,
                cuts=none,
                steps=none,
                total=none,
            )
        )

    def restart(self, problem: Problem, state: DescentState) -> DescentState:
        """The state after the parameters of the problem's merit changed: stale values are forgotten."""
        infinite, none = jnp.full_like(state.best_loss, jnp.inf), jnp.zeros_like(state.stalls)
        return state._replace(
            best=state.z, best_loss=infinite, level=infinite, window=_empty(state.z), stalls=none, steps=none
        )

    def step(self, problem: Problem, state: DescentState) -> tuple[DescentState, Progress]:
        segment = problem.compiled(("descent", self), lambda: self._build(problem))
        before = int(state.total)
        state, x, loss, norm, agreement = segment(state, problem.inputs)
        done = int(state.cuts) > self.cuts
        signals = {"gradient norm": float(norm), "agreement": float(agreement), "step": float(state.step)}
        reason = "steps became too small" * done
        spent = (int(state.total) - before) * units(problem)
        return state, Progress(x, float(loss), spent, done, reason, done, signals)

    def _optimizer(self, problem: Problem) -> optax.GradientTransformation:
        if self.optimizer is not None:
            return self.optimizer
        return adam_for(problem.domain.relax(), self.learning_rate)

    def _build(self, problem: Problem) -> Any:
        hull, scale = problem.domain.relax(), jnp.asarray(problem.domain.scale)
        noisy = problem.random or problem.batch_size is not None
        optimizer = self._optimizer(problem)
        full = steps_per_segment(problem, units(problem))

        def point(z: jax.Array) -> Any:
            return hull.unravel(z * scale.astype(z.dtype))

        def advance(state: DescentState, inputs: Any) -> tuple[DescentState, jax.Array, jax.Array]:
            bound = problem.bind(inputs)
            if isinstance(problem.route, Route):
                bound = bound.via(problem.route.narrowed(state.step))
            key, draw, rows = jax.random.split(state.key, 3)
            batch = minibatch(bound, rows)
            loss, gradient = jax.value_and_grad(lambda z: bound.evaluate(point(z), key=draw, batch=batch).loss)(state.z)
            loss = loss.astype(state.z.dtype)
            finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient))
            gradient = jnp.where(finite, gradient, 0.0)
            better = finite & (loss < state.best_loss)
            best = jnp.where(better, state.z, state.best)
            updates, moments = optimizer.update(gradient, state.optimizer, state.z)
            moved = hull.ravel(hull.project(point(state.z + state.step * jnp.asarray(updates)))) / scale.astype(
                state.z.dtype
            )
            keep = lambda new, old: jnp.where(finite, new, old)  # noqa: E731
            state = state._replace(
                z=keep(moved, best),
                optimizer=jax.tree.map(keep, moments, state.optimizer),
                key=key,
                step=keep(state.step, state.step / 2),
                best=best,
                best_loss=jnp.where(better, loss, state.best_loss),
                last_gradient=gradient,
                window=_seen(state.window, loss, state.z),
                steps=state.steps + 1,
                total=state.total + 1,
            )
            return state, loss, gradient

        def judge(state: DescentState) -> DescentState:
            """What follows from a whole window."""
            seen = state.window
            level = jnp.where(seen.known > 0, seen.loss, jnp.inf)
            # Under noise a mean counts as progress only beyond its own standard error.
            error = jnp.sqrt(seen.spread) / jnp.maximum(seen.known, 1) if noisy else 1e-6 * jnp.abs(level)
            stalls = jnp.where(level < state.level - error, 0, state.stalls + 1)
            cut = stalls > self.patience
            best_loss = jnp.full_like(state.best_loss, jnp.inf) if noisy else state.best_loss
            return state._replace(
                z=jnp.where(cut & (not noisy), state.best, state.z),
                step=jnp.where(cut, state.step / 3, state.step),
                best_loss=best_loss,
                window=_empty(state.z),
                average=seen.z,
                level=jnp.minimum(level, state.level),
                stalls=jnp.where(cut, 0, stalls),
                cuts=state.cuts + cut,
            )

        def segment(state: DescentState, inputs: Any) -> tuple[Any, ...]:
            def body(_: Any, carry: tuple) -> tuple:
                state, _, norms, cosines = carry
                last = state.last_gradient
                state, loss, gradient = advance(state, inputs)
                size, tiny = jnp.linalg.norm(gradient), jnp.finfo(gradient.dtype).tiny
                cosine = jnp.vdot(gradient, last) / jnp.maximum(size * jnp.linalg.norm(last), tiny)
                whole = state.window.steps >= self.window
                state = jax.tree.map(lambda new, old: jnp.where(whole, new, old), judge(state), state)
                return state, loss, norms + size, cosines + cosine

            steps = grown(state.total, full)
            zero = jnp.zeros((), state.z.dtype)
            state, loss, norms, cosines = jax.lax.fori_loop(0, steps, body, (state, zero, zero, zero))
            reported = jnp.where(state.steps < self.window, state.window.z, state.average) if noisy else state.best
            current = jnp.where(state.window.steps > 0, state.window.loss, state.level) if noisy else loss
            return strong(state), hull.project(point(reported)), current, norms / steps, cosines / steps

        return jax.jit(segment)


def _empty(z: jax.Array) -> Window:
    none, zero = jnp.zeros((), jnp.int32), jnp.zeros((), z.dtype)
    return Window(none, none, zero, zero, jnp.zeros_like(z))


def _seen(window: Window, loss: jax.Array, z: jax.Array) -> Window:
    """The means after one more step (Welford's recurrence)."""
    finite = jnp.isfinite(loss)
    steps, known = window.steps + 1, window.known + finite
    apart = jnp.where(finite, loss - window.loss, 0.0)
    mean = window.loss + apart / jnp.maximum(known, 1)
    spread = window.spread + apart * jnp.where(finite, loss - mean, 0.0)
    return Window(steps, known, mean, spread, window.z + (z - window.z) / steps)


def adam_for(hull: Domain, learning_rate: float) -> optax.GradientTransformation:
    """Adam on a box, where projection acts on each coordinate alone; on other sets the form that projection allows."""
    return optax.adam(learning_rate) if hull.box is not None else norm_adam(learning_rate)


def minibatch(problem: Problem, key: jax.Array) -> Any:
    """`batch_size` random rows of the data, or None for all of them."""
    if problem.batch_size is None or problem.batch_size >= problem.rows:
        return None
    rows = jax.random.randint(key, (problem.batch_size,), 0, problem.rows)
    return jax.tree.map(lambda a: jnp.asarray(a)[rows], problem.data)


def units(problem: Problem) -> int:
    """What one value with its gradient costs, in units of one value."""
    needs = getattr(problem.route, "NEEDS", None)
    return 3 if needs is None else needs.units(problem.route, problem.domain.size)
