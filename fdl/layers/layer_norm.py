"""Layer normalisation and RMS normalisation: every row is centred and scaled by itself.

With C features in a row, for each row by itself,

    layer_norm                                  rms_norm
    1. mean = sum x / C                         (mean = 0)
    2. var  = sum (x - mean)^2 / C              var = sum x^2 / C
    3. r    = 1 / sqrt(var + eps)
    4. xhat = (x - mean) r
    5. y    = gamma xhat + beta                 y = gamma xhat

The backward pass walks the steps in reverse. From 5, with sums over all rows,

    dbeta = sum dy        dgamma = sum dy xhat        dxhat = gamma dy

x reaches y directly, through r and through the mean. In a row, dr = sum dxhat (x - mean), and by 3 and 2
this reaches x as -r^3 (x - mean) dr / C; the mean collects -r sum dxhat and hands 1 / C of it to every x:

    dx = r (dxhat - sum dxhat / C - xhat (sum dxhat xhat) / C)

without the middle term for rms_norm. Everything is made from x, dy and two numbers per row (one for
rms_norm), which is what is remembered; xhat is recomputed.

Memory traffic is all that these cost, and on a CPU it depends on how the sums are written: where two sums
share a factor, XLA writes the factor out at full size. So backward has one such factor, dy (x - mean) r, which is
summed over rows as it is, and along a row as its product with gamma; with r behind dy, since (x - mean) r is in y
already, and would be another. The products ask for the highest precision, because some devices round the factors of a
product by default. Forward of layer_norm hides from XLA that the variance subtracts the same mean as y does: it would
write x - mean out, too. For rms_norm nothing helps that is hidden, but a loop: of many rows, a CPU takes two megabytes
at a time, so that the factor does not leave its cache.

Source: Ba, Kiros and Hinton, "Layer normalization" (2016); Zhang and Sennrich, "Root mean square layer
normalization" (2019).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layer import Layer, Tree
from fdl.layers.checks import check_eps, check_names, check_vectors
from fdl.layers.in_groups import group_size, in_groups
from fdl.layers.scale_and_shift import scale_and_shift
from fdl.rule import rule, wide

MOST, LEAST = 2**19, 2**15  # numbers that rms_norm's loop takes at a time: two megabytes, or no loop for fewer


@rule(static=["eps"])
def layer_norm(x: jax.Array, gamma: jax.Array, beta: jax.Array, *, eps: float = 1e-5) -> jax.Array:
    """Normalises every row by its own statistics: y = gamma (x - mean) / sqrt(var + eps) + beta.

    Args:
        x: [..., C]; the statistics of a row are over its C features, the variance biased.
        gamma, beta: [C].
        eps: what keeps the root away from zero.

    Returns:
        y, of the shape and dtype of x.

    Raises:
        InputError: when gamma or beta is not [C].

    Remembers:
        x and gamma, which exist anyway, and two numbers per row.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[1.0, 3.0], [10.0, 30.0]])
        >>> layer_norm(x, jnp.ones(2), jnp.zeros(2)).round(3).tolist()
        [[-1.0, 1.0], [-1.0, 1.0]]
    """
    x_wide = x.astype(wide(x))
    mean = jnp.mean(x_wide, -1, keepdims=True)
    var = jnp.mean(jnp.square(x_wide - mean), -1, keepdims=True)
    return ((x_wide - mean) * jax.lax.rsqrt(var + eps) * gamma + beta).astype(x.dtype)


@layer_norm.validate
def _(x, gamma, beta, *, eps):
    _check_vectors("layer_norm", x, gamma=gamma, beta=beta)


@layer_norm.forward
def _(x, gamma, beta, *, eps):
    rows = _rows(x)
    mean = _finished(jnp.mean(rows, 1))
    r = _finished(_inverse_root(rows - _finished(mean)[:, None], eps))
    y = (rows - mean[:, None]) * r[:, None] * gamma + beta
    return y.reshape(x.shape).astype(x.dtype), (x, gamma, mean, r)


@layer_norm.backward
def _(residuals, dy, *, eps):
    x, gamma, mean, r = residuals
    dy, deviation = _rows(dy), _rows(x) - mean[:, None]
    features = x.shape[-1]
    # y = gamma xhat + beta      xhat = deviation r
    each = dy * deviation * r[:, None]
    dbeta, dgamma = dy.sum(0), each.sum(0)
    from_mean = _dot(dy, gamma) / features
    from_root = _dot(each, gamma) * r / features
    dx = r[:, None] * (gamma * dy - from_mean[:, None] - deviation * from_root[:, None])
    return dx.reshape(x.shape), dgamma, dbeta


@rule(static=["eps"])
def rms_norm(x: jax.Array, gamma: jax.Array, *, eps: float = 1e-6) -> jax.Array:
    """Scales every row by its root mean square: y = gamma x / sqrt(mean(x^2) + eps).

    Args:
        x: [..., C]; the mean of a row is over its C features.
        gamma: [C].
        eps: what keeps the root away from zero.

    Returns:
        y, of the shape and dtype of x.

    Raises:
        InputError: when gamma is not [C].

    Remembers:
        x and gamma, which exist anyway, and one number per row.

    Example:
        >>> import jax.numpy as jnp
        >>> rms_norm(jnp.array([[3.0, 4.0, 0.0, 0.0]]), jnp.ones(4)).round(2).tolist()
        [[1.2, 1.6, 0.0, 0.0]]
    """
    x_wide = x.astype(wide(x))
    square = jnp.mean(jnp.square(x_wide), -1, keepdims=True)
    return (x_wide * jax.lax.rsqrt(square + eps) * gamma).astype(x.dtype)


@rms_norm.validate
def _(x, gamma, *, eps):
    _check_vectors("rms_norm", x, gamma=gamma)


@rms_norm.forward
def _(x, gamma, *, eps):
    rows = _rows(x)
    r = _finished(_inverse_root(rows, eps))
    y = rows * r[:, None] * gamma
    return y.reshape(x.shape).astype(x.dtype), (x, gamma, r)


@rms_norm.backward
def _(residuals, dy, *, eps):
    x, gamma, r = residuals

    x_rows, dy_rows = (a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) for a in (x, dy))
    n, features = x_rows.shape

    def sums(some):
        x, dy, r = some
        # y = gamma xhat      xhat = x r
        each = _rows(dy) * _rows(x) * r[:, None]
        return _dot(each, gamma) * r / features, each.sum(0)

    rows = x_rows, dy_rows, r
    from_root, dgamma = in_groups(sums, group_size(n, features, MOST, LEAST), n, rows, jnp.zeros_like(gamma, wide(x)))
    dx = r[:, None] * (gamma * _rows(dy) - _rows(x) * from_root[:, None])
    return dx.reshape(x.shape), dgamma


def _rows(x):
    """All leading axes as one, in the dtype of sums."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1]).astype(wide(x))


