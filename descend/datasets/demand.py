"""A year of sales of a restaurant, day by day and item by item."""

import csv
import functools
from typing import NamedTuple

import numpy as np

from descend.datasets.files import Source

GREAT_TABLES = Source("great_tables", "great-tables==1.1.0")


class Demand(NamedTuple):
    """Sales by day and item.

    Attributes:
        items: the names of the items.
        days: every day of the year, datetime64[D], shape (365,).
        units: units sold, float64, shape (365, items); zeros on days when the place was closed.
        price: average price of a unit, US dollars, shape (items,).
        open: whether anything was sold that day, bool, shape (365,).
    """

    items: tuple[str, ...]
    days: np.ndarray
    units: np.ndarray
    price: np.ndarray
    open: np.ndarray


@functools.cache
def demand(by: tuple[str, ...] = ("name",)) -> Demand:
    """What a pizza restaurant sold in 2015: 49,574 pizzas of 32 kinds on 358 days.

    The table `pizzaplace`, read from the files of `great-tables`, which is not imported. Sales are what was sold, not
    what was asked for: demand that could not be served is not in it.

    Args:
        by: the columns whose values name an item, out of "name", "size" and "type": ("name",) gives 32 items,
            ("name", "size") 91.

    Raises:
        MissingDataError: if `great-tables` is not installed.
        ValueError: if a column is unknown, or the file is not the one that is expected.
    """
    unknown = [column for column in by if column not in ("name", "size", "type")]
    if unknown or not by:
        raise ValueError(f"by must name columns out of name, size and type, got {by!r}")
    with GREAT_TABLES.path("data/05-pizzaplace.csv").open(newline="") as file:
        sales = list(csv.DictReader(file))
    if len(sales) != 49574:
        raise ValueError(f"demand: expected 49574 sales, got {len(sales)}")
    items, item = np.unique(["_".join(sale[column] for column in by) for sale in sales], return_inverse=True)
    days = np.arange("2015-01-01", "2016-01-01", dtype="datetime64[D]")
    day = (np.array([sale["date"] for sale in sales], "datetime64[D]") - days[0]).astype(int)
    units = np.zeros((len(days), len(items)))
    np.add.at(units, (day, item), 1.0)
    price = np.bincount(item, [float(sale["price"]) for sale in sales]) / units.sum(0)
    opened = units.sum(1) > 0
    for array in (days, units, price, opened):
        array.setflags(write=False)
    return Demand(tuple(items.tolist()), days, units, price, opened)
