"""Domains: where a variable lives."""

from descend.domains.binary import Binary
from descend.domains.choice import Choice
from descend.domains.domain import Domain
from descend.domains.integer import Integer
from descend.domains.permutation import Birkhoff, Permutation
from descend.domains.product import Product
from descend.domains.real import Real
from descend.domains.simplex import Simplex
from descend.domains.subset import Hypersimplex, Subset
from descend.domains.weights import Weights

__all__ = [
    "Binary",
    "Birkhoff",
    "Choice",
    "Domain",
    "Hypersimplex",
    "Integer",
    "Permutation",
    "Product",
    "Real",
    "Simplex",
    "Subset",
    "Weights",
]
