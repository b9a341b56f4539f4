"""Functions that JAX cannot trace, as values inside JAX programs."""

import collections
import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from descend.calls import TRACING_ERRORS

_FAILURES: collections.deque[tuple[str, BaseException]] = collections.deque(maxlen=16)
_COUNTER = itertools.count(1)


def black_box(
    f: Callable[..., Any] | None = None,
    out: Any = None,
    *,
    batched: bool = False,
    catch: type[Exception] | tuple[type[Exception], ...] = (),
) -> Callable[..., Any]:
    """A traceable twin of any Python function: it works under `jit` and `vmap`, and leaves its derivative to a route.

    Routes that need only values do this by themselves to a function that cannot be traced; write it out to say what the
    function returns, to vectorize it, or to forgive failures.

    Args:
        f: a pure function of pytrees of arrays. It receives NumPy arrays of its own, which it may overwrite: floating
            ones as float64 (with the precision of JAX's float32 where x64 is off), a JAX key as the `uint32` numbers
            that `numpy.random.default_rng` takes. What it closes over must be concrete. Without f, gives a decorator.
        out: what f returns: a pytree of `jax.ShapeDtypeStruct` or of example arrays. Default: a float scalar.
        batched: f takes all lanes of a `vmap` at once: every array has one more leading axis, in arguments and results
            (of length 1 outside of `vmap`). Else f is called lane after lane, still in one call from the device.
        catch: exceptions that mean "no value here": the result is NaN.

    Returns:
        A function with f's signature. Exceptions of f reach the caller as they are where the twin is called with
        concrete arrays and where a route of this library is differentiated eagerly. Inside the user's own `jit` or
        `vmap` they arrive as `jax.errors.JaxRuntimeError` with their text; `reraised` turns those back.

    Raises:
        TypeError: if f returns something else than `out` says, or the twin is differentiated.
    """
    if f is None:
        return functools.partial(black_box, out=out, batched=batched, catch=catch)
    if not callable(f):
        raise TypeError(f"black_box takes a function, got {f!r}")
    out = jax.tree.map(_described, 0.0 if out is None else out)

    @functools.wraps(f)
    def twin(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = jax.tree.flatten((args, kwargs))
        leaves = [jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in leaves]
        places = tuple(i for i, leaf in enumerate(leaves) if isinstance(leaf, jax.core.Tracer))
        fixed = tuple(None if i in places else leaf for i, leaf in enumerate(leaves))
        host = _Host(f, tree, fixed, tuple((i, leaves[i].ndim) for i in places), _Result(out), batched, catch)
        if not places:
            return jax.tree.map(jnp.asarray, host())
        return _differentiable(host, [leaves[i] for i in places])

    return twin


@contextlib.contextmanager
def reraised() -> Iterator[None]:
    """Within this block the exceptions of black boxes that JAX wrapped come out as the user raised them.

    Results must be waited for inside the block (`jax.block_until_ready`), since JAX computes asynchronously.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        text = str(error)
        for token, original in list(_FAILURES):
            if token in text:
                raise original from None
        raise


def _differentiable(host: "_Host", leaves: list[Any]) -> Any:
    @jax.custom_jvp
    def call(*leaves: Any) -> Any:
        return jax.pure_callback(host, host.result.tree, *leaves, vmap_method="expand_dims")

    def rule(primals: Any, tangents: Any) -> Any:
        if not all(isinstance(t, jax.custom_derivatives.SymbolicZero) for t in tangents):
            from descend import routes

            cures = ", ".join(route.name() for route in routes.every() if not route.NEEDS.traceable)
            raise TypeError(
                f"{host.name} is a black box without a derivative: wrap it in a route that needs only values ({cures}) "
                "and pass as an argument what is to be differentiated"
            )
        value = call(*primals)
        return value, jax.tree.map(_zero, value)

    call.defjvp(rule, symbolic_zeros=True)
    return call(*leaves)


def _zero(value: Any) -> Any:
    return (
        jnp.zeros_like(value) if jnp.issubdtype(value.dtype, jnp.inexact) else np.zeros(value.shape, jax.dtypes.float0)
    )


def _described(leaf: Any) -> jax.ShapeDtypeStruct:
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    return jax.ShapeDtypeStruct(np.shape(leaf), jax.dtypes.canonicalize_dtype(dtype))


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


class _Result:
    """The shapes that a black box returns, with a hash."""

    def __init__(self, tree: Any):
        self.tree = tree
        self.leaves, self.structure = jax.tree.flatten(tree)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Result) and (self.leaves, self.structure) == (other.leaves, other.structure)

    def __hash__(self) -> int:
        return hash((tuple(self.leaves), self.structure))


@dataclass(frozen=True, eq=False)
class _Host:
    """The call that runs in Python. Calls with equal settings are equal, so that an eager loop compiles once."""

    f: Callable[..., Any]
    tree: Any
    fixed: tuple[Any, ...]
    traced: tuple[tuple[int, int], ...]  # place and number of axes of each traced leaf
    result: _Result
    batched: bool
    catch: Any

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Host) or self._settings != other._settings:
            return False
        return all(a is b for a, b in zip(self.fixed, other.fixed, strict=True))

    def __hash__(self) -> int:
        return hash((id(self.f), self.tree, self.traced, self.result))

    @property
    def _settings(self) -> tuple[Any, ...]:
        return (id(self.f), self.tree, self.traced, self.result, self.batched, self.catch)

    @property
    def name(self) -> str:
        return getattr(self.f, "__name__", type(self.f).__name__)

    def __call__(self, *arrays: Any) -> Any:
        """The results, with the leading axes that the arguments have beyond their own."""
        if not self.traced:
            return jax.tree.map(lambda r: r[0], self._batch([], 1)) if self.batched else self._evaluate(())
        arrays = tuple(np.asarray(a) for a in arrays)
        own = [a.shape[a.ndim - rank :] for a, (_, rank) in zip(arrays, self.traced, strict=True)]
        leads = {a.shape[: a.ndim - len(s)] for a, s in zip(arrays, own, strict=True)}
        if len(leads) == 1:  # the usual case without what broadcasting costs, which an almost free f would feel
            (lead,) = leads
            flat = len(lead) == 1
            lanes = list(arrays) if flat else [a.reshape(-1, *s) for a, s in zip(arrays, own, strict=True)]
        else:
            lead = np.broadcast_shapes(*leads)
            lanes = [np.broadcast_to(a, lead + s).reshape(-1, *s) for a, s in zip(arrays, own, strict=True)]
        try:
            results = self._batch(lanes, len(lanes[0])) if self.batched else self._loop(lanes)
            results = self.result.structure.flatten_up_to(results)
        except BaseException as error:
            token = f"[black box failure {next(_COUNTER)}]"
            _FAILURES.append((token, error))
            hint = "; it closes over a traced value: pass that as an argument" * isinstance(error, TRACING_ERRORS)
            raise RuntimeError(f"{self.name} raised {type(error).__name__}: {error}{hint} {token}") from error
        shaped = results if len(lead) == 1 else [r.reshape((*lead, *r.shape[1:])) for r in results]
        return self.result.structure.unflatten(shaped)

    def _loop(self, lanes: list[np.ndarray]) -> Any:
        rows = [self._evaluate(lane) for lane in zip(*lanes, strict=True)]
        if not rows:
            return self.result.structure.unflatten([np.empty((0, *r.shape), r.dtype) for r in self.result.leaves])
        return jax.tree.map(lambda *column: np.stack(column), *rows)

    def _batch(self, lanes: list[np.ndarray], size: int) -> Any:
        fixed = [
            leaf if leaf is None or not _is_array(leaf) else np.broadcast_to(leaf, (size, *np.shape(leaf)))
            for leaf in self.fixed
        ]
        return self._evaluate(lanes, fixed, (size,))

    def _evaluate(self, lane: Any, fixed: Any = None, lead: tuple[int, ...] = ()) -> Any:
        given = self.fixed if fixed is None else fixed
        leaves = [_own(leaf) if leaf is not None and _is_array(leaf) else leaf for leaf in given]
        for (place, _), value in zip(self.traced, lane, strict=True):
            leaves[place] = _own(value)
        args, kwargs = self.tree.unflatten(leaves)
        shapes = [lead + leaf.shape for leaf in self.result.leaves]
        try:
            value = self.f(*args, **kwargs)
        except self.catch:
            if not all(jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in self.result.leaves):
                raise
            filled = zip(shapes, self.result.leaves, strict=True)
            return self.result.structure.unflatten([np.full(shape, np.nan, leaf.dtype) for shape, leaf in filled])
        return self._checked(value, shapes)

    def _checked(self, value: Any, shapes: list[tuple[int, ...]]) -> Any:
        leaves, structure = jax.tree.flatten(value)
        if structure != self.result.structure:
            raise TypeError(
                f"{self.name} returned {structure}, expected {self.result.structure}: say so with black_box(f, out=...)"
            )
        checked = []
        for leaf, shape, wanted in zip(leaves, shapes, self.result.leaves, strict=True):
            array = np.asarray(leaf)
            if array.shape != shape or not np.can_cast(array.dtype, wanted.dtype, "same_kind"):
                raise TypeError(
                    f"{self.name} returned {array.dtype}{list(array.shape)}, expected {wanted.dtype}{list(shape)}: "
                    "say so with black_box(f, out=...)"
                )
            checked.append(array.astype(wanted.dtype))  # a copy: f may return one buffer again and again
        return structure.unflatten(checked)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray, np.generic))


def _own(leaf: Any) -> np.ndarray:
    """A writable array of the user's own; floats in double precision."""
    if leaf.dtype == np.float64:  # the usual case, without a question that takes longer than copying a number
        return np.array(leaf)
    return np.array(leaf, np.float64 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf.dtype)
