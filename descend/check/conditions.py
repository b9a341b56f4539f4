"""The conditions behind a status, from finite differences and stored multipliers: (claim, claimed, found, ok)."""

import jax
import numpy as np

from descend.check.values import Values
from descend.solution import Certificate

Found = tuple[str, str, str, bool]
MANY = 1500  # variables, above which stationarity is checked along random directions
DIRECTIONS = 100  # so many
SAMPLES = 40  # members, tried against a bound
NOISE = 1e-4  # an error of finite differences above which nothing is confirmed
KINKED = (1e-3, 1e-4, 1e-5, 1e-6)  # steps along which a one-sided slope is measured, in scales of x
RAY = 10.0 ** np.arange(13)  # steps along a ray, in scales of x


def optimal(
    values: Values, x: np.ndarray, multipliers: np.ndarray, bound: np.ndarray | None, certificate: Certificate
) -> list[Found]:
    """First-order conditions with the stored multipliers, and that no sampled neighbor is better.

    Args:
        values: of the problem.
        x: shape (n,).
        multipliers: of the constraint values, shape (m,): positive where an upper bound holds x back.
        bound: multipliers of the bounds, shape (n,), or None where the domain is not a box.
        certificate: what is claimed.
    """
    limit, unit = certificate.tolerance, min(1.0, certificate.scale)
    if unit <= 0:
        return [("scale", f"{certificate.scale:g}", "must be positive", False)]
    here = values(x)
    few = x.size <= MANY
    directions = np.diag(values.scale) if few else _random_directions(values, x)
    slopes, errors = values.slopes(x, directions, 0.01 * limit * unit)
    slope, jacobian = slopes[:, 0], slopes[:, 1:]
    error = errors[:, 0] + errors[:, 1:] @ abs(multipliers)
    total = slope + jacobian @ multipliers
    claimed = f"{certificate.stationarity:.3g} (at most {limit:g})"
    lines = [_signs(values, x, multipliers, bound)]
    if bound is None and values.problem.domain.box is not None:
        return [*lines, ("stationarity", claimed, "the multipliers of the bounds are missing", False)]
    rest = np.full(len(total), limit * unit)
    if certificate.kinks:
        lines.append(_one_sided(values, x, here, multipliers, bound, certificate))
    elif bound is None:
        lines.append(_natural(values, x, total, error, slope, unit, limit, claimed, few))
    else:
        rest = total + directions @ bound
        if few:
            reference = np.maximum(np.maximum(abs(slope), unit), 2e-13 / limit * np.max(abs(slope), initial=0.0))
            size, doubt = np.max(abs(rest) / reference, initial=0.0), np.max(error / reference, initial=0.0)
        else:  # random signs: the root mean square of a derivative is the norm of the gradient
            reference = np.hypot(unit * np.sqrt(x.size), np.sqrt(np.mean(slope**2)))
            size, doubt = np.sqrt(np.mean(rest**2)) / reference, np.max(error) / reference
        good = bool(doubt <= NOISE and size <= limit * 1.01 + 3 * doubt)
        lines.append(("stationarity", claimed, f"{size:.3g} +- {doubt:.1g}", good))
    length = (
        np.linalg.norm(jacobian, axis=0) if few else np.sqrt(np.mean(jacobian**2, axis=0))  # the same, for random signs
    )
    lines.append(_complementarity(values, x, here[1:], multipliers, bound, length, unit, certificate))
    held = 0.0 if bound is None else abs(bound) * values.scale * (abs(_gap_of(values, x, bound)) > 0)
    loose = (abs(rest) + error if few else np.full(x.size, 10 * limit * unit)) + held
    lines.append(_neighbors(values, x, here, jacobian if few else None, multipliers, loose, limit))
    return lines


def _gap_of(values: Values, x: np.ndarray, bound: np.ndarray) -> np.ndarray:
    box = values.problem.domain.box
    return np.zeros(x.size) if box is None else np.where(bound != 0, _gap(x, box[0], box[1], bound), 0.0)


