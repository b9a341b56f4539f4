"""The whole program softened: every operation without a derivative gives way to its soft twin, the code untouched."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.calls import TRACING_ERRORS, name_of, why_untraceable
from descend.program import compat
from descend.relax.families import Family
from descend.relax.operation import check_temperature
from descend.relax.rewriting.drawing import scored
from descend.relax.rewriting.interpreter import run
from descend.relax.rewriting.rules import Setting
from descend.relax.rewriting.values import Grain, Soft, number
from descend.relax.temperature import Gap, Rounds


def soften(
    f: Callable[..., Any],
    *,
    temperature: Any,
    family: Family | None = None,
    argnums: int | Sequence[int] | None = None,
    max_steps: int | Rounds | None = None,
) -> "Softened":
    """f with every step, comparison, branch, lookup, sort and loop that depends on its arguments softened.

    The program that JAX traces is rewritten, one small rule a primitive: comparisons become truth values in [0, 1],
    logic their products, branches (`where`, `cond`, `switch`) mixtures, rounding and conversion to integers staircases
    with soft steps, argmax and argsort weights, lookups sums over the table by weight, loops that stop by a condition
    means over the round at which they stop. Integers become floats: their means. What does not depend on the softened
    arguments, data and random draws included, stays exactly as it is. A random number that is compared with a parameter
    is reparametrized; draws stated by `descend.draws` stay what they are and are scored, so that the mean of the
    gradient over keys is that of the mean.

    The gradient is that of the softened function, exact. Where all comparisons are settled the value tends to f's as
    the temperature falls; at a tie it is one half of each side at any temperature.

    Args:
        f: a function of pytrees to a pytree that JAX can trace.
        temperature: the width of the soft steps, in units of what is compared or rounded (of counts and places for
            integers), a positive scalar that may be traced; or a `Gap`, the largest that keeps a wanted accuracy.
        family: of the steps; default: that of each operation (`logistic`; `box` for sorting, which then takes n log n).
        argnums: which positional arguments are softened. Default: all. Only their floating leaves are.
        max_steps: the most rounds of a `while_loop` that stops by a softened condition. Each costs this many rounds.
            `Rounds(at=x)` measures them on the hard program.

    Returns:
        g with `g(*args, **kwargs)` the softened value, and `temperature=` as a keyword to override its own.

    Raises:
        ValueError, TypeError: for a bad temperature or argnums. When called: TypeError for f that cannot be traced or
            has an argument named temperature; NotImplementedError, with the user's line, for what has no soft rule.

    Cost:
        Elementwise code a small multiple of f's; both sides of every softened branch; n a lookup in n places, n^2 an
        argsort of n values (`sort` alone takes n log n); max_steps rounds a softened loop.
    """
    if not callable(f):
        raise TypeError(f"soften takes a function, got {f!r}")
    if family is not None and not hasattr(family, "cdf"):
        raise TypeError(
            f"family must be one of descend.relax.logistic, gaussian, cauchy, polynomial, box, got {family!r}"
        )
    if isinstance(max_steps, Rounds):
        max_steps = max_steps.max_steps(f)
    if max_steps is not None and (isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 0):
        raise ValueError(f"max_steps must be an int, not negative, got {max_steps!r}")
    if "temperature" in _names(f):
        raise TypeError(f"{name_of(f)} has an argument named temperature, which g takes itself: rename it")
    chosen = None if argnums is None else tuple(np.atleast_1d(argnums).tolist())
    softened = Softened(f, temperature, family, chosen, max_steps)
    if isinstance(temperature, Gap):
        return softened.at(temperature.temperature(softened))
    check_temperature(temperature, "soften")
    return softened


class Softened:
    """A softened function: `g(*args, temperature=None, **kwargs)`.

    Attributes:
        hard: the function itself.
        temperature, family, argnums, max_steps: as given to `soften`.
    """

    def __init__(
        self,
        hard: Callable[..., Any],
        temperature: Any,
        family: Family | None,
        argnums: tuple[int, ...] | None,
        max_steps: int | None,
    ):
        functools.update_wrapper(self, hard, updated=())
        self.hard, self.temperature, self.family = hard, temperature, family
        self.argnums, self.max_steps = argnums, max_steps

    def __repr__(self) -> str:
        return f"<soft {name_of(self.hard)} at temperature {self.temperature}>"

    def at(self, temperature: Any) -> "Softened":
        """The same function at another temperature."""
        return soften(
            self.hard, temperature=temperature, family=self.family, argnums=self.argnums, max_steps=self.max_steps
        )

    def __call__(self, *args: Any, temperature: Any = None, **kwargs: Any) -> Any:
        """The softened value: a tree as f returns, with floats for integers and truth values that are softened."""
        temperature = self.temperature if temperature is None else temperature
        check_temperature(temperature, "soften")
        leaves, tree = jax.tree.flatten((args, kwargs))
        places = [i for i, leaf in enumerate(leaves) if _is_array(leaf)]

        def call(*arrays: Any) -> Any:
            everything = list(leaves)
            for place, array in zip(places, arrays, strict=True):
                everything[place] = array
            args, kwargs = jax.tree.unflatten(tree, everything)
            return self.hard(*args, **kwargs)

        arrays = [leaves[i] for i in places]
        try:
            closed, shapes = jax.make_jaxpr(call, return_shape=True)(*arrays)
        except TRACING_ERRORS as error:
            why = why_untraceable(error)
            cure = (
                "write branches with jnp.where or jax.lax.cond, or use descend.routes.smooth, which needs values only"
            )
            raise TypeError(f"soften cannot read {name_of(self.hard)}: {why}; {cure}") from error
        program = compat.drop_unused(compat.opened(closed))
        softened = self._softened(args, kwargs)
        values = [
            Soft(jnp.asarray(a), jnp.result_type(a), Grain.REAL)
            if softened[i] and jnp.issubdtype(jnp.result_type(a), jnp.inexact)
            else a
            for i, a in zip(places, arrays, strict=True)
        ]
        scores: list[Any] = []
        setting = Setting(temperature, self.family, self.max_steps, run, None, {}, scores)
        outs = [jnp.asarray(number(out)) for out in run(setting, program, values)]
        return jax.tree.unflatten(jax.tree.structure(shapes), scored(outs, scores))

    def _softened(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[bool]:
        """For each leaf of the arguments, whether it is softened."""
        if self.argnums is None:
            return [True] * len(jax.tree.leaves((args, kwargs)))
        if not all(-len(args) <= n < len(args) for n in self.argnums):
            raise ValueError(f"argnums={self.argnums} with {len(args)} positional arguments")
        chosen = {n % len(args) for n in self.argnums}
        marks = [[i in chosen] * len(jax.tree.leaves(a)) for i, a in enumerate(args)]
        return [m for each in marks for m in each] + [False] * len(jax.tree.leaves(kwargs))

    def gap(self, *args: Any, temperature: Any = None, **kwargs: Any) -> Any:
        """How far the softened value is from the hard one here, |g - f|, as a tree of floats. Called as g is.

        Along an annealing: `jax.vmap(lambda t: g.gap(x, temperature=t))(temperatures)`.
        """
        softened, hard = self(*args, temperature=temperature, **kwargs), self.hard(*args, **kwargs)
        return jax.tree.map(lambda s, h: jnp.abs(s - jnp.asarray(h, jnp.result_type(s, float))), softened, hard)


def _is_array(leaf: Any) -> bool:
    """Whether a leaf is traced. Python's own integers and truth values may be sizes and flags, and stay."""
    return isinstance(leaf, (jax.Array, np.ndarray, np.generic, float, complex)) and getattr(
        leaf, "dtype", np.dtype(float)
    ) != np.dtype(object)


def _names(f: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(f).parameters)
    except (ValueError, TypeError):
        return set()
