"""Trading, credit, pensions: what a desk writes in an afternoon."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.label import case, over

rng = np.random.default_rng(101)
MOVES = jnp.asarray(0.08 * rng.normal(size=(48, 3)) + 0.01)
MONTHS = jnp.asarray(0.06 * rng.normal(size=36) + 0.005)
HELD = jnp.asarray([0.4, -0.2, 0.7])
LOSSES = jnp.asarray(rng.uniform(0.5, 2.0, 8))
CURVE = jnp.asarray(rng.uniform(0.01, 0.05, 10))
J3 = rng.normal(size=3)


@case(np.array([0.3, 0.5]))
def commission(x):
    """Nothing on a loss, a tenth of the first half million, a fifth of what is above."""
    profit = x[0] + x[1] * jnp.linspace(-1.0, 1.0, 9)
    due = jnp.select([profit < 0.0, profit < 0.5], [0.0 * profit, 0.1 * profit], 0.2 * profit - 0.05)  #: kinked
    return jnp.mean(due) - jnp.mean(profit) + jnp.sum(x**2)


@case(np.array([0.8, 0.6]))
def margin_call(x):
    """The broker halves the position whenever the account falls below the limit."""

    def month(state, r):
        wealth, size = state
        wealth = wealth + size * r
        called = wealth < 1.0 - 0.1 * x[1] ** 2
        size = jnp.where(called, 0.5 * size, size)  #: jumps
        return (wealth, size), wealth

    (_, size), path = jax.lax.scan(month, (jnp.asarray(1.0), x[0]), MONTHS)
    return -path[-1] + jnp.mean((path - 1.2) ** 2) + 0.2 * size**2 + 0.1 * jnp.sum(x**2)


@case(J3)
def hedge_in_contracts(w):
    contracts = jnp.round(w * 4.0)  #: flat
    hedged = MOVES @ (contracts / 4.0 - HELD)
    return 50.0 * jnp.mean(hedged**2) + 0.01 * jnp.sum(w**2)


@case(J3)
def spread_paid(w):
    trade = w - HELD
    paid = jnp.where(trade > 0, 0.03 * trade, -0.02 * trade)  #: kinked
    return jnp.sum(paid) + 20.0 * jnp.var(MOVES @ w) + 0.1 * jnp.sum(w**2)


@case(J3)
def capped_losses(w):
    r = MOVES @ w
    low = jnp.quantile(r, 0.13)  #: kinked
    r = jnp.maximum(r, low)  #: kinked
    return -jnp.mean(r) + 0.05 * jnp.sum(w**2)


@case(np.array([0.03, 0.4]), "smooth")
def bond_ladder(x):
    """Which coupons are due is known before any rate is."""
    years = jnp.arange(1, 11)
    coupon = jnp.where(years % 2 == 0, 0.04, 0.0) + jnp.where(years == 10, 1.0, 0.0)
    discount = jnp.exp(-jnp.cumsum(CURVE + x[0]) * x[1])
    return (jnp.sum(coupon * discount) - 0.9) ** 2 + jnp.sum(x**2)


@case(over(descend.Real(2, start=np.array([0.2, -0.4]))))
def defaults(x, *, key):
    p = jax.nn.sigmoid(x[0] + x[1] * jnp.linspace(-1.0, 1.0, 8))
    lost = jax.random.uniform(key, (8,)) < p  #: stochastic #: flat
    return jnp.sum(lost * LOSSES) - 3.0 * jnp.mean(p) + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, 0.4]))
def pension(x):
    """Paid out from the year in which the pot is large enough."""

    def year(pot, r):
        retired = pot > 1.5
        pot = pot * (1 + r) + jnp.where(retired, -0.1 * x[1], 0.2 * x[0])  #: jumps
        return pot, pot

    _, pots = jax.lax.scan(year, jnp.asarray(1.0), MONTHS)
    return jnp.mean((pots - 1.8) ** 2) + 0.1 * jnp.sum(x**2)


@case(J3, "smooth")
def log_odds_of_default(w):
    """log(1 + exp) by hand, with the two sides that keep it from overflowing."""
    z = MOVES @ w * 20.0
    stable = jnp.where(z > 0, z + jnp.log1p(jnp.exp(-jnp.abs(z))), jnp.log1p(jnp.exp(-jnp.abs(z))))
    return jnp.mean(stable) - 0.3 * jnp.mean(z) + 0.1 * jnp.sum(w**2)
