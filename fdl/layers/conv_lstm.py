"""Convolutional long short-term memory: an LSTM whose state is an image, and which sees neighbours only.

    z = x * wx + h * wh + b         x: [N, *spatial, C]   h, c: [N, *spatial, F]   wx: [*kernel, C, 4 F]
                                    wh: [*kernel, F, 4 F]   b: [4 F]
    i, f, o = sigmoid of the first three quarters of z, g = tanh of the last
    c' = f c + i g                  h' = o tanh(c')

where * is a convolution that keeps the spatial size (SAME). Everything else is `fdl.layers.lstm`, with another
product in the place of the matrix product. y = x * w is y_p = sum over t of x_{p + t - low} w_t, over taps t of the
kernel, so that

    dx_u = sum over t of dy_{u - t + low} w_t^T         a convolution of dy with the kernel turned around
    dw_t = sum over p of x_{p + t - low}^T dy_p         a convolution of x with dy as its kernel, summed over examples

with low = (k - 1) // 2 zeros in front of each axis and the other k - 1 - low behind, and the other way around for dx.

Source: Shi, Chen, Wang, Yeung, Wong and Woo, "Convolutional LSTM network: a machine learning approach for
precipitation nowcasting" (2015), here without the peepholes from the cell to the gates.
"""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp

from fdl.counts import for_each_axis
from fdl.errors import InputError
from fdl.layers import through_time
from fdl.layers.lstm import CELL as lstm_cell
from fdl.layers.lstm import LSTM, result, start
from fdl.layers.recurrent_checks import check_recurrence, check_remember
from fdl.layers.recurrent_products import Product
from fdl.rule import rule, wide


@rule(static=["remember", "block"])
def conv_lstm(
    xs: jax.Array,
    h0: jax.Array,
    c0: jax.Array,
    wx: jax.Array,
    wh: jax.Array,
    b: jax.Array,
    *,
    lengths: jax.Array | None = None,
    remember: Literal["gates", "states"] = "gates",
    block: int = 4,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Convolutional LSTM over sequences of images: `lstm` with (i, f, o, g) from x * wx + h * wh + b, * a convolution.

    Args:
        xs: [N, T, *spatial, C] with one to three spatial axes, T at least one.
        h0, c0: [N, *spatial, F], the state before the first step.
        wx: [*kernel, C, 4 F], wh: [*kernel, F, 4 F], b: [4 F], the gates in the order i, f, o, g along the last axis.
        lengths, remember: as for `lstm`.
        block: how many steps have their convolutions with wx taken at once, at most.

    Returns:
        (hs, (h, c)): hs [N, T, *spatial, F], and the state after the last step of each sequence.

    Raises:
        InputError: for shapes that do not fit together, integers, and lengths outside [0, T] where they can be
            seen. Inside jit, more than T counts as T.

    Remembers:
        its arguments, hs, the cell before each step, and unless ``remember="states"`` the gates.

    Source:
        Shi et al. (2015), without peepholes.

    Example:
        >>> import jax.numpy as jnp
        >>> xs, zero = jnp.ones((2, 7, 8, 8, 3)), jnp.zeros((2, 8, 8, 5))
        >>> hs, (h, c) = conv_lstm(xs, zero, zero, jnp.ones((3, 3, 3, 20)), jnp.ones((3, 3, 5, 20)), jnp.zeros(20))
        >>> hs.shape, c.shape
        ((2, 7, 8, 8, 5), (2, 8, 8, 5))
    """
    hs, final = through_time.plainly(CELL, xs, start(h0, c0, xs, wx), wx, wh, b, lengths)
    return result(hs, final)


@conv_lstm.validate
def _(xs, h0, c0, wx, wh, b, *, lengths, remember, block):
    if not 3 <= jnp.ndim(wx) <= 5:
        raise InputError(f"conv_lstm expects wx of shape [*kernel, C, 4 F] for 1 to 3 axes, got {list(jnp.shape(wx))}")
    check_recurrence("conv_lstm", xs, {"h0": h0, "c0": c0}, wx, wh, b, lengths, 4, block)
    check_remember("conv_lstm", remember)


@conv_lstm.forward
def _(xs, h0, c0, wx, wh, b, *, lengths, remember, block):
    states = start(h0, c0, xs, wx)
    (hs, final), kept = through_time.forward(CELL, xs, states, wx, wh, b, lengths, remember, block)
    return result(hs, final), kept


@conv_lstm.backward
def _(kept, upstream, *, remember, block):
    dhs, dstates = upstream
    d = through_time.backward(CELL, kept, dhs, dstates, block)
    dh0, dc0 = d.states
    return d.xs, dh0, dc0, d.wx, d.wh, d.b, None


def _convolve(x, w):
    images = _images(x, w)
    y = _convolution(images, w, [_same(k) for k in w.shape[:-2]])
    return y.reshape(*x.shape[:-1], y.shape[-1])


def _in_steps(x, w, steps):
    return lambda x: _convolve(x, w)


def _turned(w):
    return jnp.flip(w, range(w.ndim - 2)).swapaxes(-1, -2)


def _to_input(dy, turned):
    images = _images(dy.astype(turned.dtype), turned)
    dx = _convolution(images, turned, [_same(k)[::-1] for k in turned.shape[:-2]])
    return dx.reshape(*dy.shape[:-1], dx.shape[-1])


def _to_weight(x, dy, w):
    x, dy = _images(x, w), _images(dy.astype(x.dtype), w)
    # The channels of x are its examples here, and its examples are the channels.
    dw = _convolution(x.swapaxes(0, -1), jnp.moveaxis(dy, 0, -2), [_same(k) for k in w.shape[:-2]])
    return jnp.moveaxis(dw, 0, -2)


def _images(x, w):
    """All axes before the spatial ones as one."""
    image = 1 - w.ndim
    return x.reshape(math.prod(x.shape[:image]), *x.shape[image:])


def _same(size):
    """The zeros before and behind an axis."""
    return (size - 1) // 2, size // 2


def _convolution(x, w, padding):
    """x * w with axes in one order only: in a loop, XLA has no fast convolution on CPU for any other."""
    x, w = (a.astype(jnp.result_type(x, w)) for a in (x, w))
    spatial = "XYZ"[: len(padding)]
    axes, ones = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"), (1,) * len(padding)
    return jax.lax.conv_general_dilated(x, w, ones, padding, dimension_numbers=axes, preferred_element_type=wide(x, w))


CELL = lstm_cell._replace(product=Product(_convolve, _in_steps, _turned, _to_input, _to_weight))


class ConvLSTM(LSTM):
    """The layer of `conv_lstm`, over inputs (xs, lengths=None, start=None), with parameters ``wx``, ``wh`` and ``b``.

    Args:
        hidden: F, how many channels; those of the input are read off xs at init.
        wx_init, wh_init: how the weights start, one gate at a time.
        forget_bias, remember: as for `LSTM`.
        kernel: the size of the kernel, one for all spatial axes or one for each.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, xs = ConvLSTM(5, kernel=3), jnp.ones((2, 7, 8, 8, 3))
        >>> params, state = layer.init(jax.random.key(0), xs)
        >>> params["wx"].shape, layer.apply(params, state, xs)[0].shape
        ((3, 3, 3, 20), (2, 7, 8, 8, 5))
    """

    rule = conv_lstm

    kernel: int | tuple[int, ...] = 3

    def window(self, xs: Any) -> tuple[int, ...]:
        axes = len(xs.shape) - 3
        return for_each_axis(type(self).__name__, "kernel", self.kernel, axes)
