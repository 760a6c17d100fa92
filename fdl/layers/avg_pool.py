"""Average pooling: of all that a window sees, in each channel, the mean.

    y_o = 1/n_o  sum over taps t of x[o s - low + t]            x: [N, *spatial, C]   y: [N, *windows, C]

where n_o is how many positions the window sees: padding is left out of the mean, or counted as zeros with
``count_padding``, and then n_o is how many taps a window has. Every position that a window sees has the same share
in it, so that

    dx_u = sum over the windows o that lie on u of dy_o / n_o

The n_o follow from the sizes, and nothing is remembered of x but these.

Source: LeCun et al., "Backpropagation applied to handwritten zip code recognition" (1989).
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from fdl.layers.rule_layer import RuleLayer
from fdl.layers.taps import (
    check_pool,
    collected,
    many_taps,
    once,
    overlap,
    pool_windows,
    positions_inside,
    seen,
    stages,
    taps,
)
from fdl.rule import rule, wide
from fdl.windows import Padding


@rule(static=["window", "stride", "padding", "count_padding"])
def avg_pool(
    x: jax.Array,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
    count_padding: bool = False,
) -> jax.Array:
    """The mean of what each window sees, in each channel; sums are accumulated in float32 or wider.

    Args:
        x: [N, *spatial, C] with one to three spatial axes.
        window: how many positions it is long, as one number for all axes or one for each.
        stride: how far it is from one window to the next, likewise; None for the window, so that windows tile.
        padding: "VALID", "VALID_EXACT", "SAME", a number of positions on every side, or (low, high) for each axis.
        count_padding: whether padding counts, as zeros; PyTorch's default.

    Returns:
        y: [N, *windows, C], in the dtype of x.

    Raises:
        InputError: for x of another rank or of integers, and for windows that do not lie on it as `fdl.windows` says
            or that see nothing but padding.

    Remembers:
        the sizes of x, in no bytes.

    Source:
        LeCun et al. (1989).

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([1.0, 3.0, 6.0]).reshape(1, 3, 1)
        >>> avg_pool(x, 2, padding="SAME").ravel().tolist()
        [2.0, 6.0]
        >>> avg_pool(x, 2, padding="SAME", count_padding=True).ravel().tolist()
        [2.0, 3.0]
    """
    laid = pool_windows("avg_pool", x.shape[1:-1], window, stride, padding)
    x_wide = x.astype(wide(x))
    n = math.prod(laid.kernel) if count_padding else _window_sum(jnp.ones_like(x_wide[:1, ..., :1]), laid)
    return (_window_sum(x_wide, laid) / n).astype(x.dtype)


@avg_pool.validate
def _(x, window, *, stride, padding, count_padding):
    check_pool("avg_pool", x, window, stride, padding)


@avg_pool.forward
def _(x, window, *, stride, padding, count_padding):
    laid = pool_windows("avg_pool", x.shape[1:-1], window, stride, padding)
    summed = functools.partial(_summed, laid)
    total = once(summed, x) if overlap(laid) else summed(x)
    return (total / _count(laid, x.shape[1:-1], count_padding)).astype(x.dtype), x[..., :0]


@avg_pool.backward
def _(x, dy, *, window, stride, padding, count_padding):
    sizes = x.shape[1:-1]
    laid = pool_windows("avg_pool", sizes, window, stride, padding)
    # y = sum of taps / n
    shared = functools.partial(_shared, laid, sizes, count_padding)
    return (once(shared, dy) if overlap(laid) else shared(dy),)


def _summed(laid, x):
    x = x.astype(wide(x))
    return _window_sum(x, laid) if many_taps(laid) else sum(taps(x, laid, 0))


def _window_sum(x, laid):
    around = ((0, 0), *laid.padding, (0, 0))
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, *laid.kernel, 1), (1, *laid.stride, 1), around)


def _shared(laid, sizes, count_padding, dy):
    """For every position, the sum of its shares in the windows that lie on it."""
    dx = dy.astype(wide(dy)) / _count(laid, sizes, count_padding)
    for stage, before in reversed(stages(laid, sizes)):
        dx = collected(functools.partial(_share, stage), stage, before, dx)
    return dx


def _share(laid, number, dy):
    return jnp.where(number < math.prod(laid.kernel), dy, 0)


def _count(laid, sizes, count_padding):
    """How many positions each window takes the mean of."""
    if count_padding or not any(map(any, laid.padding)):
        return math.prod(laid.kernel)
    return positions_inside(laid, sizes)


class AvgPool(RuleLayer):
    """The layer of `avg_pool`.

    Args:
        window, stride, padding, count_padding: as for `avg_pool`.

    Example:
        >>> import jax.numpy as jnp
        >>> AvgPool(2).apply({}, {}, jnp.ones((5, 28, 28, 8)))[0].shape
        (5, 14, 14, 8)
    """

    rule = avg_pool
    window: int | tuple[int, ...]
    stride: int | tuple[int, ...] | None = None
    padding: str | int | tuple[tuple[int, int], ...] = "VALID"
    count_padding: bool = False

    def receptive_window(self, x: Any) -> tuple[tuple[int, int, int], ...]:
        return seen(pool_windows("AvgPool", x.shape[1:-1], self.window, self.stride, self.padding))
