"""Soft twins of hard operations: they change values, and say by how much."""

from descend.relax.confusion import Counts, accuracy, balanced_accuracy, confusion, f_beta, g_mean, mcc
from descend.relax.elementwise import absolute, clip, floor, greater, heaviside, less, modulo, round, sign
from descend.relax.families import Family, box, cauchy, gaussian, logistic, polynomial
from descend.relax.heavy import optimal, reciprocal
from descend.relax.logic import logical_and, logical_not, logical_or, where
from descend.relax.network import Layers, merge, network_argsort, network_sort, odd_even
from descend.relax.operation import Law, Operation, operation
from descend.relax.order import argsort, median, quantile, rank, sort
from descend.relax.selection import Top, argmax, max, take, top_k

__all__ = [
    "Counts", "Family", "Law", "Layers", "Operation", "Top", "absolute", "accuracy", "argmax", "argsort",
    "balanced_accuracy", "box", "cauchy", "clip", "confusion", "f_beta", "floor", "g_mean", "gaussian", "greater",
    "heaviside", "less", "logical_and", "logical_not", "logical_or", "logistic", "max", "mcc", "median", "merge",
    "modulo", "network_argsort", "network_sort", "odd_even", "operation", "optimal", "polynomial", "quantile", "rank",
    "reciprocal", "round", "sign", "sort", "take", "top_k", "where",
]  # fmt: skip
