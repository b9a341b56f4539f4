"""Which solver, on which route, in which order, and why."""

import dataclasses
from typing import Any

import numpy as np

from descend import routes, solvers
from descend.findings import Findings
from descend.inspection import inspect
from descend.problem import Problem
from descend.solvers import AskTell, Needs, Solver

ENUMERABLE = 4096  # members that are evaluated one by one rather than searched
MANY = 200  # variables beyond which a covariance matrix is not worth learning
SIGMA = 0.3  # the first smoothing width, in units of the scale; descent narrows it
RATE = 0.1  # and the steps that go with it
SAMPLES = 16  # few for many steps: the noise of a step averages out over those that follow
FEW = 20  # variables up to which a covariance matrix is learned sooner than a gradient estimate pays


@dataclasses.dataclass(frozen=True)
class Stage:
    """One solver on one route.

    Attributes:
        solver: a `Solver` or an `AskTell`.
        route: what differentiates the problem for it; None for plain automatic differentiation or none at all.
        reason: why it is there, in a few words.
        fallback: run only if the stage before it stalled.
    """

    solver: Solver | AskTell
    route: Any
    reason: str
    fallback: bool = False

    def __str__(self) -> str:
        via = f" via {self.route}" if self.route is not None else ""
        return f"{self.solver}{via}: {self.reason}"


@dataclasses.dataclass
class Plan:
    """What `solve` would do. Edit `stages` before `solve(plan)` to do something else.

    Attributes:
        problem: what it is for.
        stages: run in order, each from the best point of the one before; the first answer that is certified ends the run.
        findings: what the choice rests on.
    """

    problem: Problem
    stages: list[Stage]
    findings: Findings

    def lines(self) -> list[str]:
        """One line a stage."""
        return [f"{index + 1}. {stage}" for index, stage in enumerate(self.stages)]

    def __str__(self) -> str:
        return "\n".join([*self.lines(), "because of", *[f"  {finding}" for finding in self.findings]])


def plan(problem: Problem, *, route: Any = None, solver: Solver | AskTell | None = None, key: Any = 0) -> Plan:
    """The plan that `solve` would run.

    Args:
        problem: what to solve.
        route: a route to use for every gradient, instead of the planned one.
        solver: a solver to use alone, instead of the planned ones.
        key: for the probing.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the solver or the route cannot work on the problem, saying why.
    """
    if not isinstance(problem, Problem):
        raise TypeError(f"expected a descend.Problem, got {type(problem).__name__}")
    if route is not None and not callable(route):
        raise TypeError(f"route must be a route such as descend.routes.smooth(sigma=0.1), got {route!r}")
    findings = inspect(problem, key=key, thorough=False)
    if solver is not None:
        if not isinstance(solver, Solver | AskTell):
            raise TypeError(f"solver must be a solver such as descend.solvers.Descent(), got {solver!r}")
        stages = [Stage(constrained(problem, solver), route, "chosen by the caller")]
    else:
        stages = _stages(problem, findings)
        if route is not None:
            stages = [_rerouted(stage, problem, route) for stage in stages if stage.solver.NEEDS.gradient]
            if not stages:
                stages = [Stage(constrained(problem, solvers.Descent()), route, "the route was chosen by the caller")]
            stages = list(dict.fromkeys(stages))
    for stage in stages:
        _check(problem, stage)
    return Plan(problem, stages, findings)


def _stages(problem: Problem, findings: Findings) -> list[Stage]:
    domain, words = problem.domain, findings.words
    if not problem.random and domain.cardinality is not None and domain.cardinality <= ENUMERABLE:
        return [Stage(solvers.Enumeration(), None, f"the domain has only {domain.cardinality} members")]
    population = Stage(solvers.Population(), None, "search over neighbors, by values only")
    if domain.discrete:
        if problem.black_box or problem.random:
            return [population]
        return [Stage(solvers.RelaxRound(), None, "discrete variables with a differentiable relaxation"), population]
    evolution = Stage(solvers.CMA(), None, "values only")
    if problem.black_box:
        if domain.size <= MANY:
            return [Stage(solvers.CMA(), None, "a black box: values only")]
        return [_smoothed(problem, "a black box with many variables")]
    derivative = words & {"flat", "jumps"}
    noisy = problem.random or problem.batch_size is not None
    if derivative or _sampling_blocks(findings):
        reason = "the derivative is zero or misses jumps" if derivative else "the derivative does not pass the sampling"
        stages = [_smoothed(problem, reason), *([evolution] if domain.size <= MANY else [])]
        return stages[::-1] if domain.size <= FEW else stages
    if noisy:
        return [Stage(constrained(problem, solvers.Descent()), None, "noisy gradients")]
    if "kinked" in words:
        descent = Stage(constrained(problem, solvers.Descent()), None, "subgradients: line searches stall at kinks")
        return [descent, *([evolution] if domain.size <= MANY else [])]
    newton, descent = quasi_newton(problem), constrained(problem, solvers.Descent())
    fallback = [Stage(descent, None, "if that stalls", fallback=True)] if descent != newton else []
    return [Stage(newton, None, "smooth"), *fallback]


