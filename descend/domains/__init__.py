"""Domains: where a variable lives."""

from descend.domains.acyclic import Acyclic
from descend.domains.binary import Binary
from descend.domains.choice import Choice
from descend.domains.domain import Domain
from descend.domains.integer import Integer
from descend.domains.low_rank import LowRank
from descend.domains.manifold import Manifold
from descend.domains.permutation import Birkhoff, Permutation
from descend.domains.positive_definite import PositiveDefinite
from descend.domains.product import Product
from descend.domains.real import Real
from descend.domains.simplex import Simplex
from descend.domains.sphere import Sphere
from descend.domains.stiefel import Stiefel
from descend.domains.subset import Hypersimplex, Subset
from descend.domains.weights import Weights

__all__ = [
    "Acyclic",
    "Binary",
    "Birkhoff",
    "Choice",
    "Domain",
    "Hypersimplex",
    "Integer",
    "LowRank",
    "Manifold",
    "Permutation",
    "PositiveDefinite",
    "Product",
    "Real",
    "Simplex",
    "Sphere",
    "Stiefel",
    "Subset",
    "Weights",
]
