"""Labeled tables: checked, split into folds, standardized on the training part."""

import csv
import functools
from typing import NamedTuple

import numpy as np

from descend.datasets.files import Source

SKLEARN = Source("sklearn", "scikit-learn")


class Rows(NamedTuple):
    """Labeled rows.

    Attributes:
        x: features, float64, shape (rows, columns).
        y: classes counted from 0, int64, shape (rows,).
    """

    x: np.ndarray
    y: np.ndarray


class Table(NamedTuple):
    """Rows to learn from and rows to judge by."""

    train: Rows
    test: Rows


def checked(name: str, rows: Rows, counts: dict[int, int] | None = None) -> Rows:
    """The rows, made read-only, since they are cached and shared.

    Raises:
        ValueError: if shapes disagree, a feature is not finite, a class is empty, or the class counts are not `counts`:
            the installed file is not the one that is expected.
    """
    x, y = rows
    if x.ndim != 2 or y.shape != x.shape[:1] or not x.size:
        raise ValueError(f"table {name}: shapes {x.shape} and {y.shape} are not those of rows and their classes")
    if not np.isfinite(x).all():
        raise ValueError(f"table {name}: a feature is not finite")
    found = {int(label): int(count) for label, count in zip(*np.unique(y, return_counts=True), strict=True)}
    if sorted(found) != list(range(len(found))) or len(found) < 2:
        raise ValueError(f"table {name}: classes must be counted from 0 without gaps, got {sorted(found)}")
    if counts is not None and found != counts:
        raise ValueError(f"table {name}: expected the class counts {counts}, got {found}")
    for array in rows:
        array.setflags(write=False)
    return rows


def split(rows: Rows, fold: int = 0, *, folds: int = 5, seed: int = 0) -> Table:
    """One fold of stratified cross-validation, standardized with the mean and deviation of its training part.

    Every class is dealt out over the folds separately, so that the test part of every fold has its share of each.

    Args:
        rows: the whole table.
        fold: which part to hold out, in 0 .. folds - 1.
        folds: how many parts.
        seed: of the shuffle; the folds of one seed are disjoint and cover the table.

    Raises:
        ValueError: if there is no such fold, or a class has fewer rows than there are folds.
    """
    if not 0 <= fold < folds:
        raise ValueError(f"fold must lie in 0 .. {folds - 1}, got {fold}")
    random = np.random.default_rng(seed)
    part = np.empty(len(rows.y), np.int64)
    for label in np.unique(rows.y):
        members = random.permutation(np.flatnonzero(rows.y == label))
        if len(members) < folds:
            raise ValueError(f"class {label} has {len(members)} rows, too few for {folds} folds")
        part[members] = np.arange(len(members)) % folds
    train, test = part != fold, part == fold
    mean, deviation = rows.x[train].mean(0), rows.x[train].std(0)
    scaled = (rows.x - mean) / np.where(deviation > 0, deviation, 1.0)
    return Table(Rows(scaled[train], rows.y[train]), Rows(scaled[test], rows.y[test]))


@functools.cache
def breast_cancer() -> Rows:
    """Wisconsin diagnostic breast cancer: 569 tumors, 30 features in their own units; class 1 is malignant (212 rows).

    Read from the files of scikit-learn, which is not imported. scikit-learn itself codes benign as 1.

    Raises:
        MissingDataError: if scikit-learn is not installed.
    """
    with SKLEARN.path("datasets/data/breast_cancer.csv").open(newline="") as file:
        _, *lines = csv.reader(file)
    values = np.array(lines, np.float64)
    rows = Rows(values[:, :-1].copy(), 1 - values[:, -1].astype(np.int64))
    return checked("breast_cancer", rows, {0: 357, 1: 212})
