"""CartPole: a pole stands on a cart, and has to be kept upright by pushing the cart to the left or to the right.

            |  angle
            | /
            |/                    state: position and speed of the cart, angle and angular speed of the pole
      +-----o-----+
    ==|  F ->     |==========     force F: 10 N to the left or to the right, for 0.02 s
      +--o-----o--+

With cart M = 1 kg, pole m = 0.1 kg, half the pole's length l = 0.5 m, no friction, and position x, angle a,

    (M + m) x'' + m l (a'' cos a - a'^2 sin a) = F
    4/3 l a'' + x'' cos a = g sin a

which are solved for a'' and x'' and followed by Euler's method. An episode ends when the pole leans by more than 12
degrees, when the cart is more than 2.4 m from the middle, or after 500 steps. Every step is rewarded by 1.

Each function is pure, for one cart, and made for `jax.vmap` and `jax.lax.scan`: thousands of carts are one compiled
loop, with the agent in it. It stands beside the networks because it is a model too, of what an agent of
`fdl.models.policy_gradient` learns to live in.

Source: Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems"
(1983). Angle, time limit and start are those of CartPole-v1 in Brockman et al., "OpenAI Gym" (2016).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

GRAVITY, CART, POLE, HALF_LENGTH = 9.8, 1.0, 0.1, 0.5  # m/s^2, kg, kg, m
FORCE, SECONDS = 10.0, 0.02  # N, of a step
FARTHEST, STEEPEST, LONGEST = 2.4, math.radians(12), 500  # m, rad, steps


class Cart(NamedTuple):
    """Where a cart and its pole are.

    Attributes:
        x, speed: of the cart, in m and m/s, to the right.
        angle, turning: of the pole, in rad and rad/s, clockwise from upright.
        steps: how many the episode has had.
    """

    x: jax.Array
    speed: jax.Array
    angle: jax.Array
    turning: jax.Array
    steps: jax.Array


class Outcome(NamedTuple):
    """What a step led to.

    Attributes:
        reward: 1 for each step.
        ended: whether the episode is over.
        last: the cart where it went, from which the next step goes on unless the episode is over.
    """

    reward: jax.Array
    ended: jax.Array
    last: Cart


def start(key: jax.Array) -> Cart:
    """A cart near the middle with its pole almost upright: all four numbers are uniform in [-0.05, 0.05].

    Example:
        >>> carts = jax.vmap(start)(jax.random.split(jax.random.key(0), 3))
        >>> carts.angle.shape, bool(jnp.all(jnp.abs(carts.angle) <= 0.05))
        ((3,), True)
    """
    x, speed, angle, turning = jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05)
    return Cart(x, speed, angle, turning, jnp.zeros((), jnp.int32))


def observe(cart: Cart) -> jax.Array:
    """What an agent sees: [x, speed, angle, turning]. The number of steps it does not see.

    Example:
        >>> observe(start(jax.random.key(0))).shape
        (4,)
    """
    return jnp.stack([cart.x, cart.speed, cart.angle, cart.turning])


def move(cart: Cart, action: jax.Array) -> Cart:
    """The cart 0.02 s later.

    Args:
        cart: where it is.
        action: 0 pushes to the left, 1 to the right.

    Source: Barto, Sutton and Anderson (1983), without friction.

    Example:
        >>> upright = Cart(*jnp.zeros(4), jnp.array(0))
        >>> after = move(upright, jnp.array(1))
        >>> float(after.speed), float(after.turning)  # pushed to the right, it leans to the left
        (0.195, -0.293)
    """
    x, speed, angle, turning, steps = cart
    force, sin, cos = jnp.where(action == 1, FORCE, -FORCE), jnp.sin(angle), jnp.cos(angle)
    share = POLE / (CART + POLE)
    push = force / (CART + POLE) + share * HALF_LENGTH * turning**2 * sin  # x'' = push - share l a'' cos a
    angle_acceleration = (GRAVITY * sin - push * cos) / (HALF_LENGTH * (4 / 3 - share * cos**2))
    acceleration = push - share * HALF_LENGTH * angle_acceleration * cos
    return Cart(
        x + SECONDS * speed,
        speed + SECONDS * acceleration,
        angle + SECONDS * turning,
        turning + SECONDS * angle_acceleration,
        steps + 1,
    )


def step(cart: Cart, action: jax.Array, key: jax.Array) -> tuple[Cart, Outcome]:
    """Moves, and puts a new cart at the start where the episode is over.

    Args:
        cart: where it is.
        action: 0 pushes to the left, 1 to the right.
        key: a JAX random key, for the new start.

    Returns:
        (the cart that the next step begins with, the `Outcome` of this one).

    Example:
        >>> falling = start(jax.random.key(0))._replace(angle=jnp.array(0.2), turning=jnp.array(1.0))
        >>> cart, outcome = step(falling, jnp.array(0), jax.random.key(1))
        >>> bool(outcome.ended), round(float(outcome.last.angle), 3), int(cart.steps)
        (True, 0.22, 0)
    """
    last = move(cart, action)
    fallen = (jnp.abs(last.x) > FARTHEST) | (jnp.abs(last.angle) > STEEPEST)
    ended = fallen | (last.steps >= LONGEST)
    following = jax.tree.map(lambda fresh, on: jnp.where(ended, fresh, on), start(key), last)
    return following, Outcome(jnp.ones_like(last.x), ended, last)
