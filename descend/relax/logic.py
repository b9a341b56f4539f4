"""Logic and branches on soft truth values: numbers in [0, 1], as comparisons give them.

These are the multilinear extensions of the truth tables: exact at 0 and 1, differentiable between, and the probability
of the result for independent events. They have no temperature: how soft they are is how soft their arguments are.
The hard twins take a truth value above 1/2 for true.
"""

from typing import Any

import jax
import jax.numpy as jnp

from descend.relax.operation import Law, floats, operation


def _truth(key: jax.Array) -> tuple[Any, ...]:
    return (jax.random.uniform(key, (5,)),)


def _truths(key: jax.Array) -> tuple[Any, ...]:
    return tuple(jax.random.uniform(key, (2, 5)))


def _doubt(p: Any) -> Any:
    """How far a truth value is from 0 or 1."""
    return jnp.minimum(p, 1 - p)


def _hard(p: Any) -> Any:
    return jnp.where(jnp.isnan(p), p, (p > 0.5).astype(p.dtype))


def _pair_gap(p: Any = 0.5, q: Any = 0.5) -> Any:
    """1 - (1 - doubt p)(1 - doubt q): a change of one argument changes the result by no more."""
    p, q = floats(p, q)
    return 1 - (1 - _doubt(p)) * (1 - _doubt(q))


def _hard_and(p: Any, q: Any) -> Any:
    p, q = floats(p, q)
    return _hard(p) * _hard(q)


def _hard_or(p: Any, q: Any) -> Any:
    p, q = floats(p, q)
    return jnp.maximum(_hard(p), _hard(q))


@operation(hard=_hard_and, gap=_pair_gap, sample=_truths, laws=(Law.MONOTONE,))
def logical_and(p: Any, q: Any) -> Any:
    """p q. Gap: 1 - (1 - d_p)(1 - d_q), with d the distance of an argument from 0 or 1; at worst 3/4."""
    p, q = floats(p, q)
    return p * q


@operation(hard=_hard_or, gap=_pair_gap, sample=_truths, laws=(Law.MONOTONE,))
def logical_or(p: Any, q: Any) -> Any:
    """p + q - p q. Gap as for `logical_and`."""
    p, q = floats(p, q)
    return p + q * (1 - p)


@operation(
    hard=lambda p: 1 - _hard(floats(p)[0]),
    gap=lambda p=0.5: _doubt(floats(p)[0]),
    sample=_truth,
    laws=(Law.PERMUTATION_EQUIVARIANT,),
)
def logical_not(p: Any) -> Any:
    """1 - p. Gap: the distance of p from 0 or 1."""
    (p,) = floats(p)
    return 1 - p


@operation(
    hard=lambda p, q: jnp.abs(_hard(floats(p, q)[0]) - _hard(floats(p, q)[1])),
    gap=_pair_gap,
    sample=_truths,
)
def logical_xor(p: Any, q: Any) -> Any:
    """p + q - 2 p q: whether exactly one holds. Gap as for `logical_and`."""
    p, q = floats(p, q)
    return p * (1 - q) + q * (1 - p)


def _where_gap(p: Any, x: Any, y: Any) -> Any:
    p, x, y = floats(p, x, y)
    apart = x - y
    return jnp.where(jnp.isfinite(apart), _doubt(p) * jnp.abs(jnp.where(jnp.isfinite(apart), apart, 0)), 0)


def _hard_where(p: Any, x: Any, y: Any) -> Any:
    p, x, y = floats(p, x, y)
    return jnp.where(jnp.isnan(p), p, jnp.where(p > 0.5, x, y))


@operation(
    hard=_hard_where,
    gap=_where_gap,
    sample=lambda key: (*_truth(key), *jax.random.normal(key, (2, 5))),
)
def where(p: Any, x: Any, y: Any) -> Any:
    """p x + (1 - p) y: x where true, y where false. Gap: |x - y| times the distance of p from 0 or 1.

    Both sides are evaluated, so that one of them may be NaN or infinite where it is not wanted (`where(x > 0, log(x),
    5)`). A mixture with it would be too: there the result is the hard choice, without a derivative in p.
    """
    p, x, y = floats(p, x, y)
    p, x, y = jnp.broadcast_arrays(p, x, y) if min(p.ndim, x.ndim, y.ndim) else _spread(p, x, y)
    good_x, good_y = jnp.isfinite(x), jnp.isfinite(y)
    mixed = p * jnp.where(good_x, x, 0) + (1 - p) * jnp.where(good_y, y, 0)
    # The weight is masked as well as the value: a derivative of 0 times infinity is NaN.
    chosen = jnp.where(p > 0.5, x, y)
    return jnp.where(jnp.isnan(p), p, jnp.where(good_x & good_y, mixed, chosen))


def _spread(*arrays: Any) -> list[Any]:
    """Scalars at the shape of the others."""
    shape = jnp.broadcast_shapes(*(a.shape for a in arrays))
    return [a if a.ndim else jnp.broadcast_to(a, shape) for a in arrays]
