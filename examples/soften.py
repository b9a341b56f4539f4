"""A dispatch rule tuned through its own simulator: sort, branch, lookup and loop, none of them written for gradients.

A robot serves 24 jobs in the order of a score, recharges when its battery falls below a level, pays the energy price of
the hour, and a fine for each job that is late. `jax.grad` sees nothing of the order, of the level or of the fines.
Run: `python examples/soften.py`
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

import descend

rng = np.random.default_rng(3)
TIME, DUE, FINE = (jnp.asarray(a) for a in (rng.uniform(0.3, 1.5, 24), rng.uniform(3, 26, 24), rng.uniform(1, 6, 24)))
PRICE = jnp.asarray([1, 1, 1, 1, 1, 2, 4, 6, 6, 4, 3, 3, 3, 2, 2, 3, 4, 7, 8, 7, 5, 3, 2, 1]) / 4.0


def cost(rule):
    score = DUE + rule["time"] * TIME + rule["fine"] * FINE + rule["both"] * FINE / TIME
    order = jnp.argsort(score)

    def serve(state, job):
        clock, battery = state
        empty = battery < rule["level"]
        wait = lax.cond(empty, lambda b: 2.0 * (1 - b), lambda b: 0.0, battery)  # an hour for each half of a charge
        battery = jnp.where(empty, 1.0, battery)
        price = PRICE[(clock + wait).astype(int) % 24]
        clock = clock + wait + TIME[job] * jnp.where(battery < 0.3, 1.6, 1.0)  # slow when nearly empty
        late = clock > DUE[job]
        return (clock, battery - 0.15 * TIME[job]), price * TIME[job] + late * FINE[job]

    return jnp.sum(lax.scan(serve, (0.0, 1.0), order)[1])


def train(gradient, rule, steps=400):
    method = optax.adam(0.05)

    def step(carry, i):
        rule, state = carry
        updates, state = method.update(gradient(rule, i), state)
        rule = optax.apply_updates(rule, updates)
        return (rule, state), cost(rule)

    (_, _), values = lax.scan(step, (rule, method.init(rule)), jnp.arange(steps))
    return values


soft = descend.soften(cost, temperature=0.1)
falling = descend.relax.geometric(1.0, 0.02, 400)
rule = {name: jnp.zeros(()) for name in ("time", "fine", "both", "level")}
plain = jax.jit(lambda rule: train(lambda r, i: jax.grad(cost)(r), rule))(rule)
softened = jax.jit(lambda rule: train(lambda r, i: jax.grad(soft)(r, temperature=falling(i)), rule))(rule)
print(f"by due date, never recharging early:  {cost(rule):.2f}")
print(f"following jax.grad:                   {plain.min():.2f}")
print(f"following the softened program:       {softened.min():.2f}")
