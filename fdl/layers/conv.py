"""Convolutions: every output position is the same weighted sum of the input around it.

A window of taps t slides over x with stride s, its taps d positions apart (dilation), after `low` positions of zeros
were put in front. On one axis, with channels i in and j out,

    y[n, o, j] = sum over t, i of x[n, o s + t d - low, i] w[t, i, j] + b[j]

and on two or three axes t and o are tuples. It is the affine map of each window's content, with one w for all
windows. Since y is linear in x and in w, each gradient collects dy over everything that the number was multiplied
with, from the same sum:

    dx[n, u, i] = sum over t, j, and o with o s + t d - low = u, of dy[n, o, j] w[t, i, j]
    dw[t, i, j] = sum over n, o of x[n, o s + t d - low, i] dy[n, o, j]
    db[j]       = sum over n, o of dy[n, o, j]

With g groups, the channels in and out are cut into g pieces, and each piece out sees one piece in. As many groups as
channels make the depthwise convolution, in which channels do not mix; followed by a 1x1 convolution, which mixes
nothing else, it is a separable one. x and w are what backward needs, and both exist anyway.

`fdl.layers.conv_forms` says in which form each of the three sums is fastest.

Sources: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition" (1998); Yu and
Koltun, "Multi-scale context aggregation by dilated convolutions" (2016); Krizhevsky, Sutskever and Hinton, "ImageNet
classification with deep convolutional neural networks" (2012), groups; Chollet, "Xception: deep learning with
depthwise separable convolutions" (2017).
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.initializers import Initializer, fans, he_normal, zeros
from fdl.layer import Layer, Tree
from fdl.layers.causal import begun, continued
from fdl.layers.checks import check_initializers, weights_of
from fdl.layers.conv_arguments import DIMENSION_NUMBERS, check_conv, check_groups, init_weights
from fdl.layers.conv_forms import convolve, input_gradient, weight_gradient
from fdl.layers.taps import check_images, seen
from fdl.rule import rule, wide
from fdl.windows import Padding, Windows, windows
from fdl.wiring import Combinator, Net


@rule(static=["stride", "padding", "dilation", "groups"])
def conv(
    x: jax.Array,
    w: jax.Array,
    b: jax.Array | None = None,
    *,
    stride: int | tuple[int, ...] = 1,
    padding: Padding = "SAME",
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
) -> jax.Array:
    """A convolution on one, two or three axes: y[o] = sum over taps t of x[o stride + t dilation - low] w[t] + b.

    As in every library of this kind the taps are not mirrored: it is a cross-correlation. Sums are accumulated in
    float32 or wider.

    Args:
        x: [N, *spatial, in].
        w: [*kernel, in / groups, out].
        b: [out], or None.
        stride: between windows; one number for all axes, or one for each, as for dilation.
        padding: "SAME", "VALID", "VALID_EXACT", a number of zeros on every side, or ((low, high), ...) for each axis;
            `fdl.windows` says what they mean.
        dilation: between the taps of a window.
        groups: pieces into which the channels are cut.

    Returns:
        y: [N, *output, out].

    Raises:
        InputError: when the shapes do not fit together, groups do not divide the channels, or windows do not fit.

    Remembers:
        x and w, which exist anyway.

    Example:
        >>> import jax.numpy as jnp
        >>> x, edge = jnp.array([0.0, 0.0, 1.0, 1.0]).reshape(1, 4, 1), jnp.array([-1.0, 1.0]).reshape(2, 1, 1)
        >>> conv(x, edge, padding="VALID").ravel().tolist()
        [0.0, 1.0, 0.0]
    """
    laid = windows("conv", x.shape[1:-1], w.shape[:-2], stride=stride, padding=padding, dilation=dilation)
    dtype = jnp.result_type(x, w)
    y = jax.lax.conv_general_dilated(
        x.astype(dtype),
        w.astype(dtype),
        window_strides=laid.stride,
        padding=laid.padding,
        rhs_dilation=laid.dilation,
        dimension_numbers=DIMENSION_NUMBERS[len(laid.kernel)],
        feature_group_count=groups,
        preferred_element_type=wide(dtype),
    )
    if b is not None:
        y = y + b
    return y.astype(dtype)


@conv.validate
def _(x, w, b, *, stride, padding, dilation, groups):
    check_conv("conv", x, w, groups)
    if b is not None and jnp.shape(b) != jnp.shape(w)[-1:]:
        raise InputError(f"conv expects b of shape {list(jnp.shape(w)[-1:])}, got {list(jnp.shape(b))}")
    windows("conv", jnp.shape(x)[1:-1], jnp.shape(w)[:-2], stride=stride, padding=padding, dilation=dilation)


@conv.forward
def _(x, w, b, *, stride, padding, dilation, groups):
    laid = windows("conv", x.shape[1:-1], w.shape[:-2], stride=stride, padding=padding, dilation=dilation)
    y = convolve(x, w, laid, groups)
    if b is not None:
        y = y + b
    return y.astype(jnp.result_type(x, w)), (x, w)


@conv.backward
def _(residuals, dy, *, stride, padding, dilation, groups):
    x, w = residuals
    laid = windows("conv", x.shape[1:-1], w.shape[:-2], stride=stride, padding=padding, dilation=dilation)
    # y[o] = sum over t of x[o stride + t dilation - low] w[t] + b
    dx = input_gradient(dy, w, laid, x.shape[1:-1], groups)
    dw = weight_gradient(x, dy, laid, groups)
    db = jnp.sum(dy, range(dy.ndim - 1), dtype=wide(dy))
    return dx, dw, db


class Conv(Layer):
    """A convolution with parameters ``w`` [*kernel, in / groups, channels] and ``b`` [channels].

    Over time, padding that is all in front, ``padding=((4, 0),)`` for three taps with a dilation of 2, makes it causal.
    Such a layer goes on from piece to piece after `begin_stream`; any other sees each piece by itself.

    Args:
        channels: how many outputs; the number of inputs is read off x at init.
        kernel: taps on each axis; one number for all axes of x, or one for each.
        stride, padding, dilation, groups: as in `conv`.
        bias: whether there is a ``b``; a norm that follows takes its place.
        w_init, b_init: how the parameters start; w_init is told the fans, which depend on stride and groups.

    Raises:
        InputError: for fewer than one channel, and as `conv` does.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer = Conv(16, kernel=3, stride=2)
        >>> params, state = layer.init(jax.random.key(0), jnp.ones((8, 32, 32, 3)))
        >>> y, state = layer.apply(params, state, jnp.ones((8, 32, 32, 3)))
        >>> params["w"].shape, y.shape
        ((3, 3, 3, 16), (8, 16, 16, 16))
    """

    channels: int
    kernel: int | tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: Padding = "SAME"
    dilation: int | tuple[int, ...] = 1
    groups: int = 1
    bias: bool = True
    w_init: Initializer = he_normal()
    b_init: Initializer = zeros()

    def __post_init__(self) -> None:
        check_count("Conv", "channels", self.channels)
        check_initializers(self)

    def init(self, key: jax.Array, x: Any) -> tuple[Tree, Tree]:
        laid = self._windows(x)
        check_groups("Conv", x.shape[-1], self.groups)
        check_groups("Conv", self.channels, self.groups)
        shape = (*laid.kernel, x.shape[-1] // self.groups, self.channels)
        return init_weights(self, key, shape, fans(shape, stride=laid.stride, groups=self.groups)), {}

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        x, padding, state = continued(self, state, x)
        choices: Tree = {name: getattr(self, name) for name in ("stride", "dilation", "groups")}
        return conv(x, *weights_of(self, params), padding=padding, **choices), state

    def begin_stream(self, params: Tree, state: Tree, batch: int, length: int) -> Tree:
        *kernel, ins, _ = params["w"].shape
        return begun(self, tuple(kernel), ins * self.groups, batch, params["w"].dtype)

    def receptive_window(self, *inputs: Any) -> tuple[tuple[int, int, int], ...]:
        return seen(self._windows(*inputs))

    def _windows(self, x: Any) -> Windows:
        check_images(type(self).__name__, x)
        choices: Tree = {name: getattr(self, name) for name in ("stride", "padding", "dilation")}
        return windows(type(self).__name__, x.shape[1:-1], self.kernel, **choices)


class DepthwiseConv(Layer):
    """A convolution of every channel by itself, with parameters ``w`` [*kernel, 1, in multiplier] and ``b``.

    Args:
        kernel: taps on each axis; one number for all axes of x, or one for each.
        multiplier: how many outputs each channel makes; they lie next to each other.
        stride, padding, dilation: as in `conv`.
        bias: whether there is a ``b`` [in multiplier].
        w_init, b_init: how the parameters start.

    Raises:
        InputError: for a multiplier below one, and as `conv` does.

    Source:
        Chollet (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer = DepthwiseConv(3, multiplier=2)
        >>> params, state = layer.init(jax.random.key(0), jnp.ones((8, 32, 32, 16)))
        >>> params["w"].shape, layer.apply(params, state, jnp.ones((8, 32, 32, 16)))[0].shape
        ((3, 3, 1, 32), (8, 32, 32, 32))
    """

    kernel: int | tuple[int, ...]
    multiplier: int = 1
    stride: int | tuple[int, ...] = 1
    padding: Padding = "SAME"
    dilation: int | tuple[int, ...] = 1
    bias: bool = True
    w_init: Initializer = he_normal()
    b_init: Initializer = zeros()

    def __post_init__(self) -> None:
        check_count("DepthwiseConv", "multiplier", self.multiplier)
        check_initializers(self)

    def init(self, key: jax.Array, x: Any) -> tuple[Tree, Tree]:
        return self._of(x).init(key, x)

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        return self._of(x).apply(params, state, x)

    def begin_stream(self, params: Tree, state: Tree, batch: int, length: int) -> Tree:
        *kernel, _, outs = params["w"].shape
        return begun(self, tuple(kernel), outs // self.multiplier, batch, params["w"].dtype)

    def receptive_window(self, *inputs: Any) -> tuple[tuple[int, int, int], ...]:
        return self._of(*inputs).receptive_window(*inputs)

    def _of(self, x: Any) -> Conv:
        """The convolution that this is for an input like x."""
        check_images("DepthwiseConv", x)
        choices = {name: value for name, value in vars(self).items() if name != "multiplier"}
        return Conv(self.multiplier * x.shape[-1], groups=x.shape[-1], **choices)


class SeparableConv(Combinator):
    """A depthwise convolution, then a 1x1 convolution that mixes its channels.

    For k x k taps it takes in k^2 + in out products for each position, where `Conv` takes k^2 in out.

    Args:
        channels: how many outputs.
        kernel, multiplier, stride, padding, dilation: of the depthwise convolution, which has no bias.
        bias: whether the 1x1 convolution has a ``b``.
        w_init, b_init: how the parameters of both start.

    Source:
        Chollet (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer = SeparableConv(64, 3)
        >>> params, state = layer.init(jax.random.key(0), jnp.ones((8, 32, 32, 16)))
        >>> jax.tree.map(jnp.shape, params)
        {'depthwise': {'w': (3, 3, 1, 16)}, 'pointwise': {'b': (64,), 'w': (1, 1, 16, 64)}}
    """

    channels: int
    kernel: int | tuple[int, ...]
    multiplier: int = 1
    stride: int | tuple[int, ...] = 1
    padding: Padding = "SAME"
    dilation: int | tuple[int, ...] = 1
    bias: bool = True
    w_init: Initializer = he_normal()
    b_init: Initializer = zeros()

    @property
    def children(self) -> dict[str, Layer]:
        choices = {name: getattr(self, name) for name in ("multiplier", "stride", "padding", "dilation", "w_init")}
        return {
            "depthwise": DepthwiseConv(self.kernel, bias=False, **choices),
            "pointwise": Conv(self.channels, 1, bias=self.bias, w_init=self.w_init, b_init=self.b_init),
        }

    def wire(self, net: Net, *inputs: Any) -> Any:
        return net.pointwise(net.depthwise(*inputs))
