"""A traceable problem as functions of one flat vector, with what they cost: for solvers and checks that work in NumPy.

What is compiled belongs to the problem: all solvers of a plan and the certificate share the same programs.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun

from descend.problem import Problem

BLOCK = 16  # points or rows in one compiled call: one compilation serves any number of them
SMALL = 50  # variables, up to which a Hessian costs less than to compile its products with vectors
DENSE, ENTRIES = 500, 10**6  # variables, and entries of a Jacobian, up to which whole matrices are computed at once


class Flat:
    """Loss and constraints of a traceable problem, with their true derivatives, on NumPy float64 vectors.

    A vector has the order of `Problem.domain.ravel`; constraint values are concatenated in the order they were stated.
    A route is ignored. Random functions draw from key 0; data in batches is averaged over all rows.

    Args:
        problem: a problem whose functions can be traced; one that was restated with a merit has no constraints.
        scale: of the variables, in place of the domain's, shape (n,).

    Attributes:
        stated: its constraints.
        evaluations: units spent so far; a gradient counts 3, a Hessian-vector product 6.
        scale: of the variables, shape (n,).
        unstated: which of them nobody stated, shape (n,).
        lower, upper, unit: bounds and scale of the constraint values, each of shape (m,).
        dtype: the precision in which JAX evaluates.
    """

    def __init__(self, problem: Problem, scale: np.ndarray | None = None):
        self.problem = problem if problem.route is None else problem.via(None)
        self.evaluations = 0
        self._last: tuple[np.ndarray, tuple[float, np.ndarray, np.ndarray, np.ndarray]] | None = None
        self.size = problem.domain.size
        # Whole numbers are no box to be clipped to, though they lie in one.
        self._box = None if problem.domain.discrete else problem.domain.box
        self.scale = np.broadcast_to(problem.domain.scale if scale is None else scale, (self.size,)).astype(np.float64)
        self.unstated = problem.domain.unstated
        self.stated = problem.subject_to if problem.merit is None else ()
        self.dtype, self.shapes, self.value_shapes, intervals = problem.compiled("flat", self._read)
        self.lower, self.upper, self.unit = intervals

    def rescaled(self, scale: np.ndarray) -> "Flat":
        """The same functions with other scales, the same programs and count of evaluations."""
        twin = Flat(self.problem, scale)
        twin.evaluations, twin._last = self.evaluations, self._last
        return twin

    def program(self) -> Callable[[Any], list[Any]]:
        """From a vector to the loss, shape (1,), and each constraint's numbers, for readers of programs.

        The user's functions are traced once, however often the problem is restated; they may be traced in vain.
        """

        def both(v: Any, inputs: Any) -> list[Any]:
            loss, constraints, *_ = self.problem.bind(inputs).evaluate(self.problem.domain.unravel(v))
            broad = [jnp.ravel(jnp.broadcast_to(c, s)) for c, s in zip(constraints, self.shapes, strict=True)]
            return [jnp.reshape(loss, (1,)), *broad]

        dtype, inputs = jnp.result_type(float), self.problem.inputs
        trace = lambda: jax.make_jaxpr(both)(jnp.zeros(self.size, dtype), inputs)  # noqa: E731
        traced = jaxpr_as_fun(self.problem.compiled(("program", dtype), trace))
        leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(inputs)]
        return lambda v: traced(v, *leaves)

    def _read(self) -> tuple[np.dtype, list[tuple[int, ...]], list[tuple[int, ...]], list[np.ndarray]]:
        """The least precise dtype, the shapes of the constraints' values with and without their bounds, and lower
        bounds, upper bounds and scales of all of them.
        """
        start = self.problem.domain.start()
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), jnp.result_type(float)), start)
        shapes = jax.eval_shape(lambda x: self.problem.evaluate(x), like)
        dtype = np.dtype(min((a.dtype for a in jax.tree.leaves((like, shapes))), key=lambda d: jnp.finfo(d).bits))
        broad = [
            np.broadcast_shapes(value.shape, c.lower.shape, c.upper.shape)
            for c, value in zip(self.stated, shapes.constraints, strict=True)
        ]
        stated = list(zip(self.stated, broad, strict=True))
        intervals = [
            _join([np.broadcast_to(getattr(c, part), shape) for c, shape in stated])
            for part in ("lower", "upper", "scale")
        ]
        return dtype, broad, [value.shape for value in shapes.constraints], intervals

    @property
    def measured(self) -> np.ndarray | None:
        """The scales, if some of them are not those that the user stated or would have got; else None."""
        return self.scale if np.any(self.unstated & (self.scale != 1.0)) else None

    @property
    def constraints(self) -> int:
        """The number of constraint values."""
        return len(self.lower)

    @property
    def dense(self) -> bool:
        """Whether the Jacobian and the Hessian are small enough to be computed as whole matrices."""
        return self.size <= DENSE and self.size * (1 + self.constraints) <= ENTRIES

    def vector(self, x: Any) -> np.ndarray:
        """A point of the domain as a vector, rounded to `dtype`, because that is what JAX sees."""
        flat = self.problem.domain.ravel(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), x))
        return self.round(flat)

    def round(self, vector: np.ndarray) -> np.ndarray:
        """The vector as JAX sees it."""
        return np.asarray(vector, self._float).astype(np.float64)

    def tree(self, vector: np.ndarray) -> Any:
        """The inverse of `vector`."""
        return self.problem.domain.unravel(np.asarray(vector, np.float64))

    def project(self, vector: np.ndarray) -> np.ndarray:
        """The nearest point of the domain."""
        if self._box is not None:
            return np.clip(vector, *self._box)
        return np.asarray(self.problem.domain.ravel(self.problem.domain.project(self.tree(vector))), np.float64)

    def members(self, points: np.ndarray) -> np.ndarray:
        """The nearest points of the domain as JAX sees them, shape (k, n)."""
        if self._box is not None:
            return self.round(np.clip(points, *self._box))
        return np.array([self.round(self.project(point)) for point in points]).reshape(points.shape)

    def residual(self, values: np.ndarray) -> np.ndarray:
        """Signed distance of constraint values, shape (..., m), from their intervals, in units of their scales."""
        return (values - np.clip(values, self.lower, self.upper)) / self.unit

    def violation(self, values: np.ndarray) -> np.ndarray:
        """The largest |residual| over the last axis; infinite where a value is not finite."""
        size = abs(self.residual(values))
        return np.max(np.where(np.isfinite(size), size, np.inf), axis=-1, initial=0.0)

    def values(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Loss, shape (k,), and constraint values, shape (k, m), at points of shape (k, n)."""
        program = self.compiled("values", lambda both: lambda points: jax.lax.map(both, points))
        self.evaluations += len(points)
        blocks = [program(block) for block in self._blocks(points)]
        loss, constraints = (np.concatenate(column)[: len(points)] for column in zip(*blocks, strict=True))
        return loss, constraints

    def gradient(self, vector: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Loss, constraint values of shape (m,), and the gradient of the loss, shape (n,)."""
        if self.dense:
            return self.first(vector)[:3]

        def build(both: Callable[..., Any]) -> Callable[..., Any]:
            return lambda v: jax.value_and_grad(both, has_aux=True)(v)

        (loss, constraints), gradient = self.compiled("gradient", build)(vector)
        self.evaluations += 3
        return float(loss), constraints, gradient

    def first(self, vector: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """As `gradient`, and the Jacobian of the constraint values, shape (m, n). The last point is remembered."""
        if self._last is not None and np.array_equal(vector, self._last[0]):
            return self._last[1]

        def build(both: Callable[..., Any]) -> Callable[..., Any]:
            def everything(v: jax.Array) -> jax.Array:
                loss, constraints = both(v)
                return jnp.append(loss, constraints)

            def run(v: jax.Array) -> tuple[jax.Array, jax.Array]:
                values, back = jax.vjp(everything, v)
                if len(values) <= 2 * v.size:
                    return values, jax.vmap(lambda row: back(row)[0])(jnp.eye(len(values), dtype=values.dtype))
                try:
                    return values, jax.jacfwd(everything)(v)
                except TypeError:  # a function with a reverse rule only
                    return values, jax.vmap(lambda row: back(row)[0])(jnp.eye(len(values), dtype=values.dtype))

            return run

        values, rows = self.compiled("first", build)(vector)
        self.evaluations += 3 * (1 + min(self.constraints, self.size))
        found = float(values[0]), values[1:], rows[0], rows[1:]
        self._last = vector.copy(), found
        return found

    def hessian(self, vector: np.ndarray, weights: np.ndarray, factor: float = 1.0) -> np.ndarray:
        """Hessian of factor * loss + weights . constraints, shape (n, n)."""

        def build(both: Callable[..., Any]) -> Callable[..., Any]:
            def run(v: jax.Array, weights: jax.Array, factor: jax.Array) -> jax.Array:
                def slope(v: jax.Array) -> jax.Array:
                    loss, constraints = both(v)
                    return factor * loss + jnp.vdot(weights, constraints)

                try:
                    return jax.jacfwd(jax.grad(slope))(v)
                except TypeError:  # a function with a reverse rule only
                    return jax.jacrev(jax.grad(slope))(v)

            return run

        self.evaluations += 6 * self.size
        found = self.compiled("hessian", build)(vector, weights, np.asarray(factor))
        return (found + found.T) / 2

    def rows(self, vector: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Gradients of the chosen constraint values, shape (len(indices), n)."""
        if len(indices) == 0:
            return np.zeros((0, self.size))
        if self.dense:
            return self.first(vector)[3][indices]
        self.evaluations += 3 * len(indices)

        def build(both: Callable[..., Any]) -> Callable[..., Any]:
            def pull(v: jax.Array, which: jax.Array) -> jax.Array:
                value, back = jax.vjp(lambda v: both(v)[1], v)
                return jax.vmap(lambda i: back(jax.nn.one_hot(i, len(value), dtype=value.dtype))[0])(which)

            return pull

        program = self.compiled("rows", build)
        padded = np.resize(indices, -(-len(indices) // BLOCK) * BLOCK)
        blocks = [program(vector, padded[i : i + BLOCK]) for i in range(0, len(padded), BLOCK)]
        return np.concatenate(blocks)[: len(indices)]

    def slopes(self, vector: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """The constraints' derivatives along directions, shape (k, m), in forward mode."""

        def build(both: Callable[..., Any]) -> Callable[..., Any]:
            def push(v: jax.Array, directions: jax.Array) -> jax.Array:
                return jax.vmap(lambda d: jax.jvp(lambda v: both(v)[1], (v,), (d,))[1])(directions)

            return push

        program = self.compiled("slopes", build)
        self.evaluations += 3 * len(directions)
        return np.concatenate([program(vector, b) for b in self._blocks(directions)])[: len(directions)]

    def curve(self, vector: np.ndarray, weights: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Hessian of loss + weights . constraints, times each direction: shape (k, n) for directions of shape (k, n).

        Reverse over reverse, because functions with a custom reverse rule have no forward one.
        """

        def build(both: Callable[..., Any]) -> Callable[..., Any]:
            def product(v: jax.Array, weights: jax.Array, directions: jax.Array) -> jax.Array:
                def slope(v: jax.Array) -> jax.Array:
                    loss, constraints = both(v)
                    return loss + jnp.vdot(weights, constraints)

                _, back = jax.vjp(jax.grad(slope), v)
                return jax.vmap(lambda d: back(d)[0])(directions)

            return product

        if len(directions) == 0:
            return np.zeros((0, self.size))
        if self.dense and (self.size <= SMALL or 2 * len(directions) >= self.size):
            return directions @ self.hessian(vector, weights)
        program = self.compiled("curve", build)
        self.evaluations += 6 * len(directions)
        return np.concatenate([program(vector, weights, b) for b in self._blocks(directions)])[: len(directions)]

    @functools.cached_property
    def _float(self) -> np.dtype:
        return np.dtype(jnp.result_type(float))

    def _blocks(self, points: np.ndarray) -> list[np.ndarray]:
        size = 1 if len(points) == 1 else BLOCK
        padded = np.resize(points, (-(-len(points) // size) * size, self.size))
        return [padded[i : i + size] for i in range(0, len(padded), size)]

    def compiled(self, name: str, build: Callable[..., Any]) -> Callable[..., Any]:
        """A program of float arrays in, NumPy float64 out, compiled once for the problem."""
        problem, shapes = self.problem, self.shapes

        def make() -> Any:
            def run(inputs: Any, *arguments: Any) -> Any:
                def both(v: jax.Array) -> tuple[jax.Array, jax.Array]:
                    loss, constraints, *_ = problem.bind(inputs).evaluate(problem.domain.unravel(v))
                    spread = [
                        jnp.ravel(jnp.broadcast_to(c, s)).astype(v.dtype)
                        for c, s in zip(constraints, shapes, strict=True)
                    ]
                    return loss.astype(v.dtype), jnp.concatenate([jnp.zeros(0, v.dtype), *spread])

                return build(both)(*arguments)

            return jax.jit(run)

        program = problem.compiled(("flat", name), make)

        def call(*arguments: np.ndarray) -> Any:
            cast = [a if a.dtype.kind == "i" else np.asarray(a, self._float) for a in arguments]
            return jax.tree.map(lambda a: np.asarray(a, np.float64), program(problem.inputs, *cast))

        return call


def _join(pieces: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0), *(np.ravel(p) for p in pieces)])
