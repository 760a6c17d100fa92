"""Hard activations: the sigmoid and the swish made of straight lines and a parabola, for small devices.

    hard_sigmoid    y = clip((x + 3) / 6, 0, 1)      slope 0 left of -3, 1/6 between, 0 right of 3
    hard_swish      y = x hard_sigmoid(x)            slope 0 left of -3, (2 x + 3) / 6 between, 1 right of 3

They are applied to every element by itself, so dx = f'(x) dy. The kinks at -3 and 3 belong to the outer
pieces. hard_sigmoid remembers which elements were clipped, one boolean each, and hard_swish remembers x.

Source: Howard et al., "Searching for MobileNetV3" (2019).
"""

import jax
import jax.numpy as jnp

from fdl.layers.checks import check_floats
from fdl.layers.rule_layer import RuleLayer
from fdl.rule import rule


@rule
def hard_sigmoid(x: jax.Array) -> jax.Array:
    """The piecewise linear sigmoid y = clip((x + 3) / 6, 0, 1), with slope 0 at -3 and 3.

    Args:
        x: floats of any shape.

    Returns:
        y, in [0, 1], of the same shape and dtype. NaN stays NaN.

    Raises:
        InputError: for integers.

    Remembers:
        which elements were clipped, as a boolean of the shape of x.

    Source:
        Howard et al. (2019).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> hard_sigmoid(jnp.array([-4.0, 0.0, 1.5, 3.0])).tolist(), float(6 * jax.grad(hard_sigmoid)(1.5))
        ([0.0, 0.5, 0.75, 1.0], 1.0)
    """
    return jnp.where(jnp.abs(x) >= 3, (1 + jnp.sign(x)) / 2, (x + 3) / 6)


@hard_sigmoid.validate
def _(x):
    check_floats("hard_sigmoid", x)


@hard_sigmoid.forward
def _(x):
    return hard_sigmoid.reference(x), jnp.abs(x) >= 3


@hard_sigmoid.backward
def _(clipped, dy):
    # y = 0 or 1 where clipped, (x + 3) / 6 elsewhere
    return (jnp.where(clipped, 0, dy / 6),)


@rule
def hard_swish(x: jax.Array) -> jax.Array:
    """The piecewise quadratic swish y = x clip((x + 3) / 6, 0, 1), with slope 0 at -3 and 1 at 3.

    Args:
        x: floats of any shape.

    Returns:
        y, of the same shape and dtype. NaN stays NaN.

    Raises:
        InputError: for integers.

    Remembers:
        x, which exists anyway.

    Source:
        Howard et al. (2019).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> hard_swish(jnp.array([-4.0, -1.5, 0.0, 3.0])).tolist(), float(jax.grad(hard_swish)(1.5))
        ([0.0, -0.375, 0.0, 3.0], 1.0)
    """
    outside = jnp.abs(x) >= 3
    inner = jnp.where(outside, 0, x)  # keeps infinities out of the parabola, whose slope there is no number
    return jnp.where(outside, jnp.maximum(x, 0), inner * (inner + 3) / 6)


@hard_swish.validate
def _(x):
    check_floats("hard_swish", x)


@hard_swish.forward
def _(x):
    return hard_swish.reference(x), x


@hard_swish.backward
def _(x, dy):
    # y = 0 or x outside (-3, 3), x (x + 3) / 6 inside
    slope = jnp.where(jnp.abs(x) >= 3, (1 + jnp.sign(x)) / 2, (2 * x + 3) / 6)
    return (slope * dy,)


class HardSigmoid(RuleLayer):
    """The layer of `hard_sigmoid`; it has no parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> HardSigmoid().apply({}, {}, jnp.array([-3.0, 0.0]))[0].tolist()
        [0.0, 0.5]
    """

    rule = hard_sigmoid


class HardSwish(RuleLayer):
    """The layer of `hard_swish`; it has no parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> HardSwish().apply({}, {}, jnp.array([-3.0, 3.0]))[0].tolist()
        [0.0, 3.0]
    """

    rule = hard_swish
