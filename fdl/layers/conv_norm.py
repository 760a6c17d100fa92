"""A convolution, batch normalisation and a ReLU as one rule, which remembers less than the three.

    z = conv(x, w)        n, mean, var = batch_norm(z, gamma, beta)        y = max(n, 0)

The chain rule runs through the parts in reverse, each with the backward pass of its own rule:

    relu           dn = dy where n > 0, else 0
    batch_norm     dz, dgamma, dbeta from dn, z and the statistics
    conv           dx, dw from dz, x and w

Three arrays of the size of y could be remembered: z, n and the side that each element was on. z alone is enough, since
n is had again from it by one multiplication and one addition per element, and tells the side. Computing z again from
x would save it as well, but costs a third more time; `Remat` does that where memory is short.

There is no bias: batch norm would subtract it again with the mean. Without the ReLU there is nothing to save, since
`conv` and `batch_norm` remember x, w and z as well.

In inference the norm is a factor and a term for each channel, which `fdl.fold_batch_norm` puts into w and a bias.
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.initializers import Initializer, he_normal
from fdl.layer import Layer, Tree
from fdl.layers.activation import relu
from fdl.layers.batch_norm import BatchNorm, batch_norm, batch_norm_inference
from fdl.layers.causal import continued
from fdl.layers.checks import check_names
from fdl.layers.conv import Conv, conv
from fdl.rule import rule
from fdl.windows import Padding


@rule(static=["stride", "padding", "dilation", "groups", "eps"])
def conv_norm_relu(
    x: jax.Array,
    w: jax.Array,
    gamma: jax.Array,
    beta: jax.Array,
    *,
    stride: int | tuple[int, ...] = 1,
    padding: Padding = "SAME",
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
    eps: float = 1e-5,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A convolution, batch normalisation and a ReLU: y = max(batch_norm(conv(x, w), gamma, beta), 0).

    Args:
        x: [N, *spatial, in].
        w: [*kernel, in / groups, out].
        gamma, beta: [out].
        stride, padding, dilation, groups: as in `conv`.
        eps: what keeps the root away from zero.

    Returns:
        (y, mean, var): y [N, *output, out]; mean and var [out] are the statistics of conv(x, w), as from `batch_norm`.

    Raises:
        InputError: as `conv` and `batch_norm` do.

    Remembers:
        its arguments, which exist anyway, conv(x, w), and two numbers per channel.

    Example:
        >>> import jax.numpy as jnp
        >>> x, one = jnp.array([1.0, 3.0]).reshape(2, 1, 1), jnp.ones(1)
        >>> y, mean, var = conv_norm_relu(x, jnp.ones((1, 1, 1)), one, 0 * one)
        >>> y.ravel().round(3).tolist(), mean.tolist(), var.tolist()
        ([0.0, 1.0], [2.0], [1.0])
    """
    z = conv(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
    n, mean, var = batch_norm(z, gamma, beta, eps=eps)
    return relu(n), mean, var


@conv_norm_relu.validate
def _(x, w, gamma, beta, *, stride, padding, dilation, groups, eps):
    conv.part("validate")(x, w, None, stride=stride, padding=padding, dilation=dilation, groups=groups)
    z = jax.ShapeDtypeStruct((*jnp.shape(x)[:-1], jnp.shape(w)[-1]), jnp.result_type(x, w))
    batch_norm.part("validate")(z, gamma, beta, eps=eps)


@conv_norm_relu.forward
def _(x, w, gamma, beta, *, stride, padding, dilation, groups, eps):
    choices = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    z, kept_by_conv = conv.part("forward")(x, w, None, **choices)
    (n, mean, var), kept_by_norm = batch_norm.part("forward")(z, gamma, beta, eps=eps)
    return (relu(n), mean, var), (kept_by_conv, kept_by_norm, beta)


@conv_norm_relu.backward
def _(residuals, upstream, *, stride, padding, dilation, groups, eps):
    kept_by_conv, kept_by_norm, beta = residuals
    dy, dmean, dvar = upstream
    z, gamma, mean, r = kept_by_norm
    choices = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    # y = relu(n)      n = (z - mean) r gamma + beta      z = conv(x, w)
    n = (z - mean) * r * gamma + beta
    dn = jnp.where(n <= 0, 0, dy)
    dz, dgamma, dbeta = batch_norm.part("backward")(kept_by_norm, (dn, dmean, dvar), eps=eps)
    dx, dw, _ = conv.part("backward")(kept_by_conv, dz.astype(z.dtype), **choices)
    return dx, dw, dgamma, dbeta


class ConvNormRelu(Layer):
    """The layer of `conv_norm_relu`: what ``Serial(Conv(channels, kernel, bias=False), BatchNorm(), Relu())`` computes.

    Parameters are ``w``, ``gamma`` and ``beta``; state is the running ``mean`` and ``var``, as in `BatchNorm`.

    Args:
        channels, kernel, stride, padding, dilation, groups, w_init: as in `Conv`.
        momentum, eps: as in `BatchNorm`.

    Raises:
        InputError: as `Conv` and `BatchNorm` do.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = ConvNormRelu(16, 3), jax.random.normal(jax.random.key(1), (8, 32, 32, 3))
        >>> params, state = layer.init(jax.random.key(0), x)
        >>> y, state = layer.apply(params, state, x, train=True)
        >>> y.shape, bool((y >= 0).all())
        ((8, 32, 32, 16), True)
    """

    channels: int
    kernel: int | tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: Padding = "SAME"
    dilation: int | tuple[int, ...] = 1
    groups: int = 1
    momentum: float = 0.9
    eps: float = 1e-5
    w_init: Initializer = he_normal()

    def __post_init__(self) -> None:
        self.conv, self.norm  # which refuse what is out of range  # noqa: B018

    @property
    def conv(self) -> Conv:
        """Its convolution, as a layer by itself."""
        choices = {name: getattr(self, name) for name in ("stride", "padding", "dilation", "groups", "w_init")}
        return Conv(self.channels, self.kernel, bias=False, **choices)

    @property
    def norm(self) -> BatchNorm:
        """Its norm, as a layer by itself."""
        return BatchNorm(self.momentum, self.eps)

    def init(self, key: Any, x: Any) -> tuple[Tree, Tree]:
        params, _ = self.conv.init(key, x)
        norm_params, state = self.norm.init(key, jax.ShapeDtypeStruct((*x.shape[:-1], self.channels), x.dtype))
        return params | norm_params, state

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        check_names(self, params, "w", "gamma", "beta")
        w, gamma, beta = params["w"], params["gamma"], params["beta"]
        if not train:
            z, state = self.conv.apply({"w": w}, state, x)
            return relu(batch_norm_inference(z, gamma, beta, state["mean"], state["var"], eps=self.eps)), state
        x, padding, state = continued(self, state, x)
        choices: Tree = {name: getattr(self, name) for name in ("stride", "dilation", "groups")}
        y, mean, var = conv_norm_relu(x, w, gamma, beta, eps=self.eps, padding=padding, **choices)
        return y, state | self.norm.averaged("ConvNormRelu", state, y, mean, var)

    def begin_stream(self, params: Tree, state: Tree, batch: int, length: int) -> Tree:
        return state | self.conv.begin_stream(params, state, batch, length)

    def receptive_window(self, *inputs: Any) -> tuple[tuple[int, int, int], ...]:
        return self.conv.receptive_window(*inputs)
