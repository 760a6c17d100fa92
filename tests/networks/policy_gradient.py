"""Policies and values."""

import jax
import jax.numpy as jnp

from fdl.models import discounted_returns, policy_value_net, reinforce_loss
from tests.networks.row import Published, Refused, Small

OBSERVATIONS = (jax.ShapeDtypeStruct((7, 4), jnp.float32),)

PUBLISHED = [
    # Two hidden layers of 64 with tanh, as in the PPO paper: 4,610 parameters for the policy, 4,545 for the value.
    Published("policy-value", policy_value_net(2), OBSERVATIONS, ((7, 2), (7,)), 4_610 + 4_545),
]


def steps(key):
    observations = jax.random.normal(key, (4, 3), jnp.float64)
    return (observations,), (jnp.array([0, 1, 1, 0]), jnp.array([1.0, 2.0, 0.5, 0.0], jnp.float64))


def loss(outputs, targets):
    return reinforce_loss(outputs, targets, value_weight=0.5, entropy_weight=0.1)


def returns(discount=0.9, after=()):
    return discounted_returns(jnp.ones(3), jnp.zeros(3, bool), jnp.zeros(after), discount=discount)


SMALL = [Small("policy-value", policy_value_net(2, 4, depth=1), steps, loss, rate=1e-2)]

REFUSED = [
    Refused(
        "policy-value-actions",
        lambda: policy_value_net(0),
        "policy_value_net needs actions as a whole number of at least 1, got 0",
    ),
    Refused("returns-discount", lambda: returns(discount=1.5), "a discount from 0 to 1, got 1.5"),
    Refused("returns-shapes", lambda: returns(after=(2,)), r"after of shape \[\.\.\.\], got \[3\], \[3\] and \[2\]"),
]