def _signs(values: Values, x: np.ndarray, multipliers: np.ndarray, bound: np.ndarray | None) -> Found:
    """A multiplier pushes away from a bound that is there."""
    wrong = ((multipliers > 0) & np.isinf(values.upper)) | ((multipliers < 0) & np.isinf(values.lower))
    names = sorted({values.problem.subject_to[int(i)].name for i in values.owner[wrong]})
    box = values.problem.domain.box
    if (
        bound is not None
        and box is not None
        and np.any(((bound > 0) & np.isinf(box[1])) | ((bound < 0) & np.isinf(box[0])))
    ):
        names.append("a bound")
    finite = bool(np.isfinite(multipliers).all() and (bound is None or np.isfinite(bound).all()))
    found = f"wrong for {', '.join(names)}" if names else "right" if finite else "not finite"
    return ("signs", "right", found, finite and not names)


def _natural(
    values: Values,
    x: np.ndarray,
    total: np.ndarray,
    error: np.ndarray,
    slope: np.ndarray,
    unit: float,
    limit: float,
    claimed: str,
    few: bool,
) -> Found:
    """|u - P(u - g)| in scaled variables u, with a gradient g of at most unit length."""
    if not few:
        return ("stationarity", claimed, f"not rechecked: above {MANY} variables", False)
    domain = values.problem.domain
    size = max(unit, float(np.max(abs(slope), initial=0.0)))
    there = domain.project(domain.unravel(x - values.scale * total / size))
    rest = float(np.max(abs(x - np.asarray(domain.ravel(there), np.float64)) / values.scale, initial=0.0))
    doubt = float(np.max(error, initial=0.0)) / size
    good = bool(doubt <= NOISE and rest <= limit * 1.01 + 3 * doubt)
    return ("stationarity", claimed, f"{rest:.3g} +- {doubt:.1g}", good)


def _one_sided(
    values: Values,
    x: np.ndarray,
    here: np.ndarray,
    multipliers: np.ndarray,
    bound: np.ndarray | None,
    certificate: Certificate,
) -> Found:
    """Where x lies on kinks: the Lagrangian falls in no direction, of both signs of each variable and some at random.

    A slope is extrapolated from a step and half of it, and is the least steep of those that some lengths give: x is at
    its kinks to rounding only, which short steps show, and long ones may cross the next. A better point so near is
    found by `_neighbors`.
    """
    held = np.zeros(x.size) if bound is None else bound
    axes = np.diag(values.scale) if x.size <= MANY else np.zeros((0, x.size))
    directions = np.concatenate([axes, -axes, _random_directions(values, x)])
    domain, weights, worst, count = values.problem.domain, np.append(1.0, multipliers), 0.0, 0
    box = domain.box
    size = abs(weights) @ abs(here)
    for direction in directions:
        slope, reference = -np.inf, min(1.0, certificate.scale)
        for length in KINKED:
            there = x + length * direction
            if box is None:
                there = np.asarray(domain.ravel(domain.project(domain.unravel(there))), np.float64)
            steps = [x + share * (there - x) for share in (0.5, 1.0)]
            if box is not None and np.any((steps[1] < box[0]) | (steps[1] > box[1])):
                continue
            moves = [values(step) - here for step in steps]
            falls = [weights @ move + held @ (step - x) for move, step in zip(moves, steps, strict=True)]
            rounding = 16 * np.finfo(np.float64).eps * (size + abs(held) @ abs(x)) / length
            slope = np.fmax(slope, (4 * falls[0] - falls[1]) / length + rounding)
            reference = np.fmax(reference, abs(moves[1][0]) / length)
        if np.isfinite(slope):
            worst, count = max(worst, -slope / reference), count + 1
    claimed = f"{certificate.stationarity:.3g} (at most {certificate.tolerance:g})"
    good = count > 0 and worst <= certificate.tolerance * 1.01
    return ("stationarity", claimed, f"{worst:.3g} in {count} directions, from {certificate.kinks} kinks", bool(good))


