"""Random numbers that a program says it draws: `bernoulli(key, p)` and its kin, which routes recognize."""

from descend.draws.bernoulli import Bernoulli, bernoulli
from descend.draws.binomial import Binomial, binomial
from descend.draws.categorical import Categorical, categorical
from descend.draws.family import Family
from descend.draws.geometric import Geometric, geometric
from descend.draws.normal import Normal, normal
from descend.draws.poisson import Poisson, poisson
from descend.draws.stated import DRAW, stated

__all__ = [
    "DRAW",
    "Bernoulli",
    "Binomial",
    "Categorical",
    "Family",
    "Geometric",
    "Normal",
    "Poisson",
    "bernoulli",
    "binomial",
    "categorical",
    "geometric",
    "normal",
    "poisson",
    "stated",
]
