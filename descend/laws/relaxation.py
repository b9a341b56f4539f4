"""The laws of a soft operation."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.relax import Law, Operation

DRAWS = 12
TEMPERATURES = (1.0, 0.3, 0.02)


def check_relaxation(operation: Operation, key: Any = 0) -> None:
    """Checks the laws of a soft operation at arguments that it samples.

    Every operation: its distance from `.hard` stays within `.gap` and vanishes as the temperature falls; its gradient
    is that of finite differences; jit and vmap change nothing; the type of floats is kept; NaN stays NaN; a temperature
    that is not positive is refused. The laws that it declares hold, and those that it does not declare fail for some
    argument.

    Args:
        operation: the operation.
        key: an int or a JAX key.

    Raises:
        AssertionError: naming the operation and the law.
    """
    subject = Subject(operation, jax.random.split(numerics.as_key(key), DRAWS))
    for check in (_within_gap, _limit, _gradient, _transforms, _types, _bad_input):
        try:
            check(subject)
        except AssertionError as error:
            raise AssertionError(f"{operation}: {error}") from error
    for law, obeys in _LAWS.items():
        kept = subject.kept(obeys)
        if law in operation.laws and not kept:
            raise AssertionError(f"{operation}: breaks what it declares: {law.value}")
        if law not in operation.laws and kept:
            raise AssertionError(f"{operation}: keeps what it does not declare: {law.value}")


class Subject:
    """The operation under test with its draws, compiled once.

    Attributes:
        operation: the operation.
        keys: one a draw.
        draws: the arguments.
        temperatures: those looked at; None for an operation without.
        call: (first argument, the others, temperature) -> result, compiled.
    """

    def __init__(self, operation: Operation, keys: Any):
        self.operation, self.keys = operation, keys
        self.draws = [operation.sample(key) for key in keys]
        self.temperatures = TEMPERATURES if operation.tempered else (None,)
        self.static = tuple(None if isinstance(a, jax.Array) else a for a in self.draws[0])
        self.call = jax.jit(self.apply)
        self.differentiate = jax.jit(self._differentiate)

    def apply(self, x: Any, rest: Any, temperature: Any) -> Any:
        """The soft result; arguments that are not arrays are fixed."""
        others = [a if s is None else s for a, s in zip(rest, self.static[1:], strict=True)]
        return self.operation(x, *others, **_settings(temperature))

    def _differentiate(self, x: Any, rest: Any, temperature: Any, direction: Any, weights: Any) -> Any:
        def loss(x: Any) -> Any:
            result = jax.tree.leaves(self.apply(x, rest, temperature))
            return sum(jnp.sum(w * y) for w, y in zip(weights, result, strict=True))

        return jnp.sum(jax.grad(loss)(x) * direction), *jax.jvp(loss, (x,), (direction,))

    def distances(self, draw: Any, temperature: Any) -> list[tuple[Any, Any]]:
        """How far soft is from hard, and the gap, for each result."""
        hard = jax.tree.leaves(self.operation.hard(*draw))
        gap = self.operation.gap(*draw, **_settings(temperature))
        gaps = [gap] * len(hard) if len(jax.tree.leaves(gap)) != len(hard) else jax.tree.leaves(gap)
        soft = jax.tree.leaves(self.call(draw[0], draw[1:], temperature))
        return [(np.abs(np.asarray(a - b)), np.asarray(g)) for a, b, g in zip(soft, hard, gaps, strict=True)]

    def kept(self, obeys: Callable[..., bool]) -> bool:
        """Whether a law holds at every draw and temperature."""

        def one(draw: Any, temperature: Any, key: Any) -> bool:
            generator = np.random.default_rng(numerics.seed(key))
            return bool(obeys(lambda x: _first(self.call(x, draw[1:], temperature)), draw[0], generator))

        pairs = zip(self.draws, self.keys, strict=True)
        return all(one(draw, temperature, key) for draw, key in pairs for temperature in self.temperatures)


def _settings(temperature: Any) -> dict[str, Any]:
    return {} if temperature is None else {"temperature": temperature}


def _first(result: Any) -> Any:
    return jax.tree.leaves(result)[0]


def _rtol(dtype: Any = None) -> float:
    return 1e-9 if np.finfo(dtype or jnp.result_type(float)).bits >= 64 else 2e-4


def _within_gap(subject: Subject) -> None:
    for draw in subject.draws[:4]:
        for temperature in subject.temperatures:
            for off, gap in subject.distances(draw, temperature):
                worst = float(np.max(off - gap))
                if not worst <= _rtol():
                    raise AssertionError(f"at temperature {temperature} the gap is exceeded by {worst}")


def _limit(subject: Subject) -> None:
    """Hard when cold (or, without a temperature, at whole arguments), but not when warm."""
    tempered = subject.operation.tempered
    for draw in subject.draws[:4]:
        at = draw if tempered else tuple(map(jnp.round, draw))
        worst = max(float(np.max(off)) for off, _ in subject.distances(at, 1e-9 if tempered else None))
        if not worst <= 1e-5:
            raise AssertionError(f"the limit is missed by {worst}")
    warm = (off for draw in subject.draws for off, _ in subject.distances(draw, subject.temperatures[0]))
    if not max(float(np.max(off)) for off in warm) > 1e-6:
        raise AssertionError("it is not soft: nowhere does it differ from its hard twin")


def _gradient(subject: Subject) -> None:
    """A random weighted sum along a random direction, so that constants cannot pass; by central differences."""
    wide = np.finfo(jnp.result_type(float)).bits >= 64
    step, tolerance = (1e-5, 1e-5) if wide else (1e-2, 5e-2)
    generator = np.random.default_rng(0)
    for temperature in subject.temperatures[:2]:
        for draw in subject.draws[:3]:
            x, rest = draw[0], draw[1:]
            direction = jnp.asarray(generator.normal(size=x.shape), x.dtype)
            results = jax.tree.leaves(subject.call(x, rest, temperature))
            weights = [jnp.asarray(generator.normal(size=y.shape), y.dtype) for y in results]
            ahead = subject.differentiate(x + step * direction, rest, temperature, direction, weights)[1]
            behind = subject.differentiate(x - step * direction, rest, temperature, direction, weights)[1]
            pulled, _, pushed = subject.differentiate(x, rest, temperature, direction, weights)
            difference = float(ahead - behind) / (2 * step)
            off = max(abs(float(pulled) - difference), abs(float(pushed) - difference))
            if not off <= tolerance * max(1.0, abs(difference)):
                raise AssertionError(f"grad {pulled}, jvp {pushed}, finite differences {difference}")


def _transforms(subject: Subject) -> None:
    """Compiled with a traced temperature and mapped, against one at a time as it is typed."""
    draw, temperature = subject.draws[0], subject.temperatures[0]
    stack = jnp.stack([draw[0] for draw in subject.draws[:3]])
    together = jax.jit(jax.vmap(subject.apply, in_axes=(0, None, None)))(stack, draw[1:], temperature)
    alone = subject.operation(stack[1], *draw[1:], **_settings(temperature))
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        if not np.allclose(a[1], b, rtol=_rtol(), atol=_rtol()):
            raise AssertionError("jit(vmap) and eager differ")


def _types(subject: Subject) -> None:
    def cast(dtype: Any, draw: Any) -> Any:
        return tuple(a.astype(dtype) if isinstance(a, jax.Array) else a for a in draw)

    draw, temperature = subject.draws[0], subject.temperatures[0]
    narrow = cast(jnp.float32, draw)
    small, large = (subject.call(d[0], d[1:], temperature) for d in (narrow, draw))
    for a, b in zip(jax.tree.leaves(small), jax.tree.leaves(large), strict=True):
        if a.dtype != jnp.float32:
            raise AssertionError(f"float32 becomes {a.dtype}")
        if not np.allclose(a, b, rtol=1e-3, atol=1e-3):
            raise AssertionError("float32 differs from float64")
    whole = jnp.round(draw[0])
    for a, b in zip(
        jax.tree.leaves(subject.call(whole.astype(int), draw[1:], temperature)),
        jax.tree.leaves(subject.call(whole, draw[1:], temperature)),
        strict=True,
    ):
        if not np.allclose(a, b, rtol=1e-3, atol=1e-3):
            raise AssertionError("integers differ from whole floats")


def _bad_input(subject: Subject) -> None:
    draw = subject.draws[0]
    result = _first(subject.call(jnp.full_like(draw[0], jnp.nan), draw[1:], subject.temperatures[0]))
    if not np.isnan(np.asarray(result)).all():
        raise AssertionError("NaN does not stay NaN")
    for bad in (0.0, -1.0, float("nan"), float("inf")) if subject.operation.tempered else ():
        try:
            subject.operation(*draw, temperature=bad)
        except ValueError:
            continue
        raise AssertionError(f"a temperature of {bad} is accepted")


def _close(a: Any, b: Any) -> bool:
    return a.shape == b.shape and np.allclose(a, b, rtol=_rtol(), atol=_rtol())


def _monotone(call: Any, x: Any, generator: Any) -> bool:
    """Entries rise together, or one by one, a little or much."""
    one = np.zeros(x.size)
    one[generator.integers(x.size)] = generator.exponential()
    rises = (one.reshape(x.shape), 0.01 * one.reshape(x.shape), generator.exponential(size=x.shape))
    return all(np.all(call(x + rise) >= call(x) - _rtol()) for rise in rises)


def _shift_equivariant(call: Any, x: Any, generator: Any) -> bool:
    shift = generator.normal()
    return _close(call(x + shift), call(x) + shift)


def _shift_invariant(call: Any, x: Any, generator: Any) -> bool:
    return _close(call(x + generator.normal()), call(x))


def _permutation_equivariant(call: Any, x: Any, generator: Any) -> bool:
    order = generator.permutation(x.shape[-1])
    result = call(x)
    return result.ndim > 0 and result.shape[-1] == len(order) and _close(call(x[..., order]), result[..., order])


def _permutation_invariant(call: Any, x: Any, generator: Any) -> bool:
    return _close(call(x[..., generator.permutation(x.shape[-1])]), call(x))


def _row_stochastic(call: Any, x: Any, generator: Any) -> bool:
    result = np.asarray(call(x))
    return result.ndim > 0 and bool(np.all(result >= -_rtol())) and np.allclose(result.sum(-1), 1, atol=_rtol())


def _doubly_stochastic(call: Any, x: Any, generator: Any) -> bool:
    result = np.asarray(call(x))
    return result.ndim > 1 and _row_stochastic(call, x, generator) and np.allclose(result.sum(-2), 1, atol=_rtol())


_LAWS: dict[Law, Callable[..., bool]] = {
    Law.MONOTONE: _monotone,
    Law.SHIFT_EQUIVARIANT: _shift_equivariant,
    Law.SHIFT_INVARIANT: _shift_invariant,
    Law.PERMUTATION_EQUIVARIANT: _permutation_equivariant,
    Law.PERMUTATION_INVARIANT: _permutation_invariant,
    Law.ROW_STOCHASTIC: _row_stochastic,
    Law.DOUBLY_STOCHASTIC: _doubly_stochastic,
}
