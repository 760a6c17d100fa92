"""Global pools: one number for each channel, the mean or the largest of all positions.

    mean:     y_c = 1/n sum over positions u of x_uc        dx_uc = dy_c / n
    largest:  y_c = max over positions u of x_uc            dx_uc = dy_c where u is the winner of channel c, 0 elsewhere

The first of several equal positions in row-major order is the winner, and so is the first NaN. The mean remembers
the sizes of x alone, the largest also where the winners are.

Source: Lin, Chen and Yan, "Network in network" (2014).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.errors import InputError
from fdl.layers.checks import check_floats
from fdl.layers.rule_layer import RuleLayer
from fdl.layers.taps import as_rows, check_images
from fdl.rule import rule, wide


@rule
def global_avg_pool(x: jax.Array) -> jax.Array:
    """The mean of every channel over all positions; sums are accumulated in float32 or wider.

    Args:
        x: [N, *spatial, C] with one to three spatial axes.

    Returns:
        y: [N, C], in the dtype of x.

    Raises:
        InputError: for x of another rank, of integers, or without any position.

    Remembers:
        the sizes of x, in no bytes.

    Source:
        Lin, Chen and Yan (2014).

    Example:
        >>> import jax.numpy as jnp
        >>> global_avg_pool(jnp.array([[[1.0, 10.0], [3.0, 20.0]]])).tolist()
        [[2.0, 15.0]]
    """
    return jnp.mean(x, axis=tuple(range(1, x.ndim - 1)), dtype=wide(x)).astype(x.dtype)


@global_avg_pool.validate
def _(x):
    _check_x("global_avg_pool", x)


@global_avg_pool.forward
def _(x):
    return global_avg_pool.reference(x), x[..., :0]


@global_avg_pool.backward
def _(x, dy):
    (_, channels), n = dy.shape, math.prod(x.shape[1:-1])
    # y = sum x / n
    dx = dy.astype(wide(dy)) / n
    return (jnp.broadcast_to(_at_positions(dx, x), (*x.shape[:-1], channels)),)


@rule
def global_max_pool(x: jax.Array) -> jax.Array:
    """The largest of every channel over all positions; ties go to the first in row-major order.

    Args:
        x: [N, *spatial, C] with one to three spatial axes.

    Returns:
        y: [N, C], in the dtype of x. A NaN wins.

    Raises:
        InputError: for x of another rank, of integers, or without any position.

    Remembers:
        the number of the position that won, as the smallest unsigned integer that holds how many there are, of the
        shape of y, and the sizes of x, in no bytes.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.array([[[1.0], [3.0], [3.0]]])
        >>> global_max_pool(x).tolist(), jax.grad(lambda x: global_max_pool(x).sum())(x).ravel().tolist()
        ([[3.0]], [0.0, 1.0, 0.0])
    """
    rows = as_rows(x)
    return jnp.take_along_axis(rows, jnp.argmax(rows, axis=1, keepdims=True), axis=1)[:, 0]


@global_max_pool.validate
def _(x):
    _check_x("global_max_pool", x)


@global_max_pool.forward
def _(x):
    winner = _first_largest(x)
    y = jnp.take_along_axis(as_rows(x), winner[:, None].astype(int), axis=1)[:, 0]
    return y, (winner, x[..., :0])


@global_max_pool.backward
def _(remembered, dy):
    winner, x = remembered
    # y = x at the winner
    return (jnp.where(_numbers(x) == _at_positions(winner, x), _at_positions(dy, x), 0),)


def _numbers(x):
    """The number of each position, as the smallest integer that holds one more: [*spatial, 1]."""
    n = math.prod(x.shape[1:-1])
    return np.arange(n, dtype=np.min_scalar_type(n)).reshape(*x.shape[1:-1], 1)


def _first_largest(x):
    """The number of the first position that is the largest, or NaN: [N, C]."""
    spatial, numbers = tuple(range(1, x.ndim - 1)), _numbers(x)
    largest = _at_positions(jnp.max(x, axis=spatial), x)
    return jnp.min(jnp.where((x == largest) | jnp.isnan(x), numbers, numbers.size), axis=spatial)


def _at_positions(y, x):
    """[N, C] with an axis of size one for each spatial axis of x."""
    return jnp.expand_dims(y, tuple(range(1, x.ndim - 1)))


def _check_x(who, x):
    check_images(who, x)
    check_floats(who, x)
    if 0 in jnp.shape(x)[1:-1]:
        raise InputError(f"{who} needs at least one position, got x of shape {list(jnp.shape(x))}")


class GlobalAvgPool(RuleLayer):
    """The layer of `global_avg_pool`.

    Example:
        >>> import jax.numpy as jnp
        >>> GlobalAvgPool().apply({}, {}, jnp.ones((5, 7, 7, 8)))[0].shape
        (5, 8)
    """

    rule = global_avg_pool

    def receptive_window(self, x: Any) -> tuple[tuple[int, int, int], ...]:
        return tuple((size, 1, 1) for size in x.shape[1:-1])


class GlobalMaxPool(RuleLayer):
    """The layer of `global_max_pool`.

    Example:
        >>> import jax.numpy as jnp
        >>> GlobalMaxPool().apply({}, {}, jnp.ones((5, 7, 7, 8)))[0].shape
        (5, 8)
    """

    rule = global_max_pool

    def receptive_window(self, x: Any) -> tuple[tuple[int, int, int], ...]:
        return tuple((size, 1, 1) for size in x.shape[1:-1])
