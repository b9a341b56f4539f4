"""Python and NumPy in objectives, side effects, draws with keys, numbers that are not finite."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

import descend
from tests.corpus.label import case, over

rng = np.random.default_rng(17)
K2, K3, K4 = (rng.normal(size=n) for n in (2, 3, 4))
HILLY = jnp.asarray(np.array([1e4, 1.0, 1.0]))
SEEN: list[int] = []
SAMPLES = jnp.asarray(rng.normal(size=(30, 3)))


@case(K3)
def math_module(x):  #: black-box
    return math.sin(x[0]) + float(x[1]) ** 2 + math.exp(x[2])


@case(np.array([2.5, 0.3]))
def python_loop(x):  #: black-box
    total = 0.0
    for i in range(int(x[0])):
        total = total + x[1] * i
    return float(total + x[0] ** 2)


@case(K2)
def solved_outside(x):  #: black-box
    return float(scipy.optimize.brentq(lambda y: y**3 + y - x[0] - x[1] ** 2, -5.0, 10.0))


@case(K3, "smooth")
def prints(x):
    print("evaluating", x.shape, end="\r")
    SEEN.append(1)
    return jnp.sum((x - 1) ** 2)


@case(K3, "smooth")
def debugged(x):
    jax.debug.callback(lambda v: None, x[0])
    return jnp.sum(jnp.cos(x)) + jnp.sum(x**2)


@case(K3)
def python_maximum(x):  #: black-box
    return max(float(x[0]), float(x[1])) + float(x[2]) ** 2


@case(K3)
def numpy_sorted(x):  #: black-box
    return float(np.sort(np.asarray(x))[0] + np.sum(np.asarray(x) ** 2))


@case(np.array([0.6, 0.5]))
def outside_the_circle(x):
    return jnp.sqrt(1.0 - jnp.sum(x**2)) * -1.0  #: non-finite


@case(K4)
def log_of_relu(x):
    return -jnp.sum(jnp.log(jax.nn.relu(x))) + jnp.sum(x**2)  #: non-finite


@case(np.zeros(2))
def direction_of_nothing(x):
    unit = x / jnp.sqrt(jnp.sum(x**2))  #: non-finite #: jumps
    return unit[0] + jnp.sum((x - 1) ** 2)


@case(np.array([0.5, 0.9]))
def arc(x):
    return jnp.sum(jnp.arccos(x)) + jnp.sum(x**2)  #: non-finite


@case(np.array([0.3, -0.2, 0.1]))
def overflowing(x):
    return jnp.sum(jnp.exp(1000.0 * x)) + jnp.sum(x**2)  #: non-finite


@case(np.array([0.3, -0.8, 0.5]))
def guarded_log(x):
    safe = jnp.where(x > 0.1, x, 0.1)  #: kinked
    return -jnp.sum(jnp.log(safe)) + jnp.sum(x**2)


@case(over(descend.Real(3, start=0.3 * K3)))
def walk(p, *, key):
    def step(level, k):
        up = jax.random.uniform(k) < jax.nn.sigmoid(p[0])  #: stochastic #: flat
        return level + jnp.where(up, 1.0, -1.0), None

    level, _ = jax.lax.scan(step, 0.0, jax.random.split(key, 10))
    return level**2


@case(over(descend.Real(2, start=np.array([0.5, 0.2]))))
def shop(x, *, key):
    customers = jax.random.poisson(key, jnp.exp(x[0]))  #: stochastic #: flat
    return -0.5 * customers


@case(over(descend.Real(2, start=np.array([0.5, 0.2]))), "smooth")
def gamma_prior(x, *, key):
    draw = jax.random.gamma(key, jnp.exp(x[0]), (10,))  #: stochastic
    return jnp.mean((draw - 1.5) ** 2) + x[1] ** 2


@case(over(descend.Real(3, start=K3)), "smooth")
def shuffled_batch(w, *, key):
    rows = jax.random.permutation(key, 30)[:8]  #: stochastic
    return jnp.mean((SAMPLES[rows] @ w - 1.0) ** 2)


@case(over(descend.Real(3, start=K3)))
def noisy_hinge(w, *, key):
    noise = 0.1 * jax.random.normal(key, (30,))  #: stochastic
    return jnp.mean(jnp.maximum(0.0, 1.0 - SAMPLES @ w + noise)) + 0.1 * jnp.sum(w**2)  #: kinked


@case(over(descend.Real(3, start=0.3 * K3)))
def evolution_step(p, *, key):
    u = jax.random.uniform(key, (3,))  #: stochastic
    alive = u < jax.nn.sigmoid(p)  #: flat
    return -jnp.sum(alive * jnp.array([1.0, 2.0, 3.0]))


@case(K3, "smooth", thorough=("ill-conditioned",))
def badly_scaled(x):
    return jnp.sum((HILLY * x - 1.0) ** 2)


@case(K4, "smooth", thorough=("underdetermined",))
def only_differences(x):
    return jnp.sum((jnp.diff(x) - 0.5) ** 2)


@case(K4, "smooth", thorough=("unbounded",))
def runaway(x):
    return jnp.sum(x[:3] ** 2) - 2.0 * x[3]


@case(over(descend.Choice(3), descend.at_most(lambda c: c[0], 5.0)), "discrete", "smooth")
def pick_one(c):
    return c @ jnp.array([1.0, 3.0, 2.0]) + jnp.sum(c**2)


@case(over(descend.Real(2, start=np.array([0.0, 0.5]), lower=0.0, upper=1.0)), "smooth", "constrained")
def in_a_corner(x):
    return jnp.sum((x - 0.7) ** 2)
