"""Payoffs, taxes, votes, games, populations."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.label import case, over

rng = np.random.default_rng(33)
NORMALS = jnp.asarray(rng.normal(size=(64, 12)))
WEEKLY = jnp.asarray(0.02 * rng.normal(size=52))
EDGES = jnp.array([0.6, 1.2, 2.5])
BASE = jnp.array([0.0, 0.0, 0.06, 0.45])  # tax at the lower edge of each band
RATE = jnp.array([0.0, 0.1, 0.3, 0.45])
LOWER = jnp.array([0.0, 0.6, 1.2, 2.5])
INCOMES = jnp.asarray(rng.uniform(0.2, 3.0, 30))
RIVALS = jnp.asarray(rng.uniform(0.2, 1.2, (40, 3)))
VOTERS = jnp.asarray(rng.normal(size=(21, 2)))
RAIN = jnp.asarray(rng.uniform(0.5, 1.5, 20))
GRADES = jnp.asarray([0.01, 0.02, 0.04, 0.09])


def paths(drift, volatility):
    return jnp.exp(jnp.cumsum(drift / 12 + volatility * NORMALS / jnp.sqrt(12), axis=1))


@case(np.array([0.05, 0.3]))
def lookback_call(x):
    top = jnp.max(paths(x[0], x[1]), axis=1)  #: kinked
    return jnp.mean(top) + jnp.sum(x**2)


@case(np.array([0.05, 0.3]))
def knocked_out(x):
    s = paths(x[0], x[1])
    out = jnp.any(s < 0.8, axis=1)
    payoff = jnp.maximum(s[:, -1] - 1.0, 0.0)  #: kinked
    return jnp.mean(jnp.where(out, 0.0, payoff)) + jnp.sum(x**2)  #: jumps


@case(np.array([0.05, 0.3]))
def digital(x):
    paid = paths(x[0], x[1])[:, -1] > 1.05  #: flat
    return jnp.mean(jnp.where(paid, 1.0, 0.0))


@case(np.array([0.4, 0.03]))
def american_put(x):
    """Backward through a binomial tree; exercised where that is worth more than waiting."""
    n, volatility, rate = 24, x[0], x[1]
    up = jnp.exp(volatility * np.sqrt(1 / n))
    p = (jnp.exp(rate / n) - 1 / up) / (up - 1 / up)
    price = lambda k: up ** (2 * jnp.arange(n + 1) - k)  # noqa: E731
    value = jnp.maximum(1.0 - price(n), 0.0)  # which leaves pay does not depend on x

    def back(value, k):
        wait = jnp.exp(-rate / n) * (p * jnp.roll(value, -1) + (1 - p) * value)
        return jnp.maximum(wait, 1.0 - price(k)), None  #: kinked

    value, _ = jax.lax.scan(back, value, jnp.arange(n - 1, -1, -1))
    return value[0] + (volatility - 0.3) ** 2 + rate**2


@case(np.array([1.0, 0.1]))
def income_tax(x):
    """Continuous by construction: each band starts where the one below ends."""
    income = INCOMES * x[0]
    band = jnp.searchsorted(EDGES, income)  #: kinked
    tax = BASE[band] + RATE[band] * (income - LOWER[band])
    return -jnp.mean(tax) + 0.3 * (x[0] - 1) ** 2 + x[1] ** 2


@case(np.array([0.9, 0.3]))
def benefit_cliff(x):
    income = INCOMES * x[0] + x[1]
    benefit = jnp.where(income < 1.1, 0.3, 0.0)  #: flat
    return jnp.mean(benefit) - jnp.mean(jnp.log(income)) + jnp.sum(x**2)  #: non-finite


@case(np.array([0.5, -0.2]))
def credit_spread(x):
    score = 3.0 * jax.nn.sigmoid(x[0] + x[1] * jnp.linspace(-1, 1, 15))
    grade = jnp.digitize(score, jnp.array([1.0, 1.5, 2.0]))  #: flat
    return jnp.mean(GRADES[grade]) + 0.01 * jnp.sum(x**2)


@case(np.array([0.06, 1.0]))
def stop_loss(x):
    """Sold at the first fall below the highest price by a given share."""

    def week(state, r):
        wealth, top, held = state
        wealth = wealth * jnp.where(held, 1 + x[1] * r, 1.0)  #: jumps
        top = jnp.maximum(top, wealth)  # which only decides when
        held = held & (wealth > (1 - x[0]) * top)
        return (wealth, top, held), None

    (wealth, _, _), _ = jax.lax.scan(week, (jnp.asarray(1.0), jnp.asarray(1.0), True), WEEKLY)
    return -wealth + 0.1 * jnp.sum(x**2)


@case(np.array([0.55, 0.05]))
def rebalancing_band(x):
    def week(w, r):
        w = w * (1 + r) / (1 + w * r)
        w = jnp.where(jnp.abs(w - x[0]) > x[1], x[0], w)  #: jumps
        return w, w

    _, shares = jax.lax.scan(week, jnp.asarray(0.5), 3 * WEEKLY)
    return jnp.mean((shares - 0.6) ** 2)


@case(np.array([0.8]))
def sealed_bid(bid):
    """Second price: what is paid is set by the others, the bid only decides who pays."""
    others = RIVALS.max(axis=1)
    gain = jnp.where(bid[0] > others, 0.9 - others, 0.0)  #: flat
    return -jnp.mean(gain)


@case(np.array([0.8, 0.6, 0.7]))
def auctioneer(bids):
    price = jnp.sort(bids)[-2]  #: kinked
    return -price + 0.5 * jnp.sum((bids - 0.5) ** 2)


@case(np.array([0.3, -0.2]))
def two_candidates(x):
    ours = jnp.sum((VOTERS - x[None]) ** 2, axis=1)
    theirs = jnp.sum((VOTERS - 0.4) ** 2, axis=1)
    share = jnp.mean(ours < theirs)  #: flat
    return -share


@case(rng.normal(size=6))
def podium(skill):
    """The three best share the prizes, by what they have put in."""
    _, who = jax.lax.top_k(skill, 3)
    effort = 0.3 * skill**2 + 0.1 * jnp.arange(6.0)
    return jnp.sum(effort[who] * jnp.array([3.0, 2.0, 1.0])) + jnp.sum(skill**2)  #: jumps


@case(np.array([0.2, 0.5]), "smooth")
def elo(x):
    strength = jnp.array([0.0, x[0], x[1]])
    gap = strength[:, None] - strength[None]
    won = jnp.where(jnp.arange(3)[:, None] < jnp.arange(3)[None], 1.0, 0.0)
    return jnp.sum(won * jnp.log1p(jnp.exp(-gap))) + jnp.sum(x**2)


@case(np.array([1.2, 0.4]))
def extinction(x):
    def year(n, rain):
        n = n * jnp.exp(x[0] * rain * (1 - n) - x[1])
        n = jnp.where(n < 0.15, 0.0, n)  #: jumps
        return n, n

    _, path = jax.lax.scan(year, jnp.asarray(0.4), 0.5 * RAIN)
    return jnp.mean((path - 0.6) ** 2)


@case(over(descend.Real(2, start=np.array([0.3, 0.2]), lower=0.0, upper=1.0)))
def fishing_quota(x):
    def year(stock, rain):
        growth = 0.5 * rain * stock * (1 - stock)
        catch = jnp.minimum(x[0] * stock, x[1])  #: kinked
        return stock + growth - catch, catch

    stock, catch = jax.lax.scan(year, jnp.asarray(0.5), RAIN)
    return -jnp.sum(catch) + 5 * (stock - 0.6) ** 2 + jnp.sum(x**2)


@case(np.array([0.05, 0.5]))
def lockdown(x):
    def day(state, _):
        s, i = state
        contact = jnp.where(i > x[0], x[1], 0.5 + x[1])  #: jumps
        new = contact * s * i
        return (s - new, i + new - 0.2 * i), i

    _, ill = jax.lax.scan(day, (jnp.asarray(0.97), jnp.asarray(0.03)), None, length=40)
    return jnp.max(ill) + 0.2 * (x[1] - 0.5) ** 2  #: kinked


@case(over(descend.Real(2, start=np.array([0.2, 0.5]), lower=0.0, upper=1.0)), "smooth")
def two_species(x):
    def step(s, t):
        season = jnp.where(t % 10 < 5, 1.2, 0.8)
        prey = s[0] + 0.05 * (season * s[0] * (1 - s[0]) - x[0] * s[0] * s[1])
        hunter = s[1] + 0.05 * (x[1] * s[0] * s[1] - 0.2 * s[1])
        s = jnp.maximum(jnp.stack([prey, hunter]), 0.0)  # no population is ever near zero
        return s, s

    _, path = jax.lax.scan(step, jnp.array([0.6, 0.4]), jnp.arange(40))
    return jnp.mean((path - 0.5) ** 2) + 0.01 * jnp.sum(x**2)


@case(over(descend.Real(2, start=np.array([0.3, 0.4]))))
def lottery(x, *, key):
    """A stake is won with a chance that grows with it."""
    u = jax.random.uniform(key, (16,))  #: stochastic
    won = u < jax.nn.sigmoid(3 * x[0])
    return jnp.mean(jnp.where(won, -2.0 * x[0], x[0])) + x[1] ** 2 + x[0] ** 2  #: jumps


@case(over(descend.Real(2, start=np.array([0.3, 0.4]))), "smooth")
def coin_of_the_house(x, *, key):
    heads = jax.random.bernoulli(key, 0.4, (16,))  #: stochastic
    return jnp.mean(jnp.where(heads, (x[0] - 1) ** 2, (x[1] + 1) ** 2))


@case(over(descend.Real(3, start=np.array([0.3, 0.4, -0.1]))))
def bandit(logits, *, key):
    chosen = jnp.argmax(logits + jax.random.gumbel(key, (3,)))  #: stochastic #: flat
    return -jnp.array([0.2, 0.9, 0.4])[chosen]
