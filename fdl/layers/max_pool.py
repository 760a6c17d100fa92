"""Max pooling: of all that a window sees, in each channel, the largest.

    y_o = max over taps t of x[o s - low + t]            x: [N, *spatial, C]   y: [N, *windows, C]

y moves only with the position that won, so each window's gradient goes there, and a position that won in several
overlapping windows collects from all of them:

    dx_u = sum over windows o of dy_o where the winner of o lies at u

The first of several equal taps in row-major order is the winner, so is the first NaN, and padding never wins. What is
remembered is the number of the winning tap: one byte for every window of up to 255 taps, and neither x nor y.

The way of dy from the windows to the winners is a linear map P, and unpooling is that map by itself,

    x = P y                dy = P^T dx,  dy_o = dx at the winner of o

which draws what a pool has left back at the places where it was found, and 0 elsewhere. Values that meet at one
position add up, as the gradients do.

Sources: Ranzato, Huang, Boureau and LeCun, "Unsupervised learning of invariant feature hierarchies with applications
to object recognition" (2007), pooling; Zeiler and Fergus, "Visualizing and understanding convolutional networks"
(2014) and Badrinarayanan, Kendall and Cipolla, "SegNet" (2017), unpooling.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.counts import for_each_axis
from fdl.errors import InputError
from fdl.ids import check_ids
from fdl.layers.checks import check_floats
from fdl.layers.rule_layer import RuleLayer
from fdl.layers.taps import (
    as_rows,
    check_images,
    check_pool,
    collected,
    first_inside,
    once,
    padded,
    pool_windows,
    seen,
    stages,
    tap_dtype,
    taps,
)
from fdl.rule import rule, wide
from fdl.windows import Padding


@rule(static=["window", "stride", "padding"])
def max_pool(
    x: jax.Array,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> jax.Array:
    """The largest of what each window sees, in each channel; ties go to the first in row-major order.

    Args:
        x: [N, *spatial, C] with one to three spatial axes.
        window: how many positions it is long, as one number for all axes or one for each.
        stride: how far it is from one window to the next, likewise; None for the window, so that windows tile.
        padding: "VALID", "VALID_EXACT", "SAME", a number of positions on every side, or (low, high) for each axis.

    Returns:
        y: [N, *windows, C], in the dtype of x. A NaN in a window wins; padding never does.

    Raises:
        InputError: for x of another rank or of integers, and for windows that do not lie on it as `fdl.windows` says
            or that see nothing but padding.

    Remembers:
        the number of the tap that won, as the smallest unsigned integer that holds how many there are, of the shape
        of y.

    Source:
        Ranzato, Huang, Boureau and LeCun (2007).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.array([1.0, 3.0, 5.0, 5.0]).reshape(1, 4, 1)
        >>> max_pool(x, 2).ravel().tolist(), jax.grad(lambda x: max_pool(x, 2).sum())(x).ravel().tolist()
        ([3.0, 5.0], [0.0, 1.0, 1.0, 0.0])
    """
    laid = _laid(x, window, stride, padding)
    around = ((0, 0), *laid.padding, (0, 0))
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, *laid.kernel, 1), (1, *laid.stride, 1), around)


@max_pool.validate
def _(x, window, *, stride, padding):
    check_pool("max_pool", x, window, stride, padding)


@max_pool.forward
def _(x, window, *, stride, padding):
    laid = _laid(x, window, stride, padding)
    y = _largest(x, laid)
    return y, (once(lambda x: _winner(x, laid), x), x[..., :0])  # and the sizes of x, in no bytes


@max_pool.backward
def _(remembered, dy, *, window, stride, padding):
    winner, x = remembered
    # y = x at the winner
    dy = once(lambda dy: dy, dy)
    return (_placed(dy, winner, _laid(x, window, stride, padding), x.shape[1:-1]),)


def max_pool_index(
    x: jax.Array,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> jax.Array:
    """The number of the tap that wins in each window of `max_pool`: what `max_unpool` needs to know besides y.

    Compiled together with max_pool(x), it costs little more than that alone.

    Args:
        x, window, stride, padding: as for `max_pool`.

    Returns:
        index: [N, *windows, C], unsigned integers; the taps of a window are numbered in row-major order.

    Raises:
        InputError: as `max_pool`.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[1.0, 3.0, 5.0, 5.0], [9.0, 0.0, 0.0, 0.0]]).reshape(1, 2, 4, 1)
        >>> max_pool_index(x, 2).ravel().tolist()
        [2, 0]
    """
    check_pool("max_pool_index", x, window, stride, padding)
    laid = _laid(x, window, stride, padding)
    return _winner(x, laid)


@rule(static=["size", "window", "stride", "padding"])
def max_unpool(
    y: jax.Array,
    index: jax.Array,
    size: int | Sequence[int],
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> jax.Array:
    """Places each value where its window found its maximum, and 0 elsewhere; values that meet add up.

    Args:
        y: [N, *windows, C].
        index: the number of a tap for each element of y, as `max_pool_index` gives it.
        size: of the spatial axes of the result, one number for all or one for each: those of what was pooled.
        window, stride, padding: as for the `max_pool` that gave the index.

    Returns:
        x: [N, *size, C], in the dtype of y.

    Raises:
        InputError: when y is not what a pool of that size gives, when the index is not of the shape of y, and for
            numbers that are no tap's, where they can be seen. Inside jit they cannot, and their values are left out.

    Remembers:
        the index, which exists anyway.

    Source:
        Zeiler and Fergus (2014).

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([1.0, 3.0, 5.0, 5.0]).reshape(1, 4, 1)
        >>> max_unpool(max_pool(x, 2), max_pool_index(x, 2), 4, 2).ravel().tolist()
        [0.0, 3.0, 5.0, 0.0]
    """
    sizes = for_each_axis("max_unpool", "size", size, y.ndim - 2)
    laid = pool_windows("max_unpool", sizes, window, stride, padding)
    position, exists = _position(index, laid, sizes)
    example, channel = jnp.arange(y.shape[0])[:, None, None], jnp.arange(y.shape[-1])
    x = jnp.zeros((y.shape[0], math.prod(sizes), y.shape[-1]), wide(y))
    x = x.at[example, as_rows(position), channel].add(as_rows(jnp.where(exists, y, 0)))
    return x.reshape(y.shape[0], *sizes, y.shape[-1]).astype(y.dtype)


@max_unpool.validate
def _(y, index, size, window, *, stride, padding):
    check_images("max_unpool", y)
    check_floats("max_unpool", y)
    sizes = for_each_axis("max_unpool", "size", size, y.ndim - 2)
    laid = pool_windows("max_unpool", sizes, window, stride, padding)
    if laid.output != jnp.shape(y)[1:-1]:
        raise InputError(
            f"max_unpool expects y of shape [N, {', '.join(map(str, laid.output))}, C], which is what a pool makes of "
            f"sizes {list(sizes)} with these windows, got {list(jnp.shape(y))}"
        )
    if not jnp.issubdtype(jnp.result_type(index), jnp.integer) or jnp.shape(index) != jnp.shape(y):
        raise InputError(
            f"max_unpool expects an index as integers of the shape of y, {list(jnp.shape(y))}, as max_pool_index gives "
            f"it, got {jnp.result_type(index)} of shape {list(jnp.shape(index))}"
        )
    check_ids("max_unpool", index, math.prod(laid.kernel))


@max_unpool.forward
def _(y, index, size, window, *, stride, padding):
    sizes = for_each_axis("max_unpool", "size", size, y.ndim - 2)
    laid = pool_windows("max_unpool", sizes, window, stride, padding)
    return _placed(jnp.where(index < math.prod(laid.kernel), y, 0), index, laid, sizes), index


@max_unpool.backward
def _(index, dx, *, size, window, stride, padding):
    laid = _laid(dx, window, stride, padding)
    position, exists = _position(index, laid, dx.shape[1:-1])
    # x[position] = y
    dy = jnp.take_along_axis(as_rows(dx), as_rows(position), axis=1).reshape(index.shape)
    return jnp.where(exists, dy, 0), None


def _position(index, laid, sizes):
    """Where the tap of each window lies among all positions, and whether it exists and is no padding."""
    position, exists = 0, index < math.prod(laid.kernel)
    taps_on = jnp.unravel_index(index.astype(int), laid.kernel)
    axes = zip(taps_on, laid.stride, laid.padding, laid.output, sizes, strict=True)
    for axis, (tap, s, (low, _), out, n) in enumerate(axes):
        start = (s * np.arange(out) - low).reshape(out, *(1 for _ in sizes[axis:]))  # along this axis of the index
        along = start + tap
        exists = exists & (along >= 0) & (along < n)
        position = position * n + along
    return jnp.where(exists, position, 0), exists


def _laid(x, window, stride, padding):
    return pool_windows("max_pool", x.shape[1:-1], window, stride, padding)


def _largest(x, laid):
    for stage, _ in stages(laid, x.shape[1:-1]):
        x = functools.reduce(_larger, taps(x, stage, -jnp.inf))
    return x


@jax.custom_jvp
def _larger(first, second):
    return jnp.maximum(first, second)


_larger.defjvps(  # JAX's own derivative splits a tie in halves
    lambda dfirst, _, first, second: jnp.where((first >= second) | jnp.isnan(first), dfirst, 0),
    lambda dsecond, _, first, second: jnp.where((first >= second) | jnp.isnan(first), 0, dsecond),
)


def _winner(x, laid):
    """The number of the first tap that is the largest, or NaN; of ties with padding, the first that is no padding."""
    # Where there are several stages, tap (2, 3) of 5 x 5 is found as 3 on the last axis and then 10 more on the first.
    winner = jnp.zeros(x.shape, tap_dtype(laid))
    for stage, _ in stages(laid, x.shape[1:-1]):
        y, found = _largest(x, stage), jnp.zeros_like(winner, shape=())
        values, so_far = taps(*padded(x, stage, -jnp.inf), 0), taps(winner, stage, 0)
        last_to_first = reversed(list(zip(np.ndindex(*stage.kernel), values, so_far, strict=True)))
        for tap, value, before in last_to_first:  # the first that is the largest has the last word
            number = np.array(np.ravel_multi_index(tap, laid.kernel), winner.dtype)
            found = jnp.where((value == y) | jnp.isnan(value), number + before, found)
        x, winner = y, found
    # Where all is minus infinity, the first tap is the largest, and may be padding.
    return jnp.maximum(winner, first_inside(laid).astype(winner.dtype))


def _placed(values, index, laid, sizes):
    """Every value at the position of its tap, and 0 elsewhere."""

    def term(number, index, values):
        return jnp.where(index == number, values, 0)

    return collected(term, laid, sizes, index, values.astype(wide(values))).astype(values.dtype)


class MaxPool(RuleLayer):
    """The layer of `max_pool`.

    Args:
        window, stride, padding: as for `max_pool`.

    Example:
        >>> import jax.numpy as jnp
        >>> MaxPool(3, stride=2, padding="SAME").apply({}, {}, jnp.ones((5, 28, 28, 8)))[0].shape
        (5, 14, 14, 8)
    """

    rule = max_pool
    window: int | tuple[int, ...]
    stride: int | tuple[int, ...] | None = None
    padding: str | int | tuple[tuple[int, int], ...] = "VALID"

    def receptive_window(self, x: Any) -> tuple[tuple[int, int, int], ...]:
        return seen(pool_windows("MaxPool", x.shape[1:-1], self.window, self.stride, self.padding))
