"""Curvature at a point: how ill-conditioned, and whether it vanishes along directions in which nothing changes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.inspection.subject import Subject

DENSE = 500  # above this many coordinates, Lanczos


class Curvature(NamedTuple):
    """The curvature of the objective at a point.

    Attributes:
        condition: largest over smallest |eigenvalue| that is not numerically zero (with Lanczos, a lower bound).
        scaled: the same after scaling each coordinate to unit curvature.
        null: directions of zero curvature, (k, n): at most a few.
        exact: whether all eigenvalues were computed.
    """

    condition: float
    scaled: float
    null: np.ndarray
    exact: bool


def curvature(subject: Subject, x: np.ndarray) -> Curvature | None:
    """The curvature of the objective at x; None where it is not finite or is zero to rounding."""
    n = x.size
    if n <= DENSE:
        run = subject.compiled("hessian", lambda: jax.hessian(subject.loss))
        hessian = np.asarray(run(subject.array(x), subject.key, subject.inputs), np.float64)
        subject.evaluations += 6 * n
        return _dense((hessian + hessian.T) / 2, subject.eps)
    return _lanczos(subject, x)


def _dense(hessian: np.ndarray, eps: float) -> Curvature | None:
    if not np.isfinite(hessian).all() or not hessian.any():
        return None
    n = len(hessian)
    eigenvalues, vectors = np.linalg.eigh(hessian)
    size = abs(eigenvalues)
    zero = size <= 10 * n * eps * size.max()
    diagonal = np.sqrt(np.maximum(abs(np.diag(hessian)), np.finfo(float).tiny))
    scale = np.where(diagonal > np.sqrt(n * eps) * diagonal.max() * 1e-6, 1 / diagonal, 0.0)
    scaled = abs(np.linalg.eigvalsh(scale[:, None] * hessian * scale))
    scaled = scaled[scaled > 10 * n * eps * scaled.max()]
    null = vectors[:, zero].T
    return Curvature(
        float(size.max() / size[~zero].min()), float(scaled.max() / scaled.min()), null[:4] if len(null) else null, True
    )


def _lanczos(subject: Subject, x: np.ndarray, steps: int = 48, probes: int = 16) -> Curvature | None:
    """Ritz values of the Hessian with full reorthogonalization (Golub and Van Loan, section 10.3)."""

    def build() -> Any:
        def product(v: Any, x: Any, key: Any, inputs: Any) -> Any:
            return jax.jvp(lambda x: jax.grad(subject.loss)(x, key, inputs), (x,), (v,))[1]

        def run(x: Any, start: Any, signs: Any, key: Any, inputs: Any) -> Any:
            hv = lambda v: product(v, x, key, inputs)  # noqa: E731
            # Diagonal by random signs (Bekas, Kokiopoulou and Saad 2007).
            diagonal = jnp.abs(jnp.mean(jax.lax.map(lambda s: s * hv(s), signs), 0))
            stretch = 1 / jnp.sqrt(jnp.maximum(diagonal, jnp.max(diagonal) * 1e-12))
            return _krylov(hv, start, steps), _krylov(lambda v: stretch * hv(stretch * v), start, steps)

        return run

    rng = np.random.default_rng(0)
    steps = min(steps, x.size)
    start, signs = rng.normal(size=x.size), rng.choice([-1.0, 1.0], (probes, x.size))
    run = subject.compiled("lanczos", build)
    found = run(subject.array(x), subject.array(start), subject.array(signs), subject.key, subject.inputs)
    subject.evaluations += 6 * (2 * steps + probes)
    ratios = []
    null = np.zeros((0, x.size))
    for index, (basis, projected) in enumerate(tuple(np.asarray(each, np.float64) for each in pair) for pair in found):
        if not np.isfinite(projected).all() or not projected.any():
            return None
        eigenvalues, vectors = np.linalg.eigh((projected + projected.T) / 2)
        size = abs(eigenvalues)
        zero = size <= 10 * x.size * subject.eps * size.max()
        ratios.append(float(size.max() / size[~zero].min()))
        if index == 0 and zero.any():
            null = (basis.T @ vectors[:, zero]).T[:1]
    return Curvature(ratios[0], ratios[1], null, False)


def _krylov(product: Any, start: Any, steps: int) -> tuple[Any, Any]:
    """An orthonormal Krylov basis, (steps, n), and the operator projected on it, (steps, steps)."""

    def step(basis: Any, index: Any) -> tuple[Any, Any]:
        w = product(basis[index])
        for _ in range(2):
            w = w - basis.T @ (basis @ w)
        length = jnp.linalg.norm(w)
        return basis.at[index + 1].set(jnp.where(length > 0, w / jnp.where(length > 0, length, 1), 0)), None

    basis = jnp.zeros((steps + 1, start.size), start.dtype).at[0].set(start / jnp.linalg.norm(start))
    basis, _ = jax.lax.scan(step, basis, jnp.arange(steps))
    basis = basis[:steps]
    return basis, jax.lax.map(product, basis) @ basis.T


def constant_along(subject: Subject, x: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The directions along which the objective keeps its value at finite distances, to rounding.

    Args:
        subject: the problem.
        x: the point.
        directions: unit vectors, (k, n).

    Returns:
        A boolean for each direction.
    """
    length = np.median(subject.scale)
    reach = length * np.array([-10.0, -1.0, -0.3, 0.3, 1.0, 10.0])
    points = (x + reach[:, None, None] * directions).reshape(-1, x.size)
    random = np.random.default_rng(0).normal(size=(8, x.size))
    around = x + length * random / np.linalg.norm(random, axis=1, keepdims=True)
    values = subject.values(np.concatenate([x[None], around, points]))[:, 0]
    change = abs(values[9:] - values[0]).reshape(len(reach), -1).max(0)
    usual = np.nanmedian(abs(values[1:9] - values[0]))
    noise = 1e3 * subject.eps * max(abs(values[0]), 1e-300)
    return np.isfinite(change) & (change <= np.sqrt(subject.eps) * 1e-2 * usual + noise) & (usual > 10 * noise)
