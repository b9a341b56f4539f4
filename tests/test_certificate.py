"""Certificates, against optima and multipliers known in closed form; and points that must not be certified."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend import Problem, Real, Simplex, at_least, at_most, between, equal
from descend.inspection import curvature, multipliers
from descend.inspection.certificate import certify
from descend.inspection.feasibility import endless, least_violation, ray

SQ3 = np.sqrt(3)


def hs71():
    return Problem(
        lambda x: x[0] * x[3] * (x[0] + x[1] + x[2]) + x[2],
        over=Real(4, 1, 5),
        subject_to=[at_least(jnp.prod, 25.0, name="product"), equal(lambda x: jnp.vdot(x, x), 40.0, name="square")],
    )


def hs35():
    def cost(x):
        a, b, c = x
        return 9 - 8 * a - 6 * b - 4 * c + 2 * a**2 + 2 * b**2 + c**2 + 2 * a * b + 2 * a * c

    return Problem(cost, over=Real(3, 0), subject_to=[at_most(lambda x: x[0] + x[1] + 2 * x[2], 3.0, name="sum")])


def hs21():
    return Problem(
        lambda x: 0.01 * x[0] ** 2 + x[1] ** 2 - 100,
        over=Real(2, [2.0, -50.0], 50.0),
        subject_to=[at_least(lambda x: 10 * x[0] - x[1], 10.0, name="line")],
    )


def hs7():
    return Problem(
        lambda x: jnp.log1p(x[0] ** 2) - x[1],
        over=Real(2),
        subject_to=[equal(lambda x: (1 + x[0] ** 2) ** 2 + x[1] ** 2, 4.0, name="curve")],
    )


def hs28():
    return Problem(
        lambda x: (x[0] + x[1]) ** 2 + (x[1] + x[2]) ** 2,
        over=Real(3),
        subject_to=[equal(lambda x: x[0] + 2 * x[1] + 3 * x[2], 1.0, name="plane")],
    )


def linear():
    """Dantzig's example: duals (0, 3/2, 1)."""
    return Problem(
        lambda x: 3 * x[0] + 5 * x[1],
        over=Real(2, 0),
        sense="max",
        subject_to=[
            at_most(lambda x: jnp.array([x[0], 2 * x[1], 3 * x[0] + 2 * x[1]]), [4.0, 12.0, 18.0], name="plants")
        ],
    )


def dependent():
    """The second row repeats the first, and the third constraint touches without force."""
    return Problem(
        lambda x: jnp.vdot(x, x),
        over=Real(2),
        subject_to=[
            equal(lambda x: jnp.array([x[0] + x[1], 2 * x[0] + 2 * x[1]]), [1.0, 2.0], name="twice"),
            at_most(lambda x: x[0], 0.5, name="touching"),
        ],
    )


