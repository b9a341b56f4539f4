"""Losses, metrics, fits and filters, as they stand in notebooks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tests.corpus.label import case

rng = np.random.default_rng(90210)
X = jnp.asarray(rng.normal(size=(30, 3)))
Y = jnp.asarray((np.asarray(X) @ np.array([0.9, -0.6, 0.2]) + 0.5 * rng.normal(size=30) > 0.0).astype(float))
TARGET = jnp.asarray(np.asarray(X) @ np.array([0.7, -0.4, 0.3]) + 0.3 * rng.normal(size=30))
GRADE = jnp.asarray(np.clip(np.round(1.5 + np.asarray(TARGET)), 0, 3).astype(int))
KIND = jnp.asarray(rng.integers(0, 3, 30))
SAME = KIND[:12, None] == KIND[None, :12]
PHOTO = jnp.asarray(rng.uniform(0.0, 1.0, (12, 12)))
MOTIF = jnp.asarray(rng.normal(size=7))
SIG_A = jnp.asarray(rng.normal(size=60))
SIG_B = jnp.asarray(0.5 * np.asarray(SIG_A) + rng.normal(size=60))
NOTE = jnp.linspace(0.0, 4.0, 64, endpoint=False)
KNOTS = jnp.asarray(np.sin(np.arange(24.0)) + 0.3 * rng.normal(size=24))
DROPPED = jnp.asarray(rng.uniform(size=(30, 4)) < 0.3)
GAPPY = np.where(rng.uniform(size=(10, 3)) < 0.25, np.nan, rng.normal(size=(10, 3)))
LAMBDAS = jnp.linspace(0.4, 0.02, 8)
GUESS = jnp.asarray(rng.normal(size=(4, 2)))
W1, W2 = 0.6 * rng.normal(size=(3, 4)), 0.6 * rng.normal(size=4)


@case(np.array([0.4, -0.3, 0.2, 0.1]))
def f1_loss(w):
    prob = jax.nn.sigmoid(X @ w[:3] + w[3])
    pred = (prob > 0.5).astype(float)  #: flat
    tp = jnp.sum(pred * Y)
    fp = jnp.sum(pred * (1.0 - Y))
    fn = jnp.sum((1.0 - pred) * Y)
    return 1.0 - 2.0 * tp / (2.0 * tp + fp + fn + 1e-8) + 0.02 * jnp.sum(w**2)


@case(np.array([0.4, -0.3, 0.2, 0.1]), "smooth")
def soft_dice(w):
    """The same with probabilities in place of decisions."""
    p = jnp.clip(jax.nn.sigmoid(X @ w[:3] + w[3]), 1e-7, 1.0 - 1e-7)
    return 1.0 - 2.0 * jnp.sum(p * Y) / (jnp.sum(p) + jnp.sum(Y) + 1e-8) + 0.05 * jnp.sum(w**2)


@case(np.array([0.5, -0.7, 0.3, -0.2]))
def expected_calibration_error(w):
    conf = jax.nn.sigmoid(X @ w[:3] + w[3])
    which = (4.0 * conf).astype(int)
    ece = 0.0
    for b in range(4):
        gap = jnp.sum(jnp.where(which == b, conf - Y, 0.0))  #: jumps
        ece = ece + jnp.abs(gap) / len(Y)  #: kinked
    return ece + 0.05 * jnp.sum(w**2)


@case(np.array([0.6, -0.2, 0.4, 1.4]))
def quadratic_kappa(w):
    """Agreement of rounded scores with grades from 0 to 3."""
    pred = jnp.clip(jnp.rint(X @ w[:3] + w[3]), 0, 3).astype(int)  #: flat
    confusion = jnp.zeros((4, 4)).at[GRADE, pred].add(1.0) / len(GRADE)
    chance = jnp.outer(confusion.sum(axis=1), confusion.sum(axis=0))
    cost = (jnp.arange(4)[:, None] - jnp.arange(4)[None, :]) ** 2
    return jnp.sum(cost * confusion) / (jnp.sum(cost * chance) + 1e-6) + 0.03 * jnp.sum(w**2)


@case(np.array([0.5, 0.3, -0.2]))
def kendall_tau(w):
    s = X[:10] @ w
    pairs = jnp.sign(s[:, None] - s[None, :])  #: flat
    truth = jnp.sign(TARGET[:10, None] - TARGET[None, :10])
    return -jnp.sum(pairs * truth) / 90.0 + 0.03 * jnp.sum(w**2)


class Model(NamedTuple):
    kernel: jax.Array
    bias: jax.Array


@case(Model(0.5 * rng.normal(size=(3, 3)), np.array([0.1, -0.1, 0.0])))
def error_rate_and_cross_entropy(model):
    logits = X @ model.kernel + model.bias
    ce = -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(30), KIND])
    wrong = jnp.mean(jnp.argmax(logits, axis=-1) != KIND)  #: flat
    return wrong + 0.2 * ce + 0.02 * (jnp.sum(model.kernel**2) + jnp.sum(model.bias**2))


@case(0.6 * rng.normal(size=(3, 2)))
def batch_hard_triplets(w):
    z = X[:12] @ w
    d2 = jnp.sum((z[:, None, :] - z[None, :, :]) ** 2, axis=-1)
    positive = jnp.max(jnp.where(SAME, d2, 0.0), axis=1)  #: kinked
    negative = jnp.min(jnp.where(SAME, jnp.inf, d2), axis=1)  #: kinked
    return jnp.mean(jax.nn.relu(positive - negative + 0.3)) + 0.05 * jnp.sum(w**2)  #: kinked


@case(np.array([0.3, -0.6, 0.8, 0.1, -0.4, 0.5]))
def longest_common_subsequence(s):
    """Two readings are taken for the same when they are within 0.4."""
    match = jnp.abs(s[:, None] - MOTIF[None, :]) < 0.4  #: flat

    def row(above, hits):
        def cell(left, inp):
            up, corner, hit = inp
            now = jnp.where(hit, corner + 1, jnp.maximum(left, up))
            return now, now

        _, line = jax.lax.scan(cell, 0, (above[1:], above[:-1], hits))
        return jnp.concatenate([jnp.zeros(1, line.dtype), line]), None

    table, _ = jax.lax.scan(row, jnp.zeros(8, int), match)
    return 1.0 - table[-1] / 6.0 + 0.05 * jnp.sum(s**2)


@case(np.array([2.1, 0.5]))
def pitch(x):
    """The loudest bin of a tone with an overtone."""
    tone = jnp.sin(2.0 * jnp.pi * x[0] * NOTE) + x[1] * jnp.sin(2.0 * jnp.pi * 2.3 * x[0] * NOTE)
    spectrum = jnp.abs(jnp.fft.rfft(tone))
    frequency = jnp.argmax(spectrum) / 4.0  #: flat
    return 0.2 * (frequency - 3.0) ** 2 + 0.1 * jnp.sum(x**2)


@case(np.array([0.5, -0.3, 0.4]))
def lipschitz_penalty(x):
    """The spectral norm of a symmetric matrix whose largest and smallest eigenvalue take turns."""
    m = jnp.array([[x[0], 0.4, x[1]], [0.4, -x[0], x[2]], [x[1], x[2], 0.1]])
    return jnp.linalg.norm(m, ord=2) + 0.3 * jnp.sum((x - 0.2) ** 2)  #: kinked


@case(np.array([0.1, -0.5, 0.3]), "smooth")
def gp_evidence(theta):
    length, noise = jnp.exp(theta[0]), jnp.exp(theta[1])
    i = jnp.arange(10)
    d2 = jnp.sum((X[:10, None] - X[None, :10]) ** 2, axis=-1)
    k = jnp.exp(theta[2]) * jnp.exp(-0.5 * d2 / length**2)
    k = jnp.where(i[:, None] == i[None, :], k + noise + 0.05, k)
    low = jnp.linalg.cholesky(k)
    a = jax.scipy.linalg.solve_triangular(low, TARGET[:10], lower=True)
    return 0.05 * jnp.sum(a**2) + 0.1 * jnp.sum(jnp.log(jnp.diag(low))) + 0.1 * jnp.sum(theta**2)


@case(np.array([0.4, -0.1, 0.6]))
def least_median(w):
    return jnp.median(jnp.abs(TARGET - X @ w)) + 0.05 * jnp.sum(w**2)  #: kinked


@case(np.array([0.5, 0.9]))
def mutual_information(x):
    """Of two channels after a rotation, by a histogram."""
    a = jnp.cos(x[0]) * SIG_A + jnp.sin(x[0]) * SIG_B
    b = x[1] * SIG_B - jnp.sin(x[0]) * SIG_A
    edges = jnp.linspace(-2.5, 2.5, 6)
    joint = jnp.histogram2d(a, b, bins=[edges, edges])[0] / 60.0  #: flat
    alone = jnp.outer(joint.sum(axis=1), joint.sum(axis=0))
    return jnp.sum(joint * jnp.log((joint + 1e-9) / (alone + 1e-9))) + 0.1 * jnp.sum(x**2)


@case(np.array([0.3, -0.4, 0.6, 0.5]), "smooth")
def sinkhorn(x):
    """Entropic transport between four moved points and six fixed ones, until the marginals fit."""
    points = GUESS + x.reshape(2, 2)[jnp.array([0, 1, 0, 1])]
    cost = jnp.sum((points[:, None] - X[None, :6, :2]) ** 2, axis=-1)
    kernel = jnp.exp(-cost / 4.0)

    def off(state):
        u, v = state
        return jnp.max(jnp.abs(v * (kernel.T @ u) - 1.0 / 6.0)) > 1e-10

    def rescale(state):
        u, _ = state
        v = (1.0 / 6.0) / (kernel.T @ u)
        return 0.25 / (kernel @ v), v

    u, v = jax.lax.while_loop(off, rescale, (jnp.ones(4), jnp.ones(6)))  #: nested
    return jnp.sum(u[:, None] * kernel * v[None, :] * cost) / 4.0 + 0.1 * jnp.sum(x**2)


@case({"w1": W1, "w2": W2})
def hard_swish_regression(params):
    hidden = jax.nn.hard_swish(3.0 * X @ params["w1"])  #: kinked
    loss = jnp.mean((hidden @ params["w2"] - TARGET) ** 2)
    return loss + 0.02 * sum(jnp.sum(p**2) for p in jax.tree.leaves(params))


@case({"w1": W1, "w2": W2}, "smooth")
def celu_with_a_fixed_mask(params):
    hidden = jax.nn.celu(X @ params["w1"])
    hidden = jnp.where(DROPPED, 0.0, hidden / 0.7)
    loss = jnp.mean((hidden @ params["w2"] - TARGET) ** 2)
    return loss + 0.02 * sum(jnp.sum(p**2) for p in jax.tree.leaves(params))


@case(rng.normal(size=(5, 2)))
def stress_of_a_map(z):
    """Distances of all pairs, with those of each point to itself among them."""
    d = jnp.linalg.norm(z[:, None] - z[None, :], axis=-1)  #: non-finite
    wanted = 1.0 + 0.2 * jnp.abs(jnp.arange(5)[:, None] - jnp.arange(5)[None, :])
    return jnp.mean((d - wanted) ** 2) + 0.02 * jnp.sum(z**2)


@case(np.array([-0.5, 0.8, -0.6, 0.4]))
def training_with_clipped_gradients(x):
    """The loss after ten steps; gradients are scaled down when they are too long."""
    rate = 0.3 * jax.nn.sigmoid(x[0])

    def loss(w):
        return jnp.mean((X @ w - TARGET) ** 2)

    def step(w, _):
        g = jax.grad(loss)(w)
        g = g * jnp.minimum(1.0, 0.8 / jnp.sqrt(jnp.sum(g**2) + 1e-12))  #: kinked
        return w - rate * g, None

    w, _ = jax.lax.scan(step, x[1:], None, length=10)
    return loss(w) + 0.05 * jnp.sum(x**2)


@case(np.array([-0.5, 0.3, 0.2]), "smooth")
def warmup_and_decay(x):
    """The rate of each step goes by its number alone."""
    step_number = jnp.arange(20)
    ramp = jnp.where(step_number < 5, (step_number + 1) / 5.0, 0.5 * (1.0 + jnp.cos(jnp.pi * (step_number - 5) / 15.0)))
    rates = 0.2 * jax.nn.sigmoid(x[0]) * ramp

    def loss(w):
        return jnp.mean(jax.nn.softplus((1.0 - 2.0 * Y) * (X[:, :2] @ w)))

    w, _ = jax.lax.scan(lambda w, r: (w - r * jax.grad(loss)(w), None), x[1:], rates)
    return loss(w) + 0.1 * jnp.sum(x**2)


@case(np.array([0.4, -0.7, 0.5, 0.2, -0.3]))
def pooled_filter(taps):
    response = jnp.convolve(SIG_A[:24], taps, mode="valid")
    pooled = jax.lax.reduce_window(response, -jnp.inf, jax.lax.max, (4,), (4,), "VALID")  #: kinked
    return jnp.mean((pooled - 0.6) ** 2) + 0.05 * jnp.sum(taps**2)


@case(np.array([0.9, -0.7, 0.3, -0.2, 0.5, 0.1]))
def fake_quantization(w):
    """Three bits and a sign, scaled to the largest weight."""
    scale = jnp.max(jnp.abs(w)) / 7.0  #: kinked
    code = jnp.round(w / scale)  #: flat
    fit = jnp.concatenate([X[:10], X[10:20]], axis=1) @ (code * scale)
    return jnp.mean((fit - TARGET[:10]) ** 2) + 0.05 * jnp.sum(w**2)


@case(np.array([0.3, -0.2]))
def shift_by_nearest_pixel(shift):
    rows, cols = jnp.meshgrid(jnp.arange(2.0, 10.0), jnp.arange(2.0, 10.0), indexing="ij")
    at = [rows + shift[0], cols + shift[1]]
    moved = jax.scipy.ndimage.map_coordinates(PHOTO, at, order=0, mode="nearest")  #: flat
    return jnp.mean((moved - PHOTO[3:11, 2:10]) ** 2) + 0.02 * jnp.sum(shift**2)


def catmull_rom(table, where):
    """Third-order interpolation in a table of equal steps."""
    i = jnp.floor(where)
    f = where - i
    i = jnp.clip(i.astype(int), 1, table.shape[0] - 3)
    a, b, c, d = table[i - 1], table[i], table[i + 1], table[i + 2]
    slope_b, slope_c = 0.5 * (c - a), 0.5 * (d - b)
    return (
        (2 * f**3 - 3 * f**2 + 1) * b
        + (f**3 - 2 * f**2 + f) * slope_b
        + (3 * f**2 - 2 * f**3) * c
        + (f**3 - f**2) * slope_c
    )


@case(np.array([0.2, 0.3]), "smooth")
def resampled(x):
    """A table read between its entries, at places within it."""
    where = 11.5 + 5.0 * jnp.tanh(x[0] + x[1] * jnp.linspace(-1.0, 1.0, 9))
    return jnp.mean(catmull_rom(KNOTS, where) ** 2) + 0.2 * jnp.sum(x**2)


@case(rng.normal(size=8))
def sorted_lasso(w):
    """The larger a weight is among the others, the more it is shrunk."""
    fit = jnp.mean((w - jnp.linspace(-1.0, 1.0, 8)) ** 2)
    return fit + jnp.sum(LAMBDAS * jnp.sort(jnp.abs(w))[::-1])  #: kinked


@case(np.array([0.3, -0.5, 0.4]))
def mean_of_what_was_seen(m):
    """The mean of what was observed; what was not is set to zero afterwards."""
    squares = jnp.where(jnp.isnan(GAPPY), 0.0, (GAPPY - m) ** 2)  #: non-finite
    return jnp.sum(squares) / jnp.sum(~jnp.isnan(GAPPY)) + 0.1 * jnp.sum(m**2)


@case(np.array([0.4, 0.6]))
def epsilon_insensitive(x):  #: black-box
    total = 0.1 * jnp.sum(x**2)
    for i in range(8):
        r = TARGET[i] - X[i, 0] * x[0] - X[i, 1] * x[1]
        if abs(r) > 0.3:
            total = total + abs(r) - 0.3
    return total


@case(np.array([0.6, 0.4, -0.5]), "smooth")
def compact_kernels(c):
    """Compact kernels: nothing is left at the rim, and it runs out flat."""
    r2 = jnp.sum((X[:, None, :] - c[None, None, :] * jnp.array([0.5, 1.0])[None, :, None]) ** 2, axis=-1)
    weight = jnp.where(r2 < 1.5, (1.0 - r2 / 1.5) ** 3, 0.0)
    return -jnp.mean(weight) + 0.1 * jnp.sum(c**2)


@case(np.array([0.3, -0.4, 0.5]), "smooth")
def principal_axis(x):
    """The axis that explains the most, turned so that its second entry is positive."""
    a, b, c = 0.8 * jnp.tanh(x)
    spread = jnp.array([[4.0, a, b], [a, 0.5, c], [b, c, 0.1]])
    axis = jnp.linalg.eigh(spread)[1][:, -1]
    axis = axis * jnp.sign(axis[1])
    along = X @ axis
    return jnp.mean((X[:, 1] - along * axis[1]) ** 2) + 0.1 * jnp.sum(x**2)
