"""Saturating activations: those that level off, whose slope can be read off what they return.

    sigmoid     y = 1 / (1 + exp(-x))                                       y' = y (1 - y)
    tanh        y = tanh(x)                                                 y' = 1 - y^2
    softplus    y = log(1 + exp(x))                                         y' = 1 - exp(-y)
    elu         y = x where x > 0, alpha (exp(x) - 1) elsewhere             y' = 1 where y > 0, y + alpha elsewhere
    selu        y = scale elu(x, alpha), for one pair of constants          y' = scale where y > 0, y + scale alpha

For each of them dx = y' dy, by element. The slope of softplus is the sigmoid, exp(x) / (1 + exp(x)), which
is 1 - exp(-y) since 1 + exp(x) = exp(y); that of elu is alpha exp(x) on the left, which is y + alpha. So y is
all that is remembered, and the next layer keeps y anyway: it is that layer's x.

Two functions need care with rounding. exp(x) - 1 subtracts two nearly equal numbers when x is small, and
log(1 + e) loses the last digits of a small e to the sum. Both can be had without any loss, and faster than
from the usual expm1 and log1p, by

    exp(x) - 1 = 2 t / (1 - t)        t = tanh(x / 2)       for x <= 0, where 1 - t is at least 1
    log(1 + e) = 2 artanh(z)          z = e / (2 + e)       for 0 <= e <= 1, where z is at most 1/3
               = 2 z (1 + z^2 / 3 + z^4 / 5 + ...)

and softplus(x) = max(x, 0) + log(1 + exp(-|x|)) needs no larger e, nor does it overflow.

Sources: softplus: Dugas et al., "Incorporating second-order functional knowledge for better option pricing"
(2001); elu: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential
linear units" (2016); selu: Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks" (2017).
"""

import jax
import jax.numpy as jnp
import numpy as np

from fdl.errors import InputError
from fdl.layers.checks import check_floats
from fdl.layers.rule_layer import RuleLayer
from fdl.layers.sides import left, right
from fdl.rule import rule, wide

SELU_ALPHA = 1.6732632423543772  # the pair for which mean 0 and variance 1 are a fixed point of a layer
SELU_SCALE = 1.0507009873554805


@rule
def sigmoid(x: jax.Array) -> jax.Array:
    """The logistic sigmoid y = 1 / (1 + exp(-x)), elementwise.

    Args:
        x: floats of any shape.

    Returns:
        y, in [0, 1], of the same shape and dtype, computed in float32 or wider. NaN stays NaN.

    Raises:
        InputError: for integers.

    Remembers:
        y.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> sigmoid(jnp.array([-1e4, 0.0, 1e4])).tolist(), float(jax.grad(sigmoid)(0.0))
        ([0.0, 0.5, 1.0], 0.25)
    """
    return jax.nn.sigmoid(x)


@sigmoid.validate
def _(x):
    check_floats("sigmoid", x)


@sigmoid.forward
def _(x):
    y = jax.nn.sigmoid(jnp.asarray(x, wide(x)))  # in float16, exp(12) overflows
    y = y.astype(jnp.result_type(x))
    return y, y


@sigmoid.backward
def _(y, dy):
    # y = 1 / (1 + exp(-x))
    return (dy * y * (1 - y),)


@rule
def tanh(x: jax.Array) -> jax.Array:
    """The hyperbolic tangent y = (exp(x) - exp(-x)) / (exp(x) + exp(-x)), elementwise.

    Args:
        x: floats of any shape.

    Returns:
        y, in [-1, 1], of the same shape and dtype. NaN stays NaN.

    Raises:
        InputError: for integers.

    Remembers:
        y.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> tanh(jnp.array([-1e4, 0.0, 1e4])).tolist(), float(jax.grad(tanh)(0.0))
        ([-1.0, 0.0, 1.0], 1.0)
    """
    return jnp.tanh(x)


@tanh.validate
def _(x):
    check_floats("tanh", x)


@tanh.forward
def _(x):
    y = jnp.tanh(x)
    return y, y


@tanh.backward
def _(y, dy):
    # y = tanh(x)
    return (dy * (1 - y * y),)


@rule
def softplus(x: jax.Array) -> jax.Array:
    """The smooth rectifier y = log(1 + exp(x)), elementwise, exact for x of any size.

    Args:
        x: floats of any shape.

    Returns:
        y, of the same shape and dtype, computed in float32 or wider. NaN stays NaN.

    Raises:
        InputError: for integers.

    Remembers:
        y.

    Source:
        Dugas et al. (2001).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> softplus(jnp.array([-1e4, 0.0, 1e4])).round(4).tolist(), float(jax.grad(softplus)(0.0))
        ([0.0, 0.6931, 10000.0], 0.5)
    """
    return jax.nn.softplus(x)


@softplus.validate
def _(x):
    check_floats("softplus", x)


@softplus.forward
def _(x):
    wide_x = jnp.asarray(x, wide(x))
    y = right(wide_x) + _log1p_to_one(jnp.exp(left(wide_x) - right(wide_x)))
    y = y.astype(jnp.result_type(x))
    return y, y


