"""`compare_routes`: what each way to a gradient is worth on one function, and what it costs."""

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from descend import calls, numerics, routes
from descend.draws import DRAW
from descend.findings import Findings
from descend.inspection import reference as references
from descend.inspection.arguments import at_arguments, evaluate, moved, restrict, unit
from descend.inspection.comparison import Comparison, Measured
from descend.inspection.inspector import inspect
from descend.inspection.moments import trust_of
from descend.inspection.reference import Reference
from descend.inspection.unseen import OF_THE_POINT
from descend.program.walk import walk
from descend.routes.program import takes_key
from descend.routes.route import integer

PLAIN = "jax.grad"
"""The name of plain differentiation in a comparison."""

NAMED = 3
"""How many lines a reason names."""

BROKEN = 0.3
"""The least width of a reference for a function that is flat or jumps, in units of max(1, rms of the point): at smaller
ones the parts of the function that have a derivative would decide."""


def compare_routes(
    f: Callable[..., Any],
    routes: Mapping[str, Any] | Sequence[Any] | None = None,
    at: Any = None,
    key: Any = 0,
    *,
    argnums: int | tuple[int, ...] = 0,
    estimates: int = 32,
    scale: float | None = None,
    truth: Any = None,
    wanted: float = 0.9,
    evaluations: int = 4096,
) -> Comparison:
    """Measures routes against each other on one function at one point: same keys, same reference, every cost.

    Each route makes `estimates` gradients, with the same keys for all of them. They are compared with one reference:

    - `truth`, if it is given;
    - else the derivative of the mean over the draws that f states (`descend.draws`), by the score function, unless
      lines besides those of draws are flat or jump;
    - else the derivative, where inspection finds the function smooth and `scale` is not given;
    - else the gradient of f seen through Gaussian noise of deviation `scale`: by default the smallest of 0.03, 0.1,
      0.3, 1 and 3 times max(1, rms of the point) through which a gradient is significant, and from 0.3 on
      where f is flat or jumps. If there is none at any width, f is uninformative and every route is refused.

    The numbers are those of `Trust` (`moments.trust_of`), which allow for the noise of the reference. A route that
    cannot be applied, raises, or makes numbers that are not finite is a row with the reason, and so is one whose cosine
    with the reference is not three standard errors above 0. The reason of a route that sees the point alone names the
    lines that `inspect` found to break the derivative.

    Args:
        f: a function of pytrees of floats to a real scalar, traceable or not; it may take `key`, and is then judged by
            its mean over keys.
        routes: by name or as a sequence: each a `Route`, any function f -> g, or None for plain
            differentiation. Default: plain differentiation and every route of the library that needs no setting, with
            the width of the reference where it has one.
        at: the point: the argument where f needs only one, else the tuple of positional arguments.
        key: an int or a JAX key.
        argnums: which positional arguments to differentiate, as for `jax.grad`.
        estimates: gradients made by each route, at least 4; routes that do not draw make two, which tell their time.
        scale: the distance, a positive number in units of the argument.
        truth: the gradient to compare with, shaped like the differentiated argument (the tuple of several).
        wanted: the cosine, in (0, 1), that `Measured.needed` is about.
        evaluations: spent on the reference at each width tried.

    Returns:
        A `Comparison`: print it, read `.rows`, `.best` and `.record()`, or draw it with `descend.report`.

    Raises:
        TypeError: if f cannot be called, `at` is missing, traced or does not fit f, or `routes` are none.
        ValueError: if a number is out of range. Exceptions of f itself at `at` are raised as they are.
    """
    _check(f, at, estimates, scale, wanted, evaluations)
    args = at_arguments(f, at)
    moving, start = moved(args, argnums), restrict(f, args, argnums)
    key = numerics.as_key(key)
    x, unravel = ravel_pytree(jax.tree.map(jnp.asarray, moving))
    if not jnp.all(jnp.isfinite(x)):
        raise ValueError("at contains NaN or infinity")
    size = unit(moving)

    def flat(function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of the whole tree as one of a vector and a key."""
        takes = takes_key(function)
        return lambda x, key: function(unravel(x), **({"key": key} if takes else {}))

    seen, unseen = evaluate(start, moving, key), ""
    draws = not seen.black_box and _states_draws(flat(start), x, key)
    if truth is not None:
        if jax.tree.map(np.shape, truth) != jax.tree.map(np.shape, moving):
            raise ValueError("truth must be shaped like the differentiated argument")
        found, spent = references.exact(ravel_pytree(truth)[0], "the gradient that was given"), 4
    else:
        findings = inspect(start, at=moving, key=key, thorough=False)
        keys = (jax.random.split(jax.random.fold_in(key, 2), estimates), jax.random.fold_in(key, 3))
        if draws and scale is None and not _besides_draws(findings):
            found = references.over_draws(flat(start), x, keys[1], evaluations)
        else:
            found = _reference(start, flat, x, keys, findings, size, scale, evaluations)
        spent, unseen = findings.evaluations + found.units + 4, _lines(findings)
    keys = jax.random.split(jax.random.fold_in(key, 1), estimates)
    routes = [None, *_defaults(found.width, draws)] if routes is None else routes
    bench = _Bench(start, flat, x, keys, found, seen.black_box, unseen)
    rows = [bench.measured(*each, wanted) for each in _named(routes)]
    spent += sum(bench.spent.values())
    why = "" if found.informative else _uninformative(found)
    if why:
        rows = [dataclasses.replace(row, trust=None, why=row.why if row.trust is None else why) for row in rows]
    return Comparison(rows, calls.name_of(f), x.size, found.said, found.length, wanted, why, spent)


def _check(f: Any, at: Any, estimates: Any, scale: Any, wanted: Any, evaluations: Any) -> None:
    if not callable(f):
        raise TypeError(f"compare_routes takes a function, got {f!r}")
    if at is None:
        raise TypeError("compare_routes needs at=, the point to compare at")
    if not isinstance(estimates, int) or estimates < 4:
        raise ValueError(f"estimates must be an int of at least 4, got {estimates!r}")
    if scale is not None and not (np.ndim(scale) == 0 and np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be a positive number, got {scale!r}")
    if not 0 < wanted < 1:
        raise ValueError(f"wanted is a cosine between 0 and 1, got {wanted!r}")
    integer("evaluations", evaluations)


def _named(among: Any) -> list[tuple[str, Any]]:
    """Names with routes."""
    if isinstance(among, Mapping):
        named = [(str(name), route) for name, route in among.items()]
    elif isinstance(among, Sequence) and not isinstance(among, str):
        named = [(_name(route), route) for route in among]
    else:
        raise TypeError(f"routes come by name or as a sequence, got {among!r}")
    for name, route in named:
        if route is not None and not callable(route):
            raise TypeError(f"{name} is not a route or a function, got {route!r}")
    return named


def _name(route: Any) -> str:
    """As it is typed, with the settings that are not the defaults."""
    if not isinstance(route, routes.Route):
        return PLAIN if route is None else calls.name_of(route)
    settings = [(each.name, getattr(route, each.name)) for each in dataclasses.fields(route) if each.repr]
    own = [f"{name}={_shown(value)}" for name, value in settings if not _is_default(route, name, value)]
    return f"{route.name()}({', '.join(own)})"


def _shown(value: Any) -> str:
    return getattr(value, "__name__", None) or repr(value)


def _is_default(route: routes.Route, name: str, value: Any) -> bool:
    default = route.__dataclass_fields__[name].default
    return value is default or (isinstance(value, (int, float, str)) and value == default)


def _defaults(width: float, draws: bool) -> list[routes.Route]:
    """Every route that needs no setting, as wide as the reference; of those for stated draws, if there are any."""
    found = []
    for kind in routes.every():
        wide = {
            name: float(f"{width:.3g}") for name in ("sigma", "step") if width and name in kind.__dataclass_fields__
        }
        if draws or not kind.NEEDS.draws:
            with contextlib.suppress(TypeError):  # a setting without a default
                found.append(kind(**wide))
    return found


def _states_draws(f: Callable[..., Any], x: Any, key: jax.Array) -> bool:
    return any(eqn.primitive is DRAW for eqn, _ in walk(jax.make_jaxpr(f)(x, key).jaxpr))


def _reference(
    f: Callable[..., Any],
    flat: Callable[..., Any],
    x: Any,
    keys: tuple[Any, Any],
    findings: Findings,
    size: float,
    scale: float | None,
    evaluations: int,
) -> Reference:
    said = findings.words
    lost = any(each.evidence.get("derivative passes") is False for each in findings.about("stochastic"))
    if scale is None and "smooth" in said and "chaotic" not in said and not lost:
        gradient = jax.jit(jax.grad(flat(f)))
        rows = [np.asarray(gradient(x, key)) for key in (keys[0] if "stochastic" in said else keys[0][:1])]
        return Reference(np.stack(rows), 0.0, {}, 3 * len(rows), "jax.grad, which agrees with finite differences")
    widths = references.WIDTHS if scale is None else (scale / size,)
    if scale is None and {"flat", "jumps"} & said and ("stochastic" not in said or _besides_draws(findings)):
        widths = tuple(width for width in widths if width >= BROKEN)
    return references.finite_scale(
        flat(f), x, keys[1], widths=tuple(width * size for width in widths), evaluations=evaluations
    )


def _besides_draws(findings: Findings) -> bool:
    """Whether lines are flat or jump where nothing is drawn."""
    drawn = {(each.where.get("file"), each.where.get("line")) for each in findings.about("stochastic")}
    broken = [*findings.about("flat"), *findings.about("jumps")]
    return any((each.where.get("file"), each.where.get("line")) not in drawn for each in broken)


def _lines(findings: Findings) -> str:
    """The lines that break the derivative, as the reader of the program found and probing confirmed them."""
    broken = [f for f in findings if f.what in ("flat", "jumps", "kinked") and "line" in f.where]
    named = [f"{f.what} at {os.path.basename(f.where['file'])}:{f.where['line']}" for f in broken[:NAMED]]
    return ", ".join(named) + f" and {len(broken) - NAMED} more" * (len(broken) > NAMED)


def _uninformative(found: Reference) -> str:
    tried = ", ".join(f"z = {z:.1f} at {width:.3g}" for width, z in found.signal.items())
    return f"no gradient shows through noise of any width ({tried}): search by values, or state the problem otherwise"


@dataclasses.dataclass
class _Bench:
    """One function with one reference, on which routes are measured one after the other."""

    f: Callable[..., Any]
    flat: Callable[..., Any]
    x: Any
    keys: Any
    reference: Reference
    black_box: bool
    unseen: str
    spent: dict[str, int] = dataclasses.field(default_factory=dict)

    def measured(self, name: str, route: Any, wanted: float) -> Measured:
        """The row of a route; whatever it raises is the reason of its refusal."""
        routed, gives = self.f, "exact"
        try:
            if route is not None:
                routed = route(self.f)
                gives = getattr(getattr(routed, "route", None), "GIVES", "")
            settings = getattr(routed, "route", None)
            with routes.reraised():
                values, rows, times = self._estimates(routed)
        except Exception as error:  # a route that fails is a result, not an end
            return Measured(name, gives, why=_reason(error))
        units = 3.0 if route is None else math.nan if settings is None else settings.NEEDS.units(settings, self.x.size)
        self.spent[name] = 0 if math.isnan(units) else int(units) * len(times)
        eps = np.finfo(self.x.dtype).eps * np.sqrt(max(1, self.x.size) / 2)
        rounding = eps * abs(values[0]) / self.reference.width if self.reference.width else 0.0
        rows = rows if (rows != rows[:1]).any() else rows[:1]
        with np.errstate(all="ignore"):
            trust = trust_of(rows, self.reference.draws.astype(rows.dtype), rounding)
        trust = type(trust)(*map(float, trust))
        apart = np.sum((rows - rows.mean(0)) ** 2, axis=1) * len(rows) / max(1, len(rows) - 1)
        why = trust.why
        if why and gives in OF_THE_POINT and self.unseen:
            why = f"{why}; it does not see that the function is {self.unseen}"
        return Measured(
            name,
            gives,
            trust,
            why,
            variance=float(apart.mean()),
            variance_se=float(apart.std(ddof=1) / math.sqrt(len(rows))) if len(rows) > 1 else 0.0,
            needed=math.inf if trust.verdict == "refused" else trust.samples_for(wanted),
            units=float(units),
            seconds=float(np.median(times[1:])),
            compilation=float(max(0.0, times[0] - np.median(times[1:]))),
        )

    def _estimates(self, routed: Callable[..., Any]) -> tuple[np.ndarray, np.ndarray, list[float]]:
        """Values, gradients and the seconds of each call, the first of which compiles."""
        run = jax.jit(jax.value_and_grad(self.flat(routed)))
        count = len(self.keys) if takes_key(routed) else 2
        values, rows, times = [], [], []
        for key in self.keys[:count]:
            began = time.perf_counter()
            value, gradient = jax.block_until_ready(run(self.x, key))
            times.append(time.perf_counter() - began)
            values.append(float(value))
            rows.append(np.asarray(gradient))
        return np.array(values), np.stack(rows), times


def _reason(error: Exception) -> str:
    if isinstance(error, calls.TRACING_ERRORS):
        return f"it must trace the function, which {calls.why_untraceable(error)}"
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"
