"""Noise and gaps: what an image can lose and still be of its class."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from fdl.augment.images import Fill, check_images, check_random, check_range, filling, like_shades, positions, shades
from fdl.counts import for_each_axis
from fdl.errors import InputError


def gaussian_noise(key: jax.Array, images: jax.Array, std: float = 0.05) -> jax.Array:
    """y = x + std e, where e is drawn from the standard normal distribution for every number.

    Args:
        key: a JAX random key.
        images: [N, H, W, C], floats of any range (nothing is cut off), or uint8.
        std: >= 0; for uint8 as a fraction of 255, and 1 at most.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: for what is no batch of images, and for a std outside its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> noisy = jax.jit(gaussian_noise)(jax.random.key(0), jnp.zeros((1, 100, 100, 1)))
        >>> round(float(noisy.std()), 3)
        0.05
    """
    check_random("gaussian_noise", key, images)
    check_range("gaussian_noise", 0, 1 if jnp.result_type(images) == jnp.uint8 else math.inf, std=std)
    x = shades(images)
    return like_shades(x + std * jax.random.normal(key, x.shape, x.dtype), images)


def masking_noise(key: jax.Array, images: jax.Array, rate: float = 0.5) -> jax.Array:
    """Sets each pixel to zero with a probability, in all channels: damage that a denoising autoencoder repairs.

    Args:
        key: a JAX random key.
        images: [N, H, W, C], of any dtype.
        rate: the probability of a pixel to be lost, from 0 to 1.

    Returns:
        The images in their shape and dtype. What is left is not scaled up, as dropout would.

    Raises:
        InputError: for what is no batch of images, and for a rate outside its range.

    Source: Vincent, Larochelle, Bengio and Manzagol, "Extracting and composing robust features with denoising
    autoencoders" (2008).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> damaged = jax.jit(masking_noise)(jax.random.key(0), jnp.full((1, 100, 100, 1), 7))
        >>> sorted(set(damaged.ravel().tolist())), round(float(damaged.mean()), 1)
        ([0, 7], 3.5)
    """
    check_random("masking_noise", key, images, any_dtype=True)
    check_range("masking_noise", 0, 1, rate=rate)
    lost = jax.random.bernoulli(key, float(rate), (*jnp.shape(images)[:3], 1))
    return jnp.where(lost, 0, images).astype(jnp.result_type(images))


def pca_color_noise(key: jax.Array, images: jax.Array, axes: jax.Array, strength: float = 0.1) -> jax.Array:
    """y = x + sum_i a_i p_i, the same for all pixels of an image, with a_i normal of deviation ``strength``.

    The p_i are the principal axes of the colours in the training set, each as long as the standard deviation along
    it, so the noise changes colours in the directions, and in the proportions, in which they differ anyway.

    The paper scales each axis by the variance along it, which makes the noise depend on the unit of pixels; the
    standard deviation does not.

    Args:
        key: a JAX random key.
        images: [N, H, W, C], floats of any range (nothing is cut off), or uint8.
        axes: [K, C], from `fdl.data.color_axes`, in the scale where black is 0 and white is 1, for uint8 too.
        strength: >= 0.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: for what is no batch of images, for axes of another number of channels, and for a negative
            strength.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks"
    (2012), section 4.1.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> reddish = jnp.array([[0.5, 0.1, 0.1]])
        >>> y = jax.jit(pca_color_noise)(jax.random.key(0), jnp.zeros((1, 2, 2, 3)), reddish)
        >>> red, green, blue = y[0, 1, 1].tolist()
        >>> round(red / green, 3), round(blue / green, 3)  # along the axis
        (5.0, 1.0)
    """
    check_random("pca_color_noise", key, images)
    check_range("pca_color_noise", 0, math.inf, strength=strength)
    n, channels = jnp.shape(images)[0], jnp.shape(images)[-1]
    if jnp.ndim(axes) != 2 or jnp.shape(axes)[1] != channels:
        raise InputError(
            f"pca_color_noise of images with {channels} channels expects axes [K, {channels}], "
            f"got {list(jnp.shape(axes))}: fdl.data.color_axes makes them of the training images"
        )
    x = shades(images)
    amounts = strength * jax.random.normal(key, (n, len(axes), 1), x.dtype)
    return like_shades(x + (amounts * jnp.asarray(axes, x.dtype)[None]).sum(1)[:, None, None, :], images)


def erase(images: jax.Array, corners: Any, size: int | tuple[int, int], fill: Fill = 0.0) -> jax.Array:
    """Fills a rectangle of each image with one value, or with one colour.

    Args:
        images: [N, H, W, C], of any dtype.
        corners: [N, 2], the row and the column where each rectangle starts; what is outside the image is left out.
        size: of the rectangle, one number or (height, width).
        fill: one value, or one for each channel, in the range of the images: from 0 to 255 in uint8.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: for what is no batch of images, for corners or a fill of another shape, for a fill that the images'
            dtype does not have, and for sizes below one.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> erased = jax.jit(erase, static_argnames="size")(jnp.ones((1, 3, 3, 1)), jnp.array([[1, -1]]), size=2)
        >>> erased[0, ..., 0].tolist()
        [[1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    check_images("erase", images, any_dtype=True)
    height, width = for_each_axis("erase", "size", size, axes=2)
    n = jnp.shape(images)[0]
    if jnp.shape(corners) != (n, 2):
        raise InputError(f"erase of {n} images expects corners [{n}, 2], got {list(jnp.shape(corners))}")
    corners = jnp.asarray(corners)
    if jnp.issubdtype(corners.dtype, jnp.integer):
        corners = corners.astype(jnp.int32)  # in bytes, the other end would be beyond 255
    top, left = corners.T
    inside = in_boxes(images, top, left, top + height, left + width)
    return jnp.where(inside, filling("erase", fill, images), images)


def cutout(key: jax.Array, images: jax.Array, size: int | tuple[int, int] = 8, *, fill: Fill = 0.0) -> jax.Array:
    """Erases a square of each image, around a pixel that is drawn uniformly; at the rim, less of it is inside.

    Args:
        key: a JAX random key.
        images: [N, H, W, C], of any dtype.
        size: of the square, or (height, width) of a rectangle.
        fill: one value, or one for each channel, in the range of the images: from 0 to 255 in uint8.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: for what is no batch of images, for sizes below one, and for a fill as in `erase`.

    Source: DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout" (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from functools import partial
        >>> jax.jit(partial(cutout, size=1))(jax.random.key(0), jnp.ones((2, 4, 4, 1))).sum((1, 2, 3)).tolist()
        [15.0, 15.0]
    """
    check_random("cutout", key, images, any_dtype=True)
    height, width = for_each_axis("cutout", "size", size, axes=2)
    n, rows, columns, _ = jnp.shape(images)
    middles = jax.random.randint(key, (n, 2), 0, jnp.array([[rows, columns]]))
    return erase(images, middles - jnp.array([[height // 2, width // 2]]), size, fill)


def in_boxes(images: jax.Array, top: jax.Array, left: jax.Array, bottom: jax.Array, right: jax.Array) -> jax.Array:
    """Which pixels are in the box of their image, from top and left on and before bottom and right: [N, H, W, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> box = (jnp.array([value]) for value in (0, 1, 1, 9))
        >>> in_boxes(jnp.zeros((1, 2, 3, 1)), *box)[0, ..., 0].tolist()
        [[False, True, True], [False, False, False]]
    """
    row, column = positions(images)
    top, left, bottom, right = (one[:, None, None, None] for one in (top, left, bottom, right))
    return (row >= top) & (row < bottom) & (column >= left) & (column < right)
