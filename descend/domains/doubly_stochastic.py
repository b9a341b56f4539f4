"""Euclidean projection onto the doubly stochastic matrices.

The dual of projecting X: find row and column numbers a, b such that max(Z, 0), with Z = X - a - b, sums to one in
every row and column. Newton's method finds them. Z itself is the state, so that rounding is relative to the entries
that matter and not to X.

Source: Li, Sun and Toh, "On the efficient computation of a projector over the Birkhoff polytope" (2020), for the dual
and its Newton system; the passage through scales is our own.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.domains.domain import jitted_in_jax


@jitted_in_jax
def doubly_stochastic(x: Any) -> Any:
    """The nearest doubly stochastic matrix to x, of shape (n, n): see `Birkhoff.project`."""
    xp = numerics.namespace(x)
    large = math.sqrt(float(jnp.finfo(x.dtype).max))
    z = _centered(xp.clip(x, -large, large))
    fixed = (lambda a: a) if xp is np else jax.lax.stop_gradient
    loop = _loop if xp is np else jax.lax.while_loop
    shrink = xp.maximum(1.0, xp.max(abs(fixed(z))) / (1e9 if jnp.finfo(x.dtype).bits >= 64 else 1e4))
    z = z / shrink
    state = loop(_unfinished, _newton, _first(fixed(z)))
    # The last step is written so that its derivative is the projection's: Z moves with x, the duals by the linear
    # system of the free entries.
    z = state[0] + (z - fixed(z))
    free = (fixed(z) > 0).astype(x.dtype)
    excess = _sums(free * z) - 1
    return xp.maximum(free * (z - _outer(xp.linalg.solve(_curvature(free, _ridge(x.dtype)), excess))), 0.0)


def _centered(x: Any) -> Any:
    """The nearest matrix with unit row and column sums: it has the same projection."""
    xp = numerics.namespace(x)
    return x - xp.mean(x, axis=1, keepdims=True) - xp.mean(x, axis=0, keepdims=True) + xp.mean(x) + 1 / x.shape[0]


def _sums(y: Any) -> Any:
    xp = numerics.namespace(y)
    return xp.concatenate([xp.sum(y, axis=1), xp.sum(y, axis=0)])


def _outer(d: Any) -> Any:
    n = d.shape[0] // 2
    return d[:n, None] + d[None, n:]


def _curvature(free: Any, ridge: Any) -> Any:
    """The generalized Hessian of the dual; it is singular along the directions that do not move free entries."""
    xp = numerics.namespace(free)
    rows, columns = xp.diag(xp.sum(free, axis=1)), xp.diag(xp.sum(free, axis=0))
    eye = xp.eye(2 * free.shape[0], dtype=free.dtype)
    return xp.concatenate([xp.concatenate([rows, free], 1), xp.concatenate([free.T, columns], 1)]) + ridge * eye


def _ridge(dtype: Any) -> float:
    return float(jnp.finfo(dtype).eps) ** 0.75


def _first(z: Any) -> tuple[Any, Any, Any, Any]:
    """The state (Z, scale, error, steps): Z solves the problem of X / scale, the scale halves its way down to one."""
    xp = numerics.namespace(z)
    scale = 8.0 ** xp.ceil(xp.log(xp.maximum(1.0, xp.max(abs(z)) / 10)) / math.log(8))
    z = z / scale
    return z, scale, _error(z), xp.zeros((), np.int32)


def _error(z: Any) -> Any:
    xp = numerics.namespace(z)
    return xp.max(abs(_sums(xp.maximum(z, 0.0)) - 1))


def _unfinished(state: tuple[Any, Any, Any, Any]) -> Any:
    z, scale, error, steps = state
    enough = 100 * float(jnp.finfo(z.dtype).eps) * z.shape[0]
    return ((scale > 1) | (error > enough)) & (steps < 500) & (error < np.inf)


def _newton(state: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
    """One damped Newton step, or once nearly solved at this scale, the passage to the next."""
    z, scale, error, steps = state
    xp = numerics.namespace(z)
    onward = (scale > 1) & (error < 0.1)
    z, scale = xp.where(onward, 8 * z, z), xp.where(onward, scale / 8, scale)
    y = xp.maximum(z, 0.0)
    excess = _sums(y) - 1
    ridge = xp.minimum(1e-3, 1e-2 * xp.max(abs(excess))) + _ridge(z.dtype)
    d = xp.linalg.solve(_curvature((z > 0).astype(z.dtype), ridge), excess)
    # Along d the dual is convex: of the step lengths 1, 1/2, ... the longest that does not climb again.
    t = xp.asarray(0.5 ** np.arange(12), z.dtype)[:, None, None]
    ahead = xp.maximum(z[None] - t * _outer(d)[None], 0.0)
    slope = xp.sum(d) - xp.sum(ahead * _outer(d)[None], axis=(1, 2))
    height = xp.sum(ahead**2, axis=(1, 2)) / 2 + t[:, 0, 0] * xp.sum(d)
    noise = 10 * float(jnp.finfo(z.dtype).eps) * (1 + xp.sum(y**2))
    fine = (slope <= 0.1 * abs(xp.sum(d * excess))) & (height <= xp.sum(y**2) / 2 + noise)
    z = z - xp.where(xp.any(fine), t[xp.argmax(fine), 0, 0], t[-1, 0, 0]) * _outer(d)
    return z, scale, _error(z), steps + 1


def _loop(going: Callable[[Any], Any], step: Callable[[Any], Any], state: Any) -> Any:
    while going(state):
        state = step(state)
    return state
