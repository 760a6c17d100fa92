"""VGG: nothing but 3x3 convolutions, and many of them.

    image --> [conv 3x3 --> relu] x n --> pool 2 --> ... five stages ... --> affine --> affine --> affine
    224       64 channels                 112        128, 256, 512, 512      4096       4096       classes

Two 3x3 convolutions see as far as one of 5x5, and three as far as one of 7x7, with fewer weights and a ReLU more each
time. So depth alone can be varied, and deeper was better up to 19 layers with weights. Of the 138 million parameters of
the network with 16, 124 million are in the affine maps at its end.

Sources: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition" (2015), where 11,
13, 16 and 19 are configurations A, B, D and E; Ioffe and Szegedy (2015) for batch norm, which came after it. The paper
starts deep ones from trained shallow ones; He et al., "Delving deep into rectifiers" (2015), made that unnecessary.
"""

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.initializers import normal
from fdl.layer import Layer
from fdl.layers import Affine, AffineRelu, Conv, ConvNormRelu, Dropout, Flatten, MaxPool, Relu, Serial

# By depth: how many convolutions each stage has.
DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def vgg(
    depth: int,
    classes: int = 1000,
    *,
    batch_norm: bool = False,
    width: int = 64,
    hidden: int = 4096,
    dropout: float = 0.5,
) -> Layer:
    """A VGG network.

    Args:
        depth: 11, 13, 16 or 19, how many layers have weights.
        classes: how many scores it gives.
        batch_norm: whether a batch norm stands between each convolution and its ReLU, in the place of its bias.
        width: the channels of the first stage; the next have twice, four and eight times as many.
        hidden: the units of the two affine maps before the scores; 512 are usual for small images.
        dropout: the probability to drop one of them while training, in [0, 1).

    Returns:
        A layer from images [N, H, W, C], of at least 32 x 32 pixels, to scores [N, classes].

    Raises:
        InputError: for another depth, and for sizes outside their range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, image = vgg(16), jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), image)
        >>> sum(w.size for w in jax.tree.leaves(params))
        138357544
    """
    if depth not in DEPTHS:
        raise InputError(f"vgg has a depth of {', '.join(map(str, DEPTHS))}, got {depth}")
    check_count("vgg", "width", width)
    stages = {}
    for stage, count in enumerate(DEPTHS[depth]):
        channels = width << min(stage, 3)
        members = [layer for _ in range(count) for layer in _convolution(channels, batch_norm)]
        stages[f"stage{stage + 1}"] = Serial(*members, MaxPool(2))
    drop = (Dropout(dropout),) if dropout else ()
    head = Serial(Flatten(), AffineRelu(hidden), *drop, AffineRelu(hidden), *drop)
    return Serial(**stages, head=head, scores=Affine(classes, w_init=normal(0.01)))


def _convolution(channels: int, batch_norm: bool) -> tuple[Layer, ...]:
    return (ConvNormRelu(channels, 3),) if batch_norm else (Conv(channels, 3), Relu())
