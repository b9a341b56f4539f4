"""The gradient of a chaotic iteration, through the steps that can still be told apart."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from descend.routes.point import Point
from descend.routes.rewrite import Scan, along_scans, floats
from descend.routes.route import Needs, Route, integer
from descend.routes.widths import positive


def window(
    f: Callable[..., Any] | None = None,
    /,
    *,
    steps: int | None = None,
    growth: float = 100.0,
    clip: float | None = None,
) -> Callable[..., Any]:
    """f, differentiated through at most a window of steps of its scans: truncated backpropagation.

    In an iteration with a positive Lyapunov exponent l, derivatives grow as e^(l t) and soon say nothing of the mean
    slope. Here the state is cut off from its past every `steps` steps, so that a step's effect is followed to the end
    of its window only. Parameters are still seen at every step. The estimate is biased where effects last longer, and
    bounded where the plain gradient explodes.

    Without `steps`, l is measured along the iteration where the derivative is asked for, by one direction carried along
    (at the cost of one more forward pass): the window is log(growth) / l, and a scan whose derivatives grow by less
    than `growth` over its whole length is not cut at all, so that its gradient is exact.

    The scans of f are treated at their outermost level, also inside `jit`; `Unroll` states one from its step.

    Args:
        f: the function (see `Route.__call__`), traceable. Without f, gives the route itself: a decorator.
        steps: length of a window. Default: by the Lyapunov exponent.
        growth: by how much a derivative may grow within a window, where the exponent decides.
        clip: the most by which a single step may stretch the measured direction: the derivative through the state is
            scaled down where it does more. Unlike clipping a gradient, this keeps the estimate linear, so that forward
            and reverse mode agree.

    Returns:
        g with `g(x) == f(x)`, or the route if f is not given.

    Raises:
        ValueError: if steps, clip is not positive, or growth not above 1.

    Source:
        Metz et al., "Gradients are not all you need", arXiv:2111.05803; the exponent by Benettin et al. (1980).
    """
    route = Window(steps, growth, clip)
    return route if f is None else route(f)


@dataclass(frozen=True, repr=False)
class Window(Route):
    """The settings of `window`."""

    steps: int | None = None
    growth: float = 100.0
    clip: float | None = None

    GIVES: ClassVar[str] = "biased"
    NEEDS: ClassVar[Needs] = Needs(traceable=True, random=False, units=lambda route, n: 5)

    def __post_init__(self) -> None:
        if self.steps is not None:
            integer("steps", self.steps)
        if self.clip is not None:
            positive("clip", self.clip)
        if not (isinstance(self.growth, Real) and self.growth > 1):
            raise ValueError(f"growth must be above 1, got {self.growth!r}")

    def parts(self, point: Point) -> list[tuple[Any, ...] | None]:
        return [self.tangent(point)]

    def tangent(self, point: Point) -> tuple[Any, ...]:
        return along_scans(point, self._scanned)

    def _scanned(self, scan: Scan) -> tuple[Any, Any]:
        if not floats(scan.carry):
            return jax.lax.scan(scan.body, scan.carry, scan.rows, length=scan.length)
        turns, dtype = jnp.arange(scan.length), jnp.result_type(*floats(scan.carry))
        factors = jnp.ones(scan.length, dtype)
        length: Any = self.steps
        if self.steps is None or self.clip is not None:
            stretches = jax.lax.stop_gradient(growths(scan))
            if self.steps is None:
                exponent = jnp.mean(stretches[scan.length // 10 :])
                length = jnp.floor(jnp.log(self.growth) / jnp.maximum(exponent, 1e-9))
                length = jnp.where(exponent * scan.length > jnp.log(self.growth), jnp.clip(length, 1, scan.length), 0)
            if self.clip is not None:
                factors = jnp.minimum(1, self.clip * jnp.exp(-stretches))
        cut = (length > 0) & (turns % jnp.maximum(length, 1) == 0) & (turns > 0)
        factors = jnp.where(cut, 0, factors).astype(dtype)

        def body(carry: Any, row: Any) -> tuple[Any, Any]:
            factor, row = row
            damped = lambda c: _damped(factor, c) if jnp.issubdtype(c.dtype, jnp.inexact) else c  # noqa: E731
            return scan.body(jax.tree.map(damped, carry), row)

        return jax.lax.scan(body, scan.carry, (factors, scan.rows), length=scan.length)


def growths(scan: Scan) -> Any:
    """The log of how much each step stretches a direction that is carried along. Its mean is the Lyapunov exponent.

    Cost: one forward pass with a tangent.
    """
    which = [i for i, c in enumerate(scan.carry) if jnp.issubdtype(c.dtype, jnp.inexact)]
    keys = jax.random.split(jax.random.key(0), len(which))
    start = [jax.random.normal(k, scan.carry[i].shape, scan.carry[i].dtype) for k, i in zip(keys, which, strict=True)]

    def body(joint: Any, row: Any) -> Any:
        carry, direction = joint

        def moved(*values: Any) -> Any:
            whole = list(carry)
            for i, value in zip(which, values, strict=True):
                whole[i] = value
            return [scan.body(tuple(whole), row)[0][i] for i in which]

        after = scan.body(carry, row)[0]
        pushed = jax.jvp(moved, tuple(carry[i] for i in which), tuple(direction))[1]
        norm = _norm(pushed)
        # A direction that dies, or is lost in an overflow, starts again.
        fine = (norm > 0) & jnp.isfinite(norm)
        direction = [
            jnp.where(fine, p / jnp.where(fine, norm, 1).astype(p.dtype), s) for p, s in zip(pushed, first, strict=True)
        ]
        return (after, direction), jnp.where(fine, jnp.log(jnp.where(fine, norm, 1)), 0.0)

    scale = _norm(start)
    first = [s / scale.astype(s.dtype) for s in start]
    return jax.lax.scan(body, (scan.carry, first), scan.rows, length=scan.length)[1]


def _norm(parts: list[Any]) -> Any:
    return jnp.sqrt(sum(jnp.sum(jnp.abs(p) ** 2) for p in parts))


@jax.custom_jvp
def _damped(factor: Any, value: Any) -> Any:
    """The value, with its derivative times a factor."""
    return value


_damped.defjvp(lambda primals, tangents: (primals[1], primals[0].astype(tangents[1].dtype) * tangents[1]))
