"""The ways of handling constraints, and what each does to the conditioning."""

import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend import compare_handling
from descend.inspection.ways import WAYS


def nonnegative(n=20, conditioning=10.0, seed=0):
    """A convex quadratic over x >= 0 with a known answer: half of the bounds active, three of them without force."""
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(generator.normal(size=(n, n)))[0]
    matrix = basis @ np.diag(np.geomspace(1, conditioning, n)) @ basis.T
    index = np.arange(n)
    answer = np.where(index < n // 2, generator.uniform(0.5, 2, n), 0.0)
    force = np.where(index < n // 2 + 3, 0.0, generator.uniform(0.5, 2, n))
    slope = matrix @ answer - force
    problem = descend.Problem(lambda x: x @ matrix @ x / 2 - slope @ x, descend.Real(n, 0.0, start=1.0))
    return problem, answer @ matrix @ answer / 2 - slope @ answer


@pytest.mark.slow
def test_the_table_of_a_nonnegative_quadratic():
    problem, best = nonnegative()
    table = compare_handling(problem, tolerance=1e-10)
    assert table.before == pytest.approx(10.0, rel=1e-6) and table.reference == pytest.approx(best, abs=1e-9)
    (projected,), (squared,) = table["projection"], table["reparametrization"]
    assert projected.iterations < 200 and projected.condition <= 10
    # Squares take about 10^5 steps, and the Hessian becomes singular where a bound has no force.
    assert squared.iterations is None or squared.iterations > 200 * projected.iterations
    assert squared.condition > 1e4
    # The condition of a barrier grows as 1 / mu, that of a penalty as rho, and what it violates falls as 1 / rho.
    for way in ("barrier", "penalty"):
        growth = [b.condition / a.condition for a, b in zip(table[way], table[way][1:], strict=False)]
        np.testing.assert_allclose(growth, 100, rtol=0.5)
    violations = [row.violation for row in table["penalty"]]
    np.testing.assert_allclose(np.array(violations[:-1]) / violations[1:], 100, rtol=0.2)
    assert table["augmented Lagrangian"][0].condition < 100
    assert table["interior point"][0].iterations < 30
    assert "condition before" in str(table) and "rho = 1e+06" in str(table)


@pytest.mark.slow
def test_constraints_besides_bounds():
    problem = descend.Problem(
        lambda x: x[0] * x[3] * (x[0] + x[1] + x[2]) + x[2],
        over=descend.Real(4, 1, 5, start=[1, 5, 5, 1]),
        subject_to=[descend.at_least(jnp.prod, 25.0, name="product"), descend.equal(lambda x: jnp.sum(x**2), 40.0)],
    )
    table = compare_handling(problem)
    assert table.reference == pytest.approx(17.0140173, abs=1e-6)
    for way in ("augmented Lagrangian", "interior point"):
        assert table[way][0].iterations is not None and table[way][0].violation <= 1e-8
    assert "does not apply" in table["projection"][0].note and {row.way for row in table.rows} >= {"hard layer"}


def test_every_way_is_compared():
    assert len(WAYS) == 7


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="real numbers"):
        compare_handling(descend.Problem(lambda x: jnp.sum(x), descend.Binary(3)))
    with pytest.raises(ValueError, match="at most 400"):
        compare_handling(descend.Problem(lambda x: jnp.sum(x**2), descend.Real(500)))
