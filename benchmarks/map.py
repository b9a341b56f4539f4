"""Which route for which problem: `python benchmarks/map.py` measures what is missing and writes `docs/choose.md`.

Problem classes by routes by numbers of variables. Every function is a mean of one curve over its coordinates, so that
the finite-scale gradient is known to quadrature. A cell measures, in one process and one after the other,

- the cosine of one estimate with that gradient, the estimates that reach 0.5 and what they cost;
- descent: evaluations until the value has fallen by a tenth of what there is to fall, along single estimates of fixed
  length (the best of three lengths), or that it has not.

Cells are kept in `benchmarks/map.jsonl`, one a line, and are not measured again; `--anew` forgets them, `--page` only
writes the page. A cell that would take more than `SECONDS` is cut short, and a route that needs more than `UNITS`
evaluations for one gradient is left out.
"""

import argparse
import functools
import itertools
import json
import math
import pathlib
import re
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend import routes
from descend.draws import bernoulli
from descend.inspection import reference
from descend.inspection.moments import trust_of

ROWS = pathlib.Path(__file__).with_suffix(".jsonl")
PAGE = pathlib.Path(__file__).parents[1] / "docs" / "choose.md"
SIZES = (10, 100, 1000, 10_000, 100_000, 1_000_000)
SECONDS, UNITS, NUMBERS, STEPS = 6.0, 300_000, 2e9, 400


class Problem(NamedTuple):
    """A class of problems.

    Attributes:
        what: in a few words.
        f: x (and key) to the value.
        curve: the mean value of a coordinate, in NumPy, where `f` is the mean of it; None where nothing is there.
        start, low: where each coordinate begins, and the least mean value; None for that of the curve seen through
            noise of the width, by which descent is then judged.
        width: the finite scale.
        most: the most numbers that fit.
    """

    what: str
    f: Any
    curve: Any
    start: float
    low: float | None
    width: float
    most: int = SIZES[-1]