def _complementarity(
    values: Values,
    x: np.ndarray,
    constraints: np.ndarray,
    multipliers: np.ndarray,
    bound: np.ndarray | None,
    length: np.ndarray,
    unit: float,
    certificate: Certificate,
) -> Found:
    """A force at a distance from its bound: the distance, or force times distance where the force is below one."""
    gap = _gap(constraints, values.lower, values.upper, multipliers)
    force = abs(multipliers) * length
    distance = np.where(multipliers != 0, gap / np.where(length > 0, length, 1.0), 0.0)
    if bound is not None and values.problem.domain.box is not None:
        force = np.append(force, abs(bound) * values.scale)
        distance = np.append(distance, _gap_of(values, x, bound) / values.scale)
    size = float(np.max(force * distance / np.maximum(force, unit), initial=0.0))
    claimed = f"{certificate.complementarity:.3g} (at most {certificate.tolerance:g})"
    return ("complementarity", claimed, f"{size:.3g}", bool(size <= certificate.tolerance * 1.01))


def _gap(value: np.ndarray, lower: np.ndarray, upper: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """Distance from the bound that a force of that sign comes from; infinite where there is none."""
    return np.where(sign > 0, abs(upper - value), np.where(sign < 0, abs(value - lower), 0.0))


def _neighbors(
    values: Values,
    x: np.ndarray,
    here: np.ndarray,
    jacobian: np.ndarray | None,
    multipliers: np.ndarray,
    slope: np.ndarray,
    limit: float,
) -> Found:
    """Random feasible members close to x: none may be better by more than first-order conditions allow.

    Samples are led back to the constraints by Gauss-Newton steps with the Jacobian at x (in scaled variables, where it
    is known). From the shortest distance up, the first at which all samples are clearly worse ends the search: what
    lies beyond is another valley.

    Args:
        values: of the problem.
        x: shape (n,).
        here: [loss, *constraints] there.
        jacobian: of the constraints, shape (n, m).
        multipliers: of the constraints.
        slope: bound on the part of the Lagrangian's gradient that nothing holds, in scaled variables, shape (n,).
        limit: the violation that a sample may have.
    """
    domain, generator = values.problem.domain, np.random.default_rng(3)
    near = np.minimum(abs(here[1:] - values.lower), abs(here[1:] - values.upper)) <= 1e-3 * values.unit
    back = None if jacobian is None else np.linalg.pinv(jacobian[:, near].T, rcond=1e-10)
    gap = abs(multipliers) @ _gap(here[1:], values.lower, values.upper, multipliers)
    count = 0
    for length in (1e-5, 1e-4, 1e-3, 1e-2):
        better, worse = 0.0, True
        for _ in range(10):
            sample = x + length * values.scale * generator.uniform(-1, 1, x.size)
            for _ in range(1 if back is None or not near.any() else 5):
                sample = np.asarray(domain.ravel(domain.project(domain.unravel(sample))), np.float64)
                found = values(sample)
                off = values.residual(found[1:]) * values.unit
                if back is not None and np.isfinite(off).all():
                    sample = sample - values.scale * (back @ off[near])
            if not values.violation(found[1:]) <= limit or not np.isfinite(found[0]):
                continue
            count += 1
            moved = abs(sample - x) / values.scale
            allowed = slope @ moved + abs(multipliers) @ abs(off) + gap + 1e-12 * (abs(here[0]) + abs(found[0]))
            better = max(better, here[0] - found[0] - allowed)
            worse = worse and found[0] - here[0] > allowed
        if better > 0:
            return ("neighbors", "none is better", f"one within {length:g} is better by {better:.2g}", False)
        if worse and count:
            break
    return ("neighbors", "none is better", f"none of {count} feasible samples", True)


def bounded(values: Values, x: np.ndarray, certificate: Certificate) -> Found:
    """That no sampled member, near or far, is better by more than the gap: a proof may be refuted, not repeated.

    Samples are random members of the domain and points up to 1e4 scales from x; feasible are those that satisfy the
    constraints, and those on the way to x that do.
    """
    if certificate.gap is None:
        return ("bound", "a gap", "no gap is stored", False)
    domain, generator = values.problem.domain, np.random.default_rng(5)
    here = values(x)[0]
    allowed = certificate.gap + 1e-6 * max(1.0, abs(here))
    members = [np.asarray(domain.ravel(domain.sample(jax.random.key(i))), np.float64) for i in range(SAMPLES)]
    reaches = 10.0 ** generator.uniform(-3, 4, SAMPLES)
    members += [x + reach * values.scale * generator.normal(size=x.size) for reach in reaches]
    count = 0
    for member in members:
        for share in (1.0, 0.1, 0.01):
            y = np.asarray(domain.ravel(domain.project(domain.unravel(x + share * (member - x)))), np.float64)
            found = values(y)
            if not (np.isfinite(found[0]) and values.violation(found[1:]) <= certificate.tolerance):
                continue
            count += 1
            # What the tolerance on the constraints may gain is none of the gap's business.
            if found[0] < here - allowed and values.violation(found[1:]) <= 0:
                return ("bound", f"gap {certificate.gap:.2g}", f"a member is better by {here - found[0]:.2g}", False)
    return ("bound", f"gap {certificate.gap:.2g}", f"none of {count} feasible samples is better", True)


def infeasible(values: Values, x: np.ndarray, conflicts: list[str]) -> list[Found]:
    """That x violates the constraints named, and that first derivatives do not lower their violation."""
    names = [c.name for c in values.problem.subject_to]
    unknown = [name for name in conflicts if name not in names]
    if unknown:
        return [("conflicts", ", ".join(conflicts), f"there is no constraint {unknown[0]}", False)]
    left = values.residual(values(x)[1:])
    chosen = np.isin(values.owner, [names.index(name) for name in conflicts] if conflicts else range(len(names)))
    size = float(np.linalg.norm(left))
    violated = bool(np.isfinite(left).all() and np.any(abs(left[chosen]) > 0))
    lines = [("conflicts", ", ".join(conflicts) or "none named", "violated" if violated else "satisfied", violated)]
    if not violated or not conflicts:
        return lines
    if x.size > MANY:
        return [*lines, ("least violation", "stationary", f"not rechecked: above {MANY} variables", False)]
    slopes, errors = values.slopes(x, np.diag(values.scale), 1e-9)
    forces = slopes[:, 1:] * (left / values.unit / size)
    length = max(1e-300, float(np.max(np.linalg.norm(forces, axis=0), initial=0.0)))
    domain = values.problem.domain
    there = domain.project(domain.unravel(x - values.scale * forces.sum(axis=1) / max(1.0, length)))
    rest = float(np.max(abs(x - np.asarray(domain.ravel(there), np.float64)) / values.scale, initial=0.0))
    doubt = float(np.max(np.sum(errors[:, 1:] * abs(left / values.unit / size), axis=1), initial=0.0))
    good = doubt <= NOISE and rest <= 1e-4 * max(1e-2, min(1.0, length)) + 3 * doubt
    return [*lines, ("least violation", "stationary", f"slope {rest:.2g} +- {doubt:.1g}", bool(good))]


def unbounded(values: Values, x: np.ndarray, ray: np.ndarray) -> list[Found]:
    """That the loss falls at every step along a ray of feasible points, and by amounts that do not fade."""
    domain = values.problem.domain
    points = [x + step * ray for step in RAY]
    found = np.array([values(x), *(values(y) for y in points)])
    feasible = all(bool(domain.contains(domain.unravel(y))) for y in points) and all(
        values.violation(each[1:]) <= 1e-6 + 1e-12 * step for each, step in zip(found[1:], RAY, strict=True)
    )
    finite = int(np.sum(np.isfinite(found[:, 0])))
    falls = -np.diff(found[:finite, 0])
    late = falls[len(falls) // 2 :]
    bottom = bool(np.all(found[finite:, 0] == -np.inf))  # a fall that leaves the range of numbers
    endless = bottom and len(late) >= 2 and bool(np.all(falls > 0) and np.all(late[1:] >= 0.9 * late[:-1]))
    return [
        ("ray", "feasible", "feasible" if feasible else "leaves the feasible set", feasible),
        ("loss on it", "falls without end", f"falls by {np.sum(falls):.3g} in {RAY[finite - 2]:g} scales", endless),
    ]


def _random_directions(values: Values, x: np.ndarray) -> np.ndarray:
    """Random signs, turned away from bounds."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (DIRECTIONS, x.size)) * values.scale
    box = values.problem.domain.box
    if box is None:
        return signs
    reach = 0.01 * values.scale
    return np.where(x + reach > box[1], -abs(signs), np.where(x - reach < box[0], abs(signs), signs))
