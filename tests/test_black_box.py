"""Python functions inside JAX programs: values, lanes, exceptions, precision."""

import os
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend.routes import black_box, forward, reraised, smooth

KEY = jax.random.key(0)


class Seen(list):
    """A vectorized black box that records the arguments of each call."""

    def __call__(self, x):
        self.append(x)
        return np.floor(x).sum(-1)


def host_sum(x):
    return float(np.floor(np.asarray(x)).sum())


def test_a_thousand_lanes_are_one_call():
    seen = Seen()
    twin = black_box(seen, batched=True)
    x = jnp.arange(3000.0).reshape(1000, 3) / 7
    np.testing.assert_array_equal(jax.jit(jax.vmap(twin))(x), np.floor(x).sum(-1))
    assert [call.shape for call in seen] == [(1000, 3)]
    seen.clear()
    grads = jax.jit(jax.vmap(lambda x: jax.grad(smooth(twin, sigma=1.0, samples=20))(x, key=KEY)))(x)
    assert [call.shape for call in seen] == [(20_000, 3)]  # nobody asked for the value
    traced = jax.vmap(lambda x: jax.grad(smooth(lambda x: jnp.floor(x).sum(), sigma=1.0, samples=20))(x, key=KEY))(x)
    np.testing.assert_allclose(grads, traced, rtol=1e-9)
    nested = jax.vmap(jax.vmap(lambda x, y: black_box(lambda x, y: float(x[0] + 2 * y))(x, y), (None, 0)), (0, None))
    np.testing.assert_allclose(nested(x[:4], x[:5, 0]), x[:4, None, 0] + 2 * x[None, :5, 0])
    assert twin(x[0]) == np.floor(x[0]).sum()


@pytest.mark.slow
@pytest.mark.parametrize("x64", [True, False])
def test_the_host_works_in_double(x64):
    kinds = set()

    def f(x, n):
        kinds.add((type(x), x.dtype, np.asarray(n).dtype.kind))
        x[0] += 1  # its own to overwrite
        return float(np.floor(x).sum()) + int(n)

    with jax.enable_x64(x64):
        x, wanted = jnp.array([0.2, 1.4, 2.8]), jnp.result_type(float)
        g = smooth(black_box(f), sigma=1.0, samples=40)
        eager = jax.grad(g)(x, 3, key=KEY)
        jitted = jax.jit(g)(x, jnp.asarray(3))
        assert jitted == 7.0 == g(x, 3)
        keys = jax.random.split(KEY, 50)
        drawn = jax.jit(jax.vmap(lambda key, n: jax.grad(g)(x, n, key=key), (0, None)))(keys, jnp.asarray(3))
        assert eager.dtype == drawn.dtype == jitted.dtype == wanted
        np.testing.assert_allclose(drawn[0], jax.grad(g)(x, 3, key=keys[0]), rtol=1e-5)
        assert np.all(np.abs(drawn.mean(0) - 1) < 4 * drawn.std(0) / np.sqrt(50))  # a staircase seen from afar
    assert kinds == {(np.ndarray, np.dtype(np.float64), "i")}


def test_untraceable_functions_are_found_out():
    branch = lambda x: x if x > 0 else -x  # noqa: E731
    assert smooth(branch)(-2.0) == 2.0
    np.testing.assert_allclose(jax.jit(jax.grad(smooth(branch)))(-2.0, key=KEY), -1.0, atol=0.5)
    assert smooth(host_sum)(np.ones(3)) == 3.0
    random = lambda x, key: host_sum(x) + np.random.default_rng(key).normal()  # noqa: E731
    draws = jax.jit(jax.vmap(lambda key: black_box(random)(jnp.zeros(2), key)))(jax.random.split(KEY, 3))
    assert len(set(np.asarray(draws).tolist())) == 3
    assert draws[0] == black_box(random)(jnp.zeros(2), jax.random.split(KEY, 3)[0])


class FaultError(Exception):
    pass


def test_exceptions_come_out_as_they_are():
    def f(x):
        if np.asarray(x)[0] > 1:
            raise FaultError("too large")
        return host_sum(x)

    large, small = jnp.array([2.0, 0.0]), jnp.zeros(2)
    g = smooth(f, samples=4)
    for call in (
        lambda: g(np.asarray(large)),
        lambda: jax.grad(g)(large, key=KEY),
        lambda: jax.value_and_grad(g)(large, key=KEY),
        lambda: jax.jvp(lambda x: g(x, key=KEY), (large,), (large,)),
    ):
        with pytest.raises(FaultError, match="too large"):
            call()
    program = jax.jit(jax.vmap(jax.grad(lambda x: g(x, key=KEY))))
    with pytest.raises(jax.errors.JaxRuntimeError, match="f raised FaultError: too large"):
        jax.block_until_ready(program(jnp.stack([small, large])))
    with pytest.raises(FaultError, match="too large"), reraised():
        jax.block_until_ready(program(jnp.stack([small, large])))
    np.testing.assert_array_equal(jax.block_until_ready(program(jnp.stack([small - 5, small - 5]))).shape, (2, 2))
    # A failure of JAX's own passes unchanged.
    with pytest.raises(ValueError, match="mine"), reraised():
        raise ValueError("mine")


