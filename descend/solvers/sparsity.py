"""First and second derivatives of a large problem as sparse matrices: a few products, told apart by colors."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg
from scipy import sparse

from descend.problem import Problem
from descend.program import coloring, structure
from descend.program.structure import Structure
from descend.solvers.flat import Flat
from descend.solvers.segments import nanoseconds

LONG = 1e7  # nanoseconds of one evaluation, beyond which a program is not read
COLORABLE = 5 * 10**7  # pairs of entries of a row
WORTH = 5  # variables for each color, from which sparse matrices pay


def known(problem: Problem) -> Structure | None:
    """The structure of [loss, *constraint values]; None where the program cannot be read, or is too long to be."""
    if problem.black_box or problem.random or problem.merit is not None:
        return None
    return problem.compiled("structure", lambda: _read(problem)) if problem.fixed else _read(problem)


def _read(problem: Problem) -> Structure | None:
    if not nanoseconds(problem) <= LONG:
        return None
    flat = Flat(problem)
    try:
        return structure.read(flat.program(), jnp.zeros(flat.size, jnp.result_type(float)))
    except Exception:  # what cannot be read is not known
        return None


def stretched(matrix: Any, left: np.ndarray, right: np.ndarray) -> Any:
    """diag(left) matrix diag(right), dense or sparse as the matrix is; a sparse one keeps its pattern."""
    if not sparse.issparse(matrix):
        return left[:, None] * matrix * right
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    data = matrix.data * left[rows] * right[matrix.indices]
    # Copied, because sorting the indices of one matrix in place must not disorder another.
    return sparse.csr_array((data, matrix.indices.copy(), matrix.indptr.copy()), shape=matrix.shape)


def as_dense(matrix: Any) -> np.ndarray:
    """The matrix as an array, whether it is dense or sparse."""
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def lengths(rows: Any) -> np.ndarray:
    """Euclidean norms of the rows of a dense or sparse matrix, shape (k,)."""
    return np.asarray(scipy.sparse.linalg.norm(rows, axis=1) if sparse.issparse(rows) else np.linalg.norm(rows, axis=1))


def unit_rows(rows: Any) -> tuple[Any, np.ndarray]:
    """The rows brought to unit length, and their lengths, one for a row of zeros."""
    size = lengths(rows)
    size = np.where(size > 0, size, 1.0)
    return stretched(rows, 1 / size, np.ones(rows.shape[1])), size


class Sparse:
    """Sparse derivatives of a problem: see `of`.

    Attributes:
        rows: where the Jacobian may be nonzero, row and column of each entry, row by row.
        curved: the same for the Hessian of a Lagrangian, or None where that is dense.
    """

    @classmethod
    def of(cls, flat: Flat) -> "Sparse | None":
        """The sparse derivatives of a problem that is too large for dense ones; None where they do not pay, or are not
        known. Problems with parameters or data have none.
        """
        problem = flat.problem
        if flat.dense or problem.given is not None or problem.data is not None or problem.random:
            return None

        def build() -> "tuple[_Colored, _Colored | None] | None":
            found = known(problem)
            if found is None:
                return None
            most = flat.size // WORTH
            rows = _Colored.of(found.jacobian[1:], (False, True), most)
            hessian = None if found.hessian is None else _Colored.of(found.hessian, (False,), most)
            return None if rows is None else (rows, hessian)

        found = problem.compiled("sparse", build)
        return None if found is None else cls(flat, *found)

    def __init__(self, flat: Flat, rows: "_Colored", hessian: "_Colored | None"):
        self._flat, self._rows, self._hessian = flat, rows, hessian
        self.rows = rows.entries
        self.curved = None if hessian is None else hessian.entries

    def jacobian(self, point: np.ndarray) -> sparse.csr_array:
        """The Jacobian of the constraint values, shape (m, n)."""
        colored = self._rows
        if not colored.count:
            return colored.matrix(np.zeros(len(self.rows[0])))

        def build(both: Callable[..., Any]) -> Callable[..., Any]:
            values = lambda v: both(v)[1]  # noqa: E731

            def forward(v: jax.Array) -> jax.Array:
                return jax.vmap(lambda d: jax.jvp(values, (v,), (d,))[1])(colored.seeds(v.dtype))

            def run(v: jax.Array) -> jax.Array:
                if not colored.across:
                    try:
                        return colored.pick(forward(v))
                    except TypeError:  # a function with a reverse rule only
                        rows = _Colored(colored.pattern, across=True)
                        return rows.pick(_pulled(values, v, rows))
                return colored.pick(_pulled(values, v, colored))

            return run

        self._flat.evaluations += 3 * colored.count
        return colored.matrix(self._flat.compiled("sparse jacobian", build)(point))

    def hessian(self, point: np.ndarray, weights: np.ndarray, factor: float = 1.0) -> sparse.csr_array:
        """The Hessian of factor * loss + weights . constraints, shape (n, n). Not to be asked for where it is dense."""
        colored = self._hessian
        assert colored is not None

        def build(both: Callable[..., Any]) -> Callable[..., Any]:
            def run(v: jax.Array, weights: jax.Array, factor: jax.Array) -> jax.Array:
                def slope(v: jax.Array) -> jax.Array:
                    loss, constraints = both(v)
                    return factor * loss + jnp.vdot(weights, constraints)

                # Reverse over reverse, because functions with a custom reverse rule have no forward one.
                _, back = jax.vjp(jax.grad(slope), v)
                return colored.pick(jax.vmap(lambda d: back(d)[0])(colored.seeds(v.dtype)))

            return run

        self._flat.evaluations += 6 * colored.count
        program = self._flat.compiled("sparse hessian", build)
        found = program(point, weights, np.asarray(factor))
        return colored.matrix((found + found[colored.mirror]) / 2)


class _Colored:
    """A pattern with its colors: of columns, for products from the right, or `across`, of rows, from the left."""

    @classmethod
    def of(cls, pattern: Any, sides: tuple[bool, ...], most: int) -> "_Colored | None":
        """The coloring with the fewest colors, `across` being one of `sides`; None where it has more than `most`."""
        pattern = sparse.csr_array(pattern, dtype=bool)
        pattern.sum_duplicates()
        pattern.sort_indices()
        found = []
        for across in sides:
            entries = np.diff(sparse.csc_array(pattern).indptr if across else pattern.indptr).astype(np.int64)
            # A row takes as many colors as it has entries, and the work is the sum of their squares.
            if entries.max(initial=0) <= most and entries @ entries <= COLORABLE:
                found.append(cls(pattern, across))
        found = [each for each in found if each.count <= most]
        # Row by row costs a forward pass more.
        return min(found, key=lambda each: each.count * (1.5 if each.across else 1.0), default=None)

    def __init__(self, pattern: sparse.csr_array, across: bool):
        self.pattern, self.across = pattern, across
        where = sparse.coo_array(pattern)
        self.entries = np.asarray(where.coords[0]), np.asarray(where.coords[1])
        self.color = coloring.columns(sparse.csr_array(pattern.T) if across else pattern)
        self.count = int(self.color.max(initial=-1)) + 1

    @functools.cached_property
    def mirror(self) -> np.ndarray:
        """For each entry of a symmetric pattern the index of the one across the diagonal."""
        row, column = self.entries
        return np.lexsort((row, column))

    def seeds(self, dtype: Any) -> jax.Array:
        """Shape (colors, columns), or (colors, rows)."""
        return (jnp.arange(self.count)[:, None] == jnp.asarray(self.color)[None]).astype(dtype)

    def pick(self, products: jax.Array) -> jax.Array:
        """The entries, out of the products with the seeds, shape (colors, rows) or (colors, columns)."""
        row, column = self.entries
        return products[self.color[row], column] if self.across else products[self.color[column], row]

    def matrix(self, data: np.ndarray) -> sparse.csr_array:
        """The entries in place."""
        return sparse.csr_array(
            (data, self.pattern.indices.copy(), self.pattern.indptr.copy()), shape=self.pattern.shape
        )


def _pulled(values: Callable[..., Any], v: jax.Array, colored: _Colored) -> jax.Array:
    _, back = jax.vjp(values, v)
    return jax.vmap(lambda row: back(row)[0])(colored.seeds(v.dtype))
