"""One direction for several objectives, along which none of them rises to first order."""

from typing import Any

import jax
import jax.numpy as jnp

ITERATIONS = 40  # of an interior point method that needs about fifteen in float64


def upgrad(jacobian: Any, weights: Any = None, *, ridge: float | None = None) -> Any:
    """Aggregates the gradients of several objectives into one that conflicts with none of them (UPGrad).

    Each gradient is projected onto the cone of directions whose product with no gradient is negative, and the
    projections are averaged. Minus the result lowers, or at least does not raise, every objective to first order; it is
    zero only where a combination of the gradients with nonnegative weights is.

    Args:
        jacobian: a pytree of arrays with a leading axis of length m: the gradients of the objectives, stacked.
        weights: of the projections, shape (m,), positive (default: 1 / m each).
        ridge: see `combine`.

    Returns:
        A pytree like one gradient. Its derivative is that of the unrolled solution, in both modes.

    Source: Quinton and Rey, "Jacobian descent for multi-objective optimization", arXiv:2406.16232.
    """
    leaves = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(jacobian)]
    gramian = sum(leaf @ leaf.T for leaf in leaves)
    shares = combine(gramian, weights, ridge=ridge)
    return jax.tree.map(lambda leaf: jnp.tensordot(shares.astype(leaf.dtype), leaf, 1), jacobian)


def combine(gramian: Any, weights: Any = None, *, ridge: float | None = None) -> jax.Array:
    """What each gradient counts in `upgrad`, from their inner products alone.

    Args:
        gramian: J J', shape (m, m).
        weights: shape (m,), positive (default: 1 / m each).
        ridge: added to the diagonal of the Gramian once its trace is scaled to one (default: 1e-10 in float64, 1e-6 in
            float32). Directions may conflict by as much. The reference implementation uses 1e-4.

    Returns:
        Nonnegative numbers of shape (m,), by which J is multiplied from the left.

    Each of m small quadratic programs, min v' G v subject to v >= w_i e_i, is solved by a primal-dual interior point
    method: time m^4.
    """
    gramian = jnp.asarray(gramian)
    count = gramian.shape[0]
    weights = jnp.full(count, 1 / count, gramian.dtype) if weights is None else jnp.asarray(weights, gramian.dtype)
    ridge = (1e-10 if jnp.finfo(gramian.dtype).bits >= 64 else 1e-6) if ridge is None else ridge
    trace = jnp.trace(gramian)
    eye = jnp.eye(count, dtype=gramian.dtype)
    scaled = gramian / jnp.where(trace > 0, trace, 1.0) + ridge * eye
    return weights @ (eye + jax.vmap(_complementary, (None, 0))(scaled, scaled))


@jax.jit
def _complementary(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    """The s >= 0 that minimizes s' matrix s / 2 + vector' s, by Mehrotra's predictor-corrector method."""
    size = jnp.max(jnp.abs(vector))
    size = jnp.where(size > 0, size, 1.0)
    vector = vector / size
    tiny = jnp.finfo(matrix.dtype).tiny

    def longest(x: jax.Array, dx: jax.Array) -> jax.Array:
        return jnp.minimum(1.0, jnp.min(jnp.where(dx < 0, -x / jnp.where(dx < 0, dx, -1.0), jnp.inf)))

    def step(_: Any, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        s, w = carry
        rest, gap = matrix @ s + vector - w, jnp.mean(s * w)
        inside = matrix + jnp.diag(w / s)

        def move(target: jax.Array) -> tuple[jax.Array, jax.Array]:
            ds = jnp.linalg.solve(inside, target / s - rest)
            return ds, (target - w * ds) / s

        ds, dw = move(-s * w)
        ahead = jnp.mean((s + longest(s, ds) * ds) * (w + longest(w, dw) * dw))
        ds, dw = move(-s * w - ds * dw + (ahead / jnp.maximum(gap, tiny)) ** 3 * gap)
        length = 0.995 * jnp.minimum(longest(s, ds), longest(w, dw))
        good = jnp.all(jnp.isfinite(ds)) & jnp.all(jnp.isfinite(dw))
        floor = jnp.sqrt(tiny)
        new = jnp.maximum(s + length * ds, floor), jnp.maximum(w + length * dw, floor)
        return jax.tree.map(lambda a, b: jnp.where(good, a, b), new, (s, w))

    one = jnp.ones_like(vector)
    s, w = jax.lax.fori_loop(0, ITERATIONS, step, (one, one))
    # The numbers that vanish are known by now; the others solve a linear system.
    free = s > w
    inside = jnp.where(free[:, None] & free[None], matrix, jnp.eye(len(vector), dtype=matrix.dtype))
    exact = jnp.linalg.solve(inside, jnp.where(free, -vector, 0.0))
    slope = matrix @ exact + vector
    good = jnp.all(exact >= 0) & jnp.all(free | (slope >= -1e3 * jnp.finfo(matrix.dtype).eps))
    return size * jnp.where(good, exact, s)
