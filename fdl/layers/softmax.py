"""Softmax: scores become probabilities, and its logarithm.

    y_k = exp(x_k) / sum_j exp(x_j)             dy_k/dx_i = y_k ([i = k] - y_i)
    l_k = log y_k = x_k - log sum_j exp(x_j)    dl_k/dx_i = [i = k] - y_i

since the derivative of the log-sum-exp is the softmax. Multiplied by what arrives at y and at l,

    softmax        dx_i = sum_k dy_k y_k ([i = k] - y_i) = y_i (dy_i - sum_k y_k dy_k)
    log_softmax    dx_i = sum_k dl_k ([i = k] - y_i)     = dl_i - exp(l_i) sum_k dl_k

where the Jacobian would have C^2 entries per row. softmax remembers y and nothing else. log_softmax remembers
x and two numbers per row, the largest x and the sum: exp(l) = exp(x - largest) / sum says the exponential
once more, but it is what the forward pass computed, and compiled together the two passes compute it once.

The largest x of each row is taken off all of them first, which changes neither y nor l and keeps exp from
overflowing. Do not take the logarithm of a softmax: where y underflows to 0, l is still an ordinary number.

Source: Bridle, "Probabilistic interpretation of feedforward classification network outputs" (1990).
"""

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layers.checks import check_floats
from fdl.layers.rule_layer import RuleLayer
from fdl.rule import rule, wide

Axes = int | tuple[int, ...]


@rule(static=["axis"])
def softmax(x: jax.Array, axis: Axes = -1) -> jax.Array:
    """The probabilities y = exp(x) / sum exp(x) along one axis, or along several together.

    Args:
        x: floats of any shape, of any size; -inf stands for what is impossible.
        axis: the axis or axes over which y sums to one.

    Returns:
        y, of the shape and dtype of x, computed in float32 or wider.

    Raises:
        InputError: for integers, and for an axis that x does not have.

    Remembers:
        y.

    Source:
        Bridle (1990).

    Example:
        >>> import jax.numpy as jnp
        >>> softmax(jnp.array([[0.0, 0.0], [1e4, 0.0]])).tolist()
        [[0.5, 0.5], [1.0, 0.0]]
    """
    return jax.nn.softmax(x.astype(wide(x)), axis).astype(x.dtype)


@softmax.validate
def _(x, axis):
    _check_axis("softmax", x, axis)


@softmax.forward
def _(x, axis):
    y = softmax.reference(x, axis)
    return y, y


@softmax.backward
def _(y, dy, *, axis):
    # y = exp(x) / sum exp(x)
    dexp = y * dy.astype(wide(dy))
    return (dexp - y * jnp.sum(dexp, axis, keepdims=True),)


@rule(static=["axis"])
def log_softmax(x: jax.Array, axis: Axes = -1) -> jax.Array:
    """The logarithms of probabilities y = x - log sum exp(x) along one axis, or along several together.

    Args:
        x: floats of any shape, of any size.
        axis: the axis or axes over which exp(y) sums to one.

    Returns:
        y, of the shape and dtype of x, computed in float32 or wider.

    Raises:
        InputError: for integers, and for an axis that x does not have.

    Remembers:
        x, which exists anyway, and two numbers per row.

    Source:
        Bridle (1990).

    Example:
        >>> import jax.numpy as jnp
        >>> log_softmax(jnp.array([[0.0, 0.0], [1e4, 0.0]])).round(4).tolist()
        [[-0.6931, -0.6931], [0.0, -10000.0]]
    """
    return jax.nn.log_softmax(x.astype(wide(x)), axis).astype(x.dtype)


@log_softmax.validate
def _(x, axis):
    _check_axis("log_softmax", x, axis)


@log_softmax.forward
def _(x, axis):
    wide_x = x.astype(wide(x))
    peak = jax.lax.stop_gradient(jnp.max(wide_x, axis, keepdims=True, initial=-jnp.inf))  # y does not depend on it
    total = jnp.sum(jnp.exp(wide_x - peak), axis, keepdims=True)
    return (wide_x - peak - jnp.log(total)).astype(x.dtype), (x, peak, total)


@log_softmax.backward
def _(residuals, dy, *, axis):
    x, peak, total = residuals
    # y = x - lse      dlse/dx = exp(x - peak) / total
    dlse = -jnp.sum(dy, axis, keepdims=True, dtype=wide(dy))
    return (dy + jnp.exp(x.astype(wide(x)) - peak) * (dlse / total),)


def _check_axis(who, x, axis):
    check_floats(who, x)
    axes, rank = axis if isinstance(axis, tuple) else (axis,), jnp.ndim(x)
    if not all(-rank <= a < rank for a in axes):
        raise InputError(f"{who} was asked for axis {axis} of x of shape {list(jnp.shape(x))}, which has {rank} axes")


class Softmax(RuleLayer):
    """The layer of `softmax`; it has no parameters.

    To train a classifier, leave it out and use `fdl.losses.softmax_cross_entropy` on the logits.

    Args:
        axis: the axis or axes over which the output sums to one.

    Example:
        >>> import jax.numpy as jnp
        >>> Softmax().apply({}, {}, jnp.zeros((1, 4)))[0].tolist()
        [[0.25, 0.25, 0.25, 0.25]]
    """

    rule = softmax
    axis: Axes = -1


class LogSoftmax(RuleLayer):
    """The layer of `log_softmax`; it has no parameters.

    Args:
        axis: the axis or axes over which the exponentials of the output sum to one.

    Example:
        >>> import jax.numpy as jnp
        >>> LogSoftmax().apply({}, {}, jnp.zeros((1, 4)))[0].round(4).tolist()
        [[-1.3863, -1.3863, -1.3863, -1.3863]]
    """

    rule = log_softmax
    axis: Axes = -1
