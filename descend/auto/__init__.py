"""`jax.grad` for functions that may have no derivative: inspect once, then a pure function."""

from descend.auto.choice import GradientRefusedError
from descend.auto.gradient import Gradient, grad, value_and_grad

__all__ = ["Gradient", "GradientRefusedError", "grad", "value_and_grad"]
