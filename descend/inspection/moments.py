"""What draws of an estimate and of a reference say about the estimate."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from descend import numerics
from descend.findings import Trust

WANTED = 0.9
"""The cosine that `Trust.samples` is about."""


class _Moments(NamedTuple):
    """Unbiased estimates of the inner products of the means of estimates and references, and of E|e|^2."""

    mr: Any
    mm: Any
    rr: Any
    ee: Any


class Products(NamedTuple):
    """The inner products of estimates e and references r, all that their trust needs of them.

    Attributes:
        ee, er, rr: shapes (M, M), (M, L), (L, L), of vectors divided by `unit`.
        unit: their largest entry in absolute value, or 1.
    """

    ee: Any
    er: Any
    rr: Any
    unit: Any


def products(e: Any, r: Any) -> Products:
    """The inner products of the rows of e, (M, n), and of r, (L, n)."""
    xp = numerics.namespace(e, r)
    size = xp.maximum(xp.max(xp.abs(e), initial=0.0), xp.max(xp.abs(r), initial=0.0))
    unit = xp.where(size > 0, size, 1.0)  # squares of tiny gradients would underflow
    e, r = e / unit, r / unit
    return Products(e @ e.T, e @ r.T, r @ r.T, unit)


def trust_of(e: Any, r: Any, rounding: Any) -> Trust:
    """The trust in estimates e (M, n), from references r (L, n): see `judged`."""
    return judged(products(e, r), rounding)


def judged(found: Products, rounding: Any) -> Trust:
    """The trust in estimates, from what was drawn of them and of the reference.

    With M estimates e_i and L references r_j, all independent, the moments

        <m,r> = mean e_i.r_j    |m|^2 = mean of e_i.e_j over i != j    |r|^2 = mean of r_i.r_j over i != j
        E|e|^2 = mean |e_i|^2

    are unbiased: the noise of the reference cancels. Then

        cosine  = <m,r> / sqrt(E|e|^2 |r|^2), that of one estimate with r, the length of e in root mean square
        bias    = sqrt(max(0, |m|^2 - 2 <m,r> + |r|^2) / |r|^2)
        noise   = sqrt((E|e|^2 - |m|^2) / |r|^2)
        samples = N for which <m,r> / sqrt((|m|^2 + (E|e|^2 - |m|^2) / N) |r|^2) = 0.9, at least 1;
                  with <m,r> = |m|^2 = |r|^2 where the bias is not three errors above 0
        gain    = sqrt(|m|^2 / |r|^2)
        signal  = |r|^2 over its standard deviation where there is no gradient, from the products r_i.r_j.

    Cosine and b^2 are corrected, and their standard errors made, by the jackknife over estimates and over references,
    such that 1.96 errors to both sides cover 95 % where estimates are skewed and have heavy tails, too. The cosine is
    moved by the third moment of its jackknife values (Johnson's correction at the ends of the interval, at most half an
    error). The error is that of a Student's t whose degrees of freedom come from their fourth moment, and the variance
    in it is taken 0.4 of its own standard errors larger: what has not seen the tail yet has a cosine that is too good
    and an error that is too small at once.
    The jackknife counts the variance that belongs to pairs of draws, not to single ones, once for each of the two: half
    of that is taken off, where errors would be up to sqrt(2) too large in many dimensions, or where there is no bias.
    The error of the cosine also has the rounding of values (below). The root of a squared bias b^2 with error s has
    error s / 2b. Without bias only the variance v that belongs to pairs is left: where b^2 < 2 sqrt(v), the error is
    v^(1/4) / 1.4, so that 1.96 of these are the root of 1.96 deviations; and at least that until b is three of them.

    Args:
        found: the inner products, with M = 1 for an estimate that cannot vary and L = 1 for such a reference. In NumPy,
            which compiles nothing, or JAX.
        rounding: the length of a reference that is made of nothing but the rounding of values.

    Source:
        U-statistics as in Chen and Qin, "A two-sample test for high-dimensional data" (2010); the jackknife of several
        samples: Efron and Tibshirani, "An introduction to the bootstrap" (1993), chapter 11; skew: Johnson, "Modified t
        tests and confidence intervals for asymmetrical populations" (1978); degrees of freedom: Satterthwaite, "An
        approximate distribution of estimates of variance components" (1946).
    """
    ee, er, rr, unit = found
    xp, tiny = numerics.namespace(er), np.finfo(er.dtype).tiny
    k, j = er.shape
    whole = _moments(ee.sum(), xp.trace(ee), er.sum(), rr.sum(), xp.trace(rr), k, j)
    spread: list[Any] = []
    if k > 1:
        own = xp.diagonal(ee)
        left = _moments(
            ee.sum() - 2 * ee.sum(1) + own, own.sum() - own, er.sum() - er.sum(1), rr.sum(), xp.trace(rr), k - 1, j
        )
        spread.append(left)
    if j > 1:
        own = xp.diagonal(rr)
        left = _moments(
            ee.sum(), xp.trace(ee), er.sum() - er.sum(0), rr.sum() - 2 * rr.sum(1) + own, own.sum() - own, k, j - 1
        )
        spread.append(left)

    def jackknifed(of: Callable[[_Moments], Any]) -> tuple[Any, Any, Any]:
        """Without its bias of the first order; how far the middle of its interval is from there; its standard error."""
        values = [of(left) for left in spread]
        estimate, shift, moved, error = of(whole), 0.0, 0.0, 0.0
        if values:
            shift = sum((each.size - 1) * (each.mean() - estimate) for each in values)
            moved, error = _skewed(values)
        return estimate - shift, moved, error

    length = xp.sqrt(xp.maximum(whole.rr, tiny))
    (cosine, moved, cosine_se), (square, _, slack) = jackknifed(_cosine), jackknifed(_square_bias)
    cosine = cosine + moved
    twice = _between(er) / xp.maximum(whole.ee * whole.rr, tiny)
    twice = twice + (cosine / xp.maximum(2 * whole.rr, tiny)) ** 2 * _within(rr)
    cosine_se = xp.sqrt(xp.maximum(cosine_se**2 - twice, cosine_se**2 / 2))
    pairs = (_within(ee) + 4 * _between(er) + _within(rr)) / xp.maximum(whole.rr, tiny) ** 2
    slack = xp.sqrt(xp.maximum(slack**2 - pairs, slack**2 / 2))
    resolution = xp.where(whole.rr > 0, rounding / (unit * length), xp.where(rounding > 0, xp.inf, 0.0))
    bias = xp.sqrt(xp.maximum(square, 0.0))
    noise = xp.maximum(whole.ee - whole.mm, 0.0)
    alone = xp.sqrt(pairs)  # the error of the squared bias where there is none
    least = xp.sqrt(alone) / 1.4
    bias_se = xp.where(square > 2 * alone, slack / xp.maximum(2 * bias, tiny), least)
    bias_se = xp.where(square > 4.6 * alone, bias_se, xp.maximum(bias_se, least))
    aligned = xp.sign(whole.mr) * whole.mr**2 / length**2 - WANTED**2 * whole.mm
    aligned = xp.where(bias < 3 * bias_se, (1 - WANTED**2) * length**2, aligned)
    needed = xp.where(aligned > 0, xp.maximum(1.0, WANTED**2 * noise / xp.maximum(aligned, tiny)), xp.inf)
    return Trust(
        cosine=xp.clip(cosine, -1.0, 1.0),
        cosine_se=xp.hypot(cosine_se, resolution),
        bias=bias,
        bias_se=bias_se,
        noise=xp.sqrt(noise) / length,
        samples=needed,
        gain=xp.sqrt(xp.maximum(whole.mm, 0.0)) / length,
        resolution=resolution,
        signal=significance(rr) if j > 1 else xp.where(whole.rr > 0, xp.inf, 0.0),
    )


def _skewed(values: list[Any]) -> tuple[Any, Any]:
    """How far the middle of a 95 % interval is from a statistic, and a standard error.

    Args:
        values: for each sample, the statistic with each of its members left out.
    """
    xp = numerics.namespace(values[0])
    aways = [each.mean() - each for each in values]
    unit = xp.max(xp.stack([xp.max(xp.abs(away)) for away in aways]))
    unit = xp.where(unit > 0, unit, 1.0)  # fourth powers would overflow
    variance, third, doubt = 0.0, 0.0, 0.0
    for away in aways:
        n, away = away.size, away / unit
        own = xp.mean(away**2)
        tail = xp.mean(away**4) / xp.where(own > 0, own, 1.0) ** 2
        variance = variance + n * own
        third = third + (n - 1) ** 3 / n**2 * xp.mean(away**3)
        doubt = doubt + (n * own) ** 2 * (xp.maximum(tail, 3.0) - 1) / (n - 1)
    known = xp.where(variance > 0, variance, 1.0)
    doubt = doubt / known**2
    freedom = xp.maximum(2 / xp.where(doubt > 0, doubt, 1.0), 3.5)
    # Where the third moment is large it is not known well: half a deviation is as far as it is believed.
    most = 0.5 * xp.sqrt(variance)
    moved = xp.clip((1 + 2 * 1.96**2) / 6 * third / known, -most, most)
    return unit * moved, unit * xp.sqrt(variance * freedom / (freedom - 2) * (1 + 0.4 * xp.sqrt(doubt)))


def significance(gram: Any) -> Any:
    """How many deviations the mean product of distinct draws is above 0, from their Gram matrix (l, l).

    Where the draws have mean 0 the products are uncorrelated, so the deviation is that of one over the root of their
    number (a degenerate U-statistic, as in Chen and Qin 2010).
    """
    xp = numerics.namespace(gram)
    off = gram - xp.diag(xp.diagonal(gram))
    spread = xp.sqrt(2 * xp.sum(off**2))
    return xp.where(spread > 0, xp.sum(off) / xp.where(spread > 0, spread, 1.0), 0.0)


def _between(gram: Any) -> Any:
    """The variance of the mean product that belongs to pairs of an estimate and a reference, not to either."""
    xp = numerics.namespace(gram)
    k, j = gram.shape
    if k < 2 or j < 2:
        return 0.0
    rest = gram - gram.mean(1)[:, None] - gram.mean(0)[None, :] + gram.mean()
    return xp.sum(rest**2) / ((k - 1) * (j - 1)) / (k * j)


def _within(gram: Any) -> Any:
    """The variance of the mean product of distinct draws of one kind that belongs to pairs, not to single draws."""
    xp = numerics.namespace(gram)
    count = len(gram)
    if count < 4:
        return 0.0
    other = 1.0 - xp.eye(count, dtype=gram.dtype)
    means = (gram * other).sum(1) / (count - 1)
    rest = (gram - means[:, None] - means[None, :] + means.mean()) * other
    return 2 * xp.sum(rest**2) / (count * (count - 3)) / (count * (count - 1))


def _moments(ee: Any, own_e: Any, er: Any, rr: Any, own_r: Any, k: int, j: int) -> _Moments:
    """From the sums of the Gram matrices and of their diagonals; k and j are the numbers of rows."""
    mm = (ee - own_e) / (k * (k - 1)) if k > 1 else ee
    xp = numerics.namespace(rr)
    rr = (rr - own_r) / (j * (j - 1)) if j > 1 else rr
    return _Moments(er / (k * j), *xp.broadcast_arrays(mm, rr, own_e / k))


def _cosine(m: _Moments) -> Any:
    """0 where either has no length."""
    xp = numerics.namespace(m.rr)
    product = xp.maximum(m.ee, 0.0) * xp.maximum(m.rr, 0.0)
    return xp.where(product > 0, m.mr / xp.sqrt(xp.where(product > 0, product, 1.0)), 0.0)


def _square_bias(m: _Moments) -> Any:
    """|mean e - r|^2 / |r|^2, which may come out negative; infinite where the reference has no length."""
    xp = numerics.namespace(m.rr)
    square = m.mm - 2 * m.mr + m.rr
    return xp.where(m.rr > 0, square / xp.where(m.rr > 0, m.rr, 1.0), xp.where(square > 0, xp.inf, 0.0))
