"""Draws that a program states: they stay what they are, and are scored.

A comparison of a uniform number with a parameter is reparametrized by its soft twin. A stated draw hides its noise, but
has its probability in sight: its log derivative, times the result, has the derivative of the mean over draws as mean.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from descend.draws.stated import DRAW
from descend.relax.rewriting.rules import Setting, rule
from descend.relax.rewriting.values import Grain, Soft, is_soft, number


@rule(DRAW.name)
def _draw(setting: Setting, eqn: Any, y: Any, *parameters: Any) -> Any:
    family = eqn.params["family"]
    if family.continuous:  # its derivative passes through the sample
        return Soft(number(y), eqn.outvars[0].aval.dtype, Grain.REAL) if is_soft(y) else y
    if setting.scores is None:
        setting.refuse(
            "cannot score a draw that is stated in a loop, a branch or a remat; use descend.routes.score of the whole"
        )
    drawn = jax.lax.stop_gradient(number(y))
    setting.scores.append(jnp.sum(family.log_prob(drawn, *map(number, parameters))))
    return drawn


def scored(outs: Sequence[Any], scores: Sequence[Any]) -> list[Any]:
    """The results, with the derivative that draws give their mean: that of result * log probability.

    Source: Foerster et al., "DiCE: the infinitely differentiable Monte Carlo estimator" (2018), equation 5: all orders.
    """
    if not scores:
        return list(outs)
    total = sum(scores)
    box = jnp.exp(total - jax.lax.stop_gradient(total))
    return [out * box.astype(out.dtype) if jnp.issubdtype(out.dtype, jnp.inexact) else out for out in outs]