def test_forgiven_exceptions_are_nan():
    def f(x):
        if x > 0.2:
            raise FaultError("no value")
        return 3.0 * x

    twin = black_box(f, catch=FaultError)
    np.testing.assert_array_equal(jax.jit(jax.vmap(twin))(jnp.array([0.0, 1.0, -1.0])), [0.0, np.nan, -3.0])
    assert np.isnan(twin(1.0))
    slope = jax.jit(jax.grad(smooth(twin, samples=400)))(0.0, key=KEY)
    assert 1 < slope < 4  # pairs beyond 0.2 are left out
    with pytest.raises(FaultError):
        black_box(f, out=jax.ShapeDtypeStruct((), int), catch=FaultError)(1.0)


def test_what_is_returned_is_checked():
    class Pair(NamedTuple):
        total: object
        whole: object

    pair = Pair(jax.ShapeDtypeStruct((2,), float), jax.ShapeDtypeStruct((), int))
    f = lambda x: Pair(np.asarray(x) * 2, int(np.sum(np.asarray(x))))  # noqa: E731
    got = jax.jit(jax.vmap(black_box(f, out=pair)))(jnp.ones((3, 2)))
    assert got.total.shape == (3, 2)
    assert got.whole.dtype == int
    grad = jax.grad(lambda x: smooth(black_box(f, out=pair))(x, key=KEY).total.sum())(jnp.ones(2))
    assert grad.shape == (2,)
    for wrong in (lambda x: None, lambda x: np.ones(3), lambda x: "a", lambda x: 1j, f):
        with pytest.raises(TypeError, match=r"returned .* expected .*say so with black_box"):
            black_box(wrong)(np.ones(2))
        with pytest.raises(TypeError, match=r"returned .* expected"), reraised():
            jax.block_until_ready(jax.jit(black_box(wrong))(np.ones(2)))
    assert jax.vmap(black_box(host_sum))(jnp.zeros((0, 2))).shape == (0,)


def test_derivatives_are_refused_with_the_cure():
    for call in (
        lambda: jax.grad(black_box(host_sum))(jnp.ones(2)),
        lambda: jax.jit(jax.grad(black_box(host_sum)))(jnp.ones(2)),
        lambda: jax.grad(forward(host_sum))(jnp.ones(2), key=KEY),
    ):
        with pytest.raises(TypeError, match=r"host_sum is a black box without a derivative.*smooth"):
            call()

    def closes_over(w):
        return smooth(lambda x: host_sum(w * np.asarray(x)))(jnp.ones(2), key=KEY)

    with pytest.raises((TypeError, jax.errors.TracerArrayConversionError)):
        jax.grad(closes_over)(1.0)


def test_black_box_problems_evaluate_through_routes():
    problem = descend.Problem(
        lambda x: host_sum(x["a"]) + float(x["b"]),
        over={"a": descend.Real(3), "b": descend.Real()},
        subject_to=[descend.at_most(lambda x: np.asarray(x["a"]), 1.0)],
    )
    assert problem.black_box
    shapes = problem.evaluate(problem.domain.start())
    routed = problem.via(lambda plain: smooth(sigma=1.0, samples=40)(black_box(plain, shapes)))
    x = {"a": jnp.array([0.3, 0.6, 2.2]), "b": jnp.asarray(0.5)}
    drawn = jax.jit(jax.vmap(lambda key: jax.grad(lambda x: routed.evaluate(x, key=key).loss)(x)))(
        jax.random.split(KEY, 36)
    )
    for leaf in jax.tree.leaves(drawn):
        assert np.all(np.abs(leaf.mean(0) - 1) < 4 * leaf.std(0) / 6)
    assert jax.jit(lambda x: routed.evaluate(x, key=KEY))(x).loss == problem.evaluate(x).loss


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the cores of a process can be chosen on Linux only")
def test_large_batches_come_back_on_a_single_core():
    """XLA's only thread would run the callback, which waits for a copy of its arguments by the same thread."""
    code = (
        "import os\n"
        "os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])\n"
        "import descend, jax, jax.numpy as jnp\n"
        "f = jax.jit(jax.vmap(descend.routes.black_box(lambda x: float(x.mean()))))\n"
        "for shift in range(20):\n"
        "    f(shift + jnp.ones((1000, 1000))).block_until_ready()\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PJRT_NPROC"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)
