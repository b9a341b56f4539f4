"""Models that are trained, compressed, ranked and scored, as notebooks have them."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.label import case, over

rng = np.random.default_rng(701)
ITEMS = jnp.asarray(rng.normal(size=(24, 3)))
CLICKED = jnp.asarray((rng.normal(size=24) + ITEMS[:, 0] > 0.4).astype(float))
SIGNS = 2.0 * CLICKED - 1.0
RATING = jnp.asarray(ITEMS @ np.array([0.8, -0.5, 0.3]) + 0.4 * rng.normal(size=24))
TOPIC = jnp.asarray(rng.integers(0, 3, 24))
BOXES = jnp.asarray(np.concatenate([rng.uniform(-1.0, 1.0, (10, 2)), rng.uniform(0.3, 1.2, (10, 2))], axis=1))
CONTEXT = jnp.asarray(rng.normal(size=(12, 3)))
BIGRAMS = jnp.asarray(rng.integers(0, 3, 16))
SOURCE, TYPED = jnp.asarray([0, 2, 1, 1, 3, 0]), jnp.asarray([2, 1, 3, 3, 0])
FEATURE = jnp.asarray([0, 1, 2, 1, 0, 2, 2])
LEAF = jnp.asarray(rng.normal(size=8))
FRAMES = jnp.asarray(rng.normal(size=(7, 3)))
WAVE = jnp.asarray(np.sin(np.linspace(0.0, 12.0, 32)) + 0.4 * rng.normal(size=32))
MOTIF = jnp.asarray(rng.normal(size=6))
K2, K3, K4, K6, K8, K9, K12 = (rng.normal(size=n) for n in (2, 3, 4, 6, 8, 9, 12))


@case(K3)
def precision_at_five(w):
    _, shown = jax.lax.top_k(ITEMS @ w, 5)  #: flat
    return 1.0 - jnp.mean(CLICKED[shown]) + 0.02 * jnp.sum(w**2)


@case(K3)
def average_precision(w):
    order = jnp.argsort(ITEMS @ w, descending=True)  #: flat
    hit = CLICKED[order]
    return -jnp.sum(hit * jnp.cumsum(hit) / jnp.arange(1.0, 25.0)) / jnp.sum(CLICKED)


@case(K3)
def pairs_by_searching(w):
    """The area under the curve from one sorted half."""
    s = ITEMS @ w
    below = jnp.searchsorted(jnp.sort(s[12:]), s[:12])  #: flat
    return -jnp.mean(SIGNS[:12] * below / 12)


@case(K3)
def rank_weighted_pairs(w):
    """Pairs count by what their exchange would do to the discounts."""
    s = ITEMS[:8] @ w
    discount = 1.0 / jnp.log2(2.0 + jnp.argsort(jnp.argsort(-s)))  #: flat
    change = jnp.abs(discount[:, None] - discount[None])
    better = RATING[:8, None] > RATING[None, :8]
    return jnp.mean(better * change * jax.nn.softplus(s[None] - s[:, None])) + 0.05 * jnp.sum(w**2)


@case(np.array([0.1, -0.2, 0.4, 0.3]))
def overlap_with_boxes(b):
    """One minus the mean intersection over union with ten boxes."""
    low, side = b[:2], jax.nn.softplus(b[2:])

    def union_share(box):
        left = jnp.maximum(low, box[:2])  #: kinked
        right = jnp.minimum(low + side, box[:2] + box[2:])  #: kinked
        both = jnp.prod(jax.nn.relu(right - left))  #: kinked
        return both / (jnp.prod(side) + jnp.prod(box[2:]) - both)

    return 1.0 - jnp.mean(jax.vmap(union_share)(BOXES)) + 0.05 * jnp.sum(b**2)


@case(np.array([0.3, 0.8]))
def edit_distance(x):
    """What it costs to turn one word into another, by the table."""
    gap, swap = jax.nn.softplus(x[0]), jax.nn.softplus(x[1])

    def row(above, letter):
        def cell(left, inputs):
            up, corner, other = inputs
            best = jnp.minimum(jnp.minimum(left, up) + gap, corner + jnp.where(letter == other, 0.0, swap))  #: kinked
            return best, best

        first = above[0] + gap
        _, rest = jax.lax.scan(cell, first, (above[1:], above[:-1], TYPED))
        return jnp.concatenate([first[None], rest]), None

    last, _ = jax.lax.scan(row, gap * jnp.arange(6.0), SOURCE)
    return last[-1] - 2.5 * gap - 2.0 * swap + jnp.sum(x**2)


@case(K12)
def bigrams_in_common(w):
    """Clipped counts of pairs of words, against those of a reference."""
    word = jnp.argmax(CONTEXT @ w.reshape(3, 4), axis=1)  #: flat
    counts = jnp.bincount(4 * word[:-1] + word[1:], length=16)
    return 1.0 - jnp.sum(jnp.minimum(counts, BIGRAMS)) / 11.0 + 0.01 * jnp.sum(w**2)


@case(K3)
def miscalibration_in_quarters(w):
    """Gaps of quarters of the scale, by how many are in each."""
    p = jax.nn.sigmoid(ITEMS @ w)
    bins = jnp.digitize(p, jnp.array([0.25, 0.5, 0.75]))  #: flat
    counts = jnp.bincount(bins, length=4)
    gap = jax.ops.segment_sum(p - CLICKED, bins, 4)  #: jumps
    return jnp.sum(gap**2 / (1.0 + counts)) / 24 + 0.1 * jnp.sum(w**2)


@case(0.5 * K6)
def two_quantiles(w):
    """Two pinball losses, and a penalty for lines that cross, which is squared."""
    q = ITEMS @ w.reshape(3, 2)
    e = RATING[:, None] - q
    level = jnp.array([[0.2, 0.8]])
    pinball = jnp.maximum(level * e, (level - 1.0) * e)  #: kinked
    return jnp.mean(pinball) + jnp.mean(jax.nn.relu(q[:, 0] - q[:, 1]) ** 2) + 0.05 * jnp.sum(w**2)


@case(K3)
def hardest_examples(w):
    loss = jax.nn.softplus(-SIGNS * (ITEMS @ w))
    hardest, _ = jax.lax.top_k(loss, 6)  #: kinked
    return jnp.mean(hardest) + 0.05 * jnp.sum(w**2)


@case(0.5 * K6, "smooth")
def contrastive_with_margin(w):
    """Like pairs attract; unlike ones repel up to the margin, with a square."""
    z = ITEMS[:10] @ w.reshape(3, 2)
    d = jnp.sqrt(jnp.sum((z[:, None] - z[None]) ** 2, axis=-1) + 0.01)
    like = TOPIC[:10, None] == TOPIC[None, :10]
    return jnp.mean(jnp.where(like, d**2, jnp.maximum(1.0 - d, 0.0) ** 2)) + 0.05 * jnp.sum(w**2)


@case(0.6 * K3)
def semi_hard_negatives(w):
    """For each anchor the closest of the negatives that are farther off than the positive."""
    z = ITEMS * w[None]
    d = jnp.sum((z[:6, None] - z[None]) ** 2, axis=-1)
    near, far = d[:, 6], d[:, 7:]
    allowed = jnp.where(far > near[:, None], far, 4.0 + near[:, None])  #: jumps
    closest = jnp.min(allowed, axis=1)  #: kinked
    return jnp.mean(jax.nn.relu(near - closest + 0.3)) + 0.1 * jnp.sum(w**2)  #: kinked


@case({"cut": np.array([0.1, -0.3, 0.4]), "leaf": np.array([[0.3, -0.2], [0.1, 0.5], [-0.4, 0.2]])})
def boosted_stumps(p):
    side = (p["cut"][None] < ITEMS).astype(int)
    vote = p["leaf"][jnp.arange(3)[None], side]  #: jumps
    return jnp.mean((RATING - jnp.sum(vote, axis=1)) ** 2) + 0.05 * jnp.sum(p["leaf"] ** 2)


@case(np.array([0.2, -0.1]))
def rule_list(cut):
    """If, else if, else: three answers that are fixed."""
    a, b = ITEMS[:, 0] > cut[0], ITEMS[:, 1] < cut[1]  #: flat
    p = jnp.where(a, 0.8, jnp.where(b, 0.3, 0.5))
    return -jnp.mean(CLICKED * jnp.log(p) + (1.0 - CLICKED) * jnp.log1p(-p)) + 0.01 * jnp.sum(cut**2)


@case(np.array([0.1, -0.4, 0.5, 0.3, -0.2, 0.0, 0.2]))
def down_the_tree(cut):
    """A tree of depth three in an array; the leaves are fixed."""

    def answer(row):
        def level(_, node):
            right = row[FEATURE[node]] > cut[node]  #: flat
            return 2 * node + 1 + right

        return LEAF[jax.lax.fori_loop(0, 3, level, 0) - 7]

    return jnp.mean((jax.vmap(answer)(ITEMS) - RATING) ** 2) + 0.05 * jnp.sum(cut**2)


@case(0.5 * K3)
def weighted_neighbors(w):
    """Three neighbors in a learned metric, each by its closeness."""
    z = ITEMS * jnp.exp(w)[None]
    d = jnp.sum((z[:6, None] - z[None, 6:]) ** 2, axis=-1)
    closeness, who = jax.lax.top_k(jnp.exp(-d), 3)  #: jumps
    guess = jnp.sum(closeness * RATING[6:][who], axis=1) / (jnp.sum(closeness, axis=1) + 1e-3)
    return jnp.mean((guess - RATING[:6]) ** 2) + 0.1 * jnp.sum(w**2)


@case(0.7 * K6)
def one_round_of_lloyd(c):
    """The new centers are means of fixed points, whatever moved the old ones."""
    old = c.reshape(3, 2)
    nearest = jnp.argmin(jnp.sum((ITEMS[:, None, :2] - old[None]) ** 2, axis=-1), axis=1)  #: flat
    hot = jax.nn.one_hot(nearest, 3)
    new = hot.T @ ITEMS[:, :2] / (jnp.sum(hot, axis=0)[:, None] + 1e-6)
    return jnp.mean(jnp.sum((ITEMS[:, :2] - new[nearest]) ** 2, axis=-1)) + 0.05 * jnp.sum(c**2)


@case(0.8 * K12)
def attention_to_the_best_two(x):
    """All but the two largest scores are masked."""
    h = x.reshape(4, 3)
    scores = jnp.einsum("id,jd->ij", h, CONTEXT[:5])
    second = jax.lax.top_k(scores, 2)[0][:, -1:]
    masked = jnp.where(scores >= second, scores, -1e9)  #: jumps
    return jnp.mean((jax.nn.softmax(masked, axis=-1) @ CONTEXT[:5]) ** 2) + 0.05 * jnp.sum(x**2)


@case(K6)
def four_bit_weights(w):
    """Whole numbers times a scale that is learned beside them."""
    scale = 0.2 * jnp.exp(0.3 * w[3:])
    code = jnp.clip(jnp.round(w[:3] / scale), -8, 7)  #: flat
    return jnp.mean((ITEMS @ (code * scale) - RATING) ** 2) + 0.05 * jnp.sum(w**2)


@case(K3)
def straight_through(w):
    """Rounded forward; backward as if it were not."""
    q = w + jax.lax.stop_gradient(jnp.round(4.0 * w) / 4.0 - w)  #: flat
    return jnp.mean((ITEMS @ q - RATING) ** 2)


@case(K8)
def pruned_by_size(w):
    """The four largest weights stay."""
    keep = jnp.abs(w) >= jnp.sort(jnp.abs(w))[-4]  #: jumps
    v = w * keep
    return jnp.mean((jnp.tanh(ITEMS @ v[:3] + v[6]) * v[3] + ITEMS[:, 1] * v[4] + v[5] + v[7] - RATING) ** 2)


@case(over(descend.Real(6, start=K6)))
def network_with_dropout(w, *, key):
    keep = jax.random.bernoulli(key, 0.7, (24, 2)) / 0.7  #: stochastic
    hidden = jax.nn.relu(ITEMS @ w.reshape(3, 2)) * keep  #: kinked
    return jnp.mean((jnp.sum(hidden, axis=1) - RATING) ** 2) + 0.05 * jnp.sum(w**2)


@case(over(descend.Real(4, start=0.4 * K4)), "smooth")
def evidence_bound(x, *, key):
    """A draw around a mean, the error of what is decoded, and the divergence."""
    mean, spread = x[:2], jnp.exp(0.5 * x[2:])
    z = mean + spread * jax.random.normal(key, (2,))  #: stochastic
    decoded = jnp.tanh(CONTEXT[:, :2] @ z)
    divergence = 0.5 * jnp.sum(spread**2 + mean**2 - 1.0 - x[2:])
    return jnp.mean((decoded - CONTEXT[:, 2]) ** 2) + 0.1 * divergence + 0.05 * jnp.sum(x**2)


@case(over(descend.Real(3, start=0.4 * K3)))
def walk_in_a_corridor(theta, *, key):
    """A policy of steps to the left and right; the reward is at one end."""

    def turn(place, k):
        right = jax.random.uniform(k) < jax.nn.sigmoid(theta[0] + theta[1] * place)  #: stochastic #: flat
        place = jnp.clip(place + jnp.where(right, 0.25, -0.25), -1.0, 1.0)
        return place, place

    _, path = jax.lax.scan(turn, jnp.asarray(0.0), jax.random.split(key, 12))
    return -jnp.mean(path) + 0.1 * jnp.sum(theta**2)


@case(0.5 * K4)
def temporal_difference(w):
    """The target is held fixed, although it moves with the weights."""
    h = jnp.tanh(CONTEXT @ w[:3] + w[3])
    target = CONTEXT[:-1, 0] + 0.9 * jax.lax.stop_gradient(h[1:])  #: flat
    return jnp.mean((h[:-1] - target) ** 2) + 0.05 * jnp.sum(w**2)


@case(0.4 * K3)
def clipped_surrogate(theta):
    ratio = jnp.exp(0.5 * ITEMS @ theta)
    gain = jnp.minimum(ratio * RATING, jnp.clip(ratio, 0.8, 1.2) * RATING)  #: kinked
    return -jnp.mean(gain) + 0.1 * jnp.sum(theta**2)


@case(np.array([-0.4, 0.5]))
def steps_until_fit(x):
    """Trains until the error is small; the error on other rows is what is told."""
    rate = 0.15 * jnp.exp(x[0])

    def error(w):
        return jnp.mean((ITEMS[:16] @ w - RATING[:16]) ** 2)

    def unfit(state):
        w, i = state
        return (error(w) > 0.45) & (i < 40)

    def train(state):
        w, i = state
        return w - rate * jax.grad(error)(w), i + 1

    w, _ = jax.lax.while_loop(unfit, train, (x[1] * jnp.array([-1.0, 1.0, 1.0]), 0))  #: jumps
    return jnp.mean((ITEMS[16:] @ w - RATING[16:]) ** 2) + 0.1 * jnp.sum(x**2)


@case(0.6 * K9)
def beam_of_two(x):
    """Two hypotheses stay after each frame; how they go on depends on their last word."""
    change = 2.0 * x.reshape(3, 3)

    def frame(state, heard):
        score, last = state
        total = score[:, None] + change[last] + heard[None]  #: jumps
        score, place = jax.lax.top_k(total.reshape(-1), 2)  #: kinked
        return (score, place % 3), None

    (score, _), _ = jax.lax.scan(frame, (jnp.array([0.0, -1.0]), jnp.array([0, 1], jnp.int32)), FRAMES)
    return -score[0] + 0.3 * jnp.sum(x**2)


@case(0.6 * K9)
def decoded_states(x):
    """The best path, traced back, against the states that were; nothing but the errors counts."""
    heard = CONTEXT @ x.reshape(3, 3)
    stay = 0.4 * jnp.eye(3)

    def forward(score, frame):
        total = score[:, None] + stay
        origin = jnp.argmax(total, axis=0)  #: flat
        return jnp.max(total, axis=0) + frame, origin

    score, origins = jax.lax.scan(forward, heard[0], heard[1:])
    last = jnp.argmax(score)  #: flat

    def back(state, origin):
        return origin[state], state

    _, path = jax.lax.scan(back, last, origins, reverse=True)
    return jnp.mean(path != TOPIC[1:12]) + 0.02 * jnp.sum(x**2)


@case(0.5 * K9, "smooth")
def forward_algorithm(x):
    """log(sum(exp)) by hand; the largest is taken out first and put back."""
    change = jax.nn.log_softmax(x.reshape(3, 3), axis=1)

    def step(score, frame):
        total = score[:, None] + change
        top = jnp.max(total, axis=0)
        return top + jnp.log(jnp.sum(jnp.exp(total - top[None]), axis=0)) + frame, None

    score, _ = jax.lax.scan(step, FRAMES[0], FRAMES[1:])
    top = jax.lax.stop_gradient(jnp.max(score))
    return -top - jnp.log(jnp.sum(jnp.exp(score - top))) + 0.1 * jnp.sum(x**2)


@case(K6)
def recurrent_with_hard_gates(w):
    def step(h, u):
        gate = jnp.clip(0.5 + 1.5 * (w[0] * h + w[1] * u + w[2]), 0.0, 1.0)  #: kinked
        h = gate * h + (1.0 - gate) * jnp.tanh(w[3] * h + w[4] * u + w[5])
        return h, h

    _, path = jax.lax.scan(step, jnp.asarray(0.1), WAVE)
    return jnp.mean((path[:-1] - 0.5 * WAVE[1:]) ** 2) + 0.05 * jnp.sum(w**2)


@case(0.7 * K4)
def hard_mixture(x):
    """Each point to the component that explains it best, and no share to the other."""
    log_p = -0.5 * (RATING[:, None] - x[None, :2]) ** 2 * jnp.exp(-2.0 * x[None, 2:]) - x[None, 2:]
    share = jax.nn.one_hot(jnp.argmax(log_p, axis=1), 2)  #: kinked
    return -jnp.mean(jnp.sum(share * log_p, axis=1)) + 0.3 * jnp.sum(x**2)


@case(np.array([0.4, -0.3, 0.2, 0.1]), "smooth")
def huber_with_a_width(x):
    """The width is learned too; the two sides meet with one slope in all variables."""
    width = 0.2 + jax.nn.softplus(x[3])
    e = RATING - ITEMS @ x[:3]
    size = jnp.abs(e)
    return jnp.mean(jnp.where(size < width, 0.5 * e**2 / width, size - 0.5 * width)) + 0.1 * jnp.sum(x**2)


@case(K8, "smooth")
def moments_of_sorted_scores(x):
    """Sorted for a plot; all places count alike."""
    s = jnp.sort(x)
    center = jnp.mean(s)
    return jnp.mean((s - center) ** 2) + 0.2 * jnp.mean(s**4) + jnp.cos(center)


@case(K3, "smooth")
def loss_beside_a_report(w):
    z = ITEMS @ w
    loss = jnp.mean(jnp.maximum(z, 0.0) - z * CLICKED + jnp.log1p(jnp.exp(-jnp.abs(z))))
    report = {"accuracy": jnp.mean(jnp.round(jax.nn.sigmoid(z)) == CLICKED), "loss": loss + 0.05 * jnp.sum(w**2)}
    return report["loss"]


@case(K4, "smooth")
def pooled_over_one(x):
    """Windows of one entry, and a running maximum of what only grows."""
    h = jnp.max(jnp.tanh(x).reshape(4, 1), axis=1)
    grown = jax.lax.cummax(jnp.cumsum(jnp.exp(h)))
    return jnp.sum((grown - 2.0) ** 2) / 4 + 0.1 * jnp.sum(x**2)


@case(np.array([0.8, 1.1]))
def spectral_denoising(x):
    """Coefficients that are too small go; the threshold is learned with a gain."""
    f = jnp.fft.rfft(WAVE * x[1])
    strong = jnp.abs(f) > 3.0 * x[0] ** 2
    clean = jnp.fft.irfft(jnp.where(strong, f, 0.0))  #: jumps
    return jnp.mean((clean - jnp.sin(jnp.linspace(0.0, 12.0, 32))) ** 2) + 0.05 * jnp.sum(x**2)


@case(K4)
def rounded_with_its_own_rule(x):
    """A custom rule gives the rounding the slope of the identity."""

    @jax.custom_vjp
    def coarse(v):
        return jnp.round(3.0 * v) / 3.0  #: flat

    coarse.defvjp(lambda v: (coarse(v), None), lambda _, g: (g,))
    return jnp.sum((coarse(x) - 0.4) ** 2)


@case(K4, "smooth")
def softplus_with_its_own_rule(x):
    """The rule is the true derivative."""

    @jax.custom_vjp
    def softplus(v):
        return jnp.maximum(v, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(v)))

    softplus.defvjp(lambda v: (softplus(v), v), lambda v, g: (g * jax.nn.sigmoid(v),))
    return jnp.sum(softplus(2.0 * x)) - jnp.sum(x) + 0.3 * jnp.sum(x**2)


@case(0.8 * K12)
def best_expert_only(x):
    """Each row goes to one of two experts, by the larger gate."""
    gate = jax.nn.softmax(ITEMS @ x[:6].reshape(3, 2), axis=1)
    opinions = jnp.tanh(ITEMS @ x[6:].reshape(3, 2))
    chosen = jnp.argmax(gate, axis=1)[:, None]
    answer = jnp.take_along_axis(gate * opinions, chosen, axis=1)[:, 0]  #: jumps
    return jnp.mean((answer - RATING) ** 2) + 0.05 * jnp.sum(x**2)


@case(np.array([0.5, 0.1]))
def suppressed_boxes(x):
    """Boxes that overlap a better one too much are dropped; those that stay are counted by their worth."""
    corner = BOXES[:, :2] * (1.0 + 0.3 * x[1])
    far = corner + BOXES[:, 2:]
    side = jnp.maximum(jnp.minimum(far[:, None], far[None]) - jnp.maximum(corner[:, None], corner[None]), 0.0)
    both = side[..., 0] * side[..., 1]
    area = jnp.prod(BOXES[:, 2:], axis=1)
    close = both / (area[:, None] + area[None] - both) > 0.4 * x[0]  #: flat

    def visit(i, keep):
        return keep.at[i].set(~jnp.any(close[i] & keep & (jnp.arange(10) < i)))

    keep = jax.lax.fori_loop(0, 10, visit, jnp.zeros(10, bool))
    return -jnp.sum(keep * jnp.linspace(1.0, 0.2, 10)) + 0.3 * jnp.sum(x**2)


@case(np.concatenate([K6, [0.3]]))
def warped_distance(x):
    """Dynamic time warping of six values against a motif."""
    cost = jnp.abs(x[:6, None] * jnp.exp(x[6]) - MOTIF[None])  #: kinked

    def row(above, now):
        def cell(left, inputs):
            up, corner, c = inputs
            best = c + jnp.minimum(jnp.minimum(left, up), corner)  #: kinked
            return best, best

        _, line = jax.lax.scan(cell, jnp.asarray(1e3), (above[1:], above[:-1], now))
        return jnp.concatenate([jnp.array([1e3]), line]), None

    start = jnp.concatenate([jnp.zeros(1), jnp.full(6, 1e3)])
    last, _ = jax.lax.scan(row, start, cost)
    return last[-1] / 6 + 0.1 * jnp.sum(x**2)


@case(K6)
def sparse_attention_weights(x):
    """Projected on the simplex: by the sorted scores, how many share is found, and what is taken off."""
    z = jnp.sort(2.0 * x)[::-1]
    held = jnp.cumsum(z) - 1.0
    size = jnp.sum(jnp.arange(1.0, 7.0) * z > held).astype(int)  #: kinked
    p = jax.nn.relu(2.0 * x - held[size - 1] / size)  #: kinked
    return p @ jnp.array([1.0, -0.5, 0.3, 0.8, -0.2, 0.1]) + 0.1 * jnp.sum(x**2)


@case(np.array([0.2, 0.6]))
def likelihood_with_a_free_width(x):
    """Nothing keeps the width above zero."""
    return jnp.mean((RATING - x[0]) ** 2) / (0.1 + x[1] ** 2) + jnp.log(x[1])  #: non-finite


@case(K3)
def mean_of_the_passed(w):  #: black-box
    """How many pass is not known before the values are."""
    s = ITEMS @ w
    return jnp.mean(s[s > 0.0]) + 0.1 * jnp.sum(w**2)


@case(np.array([0.3, 0.5]), "smooth")
def tuned_ridge(x):
    """The inner weights by Newton's steps until they rest, the error on other rows outside."""
    decay = jnp.exp(x[0] - 1.0)

    def slope(w):
        return ITEMS[:16].T @ (jax.nn.sigmoid(ITEMS[:16] @ w + x[1]) - CLICKED[:16]) / 16 + decay * w

    def step(state):
        w, _ = state
        return w - jnp.linalg.solve(jax.jacfwd(slope)(w), slope(w)), w

    w, _ = jax.lax.while_loop(  #: nested
        lambda s: jnp.max(jnp.abs(s[0] - s[1])) > 1e-9, step, (jnp.zeros(3), jnp.ones(3))
    )
    return jnp.mean(jax.nn.softplus(-SIGNS[16:] * (ITEMS[16:] @ w))) + 0.1 * jnp.sum(x**2)
