"""Newton's method in a trust region, with exact second derivatives: for smooth problems, free or in a box."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
import scipy.linalg

from descend.problem import Problem
from descend.solvers.flat import Flat
from descend.solvers.segments import pause
from descend.solvers.solver import Needs, Progress, Solver

WIDEST = 1e10  # radius, in units of the domain's scale
PRODUCTS = 200  # of the Hessian, in one step of conjugate gradients
GOOD, POOR = 0.75, 0.25  # actual over predicted decrease: above, the region grows; below, it shrinks


class TrustState(NamedTuple):
    """The iterate in units of the domain's scale, and the radius."""

    z: np.ndarray
    radius: np.ndarray
    first: np.ndarray  # largest entry of the first gradient; NaN before it is known
    steps: np.ndarray
    failures: np.ndarray  # in a row


@dataclass(frozen=True, repr=False)
class TrustRegion(Solver):
    """Steps minimize the quadratic model within a ball: exactly, from the eigenvalues of the Hessian, up to 500
    variables, by truncated conjugate gradients beyond.

    In a box the variables that a bound holds are fixed, the step is projected, and the projected gradient step is taken
    where its model is lower. Negative curvature is followed, so that a saddle is left. It is done when the projected
    scaled gradient is below `tolerance`, or no step lowers the loss beyond rounding. A step costs a gradient and, up
    to 500 variables, a Hessian (6 n units) and O(n^3) operations.

    Args:
        iterations: in one segment.
        most: iterations in all.
        tolerance: on the largest entry of the projected scaled gradient, times min(1, that of the first one); 0 chooses
            1e-9 in float64, 1e-5 in float32.

    Source: More & Sorensen (1983); Steihaug (1983); projection: Lin & More (1999).
    """

    iterations: int = 50
    most: int = 20_000
    tolerance: float = 0.0
    NEEDS: ClassVar[Needs] = Needs(
        gradient=True, true_gradient=True, continuous=True, deterministic=True, box=True, unconstrained=True
    )

    def init(self, problem: Problem, start: Any, key: jax.Array) -> TrustState:
        z = np.asarray(problem.domain.ravel(start), np.float64) / problem.domain.scale
        zero = np.zeros((), np.int64)
        return TrustState(z, np.asarray(1.0), np.asarray(np.nan), zero, zero)

    def restart(self, problem: Problem, state: TrustState) -> TrustState:
        """The state after the parameters of the problem's merit changed."""
        return state._replace(first=np.asarray(np.nan), steps=0 * state.steps, failures=0 * state.failures)

    def step(self, problem: Problem, state: TrustState) -> tuple[TrustState, Progress]:
        model = Model(problem)
        z, radius, first, failures = state.z, float(state.radius), float(state.first), int(state.failures)
        z = np.clip(z, model.lower, model.upper)
        tolerance = self.tolerance or (1e-9 if np.finfo(model.flat.dtype).bits >= 64 else 1e-5)
        loss, gradient = model.at(z)
        reason, stalled, count = "", False, 0
        for _ in range(self.iterations):
            count += 1
            pause(lambda z=z: model.tree(z))
            held = model.held(z, gradient)
            norm = float(np.max(abs(np.where(held, 0.0, gradient)), initial=0.0))
            first = norm if np.isnan(first) else first
            if not (np.isfinite(loss) and np.isfinite(gradient).all()):
                reason, stalled = "the loss or its gradient is not finite", True
                break
            product, move = model.newton(z, gradient, held, radius)
            if norm <= tolerance * min(1.0, first) and product(move) @ move >= -np.finfo(float).eps:
                reason = "gradient vanished"
                break
            move = model.projected(z, gradient, product, move, radius)
            predicted = -(gradient @ move + move @ product(move) / 2)
            length = float(np.linalg.norm(move))
            # A loss that sums many terms is known to more than a few units of its last place only.
            rounding = 100 * np.finfo(model.flat.dtype).eps * max(abs(loss), 1e-300)
            if not predicted > 0 or length == 0 or radius <= 1e-15 * (1 + np.max(abs(z), initial=0.0)):
                reason, stalled = "no step lowers the loss", not norm <= 1e3 * tolerance
                break
            new_loss, new_gradient = model.at(z + move)
            fall = loss - new_loss
            if predicted <= rounding and abs(fall) <= rounding:
                # Values say nothing here; the gradient does.
                smaller = np.max(abs(model.free(z + move, new_gradient)), initial=0.0) < 0.5 * norm
                if not smaller:
                    reason, stalled = "no step lowers the loss beyond rounding", not norm <= 1e3 * tolerance
                    break
                ratio = 1.0
            else:
                ratio = (fall + rounding) / (predicted + rounding) if np.isfinite(fall) or fall == np.inf else -1.0
            if ratio < POOR:
                radius = 0.25 * min(radius, length)
            elif ratio > GOOD and length >= 0.8 * radius:
                radius = min(2.5 * radius, WIDEST)
            failures = 0 if ratio > 1e-4 else failures + 1
            if ratio > 1e-4:
                z, loss, gradient = z + move, new_loss, new_gradient
        steps = int(state.steps) + count
        if not reason and steps >= self.most:
            reason, stalled = f"{self.most} iterations", True
        state = TrustState(z, np.asarray(radius), np.asarray(first), np.asarray(steps), np.asarray(failures))
        norm = float(np.max(abs(model.free(z, gradient)), initial=0.0))
        signals = {"gradient norm": norm, "radius": radius}
        units = model.flat.evaluations
        return state, Progress(model.tree(z), float(loss), units, bool(reason), reason, stalled, signals)


