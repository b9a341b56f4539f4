"""Soft twins of hard operations: they change values, and say by how much."""

from descend.relax.confusion import Counts, accuracy, balanced_accuracy, confusion, f_beta, g_mean, mcc
from descend.relax.elementwise import absolute, clip, equal, greater, heaviside, less, maximum, minimum, sign
from descend.relax.families import Family, box, cauchy, gaussian, logistic, polynomial
from descend.relax.heavy import optimal, reciprocal
from descend.relax.logic import logical_and, logical_not, logical_or, logical_xor, where
from descend.relax.network import Layers, merge, network_argsort, network_sort, odd_even
from descend.relax.operation import Law, Operation, operation
from descend.relax.order import argsort, median, quantile, rank, sort
from descend.relax.rounding import ceil, floor, modulo, round, trunc
from descend.relax.selection import Top, argmax, argmin, max, min, take, top_k
from descend.relax.soften import Softened, soften
from descend.relax.temperature import Gap, Rounds, geometric

__all__ = [
    "Counts", "Family", "Gap", "Law", "Layers", "Operation", "Rounds", "Softened", "Top", "absolute", "accuracy",
    "argmax", "argmin", "argsort", "balanced_accuracy", "box", "cauchy", "ceil", "clip", "confusion", "equal",
    "f_beta", "floor", "g_mean", "gaussian", "geometric", "greater", "heaviside", "less", "logical_and",
    "logical_not", "logical_or", "logical_xor", "logistic", "max", "maximum", "mcc", "median", "merge", "min",
    "minimum", "modulo", "network_argsort", "network_sort", "odd_even", "operation", "optimal", "polynomial",
    "quantile", "rank", "reciprocal", "round", "sign", "soften", "sort", "take", "top_k", "trunc", "where",
]  # fmt: skip
