"""Solvers: from a problem to an answer, one segment of work at a time."""

from descend.solvers.augmented_lagrangian import AugmentedLagrangian
from descend.solvers.bounded_quasi_newton import BoundedQuasiNewton
from descend.solvers.clarabel import Clarabel
from descend.solvers.cma import CMA
from descend.solvers.descent import Descent
from descend.solvers.enumeration import Enumeration
from descend.solvers.epigraph import Epigraph
from descend.solvers.extragradient import Extragradient
from descend.solvers.highs import Highs
from descend.solvers.interior_point import InteriorPoint
from descend.solvers.ipopt import Ipopt
from descend.solvers.jacobian_descent import JacobianDescent
from descend.solvers.kkt_newton import KKTNewton
from descend.solvers.least_squares import LeastSquares
from descend.solvers.population import Population
from descend.solvers.primal_dual import PrimalDual
from descend.solvers.proximal_gradient import ProximalGradient
from descend.solvers.proximal_point import ProximalPoint
from descend.solvers.quasi_newton import QuasiNewton
from descend.solvers.relax_round import RelaxRound
from descend.solvers.riemannian import RiemannianQuasiNewton
from descend.solvers.slsqp import SLSQP
from descend.solvers.solver import AskTell, Needs, Progress, Solver, Values
from descend.solvers.trust_constr import TrustConstr
from descend.solvers.trust_region import TrustRegion

__all__ = [
    "CMA",
    "SLSQP",
    "AskTell",
    "AugmentedLagrangian",
    "BoundedQuasiNewton",
    "Clarabel",
    "Descent",
    "Enumeration",
    "Epigraph",
    "Extragradient",
    "Highs",
    "InteriorPoint",
    "Ipopt",
    "JacobianDescent",
    "KKTNewton",
    "LeastSquares",
    "Needs",
    "Population",
    "PrimalDual",
    "Progress",
    "ProximalGradient",
    "ProximalPoint",
    "QuasiNewton",
    "RelaxRound",
    "RiemannianQuasiNewton",
    "Solver",
    "TrustConstr",
    "TrustRegion",
    "Values",
]