KNOWN = {
    "hs71": (
        hs71,
        [1.0, 4.742999637, 3.821149979, 1.379408291],
        {"product": -0.55229366, "square": 0.16146857},
        [-1.08787121, 0, 0, 0],
    ),
    "hs35": (hs35, [4 / 3, 7 / 9, 4 / 9], {"sum": 2 / 9}, [0, 0, 0]),
    "hs21": (hs21, [2.0, 0.0], {"line": 0.0}, [-0.04, 0]),
    "hs7": (hs7, [0.0, SQ3], {"curve": 1 / (2 * SQ3)}, [0, 0]),
    "hs28": (hs28, [0.5, -0.5, 0.5], {"plane": 0.0}, [0, 0, 0]),
    "linear": (linear, [2.0, 6.0], {"plants": [0.0, 1.5, 1.0]}, [0, 0]),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_optima_are_certified_with_their_multipliers_and_points_beside_are_not(name):
    make, x, forces, bounds = KNOWN[name]
    problem, x = make(), np.array(x)
    found = certify(problem, x, tolerance=1e-6)
    assert found.evidence in ("local", "proved"), found.note
    assert max(found.violation, found.stationarity, found.complementarity) <= 1e-6 and found.curvature >= 0
    for constraint, expected in forces.items():
        assert found.multipliers[constraint] == pytest.approx(np.array(expected), abs=1e-6)
    assert found.bound_multipliers == pytest.approx(np.array(bounds), abs=1e-6)
    for index in range(x.size):
        for step in (1e-3, -1e-3):
            beside = x + step * np.eye(x.size)[index]
            assert certify(problem, beside).evidence == "none", (index, step)


def test_dependent_and_touching_constraints_do_no_harm():
    found = certify(dependent(), np.array([0.5, 0.5]))
    assert found.evidence in ("local", "proved") and found.curvature == 1.0
    twice = found.multipliers["twice"]
    assert twice[0] + 2 * twice[1] == pytest.approx(-1.0) and abs(found.multipliers["touching"]) < 1e-9


def quadratic(x, *, given):
    u = x / given["s"]
    return 0.5 * jnp.vdot(u, given["H"] @ u) + given["g"] @ u


def linear_in(x, given):
    return given["A"] @ (x / given["s"])


def test_random_quadratic_programs_in_scales_from_1e8_to_1e_8():
    """Multipliers are drawn first; the problem is made so that they are right, in variables of any size."""
    n, k = 8, 3
    for seed in range(5):
        rng = np.random.default_rng(seed)
        scale = 10.0 ** rng.uniform(-8, 8, n)
        root, A = rng.normal(size=(n, n)), rng.normal(size=(k, n))
        u, mu = rng.normal(size=n), np.array([rng.normal(), rng.uniform(0.5, 2), 0.0])
        lower = np.where(np.arange(n) < 2, u, -np.inf)
        z = np.where(np.arange(n) < 2, -rng.uniform(0.5, 2, n), 0.0)
        H = root @ root.T + np.eye(n)
        given = {"H": H, "g": -(H @ u + mu @ A + z), "s": scale, "A": A}
        target = A @ u + np.array([0.0, 0.0, 0.7])
        problem = Problem(
            quadratic,
            over=Real(n, lower * scale, start=np.where(np.isfinite(lower), u, 0.0) * scale, scale=scale),
            subject_to=[
                equal(lambda x, *, given: linear_in(x, given)[:1], target[:1], name="equal"),
                at_most(lambda x, *, given: linear_in(x, given)[1:], target[1:], name="below"),
            ],
            given=given,
        )
        found = certify(problem, u * scale)
        assert found.evidence in ("local", "proved"), (seed, found.note)
        assert np.concatenate([found.multipliers["equal"], found.multipliers["below"]]) == pytest.approx(mu, abs=1e-7)
        assert found.bound_multipliers * scale == pytest.approx(z, abs=1e-7)
        off = np.where(np.arange(n) == 5, 1e-3, 0.0)
        assert certify(problem, (u + off) * scale).evidence == "none"


NOT_MINIMA = {
    "saddle": (lambda x: x[0] ** 2 - x[1] ** 2, Real(2), [0.0, 0.0], "curvature"),
    "hidden saddle": (lambda x: 1e8 * x[0] ** 2 - x[1] ** 2, Real(2), [0.0, 0.0], "curvature"),
    "maximum": (lambda x: -jnp.vdot(x, x), Real(2), [0.0, 0.0], "curvature"),
    "inflection": (lambda x: jnp.sum(x**3), Real(1), [0.0], "lower"),
    "flat maximum": (lambda x: -jnp.sum(x**4), Real(1), [0.0], "lower"),
    "maximum at a bound": (lambda x: -jnp.vdot(x, x), Real(1, 0), [0.0], "curvature"),
    "wrong side of a bound": (lambda x: -x[0], Real(1, 0), [0.0], "stationarity"),
    "interior": (lambda x: 1e-8 * jnp.sum((x - 3) ** 2), Real(1), [0.0], "stationarity"),
    "beside a steep bound": (lambda x: 1e8 * x[0] + (x[1] - 1) ** 2, Real(2, 0), [0.0, 0.5], "stationarity"),
    # Sorting is not taken apart into pieces; a kink that is, is certified: tests/test_epigraph.py.
    "kink": (lambda x: jnp.sum(jnp.sort(jnp.concatenate([x, -x]))[2:]), Real(2), [0.0, 0.0], "finite differences"),
    "kinked maximum": (lambda x: -jnp.sum(jnp.maximum(x, -x)), Real(1), [0.0], "finite differences"),
    "kink at a bound": (lambda x: -jnp.sum(jnp.maximum(x, -x)), Real(1, 0), [0.0], "finite differences"),
    "edge of the numbers": (lambda x: jnp.sum(jnp.sqrt(x)), Real(1), [0.0], "not finite"),
    "edge of a step": (lambda x: jnp.sum(jnp.round(x)), Real(2), [0.5, 0.2], "jumps"),
    "staircase": (lambda x: jnp.sum(jnp.round(x)), Real(2), [0.3, 0.2], "constant near x"),
}


@pytest.mark.parametrize("name", NOT_MINIMA)
def test_what_is_not_a_smooth_minimum_is_not_certified(name):
    cost, domain, x, why = NOT_MINIMA[name]
    found = certify(Problem(cost, over=domain), np.array(x))
    assert found.evidence == "none" and why in found.note


def test_a_minimum_among_others_and_a_flat_one():
    narrow = Problem(lambda x: jnp.sum(1 - jnp.cos(1000 * x)) + 0.1 * x[0], over=Real(1))
    found = certify(narrow, np.array([-np.arcsin(1e-4) / 1000 - 2 * np.pi * 3 / 1000]), tolerance=1e-6)
    assert found.evidence in ("local", "proved") and "strict" in found.note
    assert "flat" in certify(Problem(lambda x: jnp.sum(x**4), over=Real(1)), np.zeros(1)).note
    assert "flat" in certify(Problem(lambda x: (x[0] - x[1]) ** 2, over=Real(2)), np.ones(2)).note


def test_signs_of_general_constraints():
    square = lambda x: jnp.vdot(x, x)  # noqa: E731
    wrong = Problem(square, over=Real(1), subject_to=[at_most(lambda x: x[0], 1.0, name="cap")])
    assert "stationarity" in certify(wrong, np.ones(1)).note
    right = Problem(square, over=Real(1), subject_to=[between(lambda x: x[0], 1.0, 2.0, name="band")])
    found = certify(right, np.ones(1))
    assert found.evidence in ("local", "proved") and found.multipliers["band"] == pytest.approx(-2.0)
    top = certify(right, np.full(1, 2.0))
    assert top.evidence == "none" and top.multipliers["band"] == 0
    outside = certify(right, np.full(1, 0.9))
    assert outside.violation == pytest.approx(0.05) and "violation" in outside.note  # the scale is the upper bound, 2


def test_a_nonconvex_constraint_counts_in_the_curvature():
    """On the circle x.x = 1, the loss y has its minimum at (0, -1) and its maximum at (0, 1)."""
    circle = Problem(lambda x: x[1], over=Real(2), subject_to=[equal(lambda x: jnp.vdot(x, x), 1.0, name="circle")])
    assert certify(circle, np.array([0.0, -1.0])).evidence in ("local", "proved")
    found = certify(circle, np.array([0.0, 1.0]))
    assert found.stationarity < 1e-12 and found.curvature < 0 and found.evidence == "none"


def test_a_simplex():
    prices = jnp.array([1.0, 2.0, 3.0])
    cheapest = Problem(lambda p: jnp.vdot(p, prices), over=Simplex(3))
    assert certify(cheapest, np.array([1.0, 0, 0])).evidence in ("local", "proved")
    assert certify(cheapest, np.array([0, 1.0, 0])).evidence == "none"
    spread = Problem(lambda p: jnp.vdot(p, p), over=Simplex(3), subject_to=[at_least(lambda p: p[0], 0.5, name="half")])
    found = certify(spread, np.array([0.5, 0.25, 0.25]))
    assert found.evidence in ("local", "proved") and found.multipliers["half"] == pytest.approx(-0.5)  # 2 (0.5 - 0.25)
    assert certify(spread, np.array([0.5, 0.3, 0.2])).evidence == "none"
    worst = Problem(lambda p: -jnp.vdot(p, p), over=Simplex(3))
    assert "curvature" in certify(worst, np.ones(3) / 3).note


def test_trees_and_many_variables():
    """Above 500 variables the curvature comes from Lanczos: one negative direction among 700 is found."""
    weights = 1.0 + np.arange(700) / 100

    def cost(x, *, given):
        return jnp.vdot(weights * x["w"], x["w"]) / 2 + given * x["w"][7] ** 2 + (x["b"] - 1) ** 2

    over = {"w": Real(700), "b": Real()}
    problem = Problem(
        cost, over=over, given=0.0, subject_to=[equal(lambda x: jnp.sum(x["w"]) + x["b"], 1.0, name="sum")]
    )
    point = {"w": np.zeros(700), "b": np.array(1.0)}
    found = certify(problem, point)
    assert found.evidence in ("local", "proved") and found.curvature == pytest.approx(
        1 / 8, abs=0.02
    )  # 1.0 over 7.99, nearly
    bent = certify(problem.at(-2.0), point)
    assert bent.evidence == "none" and bent.curvature < 0


def test_lanczos_and_dense_curvature_agree():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(3, 40))
    inside = np.linalg.svd(normals)[2][3:].T
    for values in (np.linspace(1.0, 5, 37), np.linspace(-1.0, 5, 37), np.linspace(0.0, 5, 37)):
        hessian = inside @ np.diag(values) @ inside.T - 9 * (np.eye(40) - inside @ inside.T)
        sparse = curvature.lanczos(lambda v, H=hessian: H @ v, normals, 1e-6, 1e-6)
        assert sparse == pytest.approx(values[0] / 5, abs=1e-6)
        assert np.sign(round(curvature.dense(hessian, normals, 1e-6), 9)) == np.sign(values[0])


