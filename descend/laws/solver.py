"""What every solver must do, whoever wrote it."""

import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.constraints import at_least, at_most
from descend.domains import Binary, Real, Sphere
from descend.engine import checkpoint
from descend.engine.evaluate import Evaluator
from descend.problem import Problem
from descend.solvers import AskTell, Needs, Progress, Solver, Values


def check_solver(solver: Solver | AskTell, problem: Problem | None = None, key: Any = 0, segments: int = 200) -> None:
    """Try a solver on a small problem that fits its `NEEDS` and check the contract of `descend.solvers`.

    Args:
        solver: what to check.
        problem: something else to try it on; its start must not be its solution.
        key: an int or a JAX key.
        segments: within which it must have improved on the start.

    Raises:
        AssertionError: naming the law that it breaks.
    """
    key = numerics.as_key(key)
    problem = example(solver.NEEDS) if problem is None else problem
    start = problem.domain.start()
    first = solver.init(problem, start, key)
    for leaf in jax.tree.leaves(first):
        assert isinstance(leaf, jax.Array | np.ndarray), (
            f"state: a state is a tree of arrays, found {type(leaf).__name__}"
        )

    once, points = advance(solver, problem, first, 2)
    again, repeated = advance(solver, problem, first, 2)
    assert same(once, again) and same(points, repeated), "pure: two runs from one state differ"
    assert jax.tree.structure(once) == jax.tree.structure(first), "structure: the tree of the state changed"

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.npz"
        checkpoint.save(path, once, {})
        leaves, _ = checkpoint.load(path)
        restored = jax.tree.unflatten(jax.tree.structure(first), leaves)
        fresh = solver if isinstance(solver, Solver) else type(solver)(**settings(solver))
        straight, _ = advance(solver, problem, once, 2)
        resumed, _ = advance(fresh, problem, restored, 2)
    assert same(straight, resumed), "resume: a state read from a file goes on differently"

    if isinstance(solver, AskTell):
        check_asking(solver, problem, first)
    else:
        hull = problem.domain.relax()
        for x in points:
            assert hull.contains(jax.tree.map(np.asarray, x)), (
                "domain: a reported point lies outside the relaxed domain"
            )
        for program in problem._programs.values():
            size = getattr(program, "_cache_size", lambda: 1)()
            assert size <= 1, "compilation: the second segment compiled the program again"

    evaluator = Evaluator(problem)
    loss, violation = scores(evaluator, start, key)
    _, reached = advance(solver, problem, first, segments)
    found = [scores(evaluator, problem.domain.round(jax.tree.map(np.asarray, x)), key) for x in reached]
    best = min((max(v - 1e-6, 0.0), value) for value, v in found)
    assert best < (max(violation - 1e-6, 0.0), loss), (
        f"progress: no point better than the start within {segments} segments"
    )


def example(needs: Needs) -> Problem:
    """A problem of eight numbers that a solver with these needs must improve on."""
    target = jnp.linspace(-0.8, 0.9, 8)
    if needs.kinks:
        return Problem(lambda x: jnp.sum(abs(x - target)) + jnp.max(x), over=Real(8, -1.0, 1.0))
    if needs.linear:
        within = at_most(lambda x: x[0] + x[2] + x[4], 2.0, name="sum")
        return Problem(lambda x: jnp.sum(target * x), over=Binary(8), subject_to=[within])
    if needs.finite or not needs.continuous:
        weights = jnp.array([3.0, -1.0, 2.0, -4.0, 1.0, -2.0, 5.0, -0.5])
        return Problem(lambda x: jnp.sum(weights * x) + x[1] * x[3] * 2, over=Binary(8))
    if needs.adversary:
        game = lambda v: jnp.sum((v["x"] - target) ** 2) + jnp.sum(v["x"] * v["y"]) / 5 - jnp.sum(v["y"] ** 2)  # noqa: E731
        return Problem(game, over={"x": Real(8, -1.0, 1.0, start=0.5), "y": Real(8, -1.0, 1.0)}, adversary=("y",))
    over = Sphere(8) if needs.walkable else Real(8) if needs.free else Real(8, -1.0, 1.0, start=0.5)
    conditions = [] if needs.unconstrained else [at_least(lambda x: jnp.sum(x), 0.5, name="sum")]
    return Problem(lambda x: jnp.sum((x - target) ** 2 * jnp.arange(1.0, 9.0)), over=over, subject_to=conditions)


def advance(solver: Any, problem: Problem, state: Any, segments: int) -> tuple[Any, list[Any]]:
    """The state after some segments, or after it is done, and the best points of each."""
    points = []
    evaluator = Evaluator(problem)
    for _ in range(segments):
        if isinstance(solver, AskTell):
            if solver.done(problem, state):
                break
            asked = solver.ask(problem, state)
            values = evaluator.many(asked, jax.random.key(0)[None]).mean
            state = solver.tell(problem, state, asked, values)
            winner = int(np.argmin(values.rank))
            points.append(jax.tree.map(lambda a, i=winner: a[i], asked))
            done = False
        else:
            state, progress = solver.step(problem, state)
            assert isinstance(progress, Progress), "progress: step returns (state, Progress)"
            assert progress.units > 0 or progress.done, "units: a segment must count its evaluations"
            points.append(progress.x)
            done = progress.done
        if done:
            break
    return state, points


def check_asking(solver: AskTell, problem: Problem, state: Any) -> None:
    """The laws of `ask` and `tell`."""
    asked, again = solver.ask(problem, state), solver.ask(problem, state)
    assert same(asked, again), "ask: asking twice gives different points"
    count = len(jax.tree.leaves(asked)[0])
    for index in range(count):
        member = jax.tree.map(lambda a, i=index: a[i], asked)
        assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(member)), "ask: points are NumPy float64"
        assert problem.domain.contains(member), "ask: a point is not a member of the domain"
    failed = Values(np.full(count, np.nan), np.full(count, np.nan))
    after = solver.tell(problem, state, asked, failed)
    if not solver.done(problem, after):
        following = solver.ask(problem, after)
        assert len(jax.tree.leaves(following)[0]) > 0, "failures: it is not done and asks for nothing more"


def scores(evaluator: Evaluator, x: Any, key: jax.Array) -> tuple[float, float]:
    found = evaluator.many(jax.tree.map(lambda a: np.asarray(a)[None], x), key[None])
    return float(found.losses[0, 0]), float(found.violation[0])


def settings(solver: Any) -> dict[str, Any]:
    """The settings that make another solver of the same kind, which remembers nothing."""
    return {name: field_value for name, field_value in vars(solver).items() if not name.startswith("_")}


def same(a: Any, b: Any) -> bool:
    """Whether two trees hold identical numbers."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(*map(plain, pair), equal_nan=plain(pair[0]).dtype.kind == "f") for pair in pairs)


def plain(leaf: Any) -> np.ndarray:
    """A leaf as NumPy numbers, keys included."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(leaf))
    return np.asarray(leaf)
