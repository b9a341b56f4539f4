"""Neural reparameterization improves structural optimization (Hoyer, Sohl-Dickstein, Greydanus, 2019).

Where should material go, so that a structure of given volume bends least? A finite-element solver answers for each
layout; half-dense elements are penalized (stiffness grows with the cube of density), which makes the problem
nonconvex, and the volume is a constraint that must hold exactly. The system optimizes the weights of a
convolutional network that paints the layout: coarse shapes come first, and local minima of fine bars are avoided.

Four tasks of 16 x 48 or 32 x 16 elements in plane stress, 100 solves each; results are the log of the compliance. The
network's densities are filtered with a cone of radius 2, and a layer holds the filtered mean exactly. The baseline is
the engineers' method, optimality criteria, with the same filter; ablated: L-BFGS on pixels in place of weights. The
network has a quarter of the paper's channels, and the tasks are small: the paper's gain grows with their size.
"""

import functools
import itertools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.optimize

import descend

PAPER = "arXiv:1909.04240"
SYSTEM = 44
WHY = "constrained"
CLAIM = "the network's beam and cantilever bend 0.5 % less than by optimality criteria, its bridge and tower bend more"
SEEDS = 5
SOLVES = 100
VOID, POWER, RADIUS = 1e-9, 3, 2.0
TASKS = {"beam": (16, 48, 0.5), "cantilever": (16, 48, 0.4), "bridge": (16, 48, 0.3), "tower": (32, 16, 0.3)}
LAYOUT = ("NHWC", "HWIO", "NHWC")
CHANNELS, LATENT = (32, 16, 8, 8, 1), 32


def problem():
    """The beam as an engineer states it: densities, their compliance, and a volume."""
    shape, *_, volume = task("beam")
    held = descend.equal(lambda x: x.mean(), volume, name="volume")
    return descend.Problem(
        solver("beam"), over=descend.Real(shape, 0.0, 1.0, start=np.full(shape, 0.8)), subject_to=held
    )


def task(name):
    """Elements, whether each displacement is free and its load, both (columns + 1, rows + 1, 2), and the volume."""
    rows, columns, volume = TASKS[name]
    free = np.ones((columns + 1, rows + 1, 2))
    load = 0 * free
    if name == "beam":  # half of a beam on two supports: symmetric at the left
        free[0, :, 0] = free[-1, -1, 1] = 0
        load[0, 0, 1] = 1
    elif name == "cantilever":
        free[0] = 0
        load[-1, rows // 2, 1] = 1
    elif name == "bridge":  # half of a road along the top, on a pillar at the right
        free[0, :, 0] = free[-1, -3:] = 0
        load[:, 0, 1] = 1 / columns
    else:  # floors that are loaded everywhere, on the ground; symmetric at the left
        free[0, :, 0] = free[:, -1] = 0
        load[:, :-1:8, 1] = 1 / (4 * columns)
    return (rows, columns), free, load, volume


def stiffness(poisson=0.3):
    """Of a square element in plane stress, shape (8, 8): exact, by two Gauss points a side."""
    law = np.array([[1, poisson, 0], [poisson, 1, 0], [0, 0, (1 - poisson) / 2]]) / (1 - poisson**2)
    corners, total = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]), np.zeros((8, 8))
    for point in corners / np.sqrt(3):
        slope = corners * (1 + corners[:, ::-1] * point[::-1]) / 2  # of the four shape functions, by x and y
        strain = np.zeros((3, 8))
        strain[0, ::2] = strain[2, 1::2] = slope[:, 0]
        strain[1, 1::2] = strain[2, ::2] = slope[:, 1]
        total += strain.T @ law @ strain / 4
    return total


