"""What a program costs, read from it without running it."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from descend.program import compat

CALL = 30.0  # nanoseconds of one operation on few numbers, inside a compiled loop
FLOP = 0.1  # of a multiplication inside a product of matrices
COSTLY = {  # nanoseconds a number; everything else takes 1
    "sort": 50.0, "gather": 2.0, "scatter": 10.0, "scatter-add": 10.0, "random_bits": 10.0, "top_k": 20.0, "fft": 30.0,
    "exp": 3.0, "log": 3.0, "log1p": 8.0, "expm1": 8.0, "sin": 8.0, "cos": 8.0, "tan": 15.0, "tanh": 8.0, "pow": 15.0,
    "logistic": 8.0, "erf": 8.0, "erf_inv": 15.0, "atan2": 15.0, "lgamma": 40.0, "digamma": 40.0, "igamma": 500.0,
    "random_gamma": 500.0, "regularized_incomplete_beta": 1000.0,
}  # fmt: skip
CUBIC = {"cholesky": 0.1, "lu": 0.3, "qr": 1.0, "geqrf": 1.0, "householder_product": 1.0, "eigh": 5.0, "svd": 3.0,
         "eig": 20.0, "schur": 20.0, "triangular_solve": 0.3}  # fmt: skip


def cost(function: Callable[..., Any], *args: Any) -> float:
    """An estimate, in nanoseconds, of the time that a compiled function takes on one core; good to a factor of ten.

    It is the same on every run and every machine. Loops count as often as they run; infinite where that, or the time of
    a call to the host, is not known.
    """
    return _total(compat.trace(function, *args).jaxpr)


def _total(jaxpr: Any) -> float:
    return sum(_equation(eqn) for eqn in jaxpr.eqns)


def _equation(eqn: Any) -> float:
    name = eqn.primitive.name
    inside = [(parameter, _total(program.jaxpr)) for parameter, _, program in compat.inner(eqn)]
    if name == "while" or name in compat.CALLBACKS:
        return np.inf
    if name == "scan":
        return CALL + eqn.params["length"] * sum(total for _, total in inside)
    if name == "cond":
        return CALL + max(total for _, total in inside)
    if inside:
        return sum(total for _, total in inside)
    numbers = sum(_size(v) for v in (*eqn.invars, *eqn.outvars))
    if name == "dot_general":
        (left, _), _ = eqn.params["dimension_numbers"]
        shape = eqn.invars[0].aval.shape
        return CALL + FLOP * math.prod(shape[i] for i in left) * _size(eqn.outvars[0])
    if name == "conv_general_dilated":
        kernel = eqn.invars[1].aval.shape
        channels = kernel[eqn.params["dimension_numbers"].rhs_spec[0]]
        return CALL + 5 * FLOP * _size(eqn.outvars[0]) * math.prod(kernel) / max(1, channels)
    if name in CUBIC:
        shape = eqn.invars[0].aval.shape
        return CALL + CUBIC[name] * math.prod(shape) * min(shape[-2:], default=1)
    return CALL + COSTLY.get(name, 1.0) * numbers


def _size(atom: Any) -> int:
    return math.prod(getattr(atom.aval, "shape", ()))
