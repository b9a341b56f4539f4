"""The contract of a route: same value, new derivative."""

import abc
import contextlib
import contextvars
import dataclasses
import functools
import inspect
import re
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.routes.black_box import reraised
from descend.routes.point import Point
from descend.routes.program import Arguments, Program, read, signature, takes_key

GIVES = ("exact", "unbiased", "unbiased-for-smoothed", "biased", "subgradient", "surrogate")

# How many routes enclose the function that is being read: nested routes with one key must not draw the same numbers.
_LEVEL: contextvars.ContextVar[int] = contextvars.ContextVar("level", default=0)


class Needs(NamedTuple):
    """What a route needs, read by `plan` and by `laws.check_route`.

    Attributes:
        traceable: it differentiates the function, which therefore must not be a black box.
        random: it draws, so the derivative needs `key=`.
        units: `units(route, n)`: what value and gradient by n numbers cost together, in units of one value.
        dimension_limit: the n beyond which a gradient is mostly noise at the default settings; None for no such limit.
        draws: it differentiates the mean over the draws that f states by `descend.draws`, of which others know nothing.
    """

    traceable: bool
    random: bool
    units: Callable[[Any, int], int]
    dimension_limit: int | None = None
    draws: bool = False


@dataclasses.dataclass(frozen=True, repr=False)
class Route(abc.ABC):
    """Base of the routes: an object of settings that turns a function into one with another derivative.

    A subclass is a frozen dataclass (`repr=False`) in a file of its own in this folder, beside a lower-case function of
    the same name that users call. It obeys `descend.laws.check_route`.

    Attributes:
        GIVES: what its derivative is: one of `route.GIVES`. A property where a setting decides.
        NEEDS: what it needs.
        BREAKS: laws of `check_route` that it does not keep, with the reason. They are tested to be really broken.
    """

    GIVES: ClassVar[str]
    NEEDS: ClassVar[Needs]
    BREAKS: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        gives = cls.__dict__.get("GIVES", GIVES[0])
        if not isinstance(gives, property) and gives not in GIVES:
            raise TypeError(f"{cls.__name__}.GIVES must be one of {', '.join(GIVES)}, got {cls.GIVES!r}")

    @classmethod
    def name(cls) -> str:
        """As users type it: `straight_through` for `StraightThrough`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def example(cls) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """An instance on which the laws are tried: the default settings, unless a setting has no default."""
        return cls()

    def __repr__(self) -> str:
        settings = [(f, getattr(self, f.name)) for f in dataclasses.fields(self)]
        told = [f"{f.name}={_shown(s)}" for f, s in settings if s is not None and not (s is f.default and _quiet(s))]
        return f"{self.name()}({', '.join(told)})"

    @abc.abstractmethod
    def tangent(self, point: Point) -> tuple[Any, ...]:
        """The derivative at a point along its tangents, by f's arguments alone: one array per leaf of the value.

        Linear in `point.tangents`. What it gives for leaves that are not floating is ignored.
        """

    def narrowed(self, factor: Any) -> "Route":
        """The same route with what it blurs multiplied by `factor`, which may be traced: how solvers anneal.

        Default: itself.
        """
        return self

    def closed_over(self, point: Point) -> tuple[Any, ...] | None:
        """The derivative along the drift of what the programs close over. Default: f's own."""
        return point.drifted(0)

    def parts(self, point: Point) -> list[tuple[Any, ...] | None]:
        """What the derivative is the sum of; None for zero. Default: `closed_over` and `tangent`."""
        if not point.moving:
            return [self.closed_over(point)]
        self.check(point)
        return [self.closed_over(point), self.tangent(point)]

    def programs(self, f: Callable[..., Any], arguments: Arguments) -> tuple[Program, ...]:
        """The functions that the route runs, f first."""
        return (read(f, arguments),)

    def settings(self, arguments: Arguments) -> Any:
        """Settings that may be traced, as a pytree for `Point.settings`."""
        return ()

    def __call__(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """f with another derivative.

        Args:
            f: a function of pytrees to a pytree. If it takes `key`, it receives the caller's key unchanged.

        Returns:
            g with f's signature and, where the route draws, the keyword `key` (an int or a JAX key), which only the
            derivative needs. Only arguments that are differentiated are perturbed. `g.route` is this object.

        Raises:
            TypeError: if f is not callable.
        """
        if not callable(f):
            raise TypeError(f"{self.name()} takes a function, got {f!r}")
        seen, random = signature(f), takes_key(f)

        def g(*args: Any, **kwargs: Any) -> Any:
            key = _key(seen, args, kwargs) if self.NEEDS.random else None
            if self.NEEDS.random and not random:
                kwargs.pop("key", None)
            arguments = Arguments.split(args, kwargs)
            if not arguments.places and not self._replaces_closures:
                return f(*args, **kwargs)
            return self._differentiable(f, arguments, key)

        with contextlib.suppress(AttributeError):
            functools.update_wrapper(g, f)
        if seen is not None and self.NEEDS.random:
            vars(g)["__signature__"] = _with_key(seen)
        vars(g)["route"] = self
        return g

    @property
    def _replaces_closures(self) -> bool:
        """Whether the derivative differs from f's own even where no argument is traced."""
        return (type(self).closed_over, type(self).parts) != (Route.closed_over, Route.parts)

    def _differentiable(self, f: Callable[..., Any], arguments: Arguments, key: Any) -> Any:
        level = _LEVEL.get()
        token = _LEVEL.set(level + 1)
        try:
            programs = self.programs(f, arguments)
        finally:
            _LEVEL.reset(token)
        if key is not None:
            constant = zlib.crc32(f"{self.name()} {level}".encode())
            key = jax.random.fold_in(numerics.as_key(key), constant)

        # Everything traced is an argument: a rule that captured it would fail inside a differentiated scan.
        @jax.custom_jvp
        def value(key: Any, settings: Any, leaves: Any, consts: Any) -> Any:
            return programs[0].run(leaves, consts[0])

        def rule(primals: Any, tangents: Any) -> Any:
            key, settings, leaves, consts = primals
            leaves = tuple(leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf) for leaf in leaves)
            along = [_alive(t) for t in tangents[2]]
            moving = tuple(i for i, t in enumerate(along) if t is not None and t.size)
            outs = value(*primals)
            point = Point(
                key,
                settings,
                leaves,
                moving,
                tuple(along[i] for i in moving),
                outs,
                programs,
                consts,
                tuple(tuple(_alive(t) for t in each) for each in tangents[3]),
                lambda key, leaves: value(key, settings, leaves, consts),
            )
            parts = self.parts(point)
            if programs[0].host:
                settle(outs, parts)
            return outs, tuple(
                _total(out, each) for out, *each in zip(outs, *(p for p in parts if p is not None), strict=True)
            )

        value.defjvp(rule, symbolic_zeros=True)
        with reraised():
            outs = value(key, self.settings(arguments), arguments.leaves, tuple(p.consts for p in programs))
            if programs[0].host:
                settle(outs)
        return jax.tree.unflatten(programs[0].tree, outs)

    def check(self, point: Point) -> None:
        """Raises what keeps the route from being differentiated at a point."""
        if self.NEEDS.random and point.key is None:
            raise ValueError(
                f"{self.name()} draws at random: its derivative needs key=, as in jax.grad(g)(x, key=jax.random.key(0))"
            )
        for leaf in point.shapes:
            if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
                raise TypeError(
                    f"{self.name()} differentiates by real arguments, got {leaf.dtype}: pass real and imaginary parts"
                )


