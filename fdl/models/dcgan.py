"""DCGAN: generator and discriminator as convolutional networks that can be trained, mirror images of each other.

    z -> affine -> 4x4 -> 8x8 -> 16x16 -> 32x32 -> 64x64         generator: transposed convolutions, stride 2
                   1024   512    256      128      3             batch norm and ReLU, at the end tanh

    image 64x64 -> 32x32 -> 16x16 -> 8x8 -> 4x4 -> affine        discriminator: convolutions, stride 2
          3        128      256      512    1024   a logit       batch norm and leaky ReLU of slope 0.2

What made the difference, by the paper: strides and no pools, so that the networks learn how to change the size; batch
norm everywhere but at the images, on either side; no hidden affine layers; ReLU here and leaky ReLU there. And Adam
with a rate of 2e-4 and beta1 = 0.5: with the usual 0.9 the two chase each other.

Real and made images go through the discriminator as two batches, each with its own statistics. Weights start from
N(0, 0.02^2) and the scales of norms at one. There are no biases, as in the authors' program, whose sizes these are.

Source: Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional generative adversarial
networks" (2016). The losses are in `fdl.models.gan`.
"""

from collections.abc import Sequence

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.initializers import normal
from fdl.layer import Layer
from fdl.layers import Affine, BatchNorm, Conv, ConvTranspose, Flatten, LeakyRelu, Relu, Reshape, Serial, Tanh
from fdl.models.arguments import check_shape

START = normal(0.02)


def dcgan_generator(shape: Sequence[int] = (64, 64, 3), *, depth: int = 4, width: int = 128, kernel: int = 5) -> Layer:
    """The generator of DCGAN.

    Args:
        shape: of one image, (H, W, C); 2^depth must divide H and W.
        depth: how many transposed convolutions there are, each with stride 2.
        width: channels of the last image before the result; the ones before it have twice, four times, ... as many.
        kernel: taps of each convolution on an axis.

    Returns:
        A layer from z [N, latent], of any latent size (the paper's is 100, each uniform in [-1, 1]), to images
        [N, H, W, C] in (-1, 1).

    Raises:
        InputError: for a shape that 2^depth does not divide, and for sizes below one.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, z = dcgan_generator(), jax.ShapeDtypeStruct((5, 100), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), z)
        >>> sum(w.size for w in jax.tree.leaves(params))
        18885760
    """
    check_count("dcgan_generator", "depth", depth)
    check_count("dcgan_generator", "width", width)
    check_shape("dcgan_generator", shape)
    if len(shape) != 3 or any(size % 2**depth for size in shape[:2]):
        raise InputError(
            f"dcgan_generator doubles {depth} times, so it makes images (H, W, C) with H and W divisible by "
            f"{2**depth}, got {tuple(shape)}: 28 x 28 has a depth of 1 or 2"
        )
    height, width_of_image, channels = shape
    start = height >> depth, width_of_image >> depth, width << (depth - 1)
    project = Serial(
        Affine(start[0] * start[1] * start[2], bias=False, w_init=START), BatchNorm(), Relu(), Reshape(start)
    )
    larger = [
        layer
        for level in reversed(range(depth - 1))
        for layer in (_transposed(width << level, kernel), BatchNorm(), Relu())
    ]
    return Serial(project, *larger, _transposed(channels, kernel), Tanh())


def dcgan_discriminator(*, depth: int = 4, width: int = 128, kernel: int = 5) -> Layer:
    """The discriminator of DCGAN.

    Args:
        depth: how many convolutions there are, each with stride 2.
        width: channels of the first one; the next have twice, four times, ... as many.
        kernel: taps of each convolution on an axis.

    Returns:
        A layer from images [N, H, W, C] to logits [N], large for what is taken for real.

    Raises:
        InputError: for sizes below one.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, images = dcgan_discriminator(), jax.ShapeDtypeStruct((5, 64, 64, 3), jnp.float32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), images)
        >>> sum(w.size for w in jax.tree.leaves(params))
        17232768
    """
    check_count("dcgan_discriminator", "depth", depth)
    check_count("dcgan_discriminator", "width", width)
    layers = []
    for level in range(depth):
        norm = (BatchNorm(),) if level else ()
        layers += [Conv(width << level, kernel, stride=2, bias=False, w_init=START), *norm, LeakyRelu(0.2)]
    return Serial(*layers, Flatten(), Affine(1, bias=False, w_init=START), Reshape(()))


def _transposed(channels: int, kernel: int) -> ConvTranspose:
    return ConvTranspose(channels, kernel, stride=2, bias=False, w_init=START)
