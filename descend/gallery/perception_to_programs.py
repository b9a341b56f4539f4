"""From Perception to Programs: Regularize, Overparameterize, and Amortize (Tang, Ellis, 2023).

A network looks at three handwritten digits and says a number for each; a program of three lines combines the numbers.
Only the result of a hidden program of two lines is told, and both, perception and program, are to be found. Which
operation a line uses, and which numbers, are choices: an argmax of logits, a lookup, a branch. Descent moves the
perception and never the program.

The interpreter is written plainly below, and `descend.soften` makes a mixture of all programs of it; the temperature
falls from 1 to 0.03, and for the last third of the steps the program is what it is, hard. Overparameterized: four
copies, each with its own start, of which the one with the smallest training error counts. A result is the squared error
of the hard program on new images, over the variance of what it should give. Naive: the same with the derivative of the
hard interpreter throughout, so four random programs. Ablated: a single copy.

The paper's penalty on the length of programs and its amortized inference are left out, and so is a count of programs
that are exactly the hidden one: many others come near it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.nn import relu

from descend.datasets import digits
from descend.domains import Real, Weights
from descend.problem import Problem
from descend.relax import soften

PAPER = "arXiv:2206.05922"
SYSTEM = 30
WHY = "jumps"
CLAIM = (
    "programs found through the softened interpreter leave less than 0.4 of the variance unexplained, 0.25 less than "
    "those of the hard interpreter's own derivative; a single copy of the 4 does not get there"
)
SEEDS = 10
LINES, COPIES, STEPS, BATCH, RATE = 3, 4, 900, 32, 5e-3
COLD = 0.03
OPERATIONS = (jnp.add, jnp.subtract, jnp.multiply, jnp.maximum)
HIDDEN_PROGRAMS = (
    lambda d: (d[0] + d[1]) * d[2],
    lambda d: d[0] * d[1] - d[2],
    lambda d: jnp.maximum(d[0], d[1]) + d[2],
    lambda d: d[0] - d[1] * d[2],
    lambda d: jnp.maximum(d[0], d[1] * d[2]),
)


def execute(program, numbers):
    """Line by line, each with all numbers so far; the last line is the result."""
    for operation, left, right in zip(*program, strict=True):
        a, b = (numbers[jnp.argmax(logits[: len(numbers)])] for logits in (left, right))
        result = jax.lax.switch(jnp.argmax(operation), OPERATIONS, a, b)
        numbers = jnp.append(numbers, result)
    return numbers[-1]


def seen(network, image):
    (a, b), (c, d) = network
    return (relu(image @ a + b) @ c + d)[0]


def error(program, network, images, results):
    def squared(three, result):
        return (execute(program, jax.vmap(lambda image: seen(network, image))(three)) - result) ** 2

    return jnp.mean(jax.vmap(squared)(images, results))


def start(key):
    """Logits of the operation and of both operands of each line, and the perception."""
    keys = jax.random.split(key, 5)
    sizes = len(OPERATIONS), LINES + 2, LINES + 2
    program = [jax.random.normal(k, (LINES, size), jnp.float32) for k, size in zip(keys[:3], sizes, strict=True)]
    he = jax.nn.initializers.he_normal()
    first = he(keys[3], (64, 32), jnp.float32), jnp.zeros(32, jnp.float32)
    return program, [first, (he(keys[4], (32, 1), jnp.float32), jnp.ones(1, jnp.float32))]


def drawn(key, which, low, high, count):
    x, y = digits()
    rows = jax.random.randint(key, (count, 3), low, high)
    numbers = jnp.asarray(y, jnp.float32)[rows] / 3
    return jnp.asarray(x, jnp.float32)[rows], jax.vmap(lambda d: jax.lax.switch(which, HIDDEN_PROGRAMS, d))(numbers)


def problem():
    images, results = drawn(jax.random.key(0), 0, 0, 4000, 50)
    program, network = start(jax.random.key(1))
    over = {"program": [Real(logits.shape, start=logits) for logits in program], "network": Weights(network)}

    def misfit(at):
        return error(at["program"], at["network"], images, results)

    return Problem(misfit, over=over)


def run(key):
    copies, which, judged, selection = jax.random.split(key, 4)
    which = jax.random.randint(which, (), 0, len(HIDDEN_PROGRAMS))
    held_out, train = drawn(judged, which, 4000, 5620, 1000), drawn(selection, which, 0, 4000, 1000)
    softened = soften(error, temperature=1.0, argnums=0)

    def found(key, through):
        first, rest = jax.random.split(key)
        at = start(first)
        adam = optax.adam(optax.cosine_decay_schedule(RATE, STEPS))

        def step(carry, now) -> Any:
            at, state = carry
            key, number = now
            objective = lambda at: through(*at, *drawn(key, which, 0, 4000, BATCH), number)  # noqa: E731
            updates, state = adam.update(jax.grad(objective)(at), state)
            assert isinstance(updates, tuple)
            program, network = updates
            faster = jax.tree.map(lambda logits: 6 * logits, program)
            return (optax.apply_updates(at, (faster, network)), state), None

        each = jax.random.split(rest, STEPS), jnp.arange(STEPS)
        program, network = jax.lax.scan(step, (at, adam.init(at)), each)[0][0]
        return error(program, network, *train), error(program, network, *held_out) / jnp.var(held_out[1])

    def by_soften(program, network, images, results, number):
        temperature = jnp.asarray(COLD ** (number / (2 / 3 * STEPS)), jnp.float32)
        soft = lambda: softened(program, network, images, results, temperature=temperature)  # noqa: E731
        return jax.lax.cond(number < 2 / 3 * STEPS, soft, lambda: error(program, network, images, results))

    def by_itself(program, network, images, results, number):
        return error(program, network, images, results)

    fits, ours = jax.vmap(lambda key: found(key, by_soften))(jax.random.split(copies, COPIES))
    plain_fits, plain = jax.vmap(lambda key: found(key, by_itself))(jax.random.split(copies, COPIES))
    cap = lambda residual: jnp.minimum(residual, 2.0)  # noqa: E731
    return {
        "ours": cap(ours[jnp.argmin(fits)]),
        "ablated": cap(ours[0]),
        "naive": cap(plain[jnp.argmin(plain_fits)]),
    }


def holds(ours, naive):
    return bool((naive - ours).mean() > 0.25 and ours.mean() < 0.4)
