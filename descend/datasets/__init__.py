"""Real data that ships inside Python packages: read where it is installed, checked, never downloaded."""

from descend.datasets.demand import Demand, demand
from descend.datasets.files import MissingDataError
from descend.datasets.images import digits, mnist, photograph
from descend.datasets.keel import keel, keel_names, keel_rows
from descend.datasets.tables import Rows, Table, breast_cancer, split

__all__ = [
    "Demand",
    "MissingDataError",
    "Rows",
    "Table",
    "breast_cancer",
    "demand",
    "digits",
    "keel",
    "keel_names",
    "keel_rows",
    "mnist",
    "photograph",
    "split",
]
