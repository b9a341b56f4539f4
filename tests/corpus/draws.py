"""Random values."""

import jax
import jax.numpy as jnp
import numpy as np

import descend
from tests.corpus.data import P3, P10, Q4, W, Y
from tests.corpus.label import case, over


@case(over(descend.Real(3, start=P3)), "smooth")
def reparametrized(x, *, key):
    noise = jax.random.normal(key, (3,))  #: stochastic
    return jnp.sum((x + 0.3 * noise) ** 2)


@case(over(descend.Real(3, start=0.2 * P3)))
def bernoulli(x, *, key):
    draws = jax.random.bernoulli(key, jax.nn.sigmoid(x))  #: stochastic #: flat
    return jnp.sum(draws * 1.0)


@case(over(descend.Real(5, start=P10[:5])), "smooth")
def dropout(x, *, key):
    keep = jax.random.bernoulli(key, 0.5, (5,))  #: stochastic
    return jnp.sum(jnp.where(keep, x, 0.0) ** 2) + jnp.sum(x**2)


@case(P3, "smooth")
def fixed_key(x):
    noise = jax.random.normal(jax.random.key(3), (3,))
    return jnp.sum((x + noise) ** 2)


@case(P3, "smooth")
def hidden_state(x):
    return jnp.sum(x**2) + np.random.default_rng().normal()  #: stochastic


@case(over(descend.Real(4, start=Q4)), "smooth")
def random_rows(x, *, key):
    rows = jax.random.choice(key, 30, (8,))  #: stochastic
    return jnp.mean((W[rows][:, :4] @ x - Y[rows]) ** 2)


@case(over(descend.Real(3, start=0.3 * Q4[:3])))
def policy(logits, *, key):
    action = jax.random.categorical(key, logits)  #: stochastic #: flat
    return jnp.array([1.0, -2.0, 0.5])[action]
