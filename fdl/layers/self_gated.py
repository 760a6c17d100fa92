"""Self-gated activations: y = x g(x), where a gate g between 0 and 1 decides how much of x goes through.

    silu     g = s                     s = 1 / (1 + exp(-x)), the sigmoid
    swish    g = sigmoid(beta x)       with a learned beta: 1 is silu, large ones come near to relu
    gelu     g = P(Z <= x)             Z normal; or its approximation (1 + tanh(u)) / 2, u = c (x + 0.044715 x^3)
    mish     g = tanh(softplus(x))

They are applied to every element by itself. The product rule gives y' = g + x g', and the sigmoid has
s' = s (1 - s), so

    silu     y' = s + x s (1 - s)
    swish    y' = s + beta x s (1 - s)        dbeta = sum x^2 s (1 - s) dy        s = sigmoid(beta x)
    gelu     y' = g + x exp(-x^2 / 2) / sqrt(2 pi)
             y' = (1 + t) / 2 + x (1 - t^2) / 2 u'    t = tanh(u), u' = c (1 + 3 0.044715 x^2), c = sqrt(2 / pi)

Mish reads as if it took an exponential, a logarithm and a tanh. With s the sigmoid again, exp(softplus) is
1 + exp(x) = 1 / (1 - s), and tanh(log a) = (a^2 - 1) / (a^2 + 1), so

    g  = (1 - (1 - s)^2) / (1 + (1 - s)^2) = m / (2 - m)           m = s (2 - s)
    g' = 2 m' / (2 - m)^2 = 4 s (1 - s)^2 / (2 - m)^2              m' = 2 (1 - s) s'

which costs one exponential for value and slope together, and holds for x of any size.

x is all that is remembered, although y is what exists anyway: y does not tell x, because these functions
fall before they rise. At minus infinity they are 0 times infinity, which is NaN.

Sources: gelu and silu: Hendrycks and Gimpel, "Gaussian error linear units" (2016); swish: Ramachandran, Zoph
and Le, "Searching for activation functions" (2017); mish: Misra, "Mish: a self regularized non-monotonic
activation function" (2019).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from fdl.layer import Tree
from fdl.layers.checks import check_approximate, check_feature_scale, check_floats
from fdl.layers.rule_layer import RuleLayer, learned_scalar
from fdl.rule import rule, wide


@rule
def silu(x: jax.Array) -> jax.Array:
    """The sigmoid linear unit y = x / (1 + exp(-x)), elementwise.

    Args:
        x: floats of any shape.

    Returns:
        y, of the same shape and dtype, computed in float32 or wider. NaN stays NaN.

    Raises:
        InputError: for integers.

    Remembers:
        x.

    Source:
        Hendrycks and Gimpel (2016).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> silu(jnp.array([-1e4, 0.0, 1e4])).tolist(), float(jax.grad(silu)(0.0))
        ([0.0, 0.0, 10000.0], 0.5)
    """
    return _narrow(jax.nn.silu(_widen(x)), x)


@silu.validate
def _(x):
    check_floats("silu", x)


@silu.forward
def _(x):
    return silu.reference(x), x


@silu.backward
def _(x, dy):
    return (dy * silu_slope(_widen(x)),)


def silu_slope(x: jax.Array) -> jax.Array:
    """The derivative of `silu`, which the backward pass of a gated unit needs too."""
    # y = x s      s = sigmoid(x)
    s = jax.nn.sigmoid(x)
    return s + x * s * (1 - s)


@rule
def swish(x: jax.Array, beta: jax.Array) -> jax.Array:
    """The swish y = x / (1 + exp(-beta x)), elementwise, with a learned beta.

    Args:
        x: [..., C], floats.
        beta: how sharp the gate is: a scalar, or [C] for one per feature.

    Returns:
        y, of the shape and dtype of x, computed in float32 or wider. NaN stays NaN.

    Raises:
        InputError: for integers, and when beta has another shape.

    Remembers:
        x and beta, which exist anyway.

    Source:
        Ramachandran, Zoph and Le (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.array([-2.0, 0.0, 2.0])
        >>> swish(x, jnp.array(0.0)).tolist(), swish(x, jnp.array(100.0)).tolist()
        ([-1.0, 0.0, 1.0], [0.0, 0.0, 2.0])
        >>> jax.grad(lambda beta: swish(x, beta).sum())(jnp.array(0.0)).tolist()
        2.0
    """
    return _narrow(_widen(x) * jax.nn.sigmoid(_widen(x) * beta), x)


@swish.validate
def _(x, beta):
    check_floats("swish", x)
    check_feature_scale("swish", x, beta=beta)


@swish.forward
def _(x, beta):
    return swish.reference(x, beta), (x, beta)


@swish.backward
def _(residuals, dy):
    x, beta = residuals
    x = _widen(x)
    # y = x s      s = sigmoid(beta x)
    s = jax.nn.sigmoid(x * beta)
    dgate = dy * x * s * (1 - s)
    shared_axes = tuple(range(jnp.ndim(x) - jnp.ndim(beta)))
    return dy * s + beta * dgate, jnp.sum(x * dgate, shared_axes)


@rule(static=["approximate"])
def gelu(x: jax.Array, approximate: bool = True) -> jax.Array:
    """The Gaussian error linear unit y = x P(Z <= x), elementwise, with Z a standard normal variable.

    Args:
        x: floats of any shape.
        approximate: whether P is taken as (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, which is off by at
            most 0.0005, and what GPT-2 uses; otherwise it is (1 + erf(x / sqrt(2))) / 2. The far left tail,
            where either one is smaller than the rounding of 1, comes out as about 0.

    Returns:
        y, of the same shape and dtype, computed in float32 or wider. NaN stays NaN.

    Raises:
        InputError: for integers, and for an ``approximate`` that is no bool.

    Remembers:
        x.

    Source:
        Hendrycks and Gimpel (2016).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> gelu(jnp.array([-1.0, 0.0, 1.0])).round(4).tolist(), float(jax.grad(gelu)(0.0))
        ([-0.1588, 0.0, 0.8412], 0.5)
        >>> gelu(jnp.array([-1.0, 0.0, 1.0]), approximate=False).round(4).tolist()
        [-0.1587, 0.0, 0.8413]
    """
    return _narrow(jax.nn.gelu(_widen(x), approximate), x)


@gelu.validate
def _(x, approximate):
    check_floats("gelu", x)
    check_approximate("gelu", approximate)


@gelu.forward
def _(x, approximate):
    return _narrow(_widen(x) * _gelu_gate(_widen(x), approximate), x), x


@gelu.backward
def _(x, dy, *, approximate):
    return (dy * gelu_slope(_widen(x), approximate),)


def gelu_slope(x: jax.Array, approximate: bool) -> jax.Array:
    """The derivative of `gelu`, which the backward pass of a gated unit needs too."""
    # y = x g
    if approximate:  # g = (1 + t) / 2      t = tanh(u)      u = c (x + 0.044715 x^3)
        t = jnp.tanh(_gelu_u(x))
        du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
        return (1 + t) / 2 + x * (1 - t * t) / 2 * du
    # g = P(Z <= x), whose derivative is the density of Z
    return _gelu_gate(x, approximate) + x * jnp.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _gelu_gate(x, approximate):
    return (1 + (jnp.tanh(_gelu_u(x)) if approximate else jax.lax.erf(x / math.sqrt(2)))) / 2


def _gelu_u(x):
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


@rule
def mish(x: jax.Array) -> jax.Array:
    """The self-regularised y = x tanh(log(1 + exp(x))), elementwise.

    Args:
        x: floats of any shape.

    Returns:
        y, of the same shape and dtype, computed in float32 or wider. NaN stays NaN.

    Raises:
        InputError: for integers.

    Remembers:
        x.

    Source:
        Misra (2019).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> mish(jnp.array([-1e4, 0.0, 1e4])).tolist(), float(jax.grad(mish)(0.0))
        ([0.0, 0.0, 10000.0], 0.6)
    """
    return _narrow(jax.nn.mish(_widen(x)), x)


@mish.validate
def _(x):
    check_floats("mish", x)


@mish.forward
def _(x):
    s = jax.nn.sigmoid(_widen(x))
    m = s * (2 - s)
    return _narrow(_widen(x) * m / (2 - m), x), x


@mish.backward
def _(x, dy):
    x = _widen(x)
    # y = x g      g = m / (2 - m)      m = s (2 - s)      s = sigmoid(x)
    s = jax.nn.sigmoid(x)
    m = s * (2 - s)
    off = 1 - s
    dg = 4 * s * off * off / ((2 - m) * (2 - m))
    return (dy * (m / (2 - m) + x * dg),)


def _widen(x):
    return jnp.asarray(x, wide(x))


def _narrow(y, x):
    return y.astype(jnp.result_type(x))


class Silu(RuleLayer):
    """The layer of `silu`; it has no parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> Silu().apply({}, {}, jnp.array([0.0, 100.0]))[0].tolist()
        [0.0, 100.0]
    """

    rule = silu


class Swish(RuleLayer):
    """The layer of `swish`, with the parameter ``beta`` [C], or a scalar when it is shared.

    Args:
        start: where beta starts.
        shared: whether all features share one beta.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = Swish(shared=True), jnp.array([[0.0, 100.0]])
        >>> params, state = layer.init(jax.random.key(0), x)
        >>> params["beta"].tolist(), layer.apply(params, state, x)[0].tolist()
        (1.0, [[0.0, 100.0]])
    """

    rule = swish
    start: float = 1.0
    shared: bool = False

    def init(self, key: Any, x: Any) -> tuple[Tree, Tree]:
        return {"beta": learned_scalar("Swish", x, self.start, self.shared)}, {}


class Gelu(RuleLayer):
    """The layer of `gelu`; it has no parameters.

    Args:
        approximate: whether the normal distribution is approximated by a tanh.

    Example:
        >>> import jax.numpy as jnp
        >>> Gelu(approximate=False).apply({}, {}, jnp.array([0.0, 100.0]))[0].tolist()
        [0.0, 100.0]
    """

    rule = gelu
    approximate: bool = True


class Mish(RuleLayer):
    """The layer of `mish`; it has no parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> Mish().apply({}, {}, jnp.array([0.0, 100.0]))[0].tolist()
        [0.0, 100.0]
    """

    rule = mish
