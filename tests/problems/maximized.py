"""A tree of variables, maximized; the optimum is a = 1, b = (0.5, 0.5), the value 3."""

import jax.numpy as jnp

import descend


def gain(x):
    print("the user's own print")
    return 3.0 - (x["a"] - 1.0) ** 2 - jnp.sum((x["b"] - 0.5) ** 2)


problem = descend.Problem(gain, over={"a": descend.Real(), "b": descend.Real(2, 0.0, 1.0)}, sense="max")
