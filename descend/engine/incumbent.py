"""The best point so far, on the true objective: never lost, and under noise never chosen on one lucky draw."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from descend.engine.evaluate import Evaluator

DRAWS = 16  # on which a challenger and the incumbent are compared under noise


@dataclass
class Incumbent:
    """The point and what is known of it.

    Attributes:
        x: a member of the domain, float64 NumPy arrays; None before the first success.
        loss, violation: the latest estimates.
        judge: the judge's score, in the direction of the loss (smaller is better); NaN without a judge.
        challenges: comparisons made so far, from which fresh keys are drawn.
    """

    tolerance: float
    x: Any = None
    loss: float = np.nan
    violation: float = np.inf
    judge: float = np.nan
    challenges: int = 0

    @property
    def feasible(self) -> bool:
        return self.x is not None and self.violation <= self.tolerance

    def offer(self, evaluator: Evaluator, x: Any, key: jax.Array, known: tuple[float, float] | None = None) -> bool:
        """Take x, a member of the domain, if it is better. Whether it was taken.

        `known` is its loss and violation if they were just evaluated and the problem is deterministic.
        """
        problem = evaluator.problem
        if self.x is not None and all(
            np.array_equal(a, b) for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(self.x), strict=True)
        ):
            return False
        if problem.random:
            return self._challenge(evaluator, x, key)
        if known is None:
            scores = evaluator.many(jax.tree.map(lambda a: a[None], x), key[None])
            known = float(scores.losses[0, 0]), float(scores.violation[0])
        return self._take(evaluator, x, *known)

    def _challenge(self, evaluator: Evaluator, x: Any, key: jax.Array) -> bool:
        """Compare on the same fresh draws; take x if it is better by more than the standard error of the difference."""
        self.challenges += 1
        keys = jax.random.split(jax.random.fold_in(key, self.challenges), DRAWS)
        if self.x is None:
            scores = evaluator.many(jax.tree.map(lambda a: a[None], x), keys)
            return self._take(evaluator, x, float(scores.losses[0].mean()), float(scores.violation[0]))
        scores = evaluator.many(jax.tree.map(lambda a, b: np.stack([a, b]), x, self.x), keys)
        new, old = scores.losses.mean(axis=1)
        # The incumbent's estimates are refreshed on every comparison, so that a lucky first draw does not protect it.
        if np.isfinite(old):
            self.loss, self.violation = float(old), float(scores.violation[1])
        error = np.std(scores.losses[0] - scores.losses[1], ddof=1) / np.sqrt(DRAWS)
        shifted = new + error if np.isfinite(error) else new
        if not self._better(shifted, float(scores.violation[0])):
            return False
        return self._take(evaluator, x, float(new), float(scores.violation[0]))

    def _better(self, loss: float, violation: float) -> bool:
        if np.isnan(loss) or np.isnan(violation):
            return False
        if self.x is None:
            return True
        if violation <= self.tolerance and self.feasible:
            return loss < self.loss
        return violation < self.violation

    def _take(self, evaluator: Evaluator, x: Any, loss: float, violation: float) -> bool:
        problem = evaluator.problem
        if np.isnan(loss) or np.isnan(violation):
            return False
        judge = np.nan
        if problem.judge is not None and violation <= self.tolerance:
            judge = problem.sign * float(problem.judge(x))
            if self.feasible and not (judge, loss) < (self.judge, self.loss):
                return False
        elif not self._better(loss, violation):
            return False
        self.x, self.loss, self.violation, self.judge = x, loss, violation, judge
        return True
