"""What a function is made of: linear and quadratic parts, sparse derivatives, separable groups of variables."""

from collections.abc import Callable
from enum import IntEnum
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from descend.program import compat
from descend.program.array import Array, variable
from descend.program.dependence import LARGEST, Rows, distinct
from descend.program.parts import Reader

Pair = tuple[Rows, Rows]


class Degree(IntEnum):
    """The degree of a function as a polynomial."""

    CONSTANT = 0
    LINEAR = 1  # affine: a constant may be added
    QUADRATIC = 2
    NONLINEAR = 3  # none of these, or not known to be


class Structure:
    """How the outputs of a function depend on its inputs, by reading alone: what is said to be zero is zero.

    Inputs and outputs are counted in the order of `jax.flatten_util.ravel_pytree`: n input numbers, m output numbers.

    Attributes:
        degree: for each output its `Degree`, shape (m,).
        jacobian: which outputs may depend on which inputs, boolean, shape (m, n).
    """

    def __init__(self, outputs: list[Array], interactions: list[Pair], inputs: int):
        self.degree = np.concatenate([np.zeros(0, np.int8), *(out.degree.ravel() for out in outputs)])
        patterns = [sparse.csr_array((0, inputs), dtype=bool), *(out.sets.pattern() for out in outputs)]
        self.jacobian: Rows = sparse.csr_array(sparse.vstack(patterns, format="csr"))
        self._interactions = interactions

    @property
    def linear(self) -> bool:
        """Whether every output is linear (affine) or constant."""
        return bool(np.all(self.degree <= Degree.LINEAR))

    @property
    def quadratic(self) -> bool:
        """Whether every output is quadratic, linear or constant."""
        return bool(np.all(self.degree <= Degree.QUADRATIC))

    @cached_property
    def hessian(self) -> sparse.csr_array | None:
        """Which pairs of inputs may have a second derivative in any output: boolean, symmetric, shape (n, n).

        None where it would have more than `LARGEST` entries: take it as dense.
        """
        n = self.jacobian.shape[1]
        total = sparse.csr_array((n, n), dtype=bool)
        for left, right in self._merged():
            if int(np.diff(left.indptr).astype(np.int64) @ np.diff(right.indptr)) > LARGEST:
                return None
            total = total + sparse.csr_array(left.T @ right)
        return sparse.csr_array(total + total.T)

    @cached_property
    def groups(self) -> list[np.ndarray]:
        """The inputs in groups, such that the sum of the outputs is a sum of functions of one group each.

        Inputs that occur linearly, or not at all, have groups of their own. Sorted by their first input.
        """
        n = self.jacobian.shape[1]
        links = [sparse.csr_array((0, n), dtype=bool)]
        for left, right in self._merged():
            meet = (np.diff(left.indptr) > 0) & (np.diff(right.indptr) > 0)
            links.append(sparse.csr_array(left[meet] + right[meet]))
        table = sparse.csr_array(sparse.vstack(links, format="csr"), dtype=np.int8)
        # Inputs and links are the two kinds of nodes of a graph; a group is a component.
        graph = sparse.bmat([[None, table.T], [table, None]]) if len(table.indptr) > 1 else sparse.csr_array((n, n))
        _, label = sparse.csgraph.connected_components(graph, directed=False)
        order = np.argsort(label[:n], kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(label[:n][order])) + 1) if n else []
        return sorted(parts, key=lambda part: int(part[0]))

    def _merged(self) -> list[Pair]:
        """The distinct pairs of sets of inputs that meet in an operation that is not linear, all in one piece."""
        if not self._interactions:
            return []
        left, right = (sparse.vstack(rows, format="csr") for rows in zip(*self._interactions, strict=True))
        rows, index = distinct(sparse.csr_array(sparse.vstack([left, right], format="csr")))
        found = np.unique(np.sort(index.reshape(2, -1), axis=0), axis=1)
        return [(rows[found[0]], rows[found[1]])]

    def __repr__(self) -> str:
        m, n = self.jacobian.shape
        kinds = ", ".join(f"{np.sum(self.degree == d)} {d.name.lower()}" for d in Degree if np.any(self.degree == d))
        return f"Structure({m} outputs of {n} inputs: {kinds or 'nothing'}; {self.jacobian.nnz} dependences)"


def read(f: Callable[..., Any], x: Any, *given: Any) -> Structure:
    """The structure of f as a function of the numbers in x.

    Every number of every intermediate array has the set of inputs that it depends on and a degree; constants are
    followed by value where places or coefficients hang on them, so that zeros of a constant matrix count. An operation
    that is not known makes its results depend on all its operands, nonlinearly. So does a choice by a condition that
    depends on x; a constant condition is decided. Loops of a known length are followed step by step where that is
    cheap, else until nothing changes. Operations under a custom derivative rule, and behind `stop_gradient`, count as
    nonlinear: their derivative is not that of what is read.

    Args:
        f: a traceable function of pytrees, returning a pytree of arrays.
        x: a pytree of arrays or numbers; its values are of no account, its shapes are.
        *given: further arguments of f, which are constant: their values count.

    Complexity: about that of one evaluation of f in NumPy on the side of the sets, which are sparse; see `LARGEST`.

    Source:
        Griewank and Walther, "Evaluating Derivatives" (2008), chapter 7: propagation of index domains; the Hessian's
        pattern as a sum over operations, as in Gower and Mello, "A new framework for the computation of Hessians"
        (2012).
    """
    leaves, tree = jax.tree.flatten(x)
    constants, rest = jax.tree.flatten(given)

    def flat(leaves: Any, constants: Any) -> list[Any]:
        return jax.tree.leaves(f(jax.tree.unflatten(tree, leaves), *jax.tree.unflatten(rest, constants)))

    program = compat.trace(flat, leaves, constants)
    sizes = np.cumsum([0, *(int(np.size(leaf)) for leaf in leaves)])
    inputs = int(sizes[-1])
    reader = Reader(inputs)
    arrays = [variable(np.shape(leaf), int(first), inputs) for leaf, first in zip(leaves, sizes, strict=False)]
    arrays += [reader.constant(jnp.asarray(constant)) for constant in constants]
    outputs = reader.read(program, arrays)
    return Structure(outputs, reader.interactions, inputs)
