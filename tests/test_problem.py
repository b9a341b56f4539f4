"""Stating problems: what is checked at once, and what an evaluation is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend.routes import smooth


def square(x):
    return jnp.sum(x**2)


@pytest.mark.parametrize(
    ("error", "match", "state"),
    [
        (TypeError, "objective must be a function", lambda: descend.Problem(3.0, over=descend.Real(2))),
        (TypeError, "w must be a domain", lambda: descend.Problem(square, over={"w": np.zeros(3)})),
        (ValueError, "at least one variable", lambda: descend.Problem(square, over={})),
        (ValueError, "empty domain", lambda: descend.Real(2, 1.0, 0.0)),
        (ValueError, "NaN", lambda: descend.Real(2, lower=np.nan)),
        (ValueError, "does not broadcast", lambda: descend.Real(2, lower=np.zeros(3))),
        (ValueError, "outside the bounds", lambda: descend.Real(2, 0.0, 1.0, start=2.0)),
        (ValueError, "scale must be positive", lambda: descend.Real(2, scale=0.0)),
        (ValueError, "sense must be", lambda: descend.Problem(square, over=descend.Real(2), sense="minimise")),
        (TypeError, "at_most", lambda: descend.Problem(square, over=descend.Real(2), subject_to=[square])),
        (ValueError, "did you mean 'key'", lambda: descend.Problem(lambda x, *, kee: 0.0, over=descend.Real(2))),
        (ValueError, "no data=", lambda: descend.Problem(lambda x, *, batch: 0.0, over=descend.Real(2))),
        (ValueError, "no given=", lambda: descend.Problem(lambda x, *, given: 0.0, over=descend.Real(2))),
        (ValueError, "batch_size needs data", lambda: descend.Problem(square, over=descend.Real(2), batch_size=3)),
        (
            ValueError,
            "equal, non-empty",
            lambda: descend.Problem(square, over=descend.Real(2), data=(np.ones(2), np.ones(3))),
        ),
        (TypeError, r"scalar, got shape \(2,\)", lambda: descend.Problem(lambda x: x, over=descend.Real(2))),
        (TypeError, "real numbers", lambda: descend.Problem(lambda x: x[0] * 1j, over=descend.Real(2))),
        (ValueError, "names 'y'", lambda: descend.Problem(square, over=descend.Real(2), adversary=("y",))),
        (TypeError, "take `key`", lambda: descend.at_most(square, 1.0, probability=0.9)),
        (ValueError, "between 0 and 1", lambda: descend.at_most(square, 1.0, probability=1.0)),
        (ValueError, "no value lies between", lambda: descend.between(square, 2.0, 1.0)),
        (TypeError, "function of x first", lambda: descend.equal(1.0, 2.0)),
        (TypeError, "judge must be a function", lambda: descend.Problem(square, over=descend.Real(2), judge=1)),
        (
            ValueError,
            "baseline 'old'.*shape",
            lambda: descend.Problem(square, over=descend.Real(2), baselines={"old": np.ones(3)}),
        ),
    ],
)
def test_mistakes_are_found_where_the_problem_is_stated(error, match, state):
    with pytest.raises(error, match=match) as caught:
        state()
    assert "\n" not in str(caught.value)


def test_it_prints_as_it_was_meant():
    problem = descend.Problem(
        square,
        over={"w": descend.Real(3, -1, 1)},
        subject_to=[descend.at_most(lambda v: v["w"].sum(), 1.0), descend.equal(square, 0.5, name="norm")],
        black_box=True,
    )
    assert str(problem).splitlines() == [
        "minimize square",
        "    over w in Real(3, -1, 1)",
        "    subject to constraint 1 <= 1",
        "    subject to norm = 0.5",
        "    (black box)",
    ]


def test_the_sign_of_a_maximum_and_scaled_violations():
    conditions = [descend.at_most(lambda x: x[0], 10.0), descend.between(lambda x: x, -1.0, 1.0, scale=0.5)]
    problem = descend.Problem(lambda x: x[0] * x[1], over=descend.Real(2), subject_to=conditions, sense="max")
    evaluation = problem.evaluate(jnp.array([12.0, 2.0]))
    assert evaluation.loss == -24.0
    assert problem.violation(evaluation.constraints) == max(2.0 / 10.0, 11.0 / 0.5)
    assert problem.violation(problem.evaluate(jnp.array([np.nan, 2.0])).constraints) == np.inf


def test_batches_average_to_the_whole_with_a_remainder():
    rows = np.random.default_rng(0).normal(size=(103, 4))
    state = lambda size: descend.Problem(  # noqa: E731
        lambda w, *, batch: jnp.mean((batch @ w - 1) ** 2), over=descend.Real(4), data=rows, batch_size=size
    )
    w = jnp.arange(4.0)
    whole = state(None).evaluate(w).loss
    np.testing.assert_allclose(state(10).evaluate(w).loss, whole, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(lambda w: state(10).evaluate(w).loss)(w), whole, rtol=1e-12)


def test_black_boxes_get_float64_arrays_and_a_seed():
    seen = []

    def simulator(x, *, key, given):
        seen.append((type(x), x.dtype, np.random.default_rng(key).random()))
        return float(x.sum()) * given

    problem = descend.Problem(simulator, over=descend.Real(2), given=3.0, black_box=True)
    assert problem.evaluate(np.ones(2), key=jax.random.key(5)).loss == 6.0
    assert problem.at(4.0).evaluate(np.ones(2), key=jax.random.key(5)).loss == 8.0
    assert seen[0] == seen[1] and seen[0][:2] == (np.ndarray, np.float64)


def test_a_black_box_in_traced_code_follows_its_parameters_and_data():
    def simulator(x, *, given, batch):
        return float(np.mean((np.asarray(batch) - x) ** 2)) * given

    problem = descend.Problem(simulator, over=descend.Real(), given=2.0, data=np.arange(6.0), black_box=True)
    program = lambda p: p.compiled("p", lambda: jax.jit(lambda x, i: p.bind(i).evaluate(x).loss))(1.0, p.inputs)  # noqa: E731
    expected = np.mean((np.arange(6.0) - 1) ** 2)
    np.testing.assert_allclose(program(problem), 2 * expected)
    np.testing.assert_allclose(program(problem.at(5.0)), 5 * expected)
    lanes = jax.vmap(lambda x: problem.evaluate(x).loss)(jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(lanes[1], 2 * expected)


def test_a_failing_black_box_in_traced_code_is_not_a_number():
    def simulator(x):
        if x > 0.5:
            raise RuntimeError("diverged")
        return float(x)

    problem = descend.Problem(simulator, over=descend.Real(), black_box=True)
    losses = jax.jit(jax.vmap(lambda x: problem.evaluate(x).loss))(jnp.array([0.0, 0.25, 1.0]))
    np.testing.assert_array_equal(losses, [0.0, 0.25, np.nan])


def test_why_a_function_cannot_be_traced_names_its_line():
    def branches(x):
        return 1.0 if x[0] > 0 else 2.0

    problem = descend.Problem(branches, over=descend.Real(2))
    assert problem.black_box and f"{__file__}:{branches.__code__.co_firstlineno + 1}" in problem.untraceable


def test_restating_does_not_compile_again():
    problem = descend.Problem(lambda x, *, given: jnp.sum((x - given) ** 2), over=descend.Real(2), given=1.0)
    build = lambda: jax.jit(lambda x, inputs: problem.bind(inputs).evaluate(x).loss)  # noqa: E731
    first = problem.compiled("loss", build)(jnp.zeros(2), problem.inputs)
    other = problem.at(3.0)
    assert other.compiled("loss", build)(jnp.zeros(2), other.inputs) == 18.0 and first == 2.0
    assert problem.compiled("loss", build)._cache_size() == 1
    with pytest.raises(ValueError, match="given must be shaped like"):
        problem.at((1.0, 2.0))


@pytest.mark.parametrize(("length", "times"), [(5, 4), (260, 2)])
def test_a_long_function_is_traced_once_for_all_programs(length, times):
    calls = []

    def long(x):
        calls.append(0)
        for _ in range(length):
            x = jnp.sin(x) + 1.0
        return jnp.sum(x)

    problem = descend.Problem(long, over=descend.Real(2))
    loss = lambda stated: lambda x: stated.evaluate(x).loss  # noqa: E731
    x = jnp.array([0.3, -0.2])
    with jax.enable_x64(True):
        value, slope = jax.jit(loss(problem))(x), jax.jit(jax.grad(loss(problem)))(x)
        again = jax.jit(jax.grad(loss(problem.rescaled(np.full(2, 3.0)))))(x)
    assert len(calls) == times
    np.testing.assert_allclose(value, jax.jit(long)(x), rtol=1e-6)
    np.testing.assert_allclose(slope, jax.jit(jax.grad(long))(x), rtol=1e-5, atol=1e-12)
    np.testing.assert_array_equal(again, slope)


def test_a_function_on_a_traced_value_of_its_surroundings_is_no_problem():
    """The problem is stated inside of a program: what is remembered must not outlive it."""

    def reached(a):
        def long(x):
            for _ in range(130):
                x = x + 1e-3 * jnp.sin(a * x)
            return jnp.sum(x)

        return jax.grad(lambda x: descend.Problem(long, over=descend.Real(2)).evaluate(x).loss)(jnp.ones(2))

    found = [jax.jit(reached)(0.5), jax.jit(reached)(0.25)]
    assert not np.allclose(*found) and np.isfinite(found).all()
    np.testing.assert_allclose(jax.jit(jax.vmap(reached))(jnp.array([0.5, 0.25])), found, rtol=1e-6)


def test_a_route_differentiates_objective_and_constraints_together():
    problem = descend.Problem(
        lambda v: jnp.sum(jnp.floor(v["x"])),
        over={"x": descend.Real(3)},
        subject_to=descend.at_most(lambda v: jnp.sum(jnp.round(v["x"])), 1.0),
    ).via(smooth(sigma=1.0, samples=4000))
    x = {"x": jnp.array([0.2, 1.7, -0.4])}
    jacobian = jax.jacrev(lambda x: problem.evaluate(x, key=jax.random.key(0)))(x)
    np.testing.assert_allclose(jacobian.loss["x"], 1.0, atol=0.15)
    np.testing.assert_allclose(jacobian.constraints[0]["x"], 1.0, atol=0.15)
