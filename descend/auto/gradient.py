"""`grad` and `value_and_grad`: inspect once, then a pure function with a gradient that moves."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from descend import calls, numerics, routes
from descend.auto.choice import SIGMA, TESTABLE, GradientRefusedError, choose
from descend.auto.measured import Chosen, among_draws, flat_beside, in_chaos, stated
from descend.findings import Findings
from descend.inspection import inspect
from descend.inspection.arguments import at_arguments, evaluate, moved, parameters, restrict, size, unit
from descend.program.killers import killers
from descend.routes.program import signature, takes_key

SAMPLES = 64
"""Evaluations per smoothed gradient."""


def grad(
    f: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    *,
    at: Any = None,
    key: Any = None,
    samples: int = SAMPLES,
) -> "Gradient":
    """`jax.grad` for functions that may be flat, discontinuous, random or a black box.

    f is inspected once around `at`, and the result is a pure function that works under `jit`, `vmap` and `scan`:

    - smooth: it is `jax.grad(f)`, called as it stands, at the same speed.
    - kinked: `jax.grad(f)` too, which at a kink is what JAX's rules give there: for sums and maxima of smooth functions
      an element of Clarke's subdifferential, in general not.
    - a random f that states its draws (`descend.draws`): an unbiased gradient of the mean over them. `routes.enumerate`
      where they have at most `samples` outcomes together; else `score`, `triples` or local sums by `enumerate`, about
      3 `samples` / 4 values each: that whose variance times cost is least in 16 gradients of each at `at`.
    - chaotic: `routes.window`, or `smooth` where its cosine with the mean of 16 smoothed gradients is greater.
    - a black box without steps or noise, with so few numbers that 2n is at most `samples`: `routes.finite`.
    - flat, jumps, a random f whose derivative does not pass the sampling, or any other black box:
      `jax.grad(routes.smooth(f, sigma, samples))`, unbiased for the smoothed function, with the width that inspection
      suggests (a tenth of max(1, rms of `at`) where it suggests none). It draws: give `key`.
    - uninformative (no smoothing helps: parity, needles, constants), or not finite at `at`: refused.

    What is decided at `at` holds elsewhere only as far as f looks alike there: a line that nothing crosses within a few
    scales of `at` is not seen.

    Args:
        f: a function of pytrees of floats to a real scalar; it may take `key`.
        argnums: which positional arguments to differentiate, as for `jax.grad`.
        has_aux: f returns a pair, the scalar and anything else; as for `jax.grad`, the gradient then comes with the
            second part of f's own value. A route evaluates f once more for it.
        at: concrete arguments to inspect around: the argument itself where f needs only one, else the tuple of
            positional arguments. Keyword arguments other than `key` have their defaults there (`functools.partial`
            settles them). Without it f is only read, at the first call with each new shape of arguments: it is refused
            if it cannot be traced or if a line might kill the derivative, and differentiated plainly otherwise.
        key: an int or a JAX key: for probing (default 0), and the default `key` of the result, which then draws the
            same numbers at every call.
        samples: evaluations of f per routed gradient; smoothed in n dimensions its cosine with the mean is about
            sqrt(samples / (2n + samples)).

    Returns:
        `g(*args, key=None, **kwargs)`, the gradient, with `g.route` (the route, or None for plain differentiation),
        `g.findings` and `g.why` (one line).

    Raises:
        GradientRefusedError: with the reason and the cure.
        TypeError: if `at` does not fit f, is traced or not floating, or f does not return a real scalar.
        ValueError: from g, if a key is needed and there is none.
    """
    return _chosen(jax.grad, f, argnums, has_aux, at, key, samples)


def value_and_grad(
    f: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    *,
    at: Any = None,
    key: Any = None,
    samples: int = SAMPLES,
) -> "Gradient":
    """`grad` together with the value, which is f's own: `jax.value_and_grad` as `grad` is `jax.grad`."""
    return _chosen(jax.value_and_grad, f, argnums, has_aux, at, key, samples)


