"""The forces of constraints and bounds that balance the gradient of a loss at a point.

All is in scaled variables u = x / scale, and a force is a multiplier times the length of its constraint's gradient
there, so that neither the units of a constraint nor those of a variable matter.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.optimize

from descend.inspection import curvature, multipliers
from descend.solvers.flat import Flat
from descend.solvers.sparsity import Sparse, lengths, stretched

LARGEST = 5 * 10**7  # entries of the active Jacobian


@dataclass(frozen=True)
class Near:
    """The constraint values that x is at, or within reach of: one entry for each side of an interval.

    Attributes:
        index: into the constraint values, shape (k,).
        side: +1 for an upper bound, -1 for a lower one.
        equality: whether both sides hold it.
        rows: gradients of the constraint values, shape (k, n), in the problem's units, sparse for a large problem.
        length: of each gradient in scaled variables; zero marks a row without direction, which carries no force.
        slack: |value - bound|, in the problem's units.
    """

    index: np.ndarray
    side: np.ndarray
    equality: np.ndarray
    rows: Any
    length: np.ndarray
    slack: np.ndarray

    @classmethod
    def find(cls, flat: Flat, point: np.ndarray, values: np.ndarray, reach: float) -> "Near | None":
        """Those within `reach` scales of a bound; None when their Jacobian is too large."""
        equality = flat.lower == flat.upper
        upper = np.flatnonzero(values >= flat.upper - reach * flat.unit)
        lower = np.flatnonzero((values <= flat.lower + reach * flat.unit) & ~equality)
        both = np.flatnonzero(equality)
        upper = np.setdiff1d(upper, both)
        index = np.concatenate([both, upper, lower]).astype(int)
        large = Sparse.of(flat)
        if large is None and len(index) * flat.size > LARGEST:
            return None
        side = np.concatenate([np.ones(len(both) + len(upper)), -np.ones(len(lower))])
        rows: Any = flat.rows(point, index) if large is None else large.jacobian(point)[index]
        length = lengths(stretched(rows, np.ones(len(index)), flat.scale))
        length = np.where(np.isfinite(length) & (length > 1e-14), length, 0.0)
        bound = np.where(side > 0, flat.upper[index], flat.lower[index])
        if large is None:
            rows = np.nan_to_num(rows)
        else:
            rows.data = np.nan_to_num(rows.data)  # type: ignore
        return cls(index, side, equality[index], rows, length, abs(values[index] - bound))

    def normals(self, scale: np.ndarray) -> Any:
        """Outward unit normals in variables of that scale, shape (k, n), dense or sparse as the rows are."""
        return stretched(self.rows, self.side / np.where(self.length > 0, self.length, np.inf), scale)

    @property
    def gaps(self) -> np.ndarray:
        """The distance of x from each, in scaled variables; zero for a row without direction."""
        return np.where(self.length > 0, self.slack / np.where(self.length > 0, self.length, 1.0), 0.0)

    def multipliers(self, forces: np.ndarray) -> np.ndarray:
        """Multipliers in the problem's units: positive where an upper bound holds x back."""
        return np.where(self.length > 0, forces * self.side / np.where(self.length > 0, self.length, 1.0), 0.0)


@dataclass(frozen=True)
class Balance:
    """How the forces at a point balance.

    Attributes:
        forces: of each entry of `Near`, in scaled variables, along its outward normal.
        stationarity, complementarity: as in `Certificate`.
        rest: what is left of the Lagrangian's gradient, shape (n,), in scaled variables.
        carried: multipliers of the bounds, in the problem's units, or None where the domain is not a box.
        pull: force of the bound on each coordinate, shape (n,), in scaled variables.
        reach: distance of each coordinate from the bound that carries it, shape (n,), in scaled variables.
        basis: the directions that the domain leaves free under these forces, shape (n, f), orthonormal, in scaled
            variables, or an index of coordinates; None when they are not a subspace that can be told.
        weak: whether something is active without force, so that the critical cone is less than the subspace.
        unit: what forces are compared with.
    """

    forces: np.ndarray
    stationarity: float
    complementarity: float
    rest: np.ndarray
    carried: np.ndarray | None
    pull: np.ndarray
    reach: np.ndarray
    basis: np.ndarray | None
    weak: bool
    unit: float

    @property
    def worse(self) -> float:
        """The larger one of stationarity and complementarity."""
        return max(self.stationarity, self.complementarity)

    def lost(self, near: Near) -> float:
        """What the forces at a distance from their constraints and bounds may cost: the sum of force times distance."""
        held = np.append(self.forces * near.gaps, self.pull * self.reach)
        return float(np.sum(abs(held)))