@softplus.backward
def _(y, dy):
    # y = log(1 + exp(x))      y' = 1 - exp(-y)
    return (-dy * _expm1_below_zero(-y.astype(wide(y))),)


@rule(static=["alpha"])
def elu(x: jax.Array, alpha: float = 1.0) -> jax.Array:
    """The exponential linear unit y = x where x > 0, alpha (exp(x) - 1) elsewhere, with slope alpha at 0.

    Args:
        x: floats of any shape.
        alpha: what y falls to on the left is -alpha; at least 0.

    Returns:
        y, of the same shape and dtype, computed in float32 or wider. NaN stays NaN.

    Raises:
        InputError: for integers, and for a negative alpha.

    Remembers:
        y.

    Source:
        Clevert, Unterthiner and Hochreiter (2016).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> elu(jnp.array([-1e4, 0.0, 2.0]), 0.5).tolist(), float(jax.grad(elu)(0.0, 0.5))
        ([-0.5, 0.0, 2.0], 0.5)
    """
    return jax.nn.elu(x, alpha)


@elu.validate
def _(x, alpha):
    check_floats("elu", x)
    if not alpha >= 0:
        raise InputError(f"elu needs an alpha of at least 0, got {alpha}: the sign of y must tell that of x")


@elu.forward
def _(x, alpha):
    y = _elu(x, alpha).astype(jnp.result_type(x))
    return y, y


@elu.backward
def _(y, dy, *, alpha):
    # y = x where positive, alpha (exp(x) - 1) elsewhere
    return (dy * jnp.where(y > 0, 1, y + alpha),)


@rule
def selu(x: jax.Array) -> jax.Array:
    """The self-normalising unit y = 1.0507 elu(x, 1.6733), which draws activations to mean 0 and variance 1.

    Args:
        x: floats of any shape.

    Returns:
        y, of the same shape and dtype, computed in float32 or wider. NaN stays NaN.

    Raises:
        InputError: for integers.

    Remembers:
        y.

    Source:
        Klambauer, Unterthiner, Mayr and Hochreiter (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jax.random.normal(jax.random.key(0), (100_000,))
        >>> y = selu(x)
        >>> abs(float(y.mean())) < 0.01, round(float(y.var()), 1)
        (True, 1.0)
    """
    return SELU_SCALE * jax.nn.elu(x, SELU_ALPHA)


@selu.validate
def _(x):
    check_floats("selu", x)


@selu.forward
def _(x):
    y = (SELU_SCALE * _elu(x, SELU_ALPHA)).astype(jnp.result_type(x))
    return y, y


@selu.backward
def _(y, dy):
    # y = scale x where positive, scale alpha (exp(x) - 1) elsewhere
    limit = np.asarray(SELU_SCALE * SELU_ALPHA, y.dtype)  # rounded as y is: where y has come to -limit, the slope is 0
    y = y.astype(wide(y))
    return (dy * jnp.where(y > 0, SELU_SCALE, y + limit),)


def _elu(x, alpha):
    """In float32 or wider."""
    wide_x = jnp.asarray(x, wide(x))
    return right(wide_x) + alpha * _expm1_below_zero(left(wide_x))


def _expm1_below_zero(x):
    """exp(x) - 1 for x <= 0, to the last digits."""
    t = jnp.tanh(x / 2)
    return 2 * t / (1 - t)


def _log1p_to_one(e):
    """log(1 + e) for 0 <= e <= 1, to the last digits: 2 artanh(z) = 2 z sum of z^2k / (2k + 1)."""
    z = e / (2 + e)
    terms = 17 if e.dtype == jnp.float64 else 8  # z <= 1/3, so that one term has a ninth of the one before
    series = 0.0
    for k in reversed(range(terms)):
        series = series * (z * z) + 1 / (2 * k + 1)
    return 2 * z * series


class Sigmoid(RuleLayer):
    """The layer of `sigmoid`; it has no parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> Sigmoid().apply({}, {}, jnp.array([0.0]))[0].tolist()
        [0.5]
    """

    rule = sigmoid


class Tanh(RuleLayer):
    """The layer of `tanh`; it has no parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> Tanh().apply({}, {}, jnp.array([0.0]))[0].tolist()
        [0.0]
    """

    rule = tanh


class Softplus(RuleLayer):
    """The layer of `softplus`; it has no parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> Softplus().apply({}, {}, jnp.array([100.0]))[0].tolist()
        [100.0]
    """

    rule = softplus


class Elu(RuleLayer):
    """The layer of `elu`; it has no parameters.

    Args:
        alpha: what y falls to on the left is -alpha.

    Example:
        >>> import jax.numpy as jnp
        >>> Elu(0.5).apply({}, {}, jnp.array([-100.0, 2.0]))[0].tolist()
        [-0.5, 2.0]
    """

    rule = elu
    alpha: float = 1.0


class Selu(RuleLayer):
    """The layer of `selu`; it has no parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> Selu().apply({}, {}, jnp.array([0.0]))[0].tolist()
        [0.0]
    """

    rule = selu
