"""MobileNets: networks for telephones, of convolutions that look at each channel by itself.

    version 1     [3x3 of every channel by itself -> norm -> relu -> 1x1 -> norm -> relu] x 13

A 3x3 convolution that mixes its channels takes 9 in out products for each position; apart, looking takes 9 in and
mixing in out. The network has an eighth of the products of one with ordinary convolutions, and is one percent less
accurate.

    version 2     y = x + project(look(expand(x)))        "inverted residual with a linear bottleneck"

                  1x1 -> norm -> relu      6 times as many channels
                  3x3 by channel -> norm -> relu
                  1x1 -> norm              back to few channels, and no ReLU, which would lose some of what so few hold

Shortcuts join the narrow ends, so that little has to be kept in memory. ``width`` makes all layers narrower, and with
them the number of products falls by its square.

Both papers' implementations cut the ReLU off at 6, for arithmetic with few bits, which is not done here.

Sources: Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications" (2017);
Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks" (2018).
"""

from collections.abc import Sequence

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.initializers import normal
from fdl.layer import Layer
from fdl.layers import Affine, BatchNorm, Conv, ConvNormRelu, Dropout, GlobalAvgPool, Residual, Serial

# Version 1: channels and stride of each block.
BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)),
    *((512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    *((1024, 2), (1024, 1)),
)

# Version 2: by how much channels are expanded inside, channels, how many blocks, stride of the first of them.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet(
    classes: int = 1000,
    *,
    width: float = 1.0,
    stem: tuple[int, int] = (32, 2),
    blocks: Sequence[tuple[int, int]] = BLOCKS,
) -> Layer:
    """A MobileNet of the first version.

    Args:
        classes: how many scores it gives.
        width: a factor for the numbers of channels; in the paper 0.25, 0.5, 0.75 or 1.
        stem: (channels, stride) of the first convolution; a stride of 1 is for small images, such as CIFAR's.
        blocks: (channels, stride) of each block.

    Returns:
        A layer from images [N, H, W, C] to scores [N, classes].

    Raises:
        InputError: for sizes below one.

    Source: Howard et al. (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, image = mobilenet(), jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), image)
        >>> sum(w.size for w in jax.tree.leaves(params))
        4231976
    """
    channels, stride = int(width * stem[0]), stem[1]
    layers: list[Layer] = [_conv(channels, 3, stride)]
    for out, stride in blocks:
        out = int(width * out)
        layers.append(Serial(_look(channels, stride), _conv(out, 1)))
        channels = out
    return Serial(*layers, mean=GlobalAvgPool(), scores=Affine(classes, w_init=normal(0.01)))


def mobilenet_v2(
    classes: int = 1000,
    *,
    width: float = 1.0,
    stem: tuple[int, int] = (32, 2),
    stages: Sequence[tuple[int, int, int, int]] = STAGES,
    features: int = 1280,
    dropout: float = 0.2,
) -> Layer:
    """A MobileNet of the second version, of inverted residuals.

    Args:
        classes: how many scores it gives.
        width: a factor for the numbers of channels, which are rounded to multiples of 8.
        stem: (channels, stride) of the first convolution; a stride of 1 is for small images, such as CIFAR's.
        stages: for each stage by how much channels are expanded inside its blocks, its channels, how many blocks it
            has, and the stride of the first of them.
        features: the channels of the last convolution, which are not made fewer by the width.
        dropout: the probability to drop one of their means before the scores while training, in [0, 1).

    Returns:
        A layer from images [N, H, W, C] to scores [N, classes].

    Raises:
        InputError: for sizes below one, and for a rate outside [0, 1).

    Source: Sandler et al. (2018).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, image = mobilenet_v2(), jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), image)
        >>> sum(w.size for w in jax.tree.leaves(params))
        3504872
    """
    check_count("mobilenet_v2", "features", features)
    channels, stride = _eights(width * stem[0]), stem[1]
    layers: list[Layer] = [_conv(channels, 3, stride)]
    for expansion, out, count, first in stages:
        out = _eights(width * out)
        for stride in (first, *[1] * (count - 1)):
            expand = (_conv(expansion * channels, 1),) if expansion > 1 else ()
            look = _look(expansion * channels, stride)
            block = Serial(*expand, look, Conv(out, 1, bias=False), BatchNorm())
            layers.append(Residual(block) if (stride, out) == (1, channels) else block)
            channels = out
    last = _conv(_eights(features * max(1.0, width)), 1)
    drop = {"dropout": Dropout(dropout)} if dropout else {}
    return Serial(*layers, last, mean=GlobalAvgPool(), **drop, scores=Affine(classes, w_init=normal(0.01)))


def _conv(channels: int, kernel: int, stride: int = 1) -> Layer:
    return ConvNormRelu(channels, kernel, stride, padding=kernel // 2)


def _look(channels: int, stride: int) -> Layer:
    """The convolution of every channel by itself."""
    return ConvNormRelu(channels, 3, stride, padding=1, groups=channels)


def _eights(channels: float) -> int:
    """The nearest multiple of 8, but not less than nine tenths of what was asked for."""
    if not channels > 0:
        raise InputError(
            f"mobilenet_v2 needs channels, and a factor for their numbers, above 0, got {channels} channels"
        )
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
