"""What solvers of min-max problems share: the operator whose zeros are saddles, and how it behaves."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.problem import Problem


def signs(problem: Problem) -> np.ndarray:
    """+1 for the numbers that minimize and -1 for those of the adversary, in the order of the domain's ravel."""
    domain = problem.domain
    return np.concatenate(
        [
            np.full(part.size, -1.0 if name in problem.adversary else 1.0)
            for name, part in zip(domain.names, domain.parts, strict=True)
        ]
    )


def operator(problem: Problem, inputs: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """The gradient of the loss with the adversary's part negated, and the projection onto the domain.

    Both take and give flat vectors in units of the domain's scale. A saddle is where project(z - operator(z)) is z.
    """
    bound, domain = problem.bind(inputs), problem.domain
    scale, side = jnp.asarray(domain.scale), jnp.asarray(signs(problem))

    def play(z: Any) -> Any:
        loss = lambda z: bound.evaluate(domain.unravel(z * scale.astype(z.dtype))).loss.astype(z.dtype)  # noqa: E731
        return jax.grad(loss)(z) * side.astype(z.dtype)

    def project(z: Any) -> Any:
        unit = scale.astype(z.dtype)
        return domain.ravel(domain.project(domain.unravel(z * unit))) / unit

    return play, project


def residual(problem: Problem, x: Any) -> float:
    """max|z - project(z - operator(z))| at a point, in units of the domain's scale: zero at a saddle.

    Infinite where it is not finite.
    """

    def build() -> Any:
        def natural(z: jax.Array, inputs: Any) -> jax.Array:
            play, project = operator(problem, inputs)
            return jnp.max(jnp.abs(z - project(z - play(z))), initial=0.0)

        return jax.jit(natural)

    z = np.asarray(problem.domain.ravel(x), np.float64) / problem.domain.scale
    program = problem.compiled("saddle residual", build)
    found = float(program(jnp.asarray(z, jnp.result_type(float)), problem.inputs))
    return np.inf if np.isnan(found) else found


def behavior(move: Any, change: Any) -> tuple[Any, Any]:
    """The Lipschitz constant L and the comonotonicity rho that a pair of points shows of an operator.

    Args:
        move: between the points, shape (n,).
        change: of the operator.

    Returns:
        L = |change| / |move|, and rho = max(0, -<change, move> / |change|^2): zero for a monotone operator, as that of
        a convex-concave problem is.
    """
    size, tiny = jnp.sum(change**2), jnp.finfo(move.dtype).tiny
    length = jnp.sqrt(size / jnp.maximum(jnp.sum(move**2), tiny))
    return length, jnp.maximum(0.0, -jnp.sum(change * move) / jnp.maximum(size, tiny))
