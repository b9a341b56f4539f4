"""Portfolios, prices, taxes."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.helpers import lots
from tests.corpus.label import case, over

rng = np.random.default_rng(13)
RETURNS = jnp.asarray(0.05 * rng.normal(size=(40, 4)) + 0.01)
SHOCKS = jnp.asarray(rng.normal(size=40))
COVARIANCE = jnp.cov(RETURNS.T) * 100
BRACKETS = jnp.array([0.5, 1.0, 2.0])
RATES = jnp.array([0.0, 0.1, 0.2, 0.4])
H2, H4 = rng.uniform(0.2, 1.0, 2), rng.uniform(0.2, 1.0, 4)


@case(H4, "smooth")
def mean_variance(w):
    return w @ COVARIANCE @ w - jnp.mean(RETURNS @ w) + 0.1 * jnp.sum(w**2)


@case(H4, "smooth")
def negative_sharpe(w):
    r = RETURNS @ w
    return -jnp.mean(r) / jnp.sqrt(jnp.var(r) + 1e-6) + 0.1 * jnp.sum(w**2)


@case(np.array([0.1, 0.2]))
def call_price(x):
    end = jnp.exp(x[0] + x[1] * SHOCKS)
    return jnp.mean(jnp.maximum(end - 1.1, 0.0)) + jnp.sum(x**2)  #: kinked


@case(np.array([0.1, 0.2]))
def barrier_option(x):
    path = jnp.exp(x[0] + x[1] * jnp.cumsum(SHOCKS) / 4)
    alive = jnp.max(path) < 1.4  #: jumps
    return path[-1] * alive + jnp.sum(x**2)


@case(H4)
def value_at_risk(w):
    return -jnp.percentile(RETURNS @ w, 5.0) + 0.1 * jnp.sum(w**2)  #: kinked


@case(H4)
def expected_shortfall(w):
    losses = -jnp.sort(RETURNS @ w)[:4]  #: kinked
    return jnp.mean(losses) + 0.1 * jnp.sum(w**2)


@case(over(descend.Real(4, start=H4)))
def trading_cost(w):
    cost = 0.02 * jnp.sum(jnp.abs(w - 0.4))  #: kinked
    return cost + w @ COVARIANCE @ w


@case(H4, helpers=(lots,))
def whole_lots(w):
    held = lots(w, 0.25)
    return jnp.sum((held - 0.4) ** 2) + jnp.sum(held) * 0.1


@case(H2)
def marginal_tax(x):
    income = jnp.sum(jnp.exp(x))
    tax = jnp.sum(RATES[1:] * jnp.maximum(income - BRACKETS, 0.0))  #: kinked
    return tax - jnp.log(income) + jnp.sum(x**2)


@case(np.array([-0.7, -0.5]))
def flat_rate_tax(x):
    income = jnp.sum(jnp.exp(x))
    bracket = jnp.searchsorted(BRACKETS, income)  #: jumps
    return income * RATES[bracket] + jnp.sum(x**2)


@case(H2)
def drawdown(x):
    wealth = jnp.cumsum(x[0] * SHOCKS + x[1])
    peak = jax.lax.cummax(wealth)  #: kinked
    return jnp.mean((peak - wealth) ** 2) + jnp.sum(x**2)


@case(H4)
def rounded_bill(w):
    bill = 0.05 * jnp.floor(jnp.sum(w * jnp.array([1.0, 2.0, 3.0, 4.0])) / 0.05)  #: flat
    return bill + jnp.sum((w - 0.5) ** 2)


@case(H4, "smooth")
def log_utility(w):
    return -jnp.mean(jnp.log(1.0 + RETURNS @ w)) + 0.05 * jnp.sum((w - 0.3) ** 2)


@case(np.array([0.05, 0.9]), "smooth", thorough=("unbounded",))
def compounded(x):
    """Grows, but by a factor of seven in all."""
    return jax.lax.fori_loop(0, 40, lambda _, value: value * (1 + x[0]) + 0.01 * x[1], jnp.asarray(1.0))


@case(H4)
def minimum_fee(w):
    fee = jnp.clip(0.3 * jnp.abs(w), min=0.1)  #: kinked
    return jnp.sum(fee) + jnp.sum((w - 0.5) ** 2)
