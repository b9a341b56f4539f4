"""Domains: where a variable lives."""

from descend.domains.domain import Domain
from descend.domains.product import Product
from descend.domains.real import Real

__all__ = ["Domain", "Product", "Real"]