def quasi_newton(problem: Problem) -> Solver:
    """The quasi-Newton method that fits the domain, with an augmented Lagrangian around it if there are constraints."""
    box = problem.domain.box
    if box is None:
        return constrained(problem, solvers.Descent())
    bounded = np.isfinite(box[0]).any() or np.isfinite(box[1]).any()
    return constrained(problem, solvers.BoundedQuasiNewton() if bounded else solvers.QuasiNewton())


def constrained(problem: Problem, solver: Any) -> Any:
    """The solver, inside an augmented Lagrangian if the problem has constraints that it would ignore."""
    if not (problem.subject_to and solver.NEEDS.unconstrained):
        return solver
    noisy = not solver.NEEDS.deterministic
    return solvers.AugmentedLagrangian(solver, patience=12 if noisy else 20)


def _smoothed(problem: Problem, reason: str) -> Stage:
    """Descent on the smoothed problem, sharpened on the way."""
    scale = problem.domain.scale
    uniform = scale.size == 0 or bool(np.all(scale == scale[0]))
    width = float(scale[0]) if uniform and scale.size else 1.0
    # Three digits are enough for a width, and a plan should be readable.
    sigma = float(f"{SIGMA * width:.3g}") if uniform else problem.domain.unravel(SIGMA * scale)
    return Stage(constrained(problem, solvers.Descent(learning_rate=RATE)), routes.smooth(sigma=sigma, samples=SAMPLES), reason)


def _sampling_blocks(findings: Findings) -> bool:
    """Whether randomness was found that the derivative does not pass."""
    return any(finding.evidence.get("passes") is False for finding in findings.about("stochastic"))


def _rerouted(stage: Stage, problem: Problem, route: Any) -> Stage:
    solver = stage.solver
    if solver.NEEDS.true_gradient and getattr(route, "GIVES", "exact") != "exact":
        solver = constrained(problem, solvers.Descent())
    return Stage(solver, route, "the route was chosen by the caller")


def _check(problem: Problem, stage: Stage) -> None:
    """Refuse what cannot work.

    Raises:
        ValueError: saying what the solver needs and what would do.
    """
    needs: Needs = stage.solver.NEEDS
    name = type(stage.solver).__name__
    gives = getattr(stage.route, "GIVES", "exact")
    bounded = problem.domain.box is None or any(np.isfinite(bound).any() for bound in problem.domain.box)
    if needs.gradient and problem.black_box and stage.route is None:
        raise ValueError(f"{name} needs a gradient and the objective is a black box; try route=descend.routes.smooth()")
    if needs.true_gradient and gives != "exact":
        raise ValueError(
            f"{name} trusts value and gradient together, but {stage.route} is {gives}; try solver=Descent()"
        )
    if needs.deterministic and problem.random:
        raise ValueError(f"{name} is misled by noise; try descend.solvers.Descent() or Population()")
    if needs.continuous and problem.domain.relax().discrete:
        raise ValueError(f"{name} needs continuous variables; try descend.solvers.Population()")
    if needs.true_gradient and problem.domain.discrete:
        raise ValueError(f"{name} needs continuous variables; try descend.solvers.RelaxRound()")
    if needs.box and problem.domain.box is None:
        raise ValueError(f"{name} needs a domain that is a box; try descend.solvers.Descent()")
    if needs.free and bounded:
        raise ValueError(f"{name} needs a domain without bounds; try descend.solvers.BoundedQuasiNewton()")
    if needs.finite and problem.domain.cardinality is None:
        raise ValueError(f"{name} needs a domain with finitely many members; try descend.solvers.Population()")
