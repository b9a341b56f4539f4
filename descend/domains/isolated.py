"""What domains of isolated points have in common: membership and projection are rounding."""

from typing import Any

from descend import numerics
from descend.domains.domain import Domain, as_floats, slack


class Isolated(Domain):
    """Arrays of one shape, each next to none; `round` gives the nearest."""

    discrete = True
    convex = False

    def contains(self, x: Any, tolerance: float | None = None) -> Any:
        """Whether every number of x is that of the nearest member, to an absolute tolerance."""
        tolerance, x = slack(x, tolerance), as_floats(x)
        if x.shape != self.shape:
            return False
        xp = numerics.namespace(x)
        return xp.all(xp.isfinite(x) & (abs(x - self.round(x)) <= tolerance))

    def project(self, x: Any) -> Any:
        return self.round(x)
