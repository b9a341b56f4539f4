"""Which solver, on which route, in which order, and why."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics, routes, solvers
from descend.domains.manifold import is_walkable
from descend.engine import scaling
from descend.engine.portfolio import constrained, is_linear, kinked, quasi_newton, smooth
from descend.engine.probed import probed
from descend.engine.stage import Stage
from descend.engine.workers import Workers
from descend.findings import Findings
from descend.inspection import inspect
from descend.problem import Problem
from descend.routes.route import Route
from descend.solvers import AskTell, Needs, Solver
from descend.solvers.algebra import convex_program
from descend.solvers.least_squares import residuals

ENUMERABLE = 4096  # members that are evaluated one by one rather than searched
LISTABLE = 1 << 20  # members that can be listed at all
MANY = 200  # variables beyond which a covariance matrix is not worth learning
SIGMA = 0.3  # the first smoothing width, in units of the scale; descent narrows it
RATE = 0.1  # and the steps that go with it
SAMPLES = 16  # few for many steps: the noise of a step averages out over those that follow
CONVINCING = 2  # alternatives that come to the same value, beside the stage that came there first
FEW = 20  # variables up to which a covariance matrix is learned sooner than a gradient estimate pays


@dataclasses.dataclass
class Plan:
    """What `solve` would do. Edit `stages` before `solve(plan)` to do something else.

    Attributes:
        problem: what it is for.
        stages: run in order, each from the best point of the one before; the first certified answer ends the run.
        findings: what the choice rests on.
    """

    problem: Problem
    stages: list[Stage]
    findings: Findings

    def lines(self) -> list[str]:
        """One line a stage."""
        return [f"{index + 1}. {stage}" for index, stage in enumerate(self.stages)]

    def after(self, index: int, stalled: bool, certified: bool, agreed: int = 0) -> int | None:
        """The index of the stage that follows, or None.

        After a certified answer only alternatives follow, until so many more have `agreed` on it as convince; a
        fall-back only follows a stage that stalled.
        """
        # Under constraints a path is long, because each looks for feasible points anew.
        convinced = agreed >= (1 if self.problem.subject_to else CONVINCING)
        for later in range(index + 1, len(self.stages)):
            stage = self.stages[later]
            if (stage.alternative and not (certified and convinced)) or (
                not certified and (stalled or not stage.fallback)
            ):
                return later
        return None

    def __str__(self) -> str:
        return "\n".join([*self.lines(), "because of", *[f"  {finding}" for finding in self.findings]])


def plan(
    problem: Problem,
    *,
    route: Any = None,
    solver: Solver | AskTell | None = None,
    key: Any = 0,
    seconds: float | None = None,
) -> Plan:
    """The plan that `solve` would run.

    Args:
        problem: what to solve.
        route: a route to use for every gradient, instead of the planned one.
        solver: a solver to use alone, instead of the planned ones.
        key: for the probing.
        seconds: how long a black box may be probed; what is not found by then is not found.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the solver or the route cannot work on the problem, saying why.
    """
    return made(problem, route, solver, key, seconds, None)


def made(
    problem: Problem,
    route: Any,
    solver: Solver | AskTell | None,
    key: Any,
    seconds: float | None,
    workers: Workers | None,
) -> Plan:
    """As `plan`, with workers that evaluate a black box, so that it needs solvers that ask for values."""
    if not isinstance(problem, Problem):
        raise TypeError(f"expected a descend.Problem, got {type(problem).__name__}")
    route = as_route(route)
    if solver is not None and not isinstance(solver, Solver | AskTell):
        raise TypeError(f"solver must be a solver such as descend.solvers.Descent(), got {solver!r}")
    problem = scaling.at_start(problem)
    seed = np.asarray(jax.random.key_data(numerics.as_key(key))).tobytes()
    look = lambda: inspect(probed(problem, seconds, workers), key=key, thorough=False)  # noqa: E731
    findings = _remembered(problem, ("findings", seed), look)
    if solver is not None:
        stages = [Stage(constrained(problem, solver), route, "chosen by the caller")]
    else:
        values_only = workers is not None and route is None
        choose = lambda: _stages(problem, findings, values_only)  # noqa: E731
        stages = list(_remembered(problem, ("stages", seed, values_only), choose))
        if route is not None:
            stages = [_rerouted(stage, problem, route) for stage in stages if stage.solver.NEEDS.gradient]
            if not stages:
                stages = [Stage(constrained(problem, solvers.Descent()), route, "the route was chosen by the caller")]
            stages = [stage for index, stage in enumerate(stages) if stage not in stages[:index]]
    for stage in stages:
        _check(problem, stage, is_noisy(problem, findings))
    return Plan(problem, stages, findings)


def _remembered(problem: Problem, question: tuple, answer: Callable[[], Any]) -> Any:
    """The same question about the same traceable problem is answered once."""
    if problem.black_box or problem.given is not None:
        return answer()
    return problem.compiled((*question, jnp.result_type(float)), answer)


def as_route(route: Any) -> Any:
    """A route from what the caller gave, which may be the function that makes one: `descend.routes.smooth`.

    Raises:
        TypeError: if it is neither.
    """
    if route is None or isinstance(route, Route):
        return route
    if not callable(route):
        raise TypeError(f"route must be a route such as descend.routes.smooth(sigma=0.1), got {route!r}")
    if getattr(routes, getattr(route, "__name__", ""), None) is route:
        return route()
    return route


def is_noisy(problem: Problem, findings: Findings) -> bool:
    """Whether values change from draw to draw, or, of a black box, from call to call."""
    return problem.random or (bool(problem.black_box) and bool(findings.about("stochastic")))


def _stages(problem: Problem, findings: Findings, values_only: bool) -> list[Stage]:
    domain, words = problem.domain, findings.words
    if problem.adversary:
        return [
            Stage(solvers.Extragradient(), None, "an adversary: two gradients a step, as long as they show"),
            Stage(solvers.ProximalPoint(), None, "implicit steps, if that stalls", fallback=True),
        ]
    if not is_noisy(problem, findings) and domain.cardinality is not None and domain.cardinality <= ENUMERABLE:
        return [Stage(solvers.Enumeration(), None, f"the domain has only {domain.cardinality} members")]
    population = Stage(solvers.Population(), None, "search over neighbors, by values only")
    if domain.discrete:
        if problem.black_box or problem.random:
            return [population]
        if is_linear(problem):
            stalled = dataclasses.replace(population, fallback=True)
            return [Stage(solvers.Highs(), None, "a linear problem, some of it in whole numbers"), stalled]
        relaxed = Stage(solvers.RelaxRound(), None, "discrete variables with a differentiable relaxation")
        if words & {"flat", "jumps"}:
            return [*kinked(problem), population, dataclasses.replace(relaxed, reason="the relaxation, flat as it is")]
        return [*kinked(problem), relaxed, population]
    evolution = Stage(solvers.CMA(), None, "values only")
    if problem.black_box:
        if domain.size <= MANY or values_only:
            return [Stage(solvers.CMA(), None, "a black box: values only")]
        return [_smoothed(problem, "a black box with many variables")]
    derivative = words & {"flat", "jumps", "chaotic"}
    noisy = problem.random or problem.batch_size is not None
    if derivative or _sampling_blocks(findings):
        reason = "the derivative does not pass the sampling"
        if derivative:
            broken = derivative & {"flat", "jumps"}
            reason = "the derivative is zero or misses jumps" if broken else "the derivative grows along the iteration"
        stages = [_smoothed(problem, reason), *([evolution] if domain.size <= MANY else [])]
        return stages[::-1] if domain.size <= FEW else stages
    if problem.batch_size is not None and problem.subject_to:
        descent = Stage(constrained(problem, solvers.Descent()), None, "longer, if that stalls", fallback=True)
        return [
            Stage(solvers.PrimalDual(), None, "minibatches under constraints: learns the multipliers too"),
            descent,
        ]
    if noisy:
        return [Stage(constrained(problem, solvers.Descent()), None, "noisy gradients")]
    if "kinked" in words:
        descent = Stage(constrained(problem, solvers.Descent()), None, "subgradients: line searches stall at kinks")
        return [*kinked(problem), descent, *([evolution] if domain.size <= MANY else [])]
    if problem.objectives and problem.weights is None and domain.box is not None:
        steps = constrained(problem, solvers.JacobianDescent())
        rest = Stage(quasi_newton(problem), None, "their mean, if that stalls", fallback=True)
        return [Stage(steps, None, "several smooth objectives: no step worsens one"), rest]
    return smooth(problem)


def _smoothed(problem: Problem, reason: str) -> Stage:
    """Descent on the smoothed problem, sharpened on the way."""
    scale = problem.domain.scale
    uniform = scale.size == 0 or bool(np.all(scale == scale[0]))
    width = float(scale[0]) if uniform and scale.size else 1.0
    # Three digits are enough for a width, and a plan should be readable.
    sigma = float(f"{SIGMA * width:.3g}") if uniform else problem.domain.unravel(SIGMA * scale)
    descent = constrained(problem, solvers.Descent(learning_rate=RATE))
    return Stage(descent, routes.smooth(sigma=sigma, samples=SAMPLES), reason)


def _sampling_blocks(findings: Findings) -> bool:
    """Whether randomness was found that the derivative does not pass."""
    return any(finding.evidence.get("derivative passes") is False for finding in findings.about("stochastic"))


def _rerouted(stage: Stage, problem: Problem, route: Any) -> Stage:
    solver = stage.solver
    if solver.NEEDS.true_gradient and gives(route) != "exact":
        solver = constrained(problem, solvers.Descent())
    return Stage(solver, route, "the route was chosen by the caller")


def gives(route: Any) -> str:
    """What the derivative of a route is. Of one that does not say, nothing may be believed."""
    return "exact" if route is None else getattr(route, "GIVES", "surrogate")


def _check(problem: Problem, stage: Stage, noisy: bool) -> None:
    """Refuse what cannot work.

    Raises:
        ValueError: saying what the solver needs and what would do.
    """
    needs: Needs = stage.solver.NEEDS
    name = type(stage.solver).__name__
    if isinstance(stage.solver, solvers.Epigraph):
        form = stage.solver.form(problem)[0]
        _check(form.problem, dataclasses.replace(stage, solver=stage.solver.inner), noisy)
        return
    bounded = problem.domain.box is None or any(np.isfinite(bound).any() for bound in problem.domain.box)
    if needs.adversary != bool(problem.adversary):
        what = "has no adversary" if needs.adversary else "has an adversary; try descend.solvers.Extragradient()"
        raise ValueError(f"{name} cannot solve the problem: it {what}")
    if needs.gradient and problem.black_box and stage.route is None:
        raise ValueError(f"{name} needs a gradient and the objective is a black box; try route=descend.routes.smooth()")
    if needs.true_gradient and gives(stage.route) != "exact":
        raise ValueError(
            f"{name} trusts value and gradient together, but {stage.route} is {gives(stage.route)}; "
            "try solver=descend.solvers.Descent()"
        )
    if needs.deterministic and noisy:
        raise ValueError(f"{name} is misled by noise; try descend.solvers.Descent() or Population()")
    if needs.continuous and problem.domain.relax().discrete:
        raise ValueError(f"{name} needs continuous variables; try descend.solvers.Population()")
    if needs.linear and not is_linear(problem):
        raise ValueError(f"{name} needs a linear loss and linear constraints; try descend.solvers.Ipopt() or SLSQP()")
    if needs.convex_quadratic and (convex_program(problem) is None or problem.domain.polyhedron is None):
        raise ValueError(f"{name} needs a convex quadratic problem; try descend.solvers.Ipopt() or SLSQP()")
    if needs.squares and residuals(problem) is None:
        raise ValueError(f"{name} needs a loss that is written as a sum of squares; try descend.solvers.TrustRegion()")
    if needs.true_gradient and problem.domain.discrete and not needs.linear:
        raise ValueError(f"{name} needs continuous variables; try descend.solvers.RelaxRound()")
    if needs.box and problem.domain.box is None:
        raise ValueError(f"{name} needs a domain that is a box; try descend.solvers.Descent()")
    if needs.free and bounded:
        raise ValueError(f"{name} needs a domain without bounds; try descend.solvers.BoundedQuasiNewton()")
    if needs.walkable and not all(is_walkable(part) for part in problem.domain.parts):
        raise ValueError(f"{name} needs variables without bounds or on manifolds; try descend.solvers.Descent()")
    if needs.convex and not problem.domain.relax().convex:
        raise ValueError(f"{name} needs a convex domain; try descend.solvers.Descent() or RiemannianQuasiNewton()")
    if needs.finite and (problem.domain.cardinality or LISTABLE + 1) > LISTABLE:
        raise ValueError(f"{name} needs a domain with at most {LISTABLE} members; try descend.solvers.Population()")
