"""Balancing a pole: an agent that begins by pushing at random, and learns from how long the pole then stood.

64 carts run side by side, and start anew when their pole falls; the carts, the agent and its learning are compiled.
In each round the agent plays for some steps, sums up what followed each action, and takes a step along the policy
gradient. The picture shows how long its episodes lasted while it learnt, and how it balances in the end.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from common import finish, options

from fdl.models import cartpole, discounted_returns, policy_value_net, reinforce_loss
from fdl.optim import adam, chain, clip_by_global_norm, cosine
from fdl.train import init_train_state, make_train_step, supervised

try:
    from matplotlib.figure import Figure
except ImportError:
    sys.exit('The picture is drawn by matplotlib: pip install "fdl[train,data]"')

GOAL = 475.0  # steps, of at most 500: what CartPole-v1 calls solved
CARTS, STEPS = 64, 64  # that are played in a round
DISCOUNT = 0.99  # what comes 100 steps later still counts a third
RATE = 3e-3  # with 1e-2 it was slower in the beginning: after 100 rounds episodes lasted 307 steps instead of 470
NETWORK = policy_value_net(actions=2)
see = jax.vmap(cartpole.observe)


def start(key):
    return jax.vmap(cartpole.start)(jax.random.split(key, CARTS))


def play(params, state, carts, key, steps):
    """Steps in all worlds: where the carts are then, and what was seen, done and brought about, each [steps, CARTS]."""

    def step(carts, key):
        action_key, start_key = jax.random.split(key)
        seen = see(carts)
        (scores, _), _ = NETWORK.apply(params, state, seen)
        actions = jax.random.categorical(action_key, scores)
        carts, outcome = jax.vmap(cartpole.step)(carts, actions, jax.random.split(start_key, CARTS))
        return carts, (seen, actions, outcome)

    return jax.lax.scan(step, carts, jax.random.split(key, steps))


@jax.jit
def experience(params, state, carts, key):
    """A round: where the carts are then, a batch to learn from, and how long the episodes were that ended in it."""
    carts, (seen, actions, outcome) = play(params, state, carts, key, STEPS)

    def expected(carts):
        return NETWORK.apply(params, state, see(carts))[0][1]

    # Returns are weighted means of rewards, from 0 to 1: an agent that always balances has 1 everywhere. Where time was
    # up the pole would have stood on, so what was expected there counts as a reward.
    time_up = outcome.ended & (outcome.last.steps >= cartpole.LONGEST)
    rewards = (1 - DISCOUNT) * outcome.reward + DISCOUNT * time_up * jax.vmap(expected)(outcome.last)
    returns = discounted_returns(rewards, outcome.ended, expected(carts), discount=DISCOUNT)
    lengths = jnp.where(outcome.ended, outcome.last.steps, 0)
    return carts, (seen, (actions, returns)), (lengths.sum(), outcome.ended.sum())


def learn(rounds, seed):
    """The train state in the end, and the mean length of episodes that ended in each tenth round."""
    optimizer = chain(clip_by_global_norm(1.0), adam(cosine(RATE, rounds)))
    train_step = make_train_step(supervised(NETWORK, reinforce_loss), optimizer)
    start_key, play_key, key = jax.random.split(jax.random.key(seed), 3)
    carts = start(start_key)
    train_state = init_train_state(NETWORK, optimizer, key, see(carts))
    lengths, since = [], []
    for i in range(1, rounds + 1):
        key = jax.random.fold_in(play_key, i)
        carts, batch, ended = experience(train_state.params, train_state.state, carts, key)
        train_state, _ = train_step(train_state, batch)
        since.append(ended)
        if i % 10 == 0:
            total, episodes = np.sum(jax.device_get(since), axis=0)
            lengths.append(total / episodes if episodes else np.nan)  # none may have ended
            since = []
            if i % (rounds // 10) == 0:
                print(f"round {i:3}/{rounds}  episodes lasted {lengths[-1]:5.1f} steps", flush=True)
    return train_state, lengths


@jax.jit
def balance(params, state, key):
    """How long the first episode of each cart is, and the angles of the poles [500, CARTS] in degrees meanwhile."""
    start_key, play_key = jax.random.split(key)
    _, (seen, _, outcome) = play(params, state, start(start_key), play_key, cartpole.LONGEST)
    lengths = jnp.argmax(outcome.ended, axis=0) + 1
    first = jnp.arange(cartpole.LONGEST)[:, None] < lengths
    return lengths, jnp.where(first, jnp.degrees(seen[..., 2]), jnp.nan)


def draw(lengths, angles, path):
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(10 * np.arange(1, len(lengths) + 1), lengths)
    left.axhline(cartpole.LONGEST, color="grey", linestyle=":")
    left.set(title="Length of the episodes that ended", xlabel="round", ylabel="steps", ylim=(0, 520))
    right.plot(np.arange(cartpole.LONGEST), angles[:, :8], linewidth=1)
    for side in -1, 1:
        right.axhline(side * np.degrees(cartpole.STEEPEST), color="grey", linestyle=":")
    right.set(title="Eight poles after training; dotted: fallen", xlabel="step", ylabel="angle, degrees")
    figure.savefig(path, dpi=120)


def main():
    chosen = options(__doc__, rounds=(300, 100))
    train_state, lengths = learn(chosen.rounds, chosen.seed)
    reached, angles = balance(train_state.params, train_state.state, jax.random.key(chosen.seed))
    draw(lengths, np.asarray(angles), chosen.output / "balance.png")
    metric = f"mean length of {CARTS} new episodes"
    finish(chosen, metric, reached.mean(), GOAL, show="{:.1f}", picture=chosen.output / "balance.png")


if __name__ == "__main__":
    main()
