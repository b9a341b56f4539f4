"""From a point that nearly satisfies the constraints to the nearest one that does."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.problem import Problem

NEAR = 1.0  # the scaled violation up to which a point is worth a repair
STEPS = 8
MOST = 256  # constraint values
ENTRIES = 1 << 20  # of their Jacobian


def repairable(problem: Problem) -> bool:
    """Whether a repair can be tried: constraints with a Jacobian of moderate size, over continuous variables."""
    if not problem.subject_to or problem.black_box or problem.random or problem.domain.discrete:
        return False
    count = _count(problem)
    return count <= MOST and count * problem.domain.size <= ENTRIES


def repair(problem: Problem, x: Any) -> tuple[Any, int]:
    """Gauss-Newton steps of least length on the scaled residuals, each projected onto the domain, the best point kept.

    Returns:
        A member of the domain, NumPy float64, and what it cost in units of one value.
    """
    program = problem.compiled("repair", lambda: jax.jit(lambda *a: _steps(problem, *a)))
    vector = np.asarray(problem.domain.ravel(x), np.float64)
    found, steps = program(vector, problem.inputs)
    cost = int(steps) * (1 + 3 * min(_count(problem), problem.domain.size))
    found = np.asarray(found, np.float64)
    return problem.domain.round(problem.domain.unravel(found if np.isfinite(found).all() else vector)), cost


def _count(problem: Problem) -> int:
    """How many constraint values there are."""

    def build() -> int:
        x = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float)), problem.domain.start())
        values = jax.eval_shape(lambda x: problem.evaluate(x).constraints, x)
        return sum(
            int(np.prod(np.broadcast_shapes(v.shape, c.lower.shape, c.upper.shape), dtype=int))
            for c, v in zip(problem.subject_to, values, strict=True)
        )

    return problem.compiled("constraint values", build)


def _steps(problem: Problem, vector: jax.Array, inputs: Any) -> tuple[jax.Array, jax.Array]:
    bound, domain = problem.bind(inputs), problem.domain
    vector = jnp.asarray(vector, jnp.result_type(float))
    scale = jnp.asarray(domain.scale, vector.dtype)

    def residual(vector: jax.Array) -> jax.Array:
        values = bound.evaluate(domain.unravel(vector)).constraints
        each = [jnp.ravel(c.residual(v)) for c, v in zip(problem.subject_to, values, strict=True)]
        return jnp.concatenate(each).astype(vector.dtype)

    def step(carry: tuple) -> tuple:
        count, vector, left, best, least = carry
        rows = jax.jacrev(residual)(vector) * scale[None]
        gram = rows @ rows.T
        ridge = 1e-12 * jnp.trace(gram) + jnp.finfo(vector.dtype).tiny
        move = rows.T @ jnp.linalg.solve(gram + ridge * jnp.eye(len(gram), dtype=gram.dtype), left)
        vector = domain.ravel(domain.project(domain.unravel(vector - scale * move)))
        left = residual(vector)
        size = jnp.max(jnp.abs(left))
        lower = size < least
        return count + 1, vector, left, jnp.where(lower, vector, best), jnp.where(lower, size, least)

    def going(carry: tuple) -> jax.Array:
        count, _, left, _, _ = carry
        return (
            (count < STEPS) & (jnp.max(jnp.abs(left)) > 8 * jnp.finfo(vector.dtype).eps) & jnp.all(jnp.isfinite(left))
        )

    left = residual(vector)
    first = (jnp.zeros((), jnp.int32), vector, left, vector, jnp.max(jnp.abs(left)))
    count, _, _, best, _ = jax.lax.while_loop(going, step, first)
    return best, count
