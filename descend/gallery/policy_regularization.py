"""On the Design of KL-Regularized Policy Gradient Algorithms (Zhang et al., 2025).

Fine-tuning a policy on rewards is held near an older policy by a divergence, of which there are many: reverse or
forward, normalized or not; and each can be put into a loss in ways of which some have another gradient than the
objective that is meant. With samples from the old policy and w = pi / pi_old, the gradient of E_pi R - beta D is
E_old of a weight times grad log pi:

    reverse              w (R - beta (log w + 1))        unnormalized reverse    w (R - beta log w)
    forward              w R + beta                      unnormalized forward    w R - beta (w - 1)

Here the policy has 64 actions, so that every expectation is a sum, and the exact gradient of each objective is known by
`jax.grad`. Ours is the error (over the sum of both lengths) of the weights above, the worst of the four; naive that of
the loss of GRPO, whose penalty k3 = 1/w - 1 + log w is averaged over the old policy without the weight w, against the
objective that it stands for (unnormalized reverse); ablated is the right weight of the reverse divergence with its w
left out. All after 4 and after 16 steps of ascent away from the old policy. The bias of GRPO grows with this staleness.
Not repeated: the training of language models.
"""

import jax
import jax.numpy as jnp
from jax.nn import log_softmax, softmax

from descend.domains import Real
from descend.problem import Problem

PAPER = "arXiv:2505.17508"
SYSTEM = 83
WHY = None  # the regularized objective is smooth: what is at stake is which loss has its gradient
CLAIM = (
    "mean gradients of the four weighted losses are those of their objectives within 1e-9; that of GRPO's penalty is "
    "off by more than 0.02 after 4 steps of staleness, and by more than 4 times that after 16"
)
SEEDS = 10
ACTIONS, BETA, RATE = 64, 1.0, 1.0


def problem():
    """The policy near an old one."""
    rewards, old, _ = example(jax.random.key(0), 4)
    return Problem(lambda logits: -objectives(logits, old, rewards)[0], over=Real(ACTIONS))


def run(key):
    """Relative errors of mean gradients, after 4 and after 16 steps."""
    found = [errors(*example(key, steps)) for steps in (4, 16)]
    return {name: jnp.stack([each[name] for each in found]) for name in found[0]}


def holds(ours, naive):
    """Arguments have shape (seeds, 2)."""
    few, many = naive.mean(0)
    return bool(ours.max() < 1e-9 and few > 0.02 and many > 4 * few)


def errors(rewards, old, logits):
    exact = jax.jacobian(lambda logits: objectives(logits, old, rewards))(logits)
    log_w = log_softmax(logits) - log_softmax(old)
    w = jnp.exp(log_w)

    def mean(weight):
        """The mean over the old policy of a weight times grad log pi."""
        return jax.grad(lambda logits: softmax(old) @ (jax.lax.stop_gradient(weight) * log_softmax(logits)))(logits)

    def off(found, wanted):
        return jnp.linalg.norm(found - wanted) / (jnp.linalg.norm(found) + jnp.linalg.norm(wanted))

    weights = [
        w * (rewards - BETA * (log_w + 1)),
        w * (rewards - BETA * log_w),
        w * rewards + BETA,
        w * rewards - BETA * (w - 1),
    ]
    ours = jnp.max(jnp.stack([off(mean(each), wanted) for each, wanted in zip(weights, exact, strict=True)]))
    return {
        "ours": ours,
        "ablated": off(mean(rewards - BETA * (log_w + 1)), exact[0]),
        "naive": off(mean(w * rewards - BETA * (1 - 1 / w)), exact[1]),
    }


def objectives(logits, old, rewards):
    """Mean reward minus each divergence from the old policy: reverse, forward, and both without normalization."""
    pi, mu = softmax(logits), softmax(old)
    log_w = log_softmax(logits) - log_softmax(old)
    reverse, forward = pi @ log_w, -mu @ log_w
    mass = jnp.sum(mu) - jnp.sum(pi)
    penalties = jnp.stack([reverse, reverse + mass, forward, forward - mass])
    return pi @ rewards - BETA * penalties


def example(key, steps):
    """Rewards, an old policy, and one that has ascended its reward from there."""
    first, second = jax.random.split(key)
    rewards, old = jax.random.normal(first, (ACTIONS,)), jax.random.normal(second, (ACTIONS,))
    ascend = lambda _, logits: logits + RATE * jax.grad(lambda z: softmax(z) @ rewards)(logits)  # noqa: E731
    return rewards, old, jax.lax.fori_loop(0, steps, ascend, old)
