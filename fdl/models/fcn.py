"""Fully convolutional networks: a classifier that gives its scores at every place of an image.

An affine map over a 7x7 image is a convolution with a 7x7 kernel, of which there is room for one. On a larger image it
has more places to stand, so VGG-16 with its affine maps read as convolutions makes a map of scores, 32 times coarser
than the image. Bilinear interpolation, as a transposed convolution that may learn better, brings it back. The coarse
map knows what is there and has forgotten where; finer maps are added from the pools before it, which still know:

    image -> stage 1 -> 2 -> stage 3 -> stage 4 -> stage 5 -> 7x7 -> 1x1 -> scores      FCN-32s: x32
             /2         /4   /8 |       /16 |      /32        4096   4096     | x2
                                |           +-> scores -> (+) <---------------+         FCN-16s: x16
                                |                          | x2
                                +-------------> scores -> (+) -> x8 -> image            FCN-8s

The skips' scores start at zero, so that a network begins as the coarser one that its other weights were trained as.
Where the reference implementation pads the image by 100 pixels and crops what comes out, here convolutions keep the
size, and the image is filled up at its end to a multiple of 32: everything that is added lies at the same place.

Weights of `vgg` fit by name (stage1 to stage5); those of its first affine map, [7 * 7 * 512, 4096], are those of the
7x7 convolution after ``w.reshape(7, 7, 512, 4096)``. The paper keeps the last interpolation as it starts:
``freeze(optimizer, "to_pixels.*")``.

Source: Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation" (2015).
"""

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp

from fdl.errors import InputError
from fdl.initializers import bilinear, zeros
from fdl.layer import Layer
from fdl.layers import Conv, ConvTranspose, Dropout, Relu, Serial, network
from fdl.models.vgg import vgg
from fdl.wiring import Net

COARSEST = 32  # pixels from one score to the next


def fcn(
    stride: int = 8, classes: int = 21, *, depth: int = 16, width: int = 64, hidden: int = 4096, dropout: float = 0.5
) -> Layer:
    """A fully convolutional network on VGG: FCN-32s, FCN-16s or FCN-8s.

    Args:
        stride: 32, 16 or 8, how coarse the finest map of scores is.
        classes: how many scores each pixel gets, the background's included.
        depth: of the VGG network underneath, 11, 13, 16 or 19.
        width: the channels of the first stage; the next have twice, four and eight times as many.
        hidden: the channels of the two convolutions that were affine maps.
        dropout: the probability to drop one of them while training, in [0, 1).

    Returns:
        A layer from images [N, H, W, C] of any size to scores [N, H, W, classes].

    Raises:
        InputError: for another stride or depth, and for sizes outside their range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, image = fcn(8), jax.ShapeDtypeStruct((1, 500, 375, 3), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), image)
        >>> sum(w.size for w in jax.tree.leaves(params))
        134489759
    """
    wirings = {32: fcn_32s, 16: fcn_16s, 8: fcn_8s}
    if stride not in wirings:
        raise InputError(f"fcn has a stride of 32, 16 or 8, got {stride}")
    body = {name: stage for name, stage in vgg(depth, width=width).children.items() if name.startswith("stage")}
    drop = (Dropout(dropout),) if dropout else ()
    head = Serial(Conv(hidden, 7), Relu(), *drop, Conv(hidden, 1), Relu(), *drop)
    children = {**body, "head": head, "scores": _scores(classes)}
    if stride <= 16:
        children |= {"to_pool4": _larger(classes, 2), "scores4": _scores(classes)}
    if stride <= 8:
        children |= {"to_pool3": _larger(classes, 2), "scores3": _scores(classes)}
    return network(**children, to_pixels=_larger(classes, stride))(wirings[stride])


def fcn_32s(net: Net, images: Any) -> Any:
    """The wiring of FCN-32s."""
    *_, pool5 = _pools(net, images)
    return _cut(net.to_pixels(net.scores(net.head(pool5))), images)


def fcn_16s(net: Net, images: Any) -> Any:
    """The wiring of FCN-16s."""
    *_, pool4, pool5 = _pools(net, images)
    fine = net.to_pool4(net.scores(net.head(pool5))) + net.scores4(pool4)
    return _cut(net.to_pixels(fine), images)


def fcn_8s(net: Net, images: Any) -> Any:
    """The wiring of FCN-8s."""
    *_, pool3, pool4, pool5 = _pools(net, images)
    fine = net.to_pool4(net.scores(net.head(pool5))) + net.scores4(pool4)
    finer = net.to_pool3(fine) + net.scores3(pool3)
    return _cut(net.to_pixels(finer), images)


def _pools(net: Net, images: Any) -> Iterator[Any]:
    """What each stage of VGG makes of the images."""
    missing = [(0, -size % COARSEST) for size in images.shape[1:3]]
    x = jnp.pad(images, [(0, 0), *missing, (0, 0)])
    for stage in (net.stage1, net.stage2, net.stage3, net.stage4, net.stage5):
        x = stage(x)
        yield x


def _cut(scores: Any, images: Any) -> Any:
    """The scores of pixels that the images have."""
    return scores[:, : images.shape[1], : images.shape[2]]


def _scores(classes: int) -> Conv:
    return Conv(classes, 1, w_init=zeros())


def _larger(classes: int, times: int) -> ConvTranspose:
    return ConvTranspose(classes, 2 * times, times, bias=False, w_init=bilinear())
