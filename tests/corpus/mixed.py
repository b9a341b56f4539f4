"""Programs from many fields, written after the reader and labeled before it saw them."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.helpers import lots, soft_threshold
from tests.corpus.label import case, over

rng = np.random.default_rng(21)
M2, M3, M4, M6 = (rng.normal(size=n) for n in (2, 3, 4, 6))
SITES = jnp.asarray(rng.normal(size=(5, 2)))
DOSES = jnp.asarray(rng.uniform(0.2, 1.0, 12))
GRID = jnp.linspace(-3.0, 3.0, 13)


@case(M4)
def two_warehouses(x):
    """Each customer goes to the nearer of two warehouses."""
    d = jnp.sqrt(jnp.sum((SITES[:, None] - x.reshape(2, 2)[None]) ** 2, -1) + 0.01)
    return jnp.sum(jnp.minimum(d[:, 0], d[:, 1]))  #: kinked


@case(np.array([0.8, 0.3]))
def drug_level(x):
    def hour(level, dose):
        level = 0.7 * level + x[0] * dose
        toxic = level > 1.5  #: flat
        return level, toxic * 1.0 + (level - 1.0) ** 2 + x[1] ** 2

    _, harm = jax.lax.scan(hour, 0.0, DOSES)
    return jnp.sum(harm)


@case(np.array([0.4, 1.2]), "smooth")
def spring_energy(x):
    def step(_, s):
        force = -s[0] - 0.1 * s[0] ** 3 - x[1] * s[1]
        return jnp.stack([s[0] + 0.1 * s[1], s[1] + 0.1 * force])

    end = jax.lax.fori_loop(0, 30, step, jnp.stack([x[0], jnp.asarray(0.5)]))
    return end @ end + 0.1 * x @ x


@case(M3)
def one_sided_loss(x):
    error = x - 0.2
    return jnp.sum(jnp.where(error > 0, 3.0 * error, -error))  #: kinked


@case(M3, "smooth")
def squared_both_sides(x):
    return jnp.sum(jnp.where(x > 0.0, 2 * x**2, 5 * x**2))


@case(M6)
def sorted_gaps(x):
    gaps = jnp.diff(jnp.sort(x))  #: kinked
    return jnp.sum((gaps - 0.5) ** 2) + 0.1 * jnp.sum(x**2)


@case(np.array([1.3, 2.2]))
def whole_packs(x):
    packs = jnp.ceil(x * 2.0)  #: flat
    return jnp.sum(packs * jnp.array([1.0, 2.0])) + jnp.sum((x - 1.5) ** 2)


@case(M3)
def day_of_week(x):
    phase = jnp.remainder(3 * x, 7.0)  #: jumps
    return jnp.sum(phase) + jnp.sum(x**2)


@case(0.5 * M4, helpers=(soft_threshold, lots))
def helper_chain(x):
    return jnp.sum((soft_threshold(x[:2], 0.2) - 0.5) ** 2) + jnp.sum((lots(x[2:], 0.5) - 0.1) ** 2)


@case(M3)
def cheapest_supplier(x):
    prices = jnp.stack([jnp.sum(x**2), 2.0 + x[0], 1.5 - x[1] + x[2] ** 2])
    return jnp.min(prices) + 0.2 * jnp.sum(x**2)  #: kinked


@case(M2)
def cheapest_by_list_price(x):
    """The list price decides, another is paid."""
    listed = jnp.array([1.0, 1.2]) + x
    pick = jnp.argmin(listed)
    return (listed * jnp.array([1.0, 3.0]))[pick] + jnp.sum(x**2)  #: jumps


@case(np.array([0.2, 0.7]))
def votes_won(x):
    share = jax.nn.sigmoid(SITES @ x)
    won = share > 0.5  #: flat
    return -jnp.sum(won).astype(float)


@case(np.array([0.5, 0.4]), "smooth")
def table_of_constants(x):
    order = jnp.argsort(GRID[::-1])
    return jnp.sum(jnp.cos(GRID[order] * x[0])) + jnp.sum(x**2)


@case(M3, "smooth")
def stable_softplus(x):
    return jnp.sum(jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))) + jnp.sum(x**2)


@case(M3, "smooth")
def stable_distance(x):
    d = x[None] - jnp.array([[0.1, 0.2, 0.3], [1.0, 0.0, -1.0]])
    r2 = jnp.sum(d**2, axis=1)
    return jnp.sum(jnp.sqrt(jnp.where(r2 > 0, r2, 1.0)))


@case(over(descend.Real(3, start=M3)))
def noisy_threshold(x, *, key):
    z = jax.random.normal(key, (3,))  #: stochastic
    return jnp.mean((x + z > 0.2).astype(float))  #: flat


@case(over(descend.Real(2, start=np.array([0.3, 0.5]))), "smooth")
def noisy_quadratic(x, *, key):
    noise = jax.random.uniform(key, (2,), minval=-1, maxval=1)  #: stochastic
    return jnp.sum((x - 0.1 * noise) ** 2)


@case(M3)
def python_condition(x):  #: black-box
    return float(x[0] ** 2 if x[0] > x[1] else x[1] ** 2) + float(x[2])


@case(np.array([0.9, 0.4]))
def square_root_inverse(x):
    def go_on(s):
        return jnp.abs(s[0] ** 2 * s[1] - 1.0) > 1e-7

    def improve(s):
        return 0.5 * s[0] * (3.0 - s[1] * s[0] ** 2), s[1]

    y, _ = jax.lax.while_loop(go_on, improve, (jnp.asarray(0.5), jnp.exp(x[0])))  #: nested
    return y + jnp.abs(x[1] - 0.3)  #: kinked


@case(over(descend.Real(2, start=np.array([0.2, 0.1]), scale=0.05)))
def circle_map(x):
    def turn(a, _):
        return 2.0 * a + 0.4 * jnp.sin(a) + 0.01 * x[1], None

    end, _ = jax.lax.scan(turn, x[0], None, length=60)  #: chaotic
    return jnp.sin(end) + x[1] ** 2


@case(np.array([0.4, 1.6]))
def log_of_difference(x):
    return -jnp.log(x[1] - x[0]) + jnp.sum(x**2)  #: non-finite


@case(M6)
def fused(x):
    m = x.reshape(2, 3)
    return jnp.sum(jnp.abs(m[0] - m[1])) + jnp.sum(jnp.max(m, axis=1)) + jnp.sum(m**2)  #: kinked


@case(M4)
def clipped_gradient_norm(x):
    size = jnp.sqrt(jnp.sum(x**2) + 1e-6)
    return jnp.sum((x * jnp.minimum(1.0, 1.0 / size) - 0.4) ** 2)  #: kinked


@case(M4, "smooth")
def gated(x):
    gate = jax.nn.sigmoid(20 * x[:2])
    return jnp.sum(gate * x[2:] ** 2 + (1 - gate)) + 0.1 * jnp.sum(x**2)
