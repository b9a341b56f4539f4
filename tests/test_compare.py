"""Routes compared on one function: the numbers against closed forms, the refusals, the table, the page."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend import draws
from descend.reporting.comparison import page as comparison_page
from descend.routes import black_box, forward, score, smooth, straight_through

X = {"a": jnp.array([0.4, 0.9]), "b": jnp.array([1.0, -0.5])}


def quadratic(x):
    return jnp.sum(x["a"] ** 2) * 2 + jnp.sum(x["b"] ** 2)


def stairs(x):
    return jnp.sum(jnp.floor(3 * x["a"]) ** 2) + jnp.sum(x["b"] ** 2)


def parity(x):
    return jnp.sum(jnp.floor(1000 * x)) % 2


@pytest.fixture(scope="module")
def flat():
    """The staircase on four routes, one of which cannot be applied."""

    def broken(f):
        raise OSError("no license")

    return descend.compare_routes(stairs, {"plain": None, "broken": broken, "smooth": smooth(sigma=0.3)}, at=X, key=1)


def test_numbers_against_closed_forms():
    """Rademacher tangents: variance (n - 1) |g|^2 / k; their mean over N has cosine 1 / sqrt(1 + (n - 1) / (k N))."""
    routes = {"plain": None, "forward": forward(tangents=2), "off": straight_through(surrogate=lambda x: -quadratic(x))}
    found = descend.compare_routes(quadratic, routes, at=X, estimates=200)
    gradient = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.grad(quadratic)(X))])
    square = float(gradient @ gradient)
    assert "agrees with finite differences" in found.reference and found.size == 4
    np.testing.assert_allclose(found.length, math.sqrt(square), rtol=1e-12)
    plain, drawn, off = found.rows
    assert plain.verdict == "exact" and plain.needed == 1 and plain.variance == 0 and plain.units == 3
    assert drawn.verdict == "unbiased" and drawn.gives == "unbiased"
    assert abs(drawn.variance - 3 * square / 2) < 4 * drawn.variance_se < 2 * square
    assert abs(drawn.trust.cosine - 1 / math.sqrt(1 + 3 / 2)) < 4 * drawn.trust.cosine_se
    np.testing.assert_allclose(drawn.needed, 1.5 * 0.81 / 0.19, rtol=0.2)
    np.testing.assert_allclose(drawn.trust.cosine_of(drawn.needed), 0.9)
    assert off.verdict == "refused" and "uphill" in off.why and off.needed == math.inf
    assert found.best is plain


def test_the_reason_names_the_lines_that_a_route_does_not_see(flat):
    line = stairs.__code__.co_firstlineno + 1
    rows = {row.name: row for row in flat.rows}
    assert rows["plain"].why.endswith(f"it does not see that the function is flat at test_compare.py:{line}")
    assert "does not see" not in rows["broken"].why + rows["smooth"].why


def test_a_staircase(flat):
    """Plain gradients miss the steps; the reference is wide enough to see them."""
    plain, broken, smoothed = flat.rows
    assert plain.verdict == "biased" and "off by" in plain.why and plain.needed == math.inf
    assert broken.verdict == "refused" and broken.why == "OSError: no license"
    assert smoothed.verdict == "unbiased" and flat.best is smoothed is flat["smooth"]
    assert smoothed.seconds > 0 and smoothed.compilation > 0 and smoothed.units == 65
    with pytest.raises(KeyError, match="no route 'x'"):
        flat["x"]


def test_the_table_the_record_and_the_page(flat, tmp_path):
    text = str(flat)
    assert text.startswith("stairs, 4 numbers, against the gradient seen through noise of 0.3")
    assert "broken: OSError: no license" in text and "in the least time by smooth" in text
    body = json.loads(json.dumps(flat.record(), allow_nan=False))
    assert body["best"] == "smooth" and [row["verdict"] for row in body["rows"]] == ["biased", "refused", "unbiased"]
    assert body["rows"][0]["needed"] is None and body["rows"][1]["trust"] is None
    descend.report(flat, tmp_path / "routes.html")
    html = (tmp_path / "routes.html").read_text()
    assert html == comparison_page(flat)
    assert "<svg" in html and "OSError: no license" in html and "cosine with the descent direction" in html


@pytest.mark.slow
@pytest.mark.parametrize(
    "f",
    [parity, lambda x: jnp.where(jnp.all(abs(x - 7) < 1e-6), 1.0, 0.0), lambda x: jnp.sum(0 * x)],
    ids=["parity", "needle", "constant"],
)
def test_uninformative_functions_refuse_every_route(f):
    found = descend.compare_routes(f, [None, smooth()], at=jnp.array([0.1, 0.9, 0.35]), evaluations=512)
    assert found.best is None and all(row.verdict == "refused" for row in found.rows)
    assert "no gradient shows through noise of any width" in found.why and "every route is refused" in str(found)
    assert "Every route is refused" in comparison_page(found)


def test_a_horizon_beyond_the_lyapunov_time():
    """The exact derivative of 300 steps of a logistic map, against the slope of what is measured over a distance."""

    def mean(x):
        return jnp.mean(jax.lax.scan(lambda z, _: (x[1] * z * (1 - z),) * 2, x[0], None, 300)[1])

    found = descend.compare_routes(mean, [None, smooth(sigma=0.08)], at=jnp.array([0.3, 3.8]), scale=0.08)
    assert found.rows[0].verdict == "refused" and "Lyapunov" in found.rows[0].why and found.rows[0].trust.gain > 1e6
    assert found.rows[1].verdict == "unbiased"


def test_a_black_box_and_a_failing_call():
    calls = []

    def box(x):
        calls.append(None)
        if len(calls) == 1000:
            raise OSError("worker lost")
        return float(np.sum(np.asarray(x) ** 2))

    routes = {"plain": None, "forward": forward(), "smooth": smooth(sigma=0.1, samples=8)}
    found = descend.compare_routes(box, routes, at=np.ones(3), truth=np.full(3, 2.0), estimates=4)
    assert [row.verdict for row in found.rows] == ["refused", "refused", "unbiased"]
    assert "must trace" in found.rows[0].why and "black box" in found.rows[1].why
    calls[:] = [None] * 990
    failed = descend.compare_routes(box, routes, at=np.ones(3), truth=np.full(3, 2.0), estimates=4)["smooth"]
    assert failed.verdict == "refused" and failed.why == "OSError: worker lost"
    forgiven = black_box(box, catch=OSError)
    calls[:] = [None] * 990
    row = descend.compare_routes(forgiven, routes, at=jnp.ones(3), truth=jnp.full(3, 2.0), estimates=4)["smooth"]
    assert row.verdict == "unbiased"


def test_a_random_function_is_judged_by_its_mean():
    """d/dp E[coin] = 1: the derivative along the draws is zero."""

    def coin(p, *, key):
        return jax.random.bernoulli(key, p) * 1.0

    found = descend.compare_routes(coin, [None, smooth(sigma=0.1)], at=0.4, truth=1.0, estimates=200)
    assert found.rows[0].verdict == "refused" and "zero" in found.rows[0].why
    assert found.rows[1].verdict == "unbiased"


@pytest.mark.slow
def test_every_route_of_the_library_by_default():
    found = descend.compare_routes(lambda x: jnp.sum(x**2), at=jnp.ones(2), truth=2 * jnp.ones(2), estimates=4)
    assert {row.name.partition("(")[0] for row in found.rows} >= {"jax.grad", "smooth", "forward"}
    assert all(row.verdict != "refused" or row.why for row in found.rows)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: descend.compare_routes(3, at=1.0), TypeError, "takes a function"),
        (lambda: descend.compare_routes(parity), TypeError, "needs at="),
        (lambda: descend.compare_routes(parity, at=jnp.arange(3)), TypeError, "real floating"),
        (lambda: descend.compare_routes(parity, "smooth", at=jnp.ones(3), truth=jnp.ones(3)), TypeError, "by name or"),
        (lambda: descend.compare_routes(parity, {"a": 3}, at=jnp.ones(3), truth=jnp.ones(3)), TypeError, "a is not a"),
        (lambda: descend.compare_routes(parity, at=jnp.ones(3), truth=jnp.ones(2)), ValueError, "shaped like"),
        (lambda: descend.compare_routes(parity, at=jnp.ones(3) / 0), ValueError, "NaN or infinity"),
        (lambda: descend.compare_routes(parity, at=jnp.ones(3), estimates=3), ValueError, "at least 4"),
        (lambda: descend.compare_routes(parity, at=jnp.ones(3), scale=0.0), ValueError, "positive number"),
        (lambda: descend.compare_routes(parity, at=jnp.ones(3), wanted=1.0), ValueError, "between 0 and 1"),
        (lambda: descend.compare_routes(parity, at=jnp.ones(3), evaluations=0), ValueError, "evaluations must be"),
        (lambda: descend.compare_routes(lambda x: x, at=jnp.ones(3)), TypeError, "gradients are of scalars"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_beside_stated_draws_a_flat_line_is_seen_by_the_reference():
    """The score function knows the mean over draws, and nothing of a rounding: then noise is the measure."""

    def f(x, *, key):
        shows = draws.bernoulli(key, jax.nn.sigmoid(x[0]))
        return (shows - 0.3) ** 2 + 0.3 * jnp.round(3 * x[1]) / 3 + 0.1 * jnp.sum(x**2)

    x = np.array([0.3, 0.4])
    found = descend.compare_routes(f, [score(), smooth(sigma=0.3)], at=x)
    words = {each.what for each in descend.inspect(f, at=x)}
    assert words == {"stochastic", "flat"}  # a stated draw is no riddle to the reader
    rows = {row.name.partition("(")[0]: row for row in found.rows}
    assert rows["score"].trust.verdict == "biased" and rows["smooth"].trust.verdict == "unbiased"

    def plain(x, *, key):
        return (draws.bernoulli(key, jax.nn.sigmoid(x[0])) - 0.3) ** 2 + 0.1 * jnp.sum(x**2)

    assert "mean over its draws" in descend.compare_routes(plain, [score()], at=x).reference
