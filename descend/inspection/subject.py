"""`Subject`: a problem as functions of a flat vector, compiled for probing, with every evaluation counted."""

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.domains import Product
from descend.problem import Inputs, Problem
from descend.program import compat
from descend.program.candidates import Candidate, candidates
from descend.program.flow import Role, Site
from descend.program.iterations import Loop, iterated, observed
from descend.program.observe import Limit, bounded, fingerprints, magnitudes

LINES = 8
"""How many lines are probed at once, at most."""

MEMORY = 1 << 23
"""How many numbers the points that are evaluated at once may have in all."""


PATIENCE = 20
"""How many times more rounds than at the center a loop may take elsewhere that ends by what it has computed."""


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
        loops: the outermost loops whose state carries a derivative, with what they do at the center.
        limits: how many rounds the loops that end by what they have computed may take elsewhere.
        evaluations: what has been spent, in units of one value.
        failures: the first line of each exception that a probe met.
    """

    def __init__(self, problem: Problem, start: Any, key: jax.Array):
        self.problem = problem
        self.domain: Product = problem.domain.relax() if problem.domain.discrete else problem.domain
        self.x = np.asarray(self.domain.ravel(problem.domain.start() if start is None else start), np.float64)
        self.scale = np.broadcast_to(np.asarray(self.domain.scale, np.float64), self.x.shape)
        self.key = key
        self.evaluations = 0
        self.lanes = 0
        self.failures: list[str] = []
        self.dtype = np.dtype(jnp.result_type(float))
        self.eps = float(jnp.finfo(self.dtype).eps) if not problem.black_box else 2.0**-52
        self.inputs = problem.inputs
        if problem.batch_size is not None and problem.rows > problem.batch_size:
            rows = jax.tree.map(lambda a: a[: problem.batch_size], problem.data)
            self.inputs = problem.inputs._replace(data=rows)
        self.outputs: list[str | None] = [None]
        self.shapes: list[tuple[int, ...]] = []
        self.candidates: list[Candidate] = []
        self.loops: list[tuple[Candidate, Loop]] = []
        self.limits: dict[Site, Limit] = {}
        self.program: compat.Program | None = None
        if not problem.black_box:
            self._read()

    def _read(self) -> None:
        shapes = jax.eval_shape(lambda x, k: self._evaluation(x, k, self.inputs), self.array(self.x), self.key)
        self.shapes = [value.shape for value in shapes.constraints]
        for constraint, shape in zip(self.problem.subject_to, self.shapes, strict=True):
            self.outputs += [constraint.name] * int(np.prod(shape, dtype=int))
        leaves = jax.tree.leaves(self.inputs)
        self.program = self.trace(self.problem)
        still = [False] * len(leaves)
        found = candidates(self.program, [True, False, *still], [False, True, *still])
        edges = np.cumsum([0, 1, *(int(np.prod(shape, dtype=int)) for shape in self.shapes)])
        columns = [tuple(range(a, b)) for a, b in itertools.pairwise(edges)]
        self.candidates = [c._replace(outputs=sum((columns[i] for i in c.outputs), ())) for c in found]
        self._follow()

    def _follow(self) -> None:
        """Runs the loops at the center; what the objective does there must end by itself."""
        loops = iterated(self.candidates)
        if not loops or self.program is None:
            return
        follow = compat.brief_jit(observed(self.program, loops))
        seen = self.attempt(lambda: follow(self.array(self.x), self.key, *jax.tree.leaves(self.inputs)))
        self.evaluations += 3
        self.loops = [(c, jax.tree.map(np.asarray, loop)) for c, loop in zip(loops, seen or (), strict=False) if loop]
        for c, loop in self.loops:
            if c.ends:
                inside = {o.site for o in self.candidates if o.role is Role.KINKS and o.site[: len(c.site)] == c.site}
                rests = frozenset(inside if loop.converged(c.used) else ())
                self.limits[c.site] = Limit(PATIENCE * (100 + int(loop.rounds)), rests)

    def trace(self, problem: Problem) -> compat.Program:
        """The program of the outputs as a function of (x, key, inputs...), of the problem or a copy of it."""
        twin = copy.copy(self)
        twin.problem = problem
        return compat.trace(twin.parts, self.array(self.x), self.key, self.inputs)

    def array(self, x: np.ndarray) -> jax.Array:
        """As a JAX array of the precision in use."""
        return jnp.asarray(x, self.dtype)

    def _evaluation(self, x: Any, key: Any, inputs: Inputs) -> Any:
        return self.problem.bind(inputs).evaluate(self.domain.unravel(x), key=key)

    def parts(self, x: Any, key: Any, inputs: Inputs) -> list[Any]:
        """The loss and each constraint's numbers, as vectors: traceable."""
        if self.limits and self.program is not None:
            return bounded(self.program, self.limits)(x, key, *jax.tree.leaves(inputs))
        loss, constraints, *_ = self._evaluation(x, key, inputs)
        return [jnp.reshape(jnp.asarray(part, self.dtype), (-1,)) for part in (loss, *constraints)]

    def flat(self, x: Any, key: Any, inputs: Inputs) -> Any:
        """Loss and constraints' numbers as one vector: traceable."""
        return jnp.concatenate(self.parts(x, key, inputs))

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
        full = ("inspection", name, self.dtype, *sorted(self.limits.items()))
        return self.problem.compiled(full, lambda: compat.brief_jit(build()))

    def each(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function(row, shared)` over the rows of arrays: at once, or in pieces where the points are long."""
        size = MEMORY // max(1, self.x.size)
        if size >= 512:
            return jax.vmap(function, in_axes=(0, None))
        return lambda rows, shared: jax.lax.map(lambda row: function(row, shared), rows, batch_size=max(1, size))

    def values(self, points: np.ndarray) -> np.ndarray:
        """(points, outputs) at flat points."""
        run = self.compiled("values", lambda: self.each(lambda x, shared: self.flat(x, *shared)))
        self.evaluations += len(points)
        return np.asarray(run(self.array(points), (self.key, self.inputs)), np.float64)

    def gradients(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Loss and its reverse-mode gradient at flat points: (points,), (points, n)."""
        run = self.compiled("gradients", lambda: self.each(lambda x, s: jax.value_and_grad(self.loss)(x, *s)))
        self.evaluations += 3 * len(points)
        value, gradient = run(self.array(points), (self.key, self.inputs))
        return np.asarray(value, np.float64), np.asarray(gradient, np.float64)

    def sample(self, t: np.ndarray, lines: list[Line], owner: np.ndarray, keys: jax.Array | None = None) -> Samples:
        """Values, slopes and fingerprints at `t[i]` on `lines[owner[i]]`, with the subject's key or each with its own.

        At most `LINES` lines. The first call settles how many points are measured at once; later calls with fewer are
        filled up, so that nothing is compiled again, and the filling is counted too.
        """
        count = len(t)
        self.lanes = self.lanes or count
        size = max(count, self.lanes) if keys is None else count
        rows = (
            self.array(np.concatenate([t, np.repeat(t[:1], size - count)])),
            jnp.asarray(np.concatenate([owner, np.repeat(owner[:1], size - count)]), np.int32),
            jnp.broadcast_to(self.key, (size,)) if keys is None else keys,
        )
        ends = self.array(np.stack([np.stack(line) for line in [*lines, *[lines[0]] * (LINES - len(lines))]]))
        run = self.compiled("sample", lambda: self.each(self._sample))
        self.evaluations += size * (3 if self.candidates else 2)
        values, slopes, marks = (np.asarray(each)[:count] for each in run(rows, (ends, self.inputs)))
        return Samples(values.astype(np.float64), slopes.astype(np.float64), marks)

    def marks(self, points: np.ndarray) -> np.ndarray:
        """(points, candidates): fingerprints alone, at flat points."""
        run = self.compiled("marks", lambda: self.each(lambda x, shared: self._look(x, *shared)))
        self.evaluations += len(points)
        return np.asarray(run(self.array(points), (self.key, self.inputs)))

    def _look(self, x: Any, key: Any, inputs: Inputs) -> Any:
        if self.program is None or not self.candidates:
            return jnp.zeros((0,), jnp.uint32)
        return fingerprints(self.program, self.candidates, self.limits)(x, key, *jax.tree.leaves(inputs))

    def apart(self, points: np.ndarray, chosen: Sequence[Candidate]) -> np.ndarray:
        """(points, candidates): the magnitudes of how far some candidates are from where they are kinked."""
        assert self.program is not None
        look, leaves = magnitudes(self.program, chosen, self.limits), jax.tree.leaves(self.inputs)
        self.evaluations += len(points)
        return np.asarray(compat.brief_jit(jax.vmap(lambda x: look(x, self.key, *leaves)))(self.array(points)))

    def on(self, line: Line, t: np.ndarray) -> np.ndarray:
        """(points, n): the points of a line."""
        if self.domain.convex:
            return line.a + t[:, None] * (line.b - line.a)
        return np.stack([np.asarray(self.along(each, *line)) for each in t])

    def _sample(self, row: tuple[Any, Any, Any], shared: tuple[Any, Inputs]) -> tuple[Any, Any, Any]:
        (t, owner, key), (ends, inputs) = row, shared

        def outputs(t: Any) -> Any:
            return self.flat(self.along(t, *ends[owner]), key, inputs)

        try:
            value, slope = jax.jvp(outputs, (t,), (jnp.ones_like(t),))
        except TypeError:  # a function with a reverse rule only
            value, slope = outputs(t), jax.jacrev(outputs)(t)
        return value, slope, self._look(self.along(t, *ends[owner]), key, inputs)
