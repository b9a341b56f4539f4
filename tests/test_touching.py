"""Breaks that two sides of an equation do not show: roots that touch their end, numbers that meet, steps too small to
see, the one kink that matters among many."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend


@pytest.fixture(autouse=True)
def as_users_have_it():
    with jax.numpy_rank_promotion("allow"):
        yield


def told(f, at, key=1):
    """The words, each with its line, counted from that of the function; 0 for what is said of the whole."""
    found = descend.inspect(f, at=np.asarray(at), thorough=False, key=key)
    first = f.__code__.co_firstlineno
    return {(one.what, one.where.get("line", first) - first) for one in found}


def apart(x):
    return jnp.sqrt(2 - 2 * jnp.cos(x[0])) + jnp.sum(x**2)  # 2 |sin(x / 2)|


def power(x):
    return (x[0] ** 2 - 2 * x[0] * x[1] + x[1] ** 2) ** 0.5 + jnp.sum(x**2)


def there_and_back(x):
    return jnp.arcsin(jnp.sin(2 * x[0])) + 0.1 * jnp.sum(x**2)


def angle(x):
    return jnp.arccos(jnp.cos(x[0] - x[1])) + 0.1 * jnp.sum(x**2)


@pytest.mark.parametrize("f", [apart, power, there_and_back, angle])
def test_what_touches_its_end_is_kinked(f):
    for key in (1, 2, 3):
        assert told(f, [0.3, 0.1], key) == {("kinked", 1)}


def test_of_several_roots_that_which_touches_is_named():
    def f(x):
        safe = jnp.sqrt(1 + x[0] ** 2) + jnp.arccos(0.5 * jnp.tanh(x[1]))
        return safe + jnp.sqrt(2 - 2 * jnp.cos(x[1]))

    assert told(f, [0.3, 0.1]) == {("kinked", 2)}
    safe = lambda x: jnp.sqrt(1 + x[0] ** 2) + jnp.arccos(0.5 * jnp.tanh(x[1])) + jnp.linalg.norm(x)  # noqa: E731
    assert told(safe, [0.3, 0.1]) == {("smooth", 0)}


def test_the_smallest_singular_value_of_an_arm():
    def f(x):
        s, c = jnp.sin(jnp.cumsum(x)), jnp.cos(jnp.cumsum(x))
        hand = jnp.stack([jnp.stack([-s[0] - s[1], -s[1]]), jnp.stack([c[0] + c[1], c[1]])])
        return -jnp.linalg.svd(hand, compute_uv=False)[-1]

    for key in (1, 2, 3):
        assert told(f, [0.5, 0.4], key) == {("kinked", 3)}


def test_bounds_that_are_numbers_do_not_stop_the_reading():
    def f(x):
        y = jax.lax.clamp(-0.5, x, 0.5)
        return jnp.sum(y) + jnp.sum(jnp.floor(3 * x)) + jnp.sum(x**2)

    assert told(f, [0.3, 0.2]) == {("kinked", 1), ("flat", 2)}


def test_steps_too_small_to_be_seen_are_flat():
    """A root by fifty halvings moves in steps of 4e-15: values move as a smooth function's, without a derivative."""

    def f(x):
        def halve(_, ends):
            middle = 0.5 * (ends[0] + ends[1])
            below = middle**3 + middle < x[0] + x[1] ** 2
            return jnp.where(below, middle, ends[0]), jnp.where(below, ends[1], middle)

        return jax.lax.fori_loop(0, 50, halve, (0.0, 4.0))[0] + 0.1 * jnp.sum(x**2)

    assert told(f, [1.5, 0.4]) == {("flat", 3)}


def test_a_staircase_that_a_derivative_meets_only_on_the_way_to_a_comparison_is_flat():
    draws = jnp.asarray(np.random.default_rng(0).uniform(size=12))

    def f(x):
        place = jnp.where(x[0] > draws, 0.25, -0.25)
        place = jnp.where(x[0] + x[1] * place > draws, 0.25, -0.25)
        return jnp.mean(place) + 0.1 * jnp.sum(x**2)

    assert told(f, [0.3, 0.2]) == {("flat", 1), ("flat", 2)}


def test_the_one_kink_that_matters_among_many_is_found():
    rng = np.random.default_rng(3)
    a, b = (jnp.asarray(rng.normal(size=(400, 4))) for _ in range(2))

    def f(x):
        low = jnp.minimum(a @ x, b @ x + 0.2)
        return jnp.max(low) + 0.1 * jnp.sum(x**2)

    for key in (2, 3):
        assert told(f, [0.3, -0.2, 0.1, 0.4], key) == {("kinked", 1), ("kinked", 2)}


@pytest.mark.parametrize("steepness, least", [(2.0, 14), (4.0, 10)])
def test_eigenvalues_that_cross_are_kinked_however_steep_the_function_is_elsewhere(steepness, least):
    def stiffest(x):
        modes = jnp.linalg.eigvalsh(jnp.diag(jnp.exp(steepness * x) * jnp.array([3.0, 2.0])))
        return modes[-1] + jnp.sum(x**2)

    found = [told(stiffest, [0.3, 0.3 + 0.48 / steepness], key) for key in range(16)]
    assert found.count({("kinked", 1)}) >= least, found


def test_a_rule_that_lets_a_derivative_through_makes_a_staircase_jump():
    """In a loop, and where the derivative goes around it; where nothing else varies it is flat all the same."""

    @jax.custom_jvp
    def fires(v):
        return (v > 1.0).astype(float)

    fires.defjvp(lambda primals, tangents: (fires(*primals), tangents[0] / (1 + (primals[0] - 1) ** 2)))
    line = fires.__wrapped__.__code__.co_firstlineno + 2

    def leaks(x):
        def step(v, drive):
            v = 0.7 * v + x[0] * drive
            fired = fires(v)
            return v - fired, fired

        _, fired = jax.lax.scan(step, jnp.asarray(0.0), jnp.linspace(0.2, 0.6, 30))
        return (jnp.mean(fired) - 0.1) ** 2 + 0.1 * jnp.sum(x**2)

    assert {(word, at + leaks.__code__.co_firstlineno) for word, at in told(leaks, [0.8])} == {("jumps", line)}

    def around(x):
        grid = x + jax.lax.stop_gradient(jnp.round(2 * x) / 2 - x)
        return jnp.sum((grid - 0.3) ** 2) + 0.1 * jnp.sum(x**2)

    def alone(x):
        grid = x + jax.lax.stop_gradient(jnp.round(2 * x) / 2 - x)
        return jnp.sum((grid - 0.3) ** 2)

    assert told(around, [0.4, -0.3]) == {("jumps", 1)} and told(alone, [0.4, -0.3]) == {("flat", 1)}