def _dot(a, b):
    """The product of a matrix and a vector."""
    return jnp.matmul(a, b.astype(a.dtype), precision="highest")


def _inverse_root(deviation, eps):
    return jax.lax.rsqrt(jnp.mean(jnp.square(deviation), 1) + eps)


def _finished(statistic):
    """A statistic that is computed before it is used: XLA would spread it over its rows while it computes it."""
    return jax.lax.optimization_barrier(statistic)


def _check_vectors(who, x, **vectors):
    shape = jnp.shape(x)
    if not shape or not shape[-1]:
        raise InputError(f"{who} expects x of shape [..., C] with at least one feature, got {list(shape)}")
    check_vectors(who, x, **vectors)


class LayerNorm(Layer):
    """The layer of `layer_norm`, with parameters ``gamma`` and ``beta``; training and inference are the same.

    Args:
        eps: what keeps the root away from zero.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = LayerNorm(), jnp.array([[1.0, 3.0]])
        >>> params, state = layer.init(jax.random.key(0), x)
        >>> layer.apply(params, state, x)[0].round(3).tolist()
        [[-1.0, 1.0]]
    """

    eps: float = 1e-5

    def __post_init__(self) -> None:
        check_eps("LayerNorm", self.eps)

    def init(self, key: Any, x: Any) -> tuple[Tree, Tree]:
        return scale_and_shift(x), {}

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        check_names(self, params, "gamma", "beta")
        return layer_norm(x, params["gamma"], params["beta"], eps=self.eps), state


class RMSNorm(Layer):
    """The layer of `rms_norm`, with the parameter ``gamma``; training and inference are the same.

    Args:
        eps: what keeps the root away from zero.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = RMSNorm(), jnp.array([[3.0, 4.0, 0.0, 0.0]])
        >>> params, state = layer.init(jax.random.key(0), x)
        >>> layer.apply(params, state, x)[0].round(2).tolist()
        [[1.2, 1.6, 0.0, 0.0]]
    """

    eps: float = 1e-6

    def __post_init__(self) -> None:
        check_eps("RMSNorm", self.eps)

    def init(self, key: Any, x: Any) -> tuple[Tree, Tree]:
        return {"gamma": jnp.ones(x.shape[-1:], jnp.float32)}, {}

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        check_names(self, params, "gamma")
        return rms_norm(x, params["gamma"], eps=self.eps), state
