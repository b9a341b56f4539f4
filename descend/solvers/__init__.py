"""Solvers: from a problem to an answer, one segment of work at a time."""

from descend.solvers.augmented_lagrangian import AugmentedLagrangian
from descend.solvers.bounded_quasi_newton import BoundedQuasiNewton
from descend.solvers.cma import CMA
from descend.solvers.descent import Descent
from descend.solvers.enumeration import Enumeration
from descend.solvers.extragradient import Extragradient
from descend.solvers.jacobian_descent import JacobianDescent
from descend.solvers.population import Population
from descend.solvers.primal_dual import PrimalDual
from descend.solvers.proximal_point import ProximalPoint
from descend.solvers.quasi_newton import QuasiNewton
from descend.solvers.relax_round import RelaxRound
from descend.solvers.riemannian import RiemannianQuasiNewton
from descend.solvers.solver import AskTell, Needs, Progress, Solver, Values

__all__ = [
    "CMA",
    "AskTell",
    "AugmentedLagrangian",
    "BoundedQuasiNewton",
    "Descent",
    "Enumeration",
    "Extragradient",
    "JacobianDescent",
    "Needs",
    "Population",
    "PrimalDual",
    "Progress",
    "ProximalPoint",
    "QuasiNewton",
    "RelaxRound",
    "RiemannianQuasiNewton",
    "Solver",
    "Values",
]
