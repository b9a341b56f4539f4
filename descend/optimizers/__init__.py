"""Optimizers: `optax.GradientTransformation`s that optax does not have."""

from descend.optimizers.norm_adam import norm_adam

__all__ = ["norm_adam"]
