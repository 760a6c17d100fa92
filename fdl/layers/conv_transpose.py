"""Transposed convolutions: the way back of a convolution, as a layer that makes its input larger.

A convolution with stride s takes an axis of m positions to n, and its input gradient takes dy of n positions to dx of
m. That map, by itself, is the transposed convolution: every input position n puts its channels, times the window, at
n s - low onwards, and what overlaps is added,

    y[u, j] = sum over t, i, and o with o s + t - low = u, of x[o, i] w[t, i, j] + b[j]

It is the adjoint of `conv`: with V[t, j, i] = w[t, i, j], <conv(z, V), x> = <z, conv_transpose(x, w)> for all x and
z. So its own gradients are sums that `conv` has already, with x and dy in each other's place:

    dx = conv(dy, V)        dw = the weight gradient of conv, of input dy and upstream gradient x        db = sum dy

Which m of the several that a stride takes to n? For "SAME" n s, otherwise the smallest, (n - 1) s + k - low - high.
"SAME" cuts half of k - s off each side, the odd one off the end; a stride larger than the window leaves zeros between.

The usual way to compute it writes s - 1 zeros between the positions of x; the other one is a convolution for each of
the phases of u modulo s. XLA on CPU does not touch the zeros: 4x4 taps with stride 2 took 13.0 ms in its way and
14.0 ms in phases, in float32 on [16, 16, 16, 128], with less memory.

Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016).
"""

from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.initializers import Initializer, fans, he_normal, zeros
from fdl.layer import Layer, Tree
from fdl.layers.checks import check_initializers, weights_of
from fdl.layers.conv_arguments import DIMENSION_NUMBERS, init_weights
from fdl.layers.conv_forms import convolve, input_gradient, weight_gradient
from fdl.layers.taps import check_images
from fdl.rule import rule, wide
from fdl.windows import Padding, Windows, transposed_windows


@rule(static=["stride", "padding"])
def conv_transpose(
    x: jax.Array,
    w: jax.Array,
    b: jax.Array | None = None,
    *,
    stride: int | tuple[int, ...] = 1,
    padding: Padding = "SAME",
) -> jax.Array:
    """The adjoint of `conv`: every position of x adds its window to y, windows lying ``stride`` positions apart.

    Args:
        x: [N, *spatial, in].
        w: [*kernel, in, out].
        b: [out], or None.
        stride: how many times larger y is; one number for all axes, or one for each.
        padding: of the convolution that this is the adjoint of, so it is cut off y: "SAME", which makes the sizes of y
            exactly those of x times the stride, "VALID", a number, or ((low, high), ...) for each axis.

    Returns:
        y: [N, *output, out].

    Raises:
        InputError: when the shapes do not fit together, or the padding leaves nothing of y.

    Remembers:
        x and w, which exist anyway.

    Example:
        >>> import jax.numpy as jnp
        >>> x, w = jnp.array([1.0, 2.0]).reshape(1, 2, 1), jnp.array([1.0, 1.0, 0.5]).reshape(3, 1, 1)
        >>> conv_transpose(x, w, stride=2).ravel().tolist()
        [1.0, 1.0, 2.5, 2.0]
        >>> conv_transpose(x, w, stride=2, padding="VALID").ravel().tolist()
        [1.0, 1.0, 2.5, 2.0, 1.0]
    """
    laid, sizes = _adjoint("conv_transpose", x, w, stride, padding)
    axes = zip(sizes, *laid, strict=True)
    befores = [(n, k, (out - 1) * s + 1, k - 1 - low) for n, k, s, (low, _), _, out in axes]
    dtype = jnp.result_type(x, w)
    y = jax.lax.conv_general_dilated(
        x.astype(dtype),
        jnp.flip(w, range(w.ndim - 2)).astype(dtype),
        window_strides=(1,) * len(sizes),
        padding=[(before, n + k - 1 - spread - before) for n, k, spread, before in befores],
        lhs_dilation=laid.stride,
        dimension_numbers=DIMENSION_NUMBERS[len(sizes)],
        preferred_element_type=wide(dtype),
    )
    if b is not None:
        y = y + b
    return y.astype(dtype)