class Model:
    """Loss, gradient and quadratic model in units of the domain's scale.

    Args:
        problem: traceable, over a box; constraints are ignored.
    """

    def __init__(self, problem: Problem):
        self.flat = Flat(problem)
        self.scale = self.flat.scale
        self.lower, self.upper = (np.asarray(bound) / self.scale for bound in problem.domain.box or ())
        self.bounded = bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    def tree(self, z: np.ndarray) -> Any:
        """The point, shaped like `over`."""
        return self.flat.tree(z * self.scale)

    def at(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss and scaled gradient."""
        loss, _, gradient = self.flat.gradient(z * self.scale)
        return loss, gradient * self.scale

    def held(self, z: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Which variables a bound holds against the descent."""
        return ((z <= self.lower) & (gradient > 0)) | ((z >= self.upper) & (gradient < 0))

    def free(self, z: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """The projected gradient."""
        return z - np.clip(z - gradient, self.lower, self.upper) if self.bounded else gradient

    def newton(
        self, z: np.ndarray, gradient: np.ndarray, held: np.ndarray, radius: float
    ) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
        """The product with the Hessian, and the step within the radius that leaves held variables where they are."""
        none = np.zeros(self.flat.constraints)
        free, move = ~held, np.zeros_like(z)
        if self.flat.dense:
            hessian = self.flat.hessian(z * self.scale, none) * self.scale * self.scale[:, None]
            hessian = np.nan_to_num(hessian, nan=0.0, posinf=1e100, neginf=-1e100)
            move[free] = exact(gradient[free], hessian[np.ix_(free, free)], radius)
            return lambda v: hessian @ v, move

        def product(v: np.ndarray) -> np.ndarray:
            pause(lambda: self.tree(z))
            return self.flat.curve(z * self.scale, none, (v * self.scale)[None])[0] * self.scale

        def inside(v: np.ndarray) -> np.ndarray:
            whole = np.zeros_like(z)
            whole[free] = v
            return product(whole)[free]

        move[free] = truncated(gradient[free], inside, radius)
        return product, move

    def projected(
        self, z: np.ndarray, gradient: np.ndarray, product: Callable[[np.ndarray], np.ndarray], move: np.ndarray,
        radius: float,
    ) -> np.ndarray:  # fmt: skip
        """The step cut at the bounds, or the projected gradient step where the model likes that better."""
        if not self.bounded:
            return move

        def value(p: np.ndarray) -> float:
            return float(gradient @ p + p @ product(p) / 2)

        best = np.clip(z + move, self.lower, self.upper) - z
        length = radius / max(float(np.linalg.norm(gradient)), 1e-300)
        for _ in range(40):
            cauchy = np.clip(z - length * gradient, self.lower, self.upper) - z
            if value(cauchy) <= 0.01 * float(gradient @ cauchy):
                break
            length /= 4
        return best if value(best) < value(cauchy) else cauchy


def exact(gradient: np.ndarray, hessian: np.ndarray, radius: float) -> np.ndarray:
    """The minimizer of g'p + p'Hp/2 with |p| <= radius, by the eigenvalues of H; the hard case included."""
    if gradient.size == 0:
        return gradient
    values, vectors = scipy.linalg.eigh(hessian, driver="evd", check_finite=False)
    along = vectors.T @ gradient
    size = max(float(np.max(abs(values))), 1e-300)
    if values[0] > 1e-14 * size:
        step = along / values
        if np.linalg.norm(step) <= radius:
            return -vectors @ step
    least = max(0.0, -float(values[0]))
    low, high = least, least + float(np.linalg.norm(along)) / radius + 1e-14 * size
    shift = high
    # |p(shift)| falls from infinity (or, in the hard case, from less than the radius) as the shift grows.
    for _ in range(100):
        below = np.maximum(values + shift, 1e-300)
        step = along / below
        length = float(np.linalg.norm(step))
        if abs(length - radius) <= 1e-6 * radius or high - low <= 1e-15 * high:
            break
        low, high = (shift, high) if length > radius else (low, shift)
        slope = float(np.sum(step**2 / below))
        newton = shift + (length - radius) / radius * length**2 / max(slope, 1e-300)
        shift = newton if low < newton < high else (low + high) / 2
    length = float(np.linalg.norm(step))
    if length < radius * (1 - 1e-5) and values[0] <= 0:
        # The hard case: the direction of the most negative curvature fills what is left.
        step[0] += np.copysign(np.sqrt(max(radius**2 - length**2, 0.0)), step[0] if step[0] else 1.0)
    return -vectors @ step


def truncated(gradient: np.ndarray, product: Callable[[np.ndarray], np.ndarray], radius: float) -> np.ndarray:
    """The same, approximately, by conjugate gradients that stop at the radius or at negative curvature."""
    move, residual = np.zeros_like(gradient), gradient.copy()
    direction = -residual
    size = float(np.linalg.norm(gradient))
    enough = min(0.1, np.sqrt(size)) * size
    for _ in range(min(PRODUCTS, 2 * gradient.size)):
        curved = product(direction)
        curvature = float(direction @ curved)
        square = float(residual @ residual)
        length = square / curvature if curvature > 0 else np.inf
        if not curvature > 0 or np.linalg.norm(move + length * direction) >= radius:
            a, b, c = direction @ direction, move @ direction, move @ move - radius**2
            return move + (-b + np.sqrt(max(b * b - a * c, 0.0))) / max(a, 1e-300) * direction
        move = move + length * direction
        residual = residual + length * curved
        if np.linalg.norm(residual) <= enough:
            break
        direction = -residual + float(residual @ residual) / square * direction
    return move
