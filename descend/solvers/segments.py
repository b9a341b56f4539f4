"""How much work one compiled segment does: a number of steps that depends on the program alone, never on the clock."""

from typing import Any

import jax
import jax.numpy as jnp

from descend.problem import Problem

WORK = 3e7  # floating-point operations in one segment, some tens of milliseconds
FEWEST, MOST = 4, 256


def steps_per_segment(problem: Problem, units: int) -> int:
    """How many steps of `units` evaluations make a segment, between `FEWEST` and `MOST`.

    XLA's estimate of the operations of one evaluation decides, so that the answer is the same on every run. A black
    box may take any time: then it is 1.
    """
    if problem.black_box:
        return 1
    evaluate = lambda x, inputs: problem.via(None).bind(inputs).evaluate(x)  # noqa: E731
    cost = jax.jit(evaluate).lower(problem.domain.start(), problem.inputs).cost_analysis() or {}
    return int(min(max(WORK / max(units * cost.get("flops", 0.0), 1.0), FEWEST), MOST))


def strong(state: Any) -> Any:
    """The same arrays without weak types, which would make the second segment compile again."""
    harden = lambda a: jax.lax.convert_element_type(a, a.dtype) if jnp.issubdtype(a.dtype, jnp.number) else a  # noqa: E731
    return jax.tree.map(harden, state)