@conv_transpose.validate
def _(x, w, b, *, stride, padding):
    check_images("conv_transpose", x)
    x_shape, w_shape = jnp.shape(x), jnp.shape(w)
    if len(w_shape) != len(x_shape) or w_shape[-2] != x_shape[-1]:
        raise InputError(
            f"conv_transpose expects w of shape [*kernel, {x_shape[-1]}, out] for x of shape {list(x_shape)}, "
            f"got {list(w_shape)}: [*kernel, in, out], with as many axes of the kernel as x has spatial ones"
        )
    if b is not None and jnp.shape(b) != w_shape[-1:]:
        raise InputError(f"conv_transpose expects b of shape {list(w_shape[-1:])}, got {list(jnp.shape(b))}")
    _adjoint("conv_transpose", x, w, stride, padding)


@conv_transpose.forward
def _(x, w, b, *, stride, padding):
    laid, sizes = _adjoint("conv_transpose", x, w, stride, padding)
    y = input_gradient(x, jnp.swapaxes(w, -1, -2), laid, sizes)
    if b is not None:
        y = y + b
    return y.astype(jnp.result_type(x, w)), (x, w)


@conv_transpose.backward
def _(residuals, dy, *, stride, padding):
    x, w = residuals
    laid, _ = _adjoint("conv_transpose", x, w, stride, padding)
    # y[o stride + t - low] += x[o] w[t]      y += b
    dx = convolve(dy, jnp.swapaxes(w, -1, -2), laid)
    dw = jnp.swapaxes(weight_gradient(dy, x, laid), -1, -2)
    db = jnp.sum(dy, range(dy.ndim - 1), dtype=wide(dy))
    return dx, dw, db


def _adjoint(who, x, w, stride, padding):
    """The windows of the convolution that this is the adjoint of, and the sizes that they lie on: those of y."""
    return transposed_windows(who, x.shape[1:-1], w.shape[:-2], stride, padding)


class ConvTranspose(Layer):
    """A transposed convolution with parameters ``w`` [*kernel, in, channels] and ``b`` [channels].

    A kernel that the stride does not divide covers some positions more often than others, which shows as a
    checkerboard: 4 with stride 2 does not, 3 with stride 2 does.

    Args:
        channels: how many outputs; the number of inputs is read off x at init.
        kernel: taps on each axis; one number for all axes of x, or one for each.
        stride, padding: as in `conv_transpose`.
        bias: whether there is a ``b``.
        w_init, b_init: how the parameters start; w_init is told the fans, which depend on the stride.

    Raises:
        InputError: for fewer than one channel, and as `conv_transpose` does.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer = ConvTranspose(16, kernel=4, stride=2)
        >>> params, state = layer.init(jax.random.key(0), jnp.ones((8, 32, 32, 3)))
        >>> y, state = layer.apply(params, state, jnp.ones((8, 32, 32, 3)))
        >>> params["w"].shape, y.shape
        ((4, 4, 3, 16), (8, 64, 64, 16))
    """

    channels: int
    kernel: int | tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: Padding = "SAME"
    bias: bool = True
    w_init: Initializer = he_normal()
    b_init: Initializer = zeros()

    def __post_init__(self) -> None:
        check_count("ConvTranspose", "channels", self.channels)
        check_initializers(self)

    def init(self, key: jax.Array, x: Any) -> tuple[Tree, Tree]:
        laid = self._windows(x)
        shape = (*laid.kernel, x.shape[-1], self.channels)
        return init_weights(self, key, shape, fans(shape, stride=laid.stride, transposed=True)), {}

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        return conv_transpose(x, *weights_of(self, params), stride=self.stride, padding=self.padding), state

    def receptive_window(self, *inputs: Any) -> tuple[tuple[int, Fraction, int], ...]:
        laid = self._windows(*inputs)
        return tuple((-(-k // s), Fraction(1, s), 1) for k, s in zip(laid.kernel, laid.stride, strict=True))

    def _windows(self, x: Any) -> Windows:
        check_images("ConvTranspose", x)
        return transposed_windows("ConvTranspose", x.shape[1:-1], self.kernel, self.stride, self.padding)[0]