def test_multipliers_that_bounds_and_constraints_share():
    """At a degenerate vertex the signs decide between multipliers: against a joint bounded least squares."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        n, k = 6, 5
        normals = rng.normal(size=(k, n))
        low, high = rng.uniform(size=n) < 0.5, np.zeros(n, bool)
        equality = np.arange(k) < 2
        forces = np.where(equality, rng.normal(size=k), rng.uniform(0, 1, k) * (rng.uniform(size=k) < 0.6))
        gradient = -(forces @ normals) + np.where(low, rng.uniform(0, 1, n) * (rng.uniform(size=n) < 0.5), 0.0)
        found = multipliers.balance(gradient, normals, equality, np.zeros(k), low, high)
        assert np.all(found[~equality] >= 0)
        assert abs(multipliers.unbalanced(gradient + found @ normals, low, high)).max() < 1e-10, seed


def test_no_certificate_where_derivatives_say_nothing():
    data = np.arange(10.0)
    problems = {
        "black box": Problem(lambda x: float(x[0]) ** 2, over=Real(1), black_box=True),
        "random": Problem(lambda x, *, key: jnp.sum(x**2) + jax.random.normal(key), over=Real(1)),
        "batches": Problem(lambda x, *, batch: jnp.mean((x[0] - batch) ** 2), over=Real(1), data=data, batch_size=3),
        "discrete": Problem(lambda x: jnp.sum(x), over=descend.Binary(1)),
    }
    for word, problem in problems.items():
        found = certify(problem, np.zeros(1))
        assert found.evidence == "none" and word in found.note
    whole = Problem(lambda x, *, batch: jnp.mean((x[0] - batch) ** 2), over=Real(1), data=data)
    assert certify(whole, np.array([4.5])).evidence in ("local", "proved")


def test_violation_without_derivatives():
    box = Problem(
        lambda x: 0.0, over=Real(1), black_box=True, subject_to=[at_most(lambda x: float(x[0]), 2.0, name="c")]
    )
    assert certify(box, np.array([3.0])).violation == pytest.approx(0.5)
    noisy = Problem(
        lambda x, *, key: jnp.sum(x),
        over=Real(1),
        subject_to=[at_most(lambda x, *, key: x[0] + jax.random.normal(key), 0.0, name="c")],
    )
    assert abs(certify(noisy, np.ones(1)).violation - 1) < 4 / np.sqrt(64)


def test_a_route_is_ignored_and_a_false_derivative_is_seen():
    problem = Problem(lambda x: jnp.sum((x - 1) ** 2), over=Real(1))
    silent = problem.via(lambda f: lambda x, key: jax.lax.stop_gradient(f(x, key=key)))
    assert "stationarity" in certify(silent, np.zeros(1)).note
    assert certify(silent, np.ones(1)).evidence in ("local", "proved")

    @jax.custom_vjp
    def false(x):
        return jnp.sum((x - 1) ** 2)

    false.defvjp(lambda x: (false(x), x), lambda x, t: (t * 2 * x,))
    assert "finite differences" in certify(Problem(false, over=Real(1)), np.zeros(1)).note


def test_float32_says_so():
    with jax.enable_x64(False):
        found = certify(hs35(), np.array([4 / 3, 7 / 9, 4 / 9]))
        assert found.evidence in ("local", "proved") and found.tolerance == 1e-3 and "float32" in found.note
        assert certify(hs35(), np.array([4 / 3, 7 / 9 + 0.05, 4 / 9 - 0.05])).evidence == "none"


def test_a_restated_problem_is_not_compiled_again_and_evaluations_are_counted():
    traces = []

    def cost(x, *, given):
        traces.append(1)
        return jnp.sum((x - given) ** 2)

    problem = Problem(cost, over=Real(2), given=0.0)
    first = certify(problem, np.zeros(2))
    before = len(traces)
    second = certify(problem.at(1.0), np.ones(2))
    assert second.evidence in ("local", "proved")
    # Nothing is compiled anew; the program is read once for squares and once for degrees, which hang on `given`.
    assert len(traces) - before <= 1
    assert first.evaluations == second.evaluations > 3 + 2 * 6


CONFLICTS = {
    "lines": (
        Real(2),
        [
            at_least(lambda x: x[0] + x[1], 1, name="a"),
            at_most(lambda x: x[0] + x[1], -1, name="b"),
            at_most(lambda x: x[0], 5, name="c"),
        ],
        ["a", "b"],
    ),
    "bounds": (Real(2, 0), [at_most(lambda x: x[0] + x[1], -1, name="b"), at_most(lambda x: x[0], 5, name="c")], ["b"]),
    "square": (Real(2), [equal(lambda x: x[0] ** 2, -1, name="q"), at_most(lambda x: x[1], 1, name="c")], ["q"]),
    "disk": (
        Real(2),
        [
            at_most(lambda x: jnp.vdot(x, x), 1, name="disk"),
            at_least(lambda x: x[0], 3, name="far"),
            at_most(lambda x: x[1], -0.2, name="idle"),
        ],
        ["disk", "far"],
    ),
    "triangle": (
        Real(2),
        [
            at_least(lambda x: x[0] - x[1], 1, name="1"),
            at_least(lambda x: x[1], 0, name="2"),
            at_most(lambda x: x[0], 0.5, name="3"),
        ],
        ["1", "2", "3"],
    ),
    "simplex": (
        Simplex(3),
        [at_least(lambda p, i=i: p[i], b, name=f"p{i}") for i, b in enumerate((0.6, 0.6, 0.1))],
        ["p0", "p1"],
    ),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_conflicts_are_named(name):
    domain, constraints, expected = CONFLICTS[name]
    problem = Problem(lambda x: 0.0 * jnp.sum(x), over=domain, subject_to=constraints)
    found = least_violation(problem, problem.domain.start(), jax.random.key(0))
    assert found.stationary and found.conflicts == expected
    assert problem.domain.contains(found.x)


def test_least_violation_in_closed_form():
    """x + y >= 1 and <= -1, each of scale 1: the least violation is 1, on the line x + y = 0."""
    domain, constraints, _ = CONFLICTS["lines"]
    problem = Problem(jnp.sum, over=domain, subject_to=constraints)
    x = least_violation(problem, np.array([3.0, 4.0]), jax.random.key(1)).x
    assert x.sum() == pytest.approx(0.0, abs=1e-8)
    assert problem.violation(problem.evaluate(jnp.asarray(x)).constraints) == pytest.approx(1.0)


def test_feasible_and_undecided_problems_have_no_conflicts():
    feasible = Problem(jnp.sum, over=Real(2), subject_to=[at_most(lambda x: jnp.vdot(x, x), 1, name="disk")])
    found = least_violation(feasible, np.array([9.0, 9.0]), jax.random.key(0))
    assert not found.stationary and found.conflicts == [] and found.x @ found.x <= 1 + 1e-6
    plateau = Problem(  # feasible only in a well that no slope leads to
        jnp.sum, over=Real(1), subject_to=[at_most(lambda x: 1 - jnp.exp(-((x[0] - 50) ** 2)), 0.5, name="well")]
    )
    assert not least_violation(plateau, np.zeros(1), jax.random.key(0)).stationary


ENDLESS = {
    "line": (lambda x: -x[0], Real(2), [], True),
    "logarithm": (lambda x: -jnp.log1p(x[0]), Real(1, 0), [], True),
    "concave": (lambda x: x[0] - x[0] ** 2, Real(1), [], True),
    "overflow": (lambda x: -jnp.exp(x[0]), Real(1), [], True),
    "cone": (
        lambda x: -x[0] - x[1],
        Real(2),
        [at_most(lambda x: x[0] - 2 * x[1], 3), equal(lambda x: x[0] - x[1], 0)],
        True,
    ),
    "decay": (lambda x: jnp.exp(-x[0]), Real(1), [], False),
    "arc": (lambda x: -jnp.arctan(x[0]), Real(1), [], False),
    "bounded": (lambda x: -x[0], Real(1, -1, 1), [], False),
    "closed cone": (lambda x: -x[0] - x[1], Real(2), [at_most(lambda x: x[0] + x[1], 3)], False),
    "bowl": (lambda x: jnp.vdot(x, x) - x[0], Real(2), [], False),
    "kept in a disk": (lambda x: -x[0], Real(2), [at_most(lambda x: jnp.vdot(x, x), 1)], False),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_rays(name):
    cost, domain, constraints, exists = ENDLESS[name]
    problem = Problem(cost, over=domain, subject_to=constraints)
    start = problem.domain.start()
    found = ray(problem, start)
    assert (found is not None) == exists
    if exists:
        assert cost(jnp.asarray(start + 1e3 * found)) < cost(jnp.asarray(start)) - 1


def test_a_given_direction_is_tried_first():
    problem = Problem(lambda x: -x["a"] * x["b"], over={"a": Real(), "b": Real()})
    up = {"a": np.array(1.0), "b": np.array(1.0)}
    origin = {"a": np.array(0.0), "b": np.array(0.0)}
    assert ray(problem, origin) is None  # no slope at the saddle
    assert jax.tree.map(float, ray(problem, origin, up)) == {"a": 1.0, "b": 1.0}
    assert ray(problem, origin, {"a": np.array(1.0), "b": np.array(-1.0)}) is None


def test_endless_falls():
    steps = 10.0 ** np.arange(13)
    assert endless(-steps) and endless(-np.log(steps + 1)) and endless(np.append(-steps, -np.inf))
    assert not endless(1 / steps) and not endless(-(1 - steps**-0.1)) and not endless(np.append(-steps, np.nan))


def test_a_portfolio_over_a_simplex_is_proved_best():
    """A convex quadratic problem over a simplex: the set is linear conditions, so multipliers prove a bound."""
    r = np.random.default_rng(2)
    factors, gain = r.normal(size=(12, 3)), r.normal(size=12)
    matrix = factors @ factors.T + np.eye(12)
    problem = Problem(lambda w: w @ matrix @ w - 5 * gain @ w, Simplex(12))
    solution = descend.solve(problem, budget=descend.Budget(seconds=60), progress=False)
    assert str(solution.status) == "optimal" and solution.certificate.gap < 1e-6
    # The first-order conditions, written out: the slope is least, and equal, where a share is held.
    slope, held = 2 * matrix @ solution.x - 5 * gain, solution.x > 1e-6
    assert held.any() and not held.all()
    assert np.allclose(slope[held], slope[held].min(), atol=1e-5) and np.all(slope > slope[held].min() - 1e-5)
    away = np.where(held, 0.9 * solution.x, 0.0)
    assert certify(problem, away + (1 - away.sum()) * np.eye(12)[np.argmin(held)]).evidence == "none"
