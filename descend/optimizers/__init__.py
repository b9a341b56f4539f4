"""From gradients to steps: `optax.GradientTransformation`s that optax lacks; one step from several gradients."""

from descend.optimizers.gauss_newton import gauss_newton
from descend.optimizers.norm_adam import norm_adam
from descend.optimizers.upgrad import combine, upgrad

__all__ = ["combine", "gauss_newton", "norm_adam", "upgrad"]
