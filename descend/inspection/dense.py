"""A small problem as dense functions of one vector: loss, inequalities c <= 0, equalities e = 0, all derivatives."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.problem import Problem

MOST = 400  # variables


class Dense:
    """A traceable problem over a box, in units of the domain's scale; bounds are among the inequalities too.

    Args:
        problem: to be looked at.

    Attributes:
        start: where a search begins, shape (n,).
        lower, upper: bounds, shape (n,).
        bounded_only: whether bounds are all the conditions there are.
        equalities: how many.

    Raises:
        ValueError: saying what is not supported.
    """

    def __init__(self, problem: Problem):
        domain = problem.domain
        if problem.black_box or problem.random or domain.discrete or domain.box is None or problem.adversary:
            raise ValueError("handling is compared for traceable, deterministic problems over real numbers with bounds")
        if domain.size > MOST:
            raise ValueError(f"handling is compared for at most {MOST} variables, got {domain.size}")
        scale = np.asarray(domain.scale)
        self.lower, self.upper = (bound / scale for bound in domain.box)
        self.start = np.asarray(domain.ravel(domain.start()), np.float64) / scale
        self.bounded_only = not problem.subject_to
        plain = problem if problem.route is None else problem.via(None)
        low, high = np.isfinite(self.lower), np.isfinite(self.upper)

        def both(u: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            loss, constraints, *_ = plain.evaluate(domain.unravel(u * scale.astype(u.dtype)))
            lower, upper = jnp.asarray(self.lower, u.dtype), jnp.asarray(self.upper, u.dtype)
            over: list[Any] = [(lower - u)[low], (u - upper)[high]]
            equal = [jnp.zeros(0, u.dtype)]
            for stated, value in zip(problem.subject_to, constraints, strict=True):
                shape = np.broadcast_shapes(stated.lower.shape, stated.upper.shape, stated.scale.shape, value.shape)
                flat = jnp.ravel(jnp.broadcast_to(value, shape))
                under, above, unit = (
                    np.broadcast_to(a, shape).ravel() for a in (stated.lower, stated.upper, stated.scale)
                )
                fixed = under == above
                equal.append(((flat - above) / unit)[fixed])
                over.append(((under - flat) / unit)[~fixed & np.isfinite(under)])
                over.append(((flat - above) / unit)[~fixed & np.isfinite(above)])
            return loss.astype(u.dtype), jnp.concatenate(over), jnp.concatenate(equal)

        self._both = both
        self.loss: Callable[[Any], Any] = lambda u: both(u)[0]
        self.conditions: Callable[[Any], tuple[Any, Any]] = lambda u: both(u)[1:]
        self.hessian = _host(jax.hessian(self.loss))
        self.values = _host(both)
        self.slopes = _host(jax.jacrev(both))
        self.equalities = len(self.values(self.start)[2])

    def violation(self, u: np.ndarray) -> float:
        """The largest violation, in units of the constraints' scales."""
        _, over, equal = self.values(u)
        return float(max(np.max(over, initial=0.0), np.max(abs(equal), initial=0.0)))

    def curvature(self, function: Callable[[Any], Any]) -> Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]:
        """Value, gradient and Hessian of another function of the same vector."""
        value, slope, curve = jax.jit(function), jax.jit(jax.grad(function)), jax.jit(jax.hessian(function))
        return lambda u: tuple(np.asarray(program(jnp.asarray(u)), np.float64) for program in (value, slope, curve))  # type: ignore[return-value]

    def multiplied(self, weights: np.ndarray, shares: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """The Hessian of the Lagrangian with these multipliers of inequalities and equalities."""

        def lagrangian(u: Any, weights: Any, shares: Any) -> Any:
            loss, over, equal = self._both(u)
            return loss + jnp.vdot(weights, over) + jnp.vdot(shares, equal)

        if not hasattr(self, "_lagrangian"):
            self._lagrangian = _host(jax.hessian(lagrangian))
        return lambda u: self._lagrangian(u, weights, shares)


def _host(function: Callable[..., Any]) -> Callable[..., Any]:
    program = jax.jit(function)
    return lambda *args: jax.tree.map(
        lambda a: np.asarray(a, np.float64), program(*[jnp.asarray(a, jnp.result_type(float)) for a in args])
    )


def condition(matrix: np.ndarray) -> float:
    """The largest over the smallest |eigenvalue|; infinite for a singular matrix, 1 for an empty one."""
    if not matrix.size:
        return 1.0
    if not np.isfinite(matrix).all():
        return np.inf
    sizes = abs(np.linalg.eigvalsh((matrix + matrix.T) / 2))
    return float(sizes.max() / sizes.min()) if sizes.min() > 1e-13 * sizes.max() else np.inf