@functools.cache
def solver(name):
    """Densities to compliance, by a banded Cholesky factorization on the host and the derivative in closed form."""
    (rows, columns), free, load, _ = task(name)
    nodes = np.arange(free.size // 2).reshape(columns + 1, rows + 1).T
    corners = np.stack([nodes[:-1, :-1], nodes[1:, :-1], nodes[:-1, 1:], nodes[1:, 1:]], -1)
    places = (2 * corners[..., None] + np.arange(2)).reshape(rows, columns, 8)
    element, free = stiffness(), free.ravel()
    load = free * load.ravel()
    row, column = (np.broadcast_to(side, (rows, columns, 8, 8)) for side in (places[..., None], places[..., None, :]))
    lower = row >= column
    row, column = row[lower], column[lower]
    height = (row - column).max() + 1
    into = (row - column) * free.size + column
    part = np.broadcast_to(element, lower.shape)[lower] * free[row] * free[column]
    owner = np.nonzero(lower.reshape(rows * columns, -1))[0]

    def displacement(modulus):
        bands = np.bincount(into, np.asarray(modulus).ravel()[owner] * part, height * free.size).reshape(height, -1)
        bands[0] += 1 - free
        return scipy.linalg.solveh_banded(bands, load, lower=True, check_finite=False)

    def compliance(density):
        modulus = VOID + density**POWER * (1 - VOID)
        shape = jax.ShapeDtypeStruct(load.shape, density.dtype)
        u = jax.pure_callback(displacement, shape, jax.lax.stop_gradient(modulus), vmap_method="sequential")
        energy = jnp.einsum("rci,ij,rcj->rc", u[places], element, u[places])
        # u minimizes the potential energy, so that this has the value load @ u and, u held fixed, its derivative too.
        return 2 * jnp.sum(load * u) - jnp.sum(modulus * energy)

    return compliance


@functools.cache
def cone(shape):
    """The filter as a matrix, (elements, elements): weights fall linearly to zero at the radius."""
    at = np.indices(shape).reshape(2, -1).T
    weight = np.maximum(0, RADIUS - np.linalg.norm(at[:, None] - at, axis=-1))
    return weight / weight.sum(1, keepdims=True)


def network(key, shape):
    coarse = [side // 8 for side in shape]
    keys = iter(jax.random.split(key, len(CHANNELS) + 2))
    glorot, orthogonal = jax.nn.initializers.glorot_uniform(), jax.nn.initializers.orthogonal()
    dense = orthogonal(next(keys), (LATENT, coarse[0] * coarse[1] * CHANNELS[0]))
    kernels = [glorot(next(keys), (5, 5, a, b)) for a, b in itertools.pairwise((CHANNELS[0], *CHANNELS))]
    offsets = [jnp.zeros((shape[0] // s, shape[1] // s, c)) for s, c in zip((8, 4, 2, 1, 1), CHANNELS, strict=True)]
    return {"latent": jax.random.normal(next(keys), (LATENT,)), "dense": dense, "kernels": kernels, "offsets": offsets}


def paint(weights, shape):
    """The image of a network, of the given shape."""
    image = (weights["latent"] @ weights["dense"]).reshape(shape[0] // 8, shape[1] // 8, CHANNELS[0])
    for size, kernel, offset in zip((8, 4, 2, 1, 1), weights["kernels"], weights["offsets"], strict=True):
        image = jax.image.resize(jnp.tanh(image), (shape[0] // size, shape[1] // size, image.shape[-1]), "bilinear")
        image = (image - image.mean()) / jnp.sqrt(image.var() + 1e-6)
        image = jax.lax.conv_general_dilated(image[None], kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)[0] + offset
    return image[..., 0]


def run(key):
    found = []
    for name in TASKS:
        shape = task(name)[0]
        painted = lbfgs(slopes(name, True), jax.flatten_util.ravel_pytree(network(key, shape))[0])
        drawn = lbfgs(slopes(name, False), 0.01 * jax.random.normal(key, shape).ravel())
        found.append([painted, drawn, criteria(name)])
    return dict(zip(("ours", "ablated", "naive"), np.array(found).T, strict=True))


def holds(ours, naive):
    """Arguments have shape (seeds, tasks)."""
    gain = (naive - ours).mean(0)
    return bool(np.all(gain[:2] > 0.005) and np.all(gain[2:] < 0))


@functools.cache
def slopes(name, networked):
    """Compiled: weights of the network, or pixels, to the log of the compliance and its gradient."""
    shape, *_, volume = task(name)
    tree = jax.flatten_util.ravel_pytree(network(jax.random.key(0), shape))[1]
    smooth, compliance = cone(shape), solver(name)
    share = descend.layers.Share(smooth.mean(0), volume)

    def score(flat):
        pixels = paint(tree(flat), shape).ravel() if networked else flat
        return jnp.log(compliance((smooth @ share(pixels)).reshape(shape)))

    return jax.jit(jax.value_and_grad(score))


def lbfgs(value_and_grad, start):
    """The lowest of SOLVES values."""
    values = []

    def evaluate(flat):
        value, slope = value_and_grad(flat)
        values.append(float(value))
        return values[-1], np.asarray(slope, np.float64)

    options = {"maxfun": SOLVES, "ftol": 0, "gtol": 0}
    scipy.optimize.minimize(evaluate, np.asarray(start, np.float64), jac=True, method="L-BFGS-B", options=options)
    return min(values[:SOLVES])


@functools.cache
def criteria(name):
    """Optimality criteria: densities grow by the square root of what they save, the multiplier holds the volume."""
    shape, _, _, volume = task(name)
    smooth, share = cone(shape), cone(shape).mean(0)
    both = jax.jit(jax.value_and_grad(lambda x: jnp.log(solver(name)((smooth @ x).reshape(shape)))))
    x, values = np.full(shape[0] * shape[1], volume), []
    for _ in range(SOLVES):
        value, slope = both(x)
        values.append(float(value))
        low, high = np.maximum(x - 0.2, 0), np.minimum(x + 0.2, 1)
        grown = x * np.sqrt(np.maximum(-np.asarray(slope), 0) / share)
        spent = lambda log, *args: share @ np.clip(args[0] / np.exp(log), *args[1:]) - volume  # noqa: E731
        ends = np.log(grown.max()) + np.array([-14, 14])
        x = np.clip(grown / np.exp(scipy.optimize.brentq(spent, *ends, args=(grown, low, high))), low, high)
    return min(values)
