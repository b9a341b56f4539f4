"""Proximal point and extragradient methods: the case of negative comonotonicity (Gorbunov et al., 2022).

A saddle is a zero of F, the gradient with the adversary's part negated. Where F is not monotone but
<F(u) - F(v), u - v> >= -rho |F(u) - F(v)|^2, the theory says how far each method reaches, by rho and the Lipschitz
constant L: extragradient steps with two different lengths up to rho L = 1/2; with equal ones about 0.1358 (the paper
proves 1/8); implicit steps always, if they are longer than 2 rho; gradient descent-ascent nowhere.

Games of 4 + 4 numbers, turned at random by seed, in pairs whose objective is a (log cosh p - log cosh q) + b p q with
a < 0, so that rho and L are known. A result is first the largest relative error of those three limits, each found by
bisection on the spectral radius of one step, the same for all methods; then log10 of the residual after 8,000
gradients, in units of that at the start, where rho L is 0.1, 0.2, 0.4 and 1. Ours are the library's `Extragradient`,
which measures rho and L by itself, and `ProximalPoint` where that gives up. Ablated is extragradient with equal
lengths, naive is descent-ascent, each the best of five lengths, L known. At rho L = 1 the measured constants do not
tell, along the cycle on which extragradient steps end, that they are beyond the limit: they stop for standing still.
Not repeated: the rates in the number of steps.
"""

import jax
import jax.numpy as jnp

from descend.domains import Real
from descend.problem import Problem
from descend.solvers import Extragradient, ProximalPoint
from descend.solvers.saddle import operator, residual

PAPER = "arXiv:2210.13831"
SYSTEM = 119
WHY = None  # the objective is smooth: what is missing is monotonicity, and no derivative shows that
CLAIM = (
    "limits of rho L of 0.5, 0.1358 and of a step of 2 rho agree with the theory within 2 %; steps of two measured "
    "lengths, then implicit ones, reach a residual of 1e-7 at rho L of 0.1, 0.2, 0.4 and 1, where descent-ascent "
    "moves away"
)
SEEDS = 8
PAIRS, GRADIENTS = 4, 8000
STRENGTHS = (0.1, 0.2, 0.4, 1.0)  # rho L
LENGTHS = (0.1, 0.3, 0.5, 0.7, 0.9)  # in units of 1 / L
STRAIGHT = jnp.broadcast_to(jnp.eye(PAIRS), (2, PAIRS, PAIRS))


def payoff(v, *, given):
    """A zero-sum game: L is 1, the saddle at the origin, rho the given one there and rho / (1 - rho^2) in all."""
    p, q = (turn @ v[name] for turn, name in zip(given["turns"], "xy", strict=True))
    size = jnp.linspace(0.5, 1.0, PAIRS)
    a = -given["rho"] * size**2
    return jnp.sum(a * (jnp.logaddexp(p, -p) - jnp.logaddexp(q, -q)) + jnp.sqrt(size**2 - a**2) * p * q)


GAME = Problem(
    payoff, over={"x": Real(PAIRS), "y": Real(PAIRS)}, adversary=("y",), given={"turns": STRAIGHT, "rho": 0.4}
)


def problem():
    return GAME


def limit(reaches, high):
    """The number up to which `reaches` is true, by bisection."""

    def halve(_, ends):
        middle = sum(ends) / 2
        good = reaches(middle)
        return jnp.where(good, middle, ends[0]), jnp.where(good, ends[1], middle)

    return sum(jax.lax.fori_loop(0, 14, halve, (0.0, high))) / 2


def limits(turns):
    """The largest relative error of the three limits, for the games linearized at their saddle."""

    def shrinks(step, rho):
        play, _ = operator(GAME, GAME.at({"turns": turns, "rho": rho}).inputs)
        slopes = jax.jacfwd(play)(jnp.zeros(2 * PAIRS))
        return jnp.max(jnp.abs(jnp.linalg.eigvals(step(jnp.eye(2 * PAIRS), slopes)))) < 1

    two = lambda first, second: lambda eye, f: eye - second * f @ (eye - first * f)  # noqa: E731
    equal = lambda rho: jnp.stack([shrinks(two(g, g), rho) for g in (0.3, 0.35, 0.4, 0.45, 0.5)]).any()  # noqa: E731
    proximal = lambda rho: lambda length: ~shrinks(lambda eye, f: jnp.linalg.inv(eye + length * f), rho)  # noqa: E731
    found = jnp.stack(
        [
            limit(lambda rho: shrinks(two(0.999, 0.001), rho), 0.9) / 0.5,
            limit(equal, 0.9) / 0.1358,
            limit(proximal(0.3), 2.0) / 0.6,
            limit(proximal(0.7), 2.0) / 1.4,
        ]
    )
    return jnp.max(jnp.abs(found - 1))


def run(key):
    turns, place = jax.random.split(key)
    turns = jnp.linalg.qr(jax.random.normal(turns, (2, PAIRS, PAIRS)))[0]
    start = jax.random.normal(place, (2, PAIRS))
    off, found = float(jax.jit(limits)(turns)), []
    for rho in STRENGTHS:
        game = GAME.at({"turns": turns, "rho": ((1 + 4 * rho**2) ** 0.5 - 1) / (2 * rho)})
        found.append(jnp.log10(jnp.stack([solved(game, dict(zip("xy", start, strict=True))), *plain(game, start)])))
    ours, ablated, naive = (jnp.append(off, column) for column in jnp.stack(found, axis=1))
    return {"ours": ours, "ablated": ablated, "naive": naive}


def holds(ours, naive):
    """Arguments have shape (seeds, 1 + strengths)."""
    return bool(ours[:, 0].max() < 0.02 and ours[:, 1:].max() < -7 and naive[:, 1:].min() > 0)


def solved(game, x):
    """The residual that the library's solvers reach, in units of that at the start."""
    first, units = residual(game, x), 0
    for solver in (Extragradient(), ProximalPoint()):
        x, units = followed(solver, game, x, units)
    return max(residual(game, x) / first, 1e-16)


def followed(solver, game, x, units):
    """Where a solver ends, and the units spent by then."""
    state, done = solver.init(game, x, jax.random.key(0)), False
    while not done and units < 3 * GRADIENTS:
        state, progress = solver.step(game, state)
        x, done, units = progress.x, progress.done, units + progress.units
    return x, units


def plain(game, start):
    """What extragradient with two equal lengths and descent-ascent leave, each at its best length."""

    def build():
        @jax.jit
        def left(z, inputs):
            play, _ = operator(GAME, inputs)

            def after(step, steps, length):
                end = play(jax.lax.fori_loop(0, steps, lambda _, z: step(z, length), z))
                size = jnp.max(jnp.abs(end)) / jnp.max(jnp.abs(play(z)))
                return jnp.where(jnp.isfinite(size), jnp.clip(size, 1e-16, 1e16), 1e16)

            best = lambda step, steps: jnp.min(jax.vmap(lambda g: after(step, steps, g))(jnp.array(LENGTHS)))  # noqa: E731
            twice = lambda z, g: z - g * play(z - g * play(z))  # noqa: E731
            return best(twice, GRADIENTS // 2), best(lambda z, g: z - g * play(z), GRADIENTS)

        return left

    return GAME.compiled("plain steps", build)(start.ravel(), game.inputs)
