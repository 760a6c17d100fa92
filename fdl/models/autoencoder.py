"""Autoencoders: to say an image again from a few numbers, a network has to find out what images have in common.

    x -> encoder -> code -> decoder -> x again          loss: how far the second x is from the first

With affine maps and the squared error the code spans the first principal components; with something nonlinear between
them it bends. No labels are needed, and the encoder by itself is a start for a classifier.

A denoising autoencoder is no other network but another task: what goes in is damaged, what should come out is not.
It cannot learn to copy, even with a large code. In fdl.train that is the usual objective with an augmentation,

    supervised(autoencoder((28, 28, 1)), loss, augment=on_images(partial(masking_noise, rate=0.5)))

on batches (images, images), since an augmentation of inputs leaves targets as they are.

Sources: Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks" (2006); Masci, Meier,
Ciresan and Schmidhuber, "Stacked convolutional auto-encoders for hierarchical feature extraction" (2011); Vincent,
Larochelle, Bengio and Manzagol, "Extracting and composing robust features with denoising autoencoders" (2008).
"""

import math
from collections.abc import Sequence
from typing import Any

from fdl.errors import InputError
from fdl.layer import Layer
from fdl.layers import Affine, Conv, ConvTranspose, Flatten, Relu, Reshape, Serial, network
from fdl.models.arguments import check_shape, check_widths
from fdl.wiring import Net


def autoencoder(
    shape: Sequence[int],
    hidden: Sequence[int] = (1000, 500, 250),
    code: int = 30,
    *,
    activation: Layer = Relu(),  # noqa: B008
) -> Layer:
    """A fully connected autoencoder, whose decoder mirrors its encoder.

    Args:
        shape: of one example, such as (28, 28, 1).
        hidden: the widths of the encoder's layers; the decoder has them in reverse.
        code: how many numbers stand for an example. They are linear: no activation follows.
        activation: between the affine maps. The paper's is `Sigmoid()`.

    Returns:
        A layer ``Serial(encoder=..., decoder=...)`` from [N, *shape] to [N, *shape], linear at its end: values for
        `squared_error`, or logits for `sigmoid_cross_entropy`.

    Raises:
        InputError: for sizes below one, and for one number in the place of several.

    Source: Hinton and Salakhutdinov (2006); its widths for MNIST are the ones here.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, images = autoencoder((28, 28, 1)), jax.ShapeDtypeStruct((5, 28, 28, 1), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), images)
        >>> sum(w.size for w in jax.tree.leaves(params))
        2837314
        >>> encoder = net.children["encoder"]
        >>> jax.eval_shape(encoder.apply, params["encoder"], state["encoder"], images)[0].shape
        (5, 30)
    """
    check_shape("autoencoder", shape)
    check_widths("autoencoder", hidden)
    into = [layer for width in hidden for layer in (Affine(width), activation)]
    out = [layer for width in reversed(hidden) for layer in (Affine(width), activation)]
    return Serial(
        encoder=Serial(Flatten(), *into, code=Affine(code)),
        decoder=Serial(*out, Affine(math.prod(shape)), Reshape(tuple(shape))),
    )


def conv_autoencoder(
    channels: int = 1,
    widths: Sequence[int] = (16, 32),
    *,
    activation: Layer = Relu(),  # noqa: B008
) -> Layer:
    """A convolutional autoencoder: each layer halves the image, and each layer of the decoder doubles it again.

    Convolutions with stride 2 stand in the place of the paper's convolutions and pools; kernels of the decoder have
    four taps, so that all pixels are covered equally often.

    Args:
        channels: of the images.
        widths: the channels of the encoder's layers; the last are those of the code, which is a small image itself.
        activation: behind each convolution but the last.

    Returns:
        A layer with children ``encoder`` and ``decoder``, from images [N, H, W, channels] of any size to
        [N, H, W, channels], linear at its end.

    Raises:
        InputError: for no widths, for sizes below one, and for one number in the place of several.

    Source: Masci et al. (2011).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, images = conv_autoencoder(), jax.ShapeDtypeStruct((5, 28, 28, 1), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), images)
        >>> sum(w.size for w in jax.tree.leaves(params))
        13265
        >>> encoder = net.children["encoder"]
        >>> jax.eval_shape(encoder.apply, params["encoder"], state["encoder"], images)[0].shape
        (5, 7, 7, 32)
    """
    check_widths("conv_autoencoder", widths)
    if not widths:
        raise InputError("conv_autoencoder needs the channels of at least one layer, as in widths=(16, 32), got none")
    down = [layer for width in widths for layer in (Conv(width, 3, stride=2), activation)]
    up = [layer for width in reversed(widths[:-1]) for layer in (ConvTranspose(width, 4, stride=2), activation)]
    decoder = Serial(*up, ConvTranspose(channels, 4, stride=2))
    return network(encoder=Serial(*down), decoder=decoder)(convolutional)


def convolutional(net: Net, images: Any) -> Any:
    """The wiring of a convolutional autoencoder, which cuts off what halving and doubling odd sizes adds."""
    again = net.decoder(net.encoder(images))
    return again[:, : images.shape[1], : images.shape[2]]
