"""Objectives that are odd, wrong or at the edge: what inspect says of them, and that it says something."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend

X = np.array([0.3, -0.2, 0.9])


def quick(f, at=X):
    found = descend.inspect(f, at=at, thorough=False)
    assert str(found)
    return found


def test_side_effects_happen_and_do_no_harm():
    calls = []

    def f(x):
        calls.append(1)
        return jnp.sum(x**2)

    assert quick(f).words == {"smooth"} and calls


def branching(x):
    y = x[0] + 1.0
    if y > 0:
        return float(y**2)
    return float(y)


def looping(x):
    total = 0.0
    while total < x[0]:
        total = total + 0.1
    return float(total)


def converting(x):
    return math.exp(x[1])


@pytest.mark.parametrize(("f", "line"), [(branching, 2), (looping, 2), (converting, 1)])
def test_python_on_traced_values_is_a_black_box_whose_line_is_told(f, line):
    (finding,) = quick(f).about("black-box")
    assert finding.where["line"] == f.__code__.co_firstlineno
    assert f"{f.__code__.co_firstlineno + line}" in finding.evidence["reason"]
    assert "routes.black_box" in finding.cure


@jax.custom_jvp
def halved(x):
    return jnp.where(x > 1.0, halved_again(x / 2), x)


def halved_again(x):
    return jnp.floor(x)


halved.defjvp(lambda primals, tangents: (halved(primals[0]), halved(tangents[0])))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: jnp.sum(1e30 * x**2) + 1e300, {"smooth"}),  # the constant drowns the rest
        (lambda x: 1e150 * jnp.sum(x**2), {"smooth"}),
        (lambda x: 1e-150 * jnp.sum(jnp.abs(x)), {"kinked"}),
        (lambda x: jnp.sum(jax.lax.fori_loop(0, 0, lambda _, y: jnp.abs(y), x) ** 2), {"smooth"}),
        (lambda x: jax.lax.scan(lambda c, v: (c + jnp.abs(v), None), 0.0, x[:0])[0] + x[0] ** 2, {"smooth"}),
        (lambda x: jnp.sum(jnp.where(jnp.array([1.0, 2.0, jnp.nan]) > 1.5, x, x**2)), {"smooth"}),
        (lambda x: jnp.sum(x.astype(jnp.float32) ** 2) + jnp.sum(x), {"smooth"}),
        (lambda x: jnp.sum(jnp.abs(x).astype(jnp.float32)) + jnp.sum(x), {"kinked"}),
        (lambda x: jnp.real(jnp.exp(1j * x[0]) * x[1]), {"smooth"}),
        (lambda x: jnp.sum(jnp.abs(jnp.exp(1j * x)) ** 2) + x[0] ** 2, {"smooth"}),
        (lambda x: jnp.sum(jnp.floor(x).astype(jnp.int8) * jnp.int8(120)) * 1.0, {"flat"}),
        # The forward derivative of a maximum over nothing is NaN.
        (lambda x: jnp.sum(jnp.max(x[:0], initial=0.0)) + x[0] ** 2, {"non-finite"}),
        (lambda x: jnp.sum(jnp.sort(x[:1])) + x[0] ** 2, {"smooth"}),
        (lambda x: jnp.argmax(x[:1]) * 1.0 + x[0] ** 2, {"smooth"}),
        (lambda x: jnp.sum(jax.vmap(jnp.abs)(x)), {"kinked"}),
        (lambda x: jnp.sum(halved(x)), {"jumps"}),
    ],
)
def test_odd_programs(f, words):
    assert quick(f).words == words


def test_a_constant_that_is_not_a_number_is_told_where_it_enters():
    def f(x):
        weights = jnp.array([1.0, jnp.nan, 2.0])
        return jnp.sum(weights * x)

    (finding,) = quick(f).about("non-finite")
    assert finding.where["line"] == f.__code__.co_firstlineno + 2


@pytest.mark.parametrize("n", [1, 2])
def test_few_variables(n):
    assert quick(lambda x: jnp.sum(jnp.abs(x)), 0.5 * np.ones(n)).words == {"kinked"}
    assert quick(lambda x: jnp.abs(x), 0.5).words == {"kinked"}


def test_a_point_with_nothing_in_it():
    assert not quick(lambda x: jnp.sum(x) + 1.0, np.zeros(0)).words & {"kinked", "flat", "jumps"}


def test_integers_at_the_point_are_numbers():
    assert quick(lambda x: jnp.sum(jnp.abs(x)), np.array([1, 2])).words == {"kinked"}


def test_a_loop_that_never_rests_at_nan_does_not_hang_the_search_for_the_line():
    def f(x):
        level = jnp.log(x[0])
        follow = lambda s: s - 0.5 * (s - level * jnp.cos(s))  # noqa: E731
        rest = jax.lax.while_loop(lambda s: ~(jnp.abs(s - level * jnp.cos(s)) < 1e-9), follow, jnp.asarray(0.3))
        return rest**2 + x[1] ** 2

    found = descend.inspect(f, at=np.array([0.9, 0.4]), thorough=True)
    first = f.__code__.co_firstlineno
    assert {(one.what, one.where.get("line", first) - first) for one in found} >= {("non-finite", 1), ("nested", 3)}