class Gradient:
    """What `grad` and `value_and_grad` return: a pure function that remembers why it is the one it is.

    Attributes:
        route: the route that differentiates, or None for plain automatic differentiation.
        findings: what inspection found; empty without `at`.
        why: the reason for the choice, in one line.
    """

    def __init__(
        self, run: Callable[..., Any], f: Callable[..., Any], key: Any, route: Any, findings: Findings, why: str
    ):
        functools.update_wrapper(self, f, assigned=("__module__", "__name__", "__qualname__"), updated=())
        seen, named = signature(f), parameters(f)
        if seen is not None:
            vars(self)["__signature__"] = seen
        self.route, self.findings, self.why = route, findings, why
        self._run, self._key = run, None if key is None else numerics.as_key(key)
        self._name, self._random = calls.name_of(f), takes_key(f)
        self._place = list(named).index("key") if "key" in named else len(named)
        self._required = route is not None or ("key" in named and named["key"].default is named["key"].empty)

    def __call__(self, *args: Any, key: Any = None, **kwargs: Any) -> Any:
        if self._random and (key is not None or len(args) <= self._place):
            key = self._key if key is None else numerics.as_key(key)
            if key is not None:
                kwargs["key"] = key
            elif self._required:
                what = f"{self._name} is random" if self.route is None else f"{self.route} draws"
                raise ValueError(f"{what}: pass key= to the gradient, or to descend.grad as its default")
        return self._run(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<gradient of {self._name}: {self.why}>"


def _chosen(
    transform: Callable[..., Any], f: Callable[..., Any], argnums: Any, has_aux: bool, at: Any, key: Any, samples: int
) -> Gradient:
    if not callable(f):
        raise TypeError(f"expected a function, got {f!r}")
    argnums = _checked(argnums)
    loss = _first(f) if has_aux else f
    plain = transform(f, argnums, has_aux=has_aux)
    if at is None:
        reader = _Reader(loss, argnums)

        def run(*args: Any, **kwargs: Any) -> Any:
            reader.read(args, kwargs)
            return plain(*args, **kwargs)

        return Gradient(run, f, key, None, Findings(), "read, not probed (no at=): no line kills the derivative")
    args = at_arguments(loss, at)
    moving = moved(args, argnums)
    probing = numerics.as_key(0 if key is None else key)
    restricted = restrict(loss, args, argnums)
    if not all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(moving)):
        raise ValueError("at contains NaN or infinity")
    start = evaluate(restricted, moving, probing)
    findings = inspect(restricted, at=moving, key=probing, thorough=False)
    if findings.words & {"flat", "jumps"} and "stochastic" not in findings.words and size(moving) <= TESTABLE:
        closer = inspect(restricted, at=moving, key=probing)
        findings = Findings([*findings, *closer.about("uninformative")], findings.evaluations + closer.evaluations)
    findings.evaluations += 1 + 3 * (not start.black_box)
    outcomes = None if start.black_box else stated(restricted, moving, probing)
    chaos = findings.about("chaotic")
    chosen: Chosen | None = None
    if outcomes is not None:
        chosen = among_draws(restricted, moving, probing, outcomes, samples, start.name)
    elif chaos and start.finite and not start.black_box and not findings.about("uninformative"):
        sigma = SIGMA * unit(moving)
        chosen = in_chaos(restricted, moving, probing, sigma, samples, chaos[0].place())
    if chosen is not None:
        findings.evaluations += chosen.units
        route, why = chosen.route, chosen.why
        if outcomes is not None and (flat := flat_beside(restricted, moving, probing)):
            why = f"{why}; {', '.join(flat)} may be flat, and no slope passes there: smooth with a width sees it"
    else:
        route, why = choose(findings, SIGMA * unit(moving), size(moving), start, samples)
    if route is None:
        return Gradient(plain, f, key, None, findings, why)
    return _routed(transform, route, f, loss, argnums, has_aux, key, findings, why)


def _routed(
    transform: Callable[..., Any],
    route: routes.Route,
    f: Callable[..., Any],
    loss: Callable[..., Any],
    argnums: Any,
    has_aux: bool,
    key: Any,
    findings: Findings,
    why: str,
) -> Gradient:
    routed = route(loss)
    estimate = transform(routed, argnums)
    return Gradient(_with_aux(estimate, transform, f) if has_aux else estimate, routed, key, route, findings, why)


def _checked(argnums: Any) -> int | tuple[int, ...]:
    """An int, or a tuple of them."""
    if isinstance(argnums, Sequence) and not isinstance(argnums, str) and argnums:
        if all(isinstance(index, (int, np.integer)) for index in argnums):
            return tuple(map(int, argnums))
    elif isinstance(argnums, (int, np.integer)) and not isinstance(argnums, bool):
        return int(argnums)
    raise TypeError(f"argnums must be an int or a tuple of ints, got {argnums!r}")


def _first(f: Callable[..., Any]) -> Callable[..., Any]:
    """The scalar of a function that returns a pair."""

    @functools.wraps(f)
    def loss(*args: Any, **kwargs: Any) -> Any:
        out = f(*args, **kwargs)
        if not isinstance(out, (tuple, list)) or len(out) != 2:
            raise TypeError(f"with has_aux, {calls.name_of(f)} must return a pair (value, auxiliary), got {out!r}")
        return out[0]

    return loss


def _with_aux(estimate: Callable[..., Any], transform: Callable[..., Any], f: Callable[..., Any]) -> Callable[..., Any]:
    """The estimate beside the auxiliary part of f's own value, arranged as the transform of JAX arranges them."""
    random = takes_key(f)

    def run(*args: Any, **kwargs: Any) -> Any:
        found = estimate(*args, **kwargs)
        value, aux = f(*args, **{name: each for name, each in kwargs.items() if random or name != "key"})
        return ((value, aux), found[1]) if transform is jax.value_and_grad else (found, aux)

    return run


class _Reader:
    """Refuses a function, at most once for each kind of arguments, in whose program a line may kill the derivative."""

    def __init__(self, f: Callable[..., Any], argnums: Any):
        self.f, self.argnums = f, argnums
        self.seen: set[Any] = set()

    def read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        leaves, tree = jax.tree.flatten((args, kwargs))
        kind = (tree, *map(_kind, leaves))
        if kind in self.seen:
            return
        moving = moved(args, self.argnums)
        name = calls.name_of(self.f)
        try:
            found = killers(lambda x: restrict(self.f, args, self.argnums)(x, **kwargs), moving)
        except calls.TRACING_ERRORS as error:
            raise GradientRefusedError(
                f"{name} {calls.why_untraceable(error)}: give at= to smooth it by values"
            ) from None
        if found:
            here = f"{found[0].place[0]}:{found[0].place[1]}" if found[0].place else name
            raise GradientRefusedError(
                f"{here}: {found[0].primitive} may leave {name} without a derivative: give at= so that it can be probed"
            )
        self.seen.add(kind)


def _kind(leaf: Any) -> Any:
    """What of an argument a program depends on: the shape of an array or float, the value of anything else."""
    if hasattr(leaf, "dtype"):
        return leaf.shape, leaf.dtype
    return float if isinstance(leaf, float) else (type(leaf), leaf)
