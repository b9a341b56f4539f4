"""Columns of a sparse Jacobian that one directional derivative gives together, and how to take them apart."""

import numpy as np
from scipy import sparse


def columns(pattern: sparse.sparray | np.ndarray) -> np.ndarray:
    """A color for each column, such that columns of one color have no row in common.

    With `c = columns(pattern)` and seeds `np.eye(c.max() + 1)[c]`, shape (n, colors), the products of the Jacobian with
    the seeds hold all of its entries: `spread` puts them in place. Greedy, in the order of decreasing degree: at most
    one color more than a column has neighbors, and never fewer than a row has entries.

    Args:
        pattern: boolean, shape (m, n), dense or sparse: what is False is zero.

    Returns:
        int64, shape (n,); colors are 0, 1, ...

    Complexity: the sum over rows of the squared number of their entries.

    Source:
        Curtis, Powell and Reid, "On the estimation of sparse Jacobian matrices" (1974); Gebremedhin, Manne and Pothen,
        "What color is your Jacobian?" (2005).
    """
    by_row = sparse.csr_array(pattern, dtype=bool)
    by_column = sparse.csc_array(by_row)
    n = len(by_column.indptr) - 1
    color = np.full(n, -1, np.int64)
    for j in np.argsort(-np.diff(by_column.indptr), kind="stable"):
        rows = by_column.indices[by_column.indptr[j] : by_column.indptr[j + 1]]
        near = [by_row.indices[by_row.indptr[i] : by_row.indptr[i + 1]] for i in rows]
        taken = np.unique(color[np.concatenate(near)]) if near else np.zeros(0, np.int64)
        taken = taken[taken >= 0]
        gap = np.flatnonzero(taken != np.arange(len(taken)))
        color[j] = gap[0] if len(gap) else len(taken)
    return color


def spread(pattern: sparse.sparray | np.ndarray, color: np.ndarray, products: np.ndarray) -> sparse.csr_array:
    """The Jacobian from its products with the seeds.

    Args:
        pattern: boolean, shape (m, n).
        color: as from `columns`, shape (n,).
        products: the Jacobian times the seeds, shape (m, colors).

    Returns:
        The Jacobian, shape (m, n), with the entries of the pattern.
    """
    where = sparse.coo_array(pattern)
    row, column = where.coords
    return sparse.csr_array((np.asarray(products)[row, color[column]], (row, column)), shape=where.shape)
