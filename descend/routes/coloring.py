"""Which columns of a sparse matrix can be read off one product: those that share no row."""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse


class Coloring(NamedTuple):
    """Columns in groups, and where the entries of the pattern stand.

    Attributes:
        shape: of the matrix, outputs by inputs.
        colors: of each column; columns of one color have no row in common.
        rows, columns: of each entry that may be nonzero.
    """

    shape: tuple[int, int]
    colors: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    @property
    def count(self) -> int:
        """How many colors there are: how many products give the whole matrix."""
        return int(self.colors.max(initial=-1)) + 1


def coloring(pattern: Any) -> Coloring:
    """Colors the columns of a pattern greedily, fullest first.

    Args:
        pattern: a boolean matrix, outputs by inputs, dense or of `scipy.sparse`: what is not zero may depend.

    Raises:
        TypeError: if it is not a matrix.

    Source:
        Curtis, Powell and Reid, "On the estimation of sparse Jacobian matrices" (1974); the order as in Coleman and
        More, "Estimation of sparse Jacobian matrices and graph coloring problems" (1983). Time: the sum over entries
        of the number of colors in their row.
    """
    dense = not scipy.sparse.issparse(pattern)
    if dense and np.ndim(pattern) != 2:
        raise TypeError(f"pattern must be a matrix, outputs by inputs, got shape {np.shape(pattern)}")
    pattern = np.asarray(pattern) != 0 if dense else pattern
    matrix = scipy.sparse.csc_matrix(pattern)
    outputs, inputs = pattern.shape
    matrix.eliminate_zeros()
    taken: list[set[int]] = [set() for _ in range(outputs)]
    colors = np.zeros(inputs, int)
    for column in np.argsort(-np.diff(matrix.indptr), kind="stable"):
        rows = matrix.indices[matrix.indptr[column] : matrix.indptr[column + 1]]
        forbidden = set().union(*(taken[row] for row in rows))
        colors[column] = next(color for color in range(len(forbidden) + 1) if color not in forbidden)
        for row in rows:
            taken[row].add(int(colors[column]))
    entries = matrix.tocoo()
    return Coloring((int(outputs), int(inputs)), colors, entries.row, entries.col)
