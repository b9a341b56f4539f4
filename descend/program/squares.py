"""Sums of squares: the residuals of which a function is the squared length."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.program import compat


class Squares(NamedTuple):
    """f(x) = |residual(x)|^2 + constant.

    Attributes:
        residual: a traceable function of what f takes, returning a vector.
        constant: the part of f that does not depend on x.
    """

    residual: Callable[..., Any]
    constant: float


class _Term(NamedTuple):
    """The sum of weight * variable^2 (or of the variable itself, before it is known to be a square)."""

    weight: np.ndarray
    variable: Any


def read(f: Callable[..., Any], x: Any, *given: Any) -> Squares | None:
    """The residuals of a function that is written as a sum of squares, or None where it is not.

    Read backward from the result: sums, means and positive multiples of squares, of even powers, of products of a thing
    with itself, of squared roots of these (a squared norm). Each factor must be known when the program is read.

    Args:
        f: a traceable function of pytrees that returns a real scalar.
        x: a pytree of arrays or numbers, the arguments.
        *given: further arguments of f, which are constant.
    """
    leaves, tree = jax.tree.flatten(x)
    flat = lambda leaves: f(jax.tree.unflatten(tree, leaves), *given)  # noqa: E731
    program = compat.inlined(compat.trace(flat, leaves))
    if len(program.jaxpr.outvars) != 1 or program.jaxpr.outvars[0].aval.shape != ():
        return None
    try:
        terms, constant = _Backward(program).terms()
    except _NotSquaresError:
        return None

    def residual(x: Any) -> Any:
        values = compat.evaluate_at(program, [t.variable for t in terms], jax.tree.leaves(x))
        parts = [jnp.ravel(jnp.sqrt(t.weight) * v) for t, v in zip(terms, values, strict=True)]
        return jnp.concatenate(parts)

    return Squares(residual, constant) if terms else None


class _NotSquaresError(Exception):
    """The program is not a sum of squares, or not visibly."""


class _Backward:
    def __init__(self, program: compat.Program):
        self.program = program
        self.maker = {v: eqn for eqn in program.jaxpr.eqns for v in eqn.outvars}
        self.consts = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
        self.found: list[_Term] = []
        self.constant = 0.0

    def terms(self) -> tuple[list[_Term], float]:
        self.collect(self.program.jaxpr.outvars[0], np.ones(()))
        return self.found, self.constant

    def value(self, atom: Any) -> np.ndarray | None:
        """The value of a constant; None where it depends on the inputs."""
        if compat.is_literal(atom):
            return np.asarray(atom.val)
        if atom in self.consts:
            return np.asarray(self.consts[atom])
        eqn = self.maker.get(atom)
        if eqn is None or eqn.primitive.name in compat.CALLBACKS:
            return None
        ins = [self.value(v) for v in eqn.invars]
        if any(i is None for i in ins):
            return None
        value = np.asarray(compat.bind(eqn, ins)[eqn.outvars.index(atom)])
        self.consts[atom] = value
        return value

    def collect(self, atom: Any, weight: np.ndarray) -> None:
        """Enters sum(weight * atom) as squares."""
        known = self.value(atom)
        if known is not None:
            self.constant += float(np.sum(weight * known))
            return
        eqn = self.maker.get(atom)
        rule = None if eqn is None else getattr(self, f"of_{eqn.primitive.name}", None)
        if rule is None:
            raise _NotSquaresError
        rule(eqn, weight)

    def square(self, variable: Any, weight: np.ndarray) -> None:
        eqn = self.maker.get(variable)
        if eqn is not None and eqn.primitive.name == "sqrt":
            return self.collect(eqn.invars[0], weight)
        if np.any(weight < 0) or not np.all(np.isfinite(weight)):
            raise _NotSquaresError
        self.found.append(_Term(np.broadcast_to(weight, variable.aval.shape), variable))
        return None

    def of_add(self, eqn: Any, weight: np.ndarray) -> None:
        for atom in eqn.invars:
            self.collect(atom, np.broadcast_to(weight, eqn.outvars[0].aval.shape))

    of_add_any = of_add

    def of_sub(self, eqn: Any, weight: np.ndarray) -> None:
        known = self.value(eqn.invars[1])
        if known is None:
            raise _NotSquaresError
        self.constant -= float(np.sum(weight * known))
        self.collect(eqn.invars[0], weight)

    def of_mul(self, eqn: Any, weight: np.ndarray) -> None:
        a, b = eqn.invars
        if a is b:
            return self.square(a, weight)
        for factor, other in ((a, b), (b, a)):
            known = self.value(factor)
            if known is not None:
                return self.collect(other, weight * known)
        raise _NotSquaresError

    def of_div(self, eqn: Any, weight: np.ndarray) -> None:
        known = self.value(eqn.invars[1])
        if known is None or np.any(known == 0):
            raise _NotSquaresError
        self.collect(eqn.invars[0], weight / known)

    def of_square(self, eqn: Any, weight: np.ndarray) -> None:
        self.square(eqn.invars[0], weight)

    def of_integer_pow(self, eqn: Any, weight: np.ndarray) -> None:
        if eqn.params["y"] != 2:
            raise _NotSquaresError
        self.square(eqn.invars[0], weight)

    def of_dot_general(self, eqn: Any, weight: np.ndarray) -> None:
        (left, right), (batch, _) = eqn.params["dimension_numbers"]
        a, b = eqn.invars
        if a is not b or tuple(left) != tuple(right) or len(left) + len(batch) != len(a.aval.shape):
            raise _NotSquaresError
        if batch:
            raise _NotSquaresError
        self.square(a, np.broadcast_to(weight, a.aval.shape))

    def of_reduce_sum(self, eqn: Any, weight: np.ndarray) -> None:
        shape = eqn.invars[0].aval.shape
        for axis in sorted(eqn.params["axes"]):
            weight = np.expand_dims(weight, axis)
        self.collect(eqn.invars[0], np.broadcast_to(weight, shape))

    def of_reshape(self, eqn: Any, weight: np.ndarray) -> None:
        self.collect(eqn.invars[0], np.reshape(weight, eqn.invars[0].aval.shape))

    of_squeeze = of_reshape

    def of_copy(self, eqn: Any, weight: np.ndarray) -> None:
        self.collect(eqn.invars[0], weight)

    def of_convert_element_type(self, eqn: Any, weight: np.ndarray) -> None:
        if not jnp.issubdtype(eqn.invars[0].aval.dtype, jnp.floating):
            raise _NotSquaresError
        self.collect(eqn.invars[0], weight)
