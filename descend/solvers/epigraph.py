"""Kinked problems for solvers of smooth ones, by the epigraph form."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from descend.problem import Problem
from descend.solvers.epigraph_form import EpigraphForm
from descend.solvers.flat import Flat
from descend.solvers.highs import Highs
from descend.solvers.segments import restated
from descend.solvers.solver import Needs, Progress, Solver


@dataclass(frozen=True, repr=False)
class Epigraph(Solver):
    """Lets another solver work on a kinked problem in `EpigraphForm`: it gets a variable for each kink.

    A point where a kink's variable left its pieces is a relaxation's: its value is that of the problem at the same x.

    Args:
        inner: a solver for smooth problems.
        exact: whether each kink gets a binary number for each piece, which makes the form equivalent; for piecewise
            linear problems whose kinks have bounds.
    """

    inner: Any
    exact: bool = False

    @classmethod
    def example(cls) -> "Epigraph":
        return cls(Highs())

    @property
    def NEEDS(self) -> Needs:  # noqa: N802 (a class variable of the other solvers)
        return self.inner.NEEDS._replace(kinks=True)

    def form(self, problem: Problem) -> tuple[EpigraphForm, Problem]:
        """The form, and the problem that the inner solver gets.

        Raises:
            ValueError: if there is none.
        """
        form = EpigraphForm.of(problem)
        if form is None:
            raise ValueError("Epigraph needs kinks that can be read: abs, max, min, clip, relu, a choice between lines")
        if not self.exact:
            return form, form.problem
        # How far a gap can open hangs on the parameters.
        exact = problem.compiled("exact epigraph", form.exact) if problem.given is None else form.exact()
        if exact is None:
            raise ValueError("Epigraph(exact=True) needs a piecewise linear problem over bounded variables")
        return form, exact

    def init(self, problem: Problem, start: Any, key: jax.Array) -> Any:
        form, stated = self.form(problem)
        lifted = form.lift(start)
        return self.inner.init(stated, form.sided(lifted) if self.exact else lifted, key)

    def step(self, problem: Problem, state: Any) -> tuple[Any, Progress]:
        _, stated = self.form(problem)
        plain = lambda x: (x["form"] if self.exact else x)["x"]  # noqa: E731
        with restated(plain):
            state, progress = self.inner.step(stated, state)
        x = plain(progress.x)
        flat = Flat(problem)
        loss = float(flat.values(np.asarray(problem.domain.ravel(x), np.float64)[None])[0][0])
        return state, progress._replace(x=x, loss=loss, units=progress.units + 1)