def orbit(x, steps=200, xp=np):
    """The mean of the late half of a logistic map, by its parameter."""
    r, z, total = 3.75 + 0.2 * xp.tanh(x), 0.3 + 0 * x, 0.0
    for i in range(steps):
        z = r * z * (1 - z)
        total = total + z * (i >= steps // 2)
    return total / (steps // 2)


def chaotic(x):
    r = 3.75 + 0.2 * jnp.tanh(x)
    late = jax.lax.scan(lambda z, _: (r * z * (1 - z),) * 2, 0.3 + 0 * x, None, 200)[1][100:]
    return jnp.mean(late)


def box(x):
    return float(np.mean(np.asarray(x) ** 2))


def random(x, *, key):
    return jnp.mean((bernoulli(key, jax.nn.sigmoid(x)) - 0.1) ** 2)


def sawtooth(x, xp=np):
    return x**2 - 2 * xp.mod(2 * x, 1.0)


PROBLEMS = {
    "smooth": Problem("mean of x^2", lambda x: jnp.mean(x**2), np.square, 1.3, 0.0, 0.1),
    "kinked": Problem("mean of abs(x)", lambda x: jnp.mean(jnp.abs(x)), np.abs, 1.3, 0.0, 0.1),
    "flat": Problem(
        "mean of round(3 x)^2 / 9", lambda x: jnp.mean(jnp.round(3 * x) ** 2) / 9, lambda x: np.round(3 * x) ** 2 / 9,
        1.3, 0.0, 0.3,
    ),
    "jumps": Problem(
        "a parabola under a sawtooth whose slope misleads", lambda x: jnp.mean(sawtooth(x, jnp)), sawtooth, 1.3, -1.7,
        0.5,
    ),
    "random": Problem(
        "Bernoulli draws, stated by `descend.draws`", random, lambda x: 0.01 + 0.8 / (1 + np.exp(-x)), 1.3, 0.01, 0.3
    ),
    "chaotic": Problem("200 steps of a logistic map for each coordinate", chaotic, orbit, -0.2, None, 0.3, 1000),
    "black box": Problem("mean of x^2, in NumPy", box, np.square, 1.3, 0.0, 0.1, 10_000),
    "parity": Problem("parity of floor(1000 x)", lambda x: jnp.sum(jnp.floor(1000 * x)) % 2, None, 1.3, 0.0, 0.3, 1000),
    "needle": Problem(
        "0 in one tiny cube, else 1", lambda x: jnp.where(jnp.max(jnp.abs(x - 0.2)) < 0.01, 0.0, 1.0), None, 1.3, 0.0,
        0.3, 1000,
    ),
}  # fmt: skip


def start(problem, n):
    """Coordinates spread around the start, so that they do not step together."""
    return problem.start + 0.8 * np.random.default_rng(n).uniform(-1, 1, n)


@functools.cache
def table(name):
    """The slope of the curve seen through noise of the width, on a grid, by quadrature."""
    problem = PROBLEMS[name]
    at = np.linspace(-1.0, 3.5, 1801)
    u = np.linspace(-6, 6, 1201)
    weights = np.exp(-(u**2) / 2) * u
    weights /= np.sum(weights * u)
    width = 0.0 if name == "random" else problem.width
    if not width:
        return at, np.gradient(problem.curve(at), at)
    return at, np.array([weights @ problem.curve(a + width * u) for a in at]) / width


def truth(name, x):
    return np.interp(x, *table(name)) / x.size


def candidates(width):
    """Plain differentiation and every route at its defaults, as wide as the problem asks where it has a width."""
    found: list[Any] = [None]
    for kind in routes.every():
        wide = {field: width for field in ("sigma", "step") if field in kind.__dataclass_fields__}
        try:
            found.append(kind(**wide))
        except TypeError:  # a setting without a default
            continue
    return found


def name_of(route):
    return "jax.grad" if route is None else route.name()


def measure(kind, n, route):
    """A row: what one route is worth on one problem of one size."""
    problem = PROBLEMS[kind]
    row: dict[str, Any] = {"class": kind, "n": n, "route": name_of(route)}
    units = 3 if route is None else route.NEEDS.units(route, n)
    row["units"] = units
    if kind in ("parity", "needle"):
        return row | hopeless(problem, n, route)
    if units > UNITS or units * n > NUMBERS:
        return row | {"refused": f"{units:,} evaluations for one gradient"}
    x = jnp.asarray(start(problem, n))
    r = truth(kind, np.asarray(x))
    try:
        gradient, key = compiled(problem, route)
        seconds, estimates = estimate(gradient, x, key, 4 if n >= 10**5 else 16)
    except Exception as error:
        text = str(error).splitlines()
        return row | {"refused": f"{type(error).__name__}: {text[0] if text else ''}"[:160]}
    same = bool((estimates == estimates[:1]).all())
    with np.errstate(all="ignore"):
        trust = trust_of(estimates[:1] if same else estimates, r[None].astype(estimates.dtype), 0.0)
    row |= {"cosine": float(trust.cosine), "cosine_se": float(trust.cosine_se), "seconds": seconds}
    if trust.verdict == "refused":
        row["refused"] = trust.why
    else:
        needed = trust.samples_for(0.5)
        row["needed"] = needed if math.isfinite(needed) else None
    return row | descent(kind, gradient, x, units)


def hopeless(problem, n, route):
    """Parity and needles: is every estimate refused?"""
    x = jnp.asarray(start(problem, n))
    function = problem.f
    found = reference.finite_scale(
        lambda x, key: function(x), x, jax.random.key(0), widths=(0.03, 0.3, 3.0), evaluations=2048
    )
    if found.informative:
        return {"cosine": None, "refused": None}
    if route is None or not getattr(route.NEEDS, "draws", False):
        return {"refused": "no gradient shows through noise of any width"}
    return {"refused": "it states no draws"}


def compiled(problem, route):
    """The gradient as a function of a point and a key, and whether it draws."""
    routed = problem.f if route is None else route(problem.f)
    random = routes.program.takes_key(routed)
    run = jax.value_and_grad(lambda x, key: routed(x, **({"key": key} if random else {})))
    return jax.jit(run), random


def estimate(gradient, x, key, most):
    """Seconds of one estimate, and up to `most` of them within the time."""
    keys = jax.random.split(jax.random.key(1), most)
    jax.block_until_ready(gradient(x, keys[0]))
    rows, times = [], []
    for k in keys if key else keys[:1]:
        began = time.perf_counter()
        rows.append(np.asarray(gradient(x, k)[1]))
        times.append(time.perf_counter() - began)
        if sum(times) > SECONDS and len(rows) >= 4:
            break
    return float(np.median(times)), np.stack(rows)


def descent(kind, gradient, x, units):
    """Evaluations until a tenth of the fall is done, with the best of three lengths of a step."""
    problem = PROBLEMS[kind]
    curve, low = problem.curve, problem.low
    if low is None:
        grid, slopes = table(kind)
        seen = np.cumsum(slopes) * (grid[1] - grid[0])
        curve, low = lambda x: np.interp(x, grid, seen), seen.min()
    mean = lambda x: float(np.mean(curve(np.asarray(x))))  # noqa: E731
    begin = mean(x)
    goal = begin - 0.1 * (begin - low)
    best = None
    for length in (0.5, 0.1, 0.02):
        at, began = x, time.perf_counter()
        for step in range(1, STEPS + 1):
            slope = gradient(at, jax.random.key(100 + step))[1]
            at = at - length * slope / jnp.maximum(jnp.linalg.norm(slope), 1e-300) * math.sqrt(x.size) * 0.3
            if step % 5 == 0 or step < 10:
                if mean(at) < goal:
                    best = min(best or step, step)
                    break
                if time.perf_counter() - began > SECONDS / 3:
                    break
    return {"descends": None if best is None else best * units}


def done():
    if not ROWS.exists():
        return {}
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()]
    return {(row["class"], row["n"], row["route"]): row for row in rows}


def page(rows):
    """The documentation page."""
    text = [HEAD.format(version=jax.__version__)]
    text += ["## In short", "", "| problem | " + " | ".join(f"n = {n:,}" for n in SIZES) + " |"]
    text.append("|---" * (len(SIZES) + 1) + "|")
    for kind in PROBLEMS:
        text.append(f"| {kind} | " + " | ".join(shortest(rows, kind, n) for n in SIZES) + " |")
    for kind, problem in PROBLEMS.items():
        sizes = [n for n in SIZES if n <= problem.most]
        text += ["", f"## {kind.capitalize()}: {problem.what}", ""]
        text += ["| route | " + " | ".join(f"n = {n:,}" for n in sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
        reasons: dict[str, list[str]] = {}
        for name in dict.fromkeys(route for k, _, route in rows if k == kind):
            found = [rows.get((kind, n, name)) for n in sizes]
            text.append(f"| `{name}` | " + " | ".join(cell(row) for row in found) + " |")
            for row in found:
                if row and row.get("refused"):
                    reasons.setdefault(without_numbers(row["refused"]), []).append(name)
        text += ["", *(f"- refused: {why} ({', '.join(dict.fromkeys(names))})" for why, names in reasons.items())]
    PAGE.write_text("\n".join(text).rstrip() + "\n")


HEAD = """# Which route for which problem

Measured: `python benchmarks/map.py` wrote this page (JAX {version}, float64, one busy core: times are good for ratios
only). For one function of your own, `descend.compare_routes(f, at=x)` measures the same.

A cell says what it costs to have a direction with a cosine of 0.5 with the finite-scale descent direction: evaluations
(a gradient by differentiation counts 3) and time; and after the arrow the evaluations until a tenth of the way down is
done by steps along single estimates. "refused" gives the reason below the table; "never" means that bias forbids it;
"→ no" that {steps} steps of any of three lengths, or {seconds:g} seconds of them, did not get there. An empty cell was
not measured. In short: the route with the fewest evaluations to that cosine among those that get down; routes that can
make their evaluations side by side (`smooth`, `evolve`) may still be done sooner than one that makes few.
""".replace("{steps}", str(STEPS)).replace("{seconds:g}", f"{SECONDS / 3:g}")


def without_numbers(why):
    if why.startswith("noise of"):
        return "noise many times the gradient, more dimensions than directions were paid for"
    if why.endswith("evaluations for one gradient"):
        return f"more than {short(UNITS)} evaluations, or {short(NUMBERS)} numbers, for one gradient"
    if "times as steep" in why:
        return "many times as steep" + why.split("as steep")[1]
    return re.sub(r"\[[\d, ]+\]|\b\d{4,}\b", "N", why)


def cost(row):
    """Units and seconds to a cosine of 0.5, or None."""
    if row is None or row.get("refused") or row.get("needed") is None:
        return None
    return row["needed"] * row["units"], row["needed"] * row["seconds"]


def cell(row):
    if row is None:
        return ""
    if row.get("refused"):
        down = f" → {short(row['descends'])}" if row.get("descends") else ""
        return "refused" + down
    spent = cost(row)
    down = "no" if row.get("descends") is None else short(row["descends"])
    return f"{f'{short(spent[0])}, {clock(spent[1])}' if spent else 'never'} → {down}"


def shortest(rows, kind, n):
    """The route with the fewest evaluations to a cosine of 0.5 among those that descend."""
    found = {name: row for (k, size, name), row in rows.items() if k == kind and size == n}
    able = [(cost(row)[0], name) for name, row in found.items() if cost(row) and row.get("descends")]
    if able:
        return f"`{min(able)[1]}`"
    return "" if not found else "none in time" if any(map(cost, found.values())) else "refused"


def short(value):
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def clock(seconds):
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= size:
            return f"{short(seconds / size)} {unit}"
    return f"{1e6 * seconds:.0f} µs"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anew", action="store_true", help="measure every cell again")
    parser.add_argument("--page", action="store_true", help="only write the page")
    chosen = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    if chosen.anew:
        ROWS.unlink(missing_ok=True)
    rows = done()
    for n, kind in itertools.product(() if chosen.page else SIZES, PROBLEMS):
        for route in candidates(PROBLEMS[kind].width) if n <= PROBLEMS[kind].most else ():
            if (kind, n, name_of(route)) in rows or (route and route.NEEDS.draws and kind != "random"):
                continue
            began = time.perf_counter()
            row = measure(kind, n, route)
            with ROWS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            rows[kind, n, name_of(route)] = row
            took = time.perf_counter() - began
            print(f"{kind:10s} {n:9,d} {name_of(route):14s} {took:5.1f} s  {cell(row)}", flush=True)
            page(rows)
    page(rows)


if __name__ == "__main__":
    main()
