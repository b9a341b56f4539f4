"""The exponents of loops against known ones, and which loops are called chaotic or nested."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend.program import compat
from descend.program.candidates import candidates
from descend.program.iterations import iterated, observed


def followed(f, *args):
    """The loops of f at these arguments."""
    program = compat.trace(f, *args)
    loops = iterated(candidates(program, [True] * len(args), [False] * len(args)))
    return loops, jax.jit(observed(program, loops))(*args)


def logistic(rate, length, start=0.3):
    return lambda x: jax.lax.scan(lambda n, _: (rate * n * (1 - n), None), start + 0.1 * x, None, length=length)[0]


def counted(x):
    return jax.lax.while_loop(lambda s: s[0] < 60, lambda s: (s[0] + 1, s[1] * 0.5), (0, x))[1]


def lorenz(steps, h):
    def slope(s):
        return jnp.stack([10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]])

    def step(s, _):
        a = slope(s)
        b = slope(s + h / 2 * a)
        c = slope(s + h / 2 * b)
        return s + h / 6 * (a + 2 * b + 2 * c + slope(s + h * c)), None

    return lambda x: jnp.sum(jax.lax.scan(step, jnp.array([1.0, 1.0, 20.0]) + 0.1 * x, None, length=steps)[0])


@pytest.mark.parametrize(
    ("f", "exponent", "tolerance"),
    [
        (logistic(4.0, 5000), np.log(2), 0.02),
        (logistic(3.2, 2000), -0.9163, 0.01),  # the period of two: half of ln |r^2 - 2 r - 4| with r = 3.2
        (lambda x: jax.lax.fori_loop(0, 50, lambda _, y: 0.9 * y + 1, x), np.log(0.9), 1e-12),
        (lambda x: jax.lax.fori_loop(0, 80, lambda _, y: 1.4 * y, x), np.log(1.4), 1e-12),
        (lambda x: jax.lax.scan(lambda c, v: (c + v, c), x, jnp.ones(200))[0], 0.0, 1e-12),
        (counted, -np.log(2), 1e-12),
        (lorenz(20_000, 0.01), 0.01 * 0.9056, 0.01 * 0.06),
    ],
    ids=["logistic 4", "logistic 3.2", "contraction", "growth", "sum", "while", "lorenz"],
)  # fmt: skip
def test_exponents(f, exponent, tolerance):
    _, (loop,) = followed(f, jnp.asarray(0.2))
    assert abs(loop.exponent - exponent) < max(tolerance, 3 * loop.error)
    assert 3 * loop.error < max(0.1, abs(exponent))


def test_a_period_of_two_has_the_exponent_of_its_formula():
    """Derivative of the twice iterated map at the cycle: 4 + 2 r - r^2."""
    rate = 3.2
    assert abs(0.5 * np.log(abs(4 + 2 * rate - rate**2)) + 0.9163) < 1e-4


def test_loops_inside_calls_branches_and_loops_are_found_outermost_first():
    def inner(y):
        return jax.lax.fori_loop(0, 20, lambda _, z: 1.5 * z, y)

    def f(x):
        mapped = jax.lax.map(jax.jit(inner), x * jnp.ones(3))  # a loop without a state
        outer = jax.lax.fori_loop(0, 3, lambda _, y: inner(y), x)
        return jnp.sum(mapped) + outer + jax.lax.cond(x > 0, inner, lambda y: y, x)

    loops, seen = followed(f, jnp.asarray(0.5))
    assert len(loops) == 3
    exponents = sorted(loop.exponent for loop in seen)
    np.testing.assert_allclose(exponents, np.log([1.5, 1.5, 1.5**20]), rtol=1e-6)


def test_float32_and_mixed_states():
    def f(x):
        def step(state, _):
            count, y, key = state
            return (count + 1, 3.8 * y * (1 - y), key), None

        return jax.lax.scan(step, (0, jax.nn.sigmoid(x), jax.random.key(0)), None, length=400)[0][1]

    _, (loop,) = followed(f, jnp.asarray(0.2, jnp.float32))
    assert abs(loop.exponent - 0.432) < 0.1  # of that map, by iterating it in NumPy:
    y, total = 0.55, 0.0
    for i in range(20_000):
        total += np.log(abs(3.8 * (1 - 2 * y))) * (i >= 100)
        y = 3.8 * y * (1 - y)
    assert abs(total / 19_900 - 0.432) < 0.02


def words(f, at):
    return descend.inspect(f, at=at, thorough=False).words


def settle(x):
    def go_on(state):
        return jnp.abs(state[0] - state[1]) > 1e-9

    return jax.lax.while_loop(go_on, lambda s: (jnp.cos(0.5 * s[0] + x), s[0]), (x, x + 1.0))[0]


def test_what_converges_is_nested_and_what_counts_is_not():
    found = descend.inspect(settle, at=0.4, thorough=False)
    assert found.words == {"nested", "smooth"}
    (nested,) = found.about("nested")
    assert nested.where["line"] == settle.__code__.co_firstlineno + 4
    assert 5 < nested.evidence["rounds"] < 60 and nested.cure
    assert "nested" not in words(lambda x: jax.lax.while_loop(lambda t: t < 50.0, lambda t: t + 0.1 + x**2, 0.0), 0.4)
    assert "nested" not in words(lambda x: jax.lax.fori_loop(0, 100, lambda _, y: jnp.cos(y) * x, x), 0.4)
    assert words(lambda x: jnp.sum(jnp.linalg.solve(jnp.eye(2) * 3 + x, jnp.ones(2))), 0.4) == {"smooth"}


def test_polynomial_growth_and_short_growth_are_not_chaos():
    drift = lambda x: jax.lax.scan(lambda s, _: ((s[0] + s[1], s[1]), None), (x, x), None, length=2000)[0][0]  # noqa: E731
    assert "chaotic" not in words(drift, 0.4)
    assert "chaotic" not in words(lambda x: jax.lax.fori_loop(0, 15, lambda _, y: 1.4 * y, x), 0.4)
    assert "chaotic" in words(lambda x: jax.lax.fori_loop(0, 60, lambda _, y: 1.4 * y, x), 0.4)


def test_evidence_of_chaos():
    found = descend.inspect(logistic(4.0, 300), at=0.2, thorough=False)
    assert found.words == {"chaotic"}
    evidence = found.about("chaotic")[0].evidence
    assert abs(evidence["exponent"] - np.log(2)) < 3 * evidence["standard error"] + 0.02
    assert evidence["horizon"] == 300
    np.testing.assert_allclose(evidence["Lyapunov time"], 1 / evidence["exponent"])
    plan = descend.plan(descend.Problem(logistic(4.0, 300), over=descend.Real((), 0.1, 0.3)))
    assert not any(stage.solver.NEEDS.true_gradient for stage in plan.stages)


@pytest.mark.parametrize("length", [0, 1, 2])
def test_short_loops(length):
    assert words(lambda x: jax.lax.fori_loop(0, length, lambda _, y: 2.0 * y, x) ** 2, 0.4) == {"smooth"}


def test_a_loop_that_would_never_end_elsewhere_does_not_hold_the_inspection():
    """No double near a large root makes the residual that small: far out the loop runs forever."""

    def root(x):
        y = jax.lax.while_loop(lambda y: jnp.abs(y**2 - x) > 1e-9, lambda y: 0.5 * (y + x / y), x)
        return y + jnp.exp(-x)

    found = descend.inspect(root, at=2.0)
    assert "nested" in found.words
