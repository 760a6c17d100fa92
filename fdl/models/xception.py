"""Xception: Inception taken to its end, where each channel is looked at by itself.

    separable(x) = 1x1 convolution (3x3 convolution of every channel by itself)

An Inception module looks for patterns in space in a few mixtures of channels. If patterns in space and mixtures of
channels have nothing to do with each other, there may as well be one 3x3 convolution for each channel and one 1x1
convolution that mixes: k^2 + out products for each input where a convolution takes k^2 out.

    entry     image -> 3x3 /2 -> 3x3 -> [block, pool /2] x 3          channels 32, 64, 128, 256, 728
    middle    [block] x 8                                             728
    exit      [block, pool /2] -> separable -> separable -> mean      1024, 1536, 2048 -> scores

    block     y = shortcut(x) + f(x)        f: (relu -> separable -> norm), twice, in the middle three times

where the shortcut is a 1x1 convolution with a norm if f changes the size, and x itself in the middle. Each separable
convolution is followed by a batch norm, and nothing stands between its two parts: a ReLU there made it worse.

Source: Chollet, "Xception: deep learning with depthwise separable convolutions" (2017).
"""

from collections.abc import Sequence

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.initializers import normal
from fdl.layer import Layer
from fdl.layers import (
    Affine,
    BatchNorm,
    Conv,
    ConvNormRelu,
    Dropout,
    GlobalAvgPool,
    MaxPool,
    Relu,
    Residual,
    SeparableConv,
    Serial,
)


def xception(
    classes: int = 1000,
    *,
    stem: tuple[int, int] = (32, 64),
    entry: Sequence[int] = (128, 256, 728),
    middle: int = 8,
    exit: tuple[int, int, int] = (1024, 1536, 2048),
    dropout: float = 0.5,
) -> Layer:
    """Xception, as in the paper or smaller.

    Args:
        classes: how many scores it gives.
        stem: the channels of the two convolutions at the beginning, at half of the size.
        entry: the channels of the blocks that follow, each of which halves the size.
        middle: how many blocks there are in the middle, with the channels of the last one.
        exit: the channels of the last block, which halves the size again, and of the two convolutions behind it.
        dropout: the probability to drop one of the means before the scores while training, in [0, 1).

    Returns:
        A layer from images [N, H, W, C], of 299 x 299 pixels in the paper, to scores [N, classes].

    Raises:
        InputError: without a block in the entry, for sizes below one, for a middle below zero, and for a rate outside
            [0, 1).

    Source: Chollet (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, image = xception(), jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), image)
        >>> sum(w.size for w in jax.tree.leaves(params))
        22855952
    """
    if not entry:
        raise InputError("xception needs the channels of at least one block in its entry, got none")
    check_count("xception", "middle", middle, least=0)
    channels = entry[-1]
    first, *others = entry
    return Serial(
        stem=Serial(ConvNormRelu(stem[0], 3, 2, "VALID"), ConvNormRelu(stem[1], 3, 1, "VALID")),
        entry=Serial(
            _halving(Serial(_separable(first), Relu(), _separable(first)), first),  # the stem ends with a ReLU
            *(_halving(Serial(Relu(), _separable(c), Relu(), _separable(c)), c) for c in others),
        ),
        middle=Serial(*(Residual(Serial(*[Relu(), _separable(channels)] * 3)) for _ in range(middle))),
        exit=Serial(
            _halving(Serial(Relu(), _separable(channels), Relu(), _separable(exit[0])), exit[0]),
            *(layer for c in exit[1:] for layer in (_separable(c), Relu())),
        ),
        mean=GlobalAvgPool(),
        **({"dropout": Dropout(dropout)} if dropout else {}),
        scores=Affine(classes, w_init=normal(0.01)),
    )


def _separable(channels: int) -> Layer:
    return Serial(SeparableConv(channels, 3, bias=False), BatchNorm())


def _halving(body: Layer, channels: int) -> Layer:
    shortcut = Serial(Conv(channels, 1, 2, bias=False), BatchNorm())
    return Residual(Serial(body, MaxPool(3, 2, padding="SAME")), shortcut)
