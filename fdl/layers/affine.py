"""The affine map: every output is a weighted sum of all inputs, plus a bias.

    y = x w + b                  x: [..., in]   w: [in, out]   b: [out]   y: [..., out]

Written out for one row, y_j = sum_i x_i w_ij + b_j, so

    dL/dx_i  = sum_j dL/dy_j dy_j/dx_i  = sum_j dy_j w_ij            dx = dy w^T
    dL/dw_ij = sum over rows of x_i dy_j                             dw = x^T dy
    dL/db_j  = sum over rows of dy_j                                 db = sum over rows of dy

where "rows" are all leading axes together: a weight that was used in every row collects its gradient
from every row. x and w are what backward needs, and both exist anyway: nothing is remembered that
was not there before.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.initializers import Initializer, he_normal, zeros
from fdl.keys import split_key
from fdl.layer import Layer, Tree
from fdl.layers.checks import check_initializers, check_product, weights_of
from fdl.rule import rule, wide


@rule
def affine(x: jax.Array, w: jax.Array, b: jax.Array | None = None) -> jax.Array:
    """The affine map y = x w + b of the last axis; sums are accumulated in float32 or wider.

    Args:
        x: [..., in], with any leading axes.
        w: [in, out].
        b: [out], or None for a linear map.

    Returns:
        y: [..., out].

    Raises:
        InputError: when the shapes do not fit together, and when x and w are both integers.

    Remembers:
        x and w, which exist anyway.

    Example:
        >>> import jax.numpy as jnp
        >>> affine(jnp.array([1.0, 2.0]), jnp.array([[1.0, 0.0], [0.0, 3.0]]), jnp.array([0.5, 0.5]))
        Array([1.5, 6.5], dtype=float32)
    """
    y = jnp.matmul(x, w, preferred_element_type=wide(x, w))
    if b is not None:
        y = y + b
    return y.astype(jnp.result_type(x, w))


@affine.validate
def _(x, w, b):
    x_shape, w_shape = jnp.shape(x), jnp.shape(w)
    if len(w_shape) != 2:
        raise InputError(f"affine expects w of shape [in, out], got {list(w_shape)}")
    if not x_shape or x_shape[-1] != w_shape[0]:
        raise InputError(
            f"affine expects x of shape [..., {w_shape[0]}] for w of shape {list(w_shape)}, got {list(x_shape)}: "
            "the last axis of x must have as many features as w has rows"
        )
    check_product("affine", x, w)
    if b is not None and jnp.shape(b) != w_shape[1:]:
        raise InputError(f"affine expects b of shape {list(w_shape[1:])}, got {list(jnp.shape(b))}")


@affine.forward
def _(x, w, b):
    return affine.reference(x, w, b), (x, w)


@affine.backward
def _(residuals, dy):
    x, w = residuals
    # y = x w + b
    dx = jnp.matmul(dy, w.T, preferred_element_type=wide(dy, w))
    dw = jnp.matmul(_rows(x).T, _rows(dy), preferred_element_type=wide(x, dy))
    db = jnp.sum(_rows(dy), axis=0, dtype=wide(dy))
    return dx, dw, db


def _rows(x):
    """All leading axes as one."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


class Affine(Layer):
    """A fully connected layer: y = x w + b with parameters ``w`` [in, out] and ``b`` [out].

    Args:
        features: how many outputs; the number of inputs is read off x at init.
        bias: whether there is a ``b``.
        w_init, b_init: how the parameters start.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer = Affine(10)
        >>> params, state = layer.init(jax.random.key(0), jnp.ones((32, 64)))
        >>> y, state = layer.apply(params, state, jnp.ones((32, 64)))
        >>> y.shape
        (32, 10)
    """

    features: int
    bias: bool = True
    w_init: Initializer = he_normal()
    b_init: Initializer = zeros()

    def __post_init__(self) -> None:
        check_count(type(self).__name__, "features", self.features)
        if not isinstance(self.bias, bool):
            raise InputError(
                f"{type(self).__name__} is given its outputs alone, and bias=True or False, got bias={self.bias!r}: "
                "init reads the number of inputs off x"
            )
        check_initializers(self)

    def init(self, key: jax.Array, x: Any) -> tuple[Tree, Tree]:
        if not x.shape:
            raise InputError(f"{type(self).__name__} expects x of shape [..., in], got a scalar")
        w_key, b_key = split_key(type(self).__name__, key)
        params = {"w": self.w_init(w_key, (x.shape[-1], self.features))}
        if self.bias:
            params["b"] = self.b_init(b_key, (self.features,))
        return params, {}

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        return affine(x, *weights_of(self, params)), state
