"""Are the errors of `Trust` what they say? `python benchmarks/calibration.py` prints coverage and Brier scores.

Functions that the library was not made on, each with a route. The truth is a closed form of the reference's mean and
30,000 estimates apart from those that are judged. Stated are: the 95 % intervals of cosine and bias, which should hold
the truth in 92 to 98 of 100 repetitions, also where there is no bias; and verdicts, scored as forecasts that the
estimate descends over the distance: the Brier score of the verdict (0 or 1) and of the probability
Phi(cosine / cosine_se), beside that of the base rate. Rows go to `benchmarks/calibration.json`.
"""

import json
import math
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import descend
from descend.findings import Trust
from descend.routes import forward, smooth, straight_through

ROWS = pathlib.Path(__file__).with_suffix(".json")
REPETITIONS, MANY = 1000, 30_000


class Case(NamedTuple):
    """A function on a route at a point; `reference` is the mean of the reference, by a closed form."""

    name: str
    f: Any
    route: Any
    x: Any
    reference: Any
    estimates: int = 32


def phi(z):
    return np.exp(-(np.asarray(z) ** 2) / 2) / math.sqrt(2 * math.pi)


def cases():
    """Smoothed: kinks, steps, waves, a coin; exact directions; pathwise noise; biased surrogates; nothing to find."""
    x = jnp.array([0.3, -0.8, 1.1, 0.05, -0.4])
    wide = jnp.linspace(-2.0, 2.0, 8)
    many = jnp.sin(jnp.arange(400.0))
    tilt = jnp.array([1.0, -2.0, 0.5, 3.0])
    weights = jnp.linspace(0.5, 2.0, 4)
    noisy = lambda x, *, key: jnp.sum(jnp.sin(x + 0.5 * jax.random.normal(key, x.shape)))  # noqa: E731
    coins = lambda p, *, key: jnp.sum(jax.random.bernoulli(key, p) * jnp.array([1.0, -2.0, 3.0]))  # noqa: E731
    scored = lambda f: lambda x, *, key: _pull(f, x, key)  # noqa: E731
    yield Case("kinks", lambda x: jnp.sum(abs(x)), smooth(sigma=0.5, samples=16), x, 2 * stats.norm.cdf(x / 0.5) - 1)
    yield Case("steps", lambda x: jnp.sum(jnp.sign(x)), smooth(sigma=0.5, samples=64), wide, 4 * phi(wide / 0.5))
    yield Case(
        "waves", lambda x: jnp.sum(jnp.cos(3 * x)), smooth(sigma=0.4, samples=8), x, -3 * np.sin(3 * x) * np.exp(-0.72)
    )
    yield Case("cubes", lambda x: jnp.sum(x**3), smooth(sigma=0.6, samples=32), x, 3 * x**2 + 3 * 0.36)
    yield Case("400 numbers", lambda x: x @ many + 1.0, smooth(sigma=0.1, samples=8), 0 * many, many)
    yield Case("few estimates", lambda x: x @ many, smooth(sigma=0.1, samples=16), 0 * many, many, 8)
    yield Case("directions", lambda x: jnp.sum(weights * x), forward(tangents=2), tilt, weights)
    yield Case("coins", coins, smooth(sigma=0.05, samples=64), jnp.full(3, 0.5), jnp.array([1.0, -2.0, 3.0]))
    yield Case("pathwise noise", noisy, scored, x, np.cos(x) * math.exp(-0.125) * np.sinc(0.01 / math.pi))
    off = lambda f: forward(straight_through(f, lambda x: x @ (weights + 0.7 * tilt)), tangents=8)  # noqa: E731
    yield Case("a tilted surrogate", lambda x: x @ weights, off, tilt, weights)
    up = lambda f: forward(straight_through(f, lambda x: -(x @ weights)), tangents=4)  # noqa: E731
    yield Case("an uphill surrogate", lambda x: x @ weights, up, tilt, weights)
    parity = lambda x: jnp.sum(jnp.floor(900 * x)) % 2  # noqa: E731
    yield Case("parity", parity, smooth(sigma=0.2, samples=16), x, 0 * x)
    yield Case("a constant in noise", lambda x, *, key: jax.random.normal(key) + 0 * x[0], smooth(samples=16), x, 0 * x)


