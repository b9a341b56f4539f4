"""`inspect` against labeled objectives (recall and precision, on words and on lines), and its promises one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend.inspection.smoothing import smoothed
from descend.inspection.subject import Subject
from descend.program import compat
from descend.program.candidates import candidates
from descend.program.flow import Role
from descend.program.walk import walk
from tests.corpus import CASES, Case
from tests.corpus.label import said


def compare(cases: list[Case], thorough: bool, key: int = 1) -> dict[str, float]:
    counts = dict.fromkeys([f"{w} {k}" for w in ("words", "lines") for k in ("right", "said", "true")], 0)
    for case in cases:
        found = case.found(thorough, key)
        words, true, places = found.words, case.expected(thorough), said(found)
        for what, got, right in (("words", words, true), ("lines", places, case.lines)):
            counts[f"{what} right"] += len(got & right)
            counts[f"{what} said"] += len(got)
            counts[f"{what} true"] += len(right)
        if words != true or places != case.lines:
            lines = f"lines said {sorted(places)}, true {sorted(case.lines)}"
            print(f"{case.name}: said {sorted(words)}, true {sorted(true)}; {lines}")
    rates = {
        f"{kind} of {what}": counts[f"{what} right"] / counts[f"{what} {per}"]
        for what in ("words", "lines")
        for kind, per in (("recall", "true"), ("precision", "said"))
    }
    print(len(cases), "objectives:", ", ".join(f"{name} {rate:.3f}" for name, rate in rates.items()))
    return rates


def test_a_sample_of_labeled_objectives_is_read_right():
    rates = compare(CASES[::16], thorough=False)
    assert min(rates.values()) >= 0.95, rates


@pytest.mark.laws
@pytest.mark.parametrize("thorough", [False, True])
def test_all_labeled_objectives_are_read_right(thorough):
    assert len(CASES) >= 150 and sum("smooth" in case.words for case in CASES) >= 30
    rates = compare(CASES, thorough)
    assert min(rates.values()) >= 0.95, rates


@pytest.mark.laws
@pytest.mark.parametrize("key", [5, 6])
def test_other_lines_read_the_same(key):
    rates = compare(CASES, thorough=True, key=key)
    assert min(rates.values()) >= 0.95, rates


def by_name(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


@pytest.mark.parametrize(
    "name, word",
    [("narrow_valley", "ill-conditioned"), ("few_equations", "underdetermined"), ("falling", "unbounded")],
)
def test_the_shape_of_an_objective_is_told(name, word):
    found = by_name(name).found(thorough=True)
    assert word in found.words
    assert not found.words - {word, "smooth"}


def test_the_condition_number_is_the_true_one():
    evidence = by_name("narrow_valley").found(True).about("ill-conditioned")[0].evidence
    np.testing.assert_allclose(evidence["condition"], 1e8, rtol=1e-6)
    np.testing.assert_allclose(evidence["after diagonal scaling"], 1.0, rtol=1e-6)


def test_a_null_direction_is_one():
    matrix = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = descend.inspect(lambda x: jnp.sum((jnp.asarray(matrix) @ x - 1) ** 2), at=np.ones(3))
    direction = np.array(found.about("underdetermined")[0].evidence["direction"])
    assert np.linalg.norm(direction) > 0.99
    np.testing.assert_allclose(matrix @ direction, 0, atol=1e-7)


def test_the_curvature_of_many_variables_is_bounded_from_below():
    weights = jnp.asarray(np.where(np.arange(800) < 300, 1.0, np.where(np.arange(800) < 600, 1e7, 3e7)))
    found = descend.inspect(lambda x: jnp.sum(weights * (x - 1) ** 2), at=np.zeros(800))
    evidence = found.about("ill-conditioned")[0].evidence
    assert 1e6 < evidence["condition"] <= 3e7 * 1.01
    assert not evidence["exact"]


def test_parity_is_uninformative_and_a_staircase_is_not():
    assert "uninformative" in by_name("parity").found(True).words
    stairs = by_name("floors").found(True)
    assert "uninformative" not in stairs.words
    assert stairs.about("flat")[0].cure.startswith("descend.routes.smooth(sigma=")


def test_many_variables_are_not_uninformative_for_want_of_samples():
    """Of 5,000 variables 48 differences show no slope; of a few combinations of them they do, unless there is none."""
    weights = jnp.asarray(np.random.default_rng(0).normal(size=5000))
    for f, informative in (
        (lambda x: jnp.sum(jnp.where(x > 0.5, weights, 0.0)), True),
        (lambda x: jnp.sum(jnp.floor(40 * x)) % 2 * 1.0, False),
    ):
        problem = descend.Problem(f, descend.Real(5000, start=0.5))
        seen = smoothed(Subject(problem, None, jax.random.key(0)), 48)
        assert (seen.sigma is not None) == informative, seen.z


def test_a_slope_that_only_bends_is_no_kink():
    def f(x):
        return jnp.sum(jnp.abs(x) ** 1.5) + jnp.sum(x * jnp.abs(x))

    assert descend.inspect(f, at=np.array([0.2, -0.4]), thorough=False).words == {"smooth"}


def test_the_side_of_a_branch_that_is_taken_for_no_number_does_not_count():
    def f(x):
        return jnp.sum(jnp.where(jnp.isnan(x), x, jnp.where(x > 0.2, 1.0, 0.0))) + 0.1 * jnp.sum(x**2)

    assert descend.inspect(f, at=np.array([0.3, -0.2]), thorough=False).words == {"flat"}
    assert descend.inspect(
        lambda x: jnp.sum(jnp.where(jnp.isfinite(x), x**2, 0.0)), at=np.array([0.3]), thorough=False
    ).words == {"smooth"}


def test_all_of_several_conditions_are_a_condition():
    def f(x):
        bonus = jnp.all(x > 0.2)
        return jnp.sum(x**2) - bonus * (1.0 + x[0])

    (found,) = descend.inspect(f, at=np.array([0.3, 0.4]), thorough=False)
    assert found.what == "jumps" and found.where["line"] == f.__code__.co_firstlineno + 1


def test_the_quick_part_costs_little_on_a_smooth_function():
    found = by_name("coupled").found(thorough=False)
    assert found.words == {"smooth"}
    assert found.evaluations <= 100


def test_evaluations_of_a_black_box_are_few_and_all_counted():
    for n in (1, 3, 40):
        calls = []

        def f(x, calls=calls):
            calls.append(float(x[0]))  # raises while being traced
            return np.sum(x**2)

        problem = descend.Problem(f, descend.Real(n, start=np.ones(n)))
        calls.clear()
        found = descend.inspect(problem)
        assert found.words == {"black-box"}
        assert len(calls) == found.evaluations <= 2 * min(n, 10) + 20


def test_the_derivative_passes_a_shift_and_not_a_coin():
    passes = by_name("reparametrized").found(True).about("stochastic")[0].evidence
    assert passes["derivative passes"] is True
    coin = by_name("bernoulli").found(True).about("stochastic")[0].evidence
    assert coin["derivative passes"] is False
    # Standard deviation of |x + 0.3 u|^2 in closed form.
    x = np.asarray(by_name("reparametrized").stated(by_name("reparametrized").function).domain.start())
    true = np.sqrt(4 * 0.09 * np.sum(x**2) + 2 * 3 * 0.09**2)
    assert abs(passes["deviation"] / true - 1) < 4 / np.sqrt(2 * 127) * 1.5  # chi-squared-like, heavier tails


def test_hidden_state_of_a_black_box_is_noticed():
    state = np.random.default_rng(0)
    found = descend.inspect(lambda x: float(np.sum(x**2) + state.normal()), at=np.ones(2))
    deviation = found.about("stochastic")[0].evidence["deviation"]
    assert 0.2 < deviation < 3


def test_gaps_are_measured():
    def f(x):
        return jnp.where(x > 0.25, x + 0.5, 3 * x)

    (found,) = descend.inspect(f, at=0.0, thorough=False)
    assert found.what in ("kinked", "jumps")
    np.testing.assert_allclose(found.evidence["gap"], 0.0, atol=1e-6)  # 0.75 on both sides

    def g(x):
        return jnp.where(x > 0.25, x + 0.75, 3 * x)

    (found,) = descend.inspect(g, at=0.0, thorough=False)
    assert found.what == "jumps"
    np.testing.assert_allclose(abs(found.evidence["gap"]), 0.25, rtol=1e-6)


def test_lines_that_change_at_one_place_are_told_apart():
    def f(x):
        over = x[0] > 0.3
        a = jnp.where(over, x[0] + 1.0, x[0])
        b = jnp.where(over, 2 * x[0] - 0.3, x[0])
        c = jnp.where(over, x[0] ** 2 + 0.09, 0.6 * x[0])  # 0.18 on both sides, and a slope of 0.6
        return a + b + c + jnp.sum(x**2)

    first = f.__code__.co_firstlineno
    found = {f.where["line"] - first: f for f in descend.inspect(f, at=np.zeros(2), thorough=False)}
    assert {line: f.what for line, f in found.items()} == {2: "jumps", 3: "kinked"}
    np.testing.assert_allclose([abs(found[2].evidence["gap"]), found[3].evidence["gap"]], [1, 0], atol=1e-6)


def test_the_test_of_a_loop_is_no_staircase_in_its_body():
    def f(x):
        def going(s):
            late = s[0] > 2.0
            return ~late & (s[1] < 9)

        table = jnp.linspace(0.3, 0.5, 9)
        clock, _ = jax.lax.while_loop(going, lambda s: (s[0] + table[s[1]] * x[0] ** 2, s[1] + 1), (0.0, 0))
        return clock + x[0] ** 2

    (found,) = descend.inspect(f, at=np.array([1.2]), thorough=False)
    assert found.what == "jumps" and found.where["line"] == f.__code__.co_firstlineno + 6


def refuses(x):
    raise RuntimeError("no")


def reverse_only(x):
    @jax.custom_vjp
    def f(y):
        return jnp.sum(jnp.abs(y))

    f.defvjp(lambda y: (f(y), y), lambda y, g: (g * jnp.sign(y),))
    return f(x) + jnp.sum(x**2)


@pytest.mark.parametrize(
    "function",
    [
        refuses,
        reverse_only,
        lambda x: jnp.nan * jnp.sum(x),
        lambda x: 3.0,
        lambda x: jnp.sum(x).astype(int),
        lambda x: float(x[0]) / 0.0,
        lambda x: {}["missing"],
        lambda x: jnp.sum(jnp.linalg.eigvalsh(jnp.outer(x, x))),
        lambda x: jax.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 0.5), (0, x[0]))[1],
        lambda x: jnp.sum(jnp.fft.rfft(x).real),
        lambda x: jnp.unique(jnp.round(x), size=3).sum(),
    ],
)
def test_no_function_stops_an_inspection(function):
    for thorough in (False, True):
        found = descend.inspect(function, at=np.array([0.3, -0.2, 0.9]), thorough=thorough)
        assert all(str(finding) for finding in found)


def test_a_reverse_rule_alone_is_enough():
    found = descend.inspect(reverse_only, at=np.array([0.3, -0.2, 0.9]), thorough=False)
    assert found.words == {"kinked"}


def test_wrong_calls_are_refused():
    with pytest.raises(TypeError, match="needs at="):
        descend.inspect(lambda x: x)
    with pytest.raises(TypeError, match="a function of x"):
        descend.inspect(3.0, at=1.0)
    with pytest.raises(TypeError, match="scalar"):
        descend.inspect(lambda x: x, at=np.ones(3))


def test_findings_print_as_lines_of_source():
    text = str(by_name("floors").found(False))
    assert "flat.py:" in text and "flat -> descend.routes.smooth(sigma=" in text


def test_walking_gives_every_equation_a_line_of_this_file():
    def f(x):
        y = jnp.where(x > 0, x, 0.0)
        return jax.lax.scan(lambda c, v: (jnp.sort(jnp.stack([c, v]))[0], None), 0.0, y)[0]

    places = [place for _, place in walk(jax.make_jaxpr(f)(jnp.ones(3)))]
    first = f.__code__.co_firstlineno
    assert len(places) > 10
    assert all(place is not None and place[0] == __file__ for place in places)
    assert {line - first for _, line in places} <= {1, 2}


def test_what_reaches_no_output_is_no_candidate():
    def f(x):
        jnp.floor(x)
        i = jnp.argmax(jax.lax.stop_gradient(x) * 0 + jnp.arange(3.0))
        return jnp.sum(x**2) + 0 * i, jnp.sum(jnp.abs(x))

    program = compat.trace(f, jnp.ones(3))
    found = {(c.primitive, c.role, c.outputs) for c in candidates(program, [True], [False])}
    assert ("abs", Role.KINKS, (1,)) in found
    assert not any(name == "floor" for name, _, _ in found)