def settle(*trees: Any) -> None:
    """Waits for what is concrete, so that a failing black box raises here."""
    jax.block_until_ready([leaf for leaf in jax.tree.leaves(trees) if not isinstance(leaf, jax.core.Tracer)])


def integer(name: str, value: Any) -> None:
    """Raises ValueError unless a setting is a positive int."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a positive int, got {value!r}")


def _alive(tangent: Any) -> Any:
    """A tangent, or None where it is zero by construction."""
    if isinstance(tangent, jax.custom_derivatives.SymbolicZero):
        return None
    tangent = tangent if hasattr(tangent, "dtype") else jnp.asarray(tangent)
    return None if tangent.dtype == jax.dtypes.float0 else tangent


def _total(out: Any, parts: list[Any]) -> Any:
    if not jnp.issubdtype(out.dtype, jnp.inexact):
        return np.zeros(out.shape, jax.dtypes.float0)
    return functools.reduce(jnp.add, (part.astype(out.dtype) for part in parts), jnp.zeros(out.shape, out.dtype))


def _key(seen: inspect.Signature | None, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The caller's key, by name or in f's own position for it."""
    if "key" in kwargs or seen is None or "key" not in seen.parameters:
        return kwargs.get("key")
    return seen.bind_partial(*args, **kwargs).arguments.get("key")


def _with_key(seen: inspect.Signature) -> inspect.Signature:
    if "key" in seen.parameters:
        return seen
    parameters = list(seen.parameters.values())
    at = len(parameters) - any(p.kind is p.VAR_KEYWORD for p in parameters)
    parameters.insert(at, inspect.Parameter("key", inspect.Parameter.KEYWORD_ONLY, default=None))
    return seen.replace(parameters=parameters)


def _quiet(default: Any) -> bool:
    """Whether a default goes without saying: numbers and functions are told, objects are not."""
    return not isinstance(default, (int, float)) and not inspect.isfunction(default)


def _shown(setting: Any) -> str:
    return getattr(setting, "__name__", None) or repr(setting)
