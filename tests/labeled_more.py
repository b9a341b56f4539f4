"""More labeled objectives: machine learning, operations, signal processing, simulators."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.labeled import case, over

rng = np.random.default_rng(7)
W = jnp.asarray(rng.normal(size=(30, 6)))
Y = jnp.asarray(rng.normal(size=30))
CITIES = jnp.asarray(rng.uniform(size=(7, 2)))
PRICES = jnp.asarray(rng.uniform(1, 3, size=12))
Q2, Q4, Q6, Q12, Q100 = (rng.normal(size=n) for n in (2, 4, 6, 12, 100))

# --- smooth


@case(Q6, "smooth")
def logistic_regression(w):
    margin = jnp.where(Y > 0, 1.0, -1.0) * (W @ w)
    return jnp.mean(jnp.logaddexp(0.0, -margin)) + 0.05 * jnp.sum(w**2)


@case(Q4, "smooth")
def attention(x):
    scores = jnp.outer(x, x)
    weights = jax.nn.softmax(scores, axis=-1)
    return jnp.sum((weights @ x) ** 2) + jnp.sum(x**2)


@case(Q4, "smooth")
def gelu_net(x):
    return jnp.mean((jax.nn.gelu(W[:, :4] @ x) - Y) ** 2) + 0.1 * jnp.sum(jax.nn.silu(x))


@case(Q4, "smooth")
def pseudo_huber(x):
    return jnp.sum(jnp.sqrt(1 + x**2) - 1)


@case({"a": Q2, "b": np.float64(0.3)}, "smooth")
def tree_argument(p):
    return jnp.sum((p["a"] - p["b"]) ** 2) + p["b"] ** 4 + jnp.sum(p["a"] ** 2)


@case(Q6, "smooth")
def cubic_spline(x):
    return jnp.sum(jnp.maximum(x, 0.0) ** 3) + jnp.sum(x**2)


@case(Q4, "smooth")
def integrate(x):
    def step(state, _):
        position, speed = state
        speed = speed - 0.05 * jnp.sin(position)
        return (position + 0.05 * speed, speed), position

    (end, _), path = jax.lax.scan(step, (x[:2], x[2:]), None, length=50)
    return jnp.sum(end**2) + jnp.mean(path**2)


@case(Q4 * 0.2, "smooth")
def linear_solve(x):
    m = jnp.eye(4) * 5 + jnp.outer(x, x)
    return jnp.sum(jnp.linalg.solve(m, jnp.ones(4)) ** 2) + jnp.sum(x**2)


@case(Q6, "smooth")
def double_where(x):
    safe = jnp.where(x > 0, x, 1.0)
    y = jnp.where(x > 0, x**2 * jnp.log1p(safe) * 0 + x**2, x**2)
    return jnp.sum(y)


@case(Q100, "smooth")
def long_smooth(x):
    return jnp.sum(jnp.log1p(jnp.exp(-x))) + jnp.sum(jnp.cosh(0.1 * x))


@case(Q6, "smooth")
def logsumexp(x):
    return jax.nn.logsumexp(3 * x) + jnp.sum(x**2)


# --- kinked


@case(Q6)
def hinge(w):
    losses = jnp.maximum(0.0, 1 - Y * (W @ w))  #: kinked
    return jnp.mean(losses) + 0.1 * jnp.sum(w**2)


@case(Q6)
def pinball(w):
    r = Y - W @ w
    return jnp.mean(jnp.maximum(0.3 * r, -0.7 * r)) + 0.01 * jnp.sum(w**2)  #: kinked


@case(Q12)
def total_variation(x):
    rough = jnp.abs(jnp.diff(x)).sum()  #: kinked
    return rough + jnp.sum((x - 1) ** 2)


@case(Q4)
def chebyshev(x):
    return jnp.linalg.norm(x, ord=jnp.inf) + jnp.sum((x - 0.3) ** 2)  #: kinked


@case(Q12)
def max_pool(x):
    pooled = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (3,), (3,), "VALID")  #: kinked
    return jnp.sum((pooled - 0.4) ** 2) + jnp.sum(x**2)


@case(Q12)
def best_three(x):
    best, _ = jax.lax.top_k(x, 3)  #: kinked
    return -jnp.sum(best) + jnp.sum(x**2)


@case(Q12)
def nested_helper(x):
    def soft_threshold(v, level):
        return jnp.sign(v) * jax.nn.relu(jnp.abs(v) - level)  #: kinked

    return jnp.sum((soft_threshold(x, 0.3) - 0.5) ** 2)


@case(Q4)
def leaky(x):
    return jnp.sum(jax.nn.leaky_relu(x) ** 2 + jax.nn.elu(x, alpha=2.0))  #: kinked


@case(np.array([0.3, -0.4]))
def interpolated(x):
    y = jnp.interp(x, jnp.linspace(-2.0, 2.0, 6), jnp.array([1.0, 0.0, 2.0, 1.0, 3.0, 0.0]))  #: kinked
    return jnp.sum(y**2)


@case(over({"buy": descend.Real(12, 0.0, 3.0), "level": descend.Real(lower=0.0, upper=5.0)}))
def storage(v):
    def day(level, inputs):
        amount, price = inputs
        overflow = jnp.maximum(level + amount - 5.0, 0.0)  #: kinked
        return level + amount - overflow - 0.5, price * amount + 10 * overflow

    _, costs = jax.lax.scan(day, v["level"], (v["buy"], PRICES))
    return jnp.sum(costs) + v["level"] ** 2


# --- flat


@case(Q6 * 0.3)
def zero_one_loss(w):
    wrong = (W @ w) * Y < 0  #: flat
    return wrong.mean()


@case(Q4)
def heaviside(x):
    return jnp.sum(jnp.heaviside(x, 0.5) * jnp.arange(1.0, 5.0))  #: flat


@case(Q12)
def quantized_network(w):
    scale = 8.0
    q = jnp.clip(jnp.round(w * scale), -127, 127) / scale  #: flat
    return jnp.mean((W[:, :6] @ q[:6] + q[6:].sum() - Y) ** 2)


@case(Q12)
def one_hot_choice(x):
    choice = jax.nn.one_hot(jnp.argmax(x), 12)  #: flat
    return choice @ PRICES


@case(Q6)
def histogram(x):
    bins = jnp.digitize(x, jnp.array([-1.0, 0.0, 1.0]))  #: flat
    return jnp.sum(jnp.bincount(bins, length=4) ** 2) * 1.0


@case(Q6 * 1.0)
def tour(x):
    order = jnp.argsort(x)  #: flat
    return jnp.sum(jnp.linalg.norm(CITIES[order] - CITIES[jnp.roll(order, 1)], axis=1) ** 2)


@case(Q4)
def loop_count(x):
    def halve(state):
        value, count = state
        return value / 2, count + 1

    _, count = jax.lax.while_loop(lambda s: s[0] > 0.01, halve, (jnp.sum(x**2), 0))  #: flat
    return count * 1.0


@case(Q4)
def ceil_price(x):
    return jnp.sum(jnp.ceil(jnp.abs(x) * 2) * 1.5)  #: flat


# --- jumps


@case(Q4)
def fixed_charge(x):
    use = jnp.sum(x**2)
    return jnp.where(use > 1.5, use + 2.0, 0.5 * use)  #: jumps


@case(Q4)
def wrapped_angle(x):
    angle = (jnp.sum(x) + jnp.pi) % (2 * jnp.pi) - jnp.pi  #: jumps
    return angle + jnp.sum(x**2)


@case(Q6)
def nearest_price(x):
    which = jnp.argmin(jnp.abs(x[0] - jnp.array([-1.0, 0.0, 1.0])))
    return (x[1:4] ** 2 + jnp.arange(3.0))[which] + jnp.sum(x**2)  #: jumps


@case(Q4, thorough=("unbounded",))
def switched(x):
    mode = jnp.clip((2 * x[0] + 1).astype(int), 0, 2)
    costs = [lambda v: jnp.sum(v**2), lambda v: 2 + jnp.sum(v), lambda v: 5.0 - v[1]]
    return jax.lax.switch(mode, costs, x)  #: jumps


# --- random


@case(over(descend.Real(4, start=Q4)), "smooth")
def random_rows(x, *, key):
    rows = jax.random.choice(key, 30, (8,))  #: stochastic
    return jnp.mean((W[rows][:, :4] @ x - Y[rows]) ** 2)


@case(over(descend.Real(3, start=0.3 * Q4[:3])))
def policy(logits, *, key):
    action = jax.random.categorical(key, logits)  #: stochastic #: flat
    return jnp.array([1.0, -2.0, 0.5])[action]


# --- not finite


@case(Q4)
def entropy(x):
    p = x / jnp.sum(x)
    return jnp.sum(p * jnp.log(p))  #: non-finite


@case(over(descend.Simplex(4)), "smooth")
def interior_entropy(p):
    return jnp.sum((p + 0.01) * jnp.log(p + 0.01))


@case(np.zeros(3), "kinked")
def root(x):
    y = x**2
    return jnp.sum(jnp.sqrt(y))  #: non-finite


# --- discrete, constrained


@case(over(descend.Binary(6), descend.at_most(lambda x: jnp.sum(x), 20.0)), "discrete", "smooth")
def knapsack(x):
    return -jnp.sum(PRICES[:6] * x) + 0.1 * jnp.sum(x) ** 2


def rounded_weight(x):
    return jnp.sum(jnp.round(x))  #: flat


@case(over(descend.Real(4, start=Q4), descend.at_most(rounded_weight, 50.0)), "smooth", helpers=(rounded_weight,))
def flat_constraint(x):
    return jnp.sum((x - 1) ** 2)


# --- black boxes


@case(Q4)
def simulator(x):  #: black-box
    state = 0.0
    for value in np.asarray(x):
        state = 0.9 * state + float(value) ** 2
    return state


@case(Q4)
def callback(x):
    y = jax.pure_callback(lambda v: np.asarray(v) ** 2, jax.ShapeDtypeStruct(x.shape, x.dtype), x)  #: black-box
    return jnp.sum(y)


@case(Q4)
def threshold_counter(x):  #: black-box #: flat
    return float(sum(1 for v in np.asarray(x) if v > 0.1))
