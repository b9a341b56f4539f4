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
from descend.inspection.moments import Products, judged, products
from descend.inspection.unseen import NOTHING, OF_THE_POINT, Unseen, unseen
from descend.inspection.unseen import REACH as LOOK
from descend.routes.program import takes_key

DRAWN = 8
"""Values per estimate of a route that draws, from which the share of those that fail is known."""

COORDINATES = 64
"""Up to this many numbers, central differences by coordinate are the reference for routes that do not smooth."""

REACH = 0.01
"""Their step, and the width that stands in for it in more dimensions, in units of max(1, rms of the point)."""


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

    M independent estimates (the first is the gradient that is returned) and M independent references give the numbers
    of `moments.trust_of`, all of which allow for the noise of the reference. Estimates and references that cannot vary
    (no draws in the route or in f) are made once and have no error.

    The error of the cosine has the rounding error of r, eps |f| sqrt(n) / (sqrt(2) scale |r|), so that values that move
    less than they are rounded are refused.

    A cosine that is not three errors above 0 makes the verdict `refused`: a zero gradient where values change, a
    function that does not change over the scale, or many more dimensions than were paid for; and so does a gradient
    ten times as long as the reference, as beyond the Lyapunov time of an iteration. `Trust.why` says which.

    A derivative that sees the function at the point alone (plain differentiation, and routes that are exact, unbiased
    or a subgradient) is refused as well where 0.3 or more of what values do along the descent happens at jumps and
    steps that no slope shows (`unseen.unseen`): over `scale`, by default 0.3 max(1, rms). The program is read for their
    lines, once a compilation, and `Trust.why` names the one that does most; a function that cannot be read is judged by
    its values alone.

    A random f is trusted for its mean over keys.

    Values that are not finite are left out by routes: `Trust.failed` is their share, from 8 M values of a function that
    draws or on a route that blurs.

    Cost: M times that of the route's gradient, 8 M values for that share, and M times 1 + 4 samples (smoothing routes)
    or 2n (differences) evaluations; once each where they cannot vary; and about 130 evaluations for what is unseen,
    where the program has lines that may jump. The 2 M n numbers of estimates and references are kept; they are computed
    one after the other, because compiling random numbers under `vmap` takes longer than running them.

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
    """
    if not callable(f) or not (via is None or callable(via)):
        raise TypeError(f"value_and_trust takes a function and a route, got {f!r} and {via!r}")
    if not isinstance(estimates, int) or estimates < 4:
        raise ValueError(f"estimates must be an int of at least 4, got {estimates!r}")
    if scale is not None and not (np.ndim(scale) == 0 and np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be a positive number, got {scale!r}")
    routed = f if via is None else via(f)
    route = getattr(routed, "route", None)
    if _blurs(route) and scale is not None:
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
            value, gradient, drawn = probe.measure(args, kwargs, key)
            return value, gradient[0] if isinstance(argnums, int) else gradient, drawn.trust
        with routes.reraised():
            value, gradient, drawn = compiled(tree, places, rest)(arrays, key)
            # In NumPy: the many small steps from products to trust take longer to compile than the rest.
            with np.errstate(all="ignore"):
                trust = jax.tree.map(jnp.asarray, jax.tree.map(np.asarray, drawn).trust)
        return value, gradient[0] if isinstance(argnums, int) else gradient, trust

    return functools.update_wrapper(measured, f, assigned=("__name__", "__doc__"), updated=())


class _Drawn(NamedTuple):
    """What the trust is made of."""

    products: Products
    rounding: Any
    failed: Any
    unseen: Unseen

    @property
    def trust(self) -> Trust:
        share, nearest, line = self.unseen
        found = judged(self.products, self.rounding)
        return found._replace(failed=self.failed, unseen=share, nearest=nearest, line=line)


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

    def measure(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: jax.Array) -> tuple[Any, Any, _Drawn]:
        """Value, gradient (a tuple, by `argnums`) and what was drawn."""
        x, unravel = ravel_pytree(tuple(args[i] for i in self.argnums))

        def call(function: Callable[..., Any], x: Any, key: Any) -> Any:
            everything = list(args)
            for place, part in zip(self.argnums, unravel(x), strict=True):
                everything[place] = part
            random = {"key": key} if takes_key(function) else {}
            return function(*everything, **kwargs, **random)

        def estimate(key: Any) -> tuple[Any, Any]:
            return jax.value_and_grad(lambda x: call(self.routed, x, key))(x)

        if takes_key(self.routed):
            # The gradient that is returned is one of them: a second copy of the route would be compiled, too.
            again = jax.random.split(jax.random.fold_in(key, 1), self.estimates - 1)
            values, e = jax.lax.map(estimate, jnp.concatenate([key[None], again]))
            value, gradient = values[0], e[0]
        else:
            value, gradient = estimate(key)
            e = gradient[None]
        reference, width, random = self._reference(call, x)
        r = jax.lax.map(reference, jax.random.split(jax.random.fold_in(key, 2), self.estimates if random else 1))
        rounding = jnp.finfo(value.dtype).eps * jnp.abs(value) * jnp.sqrt(x.size / 2) / width
        found = self._unseen(call, x, key, gradient, width)
        drawn = _Drawn(products(e, r), rounding, self._failed(call, x, key, width), found)
        return value, unravel(gradient), drawn

    def _unseen(self, call: Callable[..., Any], x: Any, key: Any, gradient: Any, width: Any) -> Unseen:
        """What happens at jumps and steps along the descent, for a derivative of the point; where that is zero or not
        finite, along a random direction."""
        own = getattr(self.routed, "__wrapped__", None) is self.f  # not a route on another route
        plain = self.routed is self.f or (own and getattr(self.route, "GIVES", "") in OF_THE_POINT)
        if not plain or (self.route is not None and self.route.NEEDS.draws) or not x.size:
            return Unseen(*(jnp.asarray(number, x.dtype) for number in NOTHING))
        rms = jnp.sqrt(jnp.mean(x**2))
        reach = LOOK * jnp.maximum(1.0, rms) if self.scale is None else jnp.asarray(self.scale)
        anywhere = jax.random.normal(jax.random.fold_in(key, 4), x.shape, x.dtype)
        steep = jnp.sqrt(jnp.sum(gradient**2))
        seen = (steep > 0) & jnp.isfinite(steep)
        direction = jnp.where(seen, -gradient, anywhere)
        if self.scale is None:  # where there is no slope to go by, as far as steps are likely to be
            reach = jnp.where(seen, reach, jnp.sqrt(x.size) * jnp.maximum(1.0, rms))
        found = unseen(lambda x: call(self.f, x, key), x, direction, jnp.where(seen, 0.0, -reach), reach, width)
        return Unseen(*(jnp.asarray(number, x.dtype) for number in found))

    def _failed(self, call: Callable[..., Any], x: Any, key: jax.Array, width: Any) -> Any:
        """The share of values that are not finite: around the point for routes that blur, else over draws of f."""
        if not _blurs(self.route) and not (takes_key(self.f) and takes_key(self.routed)):
            return jnp.zeros((), x.dtype)

        def bad(key: jax.Array) -> Any:
            u = jax.random.normal(key, (DRAWN, *x.shape), x.dtype) * (width if _blurs(self.route) else 0)
            keys = jax.random.split(jax.random.fold_in(key, 1), DRAWN)
            values = jax.vmap(lambda u, key: call(self.f, x + u.astype(x.dtype), key))(u, keys)
            return jnp.mean(~jnp.isfinite(values), dtype=x.dtype)

        return jnp.mean(jax.lax.map(bad, jax.random.split(jax.random.fold_in(key, 3), self.estimates)))

    def _reference(self, call: Callable[..., Any], x: Any) -> tuple[Callable[[Any], Any], Any, bool]:
        """A draw of the finite-scale gradient, the distance, and whether draws differ."""
        if _blurs(self.route):
            route = routes.Smooth(sigma=self.route.sigma, samples=4 * getattr(self.route, "samples", 64))
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


def _blurs(route: Any) -> bool:
    """Whether a route is unbiased for the function seen through Gaussian noise of a width of its own."""
    return getattr(route, "GIVES", "") == "unbiased-for-smoothed" and hasattr(route, "sigma")
