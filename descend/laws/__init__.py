"""What every part of a kind obeys, to be checked on your own parts too: one function a kind."""

from descend.laws.derivative import Remainder as Remainder
from descend.laws.derivative import check_derivative as check_derivative
from descend.laws.derivative import remainder as remainder
from descend.laws.domain import check_domain as check_domain
from descend.laws.layer import check_layer as check_layer
from descend.laws.relaxation import check_relaxation as check_relaxation
from descend.laws.route import check_route as check_route
from descend.laws.solver import check_solver as check_solver
