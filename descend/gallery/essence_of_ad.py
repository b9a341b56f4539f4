"""The Simple Essence of Automatic Differentiation (Elliott, 2018).

Differentiation is one interpretation of a program, as a composition of linear maps, and its modes are ways to represent
a linear map. With functions on tangents it is forward mode; with functions on cotangents, composed in reverse, it is
reverse mode, without a tape, a graph or mutation. `descend.program.categories` does this for JAX programs.

Each seed draws a program from R^n to R of six random layers, most of which use their input several times, and a random
point. Its gradient is computed by every representation and compared with `jax.grad`; what is not equal to 1e-10 counts
as infinitely (1e6 times) expensive. Measured is the work, counted by XLA in the lowered code, in units of that of the
program itself, for n = 8, 32 and 128. Ours is the dual category; naive is forward mode, one tangent an input; ablated
multiplies out Jacobian matrices. `jax.grad` takes as much as ours does. The paper claims no constant: this is a fact
about our interpreter, which keeps the sharing of the program's variables.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from descend import numerics
from descend.domains import Real
from descend.problem import Problem
from descend.program.categories import derivative, dual, functions, matrices

PAPER = "arXiv:1804.00746"
SYSTEM = 51
WHY = None  # the programs are smooth: the paper is about how differentiation is built
CLAIM = (
    "as arrows of the dual category gradients cost at most 2.5 times the program at any n up to 128, as functions on "
    "tangents more than n times, as matrices more still; all equal those of JAX to 1e-10"
)
SEEDS = 5
SIZES, DEPTH = (8, 32, 128), 6

LAYERS = (
    lambda x, w: jnp.tanh(w @ x),
    lambda x, w: x * x + w @ x,
    lambda x, w: jnp.sin(w @ x) * x,
    lambda x, w: jax.nn.softmax(w.T @ x),
    lambda x, w: x * jnp.cumsum(jnp.cos(w @ x)),
)


def problem():
    return Problem(program(jax.random.key(0), 8), over=Real(8))


def program(key, n):
    random = np.random.default_rng(numerics.seed(key))
    chosen = random.integers(len(LAYERS), size=DEPTH)
    weights = random.normal(size=(DEPTH, n, n)) / np.sqrt(n)

    def composed(x):
        for layer, w in zip(chosen, weights, strict=True):
            x = LAYERS[layer](x, w)
        return jnp.sum(x * x)

    return composed


def forward(f, x):
    arrow = derivative(f, functions, x)[1]
    return jax.vmap(lambda tangent: arrow([tangent])[0])(jnp.eye(x.size))


def reverse(f, x):
    return derivative(f, dual, x)[1]([jnp.ones(())])[0]


def jacobians(f, x):
    return derivative(f, matrices, x)[1][0]


def work(f, x):
    costs = jax.jit(f).lower(x).cost_analysis()
    assert costs is not None
    return costs["flops"]


def run(key):
    ratios = {reverse: [], forward: [], jacobians: []}
    for number, n in enumerate(SIZES):
        f = program(jax.random.fold_in(key, number), n)
        x = np.random.default_rng(numerics.seed(key)).normal(size=n)
        for gradient, into in ratios.items():
            right = np.allclose(gradient(f, x), jax.grad(f)(x), rtol=1e-10, atol=1e-10)
            into.append(work(partial(gradient, f), x) / work(f, x) if right else 1e6)
    ours, naive, ablated = map(np.array, ratios.values())
    return {"ours": ours, "naive": naive, "ablated": ablated}


def holds(ours, naive):
    """Arguments have shape (seeds, sizes)."""
    return bool(ours.max() < 2.5 and (naive > np.array(SIZES)[None]).all())
