"""Gauss-Newton steps from batches, with the damping of Levenberg and Marquardt."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

GOOD, POOR = 0.75, 0.25  # actual over predicted decrease: above, the damping falls; below, it rises
FALLS, RISES = 1 / 3, 2.0
LEAST, MOST = 1e-12, 1e12  # damping


class GaussNewtonState(NamedTuple):
    """The damping of the next step."""

    damping: jax.Array


def gauss_newton(
    outputs: Callable[[Any, Any], Any], loss: Callable[[Any, Any], Any], damping: float = 1.0, *, adapt: bool = True
) -> optax.GradientTransformationExtraArgs:
    """Steps to the minimum of the mean of loss(outputs(params, row), row) with the outputs linearized.

    With J the Jacobian of all outputs of a batch of b rows, r the gradients and Q the Hessians of the losses by the
    outputs, the step is d = -(J' Q J / b + damping I)^-1 J' r / b, exact: solved in the space of the outputs,
    d = -J' (Q J J' + b damping I)^-1 r, or in that of the parameters, whichever is smaller. Where the loss is a square,
    that is the method of Levenberg and Marquardt.

    A step that raises the loss of its batch is not taken (the update is zero). The damping follows the ratio of the
    actual to the predicted decrease.

    Args:
        outputs: of the params and one row of the batch, to an array of shape (c,).
        loss: of the outputs and one row of the batch, to a scalar: convex in the outputs.
        damping: the first one, positive.
        adapt: False keeps the damping and takes every step.

    Returns:
        A transformation whose `update(updates, state, params, *, batch)` takes a pytree of arrays with b rows. It makes
        its own gradient: `updates` is ignored, and may be None. An update is a step to add, as after a learning rate.

    Raises:
        ValueError: if params or the batch are not given.

    Time for the step is c backward passes a row, d b^2 c^2 + b^3 c^3 for d parameters (b c d^2 + d^3 if that is less),
    memory b c d.

    Source: Korbit et al., "Exact Gauss-Newton optimization for training deep neural networks", arXiv:2405.14402, for
        the solution by the batch; Marquardt (1963) for the damping.
    """

    def init(params: Any) -> GaussNewtonState:
        return GaussNewtonState(jnp.asarray(damping, jnp.result_type(*jax.tree.leaves(params))))

    def update(updates: Any, state: Any, params: Any = None, **named: Any) -> tuple[Any, GaussNewtonState]:
        batch = named.get("batch")
        if params is None or batch is None:
            raise ValueError("a Gauss-Newton step needs params and batch=")
        flat, unravel = ravel_pytree(params)
        each = lambda z, row: loss(outputs(unravel(z), row), row)  # noqa: E731
        mean = lambda z: jnp.mean(jax.vmap(each, (None, 0))(z, batch))  # noqa: E731
        values, jacobian, slopes, curvatures = jax.vmap(
            lambda row: _measured(lambda z: outputs(unravel(z), row), lambda v: loss(v, row), flat)
        )(batch)
        step, gradient = damped(jacobian, slopes, curvatures, state.damping)
        if not adapt:
            return unravel(step), state
        before, after = jnp.mean(values), mean(flat + step)
        predicted = (state.damping * step @ step - gradient @ step) / 2
        ratio = (before - after) / jnp.maximum(predicted, jnp.finfo(flat.dtype).tiny)
        lower = (after <= before) & jnp.isfinite(after)
        factor = jnp.where(ratio > GOOD, FALLS, jnp.where(ratio > POOR, 1.0, RISES))
        factor = jnp.where(lower, factor, RISES**2).astype(state.damping.dtype)
        return unravel(jnp.where(lower, step, 0)), GaussNewtonState(jnp.clip(state.damping * factor, LEAST, MOST))

    return optax.GradientTransformationExtraArgs(init, update)


def damped(jacobian: Any, slopes: Any, curvatures: Any, damping: Any) -> tuple[jax.Array, jax.Array]:
    """The step -(mean(J' Q J) + damping I)^-1 g and the gradient g = mean(J' r), both of shape (d,).

    Args:
        jacobian: of the outputs, shape (b, c, d).
        slopes: r, shape (b, c).
        curvatures: Q, shape (b, c, c), symmetric and positive semidefinite.
        damping: positive.
    """
    rows, width, size = jacobian.shape
    flat = jacobian.reshape(-1, size)
    gradient = slopes.reshape(-1) @ flat / rows
    if size <= rows * width:
        matrix = jnp.einsum("bid,bij,bje->de", jacobian, curvatures, jacobian) / rows
        return -jnp.linalg.solve(matrix + damping * jnp.eye(size, dtype=flat.dtype), gradient), gradient
    kernel = (flat @ flat.T).reshape(rows, width, rows * width)
    matrix = jnp.einsum("bij,bjk->bik", curvatures, kernel).reshape(rows * width, -1)
    shift = rows * damping * jnp.eye(rows * width, dtype=flat.dtype)
    return -jnp.linalg.solve(matrix + shift, slopes.reshape(-1)) @ flat, gradient


def _measured(outputs: Callable[[Any], Any], loss: Callable[[Any], Any], z: jax.Array) -> tuple[Any, ...]:
    """The loss of one row, the Jacobian of its outputs, and the two derivatives of the loss by the outputs."""
    values, pull = jax.vjp(outputs, z)
    jacobian = jax.vmap(pull)(jnp.eye(values.size, dtype=values.dtype))[0]
    return loss(values), jacobian, jax.grad(loss)(values), jax.hessian(loss)(values)
