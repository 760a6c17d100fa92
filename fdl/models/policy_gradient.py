"""Policy gradients: an agent that learns from what its own actions led to.

    state of the world x -> policy: scores of actions -> softmax -> an action is drawn -> the world moves, and rewards
                         -> value:  how much reward is still to come, on average

What follows an action at time t is worth R_t = r_t + g r_(t+1) + g^2 r_(t+2) + ... with a discount g below 1. To make
the expectation of R larger, follow (REINFORCE)

    gradient of E[R]  =  E[ (R_t - V(x_t)) gradient of log p(a_t | x_t) ]

The one idea: log p(a | x) is minus the cross-entropy between the policy and the action taken, so a step is one of
supervised learning on the agent's own actions, each weighted by how much better than expected it turned out. Actions
that did worse than expected have a negative weight: they become less likely.

The expectation V(x), the baseline, is a second network that learns R by least squares. It may be anything that does not
depend on the action, since the gradients of log p sum to zero over actions; the better it is, the less noise is left.

    loss = cross_entropy(scores, a) (R - V)  +  1/2 c_v (R - V)^2  -  c_h entropy(policy)
           no gradient through this V             through this one      keeps the policy from deciding too early

Sources: Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement learning" (1992);
Sutton, McAllester, Singh and Mansour, "Policy gradient methods for reinforcement learning with function approximation"
(2000). Orthogonal weights, and a last layer of the policy that is a hundred times smaller so that all actions are tried
in the beginning: Andrychowicz et al., "What matters for on-policy deep actor-critic methods?" (2021).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from fdl.concrete import is_concrete
from fdl.counts import check_count
from fdl.errors import InputError
from fdl.initializers import orthogonal
from fdl.layer import Layer
from fdl.layers import Affine, Serial, Tanh, log_softmax, network, softmax
from fdl.losses import softmax_cross_entropy, squared_error


def policy_value_net(actions: int, hidden: int = 64, *, depth: int = 2) -> Layer:
    """A policy and a value, as two networks of the same form that share nothing.

    Args:
        actions: how many there are to choose from.
        hidden: how many units each hidden layer has.
        depth: how many hidden layers there are.

    Returns:
        A layer from observations [..., F] to (scores [..., actions], value [...]).

    Raises:
        InputError: for less than one action or hidden layer.

    Source: Williams (1992); the sizes are those of Schulman et al., "Proximal policy optimization algorithms" (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, observations = policy_value_net(2), jax.ShapeDtypeStruct((7, 4), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), observations)
        >>> (scores, value), _ = jax.eval_shape(net.apply, params, state, observations)
        >>> scores.shape, value.shape, sum(w.size for w in jax.tree.leaves(params))
        ((7, 2), (7,), 9155)
    """
    check_count("policy_value_net", "actions", actions)
    check_count("policy_value_net", "depth", depth)
    layers = [layer for _ in range(depth) for layer in (Affine(hidden, w_init=orthogonal(scale=math.sqrt(2))), Tanh())]
    policy = Serial(*layers, scores=Affine(actions, w_init=orthogonal(scale=0.01)))
    value = Serial(*layers, value=Affine(1, w_init=orthogonal()))
    return network(policy=policy, value=value)(act_and_expect)


def act_and_expect(net: Any, x: Any) -> tuple[Any, Any]:
    """The scores of the actions, and the value, as a number without an axis."""
    return net.policy(x), net.value(x)[..., 0]


def discounted_returns(rewards: jax.Array, ended: jax.Array, after: jax.Array, *, discount: float) -> jax.Array:
    """What each step led to: R_t = r_t + discount R_(t+1), and R_t = r_t where an episode ends.

    Args:
        rewards: r [T, ...], of T steps in a row, in one or more worlds.
        ended: booleans [T, ...], whether the step was the last one of its episode.
        after: R_T [...], what is expected to follow the last step where that did not end an episode, such as the value
            of the observation after it; or zero.
        discount: how much a reward counts one step earlier, from 0 to 1.

    Returns:
        R [T, ...], floats.

    Raises:
        InputError: for a discount outside [0, 1], and for arrays that do not fit together.

    Source: Sutton and Barto, "Reinforcement learning: an introduction" (2018), section 3.3.

    Example:
        >>> rewards, ended = jnp.ones(4), jnp.array([False, True, False, False])
        >>> discounted_returns(rewards, ended, jnp.array(10.0), discount=0.5).tolist()
        [1.5, 1.0, 4.0, 6.0]
    """
    if is_concrete(discount) and not 0 <= discount <= 1:
        raise InputError(f"discounted_returns needs a discount from 0 to 1, got {discount}")
    if rewards.shape != ended.shape or rewards.shape[1:] != jnp.shape(after):
        raise InputError(
            f"discounted_returns needs rewards and ended of one shape [T, ...], and after of shape [...], got "
            f"{list(rewards.shape)}, {list(ended.shape)} and {list(jnp.shape(after))}"
        )

    def earlier(later: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        reward, is_last = step
        now = reward + discount * jnp.where(is_last, 0, later)
        return now, now

    after = jnp.asarray(after, jnp.result_type(rewards, after, discount, float))  # rewards and zeros may be counted
    return jax.lax.scan(earlier, after, (rewards, ended), reverse=True)[1]


def reinforce_loss(
    outputs: tuple[jax.Array, jax.Array],
    targets: tuple[jax.Array, jax.Array],
    *,
    value_weight: float = 1.0,
    entropy_weight: float = 0.0,
) -> jax.Array:
    """The loss whose gradient is the policy gradient with a baseline, one value per step.

    It has the form of a loss for `fdl.train.supervised`, with batches (observations, (actions, returns)).

    Args:
        outputs: scores [..., A] and value [...], of `policy_value_net`.
        targets: the actions that were taken, integers [...] in [0, A), and the returns that followed, floats [...].
        value_weight: how much the squared error of the value counts, against the policy's part.
        entropy_weight: how much the entropy of the policy counts, in nats.

    Returns:
        The losses, of shape [...]. Only their gradient means something: as the policy gets better, they do not fall.

    Raises:
        InputError: for shapes that do not fit together.

    Source: Williams (1992); the entropy: Mnih et al., "Asynchronous methods for deep reinforcement learning" (2016).

    Example:
        >>> outputs, targets = (jnp.zeros((1, 2)), jnp.zeros(1)), (jnp.array([1]), jnp.array([3.0]))
        >>> jax.grad(lambda outputs: reinforce_loss(outputs, targets)[0])(outputs)[0].tolist()  # more of action 1
        [[1.5, -1.5]]
    """
    (scores, value), (actions, returns) = outputs, targets
    if jnp.shape(value) != jnp.shape(scores)[:-1]:  # [N, 1] would weigh every step by the advantages of all
        raise InputError(
            f"reinforce_loss expects the value of shape {list(jnp.shape(scores)[:-1])} for scores of shape "
            f"{list(jnp.shape(scores))}, got {list(jnp.shape(value))}: that of an Affine(1) is value[..., 0]"
        )
    advantage = jax.lax.stop_gradient(returns - value)
    policy_loss = softmax_cross_entropy(scores, actions) * advantage
    value_loss = squared_error(value, returns) / 2
    possible = scores > -jnp.inf  # p log p is 0 where p is 0
    entropy = -jnp.sum(softmax(scores) * jnp.where(possible, log_softmax(scores), 0), axis=-1)
    return policy_loss + value_weight * value_loss - entropy_weight * entropy
