"""The best point so far, on the true objective: never lost, and under noise never chosen on one lucky draw."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from descend.engine.draws import draw
from descend.engine.evaluate import Evaluator
from descend.solvers.saddle import residual

DRAWS = 16  # on which a challenger and the incumbent are compared under noise


@dataclass
class Incumbent:
    """The point and what is known of it.

    Attributes:
        tolerance: up to which a violation counts as none.
        x: a member of the domain, float64 NumPy arrays; None before the first success.
        loss, violation: the latest estimates.
        judge: the judge's score, in the direction of the loss (smaller is better); infinite without one.
        challenges: comparisons made so far, from which fresh keys are drawn.
        margin: by how much a feasible challenger must be better: what violations within the tolerance may gain must not
            cost a certified point its place.
        offered: the loss of the last point offered, taken or not.
    """

    tolerance: float
    x: Any = None
    loss: float = np.nan
    violation: float = np.inf
    judge: float = np.inf
    challenges: int = 0
    margin: float = 0.0
    offered: float = np.nan

    @property
    def feasible(self) -> bool:
        return self.x is not None and self.violation <= self.tolerance

    def same(self, x: Any) -> bool:
        """Whether x is the point."""
        pairs = zip(jax.tree.leaves(x), jax.tree.leaves(self.x), strict=False)
        return self.x is not None and x is not None and all(np.array_equal(a, b) for a, b in pairs)

    def near(self, loss: float, gain: float = 0.0) -> bool:
        """Whether a loss is that of the point, within what violations within the tolerance may `gain` for each unit."""
        return abs(loss - self.loss) <= self.tolerance * max(1.0, abs(self.loss), gain)

    def offer(self, evaluator: Evaluator, x: Any, key: jax.Array, known: tuple[float, float] | None = None) -> bool:
        """Take x, a member of the domain, if it is better. Whether it was taken.

        `known` is its loss and violation if they were just evaluated; under noise it is evaluated again.
        """
        if self.same(x):
            self.offered = self.loss
            return False
        if evaluator.noisy:
            return self._challenge(evaluator, x, key)
        loss, violation = evaluator.one(x, key) if known is None else known
        return self._take(evaluator, x, loss, violation, loss)

    def _challenge(self, evaluator: Evaluator, x: Any, key: jax.Array) -> bool:
        """Compare on the same fresh draws; take x if it is better by more than the standard error of the difference."""
        self.challenges += 1
        keys = jax.random.split(draw(key, "challenge", self.challenges), DRAWS)
        points = [x] if self.x is None else [x, self.x]
        scores = evaluator.many(jax.tree.map(lambda *leaves: np.stack(leaves), *points), keys)
        values = scores.mean
        new, careful = float(values.loss[0]), float(values.violation[0])
        if self.x is None:
            return self._take(evaluator, x, new, careful, new)
        # The incumbent's estimates are refreshed on every comparison, so that a lucky first draw does not protect it.
        if np.isfinite(values.loss[1]):
            self.loss, self.violation = float(values.loss[1]), float(values.violation[1])
        apart = scores.losses[0] - scores.losses[1]
        apart = apart[np.isfinite(apart)]
        error = float(np.std(apart, ddof=1) / np.sqrt(len(apart))) if len(apart) > 1 else 0.0
        return self._take(evaluator, x, new, careful, new + error)

    def _take(self, evaluator: Evaluator, x: Any, loss: float, violation: float, charged: float) -> bool:
        """Take x if it is better; under noise its loss counts as `charged`."""
        self.offered = loss
        if np.isnan(loss) or np.isnan(violation):
            return False
        judge, problem = np.inf, evaluator.problem
        feasible = violation <= self.tolerance
        if problem.adversary:  # a value says nothing about a saddle
            judge = residual(problem, x)
        if feasible and problem.judge is not None:
            judge = judged(problem, x)
        if feasible and self.feasible:
            # What a violation within the tolerance gains is no merit: of two that cost the same, the cleaner one.
            same = judge == self.judge and (charged <= self.loss or self.near(charged))
            cleaner = same and violation <= self.violation / 10 and self.violation > 0 and not self.margin
            better = cleaner or (judge, charged) < (self.judge, self.loss - self.margin)
        else:
            better = self.x is None or (violation, charged) < (self.violation, self.loss)
        if better:
            self.x, self.loss, self.violation, self.judge = x, loss, violation, judge
            self.margin = 0.0
        return better


def judged(problem: Any, x: Any) -> float:
    """The judge's score of x, smaller is better; infinite where the judge fails or gives none."""
    try:
        score = problem.sign * float(problem.judge(x))
    except Exception:  # a judge that fails at a point does not choose it
        return np.inf
    return np.inf if np.isnan(score) else score
