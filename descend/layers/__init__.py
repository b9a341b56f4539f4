"""Hard layers: what goes in is anything, what comes out satisfies its conditions, with exact derivatives."""

from descend.layers.barrier import BarrierFilter
from descend.layers.equalities import Equalities
from descend.layers.fields import Dirichlet, DivergenceFree
from descend.layers.layer import Layer
from descend.layers.polytope import Box, Polytope, nearest
from descend.layers.share import Share

__all__ = ["BarrierFilter", "Box", "Dirichlet", "DivergenceFree", "Equalities", "Layer", "Polytope", "Share", "nearest"]
