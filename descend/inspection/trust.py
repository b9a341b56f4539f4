"""How far a gradient estimate can be trusted: measured against what the function does over a finite distance."""

import dataclasses
import functools
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from descend import numerics, routes
from descend.findings import Trust
from descend.routes.program import takes_key

COORDINATES = 64
"""Up to this many numbers, central differences by coordinate are the reference for routes that do not smooth."""

REACH = 0.01
"""Their step, and the width that stands in for it in more dimensions, in units of max(1, rms of the point)."""

WANTED = 0.9
"""The cosine that `Trust.samples` is about."""


def value_and_trust(
    f: Callable[..., Any],
    via: Callable[..., Any] | None = None,
    argnums: int | tuple[int, ...] = 0,
    *,
    estimates: int = 32,
    scale: float | None = None,
) -> Callable[..., Any]:
    """Value and gradient as `jax.value_and_grad(via(f))` gives them, with the `Trust` of that gradient.

    The gradient e is compared with r, the finite-scale gradient: what f does over a distance instead of at a point.

    - Smoothing routes: r is the gradient of the same smoothed f, from four times the samples of the route.
    - Other routes and plain gradients, in up to 64 dimensions: central differences along the coordinates, with a step
      of `scale`. Beyond, the gradient of f smoothed with that width, from 256 samples.

    With M independent estimates e_i (the first is the gradient that is returned) and M independent r_j, the moments

        <m,r> = mean e_i.r_j    |m|^2 = mean of e_i.e_j over i != j    |r|^2 = mean of r_i.r_j over i != j
        E|e|^2 = mean |e_i|^2

    are all unbiased: the noise of the reference cancels. Then

        cosine  = <m,r> / sqrt(E|e|^2 |r|^2), that of one estimate with r, the length of e in root mean square
        bias    = sqrt(max(0, |m|^2 - 2 <m,r> + |r|^2) / |r|^2)
        noise   = sqrt((E|e|^2 - |m|^2) / |r|^2)
        samples = N for which <m,r> / sqrt((|m|^2 + (E|e|^2 - |m|^2) / N) |r|^2) = 0.9, at least 1.

    Cosine and b^2 are corrected, and their standard errors made, by the jackknife over estimates and over references;
    the errors are enlarged by sqrt((M - 1) / (M - 3)), the deviation of Student's t, so that 1.96 of them cover 95 %.
    The error of the cosine also has the rounding error of r, eps |f| sqrt(n) / (sqrt(2) scale |r|), so that values that
    move less than they are rounded are refused. The root of a squared bias b^2 with error s has error s / 2b, or
    sqrt(s) / 1.5 where b^2 < 3s; the latter is too large by about sqrt(2) where there is no bias. Estimates and
    references that cannot vary (no draws in the route or in f) are made once and have no error.

    A cosine that is not three errors above 0 makes the verdict `refused`: a zero gradient where values change, a
    function that does not change over the scale, or many more dimensions than were paid for.

    A random f is trusted for its mean over keys.

    Cost: M times that of the route's gradient, and M times 1 + 4 samples (smoothing routes) or 2n (differences)
    evaluations; once each where they cannot vary. The 2 M n numbers of estimates and references are kept; they are
    computed one after the other, because compiling random numbers under `vmap` takes longer than running them.

    Args:
        f: a function of pytrees of floats to a real scalar; it may take `key`.
        via: a route, or any function that gives f another derivative. Default: plain differentiation.
        argnums: which positional arguments to differentiate, as for `jax.grad`.
        estimates: M, at least 4.
        scale: the distance, a positive number. Default: the route's sigma, or 0.01 max(1, rms of the point). Only for
            routes that have no sigma.

    Returns:
        `measured(*args, key=0, **kwargs) -> (value, gradient, trust)`, which works under `jit` and `vmap`; called
        directly it is compiled once per shape. `trust.verdict` needs concrete numbers.

    Raises:
        TypeError: if f or via cannot be called.
        ValueError: if `estimates` or `scale` is out of range, or a smoothing route is given a `scale`.

    Source:
        U-statistics as in Chen and Qin, "A two-sample test for high-dimensional data" (2010); the jackknife of several
        samples: Efron and Tibshirani, "An introduction to the bootstrap" (1993), chapter 11.
    """
    if not callable(f) or not (via is None or callable(via)):
        raise TypeError(f"value_and_trust takes a function and a route, got {f!r} and {via!r}")
    if not isinstance(estimates, int) or estimates < 4:
        raise ValueError(f"estimates must be an int of at least 4, got {estimates!r}")
    if scale is not None and not (np.ndim(scale) == 0 and np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be a positive number, got {scale!r}")
    routed = f if via is None else via(f)
    route = getattr(routed, "route", None)
    if isinstance(route, routes.Smooth) and scale is not None:
        raise ValueError(f"{route} has its own scale, its sigma: leave scale= out")
    probe = _Probe(f, routed, route, (argnums,) if isinstance(argnums, int) else tuple(argnums), estimates, scale)

    @functools.lru_cache(maxsize=64)
    def compiled(tree: Any, places: tuple[int, ...], static: tuple[Hashable, ...]) -> Callable[..., Any]:
        def run(arrays: list[Any], key: Any) -> Any:
            moving, still = iter(arrays), iter(static)
            leaves = [next(moving) if i in places else next(still) for i in range(tree.num_leaves)]
            args, kwargs = tree.unflatten(leaves)
            return probe.measure(args, kwargs, key)

        return jax.jit(run)

    def measured(*args: Any, key: Any = 0, **kwargs: Any) -> Any:
        key, args = numerics.as_key(key), probe.checked(args)
        leaves, tree = jax.tree.flatten((args, kwargs))
        places = tuple(i for i, leaf in enumerate(leaves) if isinstance(leaf, (jax.Array, np.ndarray)))
        arrays = [leaves[i] for i in places]
        rest = tuple(leaf for i, leaf in enumerate(leaves) if i not in places)
        traced = any(isinstance(leaf, jax.core.Tracer) for leaf in (*leaves, key))
        if traced or not all(isinstance(leaf, Hashable) for leaf in rest):
            value, gradient, trust = probe.measure(args, kwargs, key)
        else:
            with routes.reraised():
                value, gradient, trust = jax.block_until_ready(compiled(tree, places, rest)(arrays, key))
        return value, gradient[0] if isinstance(argnums, int) else gradient, trust

    return functools.update_wrapper(measured, f, assigned=("__name__", "__doc__"), updated=())


@dataclasses.dataclass(frozen=True)
class _Probe:
    """One function on one route, with what its trust is measured with."""

    f: Callable[..., Any]
    routed: Callable[..., Any]
    route: Any
    argnums: tuple[int, ...]
    estimates: int
    scale: float | None

    def checked(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, those that are differentiated as arrays."""
        everything = list(args)
        for place in self.argnums:
            if not -len(args) <= place < len(args):
                raise TypeError(f"argnums={place}, but there are only {len(args)} positional arguments")
            everything[place] = jax.tree.map(jnp.asarray, args[place])
            for leaf in jax.tree.leaves(everything[place]):
                if not jnp.issubdtype(leaf.dtype, jnp.floating):
                    raise TypeError(
                        f"gradients are taken by real floating arguments, got {leaf.dtype}: write 3.0 for 3"
                    )
        return tuple(everything)

    def measure(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: jax.Array) -> tuple[Any, Any, Trust]:
        """Value, gradient (a tuple, by `argnums`) and trust."""
        x, unravel = ravel_pytree(tuple(args[i] for i in self.argnums))

        def call(function: Callable[..., Any], x: Any, key: Any) -> Any:
            everything = list(args)
            for place, part in zip(self.argnums, unravel(x), strict=True):
                everything[place] = part
            random = {"key": key} if takes_key(function) else {}
            return function(*everything, **kwargs, **random)

        value, gradient = jax.value_and_grad(lambda x: call(self.routed, x, key))(x)
        again = jax.random.split(jax.random.fold_in(key, 1), self.estimates - 1)
        e = gradient[None]
        if takes_key(self.routed):
            e = jnp.concatenate([e, jax.lax.map(lambda k: jax.grad(lambda x: call(self.routed, x, k))(x), again)])
        reference, width, random = self._reference(call, x)
        r = jax.lax.map(reference, jax.random.split(jax.random.fold_in(key, 2), self.estimates if random else 1))
        rounding = jnp.finfo(value.dtype).eps * jnp.abs(value) * jnp.sqrt(x.size / 2) / width
        return value, unravel(gradient), _trust(e, r, rounding)

    def _reference(self, call: Callable[..., Any], x: Any) -> tuple[Callable[[Any], Any], Any, bool]:
        """A draw of the finite-scale gradient, the distance, and whether draws differ."""
        if isinstance(self.route, routes.Smooth):
            route = dataclasses.replace(self.route, samples=4 * self.route.samples, chunk=None)
            width = min(jnp.min(jnp.asarray(sigma)) for sigma in jax.tree.leaves(route.sigma))
        else:
            rms = jnp.sqrt(jnp.mean(x**2)) if x.size else jnp.zeros(())
            width = REACH * jnp.maximum(1.0, rms) if self.scale is None else jnp.asarray(self.scale)
            if x.size <= COORDINATES:
                steps = width.astype(x.dtype) * jnp.eye(x.size, dtype=x.dtype)

                def central(key: Any) -> Any:
                    values = jax.vmap(lambda step: call(self.routed, x + step, key))(jnp.concatenate([steps, -steps]))
                    return (values[: x.size] - values[x.size :]) / (2 * width).astype(x.dtype)

                return central, width, takes_key(self.f)
            route = routes.Smooth(sigma=width, samples=256)
        smoothed = route(self.f)
        return lambda key: jax.grad(lambda x: call(smoothed, x, key))(x), width, True


class _Moments(NamedTuple):
    """Unbiased estimates of the inner products of the means of estimates and references, and of E|e|^2."""

    mr: Any
    mm: Any
    rr: Any
    ee: Any


def _trust(e: Any, r: Any, rounding: Any) -> Trust:
    """From estimates (k, n) and references (l, n); one row stands for what does not vary."""
    size = jnp.maximum(jnp.max(jnp.abs(e), initial=0.0), jnp.max(jnp.abs(r), initial=0.0))
    unit = jnp.where(size > 0, size, 1.0)  # squares of tiny gradients would underflow
    e, r, tiny = e / unit, r / unit, jnp.finfo(e.dtype).tiny
    ee, er, rr = e @ e.T, e @ r.T, r @ r.T
    k, j = er.shape
    whole = _moments(ee.sum(), jnp.trace(ee), er.sum(), rr.sum(), jnp.trace(rr), k, j)
    spread: list[Any] = []
    if k > 1:
        own = jnp.diagonal(ee)
        left = _moments(
            ee.sum() - 2 * ee.sum(1) + own, own.sum() - own, er.sum() - er.sum(1), rr.sum(), jnp.trace(rr), k - 1, j
        )
        spread.append(left)
    if j > 1:
        own = jnp.diagonal(rr)
        left = _moments(
            ee.sum(), jnp.trace(ee), er.sum() - er.sum(0), rr.sum() - 2 * rr.sum(1) + own, own.sum() - own, k, j - 1
        )
        spread.append(left)

    def jackknifed(of: Callable[[_Moments], Any]) -> tuple[Any, Any]:
        """Without its bias of the first order, and its standard error."""
        estimate = of(whole)
        shift = variance = jnp.zeros_like(estimate)
        for left in spread:
            values = of(left)
            shift += (values.size - 1) * (values.mean() - estimate)
            variance += (values.size - 1) ** 2 / (values.size - 3) * jnp.var(values)
        return estimate - shift, jnp.sqrt(variance)

    length = jnp.sqrt(jnp.maximum(whole.rr, tiny))
    (cosine, cosine_se), (square, slack) = jackknifed(_cosine), jackknifed(_square_bias)
    resolution = jnp.where(whole.rr > 0, rounding / (unit * length), jnp.where(rounding > 0, jnp.inf, 0.0))
    bias = jnp.sqrt(jnp.maximum(square, 0.0))
    near = jnp.sqrt(slack) / 1.5  # 1.96 of these cover 95 % of a squared bias that is normal around 0
    noise = jnp.maximum(whole.ee - whole.mm, 0.0)
    aligned = jnp.sign(whole.mr) * whole.mr**2 / length**2 - WANTED**2 * whole.mm
    needed = jnp.where(aligned > 0, jnp.maximum(1.0, WANTED**2 * noise / jnp.maximum(aligned, tiny)), jnp.inf)
    return Trust(
        cosine=jnp.clip(cosine, -1.0, 1.0),
        cosine_se=jnp.hypot(cosine_se, resolution),
        bias=bias,
        bias_se=jnp.where(square > 3 * slack, slack / jnp.maximum(2 * bias, tiny), near),
        noise=jnp.sqrt(noise) / length,
        samples=needed,
    )


def _moments(ee: Any, own_e: Any, er: Any, rr: Any, own_r: Any, k: int, j: int) -> _Moments:
    """From the sums of the Gram matrices and of their diagonals; k and j are the numbers of rows."""
    mm = (ee - own_e) / (k * (k - 1)) if k > 1 else ee
    rr = (rr - own_r) / (j * (j - 1)) if j > 1 else rr
    return _Moments(er / (k * j), *jnp.broadcast_arrays(mm, rr, own_e / k))


def _cosine(m: _Moments) -> Any:
    """0 where either has no length."""
    product = jnp.maximum(m.ee, 0.0) * jnp.maximum(m.rr, 0.0)
    return jnp.where(product > 0, m.mr / jnp.sqrt(jnp.where(product > 0, product, 1.0)), 0.0)


def _square_bias(m: _Moments) -> Any:
    """|mean e - r|^2 / |r|^2, which may come out negative; infinite where the reference has no length."""
    square = m.mm - 2 * m.mr + m.rr
    return jnp.where(m.rr > 0, square / jnp.where(m.rr > 0, m.rr, 1.0), jnp.where(square > 0, jnp.inf, 0.0))
