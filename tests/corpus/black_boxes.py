"""What JAX cannot trace."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.corpus.data import P3, Q4
from tests.corpus.label import case


@case(P3)
def numpy_smooth(x):  #: black-box
    return float(np.sum(np.asarray(x) ** 2))


@case(P3)
def numpy_flat(x):  #: black-box #: flat
    return float(np.sum(np.round(3 * np.asarray(x)) ** 2))


@case(P3)
def numpy_noisy(x):  #: black-box #: stochastic
    return float(np.sum(np.asarray(x) ** 2) + np.random.default_rng().normal())


@case(P3)
def python_branch(x):  #: black-box
    return float(x[0] ** 2) if x[0] > 0 else float(3 * x[1] ** 2)


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
