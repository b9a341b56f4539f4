"""`certify`: is a point a local optimum? Found out without any solver.

The conditions are those of Karush, Kuhn and Tucker with multipliers of the right sign, and the second-order condition
on the critical cone (Nocedal and Wright, Numerical Optimization, chapter 12), each relative to something that only
the point itself decides:

- An entry of the Lagrangian's gradient is compared with the same entry of the loss's gradient, or with one. A large
  gradient in one variable, or at another point, excuses nothing here. One is replaced by the variation of the loss
  within one scale of the point where that is less, so that a loss in small units is not stationary everywhere.
- A multiplier is a force: the multiplier times the length of the constraint's gradient. A force at a distance is
  compared with the distance, or with force times distance where the force is below one.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from descend.inspection import bounds, curvature, epigraph, equilibrium, neighborhood, objectives, polyhedral, scales
from descend.inspection.charts import chartable, charted
from descend.inspection.forces import Balance, Near, in_box, in_convex_set
from descend.problem import Problem
from descend.solution import Certificate
from descend.solvers.flat import Flat
from descend.solvers.sparsity import Sparse, stretched

DRAWS = 64  # over which a random constraint is averaged


def certify(problem: Problem, x: Any, *, tolerance: float | None = None, variation: float = 0.0) -> Certificate:
    """Checks the first- and second-order conditions of a local optimum at x.

    The derivatives are those of the problem itself: a route is ignored. They are compared with finite differences of
    values, so that a custom derivative that is not the derivative certifies nothing. At a kink the conditions are those
    of the problem in epigraph form, where the kink can be read; elsewhere a kink at x certifies nothing. Values nearby
    must not fall below what the conditions allow, which sees what two derivatives do not (an inflection).

    Of several objectives without weights, x is checked to be locally optimal in the sense of Pareto: minimal for a
    weighted sum of them while none gets worse.

    With an adversary, x is checked to be a local saddle: each side's conditions with the other side held.

    On a manifold they are checked in coordinates around x, one a direction of the tangent space: `bound_multipliers`
    then counts these in place of the manifold's entries.

    Args:
        problem: any problem.
        x: a member of its domain.
        tolerance: what violation, stationarity, complementarity and negative curvature must not exceed (default: 1e-6,
            or 1e-3 where the problem is computed in float32).
        variation: how far the loss is known to vary within one scale of x, where x holds variables that are fixed here.

    Returns:
        Evidence "local"; "proved", with the gap, where a lower bound shows that no feasible point is better; or "none"
        with the reason in `note`: the condition that fails, or why a certificate cannot be made. In float32 the point
        checked is x rounded.
    """
    obstacle = _obstacle(problem)
    if obstacle:
        violation, spent = _violation(problem, x)
        return Certificate(violation, tolerance=tolerance or 1e-6, note=obstacle, evaluations=spent)
    if problem.adversary:
        both, varies = equilibrium.sides(problem, x), equilibrium.variation(problem, x)
        found = [certify(side, own, tolerance=tolerance, variation=varies) for side, own, _ in both]
        return equilibrium.together(problem, found, [order for *_, order in both])
    if problem.objectives and problem.weights is None:
        return _pareto(problem, x, tolerance)
    boxed = polyhedral.certified(certify, problem, x, tolerance=tolerance, variation=variation)
    if boxed is not None and boxed.evidence != "none":
        return boxed
    whole = problem.domain.convex  # a chart shows a part of a curved set, so that bounds on it prove nothing beyond
    if not whole:
        problem, x = charted(problem, x)
    flat = Flat(problem)
    flat.evaluations += 0 if boxed is None else boxed.evaluations
    limit = tolerance or (1e-6 if np.finfo(flat.dtype).bits >= 64 else 1e-3)
    point = flat.vector(x)
    try:
        loss, constraints, gradient = flat.gradient(point)
        near = Near.find(flat, point, constraints, np.sqrt(limit))
    except Exception as error:  # whatever user code raises, there is no derivative
        violation, spent = _violation(problem, x)
        return Certificate(
            violation,
            tolerance=limit,
            note=f"the derivative cannot be computed: {_line(error)}",
            evaluations=flat.evaluations + spent,
        )
    violation = float(flat.violation(constraints))
    scale = scales.measured(flat, point) if whole else None
    if scale is not None:
        flat = flat.rescaled(scale)
        near = Near.find(flat, point, constraints, np.sqrt(limit))
    obstacle = "" if np.isfinite(loss) and np.isfinite(gradient).all() else "the gradient is not finite at x"
    if near is None:
        obstacle = "the Jacobian of the active constraints is too large to certify"
    if obstacle or near is None:
        return Certificate(violation, tolerance=limit, note=obstacle, evaluations=flat.evaluations)
    around = neighborhood.survey(flat, point, gradient, near.index, near.rows, limit, variation)
    balance, unit = in_convex_set if problem.domain.box is None else in_box, min(1.0, around.variation) or 1.0
    state = balance(flat, point, gradient, near, limit, unit)
    if violation <= limit < state.worse and problem.domain.box is not None:
        # Of many multipliers that balance, some are of bounds at a distance: none of these is asked again.
        state = min(state, in_box(flat, point, gradient, near, limit, unit, reach=limit), key=lambda each: each.worse)
    problems = _first_order(flat, x, violation, state, around, limit)
    ratio, nature = None, ""
    if not problems:
        ratio, problems, nature = _second_order(flat, point, loss, near, state, around, limit)
    notes, gap, evidence = problems or [nature], None, "none"
    if not problems:
        bound = None
        if whole:
            convex = bounds.of_convexity(flat, point, loss, state.rest, state.lost(near))
            known = [
                each
                for each in (bounds.of_constancy(problem, loss), bounds.of_squares(problem), convex)
                if each is not None
            ]
            bound = max(known, key=lambda each: each.value, default=None)
        gap = None if bound is None else max(0.0, loss - bound.value)
        proved = gap is not None and gap <= limit * max(state.unit, abs(loss))
        if bound is not None and proved:
            notes.append(f"no feasible point is better by more than {gap:.2g}: {bound.reason}")
        evidence = "proved" if proved else "local"
    if flat.measured is not None:
        notes.append(f"variables in scales from {flat.scale.min():.0e} to {flat.scale.max():.0e}, which were measured")
    if np.finfo(flat.dtype).bits < 64:
        notes.append(f"{flat.dtype} limits the check to {limit:g}")
    found = Certificate(
        violation=violation,
        stationarity=state.stationarity,
        complementarity=state.complementarity,
        curvature=ratio,
        multipliers=_by_name(flat, near, state.forces),
        bound_multipliers=state.carried,
        scale=state.unit,
        scales=flat.measured,
        tolerance=limit,
        gap=gap,
        evidence=evidence,
        note="; ".join(notes),
        evaluations=flat.evaluations,
    )
    return found if evidence == "proved" else epigraph.better(certify, problem, x, found)


def _pareto(problem: Problem, x: Any, tolerance: float | None) -> Certificate:
    """That no objective can fall near x without another rising: x is optimal for a weighted sum, the others held."""
    try:
        weights = objectives.weights(problem, x, tolerance or 1e-6)
        single, added = objectives.restated(problem, x, weights)
    except Exception as error:  # whatever user code raises, there is no derivative
        violation, spent = _violation(problem, x)
        note = f"the derivative cannot be computed: {_line(error)}"
        return Certificate(violation, tolerance=tolerance or 1e-6, note=note, evaluations=spent)
    found = certify(single, x, tolerance=tolerance)
    for name, constraint in zip(problem.objectives, added, strict=True):
        weights[name] += float(np.sum(found.multipliers.pop(constraint, 0.0))) * problem.sign
    return dataclasses.replace(found, weights=weights)


def _first_order(
    flat: Flat, x: Any, violation: float, state: Balance, around: neighborhood.Surroundings, limit: float
) -> list[str]:
    """Which conditions fail, in words."""
    failed = [
        f"{name} {size:.2g} exceeds {limit:g}"
        for name, size in (
            ("violation", violation),
            ("stationarity", state.stationarity),
            ("complementarity", state.complementarity),
        )
        if not size <= limit
    ]
    if not bool(flat.problem.domain.contains(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), x))):
        failed.append("x is outside its domain")
    if around.jumps:
        failed.append("the loss jumps at x, or is noisy")
    elif around.stuck:
        failed.append("the loss is constant near x and lower farther away: a vanishing derivative says nothing")
    if not np.isfinite(around.mismatch):
        failed.append("values next to x are not finite")
    elif around.mismatch > 1:
        failed.append("the derivative disagrees with finite differences at x (a kink, or a custom derivative)")
    if len(around.kinked):
        names = sorted({_owner(flat, int(i)) for i in around.kinked})
        failed.append(f"the derivative of {', '.join(names)} disagrees with finite differences at x")
    return failed


def _second_order(
    flat: Flat,
    point: np.ndarray,
    loss: float,
    near: Near,
    state: Balance,
    around: neighborhood.Surroundings,
    limit: float,
) -> tuple[float | None, list[str], str]:
    """The curvature, what fails, and what kind of minimum it is."""
    if state.basis is None:
        return None, ["the second-order condition cannot be checked in this domain"], ""
    strong = near.equality | (state.forces > limit * state.unit)
    weak = state.weak or bool(np.any(~strong & (near.gaps <= limit)))
    weights = np.zeros(flat.constraints)
    np.add.at(weights, near.index, near.multipliers(state.forces))
    try:
        ratio = _curvature(flat, point, weights, near.normals(flat.scale)[strong], state, limit)
    except Exception as error:  # whatever user code raises, there is no second derivative
        return None, [f"the second derivative cannot be computed: {_line(error)}"], ""
    if ratio is None or not np.isfinite(ratio):
        return None, ["the curvature did not converge" if ratio is None else "the curvature is not finite"], ""
    if ratio < -limit:
        doubt = "; constraints are active without force, and leaving them may decide" if weak else ""
        return ratio, [f"the curvature is negative in a direction that constraints allow ({ratio:.2g}){doubt}"], ""
    found = neighborhood.lower_nearby(
        flat,
        point,
        loss,
        near.index,
        near.rows,
        abs(state.rest) / flat.scale + abs(state.carried if state.carried is not None else 0.0) * (state.reach > 0),
        near.slack,
        abs(near.multipliers(state.forces)),
        around.noise,
        limit,
    )
    if found:
        return ratio, [f"the loss is lower by {found[1]:.2g} at a feasible point within {found[0]:g} of x"], ""
    return ratio, [], "a strict minimum" if ratio > limit else "flat in some direction: other points may be as good"


def _curvature(
    flat: Flat, point: np.ndarray, weights: np.ndarray, normals: Any, state: Balance, limit: float
) -> float | None:
    basis, floor = state.basis, limit * state.unit
    assert basis is not None
    known = Sparse.of(flat)
    if known is not None and known.curved is not None and basis.ndim == 1 and len(basis) > 0:
        hessian = stretched(known.hessian(point, weights), flat.scale, flat.scale)
        if not np.isfinite(hessian.data).all():
            return np.nan
        found = curvature.large(hessian[basis][:, basis], normals[:, basis], floor, limit)
        if found is not None:
            return found
    if basis.ndim == 2:
        product = (flat.curve(point, weights, basis.T * flat.scale) * flat.scale) @ basis
        return curvature.dense(product, normals @ basis, floor)
    if len(basis) == 0:
        return 1.0
    scale = flat.scale[basis]
    if len(basis) <= curvature.DENSE and not sparse.issparse(normals):
        along = np.eye(flat.size)[basis] * flat.scale
        return curvature.dense(flat.curve(point, weights, along)[:, basis] * scale, normals[:, basis], floor)

    def product_in(v: np.ndarray) -> np.ndarray:
        whole = np.zeros(flat.size)
        whole[basis] = v * scale
        return flat.curve(point, weights, whole[None])[0, basis] * scale

    return curvature.lanczos(product_in, normals[:, basis], floor, limit)


def _by_name(flat: Flat, near: Near, forces: np.ndarray) -> dict[str, np.ndarray]:
    whole = np.zeros(flat.constraints)
    np.add.at(whole, near.index, near.multipliers(forces))
    named, start = {}, 0
    for constraint, shape, own in zip(flat.problem.subject_to, flat.shapes, flat.value_shapes, strict=True):
        size = int(np.prod(shape, dtype=int))
        piece = whole[start : start + size].reshape(shape)
        lead = len(shape) - len(own)
        piece = piece.sum(axis=tuple(range(lead)))
        spread = tuple(i for i, (a, b) in enumerate(zip(piece.shape, own, strict=True)) if a != b)
        named[constraint.name] = np.asarray(piece.sum(axis=spread, keepdims=True))
        start += size
    return named


def _owner(flat: Flat, index: int) -> str:
    ends = np.cumsum([int(np.prod(shape, dtype=int)) for shape in flat.shapes])
    return flat.problem.subject_to[int(np.searchsorted(ends, index, side="right"))].name


def _obstacle(problem: Problem) -> str:
    """Why no certificate can be made, or ""."""
    if problem.black_box:
        return f"a black box has no derivative to check ({problem.untraceable})"
    if problem.random:
        return "the objective or a constraint is random: its expectation cannot be certified"
    if problem.batch_size is not None and problem.rows > problem.batch_size:
        return "the objective is an average over batches; without batch_size it can be certified"
    if problem.domain.discrete:
        return "variables are discrete: derivatives say nothing about other members"
    return "" if chartable(problem) else "the domain is not convex, and not a manifold of moderate size"


def _violation(problem: Problem, x: Any) -> tuple[float, int]:
    """The violation at x, without derivatives, and what it cost: of the mean over draws of random constraints."""
    if not problem.subject_to:
        return 0.0, 0
    plain = problem if problem.route is None else problem.via(None)
    draws = DRAWS if problem.random and not problem.black_box else 1
    keys = jax.random.split(jax.random.key(0), draws)
    try:
        if problem.black_box:
            values = [plain.evaluate(x, key=key).constraints for key in keys]
        else:
            x = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float)), x)

            def build() -> Any:
                return jax.jit(lambda inputs, x, key: plain.bind(inputs).evaluate(x, key=key).constraints)

            program = plain.compiled("constraints", build)
            values = [program(plain.inputs, x, key) for key in keys]
    except Exception:  # a point where user code raises satisfies nothing
        return np.inf, draws
    means = tuple(np.mean([np.asarray(v, np.float64) for v in each], axis=0) for each in zip(*values, strict=True))
    return float(problem.violation(tuple(np.asarray(m, np.float64) for m in means))), draws


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
