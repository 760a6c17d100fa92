"""Policy gradients: the gradient is REINFORCE's, returns are their sums, and the cart obeys its equations of motion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.errors import InputError
from fdl.models import cartpole, discounted_returns, reinforce_loss

KEY = jax.random.key(0)


def test_returns_are_discounted_sums_that_end_with_their_episode():
    rng = np.random.default_rng(0)
    rewards, ended, after = rng.normal(size=(6, 3)), rng.random((6, 3)) < 0.3, rng.normal(size=3)
    expected = np.zeros((7, 3))
    for i in range(3):
        for t in range(6):
            for k in range(t, 6):
                expected[t, i] += 0.9 ** (k - t) * rewards[k, i]
                if ended[k, i]:
                    break
            else:
                expected[t, i] += 0.9 ** (6 - t) * after[i]
    returns = discounted_returns(*map(jnp.asarray, (rewards, ended, after)), discount=0.9)
    np.testing.assert_allclose(returns, expected[:6], rtol=1e-5, atol=1e-6)


def test_rewards_and_what_follows_may_be_whole_numbers_and_the_discount_traced():
    rewards, ended, after = jnp.ones((3, 2), jnp.int32), jnp.zeros((3, 2), bool), jnp.zeros(2, jnp.int32)
    expected = [[1.75, 1.75], [1.5, 1.5], [1.0, 1.0]]
    for kind in (jnp.int32, jnp.float32):
        returns = discounted_returns(rewards.astype(kind), ended, after, discount=0.5)
        assert returns.dtype == jnp.float32
        np.testing.assert_allclose(returns, expected)
    both = jax.vmap(lambda discount: discounted_returns(rewards, ended, after, discount=discount))
    np.testing.assert_allclose(both(jnp.array([0.5, 0.0])), [expected, np.ones((3, 2))])
    narrow = discounted_returns(rewards.astype(jnp.bfloat16), ended, after, discount=0.5)
    assert narrow.dtype == jnp.bfloat16


def test_the_gradient_is_that_of_the_expected_return():
    """In expectation over actions: of a policy with three actions, each of which has a return of its own."""
    scores, value, returns = jnp.array([0.3, -0.2, 0.5]), jnp.array(0.7), jnp.array([1.0, -2.0, 0.5])

    def loss(scores, value, action):
        return reinforce_loss((scores, value), (action, returns[action]), value_weight=2.0)

    @jax.jit
    def slopes():
        by_action = jax.vmap(jax.grad(loss, argnums=(0, 1)), (None, None, 0))(scores, value, jnp.arange(3))
        return *by_action, jax.grad(lambda scores: jax.nn.softmax(scores) @ returns)(scores)

    by_scores, by_value, of_expected_return = slopes()
    np.testing.assert_allclose(jax.nn.softmax(scores) @ by_scores, -of_expected_return, atol=1e-6)
    np.testing.assert_allclose(by_value, 2.0 * (value - returns), rtol=1e-6)


def test_entropy_pulls_towards_all_actions_alike():
    @jax.jit
    @jax.grad
    def slope(scores):
        return reinforce_loss((scores, jnp.array(0.0)), (jnp.array(0), jnp.array(0.0)), entropy_weight=1.0)

    first, second = slope(jnp.array([1.0, 0.0]))
    assert first > 0 > second
    np.testing.assert_allclose(slope(jnp.zeros(2)), 0, atol=1e-7)
    *possible, impossible = slope(jnp.array([1.0, 0.0, -jnp.inf]))
    np.testing.assert_allclose(possible, [first, second], rtol=1e-5)
    assert impossible == 0


def test_a_value_with_an_axis_too_many_would_mix_the_advantages_of_all_steps():
    scores, actions, returns = jnp.zeros((5, 2)), jnp.zeros(5, int), jnp.arange(5.0)
    assert reinforce_loss((scores, jnp.zeros(5)), (actions, returns)).shape == (5,)
    with pytest.raises(InputError, match=r"value of shape \[5\] for scores of shape \[5, 2\], got \[5, 1\]"):
        reinforce_loss((scores, jnp.zeros((5, 1))), (actions, returns[:, None]))


def test_a_step_solves_the_equations_of_motion():
    """(M + m) x'' + m l (a'' cos a - a'^2 sin a) = F, and 4/3 l a'' + x'' cos a = g sin a, as a linear system."""
    rng = np.random.default_rng(1)
    for action in 0, 1:
        x, v, a, w = rng.normal(size=4)
        lever = cartpole.POLE * cartpole.HALF_LENGTH
        matrix = [[cartpole.CART + cartpole.POLE, lever * np.cos(a)], [np.cos(a), 4 / 3 * cartpole.HALF_LENGTH]]
        force = (2 * action - 1) * cartpole.FORCE
        of_cart, of_pole = np.linalg.solve(matrix, [force + lever * w**2 * np.sin(a), cartpole.GRAVITY * np.sin(a)])
        after = cartpole.move(cartpole.Cart(*jnp.array([x, v, a, w]), jnp.array(3)), jnp.array(action))
        expected = [x + 0.02 * v, v + 0.02 * of_cart, a + 0.02 * w, w + 0.02 * of_pole]
        np.testing.assert_allclose(cartpole.observe(after), expected, rtol=1e-5)
        assert after.steps == 4


def test_an_episode_ends_where_the_pole_falls_the_cart_leaves_or_time_is_up_and_another_begins():
    upright = cartpole.Cart(*jnp.zeros(4), jnp.array(0))
    carts = jax.tree.map(
        lambda *leaves: jnp.stack(leaves),
        upright,
        upright._replace(angle=jnp.array(-0.22)),
        upright._replace(x=jnp.array(2.5)),
        upright._replace(steps=jnp.array(499)),
    )
    step = jax.jit(jax.vmap(cartpole.step))
    following, outcome = step(carts, jnp.array([0, 1, 0, 1]), jax.random.split(KEY, 4))
    assert outcome.ended.tolist() == [False, True, True, True]
    assert outcome.reward.tolist() == [1.0] * 4
    assert following.steps.tolist() == [1, 0, 0, 0]
    assert outcome.last.steps.tolist() == [1, 1, 1, 500]
    assert (jnp.abs(following.x) <= 0.05).all()
    assert len(set(following.x.tolist())) == 4
