"""GoogLeNet: convolutions of several sizes side by side, in modules called Inception.

           +--> 1x1 ----------------+
           +--> 1x1 --> 3x3 --------+
    x -----+                        +--> y, the channels of all four next to each other
           +--> 1x1 --> 5x5 --------+
           +--> max pool 3x3 -> 1x1 +

How large are the things to be seen? Nobody has to know: the next module chooses among the sizes. What makes it
affordable are the 1x1 convolutions in front of the larger ones, which take a few mixtures of the channels first. With 7
million parameters it was better than AlexNet with 61 million.

    image -> 7x7 /2 -> pool -> 1x1 -> 3x3 -> pool -> 3a 3b -> pool -> 4a 4b 4c 4d 4e -> pool -> 5a 5b -> mean -> scores
    224      112       56                    28               14      |        |        7
                                                                      +-> 1    +-> 2  auxiliary scores

Gradients of 22 layers were feared to vanish, so two small networks along the way have scores of their own, and losses
that count for 0.3 each in training. In inference they are not looked at, and XLA then does not compute them.

The paper's local response normalisation, which had no parameters, is left out (see `fdl.models.alexnet`); with
``batch_norm``, which its authors invented a year later, the network trains without care.

Sources: Szegedy et al., "Going deeper with convolutions" (2015); Ioffe and Szegedy (2015) for batch norm.
"""

import functools
from typing import Any

from fdl.initializers import normal
from fdl.layer import Layer
from fdl.layers import (
    Affine,
    AffineRelu,
    AvgPool,
    Concat,
    Conv,
    ConvNormRelu,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    Relu,
    Serial,
    network,
)
from fdl.wiring import Net

# For each module the channels of 1x1; of 1x1 and 3x3; of 1x1 and 5x5; and of 1x1 behind the pool.
MODULES = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}


def googlenet(classes: int = 1000, *, batch_norm: bool = False, width: float = 1.0) -> Layer:
    """GoogLeNet with its two auxiliary heads.

    Args:
        classes: how many scores each head gives.
        batch_norm: whether a batch norm stands between each convolution and its ReLU, in the place of its bias.
        width: a factor for the numbers of channels.

    Returns:
        A layer from images [N, H, W, C], of at least 65 x 65 pixels, to a tuple of three arrays [N, classes]: the
        scores, and those of the two auxiliary heads. In training, the losses of these two count for 0.3 each; for
        predictions take the first.

    Raises:
        InputError: for fewer than one class.

    Source: Szegedy et al. (2015).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.losses import softmax_cross_entropy
        >>> def loss(outputs, labels):
        ...     scores, *auxiliary = (softmax_cross_entropy(one, labels) for one in outputs)
        ...     return scores + 0.3 * sum(auxiliary)
        >>> net, image = googlenet(), jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), image)
        >>> sum(w.size for w in jax.tree.leaves(params))
        13378280
    """

    def conv(channels: int, kernel: int, stride: int = 1) -> Layer:
        return _conv(round(width * channels), kernel, stride, batch_norm)

    module = functools.partial(inception, batch_norm=batch_norm)

    def modules(*names: str) -> Layer:
        return Serial(**{f"inception{name}": module(*_scaled(MODULES[name], width)) for name in names})

    def auxiliary() -> Layer:
        hidden = Serial(AvgPool(5, 3), conv(128, 1), Flatten(), AffineRelu(round(1024 * width)), Dropout(0.7))
        return Serial(hidden, scores=Affine(classes, w_init=normal(0.01)))

    pool = MaxPool(3, 2, padding="SAME")
    return network(
        stem=Serial(conv(64, 7, 2), pool, conv(64, 1), conv(192, 3), pool),
        below=Serial(modules("3a", "3b"), pool, modules("4a")),
        auxiliary1=auxiliary(),
        middle=modules("4b", "4c", "4d"),
        auxiliary2=auxiliary(),
        above=Serial(modules("4e"), pool, modules("5a", "5b")),
        head=Serial(GlobalAvgPool(), Dropout(0.4), Affine(classes, w_init=normal(0.01))),
    )(with_auxiliary_heads)


def with_auxiliary_heads(net: Net, images: Any) -> tuple[Any, Any, Any]:
    """The wiring of GoogLeNet."""
    x1 = net.below(net.stem(images))
    x2 = net.middle(x1)
    return net.head(net.above(x2)), net.auxiliary1(x1), net.auxiliary2(x2)


def inception(one: int, three: tuple[int, int], five: tuple[int, int], pooled: int, batch_norm: bool = False) -> Layer:
    """An Inception module: 1x1, 3x3 and 5x5 convolutions and a pool side by side.

    Args:
        one: the channels of the 1x1 convolution that stands alone.
        three, five: the channels of the 1x1 convolution in front of the larger one, and of the larger one.
        pooled: the channels of the 1x1 convolution behind the pool.
        batch_norm: whether a batch norm stands between each convolution and its ReLU.

    Returns:
        A layer from [N, H, W, C] to [N, H, W, one + three[1] + five[1] + pooled].

    Raises:
        InputError: for fewer than one channel.

    Source: Szegedy et al. (2015).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = inception(64, (96, 128), (16, 32), 32), jax.ShapeDtypeStruct((1, 28, 28, 192), jnp.float32)
        >>> params, state = jax.eval_shape(layer.init, jax.random.key(0), x)
        >>> jax.eval_shape(layer.apply, params, state, x)[0].shape
        (1, 28, 28, 256)
    """
    return Concat(
        one=_conv(one, 1, 1, batch_norm),
        three=Serial(_conv(three[0], 1, 1, batch_norm), _conv(three[1], 3, 1, batch_norm)),
        five=Serial(_conv(five[0], 1, 1, batch_norm), _conv(five[1], 5, 1, batch_norm)),
        pooled=Serial(MaxPool(3, 1, padding=1), _conv(pooled, 1, 1, batch_norm)),
    )


def _conv(channels: int, kernel: int, stride: int, batch_norm: bool) -> Layer:
    if batch_norm:
        return ConvNormRelu(channels, kernel, stride, padding=kernel // 2)
    return Serial(Conv(channels, kernel, stride, padding=kernel // 2), Relu())


def _scaled(channels: Any, width: float) -> Any:
    if isinstance(channels, tuple):
        return tuple(_scaled(one, width) for one in channels)
    return max(1, round(width * channels))