def _pull(f, x, key):
    return f(x, key=key)


def measure(case, repetitions=REPETITIONS, many=MANY):
    """A row: coverage of the intervals, verdicts, Brier scores."""
    measured = descend.value_and_trust(case.f, via=case.route, estimates=case.estimates)
    run = jax.jit(lambda keys: jax.lax.map(lambda key: measured(case.x, key=key)[2], keys))
    trust = jax.tree.map(np.asarray, run(jax.random.split(jax.random.key(11), repetitions)))
    gradient = jax.grad(case.route(case.f))
    drawn = jax.jit(lambda keys: jax.lax.map(lambda key: gradient(case.x, key=key), keys, batch_size=500))
    estimates = np.asarray(drawn(jax.random.split(jax.random.key(12), many)))
    reference = np.asarray(case.reference, np.float64)
    length, mean = np.linalg.norm(reference), estimates.mean(0)
    if length == 0:  # nothing descends, and nothing else can be said
        return _row(case, trust, None, None)
    apart = mean - reference
    noise = estimates.var(0, ddof=1).sum() / many
    bias = math.sqrt(max(0.0, apart @ apart - noise)) / length
    bias = bias if apart @ apart > 9 * noise else 0.0
    cosine = mean @ reference / (np.sqrt(np.mean(np.sum(estimates**2, axis=1))) * length)
    return _row(case, trust, cosine, bias)


def _row(case, trust, cosine, bias):
    row = {"case": case.name, "n": case.x.size, "repetitions": len(trust.cosine), "cosine": cosine, "bias": bias}
    if cosine is not None:
        row["covers cosine"] = float(np.mean(abs(trust.cosine - cosine) <= 1.96 * trust.cosine_se))
        row["covers bias"] = float(np.mean(abs(trust.bias - bias) <= 1.96 * trust.bias_se))
    verdicts = [Trust(*each).verdict for each in zip(*trust, strict=True)]
    row["verdicts"] = {word: verdicts.count(word) for word in dict.fromkeys(verdicts)}
    with np.errstate(all="ignore"):
        ratio = np.nan_to_num(trust.cosine / trust.cosine_se, nan=0.0)
    row["descends"] = bool(cosine is not None and cosine > 0)
    row["brier of verdict"] = float(np.mean((np.array(verdicts) != "refused") != row["descends"]))
    row["brier of probability"] = float(np.mean((stats.norm.cdf(ratio) - row["descends"]) ** 2))
    return row


def summary(rows):
    """Over all cases: pooled coverage and scores."""
    known = [row for row in rows if row["cosine"] is not None]
    rate = np.mean([row["descends"] for row in rows])
    return {
        "covers cosine": float(np.mean([row["covers cosine"] for row in known])),
        "covers bias": float(np.mean([row["covers bias"] for row in known if row["bias"] > 0])),
        "covers no bias": float(np.mean([row["covers bias"] for row in known if row["bias"] == 0])),
        "brier of verdict": float(np.mean([row["brier of verdict"] for row in rows])),
        "brier of probability": float(np.mean([row["brier of probability"] for row in rows])),
        "brier of the base rate": float(rate * (1 - rate)),
    }


def main():
    jax.config.update("jax_enable_x64", True)
    rows = []
    print(f"{'':22s} {'cosine':>8s} {'covered':>8s} {'bias':>7s} {'covered':>8s} {'Brier':>7s}  verdicts")
    for case in cases():
        row = measure(case)
        rows.append(row)
        numbers = [
            "-" if row.get(k) is None else f"{row[k]:.3f}" for k in ("cosine", "covers cosine", "bias", "covers bias")
        ]
        said = ", ".join(f"{count} {word}" for word, count in row["verdicts"].items())
        widths = (8, 8, 7, 8)
        cells = " ".join(f"{cell:>{width}s}" for cell, width in zip(numbers, widths, strict=True))
        print(f"{case.name:22s} {cells} {row['brier of verdict']:7.3f}  {said}", flush=True)
    total = summary(rows)
    print("\n".join(f"{name:24s} {value:.3f}" for name, value in total.items()))
    ROWS.write_text(json.dumps({"rows": rows, "all": total}, indent=1) + "\n")


if __name__ == "__main__":
    main()
