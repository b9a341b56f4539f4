"""Losses, layers and metrics of machine learning."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import descend
from tests.corpus.label import case, over

rng = np.random.default_rng(14)
POINTS = jnp.asarray(rng.normal(size=(20, 2)))
FEATURES = jnp.asarray(rng.normal(size=(16, 3)))
TARGETS = jnp.asarray(rng.integers(0, 2, 16))
CLASSES = jnp.asarray(rng.integers(0, 3, 16))
TOKENS = jnp.asarray(rng.integers(0, 4, 9))
SCORES = jnp.asarray(rng.normal(size=(6, 3)))
V3, V4, V6, V8, V9, V12 = (rng.normal(size=n) for n in (3, 4, 6, 8, 9, 12))


@case(V6)
def k_means(c):
    d = jnp.sum((POINTS[:, None] - c.reshape(3, 2)[None]) ** 2, -1)
    return jnp.mean(jnp.min(d, axis=1))  #: kinked


@case(V6)
def k_means_assigned(c):
    centers = c.reshape(3, 2)
    assign = jnp.argmin(jnp.sum((POINTS[:, None] - centers[None]) ** 2, -1), axis=1)
    return jnp.mean(jnp.sum((POINTS - centers[assign]) ** 2, -1))  #: kinked


@case(V6)
def triplet(x):
    anchor, positive, negative = x.reshape(3, 2)
    margin = jnp.sum((anchor - positive) ** 2) - jnp.sum((anchor - negative) ** 2) + 0.5
    return jax.nn.relu(margin) + 0.1 * jnp.sum(x**2)  #: kinked


@case(V3)
def hardest_negative(w):
    return jnp.max(FEATURES @ w) + jax.nn.logsumexp(w) + jnp.sum(w**2)  #: kinked


@case(V6, "smooth")
def contrastive(x):
    z = x.reshape(3, 2)
    z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
    return -jnp.mean(jnp.diag(jax.nn.log_softmax(z @ z.T + 1.0))) + 0.01 * jnp.sum(x**2)


@case(V3, "smooth")
def focal(w):
    p = jax.nn.sigmoid(FEATURES @ w)
    p = jnp.where(TARGETS == 1, p, 1 - p)
    return -jnp.mean((1 - p) ** 2 * jnp.log(jnp.clip(p, 1e-12, 1.0))) + 0.1 * jnp.sum(w**2)


@case(np.concatenate([V3, [0.1, 0.5, -0.3]]))
def stump(x):
    leaf = jnp.where(FEATURES[:, 0] * x[0] + FEATURES[:, 1] * x[1] > x[2], x[3], x[4])  #: jumps
    return jnp.mean((leaf - TARGETS) ** 2) + 0.1 * x[5] ** 2


@case(0.5 * V3)
def f1_score(w):
    said = (FEATURES @ w > 0).astype(float)  #: flat
    hits = jnp.sum(said * TARGETS)
    return -2 * hits / (jnp.sum(said) + jnp.sum(TARGETS))


@case(V3)
def pairwise_auc(w):
    s = FEATURES @ w
    better = s[:, None] > s[None]  #: flat
    useful = (TARGETS[:, None] == 1) & (TARGETS[None] == 0)
    return -jnp.sum(better & useful) / jnp.sum(useful)


@case(V3)
def ndcg(w):
    order = jnp.argsort(-(FEATURES @ w))  #: flat
    return -jnp.sum(CLASSES[order] / jnp.log2(jnp.arange(16) + 2.0))


@case(V12, "smooth")
def embedding(x):
    table = x.reshape(4, 3)
    return jnp.mean((table[TOKENS] - 0.3) ** 2) + 0.1 * jnp.sum(table[TOKENS[1:]] * table[TOKENS[:-1]])


@case(V12, "smooth")
def causal_attention(x):
    q = x.reshape(4, 3)
    mask = jnp.tril(jnp.ones((4, 4), bool))
    scores = jnp.where(mask, q @ q.T, -jnp.inf)
    return jnp.sum((jax.nn.softmax(scores, axis=-1) @ q) ** 2) + 0.1 * jnp.sum(x**2)


@case(V12, "smooth")
def layer_norm(x):
    h = x.reshape(4, 3)
    h = (h - h.mean(1, keepdims=True)) / jnp.sqrt(h.var(1, keepdims=True) + 1e-5)
    return jnp.sum(jnp.tanh(h @ SCORES[:3]) ** 2) + 0.1 * jnp.sum(x**2)


@case(V8)
def hard_activations(x):
    a = jax.nn.relu6(3 * x)  #: kinked
    b = jax.nn.hard_tanh(2 * x)  #: kinked
    return jnp.sum((a - b) ** 2)


@case(V8, "smooth")
def smooth_activations(x):
    a = jax.nn.elu(x) + jax.nn.soft_sign(x)
    return jnp.sum((a - 0.3) ** 2) + jnp.sum(jax.nn.mish(x)) + 0.1 * jnp.sum(x**2)


@case(0.5 * V6)
def maxout(w):
    h = jnp.max(FEATURES @ w.reshape(3, 2), axis=1)  #: kinked
    return jnp.mean((h - TARGETS) ** 2) + 0.1 * jnp.sum(w**2)


@case(V3, "smooth")
def robust_fit(w):
    return jnp.mean(optax.huber_loss(FEATURES @ w, TARGETS * 1.0)) + 0.1 * jnp.sum(w**2)


@case(V3)
def library_hinge(w):
    return jnp.mean(optax.hinge_loss(FEATURES @ w, 2.0 * TARGETS - 1)) + 0.1 * jnp.sum(w**2)  #: kinked


@case(V3, "smooth")
def library_cross_entropy(w):
    logits = jnp.outer(FEATURES @ w, jnp.array([1.0, 0.0, -1.0]))
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, CLASSES)) + 0.1 * jnp.sum(w**2)


@case(0.3 * V9)
def best_path(x):
    """Viterbi: the best score over all sequences of states."""
    transition = x.reshape(3, 3)

    def step(score, emission):
        score = jnp.max(score[:, None] + transition, axis=0) + emission  #: kinked
        return score, None

    score, _ = jax.lax.scan(step, jnp.zeros(3), SCORES)
    return jnp.max(score) + jnp.sum(x**2)  #: kinked


@case(0.3 * V9, "smooth")
def all_paths(x):
    transition = x.reshape(3, 3)

    def step(score, emission):
        return jax.nn.logsumexp(score[:, None] + transition, axis=0) + emission, None

    score, _ = jax.lax.scan(step, jnp.zeros(3), SCORES)
    return jax.nn.logsumexp(score) + jnp.sum(x**2)


@case(np.array([0.2, -0.5, 0.1]), "smooth")
def gaussian_process(h):
    d = (FEATURES[:, None] - FEATURES[None]) ** 2
    k = jnp.exp(h[0]) * jnp.exp(-0.5 * jnp.sum(d, -1) * jnp.exp(h[1])) + jnp.exp(h[2]) * jnp.eye(16)
    root = jnp.linalg.cholesky(k)
    alpha = jax.scipy.linalg.solve_triangular(root, TARGETS * 1.0, lower=True)
    return 0.5 * alpha @ alpha + jnp.sum(jnp.log(jnp.diag(root)))


@case(over(descend.Real(3, start=0.3 * V3)), "smooth")
def gumbel_softmax(logits, *, key):
    g = jax.random.gumbel(key, (3,))  #: stochastic
    y = jax.nn.softmax((logits + g) / 0.5)
    return y @ jnp.array([1.0, -2.0, 0.5]) + 0.1 * jnp.sum(logits**2)


@case(over(descend.Real(3, start=0.3 * V3)))
def gumbel_max(logits, *, key):
    g = jax.random.gumbel(key, (3,))  #: stochastic
    pick = jnp.argmax(logits + g)  #: flat
    return jnp.array([1.0, -2.0, 0.5])[pick]


@case(np.concatenate([0.3 * V3, [0.1]]))
def early_layer(x):
    """The second layer is only computed where the first is not sure."""
    p = jax.nn.sigmoid(x[:3] @ FEATURES[0])
    return jax.lax.cond(p > 0.6, lambda: (p - 1) ** 2, lambda: (p * jnp.tanh(x[3]) - 1) ** 2)  #: jumps
