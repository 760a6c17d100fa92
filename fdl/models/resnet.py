"""Residual networks: each block adds a correction to what it is given, so that depth can only help.

    y = relu(x + f(x))          f: 3x3 -> 3x3, or as a bottleneck 1x1 -> 3x3 -> 1x1 with four times the channels outside

Where a block halves the image and doubles the channels, x takes a 1x1 convolution of the same stride. Every convolution
is followed by a batch norm. Gradients reach every block along the sums, however many there are.

    image -> stem -> stage 1 -> stage 2 -> stage 3 -> stage 4 -> mean -> scores
             /4      64         128 /2     256 /2     512 /2            classes

For small images, such as CIFAR's, the stem keeps the size. The networks that the paper made for CIFAR are others:
three stages of 16, 32 and 64 channels, and shortcuts without parameters, which skip positions and fill up with zeros.

The second paper puts norm and ReLU in front of each convolution (``preactivation``), so that nothing at all stands
between the blocks: y = x + f(relu(norm(x))). The first block of a stage begins with a norm and a ReLU that its shortcut
s shares, y = s(a) + f(a) with a = relu(norm(x)), as in the paper's appendix and its authors' program.

Sources: He, Zhang, Ren and Sun, "Deep residual learning for image recognition" (2016), and "Identity mappings in deep
residual networks" (2016). As in most later code, a bottleneck has its stride in the 3x3 convolution.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layer import Layer, Tree
from fdl.layers import Affine, BatchNorm, Conv, ConvNormRelu, GlobalAvgPool, MaxPool, Relu, Residual, Serial

# By depth: how many blocks each stage has, and whether they are bottlenecks.
DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


def resnet(depth: int, classes: int = 1000, *, small_images: bool = False, preactivation: bool = False) -> Layer:
    """A residual network for ImageNet, or for smaller images by another stem.

    Args:
        depth: 18, 34, 50, 101 or 152, how many layers have weights.
        classes: how many scores it gives.
        small_images: whether the stem is a 3x3 convolution that keeps the size (32x32, say), instead of a 7x7 one and a
            pool that take a quarter of it.
        preactivation: whether norms and ReLUs come before the convolutions.

    Returns:
        A layer from images [N, H, W, C] to scores [N, classes].

    Raises:
        InputError: for another depth.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, image = resnet(18), jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), image)
        >>> sum(w.size for w in jax.tree.leaves(params))
        11689512
    """
    if depth not in DEPTHS:
        raise InputError(f"resnet has a depth of {', '.join(map(str, DEPTHS))}, got {depth}: see also resnet_cifar")
    blocks, is_bottleneck = DEPTHS[depth]
    stem = _stem(64, 3, 1, preactivation) if small_images else _stem(64, 7, 2, preactivation, MaxPool(3, 2, padding=1))
    return _network(stem, blocks, 64, _bottleneck if is_bottleneck else _basic, _project, classes, preactivation)


def resnet_cifar(depth: int = 20, classes: int = 10, *, preactivation: bool = False) -> Layer:
    """A residual network for CIFAR, of three stages and few parameters.

    Args:
        depth: 6 n + 2 for n blocks in each stage, such as 20, 32, 44, 56 or 110.
        classes: how many scores it gives.
        preactivation: whether norms and ReLUs come before the convolutions.

    Returns:
        A layer from images [N, H, W, C] to scores [N, classes].

    Raises:
        InputError: for another depth.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, image = resnet_cifar(20), jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), image)
        >>> sum(w.size for w in jax.tree.leaves(params))
        269722
    """
    if depth < 8 or depth % 6 != 2:
        raise InputError(f"resnet_cifar has a depth of 6 n + 2, such as 20, 32 or 110, got {depth}")
    stem = _stem(16, 3, 1, preactivation)
    return _network(stem, (depth // 6,) * 3, 16, _basic, _skip, classes, preactivation)


Convolutions = list[tuple[int, int, int]]  # of one block: channels, kernel and stride of each


def _basic(width: int, stride: int) -> Convolutions:
    return [(width, 3, stride), (width, 3, 1)]


def _bottleneck(width: int, stride: int) -> Convolutions:
    return [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]


def _network(
    stem: Layer,
    blocks: tuple[int, ...],
    width: int,
    body: Callable[[int, int], Convolutions],
    shortcut: Callable[[int, int, bool], Layer],
    classes: int,
    preactivation: bool,
) -> Layer:
    layers, channels = {"stem": stem}, width
    for stage, count in enumerate(blocks):
        members = []
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            convolutions = body(width << stage, stride)
            out, *_ = convolutions[-1]
            same = (stride, channels) == (1, out)
            around = None if same else shortcut(out, stride, preactivation)
            members.append(_block(convolutions, around, preactivation, is_first=index == 0))
            channels = out
        layers[f"stage{stage + 1}"] = Serial(*members)
    if preactivation:
        layers["norm"] = Serial(BatchNorm(), Relu())
    return Serial(**layers, mean=GlobalAvgPool(), scores=Affine(classes))


def _stem(channels: int, kernel: int, stride: int, preactivation: bool, *pool: Layer) -> Layer:
    first = _conv(channels, kernel, stride) if preactivation else _conv_norm_relu(channels, kernel, stride)
    return Serial(first, *pool)


def _block(convolutions: Convolutions, shortcut: Layer | None, preactivation: bool, is_first: bool) -> Layer:
    *others, last = convolutions
    middle = [*(_conv_norm_relu(*one) for one in others), _conv(*last)]
    if not preactivation:
        return Serial(Residual(Serial(*middle, BatchNorm()), shortcut), Relu())
    if is_first:
        return Serial(BatchNorm(), Relu(), Residual(Serial(*middle), shortcut))
    return Residual(Serial(BatchNorm(), Relu(), *middle), shortcut)


def _project(channels: int, stride: int, preactivation: bool) -> Layer:
    return _conv(channels, 1, stride) if preactivation else Serial(_conv(channels, 1, stride), BatchNorm())


def _skip(channels: int, stride: int, preactivation: bool) -> Layer:
    return _SkipAndFill(channels, stride)


def _conv(channels: int, kernel: int, stride: int) -> Conv:
    return Conv(channels, kernel, stride, padding=kernel // 2, bias=False)


def _conv_norm_relu(channels: int, kernel: int, stride: int) -> ConvNormRelu:
    return ConvNormRelu(channels, kernel, stride, padding=kernel // 2)


class _SkipAndFill(Layer):
    """The shortcut without parameters: positions at a stride, and zeros in the channels that x does not have."""

    channels: int
    stride: int

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        more = self.channels - x.shape[-1]
        return jnp.pad(x[:, :: self.stride, :: self.stride], [(0, 0)] * 3 + [(0, more)]), state
