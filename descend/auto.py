"""`descend.grad` and `descend.value_and_grad`: inspect once, then a pure function with a gradient that moves."""

import ast
import functools
import inspect as signatures
from collections.abc import Callable
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from descend import calls, numerics, routes
from descend.findings import Finding, Findings
from descend.inspection import inspect
from descend.program.killers import killers

SIGMA = 0.1
"""Smoothing width, in units of the scale max(1, rms of the point), where inspection gives no width of its own."""

TESTABLE = 1000
"""Numbers beyond which the samples of an inspection cannot tell an uninformative gradient from a faint one."""

SAMPLES = 64
"""Evaluations per smoothed gradient."""


class GradientRefusedError(ValueError):
    """No gradient that could be trusted exists here, or none could be chosen; the message says why and what helps."""


def grad(
    f: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
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
    - flat, jumps, a random f whose derivative does not pass the sampling, or a black box:
      `jax.grad(routes.smooth(f, sigma, samples))`, unbiased for the smoothed function, with the width that inspection
      suggests (a tenth of max(1, rms of `at`) where it suggests none), the same for all arguments. It draws: give `key`.
    - uninformative (no smoothing helps: parity, needles, constants), or not finite at `at`: refused.

    What is decided at `at` holds elsewhere only as far as f looks alike there: a line that nothing crosses within a few
    scales of `at` is not seen.

    Args:
        f: a function of pytrees of floats to a real scalar; it may take `key`.
        argnums: which positional arguments to differentiate, as for `jax.grad`.
        at: concrete arguments to inspect around: the argument itself where f needs only one, else the tuple of
            positional arguments. Keyword arguments other than `key` have their defaults there (`functools.partial`
            settles them). Without it f is only read, at the first call with each new shape of arguments: f is refused if
            it cannot be traced or if a line might kill the derivative, and differentiated plainly otherwise.
        key: an int or a JAX key: for probing (default 0), and the default `key` of the result, which then draws the same
            numbers at every call.
        samples: evaluations of f per smoothed gradient; in n dimensions its cosine is about sqrt(samples / (2n + samples)).

    Returns:
        `g(*args, key=None, **kwargs)`, the gradient, with `g.route` (the route, or None for plain differentiation),
        `g.findings` and `g.why` (one line).

    Raises:
        GradientRefusedError: with the reason and the cure.
        TypeError: if `at` does not fit f, is traced or not floating, or f does not return a real scalar.
        ValueError: from g, if a key is needed and there is none.
    """
    return _chosen(jax.grad, f, argnums, at, key, samples)


def value_and_grad(
    f: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    *,
    at: Any = None,
    key: Any = None,
    samples: int = SAMPLES,
) -> "Gradient":
    """`grad` together with the value, which is f's own: `jax.value_and_grad` as `grad` is `jax.grad`."""
    return _chosen(jax.value_and_grad, f, argnums, at, key, samples)


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
        functools.update_wrapper(self, f, assigned=("__module__", "__name__", "__qualname__"))
        self.route, self.findings, self.why = route, findings, why
        self._run, self._key = run, None if key is None else numerics.as_key(key)
        named = _parameters(f)
        self._random = routes.program.takes_key(f)
        self._place = list(named).index("key") if self._random and "key" in named else None
        self._required = route is not None or (
            self._place is not None and named["key"].default is signatures.Parameter.empty
        )

    def __call__(self, *args: Any, key: Any = None, **kwargs: Any) -> Any:
        if self.route is None and not self._random:
            return self._run(*args, **kwargs)
        if self._place is None or len(args) <= self._place:
            key = self._key if key is None else numerics.as_key(key)
            if key is not None:
                kwargs["key"] = key
            elif self._required:
                what = (
                    f"{self.route} draws" if self.route is not None else f"{calls.name_of(self.__wrapped__)} is random"
                )
                raise ValueError(f"{what}: pass key= to the gradient, or to descend.grad as its default")
        return self._run(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<gradient of {calls.name_of(self.__wrapped__)}: {self.why}>"


def _chosen(
    transform: Callable[..., Any], f: Callable[..., Any], argnums: Any, at: Any, key: Any, samples: int
) -> Gradient:
    if not callable(f):
        raise TypeError(f"expected a function, got {f!r}")
    if at is None:
        reader = _Reader(f, argnums)

        def run(*args: Any, **kwargs: Any) -> Any:
            reader.read(args, kwargs)
            return plain(*args, **kwargs)

        plain = transform(f, argnums)
        return Gradient(run, f, key, None, Findings(), "read, not probed (no at=): no line kills the derivative")
    args = _arguments(f, at)
    moving = _moving(args, argnums)
    probing = numerics.as_key(0 if key is None else key)
    restricted = _restricted(f, args, argnums)
    black_box = _is_black_box(restricted, moving, probing)
    findings = inspect(restricted, at=moving, key=probing, thorough=False)
    if findings.words & {"flat", "jumps"} and not findings.words & {"stochastic"} and _size(moving) <= TESTABLE:
        spent, findings = findings.evaluations, inspect(restricted, at=moving, key=probing)
        findings.evaluations += spent
    sigma, why = _decision(findings, SIGMA * _unit(moving), _size(moving), black_box)
    if sigma is None:
        return Gradient(transform(f, argnums), f, key, None, findings, why)
    route = routes.Smooth(sigma=sigma, samples=samples)
    return Gradient(transform(route(f), argnums), f, key, route, findings, why)


def _decision(findings: Findings, default: float, size: int, black_box: bool) -> tuple[float | None, str]:
    """The width to smooth with, or None for plain differentiation, and the reason."""
    for finding in findings.about("non-finite"):
        if finding.evidence["at"] == "the start":
            what = finding.evidence["what"]
            raise GradientRefusedError(f"{finding.place()}: the {what} is not finite at at=: give another point")
    if findings.about("uninformative"):
        tried = ", ".join(findings.about("uninformative")[0].evidence["z at sigma"])
        raise GradientRefusedError(
            f"{findings.about('uninformative')[0].place()}: no gradient shows through noise at any scale ({tried}): "
            "search by values with descend.solve, or state the problem otherwise"
        )
    broken = [*findings.about("flat"), *findings.about("jumps")]
    noise = findings.about("stochastic")
    lost = [finding for finding in noise if finding.evidence.get("derivative passes") is False]
    if black_box or findings.about("black-box"):
        said = broken[0] if broken else findings.about("black-box")[0]
        return max(map(_width, broken), default=default), f"{said.place()} is {said.what}: smoothed, by values only"
    if lost or (noise and broken):
        said = (lost or broken)[0]
        # At one key a random function may look flat much further than its mean is.
        return default, f"{said.place()}: the derivative does not pass the sampling: smoothed"
    if broken:
        unsure = f"; with {size} numbers it was not tested whether that is informative" * (size > TESTABLE)
        return max(map(_width, broken)), f"{broken[0].place()} is {broken[0].what}: smoothed{unsure}"
    if findings.about("kinked"):
        return None, f"{findings.about('kinked')[0].place()} is kinked: jax.grad gives one of its subgradients there"
    if findings.about("unread"):
        return None, f"{findings.about('unread')[0].place()} is unread, but probing found no break: jax.grad"
    agrees = "agrees with" if findings.about("smooth") else "is not refuted by"
    return None, f"jax.grad {agrees} finite differences around at="


def _width(finding: Finding) -> float:
    """The sigma of a finding's cure, which is written as it would be typed."""
    call = ast.parse(finding.cure, mode="eval").body
    assert isinstance(call, ast.Call)
    return float(next(ast.literal_eval(k.value) for k in call.keywords if k.arg == "sigma"))


def _parameters(f: Callable[..., Any]) -> dict[str, signatures.Parameter]:
    seen = routes.program.signature(f)
    return {} if seen is None else dict(seen.parameters)


def _arguments(f: Callable[..., Any], at: Any) -> tuple[Any, ...]:
    """The positional arguments that `at` stands for."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(at)):
        raise TypeError("at must be concrete: call descend.grad outside of jit, or leave at= out")
    required = [
        name
        for name, p in _parameters(f).items()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty and name != "key"
    ]
    if len(required) <= 1:
        return (at,)
    if not isinstance(at, tuple) or len(at) < len(required):
        raise TypeError(
            f"at must be the tuple of positional arguments ({', '.join(required)}), got {type(at).__name__}"
        )
    return at


def _indices(argnums: int | tuple[int, ...]) -> tuple[int, ...]:
    return (argnums,) if isinstance(argnums, int) else tuple(argnums)


def _moving(args: tuple[Any, ...], argnums: Any) -> Any:
    """The differentiated arguments: the one argument, or the tuple of several."""
    for index in _indices(argnums):
        if not -len(args) <= index < len(args):
            raise TypeError(f"argnums={argnums}, but there are only {len(args)} positional arguments")
    moving = tuple(args[index] for index in _indices(argnums))
    for leaf in jax.tree.leaves(moving):
        dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(f"gradients are taken by real floating arguments, got {dtype}: write 3.0 for 3")
    return moving[0] if isinstance(argnums, int) else moving


def _restricted(f: Callable[..., Any], args: tuple[Any, ...], argnums: Any) -> Callable[..., Any]:
    """f as a function of the differentiated arguments alone, at home where f is."""

    def restricted(x: Any, /, **random: Any) -> Any:
        everything = list(args)
        for index, part in zip(_indices(argnums), (x,) if isinstance(argnums, int) else x, strict=True):
            everything[index] = part
        return f(*everything, **random)

    functools.update_wrapper(restricted, f, assigned=("__name__",), updated=())
    names = [signatures.Parameter("x", signatures.Parameter.POSITIONAL_OR_KEYWORD)]
    if routes.program.takes_key(f):
        names.append(signatures.Parameter("key", signatures.Parameter.KEYWORD_ONLY))
    vars(restricted)["__signature__"] = signatures.Signature(names)
    return restricted


def _is_black_box(restricted: Callable[..., Any], moving: Any, key: jax.Array) -> bool:
    """Whether f cannot be traced. Its own exceptions, and wrong results, are raised here."""
    random = {"key": key} if routes.program.takes_key(restricted) else {}
    name = calls.name_of(restricted)
    try:
        out, opaque = jax.eval_shape(lambda x: restricted(x, **random), moving), False
    except calls.TRACING_ERRORS:
        random = {"key": numerics.seed(key)} if random else {}
        out, opaque = restricted(jax.tree.map(lambda leaf: np.array(leaf, np.float64), moving), **random), True
    shapes = jax.tree.map(np.shape, out)
    if shapes != ():
        raise TypeError(
            f"gradients are of scalars, {name} returned {'shape ' if isinstance(out, jax.ShapeDtypeStruct) else ''}{shapes}"
        )
    if not opaque and not jnp.issubdtype(out.dtype, jnp.floating):
        raise TypeError(f"{name} returns {out.dtype}: make it a real float, as in jnp.asarray(value, float)")
    return opaque


class _Reader:
    """Refuses a function, at most once for each kind of arguments, in whose program a line may kill the derivative."""

    def __init__(self, f: Callable[..., Any], argnums: Any):
        self.f, self.argnums = f, argnums
        self.seen: set[Any] = set()

    def read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        leaves, tree = jax.tree.flatten((args, kwargs))
        kind = (tree, *[(leaf.shape, leaf.dtype) if hasattr(leaf, "dtype") else type(leaf) for leaf in leaves])
        if kind in self.seen:
            return
        moving = _moving(args, self.argnums)
        name = calls.name_of(self.f)
        try:
            found = killers(lambda x: _restricted(self.f, args, self.argnums)(x, **kwargs), moving)
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


def _size(x: Any) -> int:
    return sum(np.size(leaf) for leaf in jax.tree.leaves(x))


def _unit(x: Any) -> float:
    """The median over numbers of max(1, rms of their array): the scale at which inspection looks."""
    scales = [
        np.full(np.size(leaf), max(1.0, float(np.sqrt(np.mean(np.square(leaf))))))
        for leaf in jax.tree.leaves(x)
        if np.size(leaf)
    ]
    return float(np.median(np.concatenate(scales))) if scales else 1.0
