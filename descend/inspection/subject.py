"""`Subject`: a problem as functions of a flat vector, compiled for probing, with every evaluation counted."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.problem import Inputs, Problem
from descend.program import compat
from descend.program.candidates import Candidate, candidates
from descend.program.observe import fingerprints


class Line(NamedTuple):
    """A segment inside the domain: the points a + t (b - a), t in [0, 1], projected where the domain is not convex."""

    a: np.ndarray
    b: np.ndarray


class Samples(NamedTuple):
    """What probing measured at some points of some lines, as NumPy arrays.

    Attributes:
        values: (points, outputs): the loss, then the constraints' numbers.
        slopes: (points, outputs): their derivatives with respect to t, by automatic differentiation.
        marks: (points, candidates): fingerprints.
    """

    values: np.ndarray
    slopes: np.ndarray
    marks: np.ndarray


class Subject:
    """A problem under inspection.

    Args:
        problem: the problem; a discrete one is seen through its relaxed domain.
        start: the point at the center, shaped like `over`; None: the domain's start.
        key: the key that random functions receive.

    Attributes:
        x: the center, flat, float64.
        scale: a typical distance in each coordinate.
        outputs: for each output the name of the constraint that it belongs to, or None for the objective.
        shapes: the shape of each constraint's value.
        candidates: the equations that may break a derivative.
        evaluations: what has been spent, in units of one value.
        failures: the first line of each exception that a probe met.
    """

    def __init__(self, problem: Problem, start: Any, key: jax.Array):
        self.problem = problem
        self.domain = problem.domain.relax() if problem.domain.discrete else problem.domain
        self.x = np.asarray(self.domain.ravel(problem.domain.start() if start is None else start), np.float64)
        self.scale = np.broadcast_to(np.asarray(self.domain.scale, np.float64), self.x.shape)
        self.key = key
        self.evaluations = 0
        self.lanes = 0
        self.failures: list[str] = []
        self.dtype = np.dtype(jnp.result_type(float))
        self.eps = float(np.finfo(self.dtype).eps) if not problem.black_box else 2.0**-52
        self.inputs = problem.inputs
        if problem.batch_size is not None and problem.rows > problem.batch_size:
            rows = jax.tree.map(lambda a: a[: problem.batch_size], problem.data)
            self.inputs = Inputs(problem.given, rows)
        self.outputs: list[str | None] = [None]
        self.shapes: list[tuple[int, ...]] = []
        self.candidates: list[Candidate] = []
        self.program: compat.Program | None = None
        if not problem.black_box:
            self._read()

    def _read(self) -> None:
        shapes = jax.eval_shape(lambda x, k: self._evaluation(x, k, self.inputs), self.array(self.x), self.key)
        self.shapes = [value.shape for value in shapes.constraints]
        for constraint, shape in zip(self.problem.subject_to, self.shapes, strict=True):
            self.outputs += [constraint.name] * int(np.prod(shape, dtype=int))
        leaves = jax.tree.leaves(self.inputs)
        self.program = self.trace()
        still = [False] * len(leaves)
        self.candidates = candidates(self.program, [True, False, *still], [False, True, *still])

    def trace(self) -> compat.Program:
        """The program of the outputs as a function of (x, key, inputs...), read anew."""
        return compat.trace(self.flat, self.array(self.x), self.key, self.inputs)

    def array(self, x: np.ndarray) -> jax.Array:
        """As a JAX array of the precision in use."""
        return jnp.asarray(x, self.dtype)

    def _evaluation(self, x: Any, key: Any, inputs: Inputs) -> Any:
        return self.problem.bind(inputs).evaluate(self.domain.unravel(x), key=key)

    def flat(self, x: Any, key: Any, inputs: Inputs) -> Any:
        """Loss and constraints' numbers as one vector: traceable."""
        loss, constraints = self._evaluation(x, key, inputs)
        parts = [jnp.reshape(loss, (1,)), *(jnp.reshape(c, (-1,)) for c in constraints)]
        return jnp.concatenate([jnp.asarray(part, self.dtype) for part in parts])

    def loss(self, x: Any, key: Any, inputs: Inputs) -> Any:
        """The loss alone: traceable."""
        return jnp.asarray(self._evaluation(x, key, inputs).loss, self.dtype)

    def along(self, t: Any, a: Any, b: Any) -> Any:
        """The point of a line at t: traceable."""
        x = a + t * (b - a)
        return x if self.domain.convex else self.domain.ravel(self.domain.project(self.domain.unravel(x)))

    def attempt(self, probe: Callable[[], Any]) -> Any:
        """What the probe returns, or None if it raises: no user function may stop an inspection."""
        try:
            return probe()
        except Exception as error:
            text = str(error).splitlines()
            self.failures.append(f"{type(error).__name__}: {text[0] if text else ''}")
            return None

    def compiled(self, name: str, build: Callable[[], Any]) -> Any:
        """A jitted program, shared by all inspections of this problem."""
        return self.problem.compiled(("inspection", name, self.dtype), lambda: jax.jit(build()))

    def values(self, points: np.ndarray, keys: jax.Array | None = None) -> np.ndarray:
        """(points, outputs) at flat points, all with the subject's key, or each with its own."""
        run = self.compiled("values", lambda: jax.vmap(self.flat, in_axes=(0, 0, None)))
        keys = jnp.broadcast_to(self.key, (len(points),)) if keys is None else keys
        self.evaluations += len(points)
        return np.asarray(run(self.array(points), keys, self.inputs), np.float64)

    def gradients(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Loss and its reverse-mode gradient at flat points: (points,), (points, n)."""
        run = self.compiled("gradients", lambda: jax.vmap(jax.value_and_grad(self.loss), in_axes=(0, None, None)))
        self.evaluations += 3 * len(points)
        value, gradient = run(self.array(points), self.key, self.inputs)
        return np.asarray(value, np.float64), np.asarray(gradient, np.float64)

    def sample(self, t: np.ndarray, lines: list[Line], keys: jax.Array | None = None) -> Samples:
        """Values, slopes and fingerprints, one point on each of `lines`."""
        count = len(t)
        self.lanes = size = max(count, self.lanes)  # one shape serves all, so that little is compiled
        t = np.concatenate([t, np.repeat(t[:1], size - count)])
        a, b = (np.stack([*each, *[each[0]] * (size - count)]) for each in zip(*lines, strict=True))
        if keys is None:
            keys = jnp.broadcast_to(self.key, (size,))
        watched = bool(self.candidates)
        run = self.compiled("sample", lambda: jax.vmap(self._sample, in_axes=(0, 0, 0, 0, None)))
        self.evaluations += size * (3 if watched else 2)
        out = run(self.array(t), self.array(a), self.array(b), keys, self.inputs)
        values, slopes, marks = (np.asarray(each)[:count] for each in out)
        return Samples(values.astype(np.float64), slopes.astype(np.float64), marks)

    def marks(self, points: np.ndarray) -> np.ndarray:
        """(points, candidates): fingerprints alone, at flat points."""

        def look(x: Any, key: Any, inputs: Inputs) -> Any:
            assert self.program is not None
            return fingerprints(self.program, self.candidates)(x, key, *jax.tree.leaves(inputs))

        run = self.compiled("marks", lambda: jax.vmap(look, in_axes=(0, None, None)))
        self.evaluations += len(points)
        return np.asarray(run(self.array(points), self.key, self.inputs))

    def on(self, line: Line, t: np.ndarray) -> np.ndarray:
        """(points, n): the points of a line."""
        if self.domain.convex:
            return line.a + t[:, None] * (line.b - line.a)
        return np.stack([np.asarray(self.along(each, *line)) for each in t])

    def _sample(self, t: Any, a: Any, b: Any, key: Any, inputs: Inputs) -> tuple[Any, Any, Any]:
        def outputs(t: Any) -> Any:
            return self.flat(self.along(t, a, b), key, inputs)

        try:
            value, slope = jax.jvp(outputs, (t,), (jnp.ones_like(t),))
        except TypeError:  # a function with a reverse rule only
            value, slope = outputs(t), jax.jacrev(outputs)(t)
        if not self.candidates or self.program is None:
            return value, slope, jnp.zeros((0,), jnp.uint32)
        look = fingerprints(self.program, self.candidates)
        return value, slope, look(self.along(t, a, b), key, *jax.tree.leaves(inputs))
