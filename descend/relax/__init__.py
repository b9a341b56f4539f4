"""Soft twins of hard operations: they change values, and say by how much."""

from descend.relax.confusion import Counts, accuracy, balanced_accuracy, confusion, f_beta, g_mean, mcc

__all__ = ["Counts", "accuracy", "balanced_accuracy", "confusion", "f_beta", "g_mean", "mcc"]
