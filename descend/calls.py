"""Calling the user's functions: what they take by name, what they may return, and why they cannot be traced."""

import contextlib
import difflib
import inspect
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics

KEYWORDS = ("key", "batch", "given")
TRACING_ERRORS = (
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.UnexpectedTracerError,
)


class WrongReturnError(TypeError):
    """A function returned the wrong kind of thing."""


def name_of(function: Callable[..., Any]) -> str:
    """What messages call a function."""
    return getattr(function, "__name__", type(function).__name__)


def keywords(function: Callable[..., Any]) -> tuple[str, ...]:
    """Which of `key`, `batch` and `given` a function takes by name."""
    named = parameters(function)
    return tuple(name for name in KEYWORDS if name in named)


def taking(function: Callable[..., Any], names: Sequence[str], name: str) -> Callable[..., Any]:
    """A function of x, and of anything by name, as one of x and of these names, called `name`."""
    kinds = inspect.Parameter
    named = [kinds(each, kinds.KEYWORD_ONLY) for each in names]
    function.__signature__ = inspect.Signature(  # pyright: ignore[reportFunctionMemberAccess]
        [kinds("x", kinds.POSITIONAL_OR_KEYWORD), *named]
    )
    function.__name__ = name
    return function


def unused(name: str, names: Sequence[str]) -> str:
    """The name, or one like it that is not among these."""
    return name if name not in names else unused(f"{name} *", names)


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters after x (none where the signature cannot be read)."""
    try:
        return dict(list(inspect.signature(function).parameters.items())[1:])
    except (ValueError, TypeError):
        return {}


def check_keywords(function: Callable[..., Any], has_data: bool, has_given: bool) -> None:
    """Refuse a function that asks for what it will not get.

    Raises:
        ValueError: naming what is asked for.
    """
    name, named = name_of(function), parameters(function)
    required = {
        label
        for label, parameter in named.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    for label in sorted(required - set(KEYWORDS)):
        close = difflib.get_close_matches(label, KEYWORDS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{name} takes {label!r}, but only x, key, batch and given are passed{hint}")
    if "batch" in named and not has_data:
        raise ValueError(f"{name} takes 'batch', but the problem has no data=")
    if "given" in required and not has_given:
        raise ValueError(f"{name} takes 'given', but the problem has no given=")


def check_data(data: Any, batch_size: Any) -> None:
    """Refuse data that cannot be cut into rows.

    Raises:
        ValueError: saying why.
    """
    lengths = {len(leaf) if np.ndim(leaf) else None for leaf in jax.tree.leaves(data)}
    if len(lengths) != 1 or None in lengths or 0 in lengths:
        raise ValueError(
            f"data must be arrays with equal, non-empty leading axes, got lengths {sorted(map(str, lengths))}"
        )
    if batch_size is not None and not (isinstance(batch_size, int) and batch_size >= 1):
        raise ValueError(f"batch_size must be a positive int, got {batch_size!r}")


def check_adversary(problem: Any) -> None:
    """Refuse an adversary that does not exist, that is everybody, or that plays another game.

    Raises:
        ValueError: if a name is unknown, or all variables are named.
        NotImplementedError: if something is asked for that cannot be had together with an adversary.
    """
    names, variables = problem.adversary, problem.domain.names
    for name in names:
        if name not in variables:
            near = difflib.get_close_matches(name, variables, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"adversary names {name!r}; the variables are {', '.join(n or 'x' for n in variables)}{hint}"
            )
    if names and set(names) == set(variables):
        raise ValueError("every variable is of the adversary: state a maximization instead")
    excluded = {
        "subject_to": problem.subject_to, 'sense="max"': problem.sense == "max",
        "several objectives": problem.objectives, "discrete variables": problem.domain.discrete,
        "a random objective": problem.random, "a black box": problem.black_box,
        "batch_size": problem.batch_size is not None, "judge": problem.judge is not None,
    }  # fmt: skip
    for what, given in excluded.items():
        if names and given:
            raise NotImplementedError(f"adversary= together with {what} is not supported")


def scalar(value: Any, who: str) -> Any:
    """A returned objective as a float scalar.

    Raises:
        WrongReturnError: if it is not one.
    """
    if isinstance(value, dict):
        names = ", ".join(map(repr, sorted(value)))
        raise WrongReturnError(f"{who} returned several values ({names}); for a black box, name them with weights=")
    value = array(value, who)
    if np.shape(value) != ():
        raise WrongReturnError(f"{who} must return a scalar, got shape {np.shape(value)}")
    return value


def scalars(value: Any, names: tuple[str, ...]) -> list[Any]:
    """Several returned objectives as float scalars, in the order of their names.

    Raises:
        WrongReturnError: if they are not a dict of these.
    """
    if not isinstance(value, dict):
        raise WrongReturnError(f"weights= is for an objective that returns a dict, got {type(value).__name__}")
    if not names or set(value) != set(names):
        raise WrongReturnError(f"weights= names {sorted(names)}, the objective returned {sorted(value)}")
    return [scalar(value[name], f"objective {name!r}") for name in names]


def weights(stated: Any) -> dict[str, float] | None:
    """Weights of objectives by name, checked.

    Raises:
        TypeError: if they are not a dict of numbers.
        ValueError: if one is negative or not finite, or all are zero.
    """
    if stated is None:
        return None
    try:
        found = {str(name): float(weight) for name, weight in stated.items()}
    except (AttributeError, TypeError, ValueError):
        raise TypeError(f"weights must be a dict from the names of objectives to numbers, got {stated!r}") from None
    if not all(0 <= weight < np.inf for weight in found.values()) or not any(found.values()):
        raise ValueError(f"weights must be finite, not negative and not all zero, got {stated!r}")
    return found


def array(value: Any, who: str) -> Any:
    """A returned value as a float array of its own library.

    Raises:
        WrongReturnError: if it is not made of real numbers.
    """
    xp = numerics.namespace(value)
    try:
        value = xp.asarray(value)
    except (TypeError, ValueError):
        raise WrongReturnError(f"{who} must return a number, got {type(value).__name__}") from None
    if value.dtype.kind in "biu":
        return value.astype(np.float64 if xp is np else jnp.result_type(float))
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise WrongReturnError(f"{who} must return real numbers, got {value.dtype}")
    return value


def average(function: Callable[[Any], Any], data: Any, size: int, on_host: bool) -> Any:
    """The average of function(rows) over all rows of `data`, `size` of them in memory at a time.

    Args:
        function: takes rows shaped like `data` and returns a tree of arrays: averages over these rows.
        data: a tree of arrays with equal leading axes.
        size: rows in a block; the last block may be shorter.
        on_host: whether the blocks are taken one by one in Python rather than compiled into a loop.
    """
    rows = len(jax.tree.leaves(data)[0])
    whole, rest = divmod(rows, size)
    cut = lambda start, stop: jax.tree.map(lambda a: a[start:stop], data)  # noqa: E731
    add = lambda total, value, share: jax.tree.map(lambda t, v: t + v * share, total, value)  # noqa: E731
    if on_host:
        means = [function(cut(i * size, (i + 1) * size)) for i in range(whole)]
        total = jax.tree.map(lambda *values: sum(values) * size / rows, *means)
    else:
        blocks = jax.tree.map(lambda a: a[: whole * size].reshape(whole, size, *a.shape[1:]), data)
        total = jax.tree.map(lambda v: v.mean(0) * (whole * size / rows), jax.lax.map(function, blocks))
    return add(total, function(cut(whole * size, rows)), rest / rows) if rest else total


def back(function: Callable[..., Any], out: Any, arguments: tuple[Any, ...]) -> Any:
    """function(*arguments) on the host, from traced code: one host call for a whole batch of points.

    A call that raises gives NaN: raising there would end the program.

    Args:
        function: of NumPy arrays; returns a tree like `out`.
        out: a tree of `jax.ShapeDtypeStruct`, of floats.
        arguments: trees of arrays, perhaps tracers.
    """
    leaves, tree = jax.tree.flatten(arguments)
    ranks = [leaf.ndim for leaf in leaves]

    def host(*arrays: Any) -> Any:
        read = [np.asarray(a) for a in arrays]
        lead = np.broadcast_shapes(*[a.shape[: a.ndim - rank] for a, rank in zip(read, ranks, strict=True)])
        full = [np.broadcast_to(a, lead + a.shape[a.ndim - rank :]) for a, rank in zip(read, ranks, strict=True)]
        answers = [np.full((*lead, *leaf.shape), np.nan, leaf.dtype) for leaf in jax.tree.leaves(out)]
        for index in np.ndindex(*lead):
            with contextlib.suppress(Exception):
                found = function(*tree.unflatten([a[index] for a in full]))
                for answer, value in zip(answers, jax.tree.leaves(found), strict=True):
                    answer[index] = value
        return jax.tree.unflatten(jax.tree.structure(out), answers)

    return jax.pure_callback(host, out, *leaves, vmap_method="expand_dims")


def why_untraceable(error: BaseException) -> str:
    """One line on why tracing stopped, with the last line of code outside JAX, NumPy and this library."""
    inside = ("/jax/", "/jaxlib/", "/descend/problem.py", "/descend/calls.py", "/numpy/", "<frozen")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not any(part in f.filename for part in inside)]
    where = f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
    if isinstance(error, TRACING_ERRORS):
        return where + "uses values, which a traced function cannot"
    return where + f"{type(error).__name__}: {error}".splitlines()[0]