def in_box(
    flat: Flat, point: np.ndarray, gradient: np.ndarray, near: Near, limit: float, unit: float, reach: float = 0.0
) -> Balance:
    """The multipliers of bounds are what is left of the gradient, where its sign allows.

    A bound may carry a force within a reach, in scaled variables: 0 stands for the square root of the limit, because
    iterates of interior points keep away from their bounds.
    """
    reach = reach or np.sqrt(limit)
    lower, upper = flat.problem.domain.box  # type: ignore[misc]
    slope, normals = gradient * flat.scale, near.normals(flat.scale)
    below, above = abs(point - lower) / flat.scale, abs(upper - point) / flat.scale
    low, high = below <= reach, above <= reach
    forces = multipliers.balance(slope, normals, near.equality, near.gaps, low, high)
    total = slope + forces @ normals
    rest = multipliers.unbalanced(total, low, high)
    carried = total - rest
    distance = np.where(carried > 0, np.where(low, below, 0.0), np.where(carried < 0, np.where(high, above, 0.0), 0.0))
    strong = (abs(carried) > limit * unit) | (lower == upper)
    return Balance(
        forces=forces,
        stationarity=_relative(rest, slope, flat, limit, unit),
        complementarity=_complementarity(np.append(forces, carried), np.append(near.gaps, distance), unit),
        rest=rest,
        carried=-carried / flat.scale,
        pull=carried,
        reach=np.where(carried != 0, distance, 0.0),
        basis=np.flatnonzero(~strong),
        weak=bool(np.any((low | high) & ~strong)),
        unit=unit,
    )


def in_convex_set(
    flat: Flat, point: np.ndarray, gradient: np.ndarray, near: Near, limit: float, unit: float
) -> Balance:
    """Stationarity is the natural residual u - P(u - g) in scaled variables u, with g of at most unit length.

    The directions left free are those that the derivative of P at u - g keeps, where it is a projector: the span of the
    critical cone of a polyhedral set under strict complementarity.
    """
    slope, normals = gradient * flat.scale, near.normals(flat.scale)
    size = max(unit, float(np.max(abs(slope), initial=0.0)))

    def residual(forces: np.ndarray) -> np.ndarray:
        step = (slope + forces @ normals) / size
        return (point - flat.project(point - flat.scale * step)) / flat.scale

    forces = np.zeros(len(near.index))
    if len(forces):
        found = scipy.optimize.least_squares(
            lambda f: np.concatenate([residual(f), f * near.gaps / size]),
            np.where(near.equality, 0.0, 0.1 * size),
            bounds=(np.where(near.equality, -np.inf, 0.0), np.inf),
            x_scale=size,
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-15,
        )
        forces = np.where(found.active_mask == -1, 0.0, found.x)
    rest = residual(forces)
    return Balance(
        forces=forces,
        stationarity=float(np.max(abs(rest), initial=0.0)),
        complementarity=_complementarity(forces, near.gaps, unit),
        rest=rest * size,
        carried=None,
        pull=np.zeros(flat.size),
        reach=np.zeros(flat.size),
        basis=_kept(flat, point - flat.scale * (slope + forces @ normals) / size),
        weak=False,
        unit=unit,
    )


def _kept(flat: Flat, point: np.ndarray) -> np.ndarray | None:
    """An orthonormal basis of the range of the projection's derivative, if that is an orthogonal projector.

    By central differences, which are exact where a projection is linear, and show a kink by an eigenvalue in between.
    """
    if flat.size > curvature.DENSE:
        return None
    step = 1e-6
    sides = [
        np.array([flat.project(point + sign * step * e) / flat.scale for e in np.diag(flat.scale)]) for sign in (1, -1)
    ]
    matrix = (sides[0] - sides[1]).T / (2 * step)
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    whole = np.all(np.minimum(abs(values), abs(values - 1)) <= 1e-6)
    if not whole or np.max(abs(matrix - matrix.T), initial=0.0) > 1e-6:
        return None
    return vectors[:, values > 0.5]


def _relative(rest: np.ndarray, slope: np.ndarray, flat: Flat, limit: float, unit: float) -> float:
    """Each entry relative to its own part of the gradient; rounding of the largest entry is forgiven."""
    rounding = 1e3 * float(np.finfo(flat.dtype).eps) / limit * np.max(abs(slope), initial=0.0)
    return float(np.max(abs(rest) / np.maximum(np.maximum(abs(slope), unit), rounding), initial=0.0))


def _complementarity(forces: np.ndarray, gaps: np.ndarray, unit: float) -> float:
    return float(np.max(abs(forces) * gaps / np.maximum(abs(forces), unit), initial=0.0))
